"""The engine's benchmark: network × back end × plan → instructions, memory, flash, modelled latency.

Every count comes from C code on the emulator, and its outputs are compared with TFLite Micro's. Portable C runs on
the ``lx106`` core and MAC16 code on ``de212``; both come from the same compiler with the same flags. Instructions
are exact counts; milliseconds are a model: instructions × cycles per instruction / clock of the board file.
"""

import csv
import io
import json
import subprocess
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from paper2board.bench import random_networks
from paper2board.bench.networks import NETWORKS, SHAPES, build, random_inputs
from paper2board.boards.backends import Backend
from paper2board.boards.board import Cpu, load_board
from paper2board.boards.families import FAMILIES
from paper2board.boards.latency import latency
from paper2board.convert.c_code import write_engine
from paper2board.convert.c_layers import c_layer, weighted_layer
from paper2board.convert.engine import Engine, assemble, plan_engine
from paper2board.convert.engine_sources import engine_flags
from paper2board.convert.kernels import cost
from paper2board.convert.kernels.catalogue import candidates
from paper2board.convert.kernels.layer import Packed
from paper2board.convert.layer_cost import layer_features
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.core.errors import UserError
from paper2board.core.evidence import Kind, counted
from paper2board.core.files import write_text
from paper2board.evaluate import tflite_micro as reference
from paper2board.firmware import runner
from paper2board.firmware.emulator import EMULATOR
from paper2board.firmware.image import COMPILER
from paper2board.firmware.runner import Target

BOARD = Path(__file__).resolve().parents[2] / "config" / "boards" / "esp32-wroom.yaml"
INPUTS = 3
"""Number of inputs in each run. Instructions are those of the first; the outputs of all are compared."""


@dataclass(frozen=True)
class LayerCount:
    """Instructions of one layer and the layers fused into it, summed over all its calls."""

    name: str
    kernel: str
    macs: int
    instructions: int


@dataclass(frozen=True)
class Row:
    """One network with one back end and one plan. Sizes are bytes.

    ``instructions``: of the whole inference. ``input_instructions``: the part that copies the input's rows.
    ``arena_bytes``: activations and scratch as they are laid out. ``latency_ms``: value, low, high.
    ``paper_ratio``: instructions of the ``paper`` back end layer by layer, divided by these. ``differing``: number
    of output values that differ from TFLite Micro's, over :data:`INPUTS` inputs.
    """

    network: str
    backend: Backend
    streaming: bool
    macs: int
    instructions: int
    input_instructions: int
    layers: tuple[LayerCount, ...]
    activation_bytes: int
    scratch_bytes: int
    arena_bytes: int
    weight_bytes: int
    code_bytes: int
    latency_ms: tuple[float, float, float]
    paper_ratio: float
    differing: int

    @property
    def plan(self) -> str:
        """The plan's name."""
        return "streaming" if self.streaming else "layer by layer"


_Sample = tuple[str, cost.Features, int]
_RANDOM_NETWORKS, _AT_ONCE = 300, 50
"""Random networks that costs are fitted to as well, and how many share a run."""


def report(
    names: Sequence[str], *, layers: bool, as_json: bool, output: Path | None, fit_costs: bool
) -> None:
    """Measure the networks ``names`` and print the tables, or JSON. A terminal shows a progress bar.

    ``layers``: also print each row's breakdown. ``output``: also write the rows as CSV to this file. ``fit_costs``:
    also fit the kernels' cost table again and write it to the file that the generator reads.

    Raises UserError for an unknown network, for a fit to fewer than all networks, without compiler or emulator.
    """
    if fit_costs and set(names) != set(NETWORKS):
        raise UserError("the cost table is fitted to all networks: leave out --networks")
    rows: list[Row] = []
    samples: list[_Sample] = []

    def progress(runs: Sequence[Any]) -> Iterable[Any]:
        return tqdm(runs, unit="run", leave=False, disable=None)

    for row, found in measure(names, progress):
        rows.append(row)
        samples += found
    if output:
        write_text(output, csv_text(rows))
    if as_json:
        print(json.dumps(json_content(rows), indent=1, ensure_ascii=False))
    else:
        print(header(), table(rows), *([layer_table(rows)] if layers else []), sep="\n\n")
        print("", acceptance_table(rows), sep="\n")
    if fit_costs:
        costs = fitted([*samples, *every_kernel(tuple(SHAPES), progress)], random_layers(progress))
        cost.write_table(costs)
        if not as_json:
            print("", cost_table(costs), sep="\n")


