"""Render the report of a study.

Inputs: metrics files, claims ledger, confusion matrix, training histories, duty-cycle and schedule curves, notes,
templates. Output: a folder with index.html (self-contained), report.md, report.json, tables/*.csv and
figures/*.svg. Every verdict is computed from claims and evidence here.
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path

from paper2board.acquire.datasets.base import STAND_IN
from paper2board.acquire.examples import load_examples
from paper2board.core.scripting import running, snakemake
from paper2board.report.figures import Details
from paper2board.report.render import render

PACKAGES = ("torch", "tensorflow", "tflite-micro", "numpy", "snakemake")


def optional(path: str) -> Path | None:
    """Return an input that a study may lack; Snakemake gives an empty list then."""
    return Path(path) if path else None


if __name__ == "__main__":
    with running(snakemake) as log:
        params, files = snakemake.params, snakemake.input
        origin = load_examples(files.data, 1).origin
        board = "board" in (Path(metrics).stem for metrics in files.metrics_files)
        notes = json.loads(Path(files.notes).read_text())
        run = {
            "data": origin,
            "budget": params.budget,
            "training threads": str(params.training_threads),
            "seeds": ", ".join(map(str, params.seeds)),
            "paper2board": version("paper2board"),
            "Python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
            "host processor": notes["processor"],
        }
        report = render(
            title=params.title,
            paper=params.paper,
            run=run,
            claims=files.claims or None,
            tables=files.tables,
            metrics_files=files.metrics_files,
            details=Details(
                histories={
                    Path(path).name.removesuffix(".history.csv"): Path(path) for path in files.histories
                },
                confusion=optional(files.confusion),
                duty_cycle=Path(files.curve),
                schedule=Path(files.schedule),
                engine=params.engine,
                board=params.board,
                precision_recall=optional(files.precision_recall),
                survey=optional(files.survey),
            ),
            templates=Path("reports"),
            output=Path(snakemake.output.folder),
            notice=f"Data: {origin}" if origin.startswith(STAND_IN) else params.data_note,
            absent={f"host.{quantity}.": notes["engine"] for quantity in ("energy", "power")}
            | {"device.board.": "does not fit" if board else "no board attached", "esp32.": "does not fit"}
            | {"survey.board.": "not stated"},
        )
        for line in report.summary:
            log(line)
