"""Generate C from a .tflite file.

Inputs: .tflite; the IntegerModel only for the class names, which .tflite does not carry. Outputs: model.c, model.h,
weights.bin, weights.h, manifest.json. The road is the one that anybody's int8 .tflite takes.
"""

from pathlib import Path

from paper2board.convert.c_code import generate
from paper2board.convert.tflite_import import read_tflite
from paper2board.files import digest
from paper2board.integer_model import read, renamed
from paper2board.scripting import running

if __name__ == "__main__":
    with running(snakemake) as log:
        integers = read(snakemake.input.integers)
        model = renamed(
            read_tflite(snakemake.input.model, integers.name),
            integers.name,
            classes=integers.metadata["classes"],
            tflite_sha256=digest(snakemake.input.model),
        )
        manifest = generate(model, Path(snakemake.output.files[0]).parent)
        log(f"{len(manifest.layers)} layers, arena {manifest.arena_bytes} bytes")
