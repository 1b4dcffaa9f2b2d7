"""The planner: the cheapest kernels that fit, and what to do where none do."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import integer_models

from paper2board.boards.backends import Backend
from paper2board.boards.board import load_board
from paper2board.convert.c_code import write_engine
from paper2board.convert.c_layers import weighted_layer
from paper2board.convert.engine import Engine, assemble
from paper2board.convert.kernels.cost import features, instructions
from paper2board.convert.lowering import lower
from paper2board.convert.planner import Limits, board_limits, choose
from paper2board.core.errors import UserError
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.operator import Op
from paper2board.model.operators.weighted import Conv2D
from paper2board.model.tensor import Tensor

SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck))
AMPLE = Limits(1 << 20, 1 << 22)
BOARD = Path(__file__).parents[2] / "config" / "boards" / "esp32-wroom.yaml"


def convolutions(*channels: int, size: int = 16) -> IntegerModel:
    """3 × 3 convolutions with ReLU between so many channels."""
    rng = np.random.default_rng(0)
    tensors = [Tensor(f"t{i}", (size, size, count), 0.25, -128) for i, count in enumerate(channels)]
    ops: list[Op] = []
    for index, (source, target) in enumerate(pairwise(channels)):
        weights = rng.integers(-40, 41, (target, 3, 3, source)).astype(np.int8)
        scales = np.full(target, 0.002, np.float32)
        bias = np.zeros(target, np.int32)
        name = f"conv{index}"
        ops.append(Conv2D(name, (index,), index + 1, weights, bias, scales, activation="RELU"))
    return IntegerModel.single("convolutions", tuple(tensors), tuple(ops), 0, len(ops))


def kernels(engine: Engine) -> list[str]:
    return [packed.function for packed in engine.packed if packed]


def cost(engine: Engine) -> float:
    layers = [weighted_layer(engine.model, step) for step in engine.steps]
    pairs = zip(layers, engine.packed, strict=True)
    return sum(instructions(packed.function, features(layer, packed)) for layer, packed in pairs if packed)


def flash(engine: Engine, folder: Path) -> int:
    return write_engine(engine, folder).weight_flash_bytes


# --- limits -------------------------------------------------------------------------------------------


@given(
    model=integer_models(max_ops=4),
    backend=st.sampled_from(Backend),
    sram=st.floats(0.5, 1.5),
    flash_share=st.floats(0.5, 1.5),
)
@settings(SLOW, max_examples=50)
def test_the_choice_fits_or_a_layer_is_named(
    tmp_path_factory: pytest.TempPathFactory,
    model: IntegerModel,
    backend: Backend,
    sram: float,
    flash_share: float,
) -> None:
    folder = tmp_path_factory.mktemp("planner")
    ample = choose(model, backend, AMPLE)
    limits = Limits(int(ample.plan.bytes * sram), int(flash(ample, folder) * flash_share))
    try:
        engine = choose(model, backend, limits)
    except UserError as error:
        assert sram < 1 or flash_share < 1
        assert "\n" not in str(error)
        names = [step.name for step in lower(model, fuse=True)]
        assert any(f"shrink layer {name}, " in str(error) for name in names)
        needed, limit = re.search(r"(\d+) bytes of \w+, the limit is (\d+)", str(error)).groups()
        assert int(needed) > int(limit)
    else:
        assert engine.plan.bytes <= limits.sram_bytes
        assert flash(engine, folder) <= limits.flash_bytes
        assert cost(engine) >= cost(ample) * (1 - 1e-9)


def test_with_room_every_layer_has_its_cheapest_kernel() -> None:
    model = convolutions(3, 16, 32)
    engine = choose(model, Backend.WINOGRAD_MAC16, AMPLE)
    assert engine.streaming
    assert kernels(engine)[1] == "p2b_conv2d_winograd_mac16"
    for backend in (Backend.MAC16, Backend.PORTABLE, Backend.PAPER):
        assert cost(engine) < cost(choose(model, backend, AMPLE))


@pytest.mark.parametrize("backend", list(Backend))
def test_equal_costs_take_the_plan_with_less_memory(backend: Backend) -> None:
    engine = choose(convolutions(8, 8, 8, size=32), backend, AMPLE)
    assert engine.streaming
    whole = assemble(engine.model, backend, engine.steps, engine.packed, streaming=False)
    assert engine.plan.bytes < whole.plan.bytes


def test_a_board_gives_its_data_sram_and_its_flash() -> None:
    memory = load_board(BOARD).memory
    assert board_limits(memory) == Limits(int(memory.dram_B.value), int(memory.flash_B.value))


# --- fallback -----------------------------------------------------------------------------------------


def test_short_flash_takes_the_larger_weights_back(tmp_path: Path) -> None:
    """Winograd's weights are eight times as large; the layer that gains least a byte loses them first."""
    model = convolutions(16, 16, 32, 32)
    ample = choose(model, Backend.WINOGRAD_MAC16, AMPLE)
    assert kernels(ample) == ["p2b_conv2d_winograd_mac16"] * 3
    needed = flash(ample, tmp_path)
    seen = [kernels(ample)]
    for share in (0.9, 0.6, 0.4):
        limits = Limits(AMPLE.sram_bytes, int(needed * share))
        engine = choose(model, Backend.WINOGRAD_MAC16, limits)
        assert flash(engine, tmp_path) <= limits.flash_bytes
        assert cost(engine) > cost(ample)
        seen.append(kernels(engine))
    winograd = [names.count("p2b_conv2d_winograd_mac16") for names in seen]
    assert winograd == sorted(winograd, reverse=True)
    assert winograd[1] > 0  # not all at once


