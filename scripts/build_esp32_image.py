"""Build what an ESP32 starts from its flash, without ESP-IDF: the device application with one model.

Inputs: generated C, firmware sources, a detector's tables. Outputs: a folder with ``device.elf``, ``device.bin``
for flash address 0x1000 and ``flash.bin`` for address 0, and a metrics file. Weights lie in the chip's SRAM; a
network that does not fit it leaves ``refused.txt``, which says what is missing, and an empty metrics file.
"""

from pathlib import Path

from paper2board.core.errors import DoesNotFitError
from paper2board.core.evidence import write_metrics
from paper2board.core.files import write_text
from paper2board.core.scripting import running, snakemake
from paper2board.firmware.esp32 import build_flash_files

if __name__ == "__main__":
    with running(snakemake) as log:
        generated, folder = Path(snakemake.input.model).parent, Path(snakemake.output.folder)
        boxes, metrics = snakemake.input.boxes or None, {}
        try:
            metrics = build_flash_files(generated, folder, split=snakemake.params.split, boxes=boxes)
            log(f"{folder / 'device.bin'}: {metrics['esp32.image'].value:,} bytes")
        except DoesNotFitError as error:
            write_text(folder / "refused.txt", f"{error}\n")
            log(str(error))
        write_metrics(snakemake.output.metrics, metrics)
