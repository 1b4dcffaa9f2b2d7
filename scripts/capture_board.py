"""Flash a board, capture inferences from it, compare them with the integer model's.

Inputs: test images, the ESP32 image, the .tflite that it is of, the integer model's logits. Outputs: metrics file,
and the device log in params.log. Method: esptool writes the image unless the board has it; the core counts its
cycles, which code and data in SRAM take whatever the clock is. A log that is complete already needs no board. A
network without an ESP32 image leaves an empty metrics file. A board whose logits differ fails the run.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from paper2board.boards.board import Cpu
from paper2board.capture.capture import capture
from paper2board.capture.link import serial_link
from paper2board.capture.log import DeviceLog, finished_log
from paper2board.capture.metrics import device_metrics, differing
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.errors import UserError
from paper2board.core.evidence import Kind, write_metrics
from paper2board.core.files import digest
from paper2board.core.scripting import Log, running, snakemake
from paper2board.evaluate.logits import load_test, read_logits
from paper2board.firmware.flash import flash
from paper2board.firmware.image import image_digest
from paper2board.firmware.serial_ports import find_port
from paper2board.networks.pixels import to_int8


def captured(folder: Path, inputs: np.ndarray, params: Any, log: Log) -> DeviceLog:
    """Return the device log of all ``inputs``, from the board if need be."""
    elf, indices = folder / "device.elf", np.arange(len(inputs))
    if done := finished_log(params.log, image_digest(elf), inputs, indices):
        log(f"{params.log} is of this image and these inputs: nothing to capture")
        return done
    port = find_port() if params.port == "auto" else params.port
    board = flash(port, folder / "device.bin", progress=sys.stderr.isatty())
    log(f"{folder / 'device.bin'} {'written to' if board.written else 'is already on'} {board}, on {port}")
    # A board that was unplugged may come back under another name.
    link = partial(serial_link, find_port if params.port == "auto" else port)
    with tqdm(total=len(inputs), desc="capture", unit="image", disable=None) as bar:
        return capture(elf, inputs, indices, params.log, advance=bar.update, link=link, board=str(board))


if __name__ == "__main__":
    with running(snakemake) as log:
        params, files = snakemake.params, snakemake.input
        folder = Path(files.image)
        metrics = {}
        if (folder / "refused.txt").exists():
            log(f"nothing to capture: {(folder / 'refused.txt').read_text().strip()}")
        else:
            model = read_tflite(files.model)
            inputs = to_int8(load_test(files.data, params.images, model.image_shape))
            device_log = captured(folder, inputs, params, log)
            chain = {
                "tflite": digest(files.model),
                "device": device_log.header.image,
                "log": digest(params.log),
            }
            # Cycles are counted: no cycles per instruction to assume.
            cpu = Cpu.model_validate(params.cpu)
            metrics = device_metrics(device_log, model, cpu, mac16=False, chain=chain, prefix="device.board")
            expected = read_logits(files.logits)[device_log.indices]
            metrics["device.board.differing"] = differing(device_log.outputs, expected, Kind.MEASURED, chain)
            log(f"{len(expected)} inferences, median {int(np.median(device_log.counts)):,} cycles")
        write_metrics(snakemake.output.metrics, metrics)
        if metrics and (wrong := metrics["device.board.differing"].value):
            # Out of the way of the next capture.
            aside = Path(f"{params.log}.wrong")
            Path(params.log).replace(aside)
            raise UserError(
                f"{wrong} logits of the board differ from the integer model's ({aside}); try another board"
            )