def measure(
    names: Sequence[str], progress: Callable[[Sequence[Any]], Iterable[Any]] = iter
) -> Iterator[tuple[Row, list[_Sample]]]:
    """Yield the row of each combination, and kernel, features and instructions of its layers with weights.

    ``progress`` wraps the iteration over the runs (``tqdm`` fits). Raises UserError for an unknown network, or
    without compiler or emulator. Raises RunError if a run fails.
    """
    cpu = load_board(BOARD).cpu
    models = {name: build(name) for name in names}
    # Each network's first run is the paper back end, layer by layer: the others are compared with it.
    runs = [
        (name, backend, streaming) for name in names for backend in Backend for streaming in (False, True)
    ]
    golden: dict[str, np.ndarray] = {}
    paper: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="paper2board-bench-") as name_of_folder:
        folder = Path(name_of_folder)
        libraries = {target: runner.kernel_library(target, folder) for target in set(map(_target, Backend))}
        for name, backend, streaming in progress(runs):
            model, target = models[name], _target(backend)
            inputs = random_inputs(model.tensors[model.input].shape, INPUTS, seed=1)
            if name not in golden:
                golden[name] = reference.run(write_flatbuffer(model), inputs).reshape(INPUTS, -1)
            engine = plan_engine(model, backend, streaming=streaming)
            manifest = write_engine(engine, folder / "model")
            # One image for each network, so that its code size is that of this network.
            [result] = runner.run([(folder / "model", inputs)], target, libraries[target], folder / "run")
            if backend is Backend.PAPER and not streaming:
                paper[name] = result.instructions
            counts = tuple(
                LayerCount(layer.name, layer.kernel, layer.macs, result.layers[layer.name])
                for layer in manifest.layers
            )
            row = Row(
                network=name,
                backend=backend,
                streaming=streaming,
                macs=sum(layer.macs for layer in counts),
                instructions=result.instructions,
                input_instructions=result.input_instructions,
                layers=counts,
                activation_bytes=manifest.activation_bytes,
                scratch_bytes=manifest.scratch_bytes,
                arena_bytes=manifest.arena_bytes,
                weight_bytes=manifest.weight_flash_bytes,
                code_bytes=result.code_bytes,
                latency_ms=latency_ms(result.instructions, backend, cpu),
                paper_ratio=paper[name] / result.instructions,
                differing=int(np.count_nonzero(result.outputs != golden[name])),
            )
            yield row, _samples(engine, result.layers)


def every_kernel(
    names: Sequence[str], progress: Callable[[Sequence[Any]], Iterable[Any]] = iter
) -> Iterator[_Sample]:
    """Yield kernel, features and instructions of each layer with weights, for every kernel that does it."""
    runs = [(name, backend) for name in names for backend in (Backend.PAPER, *_PORTABLE, *_MAC16)]
    with tempfile.TemporaryDirectory(prefix="paper2board-bench-") as name_of_folder:
        folder = Path(name_of_folder)
        libraries = {target: runner.kernel_library(target, folder) for target in set(map(_target, Backend))}
        for name, backend in progress(runs):
            model, target = build(name), _target(backend)
            inputs = random_inputs(model.tensors[model.input].shape, 1, seed=1)
            engine = plan_engine(model, backend)
            layers = [weighted_layer(engine.model, step) for step in engine.steps]
            kernels: list[list[Packed | None]] = [
                [*candidates(backend, layer)] if layer else [None] for layer in layers
            ]
            for number in range(max(map(len, kernels))):
                packed = tuple(found[min(number, len(found) - 1)] for found in kernels)
                engine = assemble(engine.model, backend, engine.steps, packed, streaming=True)
                write_engine(engine, folder / "model")
                [result] = runner.run([(folder / "model", inputs)], target, libraries[target], folder / "run")
                yield from _samples(engine, result.layers)


