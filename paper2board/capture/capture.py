"""Capture: send images to a device; write its outputs and counts to a log."""

import fcntl
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydantic import ValidationError

from paper2board.capture.client import Device, DeviceError
from paper2board.capture.link import LinkError, LinkFactory, emulated_link
from paper2board.capture.log import DeviceLog, Header, Record, footer, inputs_digest, read_log
from paper2board.core.errors import UserError
from paper2board.firmware.image import image_digest

_PAUSE_S = 0.2
"""Pause before a lost link is opened again."""


def capture(
    image_elf: str | Path,
    inputs: np.ndarray,
    indices: Sequence[int] | np.ndarray,
    log_path: str | Path,
    *,
    advance: Callable[[int], object] = lambda _: None,
    link: LinkFactory | None = None,
    board: str | None = None,
    patience_s: float = 60.0,
) -> DeviceLog:
    """Run every input on the device that runs ``image_elf`` and write the log to ``log_path``.

    ``inputs``: int8, N × H × W × C. ``indices``: the indices of those images in their data set. ``link`` opens the
    link to the device; the default runs ``image_elf`` on the emulator. ``board`` names the device in the log.
    ``advance`` is called with the number of new records, as the ``update`` of a progress bar.

    The log appears under its name when it is complete. Until then ``<log_path>.partial`` holds the records so far,
    and the next capture continues from it. If the link is lost, or the device is silent or restarts, the link is
    opened again: digest and header are checked, and capture continues after the last record. It gives up after
    ``patience_s`` without a record. Raise :class:`UserError` if the device runs another image or refuses a command,
    or if the link fails for good.
    """
    if inputs.dtype != np.int8 or len(inputs) != len(indices) or len(inputs) == 0:
        raise ValueError(f"inputs must be int8, one per index, not {inputs.dtype} {inputs.shape}")
    job = _Job(image_elf, image_digest(image_elf), inputs, indices, board)
    log_path = Path(log_path)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    partial_path = log_path.with_name(f"{log_path.name}.partial")
    # Mode "a": opening the file to test its lock must not empty it.
    with partial_path.open("a+b") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{partial_path} is being written by another capture; wait for it to end"
            ) from error
        if not partial_path.exists() or not os.path.samestat(os.fstat(stream.fileno()), partial_path.stat()):
            raise UserError(f"{partial_path} was completed by another capture just now; run again")
        memory = _collect(job, stream, link or partial(emulated_link, image_elf), advance, patience_s)
        # All records are there. Only now is the highest use of the stack known.
        stream.seek(0)
        stream.write(footer(stream.read(), len(inputs), memory).line())
        stream.flush()
        os.fsync(stream.fileno())
        os.replace(partial_path, log_path)
    return read_log(log_path, job.digest)


@dataclass(frozen=True)
class _Job:
    """The inputs to capture, and the image that the device must run."""

    image_elf: str | Path
    digest: str
    inputs: np.ndarray
    indices: Sequence[int] | np.ndarray
    board: str | None

    def header(self, device: Device) -> Header:
        """Return the log's header. It runs one inference, which gives the layers and shows that the device
        works."""
        running = device.digest()
        if running != self.digest:
            raise UserError(
                f"the device runs image {running[:12]}…, not {self.image_elf} ({self.digest[:12]}…); flash it, then"
                " capture"
            )
        profile = device.profile()
        layers = device.run(self.inputs[0]).layers
        try:
            return Header(
                image=running,
                application=profile.application,
                model=profile.model,
                model_sha256=profile.model_sha256,
                board=self.board,
                unit=layers.unit,  # type: ignore[arg-type]  # pydantic checks it
                layers=layers.names,
                inputs=inputs_digest(self.inputs, self.indices),
            )
        except ValidationError as error:
            raise DeviceError(
                f"the device describes itself wrongly ({profile}, counts of {layers.unit}); build the image again"
            ) from error

    def record(self, device: Device, number: int, header: Header) -> Record:
        """Run one inference, on input ``number``, and return its record."""
        found = device.run(self.inputs[number])
        index = int(self.indices[number])
        if (found.layers.unit, found.layers.names) != (header.unit, header.layers):
            raise UserError(
                f"the device's layers changed during the capture, at image {index}; capture again"
            )
        return Record(
            index=index,
            outputs=tuple(int(value) for value in found.outputs),
            layers=found.layers.counts,
            boxes=found.boxes,
        )


def _collect(
    job: _Job,
    stream: BinaryIO,
    link: LinkFactory,
    advance: Callable[[int], object],
    patience_s: float,
) -> dict[str, int]:
    """Complete the records in ``stream``, opening links as often as needed; return the device's use of memory."""
    total = len(job.inputs)
    header: Header | None = None
    done = 0
    lost_at: float | None = None
    while True:
        try:
            with link() as opened:
                device = Device(opened)
                found = job.header(device)
                if header is None:
                    header, done = found, _resume(stream, found, job.indices)
                    advance(done)
                elif found != header:
                    raise UserError(f"after {done} of {total} images another device replies; capture again")
                while done < total:
                    stream.write(job.record(device, done, header).line())
                    stream.flush()
                    done, lost_at = done + 1, None
                    advance(1)
                return device.memory()
        except LinkError as error:
            if header is None:
                raise
            lost_at = lost_at or time.monotonic()
            if time.monotonic() - lost_at > patience_s:
                raise UserError(
                    f"{error}; gave up after {patience_s:g} s with {done} of {total} images captured: run again to"
                    " continue from there"
                ) from error
            time.sleep(_PAUSE_S)


def _resume(stream: BinaryIO, header: Header, indices: Sequence[int] | np.ndarray) -> int:
    """Cut a partial log after its last valid record and return the number of records kept.

    A log of another capture is emptied. Afterwards ``stream`` holds a header and is at its end.
    """
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
