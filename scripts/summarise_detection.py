"""Average precision, gains, each class's precision and recall, and the confusion matrix, from stored outputs.

Inputs: test scenes; outputs of every variant, scheme and seed; their weights or integer models. Outputs: metrics
file, confusion matrix and precision-recall curves (JSON). Method: decoding and NMS in float, COCO's average
precision; bootstrap over the images for one seed, Student's t over several; gains are paired over the same images.
Precision, recall and confusions count answers from a score that each half of the images gets from the other half:
that with the best F1 there.
"""

from paper2board.acquire.examples import load_examples
from paper2board.core.errors import UserError
from paper2board.core.evidence import write_metrics
from paper2board.core.files import digest, write_json
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.logits import read_logits
from paper2board.evaluate.schemes import FLOAT, METHODS
from paper2board.model.file import read
from paper2board.model.tensor import Tensor
from paper2board.networks.network import read_weights
from paper2board.tasks.detection.boxes import Detections
from paper2board.tasks.detection.grid import Grid
from paper2board.tasks.detection.metrics import (
    Judged,
    class_metrics,
    confusion,
    found_boxes,
    gain_evidence,
    precision_evidence,
    precision_recall,
    truths,
)
from paper2board.train.ssd import is_ssd

if __name__ == "__main__":
    with running(snakemake) as log:
        params = snakemake.params
        scenes = load_examples(snakemake.input.data, params.limit).scenes
        if scenes is None:
            raise UserError(f"{snakemake.input.data[0]} has no boxes; a detector needs a data set of scenes")

        def layout(model: str, scheme: str) -> tuple[Grid, Tensor | None]:
            """Return a model's grid, and its output's quantization; an SSD answers on its student's grid."""
            if scheme not in FLOAT:
                integers = read(model)
                output = integers.tensors[integers.output]
                rows, columns, channels = output.shape
                return Grid.of(integers.image_shape, (channels, rows, columns)), output
            if is_ssd(model):
                return Grid.model_validate(params.grid), None
            spec = read_weights(model).spec
            return Grid.of(spec.input, spec.output), None

        classes = scenes.names

        def judged(logits: str, model: str, scheme: str) -> Judged:
            grid, output = layout(model, scheme)
            found = found_boxes(grid, read_logits(logits), output, logits)
            if len(found) != len(scenes):
                raise UserError(
                    f"{logits} is of {len(found)} images, the test has {len(scenes)}; run it again"
                )
            return Judged.of(Detections(found, truths(scenes, grid), grid.classes))

        files = iter(zip(snakemake.input.logits, snakemake.input.models, strict=True))
        runs, chains, metrics = {}, {}, {}
        for name, (_, scheme) in params.accuracies.items():
            paths = [next(files) for _ in params.seeds]
            runs[name] = [judged(logits, model, scheme) for logits, model in paths]
            chains[name] = {"weights": digest(paths[0][1])}
            for what in ("map50", "map"):
                method = f"{METHODS[scheme]}, {'mAP@0.5' if what == 'map50' else 'mAP@[.5:.95]'} on the test images"
                metrics[f"{what}.{name}"] = precision_evidence(
                    runs[name], what, params.seeds, method, chains[name]
                )
            log(f"{name}: mAP@0.5 {metrics[f'map50.{name}'].value:.2f} %")
        for name, (before, after) in params.comparisons.items():
            method = f"map50.{after} − map50.{before}"
            metrics[f"gain.{name}"] = gain_evidence(runs[before], runs[after], params.seeds, method)

        # A released post-training model has two names; the last is that of the release.
        device = [name for name, its in params.accuracies.items() if ".".join(its) == params.confusion_of][-1]
        variant = params.accuracies[device][0]
        first = runs[device][0]
        metrics |= class_metrics(
            first, params.classes, params.seeds[0], f"detection.{variant}", chains[device]
        )
        write_metrics(snakemake.output.metrics, metrics)
        names, matrix = confusion(first, classes)
        write_json(
            snakemake.output.confusion, {"variant": params.confusion_of, "classes": names, "matrix": matrix}
        )
        curves = precision_recall({name: its[0] for name, its in runs.items()}, device, classes)
        write_json(snakemake.output.curves, curves)
