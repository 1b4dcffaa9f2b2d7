"""Arena needs of the article's detector, whose tensors' sizes can be worked out on paper."""

from pathlib import Path

import numpy as np
import pytest
from messages import naming

from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.core.errors import UserError
from paper2board.core.evidence import Kind
from paper2board.core.files import digest
from paper2board.evaluate.arena import arena_metrics, needs
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.operator import Op
from paper2board.model.operators.weighted import Conv2D, DepthwiseConv2D
from paper2board.model.tensor import Tensor

INPUT = 120 * 160 * 3
LARGEST_PAIR = 60 * 80 * 16 + 30 * 40 * 16
"""The first block's output is read while the second depthwise convolution writes."""


def detector() -> IntegerModel:
    """The article's four blocks, 3 → 16 → 32 → 64 → 128 channels, each halving 160 × 120 pixels, no heads."""
    rng = np.random.default_rng(0)
    tensors = [Tensor("image", (120, 160, 3), 1 / 64, 0)]
    ops: list[Op] = []

    def tensor(name: str, shape: tuple[int, ...]) -> int:
        tensors.append(Tensor(name, shape, 0.0625, -128))
        return len(tensors) - 1

    def fields(shape: tuple[int, ...], channels: int) -> dict[str, np.ndarray]:
        return {
            "weights": rng.integers(-127, 128, shape).astype(np.int8),
            "bias": np.zeros(channels, np.int32),
            "weight_scales": np.full(channels, 0.01, np.float32),
        }

    last, (height, width, channels) = 0, tensors[0].shape
    for block, out in enumerate((16, 32, 64, 128), 1):
        height, width = -(-height // 2), -(-width // 2)
        deep = tensor(f"depthwise{block}", (height, width, channels))
        shape = (3, 3, channels)
        ops.append(
            DepthwiseConv2D(f"depthwise{block}", (last,), deep, **fields(shape, channels), stride=(2, 2))
        )
        last = tensor(f"pointwise{block}", (height, width, out))
        ops.append(Conv2D(f"pointwise{block}", (deep,), last, **fields((out, 1, 1, channels), out)))
        channels = out
    return IntegerModel.single("detector", tuple(tensors), tuple(ops), 0, last)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("arena") / "detector.tflite"
    path.write_bytes(write_flatbuffer(detector()))
    return path


def test_layer_by_layer_holds_the_largest_pair_and_streaming_does_not(path: Path) -> None:
    answers = {name: need.bytes for name, need in needs(path).items()}
    assert LARGEST_PAIR == 96_000 > INPUT
    assert LARGEST_PAIR <= answers["layer-by-layer"] < 1.05 * LARGEST_PAIR  # beside it only working memory
    assert LARGEST_PAIR <= answers["tflm"] < 1.5 * LARGEST_PAIR
    assert answers["streamed"] < 40 * 1024 < INPUT  # the article's arena holds not even the image


def test_the_book_says_what_was_measured_and_on_what(path: Path) -> None:
    metrics = arena_metrics("printed", path)
    assert list(metrics) == [f"arena.printed.{name}" for name in ("tflm", "layer-by-layer", "streamed")]
    measured, *planned = metrics.values()
    assert measured.kind is Kind.MEASURED and "64-bit host" in measured.method
    assert {item.kind for item in planned} == {Kind.MODELLED}
    assert {(item.unit, item.chain["tflite"]) for item in metrics.values()} == {("B", digest(path))}


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "no.tflite"
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match=naming("no.tflite")):
        needs(path)
