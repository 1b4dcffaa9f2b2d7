"""Each kernel with weights alone, against the layer's definition in numpy: every row of every output."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_calls import Make
from weighted import (
    CONV2D,
    DEPTHWISE_CONV2D,
    FULLY_CONNECTED,
    ConvolutionTest,
    ProductTest,
    Shape,
    targets,
)

from paper2board.convert.engine_sources import kernel_names
from paper2board.firmware.runner import Target

FEW = settings(max_examples=2, suppress_health_check=list(HealthCheck))
"""Of many layers each, which are one program."""

SHAPES = {
    "3 x 3": Shape(),
    "one pixel, one channel": Shape((1, 1), 1, 1, (1, 1), before=(0, 0), after=(0, 0)),
    "1 x 1, rows of whole words": Shape((3, 5), 8, 12, (1, 1), before=(0, 0), after=(0, 0)),
    "1 x 1, stride 2": Shape((5, 7), 6, 5, (1, 1), (2, 2), before=(0, 0), after=(0, 0)),
    "no padding": Shape((6, 7), 4, 8, before=(0, 0), after=(0, 0)),
    "stride 2, padding after": Shape((6, 8), 3, 16, stride=(2, 2), before=(0, 0)),
    "stride wider than the kernel": Shape((9, 11), 2, 3, (2, 2), (3, 4), before=(0, 0), after=(0, 0)),
    "window larger than the image": Shape((2, 2), 3, 7, (5, 5), before=(2, 2), after=(2, 2)),
    "padding wider than the window": Shape((3, 4), 4, 4, before=(4, 5), after=(4, 5)),
    "one row of kernel": Shape((3, 9), 2, 9, (1, 5), before=(0, 2), after=(0, 2)),
    "one column of kernel": Shape((9, 3), 5, 2, (5, 1), before=(2, 0), after=(2, 0)),
    "seven channels to eleven": Shape((4, 5), 7, 11),
    "a column of kernel, no column beside it": Shape((9, 1), 8, 8, (5, 1), before=(0, 0), after=(0, 0)),
    "a row of kernel, one row": Shape((1, 15), 8, 8, (1, 6), before=(0, 2), after=(0, 3)),
    "5 x 5, stride 2": Shape((7, 8), 4, 4, (5, 5), (2, 2), (2, 2), (2, 2), clamp="relu"),
    "a window as large as the image": Shape((6, 7), 4, 4, (6, 7), before=(0, 0), after=(0, 0)),
    "pooled 2 x 2": Shape((8, 8), 4, 6, pool=(2, 2), pool_stride=(2, 2)),
    "pooled 2 x 2, a column left over": Shape((7, 9), 3, 5, pool=(2, 2), pool_stride=(2, 2), clamp="relu"),
    "pooled 3 x 2, strides 4 and 3": Shape((11, 11), 2, 7, pool=(3, 2), pool_stride=(4, 3)),
    "pooled along rows": Shape((4, 9), 3, 4, pool=(1, 3), pool_stride=(1, 3), clamp="both"),
    "pooled, stride 2": Shape((13, 13), 3, 4, (5, 5), (2, 2), (2, 2), (2, 2), (2, 2), (2, 2)),
    "ReLU": Shape((5, 6), 4, 6, clamp="relu"),
    "ReLU6": Shape((5, 6), 4, 6, clamp="both"),
    "saturated": Shape((5, 6), 4, 6, gain=50.0),
    "a shift to the left": Shape((5, 6), 1, 6, (1, 1), before=(0, 0), after=(0, 0), gain=1e5),
    "odd channels": Shape((5, 6), 8, 8, odd=True),
    "odd channels, ReLU, 5 x 4": Shape((5, 6), 3, 7, (5, 4), odd=True, clamp="relu"),
    "odd channels, pooled": Shape((8, 8), 4, 6, pool=(2, 2), pool_stride=(2, 2), odd=True),
    "hardly a value": Shape((5, 6), 4, 6, gain=1e-3),
    "greatest weights": Shape((5, 6), 9, 6, extreme=True),
    "many taps": Shape((5, 5), 48, 7, (5, 5), before=(2, 2), after=(2, 2), extreme=True),
    "two channels": Shape((9, 10), 2, 3),
    "an odd number of channels, ReLU": Shape((6, 5), 5, 3, clamp="relu"),
}
"""Of convolutions. A depthwise one has twice as many outputs as inputs where these are odd, else as many."""


def depthwise(shape: Shape) -> Shape:
    return Shape(**{**vars(shape), "outputs": shape.inputs * (1 + shape.inputs % 2)})


def check(
    tests: Sequence[tuple[str, ConvolutionTest | ProductTest]],
    packers: dict,
    target: Target,
    make_calls: Make,
) -> int:
    """Compare every layer on every kernel that takes it with the definition; return how often."""
    calls, owners = [], []
    for kernel, pack in packers.items():
        for name, test in tests:
            if packed := pack(test.layer):
                assert packed.function == kernel
                own = list(test.calls(packed))
                calls += own
                owners.append((kernel, name, test.expected, len(own)))
    rows = iter(make_calls(calls, target))
    for kernel, name, expected, count in owners:
        found = np.concatenate([next(rows) for _ in range(count)])
        np.testing.assert_array_equal(found, expected.reshape(found.shape), err_msg=f"{kernel}, {name}")
    return len(owners)


def on_targets(packers: dict) -> list:
    return [
        pytest.param(kernel, target, id=f"{kernel.removeprefix('p2b_')}-{target}")
        for kernel in packers
        for target in targets(kernel)
    ]


@pytest.mark.parametrize(("kernel", "target"), on_targets(CONV2D))
def test_a_convolution_is_its_definition(kernel: str, target: Target, make_calls: Make) -> None:
    tests = [(name, ConvolutionTest.draw(shape, seed)) for seed, (name, shape) in enumerate(SHAPES.items())]
    compared = check(tests, {kernel: CONV2D[kernel]}, target, make_calls)
    assert compared == len(tests) if "winograd" not in kernel else compared >= 10


@pytest.mark.parametrize(("kernel", "target"), on_targets(DEPTHWISE_CONV2D))
def test_a_depthwise_convolution_is_its_definition(kernel: str, target: Target, make_calls: Make) -> None:
    tests = [
        (name, ConvolutionTest.draw(depthwise(shape), seed, depthwise=True))
        for seed, (name, shape) in enumerate(SHAPES.items())
    ]
    compared = check(tests, {kernel: DEPTHWISE_CONV2D[kernel]}, target, make_calls)
    without_pooling = kernel in ("p2b_depthwise_conv2d_3x3_mac16", "p2b_depthwise_conv2d_mac16")
    assert compared == len(tests) if not without_pooling else compared >= 10


@pytest.mark.parametrize(("kernel", "target"), on_targets(FULLY_CONNECTED))
def test_a_fully_connected_layer_is_its_definition(kernel: str, target: Target, make_calls: Make) -> None:
    sizes = [(1, 1), (4, 4), (3, 6), (5, 7), (8, 1), (64, 10), (301, 13), (16, 12)]
    tests = [(f"{n} to {m}", ProductTest.draw(n, m, seed=n)) for n, m in sizes]
    tests += [(f"{n} to {m}, ReLU", ProductTest.draw(n, m, seed=m, clamp="relu")) for n, m in sizes]
    tests += [
        ("ReLU6", ProductTest.draw(33, 9, seed=1, clamp="both")),
        ("saturated", ProductTest.draw(33, 9, seed=2, gain=50.0)),
        ("a shift to the left", ProductTest.draw(2, 9, seed=3, gain=1e6)),
        ("greatest weights", ProductTest.draw(2000, 8, seed=4, extreme=True)),
    ]
    assert check(tests, {kernel: FULLY_CONNECTED[kernel]}, target, make_calls) == len(tests)


def test_every_kernel_has_a_test() -> None:
    texts = [path.read_text() for path in Path(__file__).parent.glob("*.py")]
    named = {name for text in texts for name in re.findall(r'"(p2b_\w+)"', text)}
    assert set(kernel_names()) - named == set()


# --- drawn layers ---------------------------------------------------------------------------------------


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Any convolution of small size; half of them of the kind that Winograd's kernels take."""
    inputs, outputs = draw(st.integers(1, 9)), draw(st.integers(1, 13))
    clamp = draw(st.sampled_from(["none", "relu", "both"]))
    size = draw(st.tuples(st.integers(3, 9), st.integers(3, 9)))
    before, after = (draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in range(2))
    gain = draw(st.sampled_from([0.1, 1.0, 1.0, 10.0]))
    if draw(st.booleans()):
        pool = (1, 1)
        if all(n + b + a >= 4 for n, b, a in zip(size, before, after, strict=True)):
            pool = draw(st.sampled_from([(1, 1), (2, 2)]))
        return Shape(
            size,
            inputs,
            outputs,
            before=before,
            after=after,
            pool=pool,
            pool_stride=pool,
            clamp=clamp,
            gain=gain,
        )
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    shape = Shape(size, inputs, outputs, kernel, stride, before, after, clamp=clamp, gain=gain)
    height, width = shape.convolved
    pool = draw(st.tuples(st.integers(1, min(3, height)), st.integers(1, min(3, width))))
    pool_stride = (1, 1) if pool == (1, 1) else draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    return Shape(**{**vars(shape), "pool": pool, "pool_stride": pool_stride})