def random_layers(progress: Callable[[Sequence[Any]], Iterable[Any]] = iter) -> Iterator[_Sample]:
    """Yield kernel, features and instructions of the layers of random networks, by all back ends."""
    runs = [(backend, start) for backend in Backend for start in range(0, _RANDOM_NETWORKS, _AT_ONCE)]
    with tempfile.TemporaryDirectory(prefix="paper2board-bench-") as name_of_folder:
        folder = Path(name_of_folder)
        libraries = {target: runner.kernel_library(target, folder) for target in set(map(_target, Backend))}
        for backend, start in progress(runs):
            models = [random_networks.random_network(seed) for seed in range(start, start + _AT_ONCE)]
            engines = [plan_engine(model, backend) for model in models]
            cases = []
            for number, engine in enumerate(engines):
                write_engine(engine, folder / f"model{number}")
                inputs = random_networks.random_inputs(engine.model, 1, seed=1)
                cases.append((folder / f"model{number}", inputs))
            target = _target(backend)
            results = runner.run(cases, target, libraries[target], folder / "run")
            for engine, result in zip(engines, results, strict=True):
                yield from _samples(engine, result.layers)


def fitted(samples: Iterable[_Sample], small: Iterable[_Sample] = ()) -> list[cost.Cost]:
    """Return the cost of each kernel in ``samples``, or in ``small``, those of small layers."""
    by_kernel: dict[str, tuple[list[tuple[cost.Features, int]], list[tuple[cost.Features, int]]]] = {}
    for number, part in enumerate((samples, small)):
        for function, features, count in part:
            by_kernel.setdefault(function, ([], []))[number].append((features, count))
    return [cost.fit(function, *found) for function, found in by_kernel.items()]


def _target(backend: Backend) -> Target:
    return Target(FAMILIES["esp32"].core(needs_mac16=backend.needs_mac16))


def _samples(engine: Engine, counts: dict[str, int]) -> list[_Sample]:
    """Return kernel, features and instructions of all layers."""
    found = []
    for step, packed in engine.layers:
        kernel = c_layer(engine.model, step, packed).kernel
        found.append((kernel, layer_features(engine, step, packed, kernel), counts[step.name]))
    return found


def latency_ms(instructions: int, backend: Backend, cpu: Cpu) -> tuple[float, float, float]:
    """Return the modelled latency and its interval: cycles per instruction over the clock."""
    count = counted(instructions, "instructions", "counted on the emulator", Kind.EMULATED)
    item = latency(count, cpu, mac16=backend.needs_mac16)
    return (item.value, *(item.interval or (item.value, item.value)))


# --- acceptance -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """One criterion, measured with ``backend`` and the streaming plan; ``must`` and ``aim`` are in ``unit``."""

    criterion: str
    backend: str
    must: float
    aim: float
    measured: float
    unit: str

    @property
    def verdict(self) -> str:
        """``aim`` or ``must``, the stricter bound that is kept; ``missed`` if neither is."""
        return "aim" if self.measured <= self.aim else "must" if self.measured <= self.must else "missed"


