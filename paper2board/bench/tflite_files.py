"""``.tflite`` files of a folder against TFLite Micro: what compiles, what differs, memory and instructions.

Outputs come from TFLite Micro, from the simulation, and from the generated C on the emulator, over the same random
inputs. Instructions are exact counts of one inference on the emulated cores. Those of TFLite Micro are not counted:
its PyPI package runs on this host alone. Its arena is that of this 64-bit host, an upper bound for a board.
"""

import csv
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from tqdm import tqdm

from paper2board.boards.backends import Backend
from paper2board.boards.families import FAMILIES
from paper2board.convert.engine import Engine
from paper2board.convert.layer_cost import modelled_instructions
from paper2board.convert.planner import Limits, choose
from paper2board.convert.tflite_import import read_bytes, read_tflite
from paper2board.core.errors import UserError
from paper2board.core.files import write_text
from paper2board.evaluate import tflite_micro as reference
from paper2board.evaluate.compare_library import random_inputs, run_emulated
from paper2board.firmware import runner
from paper2board.firmware.runner import Result, RunError, Target
from paper2board.model.simulate import run

BACKENDS = (Backend.WINOGRAD_MAC16, Backend.WINOGRAD_PORTABLE)
"""The default back end, and what runs on any processor."""
UNLIMITED = Limits(1 << 40, 1 << 40)
"""A file that no board holds is measured all the same."""


@dataclass(frozen=True)
class FileRow:
    """One file. ``outcome``: ``equal``, ``differs`` or the reason for which it is refused.

    ``values``: outputs compared, over all inputs; ``differing``: of the simulation and of the C with each back end.
    Bytes: of the file, of the C's arena with the default back end, of TFLite Micro's arena on this host.
    ``instructions``: with the default and the portable back end; 0 if the emulator cannot hold the network.
    ``layer_instructions``, ``modelled_instructions``: of the layers with the default back end, without the copying
    of inputs, and what the cost table says of them.
    """

    file: str
    outcome: str
    inputs: int = 0
    values: int = 0
    differing: int = 0
    file_bytes: int = 0
    arena_bytes: int = 0
    tflm_arena_bytes: int = 0
    instructions: int = 0
    portable_instructions: int = 0
    layer_instructions: int = 0
    modelled_instructions: int = 0

    @property
    def equal(self) -> bool:
        """Whether it compiled, and no output differs."""
        return self.outcome == "equal"


def measure(
    files: Sequence[Path], count: int, progress: Callable[[Iterable[Path]], Iterable[Path]] = iter
) -> Iterator[FileRow]:
    """Yield a row for each file, over ``count`` random inputs."""
    with tempfile.TemporaryDirectory(prefix="paper2board-files-") as name:
        folder = Path(name)
        libraries = {_target(b): runner.kernel_library(_target(b), folder) for b in BACKENDS}
        for path in progress(files):
            try:
                yield _measured(path, count, libraries, folder)
            except UserError as error:
                reason = str(error).removeprefix(f"{path}: ").removeprefix(f"{path} cannot be converted: ")
                yield FileRow(path.name, reason, file_bytes=path.stat().st_size)


def _measured(path: Path, count: int, libraries: dict[Target, Path], folder: Path) -> FileRow:
    data = read_bytes(path)
    model = read_tflite(data, path.stem)
    inputs = random_inputs(model, count, seed=0)
    golden = reference.run_all(data, inputs)
    differing = _differing(run(model, inputs), golden)
    runs: list[tuple[Engine, Result | None]] = []
    for backend in BACKENDS:
        engine, target = choose(model, backend, UNLIMITED), _target(backend)
        try:
            outputs, result = run_emulated(engine, inputs, target, libraries[target], folder)
        except RunError as error:
            if "does not fit" not in str(error):
                raise
            runs.append((engine, None))
        else:
            differing += _differing(outputs, golden)
            runs.append((engine, result))
    (engine, default), (_, portable) = runs
    return FileRow(
        file=path.name,
        outcome="differs" if differing else "equal",
        inputs=count,
        values=sum(values.size for values in golden),
        differing=differing,
        file_bytes=len(data),
        arena_bytes=engine.plan.bytes,
        tflm_arena_bytes=reference.arena(data).total,
        instructions=default.instructions if default else 0,
        portable_instructions=portable.instructions if portable else 0,
        layer_instructions=sum(default.layers.values()) if default else 0,
        modelled_instructions=modelled_instructions(engine),
    )


def _differing(found: Sequence[np.ndarray], golden: Sequence[np.ndarray]) -> int:
    return sum(int(np.count_nonzero(a != b)) for a, b in zip(found, golden, strict=True))


def _target(backend: Backend) -> Target:
    return Target(FAMILIES["esp32"].core(needs_mac16=backend.needs_mac16))


def report(folder: Path, count: int, output: Path | None) -> int:
    """Measure all ``.tflite`` files of a folder (or one file), print the table, return 0 if all are equal."""
    files = sorted(folder.glob("*.tflite")) if folder.is_dir() else [folder]
    if not files:
        raise UserError(f"{folder} has no .tflite files; give a folder that has some")
    rows = list(measure(files, count, lambda paths: tqdm(paths, unit="file", leave=False, disable=None)))
    if output:
        write_text(output, csv_text(rows))
    print(table(rows))
    return 0 if all(row.equal for row in rows) else 1


def csv_text(rows: Sequence[FileRow]) -> str:
    """Return the rows as CSV, a column a field."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [item.name for item in fields(FileRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return stream.getvalue()


def table(rows: Sequence[FileRow]) -> str:
    """Return the rows as text."""
    lines = [
        f"{'file':44}{'differ':>14}{'file B':>10}{'arena B':>9}{'TFLM B':>9}{'instr':>9}{'model':>7}"
        f"{'portable':>10}  ratio"
    ]
    for row in rows:
        if row.outcome not in ("equal", "differs"):
            lines.append(f"{row.file[:43]:44}{row.outcome}")
            continue
        both = row.instructions and row.portable_instructions
        ratio = f"{row.portable_instructions / row.instructions:7.2f}" if both else "      –"
        gap = f"{row.modelled_instructions / row.layer_instructions - 1:+7.1%}" if both else "      –"
        lines.append(
            f"{row.file[:43]:44}{f'{row.differing}/{row.values}':>14}{row.file_bytes:10,}{row.arena_bytes:9,}"
            f"{row.tflm_arena_bytes:9,}{_millions(row.instructions)}{gap}{_millions(row.portable_instructions):>10}{ratio}"
        )
    equal = sum(row.equal for row in rows)
    lines.append(f"{equal} of {len(rows)} files compile and give TFLite Micro's outputs")
    return "\n".join(lines)


def _millions(count: int) -> str:
    return f"{count / 1e6:8.3f}M" if count else f"{'–':>9}"
