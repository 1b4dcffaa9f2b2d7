"""Fixtures: one small network with inputs, its outputs, its generated C and its device image.

tests/conftest.py names this module as a plugin: tests of several directories use these fixtures.
"""

from pathlib import Path

import numpy as np
import pytest

from paper2board.convert.c_code import generate
from paper2board.firmware.image import build_device_image
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.moving import Reshape
from paper2board.model.operators.pooling import Pool2D
from paper2board.model.operators.weighted import Conv2D, FullyConnected
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
    return IntegerModel.single("tiny", tensors, (conv, pool, Reshape("flatten", (2,), 3), dense), 0, 4)


@pytest.fixture(scope="session")
def inputs() -> np.ndarray:
    """Eight inputs that give different outputs."""
    return np.random.default_rng(8).integers(-128, 128, (8, 12, 12, 3), dtype=np.int8)


@pytest.fixture(scope="session")
def expected(network: IntegerModel, inputs: np.ndarray) -> np.ndarray:
    """What the network computes from :func:`inputs`."""
    # It imports torch, and this module is imported for every test.
    from paper2board.model.simulate import simulate

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
