"""What unstructured magnitude pruning does to the test score and to file size.

Inputs: test logits and weight files of the pruned networks, test set. Output: metrics file. Method: test accuracy,
or mAP@0.5 of a detector; share of zeros; bytes of the float32 file as stored and after DEFLATE (level 9).
"""

import zlib
from pathlib import Path

from paper2board.acquire.examples import load_examples
from paper2board.compress.magnitude_pruning import zero_share
from paper2board.core.evidence import Kind, counted, write_metrics
from paper2board.core.files import digest
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.logits import read_logits
from paper2board.networks.network import read_weights
from paper2board.tasks.classification.scores import accuracy_evidence, correct
from paper2board.tasks.detection.boxes import Detections
from paper2board.tasks.detection.grid import Grid
from paper2board.tasks.detection.metrics import Judged, found_boxes, precision_evidence, truths

if __name__ == "__main__":
    with running(snakemake):
        params = snakemake.params
        examples = load_examples(snakemake.input.data, params.limit)
        metrics = {}
        for name, logits, weights, task in zip(
            params.names, snakemake.input.logits, snakemake.input.weights, params.tasks, strict=True
        ):
            content = Path(weights).read_bytes()
            prefix = f"magnitude-pruning.{name}"
            method = "float32 network after magnitude pruning, no fine-tuning"
            chain = {"weights": digest(weights)}
            outputs, network = read_logits(logits), read_weights(weights)
            if task == "detection":
                grid = Grid.of(network.spec.input, network.spec.output)
                found = found_boxes(grid, outputs, None, logits)
                judged = Judged.of(Detections(found, truths(examples.scenes, grid), grid.classes))
                metrics[f"{prefix}.map50"] = precision_evidence(
                    [judged], "map50", [params.seed], method, chain
                )
            else:
                hits = correct(outputs[examples.shown], examples.labels[examples.shown])
                metrics[f"{prefix}.accuracy"] = accuracy_evidence([hits], [params.seed], method, chain)
            zeros = 100 * zero_share(network)
            metrics[f"{prefix}.zero-weights"] = counted(
                zeros, "%", "zeros among convolution weights", Kind.MEASURED
            )
            metrics[f"{prefix}.size"] = counted(len(content), "B", "safetensors file", Kind.MEASURED)
            packed = len(zlib.compress(content, 9))
            metrics[f"{prefix}.size-compressed"] = counted(
                packed, "B", "safetensors after DEFLATE", Kind.MEASURED
            )
        write_metrics(snakemake.output.metrics, metrics)
