"""The deck's .h to .bin compression, of weights and of one input image.

Inputs: manifest of the generated C, training images. Outputs: image.h, image.bin, metrics file. Method: bytes of C
source text over bytes of binary, slides "Input Compression" and "Weight Compression".
"""

from pathlib import Path

from paper2board.acquire.examples import load_examples
from paper2board.convert.compression import compress_input, weight_compression
from paper2board.convert.manifest import Manifest
from paper2board.core.evidence import Kind, counted, write_metrics
from paper2board.core.scripting import running, snakemake
from paper2board.networks.pixels import to_int8

if __name__ == "__main__":
    with running(snakemake):
        image = to_int8(load_examples(snakemake.input.data, 1).images[0])
        metrics = {}
        for name, sizes in (
            ("input", compress_input(image, Path(snakemake.output.folder))),
            ("weights", weight_compression(Manifest.read(Path(snakemake.input.manifest).parent))),
        ):
            metrics[f"compression.{name}.h"] = counted(sizes.h_bytes, "B", "C source text", Kind.MEASURED)
            metrics[f"compression.{name}.bin"] = counted(sizes.bin_bytes, "B", "binary", Kind.MEASURED)
            metrics[f"compression.{name}"] = counted(
                sizes.ratio, "1", "bytes of text / bytes of binary", Kind.MEASURED
            )
        write_metrics(snakemake.output.metrics, metrics)
