"""What every workflow script needs: its log, and mistakes told in one sentence."""

import fcntl
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from paper2board.core.errors import UserError

Log = Callable[[str], None]


@contextmanager
def running(snakemake: Any) -> Iterator[Log]:
    """Yield a ``log(text)`` that writes a line to the rule's log and the terminal.

    A :class:`UserError` in the block ends the script with its one sentence and exit status 1; the traceback
    of any other exception goes to the log as well as to the terminal. The log is locked meanwhile: when
    Snakemake was killed, its scripts may live on, and two of them must not do the same job at once.
    """
    path = Path(snakemake.log[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    # Appending, so that the log of a job that is still running is not wiped before the lock is ours.
    with path.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{snakemake.rule}: waiting for the same job of a killed run to end", file=sys.stderr)
            fcntl.flock(stream, fcntl.LOCK_EX)
        stream.truncate(0)
        try:
            yield lambda text: _tell(text, stream, f"{snakemake.rule}: ")
        except UserError as error:
            _tell(str(error), stream, f"{snakemake.rule}: ")
            sys.exit(1)
        except Exception:
            traceback.print_exc(file=stream)
            raise


def _tell(text: str, stream: TextIO, prefix: str) -> None:
    print(text, file=stream, flush=True)
    print(prefix + text, file=sys.stderr, flush=True)
