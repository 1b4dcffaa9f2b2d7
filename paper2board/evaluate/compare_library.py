"""A library of ``paper2board compile`` against TensorFlow Lite Micro on random inputs."""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paper2board.convert.c_code import c_ports, write_engine
from paper2board.convert.engine import Engine
from paper2board.convert.engine_sources import WARNINGS
from paper2board.convert.memory_plan import ALIGNMENT
from paper2board.core.errors import UserError
from paper2board.evaluate import tflite_micro
from paper2board.firmware import runner
from paper2board.model.integer_model import IntegerModel

SEED = 0


@dataclass(frozen=True)
class Comparison:
    """Output values compared on random inputs, and how many of them differ."""

    differing: int
    values: int
    inputs: int
    where: str

    def __str__(self) -> str:
        return (
            f"{self.differing:,} of {self.values:,} values differ from TensorFlow Lite Micro's"
            f" ({self.inputs} random inputs, seed {SEED}, {self.where})"
        )


def random_inputs(model: IntegerModel, count: int, seed: int) -> list[np.ndarray]:
    """Return for each input of a model ``count`` × its shape of its type; reals lie between int8 values, too."""
    generator, inputs = np.random.default_rng(seed), []
    for port in model.inputs:
        tensor = model.tensors[port.tensor]
        values = generator.integers(-128, 128, (count, *tensor.shape)).astype(np.int8)
        given = port.dequantized(tensor, values)
        if port.dtype == "float32":
            given = (given + generator.normal(0, tensor.scale / 2, given.shape)).astype(np.float32)
        inputs.append(given)
    return inputs


def compare(tflite: bytes, engine: Engine, folder: str | Path, name: str, inputs: int) -> Comparison:
    """Compare the library called ``name`` in ``folder``, which ``engine`` was written into, with TFLite Micro.

    The library is built for this host and called, one inference after the other: states are kept. MAC16 kernels do
    not run on a host: for these the same engine runs on the emulated core. Raise :class:`UserError` without the
    compiler or the emulator.
    """
    data = random_inputs(engine.model, inputs, SEED)
    with tempfile.TemporaryDirectory() as scratch:
        if engine.backend.needs_mac16:
            target = runner.Target.DE212
            library = runner.kernel_library(target, scratch)
            outputs = run_emulated(engine, data, target, library, Path(scratch))[0]
            where = "on the emulated core"
        else:
            outputs, where = _run_here(engine, Path(folder), name, data, Path(scratch)), "on this host"
    golden = tflite_micro.run_all(tflite, data)
    differing = sum(int(np.count_nonzero(a != b)) for a, b in zip(outputs, golden, strict=True))
    return Comparison(differing, sum(values.size for values in golden), inputs, where)


def run_emulated(
    engine: Engine, inputs: Sequence[np.ndarray], target: runner.Target, library: Path, folder: Path
) -> tuple[list[np.ndarray], runner.Result]:
    """Run inferences on an emulated core: for each input of the model N × its shape of its type, and the same for
    each output; and the runner's result.

    ``library``, ``folder`` and errors: :func:`paper2board.firmware.runner.run`.
    """
    model = engine.model
    write_engine(engine, folder / "model")
    int8 = [
        port.quantized(model.tensors[port.tensor], values).reshape(len(values), -1)
        for port, values in zip(model.inputs, inputs, strict=True)
    ]
    cases = [(folder / "model", np.concatenate(int8, axis=1))]
    [result] = runner.run(cases, target, library, folder / "run")
    outputs, start = [], 0
    for port in model.outputs:
        tensor = model.tensors[port.tensor]
        part = result.outputs[:, start : start + tensor.size].reshape(-1, *tensor.shape)
        outputs.append(port.dequantized(tensor, part))
        start += tensor.size
    return outputs, result


def _run_here(
    engine: Engine, folder: Path, name: str, inputs: Sequence[np.ndarray], scratch: Path
) -> list[np.ndarray]:
    if shutil.which("gcc") is None:
        raise UserError("--compare: gcc is not installed; install the system package gcc")
    source, program = (folder / "src").resolve(), scratch / "library.so"
    command = ["gcc", "-std=c11", *WARNINGS, "-O2", "-fPIC", "-shared", f"-I{source}"]
    files = sorted(map(str, source.rglob("*.c")))
    done = subprocess.run([*command, *files, "-o", str(program)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"gcc failed on {folder}:\n{done.stderr}")
    library = ctypes.CDLL(str(program))
    memory = np.zeros(engine.plan.bytes + ALIGNMENT, np.int8)
    if hasattr(library, f"{name}_set_arena"):
        start = ctypes.c_void_p(memory.ctypes.data + -memory.ctypes.data % ALIGNMENT)
        assert getattr(library, f"{name}_set_arena")(start, ctypes.c_size_t(engine.plan.bytes)) == 0
    count = len(inputs[0])
    outputs = [np.empty((count, *port.shape), port.port.dtype) for port in c_ports(engine.model)[1]]
    inputs = [np.ascontiguousarray(values) for values in inputs]
    for i in range(count):
        arrays = [values[i : i + 1] for values in (*inputs, *outputs)]
        getattr(library, f"{name}_run")(*(ctypes.c_void_p(array.ctypes.data) for array in arrays))
    return outputs
