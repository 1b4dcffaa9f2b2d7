"""What every workflow script needs: Snakemake's object, its log, and errors of the user in one sentence.

``from paper2board.core.scripting import running, snakemake`` gives a script the object that Snakemake passes to it.
A script that is run alone, for debugging, gets the object of the job that its arguments name, with all inputs and
parameters; no other job runs. Its budget is that of the configuration unless the arguments name one::

    python scripts/split_dataset.py study=esp32-wroom-cifar10 budget=smoke
"""

import fcntl
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from paper2board.core.errors import UserError

Log = Callable[[str], None]


def __getattr__(name: str) -> Any:
    if name != "snakemake":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    given = getattr(sys.modules["__main__"], "snakemake", None)
    return given or _job(Path(sys.argv[0]), dict(each.partition("=")[::2] for each in sys.argv[1:]))


def _job(script: Path, wildcards: dict[str, str]) -> Any:
    """Return Snakemake's object for the rule of a script, which has its name, and these wildcards."""
    from snakemake.api import SnakemakeApi
    from snakemake.dag import DAG
    from snakemake.exceptions import WorkflowError
    from snakemake.jobs import Job
    from snakemake.script import Snakemake
    from snakemake.settings.types import ResourceSettings

    try:
        with SnakemakeApi() as api:
            flow = api.workflow(ResourceSettings(cores=os.cpu_count()), snakefile=Path("Snakefile"))
            flow.dag()
            rule = flow._workflow.get_rule(script.stem)
            if "budget" in rule.wildcard_names:
                wildcards = {"budget": flow._workflow.config["budget"]} | wildcards
            if wildcards.keys() != rule.wildcard_names:
                wanted = " ".join(f"{name}=…" for name in sorted(rule.wildcard_names)) or "no arguments"
                sys.exit(f"{script}: name the job with {wanted}")
            job = Job(rule, DAG(flow._workflow, rules=[rule]), wildcards)
            files = job.input, job.output, job.params, job.wildcards
            return Snakemake(
                *files, job.threads, job.resources, job.log, flow._workflow.config, rule.name, None
            )
    except WorkflowError as error:
        sys.exit(f"{script}: {error}")


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
            yield lambda text: _write_line(text, stream, f"{snakemake.rule}: ")
        except UserError as error:
            _write_line(str(error), stream, f"{snakemake.rule}: ")
            sys.exit(1)
        except Exception:
            traceback.print_exc(file=stream)
            raise


def _write_line(text: str, stream: TextIO, prefix: str) -> None:
    print(text, file=stream, flush=True)
    print(prefix + text, file=sys.stderr, flush=True)
