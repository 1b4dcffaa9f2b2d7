"""A board over its serial line: flashed if need be, captured, and compared with the integer model."""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from paper2board.boards.board import Cpu
from paper2board.capture.capture import capture
from paper2board.capture.link import serial_link
from paper2board.capture.log import DeviceLog, finished_log
from paper2board.capture.metrics import device_metrics, differing
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind
from paper2board.core.scripting import Log
from paper2board.firmware import flash
from paper2board.firmware.image import image_digest
from paper2board.firmware.serial_ports import find_port
from paper2board.model.integer_model import IntegerModel

DIFFERING = "device.board.differing"


def capture_board(folder: Path, inputs: np.ndarray, port: str, path: Path, log: Log) -> DeviceLog:
    """Return the device log of all ``inputs`` (int8, N × H × W × C), captured to ``path`` unless it lies there.

    ``folder``: of the ESP32 image, ``device.elf`` and ``device.bin``. ``port``: a serial port, or ``auto``.
    """
    elf, indices = folder / "device.elf", np.arange(len(inputs))
    if done := finished_log(path, image_digest(elf), inputs, indices):
        log(f"{path} is of this image and these inputs: nothing to capture")
        return done
    found = find_port() if port == "auto" else port
    board = flash.flash(found, folder / "device.bin", progress=sys.stderr.isatty())
    log(f"{folder / 'device.bin'} {'written to' if board.written else 'is already on'} {board}, on {found}")
    # A board that was unplugged may come back under another name.
    link = partial(serial_link, find_port if port == "auto" else found)
    with tqdm(total=len(inputs), desc="capture", unit="image", disable=None) as bar:
        return capture(elf, inputs, indices, path, advance=bar.update, link=link, board=str(board))


def board_metrics(
    log: DeviceLog, model: IntegerModel, cpu: Cpu, expected: np.ndarray, chain: Mapping[str, str]
) -> dict[str, Evidence]:
    """Return ``device.board.*``; ``expected``: the integer model's outputs for the test images, N × outputs."""
    # A board counts cycles, so whether its kernels use MAC16 does not matter.
    metrics = device_metrics(log, model, cpu, mac16=False, chain=chain, prefix="device.board")
    metrics[DIFFERING] = differing(log.outputs, expected[log.indices], Kind.MEASURED, chain)
    return metrics


def refuse_wrong_outputs(metrics: Mapping[str, Evidence], path: Path) -> None:
    """If outputs differ, move the log at ``path`` out of the next capture's way and raise :class:`UserError`."""
    if wrong := metrics[DIFFERING].value:
        aside = path.with_name(f"{path.name}.wrong")
        path.replace(aside)
        raise UserError(
            f"{wrong} logits of the board differ from the integer model's ({aside}); try another board"
        )
