"""What unstructured magnitude pruning does to the test score and to file size.

Inputs: test logits and weight files of the pruned networks, test set. Output: evidence book. Method: test accuracy,
or mAP@0.5 of a detector; share of zeros; bytes of the float32 file as stored and after DEFLATE (level 9).
"""

import zlib
from pathlib import Path

from paper2board.acquire.examples import load_examples
from paper2board.compress.magnitude_pruning import zero_share
from paper2board.evidence import Kind, counted, write_book
from paper2board.files import digest
from paper2board.report.detection import Detections
from paper2board.report.detection_book import Judged, found_boxes, precision_evidence, truths
from paper2board.report.evaluate import accuracy_evidence, correct
from paper2board.report.logits import read_logits
from paper2board.scripting import running
from paper2board.train.detection_settings import Grid
from paper2board.train.network import read_weights

if __name__ == "__main__":
    with running(snakemake):
        params = snakemake.params
        examples = load_examples(snakemake.input.data, params.limit)
        book = {}
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
                book[f"{prefix}.map50"] = precision_evidence([judged], "map50", [params.seed], method, chain)
            else:
                hits = correct(outputs[examples.shown], examples.labels[examples.shown])
                book[f"{prefix}.accuracy"] = accuracy_evidence([hits], [params.seed], method, chain)
            zeros = 100 * zero_share(network)
            book[f"{prefix}.zero-weights"] = counted(
                zeros, "%", "zeros among convolution weights", Kind.MEASURED
            )
            book[f"{prefix}.size"] = counted(len(content), "B", "safetensors file", Kind.MEASURED)
            packed = len(zlib.compress(content, 9))
            book[f"{prefix}.size-compressed"] = counted(
                packed, "B", "safetensors after DEFLATE", Kind.MEASURED
            )
        write_book(snakemake.output.book, book)
