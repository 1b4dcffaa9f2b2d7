"""Running generated networks in batches: on this machine, and on QEMU with exact instruction counts.

``firmware/runner`` is a program for measuring kernels and for comparing them with the golden reference. Networks
and their inputs are compiled in; it prints outputs and counts.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from paper2board.convert.engine_sources import APPLICATION, FIRMWARE, WARNINGS, engine_flags, engine_sources
from paper2board.core.errors import UserError
from paper2board.firmware.emulator import EMULATOR, emulator_command
from paper2board.firmware.image import COMPILER, FLAGS, PORTS, XTENSA, Port

RUNNER = FIRMWARE / "runner"
TIMEOUT_S = 900.0
"""Limit of one image's run time."""
_ALIGNMENT = 16


class Target(StrEnum):
    """The processor that networks are compiled for: this machine's, or an emulated one.

    LX106 has the instructions that all Xtensa cores have. DE212 has the MAC16 option, zero-overhead loops, MIN/MAX
    and CLAMPS as well. The ESP32's LX6 lies between them.
    """

    HOST = "host"
    HOST_SANITIZED = "host-sanitized"
    """Any access outside an array and any undefined operation ends the program."""
    LX106 = "lx106"
    DE212 = "de212"

    @property
    def emulated(self) -> bool:
        """Whether QEMU runs it."""
        return self in (Target.LX106, Target.DE212)

    @property
    def has_mac16(self) -> bool:
        """Whether MAC16 kernels run on it."""
        return self is Target.DE212

    @property
    def prefix(self) -> str:
        """Prefix of the names of its tools."""
        return COMPILER.removesuffix("gcc") if self.emulated else ""

    @property
    def flags(self) -> tuple[str, ...]:
        """Flags of every compilation."""
        if self.emulated:
            return FLAGS
        sanitizers = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
        return ("-O2", *(sanitizers if self is Target.HOST_SANITIZED else ()))


@dataclass(frozen=True)
class Result:
    """The results of one network. ``outputs``: int8, n × output bytes.

    The counts are instructions of the inference on the first input: ``layers`` by name, ``input_instructions`` for
    copying the input's rows, ``instructions`` for the whole inference. ``code_bytes``: size of engine and kernels
    in the image; all networks in the image share them. On the host, which has no counter, counts and sizes are 0.
    """

    outputs: np.ndarray
    layers: dict[str, int]
    input_instructions: int
    instructions: int
    code_bytes: int


class RunError(RuntimeError):
    """A network did not run to its end; ``network`` is the folder of its generated C."""

    def __init__(self, network: Path, what: str) -> None:
        super().__init__(f"{network}: {what}")
        self.network = network
        self.what = what

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return RunError, (self.network, self.what)


class _TooLargeError(Exception):
    """An image does not fit the emulator's memory."""


def kernel_library(target: Target, folder: str | Path, *, checks: bool = False) -> Path:
    """Compile the engine and every kernel of ``target`` into the archive ``folder``/<target>/libp2b.a.

    ``checks``: a kernel whose precondition is broken ends the program with :class:`RunError`; this costs
    instructions. Raise :class:`UserError` without the compiler.
    """
    folder = Path(folder).resolve() / target
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / "libp2b.a"
    archive.unlink(missing_ok=True)
    objects = []
    for source in engine_sources(mac16=target.has_mac16):
        objects.append(folder / f"{source.parent.name}-{source.name}.o")
        _compile(target, [str(source), "-c", "-o", str(objects[-1])], checks=checks)
    _tool([f"{target.prefix}ar", "rcsD", str(archive), *map(str, objects)])
    return archive


def run(
    cases: Sequence[tuple[Path, np.ndarray]], target: Target, library: Path, folder: str | Path
) -> list[Result]:
    """Run networks on inputs and return a result for each, in order.

    ``cases``: folders of generated C with inputs, int8, n × H × W × C. ``library``: :func:`kernel_library` of the
    same target. ``folder``: for the files that are built; they are not needed afterwards. As many networks as fit
    share one image. Raise :class:`RunError` if a network does not compile, faults, hangs or is too large for the
    emulator's memory. Raise :class:`UserError` if a tool is missing.
    """
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for index, (network, _) in enumerate(cases):
        command = [str(Path(network).resolve() / "model.c"), "-c", "-o", str(folder / f"{index}.o")]
        try:
            _compile(target, [*command, f"-Dp2b_model=p2b_model_{index}"])
        except RuntimeError as error:
            raise RunError(network, str(error)) from error
    return _run(cases, range(len(cases)), target, library, folder)


def _run(
    cases: Sequence[tuple[Path, np.ndarray]], group: range, target: Target, library: Path, folder: Path
) -> list[Result]:
    """Run the cases of a group as one image; if it does not fit, as two halves."""
    if not group:
        return []
    try:
        image = _link(cases, group, target, library, folder)
    except _TooLargeError as error:
        if len(group) == 1:
            raise RunError(cases[group[0]][0], "does not fit the emulator's memory") from error
        middle = len(group) // 2
        halves = (group[:middle], group[middle:])
        return [result for half in halves for result in _run(cases, half, target, library, folder)]
    lines, failure = execute(image, target)
    if failure:
        begun = [int(line.removeprefix("network ")) for line in lines if line.startswith("network ")]
        raise RunError(cases[group[begun[-1]] if begun else group[0]][0], failure)
    return _parse(lines, _code_bytes(image, target))


