"""Flash a board and capture inferences from it.

Inputs: test images, the ESP32 image, the .tflite that it is of. Outputs: evidence book, and the device log in
params.log. Method: esptool writes the image unless the board has it; the core counts its cycles, which code and
data in SRAM take whatever the clock is; latency is cycles ÷ the board's clock. A network without an ESP32 image
leaves an empty book.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from paper2board.acquire.pixels import to_int8
from paper2board.capture.book import device_book
from paper2board.capture.capture import capture
from paper2board.capture.line import serial_line
from paper2board.convert.tflite_import import read_tflite
from paper2board.energy.board import Cpu
from paper2board.evidence import write_book
from paper2board.files import digest
from paper2board.firmware.flash import flash
from paper2board.firmware.ports import find_port
from paper2board.report.logits import load_test
from paper2board.scripting import running

if __name__ == "__main__":
    with running(snakemake) as log:
        params, folder = snakemake.params, Path(snakemake.input.image)
        book = {}
        if (folder / "refused.txt").exists():
            log(f"nothing to capture: {(folder / 'refused.txt').read_text().strip()}")
        else:
            port = find_port() if params.port == "auto" else params.port
            written = flash(port, folder / "device.bin", progress=sys.stderr.isatty())
            log(f"{folder / 'device.bin'} {'written to' if written else 'is already on'} the board on {port}")
            model = read_tflite(snakemake.input.model)
            images = load_test(snakemake.input.data, params.images, model.image_shape)
            # A board that was unplugged may come back under another name.
            line = partial(serial_line, find_port if params.port == "auto" else port)
            with tqdm(total=len(images), desc="capture", unit="image", disable=None) as bar:
                device_log = capture(
                    folder / "device.elf",
                    to_int8(images),
                    np.arange(len(images)),
                    params.log,
                    advance=bar.update,
                    line=line,
                )
            clock_hz = Cpu.model_validate(params.cpu).clock_MHz.value * 1e6
            chain = {
                "tflite": digest(snakemake.input.model),
                "device": device_log.header.image,
                "log": digest(params.log),
            }
            # Cycles are measured: no cycles per instruction to assume.
            book = device_book(device_log, model, 1.0, None, clock_hz, chain, "device.board")
            log(f"{len(images)} inferences, median {int(np.median(device_log.counts)):,} cycles")
        write_book(snakemake.output.book, book)
