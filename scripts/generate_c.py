"""Generate C from a .tflite file.

Inputs: .tflite; the IntegerModel only for the class names, which .tflite does not carry. Outputs: model.c, model.h,
weights.bin, weights.h, manifest.json. The road is the one that anybody's int8 .tflite takes. Method: the deck's
kernels run layer by layer, as the deck does; any other back end gets the cheapest plan within the board's memory.
"""

from pathlib import Path

from paper2board.boards.board import Memory
from paper2board.convert.c_code import write_engine
from paper2board.convert.engine import plan_engine
from paper2board.convert.planner import board_limits, choose
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.files import digest
from paper2board.core.scripting import running, snakemake
from paper2board.model.file import read
from paper2board.model.integer_model import renamed

if __name__ == "__main__":
    with running(snakemake) as log:
        integers = read(snakemake.input.integers)
        model = renamed(
            read_tflite(snakemake.input.model, integers.name),
            integers.name,
            **(integers.metadata | {"tflite_sha256": digest(snakemake.input.model)}),
        )
        backend = snakemake.wildcards.backend
        if snakemake.params.streaming:
            limits = board_limits(Memory.model_validate(snakemake.params.memory))
            engine = choose(model, backend, limits)
        else:
            engine = plan_engine(model, backend, streaming=False)
        manifest = write_engine(engine, Path(snakemake.output.model).parent)
        log(manifest.memory_map())
