"""What unstructured magnitude pruning does to accuracy and to file size.

Inputs: test logits and weight files of the pruned networks, labels. Output: evidence book. Method: test accuracy;
share of zeros; bytes of the float32 file as stored and after DEFLATE (level 9).
"""

import zlib
from pathlib import Path

from paper2board.compress.magnitude_pruning import zero_share
from paper2board.evidence import Kind, counted, write_book
from paper2board.files import digest
from paper2board.report.evaluate import accuracy_evidence, correct
from paper2board.report.logits import load_test, read_logits
from paper2board.scripting import running
from paper2board.train.network import read_weights

if __name__ == "__main__":
    with running(snakemake):
        _, labels = load_test(Path(snakemake.input.data[0]).parent, snakemake.params.limit)
        book = {}
        for name, logits, weights in zip(
            snakemake.params.names, snakemake.input.logits, snakemake.input.weights, strict=True
        ):
            content = Path(weights).read_bytes()
            prefix = f"magnitude-pruning.{name}"
            book[f"{prefix}.accuracy"] = accuracy_evidence(
                [correct(read_logits(logits), labels)],
                [snakemake.params.seed],
                "float32 network after magnitude pruning, no fine-tuning",
                {"weights": digest(weights)},
            )
            zeros = 100 * zero_share(read_weights(weights))
            book[f"{prefix}.zero-weights"] = counted(
                zeros, "%", "zeros among convolution weights", Kind.MEASURED
            )
            book[f"{prefix}.size"] = counted(len(content), "B", "safetensors file", Kind.MEASURED)
            packed = len(zlib.compress(content, 9))
            book[f"{prefix}.size-compressed"] = counted(
                packed, "B", "safetensors after DEFLATE", Kind.MEASURED
            )
        write_book(snakemake.output.book, book)
