"""Build the ESP-IDF project with one model, planned for both cores.

Inputs: .tflite; the IntegerModel for the class names; firmware sources; a detector's tables. Output: a folder with
the images, ``flash_args`` for esptool, the ELF file, the build's log and the generated C; for a network that does
not fit ``refused.txt``, which says what is missing.
"""

from pathlib import Path

from paper2board.boards.board import Memory
from paper2board.convert.c_code import write_engine
from paper2board.convert.engine import plan_engine
from paper2board.convert.planner import board_limits, choose
from paper2board.convert.tflite_import import read_tflite
from paper2board.convert.two_cores import schedule_for_two_cores
from paper2board.core.errors import DoesNotFitError
from paper2board.core.files import digest, write_text
from paper2board.core.scripting import running, snakemake
from paper2board.firmware.idf import IMAGE, build_idf
from paper2board.model.file import read
from paper2board.model.integer_model import renamed

if __name__ == "__main__":
    with running(snakemake) as log:
        folder, params = Path(snakemake.output.folder), snakemake.params
        integers = read(snakemake.input.integers)
        model = renamed(
            read_tflite(snakemake.input.model, integers.name),
            integers.name,
            **(integers.metadata | {"tflite_sha256": digest(snakemake.input.model)}),
        )
        try:
            if params.streaming:
                limits = board_limits(Memory.model_validate(params.memory))
                engine = choose(model, params.backend, limits)
                paired = schedule_for_two_cores(engine)
                # The second core has working memory of its own.
                if paired.plan.bytes + paired.plan.scratch_bytes <= limits.sram_bytes:
                    engine = paired
            else:
                engine = plan_engine(model, params.backend, streaming=False)
            write_engine(engine, folder / "model")
            build_idf(folder / "model", folder, boxes=snakemake.input.boxes or None)
            log(f"{folder / IMAGE}: image {digest(folder / IMAGE)}")
        except DoesNotFitError as error:
            write_text(folder / "refused.txt", f"{error}\n")
            log(str(error))
