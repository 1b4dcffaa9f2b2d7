"""A broken precondition ends the program, and the message tells which one."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from kernel_calls import Call, CallError, Make
from test_common_kernels import POOLS, add, pool, softmax
from weighted import CONV2D, DEPTHWISE_CONV2D, FULLY_CONNECTED, ConvolutionTest, ProductTest, Shape

from paper2board.firmware.runner import Target

POOLED = Shape((8, 8), pool=(2, 2), pool_stride=(2, 2), clamp="relu")


def convolution(kernel: str, shape: Shape = POOLED) -> Call:
    """The first call of a sound convolution."""
    packers = CONV2D | DEPTHWISE_CONV2D
    test = ConvolutionTest.draw(shape, seed=0, depthwise=kernel in DEPTHWISE_CONV2D)
    return next(test.calls(packers[kernel](test.layer)))


def product(kernel: str) -> Call:
    test = ProductTest.draw(8, 4, seed=0)
    return next(test.calls(FULLY_CONNECTED[kernel](test.layer)))


def broken(call: Call, changes: Mapping[str, Any]) -> Call:
    """``call`` with other constants; a name with a dot is of a structure within."""
    fields = dict(call.fields)
    for path, value in changes.items():
        name, _, inner = path.partition(".")
        fields[name] = {**fields[name], inner: value} if inner else value
    return replace(call, fields=fields)


CONV = convolution("p2b_conv2d_portable")
DEPTHWISE = convolution("p2b_depthwise_conv2d_portable", Shape((5, 7), outputs=3))
WINOGRAD = convolution("p2b_conv2d_winograd_portable")
[MAX_POOL], _ = pool("p2b_max_pool2d", POOLS["the whole image"], np.random.default_rng(0))
[ADD], _ = add(np.random.default_rng(0), 8)
[SOFTMAX], _ = softmax(np.random.default_rng(0), 2, 10, 0.1)
RECORDS = CONV.fields["output"]["channels"]
# Case: the call, and the condition that is false.
CASES = {
    "no rows": (replace(CONV, rows=0), "rows >= 1"),
    "more rows than a call of it computes": (
        replace(product("p2b_fully_connected_portable"), rows=2),
        "rows == 1",
    ),
    "an input that is missing": (
        replace(product("p2b_fully_connected_paper"), inputs=[None]),
        "in[0] != NULL",
    ),
    "no stride": (broken(CONV, {"window.stride_w": 0}), "p2b_is_window(window->in_w"),
    "padding only": (broken(CONV, {"window.pad_h": 99}), "p2b_is_window(window->in_h"),
    "a pooling window outside": (broken(CONV, {"pooled_w": 5}), "op->pool_w <= window->out_w"),
    "an interior that has padding": (broken(CONV, {"left": 0, "right": 8}), "op->left * window->stride_w"),
    "a range that is empty": (broken(CONV, {"output.high": CONV.fields["output"]["low"] - 1}), "low <= high"),
    "a range beyond int8": (broken(CONV, {"output.high": 128}), "p2b_is_int8(high)"),
    "an unknown mode": (broken(CONV, {"output.mode": 4}), "P2B_REQUANT_MIXED"),
    "a shift by nothing": (
        broken(CONV, {"output.channels": RECORDS * np.int32([1, 1, 1, 0])}),
        "channel->shift >= 1",
    ),
    "a negative multiplier": (
        broken(CONV, {"output.channels": RECORDS * np.int32([1, -1, 1, 1])}),
        "channel->multiplier >= 0",
    ),
    "outputs below the clamp": (
        broken(CONV, {"output.channels": RECORDS - np.int32([0, 0, 1 << 30, 0])}),
        "channel->rounding >> channel->shift >= output->low",
    ),
    # A row of 20 bytes instead of 21, which lies at an odd address.
    "a row of words at an odd address": (
        broken(DEPTHWISE, {"window.in_w": 20, "window.in_c": 1}),
        "p2b_is_aligned(row, 4)",
    ),
    "outputs that are no multiple of inputs": (broken(DEPTHWISE, {"window.in_c": 2}), "window.in_c == 0"),
    "a mode that the deck's kernels lack": (
        replace(CONV, kernel="p2b_conv2d_paper"),
        "mode == P2B_REQUANT_EXACT",
    ),
    "Winograd with a stride": (broken(WINOGRAD, {"window.stride_h": 2}), "stride_h == 1"),
    "a window without pixels": (replace(MAX_POOL, inputs=[None] * len(MAX_POOL.inputs)), "sees_a_row"),
    "no table": (broken(ADD, {"table_2": 0}), "op->table_2 != NULL"),
    "a group of nothing": (broken(SOFTMAX, {"depth": 0}), "op->depth >= 1"),
    "an operand that is stretched": (broken(ADD, {"axes.inner_2": 2}), "axes->inner_2 == 1"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_broken_precondition_is_named(name: str, make_calls: Make) -> None:
    call, condition = CASES[name]
    with pytest.raises(CallError) as info:
        make_calls([ADD, call], Target.HOST_SANITIZED)
    text = str(info.value)
    assert text.startswith(f"call 1 of {call.kernel}: check failed: ")
    assert condition in text.split(": ", 3)[3]


@pytest.mark.parametrize("target", [Target.LX106, Target.DE212])
def test_the_emulator_tells_it_too(target: Target, make_calls: Make) -> None:
    kernel = "p2b_conv2d_mac16" if target is Target.DE212 else "p2b_conv2d_portable"
    with pytest.raises(CallError, match=r"e-\[Check failed: .*p2b_checks\.h:\d+: rows >= 1\]"):
        make_calls([replace(convolution(kernel), rows=0)], target)


def test_the_sound_calls_pass(make_calls: Make) -> None:
    make_calls([CONV, DEPTHWISE, WINOGRAD, MAX_POOL, ADD, SOFTMAX], Target.HOST_SANITIZED)
