"""Scores of all networks of one task, gains and details, with intervals, from stored outputs.

Inputs: test set; outputs of every variant, scheme and seed; their weights or integer models. Outputs: metrics file,
and a folder with what the task shows of one network (confusion matrix, curves …), as JSON. Method: that of the
task's scores, ``paper2board/tasks/{task}/scores.py``.
"""

from pathlib import Path

from paper2board.acquire.examples import load_examples
from paper2board.core.evidence import write_metrics
from paper2board.core.files import write_json
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.scores import StoredNetwork, summarise
from paper2board.tasks.outputs import OutputLayout
from paper2board.tasks.scoring import scoring_task

if __name__ == "__main__":
    with running(snakemake) as log:
        params, files = snakemake.params, snakemake.input
        pairs, stored = iter(zip(files.outputs, files.weights, strict=True)), {}
        for name, (variant, scheme) in params.networks.items():
            outputs, weights = zip(*(next(pairs) for _ in params.seeds), strict=True)
            shapes = params.shapes.get(variant)
            layout = OutputLayout(*map(tuple, shapes)) if shapes else None
            stored[name] = StoredNetwork(variant, scheme, outputs, weights, layout)
        found = summarise(
            scoring_task(snakemake.wildcards.task),
            stored,
            params.comparisons,
            params.shown,
            load_examples(files.data, params.limit),
            params.seeds,
            params.classes,
            log,
        )
        write_metrics(snakemake.output.metrics, found.metrics)
        folder = Path(snakemake.output.shown)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in found.files.items():
            write_json(folder / name, content)