_Measure = tuple[Callable[[Row], float], str]
_INSTRUCTIONS: _Measure = (lambda row: row.instructions / 1e6, "M instr")
_ARENA: _Measure = (lambda row: row.arena_bytes / 1024, "KiB")
_ACTIVATIONS: _Measure = (lambda row: row.activation_bytes / 1024, "KiB")
_MAC16 = (Backend.MAC16, Backend.WINOGRAD_MAC16)
_PORTABLE = (Backend.PORTABLE, Backend.WINOGRAD_PORTABLE)
_CRITERIA: tuple[tuple[str, str, tuple[Backend, ...], _Measure, float, float], ...] = (
    ("deployed", "whole inference", _MAC16, _INSTRUCTIONS, 5.6, 3.0),
    ("deployed", "whole inference", _PORTABLE, _INSTRUCTIONS, 14.5, 12.0),
    ("resnet8", "whole inference", _MAC16, _INSTRUCTIONS, 17.5, 10.0),
    ("mobilenet-v1-0.25", "whole inference", (Backend.MAC16,), _INSTRUCTIONS, 17.0, 11.0),
    ("deployed", "activations + scratch", _MAC16, _ARENA, 16, 8),
    ("detector", "activations, no frame", (Backend.MAC16,), _ACTIVATIONS, 24, 16),
    ("resnet8", "activations", _MAC16, _ACTIVATIONS, 32, 20),
    ("fomo", "activations", _MAC16, _ACTIVATIONS, 64, 48),
)


def acceptance(rows: Iterable[Row]) -> list[Verdict]:
    """Return the verdicts on the networks in ``rows``. Winograd has its own, because it trades memory for speed."""
    rows = list(rows)
    streaming = {(row.network, row.backend): row for row in rows if row.streaming}
    verdicts = [
        Verdict(f"{network}: {what}", backend, must, aim, value(streaming[network, backend]), unit)
        for network, what, backends, (value, unit), must, aim in _CRITERIA
        for backend in backends
        if (network, backend) in streaming
    ]
    differing = sum(row.differing for row in rows)
    return [*verdicts, Verdict("outputs differing from TFLite Micro", "all", 0, 0, differing, "values")]


# --- text -------------------------------------------------------------------------------------------


def header() -> str:
    """Return the conditions of the counts: compiler, flags, emulator."""
    flags = " ".join(flag for flag in (*Target.LX106.flags, *engine_flags()) if not flag.startswith("-I"))
    return "\n".join(
        [
            f"compiler   {_first_line(COMPILER)}",
            *textwrap.wrap(f"flags      {flags}", 110, subsequent_indent=" " * 11, break_on_hyphens=False),
            f"emulator   {_first_line(EMULATOR)}, machine sim, exact instruction counts (-icount);",
            "           core lx106 for portable C, de212 for MAC16 (no MULSH, which the ESP32 has)",
            f"latency    modelled: instructions × cycles per instruction / clock of {BOARD.name}, with interval",
            f"differing  output values other than TFLite Micro's, of {INPUTS} inputs",
            "× fewer    instructions than with the paper's plain loops, layer by layer",
        ]
    )


def _first_line(command: str) -> str:
    printed = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    return printed.splitlines()[0]


_Columns = tuple[tuple[str, Callable[[Any], str]], ...]

