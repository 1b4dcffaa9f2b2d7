"""The deck's .h to .bin compression, of weights and of one input image.

Inputs: manifest of the generated C, test images. Outputs: image.h and image.bin, evidence book. Method: bytes of C
source text over bytes of binary, slides "Input Compression" and "Weight Compression".
"""

from pathlib import Path

from paper2board.convert.c_code import Manifest, compress_input, weight_compression
from paper2board.evidence import counted, write_book
from paper2board.report.logits import load_test
from paper2board.scripting import running
from paper2board.train.data import to_int8

if __name__ == "__main__":
    with running(snakemake):
        image = to_int8(load_test(Path(snakemake.input.data[0]).parent, 1)[0])[0]
        book = {}
        for name, sizes in (
            ("input", compress_input(image, Path(snakemake.output.folder))),
            ("weights", weight_compression(Manifest.read(Path(snakemake.input.manifest).parent))),
        ):
            book[f"compression.{name}.h"] = counted(sizes.h_bytes, "B", "C source text")
            book[f"compression.{name}.bin"] = counted(sizes.bin_bytes, "B", "binary")
            book[f"compression.{name}"] = counted(sizes.ratio, "1", "bytes of text over bytes of binary")
        write_book(snakemake.output.book, book)
