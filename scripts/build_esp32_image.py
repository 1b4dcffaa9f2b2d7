"""Build what an ESP32 starts from its flash, without ESP-IDF: the device application with one model.

Inputs: generated C, firmware sources, a detector's tables. Outputs: a folder with ``device.elf``, ``device.bin``
for flash address 0x1000 and ``flash.bin`` for address 0, and a metrics file. Weights lie in the chip's SRAM; a
network that does not fit it leaves ``refused.txt``, which says what is missing, and an empty metrics file.
"""

from pathlib import Path

from paper2board.core.errors import DoesNotFitError
from paper2board.core.evidence import Kind, counted, write_metrics
from paper2board.core.files import digest, write_text
from paper2board.core.scripting import running, snakemake
from paper2board.firmware.esp32 import write_flash_image, write_whole_flash
from paper2board.firmware.image import Port, build_device_image, read_image

if __name__ == "__main__":
    with running(snakemake) as log:
        folder = Path(snakemake.output.folder)
        elf, image = folder / "device.elf", folder / "device.bin"
        metrics = {}
        try:
            build_device_image(
                Path(snakemake.input.model).parent,
                elf,
                port=Port.ESP32,
                split=snakemake.params.split,
                boxes=snakemake.input.boxes or None,
            )
        except DoesNotFitError as error:
            write_text(folder / "refused.txt", f"{error}\n")
            log(str(error))
        else:
            write_flash_image(elf, image)
            write_whole_flash(image, folder / "flash.bin")
            built = read_image(elf)
            chain = {"c": digest(snakemake.input.model), "image": built.digest, "file": digest(image)}
            size = image.stat().st_size
            # The initial values of variables lie there as well.
            taken = sum(built.memory.values()) + built.memory["data"] + built.stack_bytes
            text = "code, constants, variables, the initial values of these, stack, as linked"
            metrics = {
                "esp32.image": counted(size, "B", "the file for flash address 0x1000", Kind.MEASURED, chain),
                "esp32.sram": counted(taken, "B", text, chain=chain),
            }
            log(f"{image}: {size:,} bytes, image {built.digest}")
        write_metrics(snakemake.output.metrics, metrics)
