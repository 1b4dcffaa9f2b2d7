"""Accuracies, losses, gains and the confusion matrix, with intervals, from stored logits.

Inputs: logits of every variant, scheme and seed; their weights; labels. Outputs: evidence book, confusion matrix
(JSON). Method: Wilson's interval for one seed, Student's t over several; gains are paired over the same images.
"""

from paper2board.acquire.examples import load_examples
from paper2board.evidence import write_book
from paper2board.files import digest, write_json
from paper2board.report.evaluate import (
    accuracy_evidence,
    confusion,
    correct,
    cross_entropies,
    gain_evidence,
    loss_evidence,
)
from paper2board.report.logits import read_logits
from paper2board.report.schemes import METHODS
from paper2board.scripting import running

if __name__ == "__main__":
    with running(snakemake) as log:
        params = snakemake.params
        examples = load_examples(snakemake.input.data, params.limit)
        classes = examples.names(params.classes)
        shown = examples.shown
        labels = examples.labels[shown]
        files = iter(zip(snakemake.input.logits, snakemake.input.models, strict=True))
        hits, book = {}, {}
        for name, (_, scheme) in params.accuracies.items():
            paths = [next(files) for _ in params.seeds]
            outputs = [read_logits(logits)[shown] for logits, _ in paths]
            hits[name] = [correct(logits, labels) for logits in outputs]
            chain = {"weights": digest(paths[0][1])}
            book[f"accuracy.{name}"] = accuracy_evidence(hits[name], params.seeds, METHODS[scheme], chain)
            if scheme == "fp32":
                losses = [cross_entropies(logits, labels) for logits in outputs]
                book[f"loss.{name}"] = loss_evidence(losses, params.seeds, METHODS[scheme], chain)
            log(f"{name}: {book[f'accuracy.{name}'].value:.2f} %")
        for name, (before, after) in params.comparisons.items():
            method = f"accuracy.{after} − accuracy.{before}"
            book[f"gain.{name}"] = gain_evidence(hits[before], hits[after], params.seeds, method)
        write_book(snakemake.output.book, book)
        matrix = confusion(read_logits(snakemake.input.confusion)[shown], labels, len(classes))
        write_json(
            snakemake.output.confusion,
            {"variant": params.confusion_of, "classes": classes, "matrix": matrix.tolist()},
        )
