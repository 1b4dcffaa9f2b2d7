"""Networks at the edges of what the engine takes, each once wrong or refused too late."""

from pathlib import Path

import numpy as np
import pytest

from paper2board.convert.c_code import generate
from paper2board.core.errors import UserError
from paper2board.firmware.runner import Target, run
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.moving import Pad
from paper2board.model.operators.operator import Op
from paper2board.model.operators.pooling import Pool2D
from paper2board.model.operators.weighted import Conv2D, DepthwiseConv2D
from paper2board.model.simulate import simulate
from paper2board.model.tensor import Tensor

SCALE = np.full(1, 0.01, np.float32)


def network(*shapes: tuple[int, ...], ops: list[Op]) -> IntegerModel:
    """A chain over tensors of these shapes, quantized alike."""
    return IntegerModel.single(
        "edge", tuple(Tensor(f"t{i}", s, 1.0, 3) for i, s in enumerate(shapes)), tuple(ops), 0, len(ops)
    )


def weights(*shape: int, value: int | None = None) -> np.ndarray:
    if value is not None:
        return np.full(shape, value, np.int8)
    return np.random.default_rng(5).integers(-127, 128, shape).astype(np.int8)


def conv(i: int, w: np.ndarray, scale: float = 0.01, **keys) -> Conv2D:
    return Conv2D(f"c{i}", (i,), i + 1, w, np.zeros(len(w), np.int32), np.full(1, scale, np.float32), **keys)


POOL_OF_ONE = network(
    (6, 6, 3), (6, 6, 4), (3, 3, 4),
    ops=[conv(0, weights(4, 3, 3, 3)), Pool2D("MAX_POOL_2D", "pool", (1,), 2, (1, 1), (2, 2))],
)  # fmt: skip
PAD_WIDER_THAN_READ = network(
    (3, 1, 2), (3, 41, 2), (1, 1, 4),
    ops=[
        Pad("pad", (0,), 1, ((0, 0), (40, 0), (0, 0))),
        conv(1, weights(4, 3, 3, 2), stride=(64, 64), padding="VALID"),
    ],
)  # fmt: skip
DEPTHWISE_PAD_WIDER_THAN_READ = network(
    (3, 1, 4), (3, 41, 4), (1, 1, 4),
    ops=[
        Pad("pad", (0,), 1, ((0, 0), (40, 0), (0, 0))),
        DepthwiseConv2D(
            "dw", (1,), 2, weights(3, 3, 4), np.zeros(4, np.int32), SCALE, stride=(64, 64), padding="VALID"
        ),
    ],
)  # fmt: skip
SUMS_BEYOND_32_BITS = network(
    (2, 2, 70_000), (2, 2, 1), (1, 1, 1),
    ops=[
        conv(0, weights(1, 1, 1, 70_000, value=127), scale=1e-7),
        Pool2D("MAX_POOL_2D", "pool", (1,), 2, (2, 2), (2, 2)),
    ],
)  # fmt: skip
EDGES = {
    "max pooling of single pixels": POOL_OF_ONE,
    "padding wider than what is read": PAD_WIDER_THAN_READ,
    "the same, depthwise": DEPTHWISE_PAD_WIDER_THAN_READ,
    "sums of bytes beyond 32 bits": SUMS_BEYOND_32_BITS,
}


@pytest.mark.parametrize("name", EDGES)
def test_edges_are_exact(name: str, engine_libraries: Path, tmp_path: Path) -> None:
    model = EDGES[name]
    shape = model.tensors[0].shape
    inputs = np.random.default_rng(1).integers(-128, 128, (3, *shape)).astype(np.int8)
    inputs[0] = 127
    expected = simulate(model, inputs).reshape(3, -1)
    for target, backends in (
        (Target.HOST_SANITIZED, ("paper", "portable", "winograd-portable")),
        (Target.DE212, ("mac16", "winograd-mac16")),
    ):
        cases = []
        for backend in backends:
            for streaming in (False, True):
                folder = tmp_path / f"{backend}-{streaming}"
                generate(model, folder, backend, streaming=streaming)
                cases.append((folder, inputs))
        library = engine_libraries / target / "libp2b.a"
        for (folder, _), result in zip(cases, run(cases, target, library, tmp_path / target), strict=True):
            np.testing.assert_array_equal(result.outputs.reshape(3, -1), expected, err_msg=folder.name)


def test_a_row_count_beyond_16_bits_is_refused(tmp_path: Path) -> None:
    tall = network(
        (20_000, 1, 1), (40_000, 1, 1), (20_000, 1, 1),
        ops=[
            Pad("pad", (0,), 1, ((10_000, 10_000), (0, 0), (0, 0))),
            conv(1, weights(1, 2, 1, 1), stride=(2, 1), padding="VALID"),
        ],
    )  # fmt: skip
    for streaming in (False, True):
        with pytest.raises(UserError, match=r"layer pad has 40000 rows.* the engine takes 32767"):
            generate(tall, tmp_path, streaming=streaming)


def test_a_window_beyond_16_bits_is_refused() -> None:
    with pytest.raises(UserError, match=r"AVERAGE_POOL_2D pool: its window is too large"):
        network(
            (512, 512, 1), (1, 1, 1), ops=[Pool2D("AVERAGE_POOL_2D", "pool", (0,), 1, (512, 512), (1, 1))]
        )
