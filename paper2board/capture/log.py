"""The device log: outputs and counts of a device, image by image.

JSON lines: one header (which image ran where), one record for each inference, one footer (the number of records,
and the sha256 of everything before it). Two captures of the same image on an emulator give the same bytes.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, ValidationError

from paper2board.core.errors import UserError
from paper2board.core.evidence import Kind, Sha256
from paper2board.core.strict import StrictModel

Box = tuple[int, int, int, int, int, int]
"""Class, score (Q15), x1, y1, x2, y2 (units of ``firmware/app/p2b_boxes.h``)."""


class _Line(StrictModel):
    def line(self) -> bytes:
        """Return this as one line of the log."""
        return self.model_dump_json(exclude_none=True).encode() + b"\n"


class Header(_Line):
    """Which image ran, on which device."""

    format: Literal["paper2board device log 1"] = "paper2board device log 1"
    image: Sha256
    """The digest that the device reported about itself."""
    application: str
    model: str
    model_sha256: Sha256
    board: str | None = None
    """Chip and MAC address; None for an emulator."""
    unit: Literal["instructions", "cycles"]
    layers: tuple[str, ...]
    inputs: Sha256
    """Digest of the network inputs that were sent, and of their indices."""


class Record(_Line):
    """One inference. ``index``: index of the image in its data set; ``outputs``: int8; ``layers``: counts by layer,
    in the header's unit; ``boxes``: the boxes that the device decoded from a detector's outputs, None for other
    networks."""

    index: int
    outputs: tuple[Annotated[int, Field(ge=-128, le=127)], ...]
    layers: tuple[int, ...]
    boxes: tuple[Box, ...] | None = None


class Footer(_Line):
    """The end of a complete log."""

    records: int
    memory: dict[str, int] = Field(min_length=1)
    """Bytes of text, rodata, data, bss, arena (part of bss) and the stack's highest use."""
    sha256: Sha256
    """Of every byte before this line, and of the memory figures as JSON."""


@dataclass(frozen=True)
class DeviceLog:
    """A complete log."""

    header: Header
    records: tuple[Record, ...]
    footer: Footer

    @property
    def kind(self) -> Kind:
        """How its counts and outputs were come by: an emulator counts instructions, a board cycles."""
        return Kind.EMULATED if self.header.unit == "instructions" else Kind.MEASURED

    @property
    def indices(self) -> np.ndarray:
        """Indices of the images, int64 (N,)."""
        return np.array([record.index for record in self.records])

    @property
    def outputs(self) -> np.ndarray:
        """Network outputs, int8 (N, outputs)."""
        return np.array([record.outputs for record in self.records], np.int8)

    @property
    def layer_counts(self) -> np.ndarray:
        """Counts in the header's unit, int64 (N, layers)."""
        return np.array([record.layers for record in self.records])

    @property
    def counts(self) -> np.ndarray:
        """Counts of whole inferences: the sums over their layers, int64 (N,)."""
        return self.layer_counts.sum(axis=1)


def footer(lines: bytes, records: int, memory: dict[str, int]) -> Footer:
    """Return the footer that completes ``lines`` (header and records)."""
    sha256 = hashlib.sha256(lines + json.dumps(memory).encode()).hexdigest()
    return Footer(records=records, memory=memory, sha256=sha256)


def inputs_digest(inputs: np.ndarray, indices: Sequence[int] | np.ndarray) -> str:
    """Return the digest of the network inputs of a capture (int8, N × H × W × C) and of their indices."""
    digest = hashlib.sha256(repr(inputs.shape).encode())
    digest.update(np.asarray(indices, "<i8").tobytes() + np.ascontiguousarray(inputs).tobytes())
    return digest.hexdigest()


def check_origin(log: DeviceLog, path: str | Path, inputs: np.ndarray, tflite_sha256: str) -> None:
    """Raise :class:`UserError` unless ``log``, read from ``path``, fits inputs and network.

    It must be a capture of the first images of ``inputs``, by the network whose ``.tflite`` has this digest.
    """
    if log.header.model_sha256 != tflite_sha256:
        raise UserError(
            f"{path} was captured from another network than the .tflite; delete it and capture again"
        )
    if log.header.inputs != inputs_digest(inputs[: len(log.records)], np.arange(len(log.records))):
        raise UserError(
            f"{path} was captured from other images than the first of the test set; delete it and capture again"
        )


def finished_log(
    path: str | Path, image_digest: str, inputs: np.ndarray, indices: Sequence[int] | np.ndarray
) -> DeviceLog | None:
    """Return the log at ``path`` if it is complete and captured from this image and these inputs, else None."""
    try:
        log = read_log(path, image_digest)
    except UserError:
        return None
    return log if log.header.inputs == inputs_digest(inputs, indices) else None


def read_log(path: str | Path, image_digest: str) -> DeviceLog:
    """Read the log at ``path``.

    Raise :class:`UserError` if it is incomplete or altered, or if its image has another digest than
    ``image_digest``.
    """
    try:
        content = Path(path).read_bytes()
        first, *middle, last = content.splitlines(keepends=True)
        end = Footer.model_validate_json(last)
        header = Header.model_validate_json(first)
        records = tuple(Record.model_validate_json(line) for line in middle)
        if not records or footer(first + b"".join(middle), len(records), end.memory).line() != last:
            raise ValueError("its content does not match its digest")
        for record in records:
            if len(record.layers) != len(header.layers) or len(record.outputs) != len(records[0].outputs):
                raise ValueError(
                    f"the record of image {record.index} has another shape than the header states"
                )
    except (OSError, ValueError) as error:
        reason = "a line is missing or damaged" if isinstance(error, ValidationError) else str(error)
        raise UserError(
            f"{path} is not a complete device log ({reason}); delete it and capture again"
        ) from error
    if header.image != image_digest:
        raise UserError(
            f"{path} was captured from image {header.image[:12]}…, not from {image_digest[:12]}… just built;"
            " delete it and capture again"
        )
    return DeviceLog(header, records, end)