def _link(
    cases: Sequence[tuple[Path, np.ndarray]], group: range, target: Target, library: Path, folder: Path
) -> Path:
    """Build the image of a group from its inputs, a table of its networks, the runner and the library."""
    content, offsets = bytearray(), []
    for index in group:
        offsets.append(len(content))
        data = np.ascontiguousarray(cases[index][1], np.int8).tobytes()
        content += data + bytes(-len(data) % _ALIGNMENT)
    (folder / "inputs.bin").write_bytes(content)
    table = [
        f"    {{&p2b_model_{index}, inputs + {offset}, {len(cases[index][1])}}},"
        for index, offset in zip(group, offsets, strict=True)
    ]
    source = folder / "networks.c"
    source.write_text(
        "\n".join(
            [
                '#include "runner.h"',
                '__asm__(".section .rodata\\n.balign 16\\n.global inputs\\n"',
                '        "inputs: .incbin \\"inputs.bin\\"\\n.previous");',
                "extern const int8_t inputs[];",
                *(f"extern const p2b_model_t p2b_model_{index};" for index in group),
                "const runner_network_t runner_networks[] = {",
                *table,
                "};",
                f"const int32_t runner_network_count = {len(group)};",
                "",
            ]
        )
    )
    objects = [folder / f"{index}.o" for index in group]
    return link([source, RUNNER / "runner.c", *objects], target, library, folder)


def link(files: Sequence[Path], target: Target, library: Path, folder: Path) -> Path:
    """Compile and link C files and objects into a program in ``folder``; return its path.

    The program begins at the files' ``app_start``. It prints lines, of which ``end`` is the last, and calls
    ``runner_exit`` (``firmware/runner/runner.h``).
    """
    image = folder / "image"
    port = [RUNNER / "host.c"]
    options: list[str] = []
    if target.emulated:
        port = [RUNNER / "xtensa.S", PORTS / Port.EMULATOR / "port.c", *sorted(XTENSA.glob("*.[Sc]"))]
        options = [f"-I{XTENSA}", f"-Wl,-T,{RUNNER / 'runner.ld'}", "-Wl,--build-id=none", "-lgcc"]
    command = [*map(str, [*files, *port, library]), *options]
    _compile(target, [*command, "-Wl,--gc-sections", "-o", str(image)], folder)
    return image


def _compile(
    target: Target, arguments: list[str], folder: Path | None = None, *, checks: bool = False
) -> None:
    """Run the target's compiler in ``folder`` with the common flags and include folders."""
    command = [f"{target.prefix}gcc", *target.flags, *engine_flags(checks=checks), *WARNINGS]
    _tool([*command, f"-I{RUNNER}", f"-I{APPLICATION}", *arguments], folder)


def _tool(command: list[str], folder: Path | None = None) -> str:
    """Run a tool in ``folder`` and return its output."""
    if shutil.which(command[0]) is None:
        packages = "gcc-xtensa-lx106 and binutils-xtensa-lx106" if "xtensa" in command[0] else "gcc"
        raise UserError(f"{command[0]} is not installed; install the system package {packages}")
    environment = os.environ | {"LC_ALL": "C"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    if re.search(r"region `\w+' overflowed|will not fit in region", result.stderr):
        raise _TooLargeError
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr}")
    return result.stdout


def execute(image: Path, target: Target) -> tuple[list[str], str]:
    """Run a program that :func:`link` made.

    Return the lines before ``end`` (format: ``firmware/runner/runner.c``), and the reason if ``end`` is missing.
    """
    output = image.with_suffix(".txt")
    command = [str(image)]
    if target.emulated:
        if shutil.which(EMULATOR) is None:
            raise UserError(f"{EMULATOR} is not installed; install the system package qemu-system-misc")
        command = emulator_command(image, str(target), f"file:{output}")
    with open(output, "wb") as stream:
        try:
            process = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.PIPE,
                timeout=TIMEOUT_S,
                check=False,
            )
            what = process.stderr.decode(errors="replace").strip() or f"exit status {process.returncode}"
        except subprocess.TimeoutExpired:
            what = f"still running after {TIMEOUT_S:g} s"
    lines = output.read_text().splitlines()
    if lines[-1:] == ["end"]:
        return lines[:-1], ""
    fault = [line for line in lines[-1:] if line.startswith("e-")]
    return lines, "; ".join([*fault, what])


def _code_bytes(image: Path, target: Target) -> int:
    """Return the size of engine and kernels. runner.ld puts them into a section of their own."""
    if not target.emulated:
        return 0
    listing = _tool([f"{target.prefix}size", "-A", "-d", str(image)])
    return next(int(line.split()[1]) for line in listing.splitlines() if line.startswith(".engine "))


def _parse(lines: list[str], code_bytes: int) -> list[Result]:
    """Return each network's result from the runner's lines. The counts of layers with the same name are added."""
    networks: list[list[list[str]]] = []
    for line in lines:
        if line.startswith("network "):
            networks.append([])
        else:
            networks[-1].append(line.split(" "))
    results = []
    for printed in networks:
        numbers = {word: int(count) for word, count, *_ in printed if word in ("total", "input")}
        layers: dict[str, int] = {}
        for word, count, *name in printed:
            if word == "layer":
                text = bytes.fromhex(name[0]).decode()
                layers[text] = layers.get(text, 0) + int(count)
        outputs = [
            np.frombuffer(bytes.fromhex(text), np.int8) for word, text, *_ in printed if word == "output"
        ]
        results.append(Result(np.stack(outputs), layers, numbers["input"], numbers["total"], code_bytes))
    return results
