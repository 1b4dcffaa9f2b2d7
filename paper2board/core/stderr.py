"""The process's standard error, which C++ libraries write to behind Python's back."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def captured_stderr() -> Iterator[IO[bytes]]:
    """Send file descriptor 2 to a temporary file while the block runs, and yield that file.

    Not for use by several threads at once: the descriptor belongs to the whole process.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as stream:
        os.dup2(stream.fileno(), 2)
        try:
            yield stream
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
