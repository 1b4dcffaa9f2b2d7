"""One small network, built once: as a device image, as a host library and as a sanitized process."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from paper2board.capture.client import Device
from paper2board.capture.link import EMULATOR, emulated_line
from paper2board.convert.c_code import generate
from paper2board.convert.engine_sources import APPLICATION, engine_flags, engine_sources
from paper2board.firmware.host import HostModel, build_host
from paper2board.firmware.image import build_device_image
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.moving import Reshape
from paper2board.model.operators.pooling import Pool2D
from paper2board.model.operators.weighted import Conv2D, FullyConnected
from paper2board.model.simulate import simulate
from paper2board.model.tensor import Tensor


@pytest.fixture(scope="session")
def network() -> IntegerModel:
    """Convolution, pooling, flatten, dense over a 12 × 12 × 3 input; random weights."""
    random = np.random.default_rng(7)
    quantization = float(np.float32(0.05)), -128
    tensors = (
        Tensor("input", (12, 12, 3), 1 / 64, 0),
        Tensor("conv1", (12, 12, 5), *quantization),
        Tensor("pool1", (4, 4, 5), *quantization),
        Tensor("flat", (80,), *quantization),
        Tensor("fc1", (10,), float(np.float32(0.3)), 4),
    )
    weights = random.integers(-127, 128, (5, 3, 3, 3), dtype=np.int8)
    conv = Conv2D(
        "conv1", (0,), 1, weights, np.arange(5, dtype=np.int32), np.full(5, 0.01, "f4"), activation="RELU"
    )
    pool = Pool2D("MAX_POOL_2D", "pool1", (1,), 2, (3, 3), (3, 3))
    weights = random.integers(-127, 128, (10, 80), dtype=np.int8)
    dense = FullyConnected("fc1", (3,), 4, weights, np.arange(10, dtype=np.int32), np.full(10, 0.004, "f4"))
    return IntegerModel("tiny", tensors, (conv, pool, Reshape("flatten", (2,), 3), dense), 0, 4)


@pytest.fixture(scope="session")
def inputs() -> np.ndarray:
    """Eight inputs that give different outputs."""
    return np.random.default_rng(8).integers(-128, 128, (8, 12, 12, 3), dtype=np.int8)


@pytest.fixture(scope="session")
def expected(network: IntegerModel, inputs: np.ndarray) -> np.ndarray:
    """What the network computes from :func:`inputs`."""
    outputs = np.asarray(simulate(network, inputs))
    assert len(np.unique(outputs, axis=0)) == len(inputs)
    return outputs


@pytest.fixture(scope="session")
def generated(network: IntegerModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of generated C: the deck's kernels, layer by layer."""
    folder = tmp_path_factory.mktemp("generated")
    generate(network, folder, "paper", streaming=False)
    return folder


@pytest.fixture(scope="session")
def image(generated: Path) -> Path:
    """Device image with the interior/boundary split."""
    build_device_image(generated, generated / "split.elf", split=True)
    return generated / "split.elf"


@pytest.fixture(scope="session")
def other_image(generated: Path) -> Path:
    """Device image without the split: other bytes, the same outputs."""
    build_device_image(generated, generated / "nosplit.elf", split=False)
    return generated / "nosplit.elf"


@pytest.fixture(scope="session")
def host(generated: Path) -> HostModel:
    """The engine on this machine."""
    build_host(generated, generated / "libhost.so", split=True)
    return HostModel(generated / "libhost.so")


@pytest.fixture(scope="session")
def process(generated: Path) -> Path:
    """The device application as a program of this machine, under address and undefined-behaviour sanitizers."""
    output = generated / "application"
    sources = [*APPLICATION.glob("*.c"), *engine_sources(mac16=False), generated / "model.c"]
    sources.append(Path(__file__).parent / "pipe_port.c")
    command = ["gcc", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command += [*engine_flags(), f"-I{APPLICATION}", f"-I{generated}", *map(str, sources), "-o", str(output)]
    subprocess.run(command, check=True)
    return output


@pytest.fixture
def emulators(image: Path) -> Callable[[], list[int]]:
    """Return the process ids of the emulators that run :func:`image`."""

    def find() -> list[int]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            # Processes end while we look.
            with contextlib.suppress(OSError):
                command = (process / "cmdline").read_bytes().split(b"\0")
                if EMULATOR.encode() in command and str(image).encode() in command:
                    found.append(int(process.name))
        return found

    return find


@pytest.fixture
def device(image: Path) -> Iterator[Device]:
    """A device just started."""
    with emulated_line(image) as line:
        yield Device(line)
