"""Running a user's own Python code: what it raises becomes a sentence, and it cannot end this program silently."""

import contextlib
import os
from collections.abc import Iterator
from typing import NoReturn


@contextlib.contextmanager
def kept_alive() -> Iterator[None]:
    """Within, ``os._exit`` raises SystemExit, so that a caller can answer it as ``sys.exit``."""

    def leave(status: int = 0) -> NoReturn:
        raise SystemExit(status)

    real = os._exit
    os._exit = leave
    try:
        yield
    finally:
        os._exit = real


def reason(error: BaseException) -> str:
    """Return what an exception says, in one line."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
