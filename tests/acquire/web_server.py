"""A web server on this machine that serves what a test gives it, well or badly."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Server:
    """What the server serves, how badly, and what it was asked."""

    url: str
    pages: dict[str, bytes] = field(default_factory=dict)
    cut_after: list[int] = field(default_factory=list)
    """For each coming request: bytes of the body after which the connection is cut."""
    statuses: list[int] = field(default_factory=list)
    """For each coming request: a failure to answer with."""
    ignores_range: bool = False
    hold: threading.Event | None = None
    """The last half of each body waits for this."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range of each request."""

    def source(self, content: bytes, path: str = "/tiny.tar.gz", **changes: object) -> dict:
        """Serve ``content`` and return the archive source that describes it."""
        self.pages[path] = content
        described = {
            "kind": "archive",
            "url": self.url + path,
            "folder": "batches",
            "size": len(content),
            "md5": hashlib.md5(content).hexdigest(),
        }
        return described | changes


@contextlib.contextmanager
def serve() -> Iterator[Server]:
    """Run the server in a thread; its port is free when this ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested = self.headers.get("Range")
            state.asked.append((self.path, requested))
            if state.statuses and (status := state.statuses.pop(0)) != 200:
                return self.send_error(status)
            if (body := state.pages.get(self.path)) is None:
                return self.send_error(404)
            if requested and not state.ignores_range:
                start, total = int(requested.removeprefix("bytes=").removesuffix("-")), len(body)
                if start >= total:
                    return self.send_error(416)
                body = body[start:]
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if state.cut_after:
                body = body[: state.cut_after.pop(0)]
            half = len(body) // 2
            self.wfile.write(body[:half])
            if state.hold is not None:
                self.wfile.flush()
                state.hold.wait(30)
            self.wfile.write(body[half:])

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.handle_error = lambda *_: None  # clients that are killed break their pipe
    state = Server(f"http://127.0.0.1:{httpd.server_address[1]}")
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    if state.hold is not None:
        state.hold.set()
    httpd.shutdown()
    httpd.server_close()
    thread.join()
