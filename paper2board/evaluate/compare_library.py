"""A library of ``paper2board compile`` against TensorFlow Lite Micro on random inputs."""

import ctypes
import shutil
import subprocess
import tempfile
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


def compare(tflite: bytes, engine: Engine, folder: str | Path, name: str, inputs: int) -> Comparison:
    """Compare the library called ``name`` in ``folder``, which ``engine`` was written into, with TFLite Micro.

    The library is built for this host and called. MAC16 kernels do not run on a host: for these the same engine
    runs on the emulated core. Raise :class:`UserError` without the compiler or the emulator.
    """
    model = engine.model
    shape = model.tensors[model.input].shape
    data = np.random.default_rng(SEED).integers(-128, 128, (inputs, *shape)).astype(np.int8)
    with tempfile.TemporaryDirectory() as scratch:
        if engine.backend.needs_mac16:
            outputs, where = _run_emulated(engine, data, Path(scratch)), "on the emulated core"
        else:
            outputs, where = _run_here(engine, Path(folder), name, data, Path(scratch)), "on this host"
    golden = tflite_micro.run(tflite, data).reshape(inputs, -1)
    return Comparison(int(np.count_nonzero(outputs != golden)), golden.size, inputs, where)


def _run_emulated(engine: Engine, data: np.ndarray, scratch: Path) -> np.ndarray:
    write_engine(engine, scratch / "c")
    target = runner.Target.DE212
    library = runner.kernel_library(target, scratch)
    return runner.run([(scratch / "c", data)], target, library, scratch)[0].outputs


def _run_here(engine: Engine, folder: Path, name: str, data: np.ndarray, scratch: Path) -> np.ndarray:
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
    outputs = np.empty((len(data), sum(port.bytes for port in c_ports(engine.model)[1])), np.int8)
    for one, output in zip(data, outputs, strict=True):
        getattr(library, f"{name}_run")(ctypes.c_void_p(one.ctypes.data), ctypes.c_void_p(output.ctypes.data))
    return outputs
