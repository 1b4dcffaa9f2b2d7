"""Calls of single kernels: described here, made by driver.c on a target, their outputs returned."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paper2board.firmware.runner import Target, execute, link

DRIVER = Path(__file__).parent / "driver.c"
_ALIGNMENT = 16


@dataclass(frozen=True)
class Call:
    """One call of ``kernel``, which computes ``rows`` rows of ``row_bytes`` bytes.

    ``struct``, ``fields``: C type of the layer's constants and their values; to an array, the field points.
    ``inputs``: what the kernel sees, int8; None is a row of padding.
    """

    kernel: str
    struct: str
    fields: Mapping[str, Any]
    inputs: Sequence[np.ndarray | None]
    row_bytes: int
    rows: int = 1
    scratch_bytes: int = 0


Make = Callable[[Sequence[Call], Target], list[np.ndarray]]
"""As :func:`make`, with libraries and folders of its own."""


class CallError(Exception):
    """A call did not return, or the kernel wrote outside its memory."""


def make(calls: Sequence[Call], target: Target, library: Path, folder: Path) -> list[np.ndarray]:
    """Make the calls in one program; return each one's output, int8 (rows, row_bytes).

    ``library``: of the same target, from :func:`paper2board.firmware.runner.kernel_library`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = _Data()
    text = _program(calls, data)
    (folder / "calls.c").write_text(text)
    (folder / "data.bin").write_bytes(data.content)
    image = link([folder / "calls.c", DRIVER], target, library, folder)
    lines, failure = execute(image, target)
    if failure:
        last = next(int(line.split()[1]) for line in reversed(lines) if line.startswith("call "))
        raise CallError(f"call {last} of {calls[last].kernel}: {failure}")
    outputs: list[list[np.ndarray]] = []
    for word, value in (line.split(" ") for line in lines):
        if word == "call":
            outputs.append([])
        else:
            outputs[-1].append(np.frombuffer(bytes.fromhex(value), np.int8))
    return [np.stack(rows) for rows in outputs]


class _Data:
    """The arrays of a program, one after the other, none of them twice."""

    def __init__(self) -> None:
        self.content = bytearray()
        self._offsets: dict[bytes, int] = {}

    def pointer(self, array: np.ndarray) -> str:
        """Return a pointer in C."""
        content = array.astype(array.dtype.newbyteorder("<")).tobytes()
        if content not in self._offsets:
            self._offsets[content] = len(self.content)
            self.content += content + bytes(-len(content) % _ALIGNMENT)
        return f"(const void *)(data + {self._offsets[content]})"


def _program(calls: Sequence[Call], data: _Data) -> str:
    lines = [
        "#include <stddef.h>",
        f'#include "{DRIVER.with_name("calls.h")}"',
        f'__asm__(".section .rodata\\n.balign {_ALIGNMENT}\\n.global data\\n"',
        '        "data: .incbin \\"data.bin\\"\\n.previous");',
        "extern const int8_t data[];",
    ]
    for index, call in enumerate(calls):
        inputs = (
            "{NULL, 0}" if row is None else f"{{{data.pointer(row)}, {row.size}}}" for row in call.inputs
        )
        lines += [
            f"static const {call.struct} op{index} = {_initializer(call.fields, data)};",
            f"static const input_t inputs{index}[] = {{{', '.join(inputs)}}};",
        ]
    lines.append("const call_t calls[] = {")
    for index, call in enumerate(calls):
        sizes = f"{len(call.inputs)}, {call.rows}, {call.row_bytes}, {call.scratch_bytes}"
        lines.append(f"    {{{call.kernel}, &op{index}, inputs{index}, {sizes}}},")
    return "\n".join([*lines, "};", f"const int32_t call_count = {len(calls)};", ""])


def _initializer(fields: Mapping[str, Any], data: _Data) -> str:
    def text(value: Any) -> str:
        if isinstance(value, Mapping):
            return _initializer(value, data)
        if isinstance(value, tuple):
            return "{" + ", ".join(map(text, value)) + "}"
        return data.pointer(value) if isinstance(value, np.ndarray) else str(int(value))

    return "{" + ", ".join(f".{name} = {text(value)}" for name, value in fields.items()) + "}"
