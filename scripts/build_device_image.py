"""Cross-compile the device application with one model.

Inputs: generated C, firmware sources, a detector's tables. Output: ELF image for the Xtensa emulator. ``split``
chooses the deck's interior/boundary split of convolutions.
"""

from pathlib import Path

from paper2board.core.scripting import running, snakemake
from paper2board.firmware.image import build_device_image

if __name__ == "__main__":
    with running(snakemake):
        build_device_image(
            Path(snakemake.input.model).parent,
            Path(snakemake.output.image),
            split=snakemake.params.split,
            boxes=snakemake.input.boxes or None,
        )
