"""Precision, recall and F1 of FOMO networks, with intervals, from stored outputs.

Inputs: test images with their boxes; outputs of every variant, scheme and seed; their weights. Output: metrics
file. Method: cells above one half, fused where they touch, paired one to one with true centres of their class
within a fifth of the image (Edge Impulse's distance); bootstrap over images for one seed, Student's t over several.
"""

from paper2board.acquire.examples import load_examples
from paper2board.core.evidence import write_metrics
from paper2board.core.files import digest
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.logits import read_logits
from paper2board.evaluate.schemes import METHODS
from paper2board.tasks.centroids.scores import SCORES, Cells, counts, found_centroids, score_evidence, truths

if __name__ == "__main__":
    with running(snakemake) as log:
        params = snakemake.params
        scenes = load_examples(snakemake.input.data, params.limit).scenes
        files = iter(zip(snakemake.input.logits, snakemake.input.models, strict=True))
        metrics = {}
        for name, (_, scheme) in params.accuracies.items():
            paths = [next(files) for _ in params.seeds]
            tables = []
            for logits, weights in paths:
                cells = Cells.of(weights, scheme)
                found = found_centroids(read_logits(logits), cells)
                tables.append(counts(found, truths(scenes, cells), cells.size))
            method = (
                f"{METHODS[scheme]}; centres within a fifth of the image, paired one to one, {scenes.origin}"
            )
            chain = {"weights": digest(paths[0][1])}
            for score in SCORES:
                metrics[f"{score}.{name}"] = score_evidence(score, tables, params.seeds, method, chain)
            log(f"{name}: F1 {metrics[f'f1.{name}'].value:.2f} %")
        write_metrics(snakemake.output.metrics, metrics)
