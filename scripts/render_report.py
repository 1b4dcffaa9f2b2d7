"""Render the report of a study.

Inputs: metrics files, claims ledger, what tasks show of a network, training histories, duty-cycle and schedule
curves, notes, templates. Output: a folder with index.html (self-contained), report.md, report.json, tables/*.csv
and figures/*.svg. Every verdict is computed from claims and evidence here.
"""

import json
from pathlib import Path

from paper2board.acquire.examples import load_examples
from paper2board.core.scripting import running, snakemake
from paper2board.report.figures import Details
from paper2board.report.render import render
from paper2board.report.run_facts import absence_reasons, data_notice, run_facts


def optional(path: str) -> Path | None:
    """Return an input that a study may lack; Snakemake gives an empty list then."""
    return Path(path) if path else None


if __name__ == "__main__":
    with running(snakemake) as log:
        params, files = snakemake.params, snakemake.input
        origin = load_examples(files.data, 1).origin
        board = "board" in (Path(metrics).stem for metrics in files.metrics_files)
        notes = json.loads(Path(files.notes).read_text())
        report = render(
            title=params.title,
            paper=params.paper,
            run=run_facts(origin, params.budget, params.training_threads, params.seeds, notes["processor"]),
            claims=files.claims or None,
            tables=files.tables,
            metrics_files=files.metrics_files,
            details=Details(
                histories={
                    Path(path).name.removesuffix(".history.csv"): Path(path) for path in files.histories
                },
                scores=[Path(folder) for folder in params.scores],
                duty_cycle=Path(files.curve),
                schedule=Path(files.schedule),
                engine=params.engine,
                board=params.board,
                survey=optional(files.survey),
            ),
            templates=Path("reports"),
            output=Path(snakemake.output.folder),
            notice=data_notice(origin, params.data_note),
            absent=absence_reasons(notes["engine"], board),
        )
        for line in report.summary:
            log(line)
