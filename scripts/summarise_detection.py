"""Average precision, gains, each class's precision and recall, and the confusion matrix, from stored outputs.

Inputs: test scenes; outputs of every variant, scheme and seed; their weights or integer models; float outputs of
networks pruned by magnitude. Outputs: evidence book, confusion matrix and precision-recall curves (JSON). Method:
decoding and NMS in float, COCO's average precision; bootstrap over images for one seed, Student's t over several;
gains are paired over the same images.
"""

from paper2board.acquire.examples import load_examples
from paper2board.errors import UserError
from paper2board.evidence import write_book
from paper2board.files import digest, write_json
from paper2board.integer_model import read
from paper2board.report.detection import Detections
from paper2board.report.detection_book import (
    Judged,
    class_book,
    confusion,
    found_boxes,
    gain_evidence,
    precision_evidence,
    precision_recall,
    truths,
)
from paper2board.report.logits import read_logits
from paper2board.scripting import running
from paper2board.train.detection_settings import Grid

FLOAT = ("fp32", "deck-int8")
METHODS = {
    "fp32": "float32 network, batch norm folded",
    "deck-int8": "weights and biases through per-tensor int8 and back, float activations",
    "ptq": "int64 simulation of the integer model, post-training quantization per channel",
    "ptq-per-tensor": "int64 simulation of the integer model, post-training quantization per tensor",
    "qat": "int64 simulation of the integer model, quantization-aware training per channel",
    "imported": "int64 simulation of the integer model read from a .tflite file",
}

if __name__ == "__main__":
    with running(snakemake) as log:
        params = snakemake.params
        grid = Grid.model_validate(params.grid)
        scenes = load_examples(snakemake.input.data, params.limit).scenes
        if scenes is None:
            raise UserError(
                f"{snakemake.input.data[0]} has no boxes; a detector's study needs a data set of scenes"
            )
        truth = truths(scenes, grid)

        def judged(logits: str, model: str | None) -> Judged:
            """``model``: the integer model that answered, None for a float network."""
            integers = read(model) if model is not None else None
            output = integers.tensors[integers.output] if integers is not None else None
            found = found_boxes(grid, read_logits(logits), output, logits)
            if len(found) != len(truth):
                raise UserError(
                    f"{logits} is of {len(found)} images, the test has {len(truth)}; run it again"
                )
            return Judged.of(Detections(found, truth, grid.classes))

        files = iter(zip(snakemake.input.logits, snakemake.input.models, strict=True))
        runs, chains, book = {}, {}, {}
        for name, (_, scheme) in params.accuracies.items():
            paths = [next(files) for _ in params.seeds]
            runs[name] = [judged(logits, None if scheme in FLOAT else model) for logits, model in paths]
            chains[name] = {"weights": digest(paths[0][1])}
            for what in ("map50", "map"):
                method = f"{METHODS[scheme]}, {'mAP@0.5' if what == 'map50' else 'mAP@[.5:.95]'} on the test images"
                book[f"{what}.{name}"] = precision_evidence(
                    runs[name], what, params.seeds, method, chains[name]
                )
            log(f"{name}: mAP@0.5 {book[f'map50.{name}'].value:.2f} %")
        for name, (before, after) in params.comparisons.items():
            method = f"map50.{after} − map50.{before}"
            book[f"gain.{name}"] = gain_evidence(runs[before], runs[after], params.seeds, method)

        for (name, before), logits in zip(params.pruned.items(), snakemake.input.pruned, strict=True):
            after, seeds = [judged(logits, None)], params.seeds[:1]
            start = f"magnitude-pruning.{name}"
            method = "float32 network after magnitude pruning, no fine-tuning, mAP@0.5 on the test images"
            book[f"{start}.map50"] = precision_evidence(
                after, "map50", seeds, method, {"outputs": digest(logits)}
            )
            method = f"{start}.map50 − map50.{before}, first seed"
            book[f"{start}.gain"] = gain_evidence(runs[before][:1], after, seeds, method)

        # A released post-training model has two names; the last is that of the release.
        device = [name for name, its in params.accuracies.items() if ".".join(its) == params.confusion_of][-1]
        variant = params.accuracies[device][0]
        first = runs[device][0]
        book |= class_book(first, params.classes, params.seeds[0], f"detection.{variant}", chains[device])
        write_book(snakemake.output.book, book)
        names, matrix = confusion(first, params.classes)
        write_json(
            snakemake.output.confusion, {"variant": params.confusion_of, "classes": names, "matrix": matrix}
        )
        curves = precision_recall({name: its[0] for name, its in runs.items()}, device, params.classes)
        write_json(snakemake.output.curves, curves)
