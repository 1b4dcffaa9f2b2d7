"""A tiny data set laid out as CIFAR-10, and a web server on this machine that serves it, well or badly."""

import hashlib
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image
from tarballs import tar

from paper2board.acquire.datasets.cifar10 import RECORD_BYTES, Cifar10Dataset

IMAGES = 12
SPLITS = {"data_batch_1": "train", "data_batch_2": "train", "test_batch": "test"}


@pytest.fixture(scope="session")
def contents() -> dict[str, bytes]:
    """The true files by name."""
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (len(SPLITS), IMAGES, RECORD_BYTES), dtype=np.uint8)
    records[:, :, 0] %= 10
    return {f"{stem}.bin": part.tobytes() for stem, part in zip(SPLITS, records, strict=True)}


@pytest.fixture(scope="session")
def archive(contents) -> bytes:
    return tar({f"batches/{name}": content for name, content in contents.items()})


@pytest.fixture(scope="session")
def members(contents) -> dict[str, bytes]:
    """Members of the npm package, drawn pixel by pixel from the layout's description."""
    result: dict[str, bytes] = {"package/README.md": b"#"}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    for stem, split in SPLITS.items():
        mosaic = Image.new("RGB", (1024, IMAGES))
        for row in range(IMAGES):
            record = contents[f"{stem}.bin"][row * RECORD_BYTES : (row + 1) * RECORD_BYTES]
            labels[split].append(record[0])
            for column in range(1024):
                mosaic.putpixel((column, row), tuple(record[1 + column :: 1024][:3]))
        stream = io.BytesIO()
        mosaic.save(stream, "PNG")
        result[f"package/{stem}.png"] = stream.getvalue()
    for split, values in labels.items():
        result[f"package/{split}_lables.json"] = json.dumps(values).encode()
    return result


@pytest.fixture
def configure(contents):
    """A function that makes the configuration with the sources given as dictionaries."""

    def make(*sources: dict) -> Cifar10Dataset:
        files = [
            {
                "name": name,
                "split": SPLITS[name.removesuffix(".bin")],
                "images": IMAGES,
                "sha1": hashlib.sha1(content).hexdigest(),
            }
            for name, content in contents.items()
        ]
        classes = [f"class{label}" for label in range(10)]
        return Cifar10Dataset(kind="cifar10", name="tiny", classes=classes, files=files, sources=sources)

    return make


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


@pytest.fixture
def server() -> Iterator[Server]:
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


@pytest.fixture(autouse=True)
def _no_pause_and_no_mirror(monkeypatch):
    monkeypatch.setattr("paper2board.acquire.download.PAUSE_S", 0.0)
    monkeypatch.delenv("PAPER2BOARD_MIRROR", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