_ROW_COLUMNS: _Columns = (
    ("network", lambda row: row.network),
    ("back end", lambda row: row.backend),
    ("plan", lambda row: row.plan),
    ("M instr", lambda row: f"{row.instructions / 1e6:.3f}"),
    ("a MAC", lambda row: f"{row.instructions / row.macs:.2f}"),
    ("× fewer", lambda row: f"{row.paper_ratio:.2f}"),
    ("activ. B", lambda row: f"{row.activation_bytes:,}"),
    ("scratch B", lambda row: f"{row.scratch_bytes:,}"),
    ("weights B", lambda row: f"{row.weight_bytes:,}"),
    ("code B", lambda row: f"{row.code_bytes:,}"),
    ("ms", lambda row: f"{row.latency_ms[0]:.1f}"),
    ("interval", lambda row: f"{row.latency_ms[1]:.1f}–{row.latency_ms[2]:.1f}"),
    ("differing", lambda row: str(row.differing)),
)
_LAYER_COLUMNS: _Columns = (
    ("layer", lambda layer: layer.name),
    ("kernel", lambda layer: layer.kernel),
    ("MACs", lambda layer: f"{layer.macs:,}"),
    ("instr", lambda layer: f"{layer.instructions:,}"),
    ("a MAC", lambda layer: f"{layer.instructions / layer.macs:.2f}" if layer.macs else ""),
)
_VERDICT_COLUMNS: _Columns = (
    ("acceptance", lambda item: item.criterion),
    ("back end", lambda item: item.backend),
    ("must", lambda item: f"{item.must:g}"),
    ("aim", lambda item: f"{item.aim:g}"),
    ("measured", lambda item: f"{item.measured:.4g}"),
    ("unit", lambda item: item.unit),
    ("verdict", lambda item: item.verdict),
)
_COST_COLUMNS: _Columns = (
    ("kernel", lambda item: item.function),
    ("a MAC", lambda item: f"{item.per_mac:.3f}"),
    ("a dot", lambda item: f"{item.per_dot:.2f}"),
    ("an output", lambda item: f"{item.per_output:.2f}"),
    ("signed", lambda item: f"{item.per_signed:.2f}"),
    ("a load", lambda item: f"{item.per_load:.2f}"),
    ("a run", lambda item: f"{item.per_run:.1f}"),
    ("a line", lambda item: f"{item.per_line:.1f}"),
    ("a call", lambda item: f"{item.per_call:.0f}"),
    ("layers", lambda item: str(item.layers)),
    ("rms error", lambda item: f"{item.rms_error:.1%}"),
    ("largest", lambda item: f"{item.max_error:.1%}"),
)


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a text table with a blank line between networks."""
    lines: list[Row | None] = []
    for row in rows:
        if lines and lines[-1] and lines[-1].network != row.network:
            lines.append(None)
        lines.append(row)
    return _text(_ROW_COLUMNS, lines, left=3)


def layer_table(rows: Iterable[Row]) -> str:
    """Return the breakdown of every row by layer; ``input`` is the copying of the input's rows."""
    return "\n\n".join(
        f"{row.network}, {row.backend}, {row.plan}\n"
        + _text(_LAYER_COLUMNS, [*row.layers, LayerCount("input", "", 0, row.input_instructions)], left=2)
        for row in rows
    )


def acceptance_table(rows: Iterable[Row]) -> str:
    """Return the acceptance criteria: bounds, measured, verdict. All are of the streaming plan."""
    return _text(_VERDICT_COLUMNS, acceptance(rows), left=2)


def cost_table(costs: Iterable[cost.Cost]) -> str:
    """Return the fitted costs, in instructions, as a text table."""
    return _text(_COST_COLUMNS, sorted(costs, key=lambda item: item.function), left=1)


def _text(columns: _Columns, items: Sequence[Any], left: int) -> str:
    """Return aligned columns; the first ``left`` columns are flush left. None is a blank line."""
    lines = [[head for head, _ in columns]]
    lines += [[cell(item) if item else "" for _, cell in columns] for item in items]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def csv_text(rows: Iterable[Row]) -> str:
    """Return the rows as CSV, without the layers."""
    stream = io.StringIO()
    writer: Any = None
    for row in rows:
        plain = _plain(row)
        del plain["layers"]
        value, low, high = plain.pop("latency_ms")
        plain |= {"latency_ms": value, "latency_low_ms": low, "latency_high_ms": high}
        if writer is None:
            writer = csv.DictWriter(stream, plain, lineterminator="\n")
            writer.writeheader()
        writer.writerow(plain)
    return stream.getvalue()


def json_content(rows: Iterable[Row]) -> dict[str, Any]:
    """Return all results as plain data: the header's lines, rows with layers, acceptance."""
    rows = list(rows)
    verdicts = [asdict(item) | {"verdict": item.verdict} for item in acceptance(rows)]
    return {"made_with": header().splitlines(), "rows": [_plain(row) for row in rows], "acceptance": verdicts}


def _plain(row: Row) -> dict[str, Any]:
    plain = asdict(row)
    del plain["streaming"]
    return {"network": plain.pop("network"), "backend": plain.pop("backend"), "plan": row.plan} | plain