def kernels_on(target: Target, packers: dict) -> dict:
    return {kernel: pack for kernel, pack in packers.items() if target in targets(kernel)}


TARGETS = (Target.HOST_SANITIZED, Target.LX106, Target.DE212)


@pytest.mark.parametrize("target", TARGETS)
@given(shapes=st.lists(shapes(), min_size=25, max_size=25), seed=st.integers(0, 2**32 - 1))
@FEW
def test_drawn_convolutions_are_their_definitions(
    target: Target, make_calls: Make, shapes: list[Shape], seed: int
) -> None:
    tests = [(str(shape), ConvolutionTest.draw(shape, seed)) for shape in shapes]
    check(tests, kernels_on(target, CONV2D), target, make_calls)
    tests = [(str(shape), ConvolutionTest.draw(depthwise(shape), seed, depthwise=True)) for shape in shapes]
    check(tests, kernels_on(target, DEPTHWISE_CONV2D), target, make_calls)


@pytest.mark.parametrize("target", TARGETS)
@given(
    sizes=st.lists(
        st.tuples(st.integers(1, 70), st.integers(1, 20), st.sampled_from(["none", "relu", "both"])),
        min_size=40,
        max_size=40,
    ),
    seed=st.integers(0, 2**32 - 1),
)
@FEW
def test_drawn_fully_connected_layers_are_their_definitions(
    target: Target, make_calls: Make, sizes: list[tuple[int, int, str]], seed: int
) -> None:
    tests = [(str(size), ProductTest.draw(size[0], size[1], seed, size[2])) for size in sizes]
    check(tests, kernels_on(target, FULLY_CONNECTED), target, make_calls)
