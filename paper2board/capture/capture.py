"""Capture: send images to a device, collect outputs and counts in a log."""

import contextlib
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import serial
from pydantic import ValidationError
from tqdm import tqdm

from paper2board.capture.client import Device
from paper2board.capture.line import emulated_line
from paper2board.capture.log import DeviceLog, Header, Record, footer, inputs_digest, read_log
from paper2board.errors import UserError
from paper2board.firmware.image import image_digest


def capture(
    image_elf: str | Path,
    inputs: np.ndarray,
    indices: Sequence[int] | np.ndarray,
    log_path: str | Path,
    *,
    boxes: bool = False,
    progress: bool = False,
    line: contextlib.AbstractContextManager[serial.SerialBase] | None = None,
) -> DeviceLog:
    """Run every input on the device that runs ``image_elf`` and write the log to ``log_path``.

    ``inputs``: int8, N × H × W × C; ``indices``: of those images in their data set. ``line``: the device's
    line (default: ``image_elf`` on the emulator). ``boxes``: also ask a detector's device what it found.
    ``progress`` shows a bar on a terminal.

    The log appears under its name when it is complete; until then ``<log_path>.partial`` holds the records so
    far, and a capture that was interrupted goes on from there. Raise :class:`UserError` if the device runs
    another image, refuses or stays silent.
    """
    if inputs.dtype != np.int8 or len(inputs) != len(indices) or len(inputs) == 0:
        raise ValueError(f"inputs must be int8, one per index, not {inputs.dtype} {inputs.shape}")
    digest = image_digest(image_elf)
    log_path = Path(log_path)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    partial = log_path.with_name(f"{log_path.name}.partial")
    # Appending, so that opening it for a look at the lock destroys nothing.
    with partial.open("a+b") as stream, line or emulated_line(image_elf) as device_line:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{partial} is being written by another capture; wait for it to end") from error
        if not partial.exists() or not os.path.samestat(os.fstat(stream.fileno()), partial.stat()):
            raise UserError(f"{partial} was completed by another capture just now; run again")
        device = Device(device_line)
        running = device.digest()
        if running != digest:
            raise UserError(
                f"the device runs image {running[:12]}…, not {image_elf} ({digest[:12]}…); flash it, then capture"
            )
        header = _header(device, running, inputs, indices)
        done = _resume(stream, header, indices)
        bar = tqdm(
            total=len(inputs), initial=done, unit="image", desc="capture", disable=None if progress else True
        )
        with bar:
            for index, image in zip(indices[done:], inputs[done:], strict=True):
                stream.write(_infer(device, int(index), image, header, boxes).line())
                stream.flush()
                bar.update()
        # The records are complete; the highest use of the stack is known only now.
        stream.seek(0)
        stream.write(footer(stream.read(), len(inputs), device.memory()).line())
        stream.flush()
        os.fsync(stream.fileno())
        os.replace(partial, log_path)
    return read_log(log_path, digest)


def _header(device: Device, digest: str, inputs: np.ndarray, indices: Sequence[int] | np.ndarray) -> Header:
    """Describe the capture; one inference tells the layers and proves that the device can run one."""
    profile = device.profile()
    device.load(inputs[0])
    device.infer()
    layers = device.layers()
    return Header(
        image=digest,
        application=profile.application,
        model=profile.model,
        model_sha256=profile.model_sha256,
        unit=layers.unit,  # type: ignore[arg-type]  # pydantic checks it
        layers=layers.names,
        inputs=inputs_digest(inputs, indices),
    )


def _infer(device: Device, index: int, image: np.ndarray, header: Header, boxes: bool) -> Record:
    device.load(image)
    outputs = device.infer()
    layers = device.layers()
    if (layers.unit, layers.names) != (header.unit, header.layers):
        raise UserError(f"the device's layers changed during the capture, at image {index}; capture again")
    return Record(
        index=index,
        outputs=tuple(int(value) for value in outputs),
        layers=layers.counts,
        boxes=device.boxes() if boxes else None,
    )


def _resume(stream: BinaryIO, header: Header, indices: Sequence[int] | np.ndarray) -> int:
    """Cut a partial log after its last good record (all of it, if it is of another capture); leave ``stream``
    at its end, with a header; return the number of records kept."""
    stream.seek(0)
    lines = stream.read().splitlines(keepends=True)
    good = lines[:1] if lines[:1] == [header.line()] else []
    if good:
        for index, text in zip(indices, lines[1:], strict=False):
            try:
                record = Record.model_validate_json(text)
            except ValidationError:
                break
            if record.line() != text or record.index != index:
                break
            good.append(text)
    stream.truncate(sum(map(len, good)))
    if not good:
        stream.write(header.line())
        good = [header.line()]
    return len(good) - 1
