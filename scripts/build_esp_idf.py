"""Build the ESP-IDF project with one model, planned for both cores.

Inputs: .tflite; the IntegerModel for the class names; firmware sources; a detector's tables. Output: a folder with
the images, ``flash_args`` for esptool, the ELF file, the build's log and the generated C. Without ESP-IDF, or for a
network that does not fit, ``skipped.txt`` there says why.
"""

from pathlib import Path

from paper2board.convert.c_code import engine, write_engine
from paper2board.convert.planner import board_limits, choose
from paper2board.convert.tflite_import import read_tflite
from paper2board.convert.two_cores import in_pairs
from paper2board.energy.board import Memory
from paper2board.errors import UserError
from paper2board.files import digest, write_text
from paper2board.firmware.idf import IMAGE, SKIPPED, build_idf, find_idf
from paper2board.integer_model import read, renamed
from paper2board.scripting import running

if __name__ == "__main__":
    with running(snakemake) as log:
        folder = Path(snakemake.output.folder)
        try:
            if find_idf() is None:
                raise UserError(SKIPPED)
            integers = read(snakemake.input.integers)
            model = renamed(
                read_tflite(snakemake.input.model, integers.name),
                integers.name,
                **(integers.metadata | {"tflite_sha256": digest(snakemake.input.model)}),
            )
            if snakemake.params.streaming:
                limits = board_limits(Memory.model_validate(snakemake.params.memory))
                ready = choose(model, snakemake.params.backend, limits)
                paired = in_pairs(ready)
                # The second core has working memory of its own.
                if paired.plan.bytes + paired.plan.scratch_bytes <= limits.sram_bytes:
                    ready = paired
            else:
                ready = engine(model, snakemake.params.backend, streaming=False)
            write_engine(ready, folder / "model")
            build_idf(folder / "model", folder, boxes=snakemake.input.boxes or None)
            log(f"{folder / IMAGE}: image {digest(folder / IMAGE)}")
        except UserError as error:
            write_text(folder / "skipped.txt", f"{error}\n")
            log(str(error))
