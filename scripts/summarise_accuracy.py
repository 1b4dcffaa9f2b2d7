"""Accuracies, losses, gains and the confusion matrix, with intervals, from stored logits.

Inputs: logits of every variant, scheme and seed; their weights; labels. Outputs: metrics file, confusion matrix
(JSON). Method: Wilson's interval for one seed, Student's t over several; gains are paired over the same images.
"""

from paper2board.acquire.examples import load_examples
from paper2board.core.evidence import write_metrics
from paper2board.core.files import digest, write_json
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.logits import read_logits
from paper2board.evaluate.schemes import METHODS
from paper2board.tasks.classification.scores import (
    accuracy_evidence,
    confusion,
    correct,
    cross_entropies,
    gain_evidence,
    loss_evidence,
)

if __name__ == "__main__":
    with running(snakemake) as log:
        params = snakemake.params
        examples = load_examples(snakemake.input.data, params.limit)
        classes = examples.names(params.classes)
        shown = examples.shown
        labels = examples.labels[shown]
        files = iter(zip(snakemake.input.logits, snakemake.input.models, strict=True))
        hits, metrics = {}, {}
        for name, (_, scheme) in params.accuracies.items():
            paths = [next(files) for _ in params.seeds]
            outputs = [read_logits(logits)[shown] for logits, _ in paths]
            hits[name] = [correct(logits, labels) for logits in outputs]
            chain = {"weights": digest(paths[0][1])}
            metrics[f"accuracy.{name}"] = accuracy_evidence(hits[name], params.seeds, METHODS[scheme], chain)
            if scheme == "fp32":
                losses = [cross_entropies(logits, labels) for logits in outputs]
                metrics[f"loss.{name}"] = loss_evidence(losses, params.seeds, METHODS[scheme], chain)
            log(f"{name}: {metrics[f'accuracy.{name}'].value:.2f} %")
        for name, (before, after) in params.comparisons.items():
            method = f"accuracy.{after} − accuracy.{before}"
            metrics[f"gain.{name}"] = gain_evidence(hits[before], hits[after], params.seeds, method)
        write_metrics(snakemake.output.metrics, metrics)
        matrix = confusion(read_logits(snakemake.input.confusion)[shown], labels, len(classes))
        write_json(
            snakemake.output.confusion,
            {"variant": params.confusion_of, "classes": classes, "matrix": matrix.tolist()},
        )