def test_short_sram_takes_the_working_memory_back() -> None:
    model = convolutions(32, 32)
    ample = choose(model, Backend.WINOGRAD_PORTABLE, AMPLE)
    assert kernels(ample) == ["p2b_conv2d_winograd_portable"]
    direct = choose(model, Backend.PORTABLE, AMPLE)
    assert direct.plan.bytes < ample.plan.bytes
    engine = choose(model, Backend.WINOGRAD_PORTABLE, Limits(ample.plan.bytes - 1, AMPLE.flash_bytes))
    assert kernels(engine) == ["p2b_conv2d_portable"]
    assert engine.plan.bytes == direct.plan.bytes


def test_equal_layers_give_their_working_memory_back_together() -> None:
    """Exchanging the kernel of one of them saves nothing, for working memory is shared."""
    model = convolutions(32, 32, 32, 32)
    ample = choose(model, Backend.WINOGRAD_MAC16, AMPLE)
    direct = choose(model, Backend.MAC16, AMPLE)
    assert kernels(ample) == ["p2b_conv2d_winograd_mac16"] * 3
    assert direct.plan.bytes < ample.plan.bytes
    engine = choose(model, Backend.WINOGRAD_MAC16, Limits(direct.plan.bytes, AMPLE.flash_bytes))
    assert engine.plan.bytes <= direct.plan.bytes


# --- refusal ------------------------------------------------------------------------------------------


def test_what_does_not_fit_flash_names_the_largest_layer() -> None:
    model = convolutions(4, 40, 8)
    with pytest.raises(UserError, match=r"take \d+ bytes of flash, the limit is 3000; shrink layer conv1"):
        choose(model, Backend.PAPER, Limits(AMPLE.sram_bytes, 3000))


def test_what_does_not_fit_sram_names_the_layer_at_the_peak() -> None:
    """The output of conv1 is there as a whole whatever the plan."""
    model = convolutions(4, 4, 32)
    with pytest.raises(UserError, match=r"the limit is 5000; shrink layer conv1, which holds 8192 of them"):
        choose(model, Backend.PORTABLE, Limits(5000, AMPLE.flash_bytes))
    needed = choose(model, Backend.PORTABLE, AMPLE).plan.bytes
    assert choose(model, Backend.PORTABLE, Limits(needed, AMPLE.flash_bytes)).plan.bytes == needed
    with pytest.raises(UserError, match=f"takes {needed} bytes of SRAM, the limit is {needed - 1}"):
        choose(model, Backend.PORTABLE, Limits(needed - 1, AMPLE.flash_bytes))
