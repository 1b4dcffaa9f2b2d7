"""An accumulator to an int8: the constants of a requantization and the C that uses them are TFLite's rounding."""

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from paper2board.convert.engine_sources import ENGINE, WARNINGS, engine_flags
from paper2board.convert.kernels.requantization import LIMIT, Mode, Requantization, exact, fastest
from paper2board.model.fixed_point import multiply_by_quantized_multiplier

SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck))
MAIN = """
#include <stdio.h>
#include "p2b_output.h"
/* Each record: mode, low, high, the channel's four fields, accumulator. */
int main(void)
{
    int32_t r[8];
    while (fread(r, sizeof r, 1, stdin) == 1) {
        const p2b_channel_t channel = {r[3], r[4], r[5], r[6]};
        const p2b_output_t output = {r[0], r[1], r[2], &channel};
        putchar(p2b_output_value(r[7], &channel, &output) & 255);
    }
    return 0;
}
"""


@pytest.fixture(scope="module", params=["64-bit product", "16-bit products"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C under the undefined-behaviour sanitizer, with either version of the high word."""
    folder = tmp_path_factory.mktemp("requantization")
    (folder / "main.c").write_text(MAIN)
    command = ["gcc", *engine_flags(), *WARNINGS, "-O2", "-fsanitize=undefined", "-fno-sanitize-recover=all"]
    # What an Xtensa without MULSH compiles.
    command += ["-D__xtensa__"] if request.param == "16-bit products" else []
    subprocess.run([*command, str(folder / "main.c"), "-o", str(folder / "main")], check=True)
    return folder / "main"


@dataclass(frozen=True)
class Output:
    """A layer's output: (multiplier, shift), lowest and highest accumulator of each channel, zero point, clamp."""

    pairs: list[tuple[int, int]]
    ranges: list[tuple[int, int]]
    zero_point: int
    low: int
    high: int

    @property
    def fastest(self) -> Requantization:
        lowest, highest = np.array(self.ranges, np.int64).T
        return fastest(self.pairs, lowest, highest, self.zero_point, self.low, self.high)

    @property
    def exact(self) -> Requantization:
        return exact(self.pairs, self.zero_point)


def around(*largest: int) -> list[tuple[int, int]]:
    return [(-magnitude, magnitude) for magnitude in largest]


def accumulators(
    multiplier: int, shift: int, lowest: int, highest: int, zero_point: int, seed: int
) -> np.ndarray:
    """Return accumulators from ``lowest`` to ``highest``: the ends, random ones, and those around every tie of
    either rounding whose output is near int8's range."""
    rng = np.random.default_rng(seed)
    found = [0, lowest, lowest + 1, highest - 1, highest, *rng.integers(lowest, highest + 1, 200).tolist()]
    found += rng.integers(-300, 301, 50).tolist()
    if multiplier:
        # Twice the real output is odd at the tie of the second rounding; the first one's shifts it by up to half
        # a step, and the accumulator's own step may be smaller than that.
        steps = range(2 * (-132 - zero_point) + 1, 2 * (132 - zero_point), 2)
        ties = [step * (1 << (31 - shift)) // (2 * multiplier) for step in steps]
        half_step = (1 << 30) // multiplier
        found += [tie + d for tie in ties for d in (-half_step - 1, -1, 0, 1, 2, half_step + 1)]
    return np.unique([a for a in found if lowest <= a <= highest])


def run(
    program: Path, mode: Mode, output: Output, records: np.ndarray, sums: list[np.ndarray]
) -> list[np.ndarray]:
    table = [
        np.column_stack([np.tile([mode, output.low, output.high, *record], (len(values), 1)), values]).astype(
            "<i4"
        )
        for record, values in zip(records.tolist(), sums, strict=True)
    ]
    content = b"".join(rows.tobytes() for rows in table)
    result = subprocess.run([program], input=content, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()
    values = np.frombuffer(result.stdout, np.int8)
    return np.split(values, np.cumsum([len(rows) for rows in table])[:-1])


def tflite(output: Output, pair: tuple[int, int], sums: np.ndarray) -> np.ndarray:
    multiplier, shift = (torch.tensor(value) for value in pair)
    scaled = multiply_by_quantized_multiplier(torch.from_numpy(sums), multiplier, shift).numpy()
    return (scaled + output.zero_point).clip(output.low, output.high)


def agrees(program: Path, output: Output, requantization: Requantization, seed: int) -> Mode:
    sums = [
        accumulators(*pair, *limits, output.zero_point, seed)
        for pair, limits in zip(output.pairs, output.ranges, strict=True)
    ]
    moved = [values + offset for values, offset in zip(sums, requantization.offsets, strict=True)]
    records = requantization.records(np.zeros(len(sums), np.int64))
    mode = requantization.mode
    for pair, values, actual in zip(
        output.pairs, sums, run(program, mode, output, records, moved), strict=True
    ):
        np.testing.assert_array_equal(actual, tflite(output, pair, values), err_msg=f"{mode!r} {pair}")
    return mode


# Many trailing zeros make exact ties of the first rounding.
MULTIPLIERS = st.one_of(
    st.sampled_from([1 << 30, (1 << 31) - 1, 3 << 29, 5 << 28, (1 << 30) + 1, (1 << 31) - (1 << 16)]),
    st.integers(1 << 30, (1 << 31) - 1),
)
ZERO_POINTS = st.one_of(st.sampled_from([-128, 0, 127]), st.integers(-128, 127))
FAST_PAIRS = st.tuples(MULTIPLIERS, st.integers(-18, -1))
FAST_LARGEST = st.one_of(st.just(LIMIT - 1), st.integers(1, LIMIT - 1))


@st.composite
def outputs(draw: st.DrawFn, pairs: st.SearchStrategy, largest: st.SearchStrategy, relu: bool) -> Output:
    """``relu``: the clamp begins at the zero point, else below."""
    count = draw(st.integers(1, 3))
    zero_point = draw(ZERO_POINTS if relu else st.integers(-127, 127))
    low = zero_point if relu else draw(st.integers(-128, zero_point - 1))
    return Output(
        [draw(pairs) for _ in range(count)],
        around(*(draw(largest) for _ in range(count))),
        zero_point,
        low,
        draw(st.integers(low, 127)),
    )


@given(output=outputs(FAST_PAIRS, FAST_LARGEST, relu=True), seed=st.integers(0, 2**32 - 1))
@example(output=Output([((1 << 31) - 1, -1)], around(LIMIT - 1), -128, -128, 127), seed=0)
@example(output=Output([((1 << 31) - 1, -18)], around(LIMIT - 1), 127, 127, 127), seed=0)
@settings(SLOW, max_examples=100)
def test_fast_is_tflites_rounding(program: Path, output: Output, seed: int) -> None:
    assert agrees(program, output, output.fastest, seed) is Mode.FAST
    agrees(program, output, output.exact, seed)


@given(output=outputs(FAST_PAIRS, FAST_LARGEST, relu=False), seed=st.integers(0, 2**32 - 1))
@example(output=Output([((1 << 31) - 1, -1)], around(LIMIT - 1), 127, -128, 127), seed=0)
@example(output=Output([(1 << 30, -18)], around(LIMIT - 1), 0, -128, 127), seed=0)
@settings(SLOW, max_examples=100)
def test_fast_signed_is_tflites_rounding(program: Path, output: Output, seed: int) -> None:
    assert agrees(program, output, output.fastest, seed) is Mode.FAST_SIGNED
    agrees(program, output, output.exact, seed)


@st.composite
def any_output(draw: st.DrawFn) -> Output:
    """Every multiplier and shift, accumulators as large as a model may have: what is shifted left fits int32."""
    pairs = st.tuples(st.one_of(st.just(0), MULTIPLIERS), st.integers(-31, 31))
    output = draw(outputs(pairs, st.just(0), relu=draw(st.booleans())))
    largest = [((1 << 31) - 1) >> max(shift, 0) for _, shift in output.pairs]
    return replace(output, ranges=around(*largest))


@given(output=any_output(), seed=st.integers(0, 2**32 - 1))
@settings(SLOW, max_examples=100)
def test_exact_is_tflites_rounding(program: Path, output: Output, seed: int) -> None:
    assert agrees(program, output, output.exact, seed) is Mode.EXACT


@pytest.mark.parametrize("relu", [False, True])
def test_every_tie_of_small_shifts(program: Path, relu: bool) -> None:
    """All accumulators whose outputs are within int8, and beyond, at multipliers where both roundings tie."""
    for multiplier in (1 << 30, 3 << 29, 5 << 28, (1 << 31) - 1):
        for shift in (-1, -2, -3, -4, -5):
            for zero_point in (-128, -1, 0, 1, 127):
                output = Output([(multiplier, shift)], around(LIMIT - 1), zero_point, -128, 127)
                if relu:
                    output = Output([(multiplier, shift)], around(LIMIT - 1), zero_point, zero_point, 127)
                found = output.fastest
                assert found.offsets.tolist() == [0]
                sums = np.arange(-600 << -shift, (600 << -shift) + 1)
                (actual,) = run(program, found.mode, output, found.records(np.zeros(1)), [sums])
                np.testing.assert_array_equal(actual, tflite(output, output.pairs[0], sums))


# --- when -----------------------------------------------------------------------------------------------

FITS = ((1 << 30) + 5, -7)


@st.composite
def dead_channels(draw: st.DrawFn) -> Output:
    """Channels as training leaves them behind: any multiplier and shift, a huge bias, sums that hardly move it."""
    relu = draw(st.booleans())
    zero_point = draw(ZERO_POINTS)
    low = max(-128, zero_point) if relu else -128
    pairs, ranges = [], []
    for _ in range(draw(st.integers(1, 3))):
        shift = draw(st.integers(-31, 0))
        reach = draw(st.integers(0, 1 << min(23, 4 - shift)))
        # Where the output is near int8's range, or far away.
        bias = draw(st.integers(-300, 300)) << -shift if draw(st.booleans()) else draw(INT32)
        bias = min(max(bias, -(1 << 31) + reach + 1), (1 << 31) - reach - 1)
        pairs.append((draw(MULTIPLIERS), shift))
        ranges.append((bias - reach, bias + reach))
    return Output(pairs, ranges, zero_point, low, draw(st.integers(low, 127)))


INT32 = st.integers(-(1 << 31) + 1, (1 << 31) - 1)


@given(output=dead_channels(), seed=st.integers(0, 2**32 - 1))
@settings(SLOW, max_examples=150)
def test_a_dead_channel_has_tflites_outputs(program: Path, output: Output, seed: int) -> None:
    agrees(program, output, output.fastest, seed)


@pytest.mark.parametrize("low", [-128, 3])
@pytest.mark.parametrize(
    ("pair", "limits"),
    [
        # What MLPerf Tiny's visual wake words and a FOMO network have, beside channels as usual.
        ((1_518_500_250, -26), ((1 << 30) - (1 << 20), (1 << 30) + (1 << 20))),
        ((1_518_500_250, -24), (-(1 << 30), -(1 << 30) + (1 << 21))),
        ((1_275_068_416, -25), (-(1 << 24), 1 << 24)),
        ((1_100_000_000, -19), (50_000_000, 50_000_000 + (1 << 22))),
        ((0, 0), ((1 << 30) - 100, (1 << 30) + 100)),
        ((1 << 30, 0), (-100, 100)),
        ((1 << 30, 3), (-20, 20)),
    ],
)
def test_one_channel_out_of_range_does_not_make_the_layer_exact(
    program: Path, pair: tuple[int, int], limits: tuple[int, int], low: int
) -> None:
    output = Output([FITS, pair], [(-100_000, 100_000), limits], 3, low, 127)
    found = output.fastest
    assert found.offsets[0] == 0 and found.constants[0].tolist() == [FITS[0], 16 + (1 << 11) + (3 << 12), 12]
    assert agrees(program, output, found, 0) is (Mode.FAST if low == 3 else Mode.FAST_SIGNED)


@pytest.mark.parametrize("low", [-128, 3])
def test_only_a_channel_whose_accumulators_spread_too_far_is_exact(program: Path, low: int) -> None:
    output = Output([FITS, FITS], [(-100, 100), (-LIMIT, LIMIT)], 3, low, 127)
    found = output.fastest
    assert agrees(program, output, found, 0) is Mode.MIXED
    fast, exact_one = found.records(np.array([5, -6])).tolist()
    assert fast == [5, FITS[0], 16 + (1 << 11) + (3 << 12), 12]
    assert exact_one == [-6, FITS[0], 3, FITS[1] + 96]


def test_limits_that_still_fit() -> None:
    for pair in ((1 << 30, -1), ((1 << 31) - 1, -18)):
        for zero_point, low, mode in ((-128, -128, Mode.FAST), (5, 5, Mode.FAST), (5, 4, Mode.FAST_SIGNED)):
            found = Output([pair], around(LIMIT - 1), zero_point, low, 127).fastest
            assert (found.mode, found.offsets.tolist()) == (mode, [0])


def test_bias_is_taken_modulo_32_bits() -> None:
    """Winograd's scaled bias may leave 32 bits; what is added to it wraps as well."""
    bias = np.array([(1 << 31) + 7, -(1 << 31) - 1, 3 * (1 << 32) - 2], np.int64)
    records = Output([FITS] * 3, around(1, 1, 1), 0, -128, 127).fastest.records(bias)
    assert records.dtype == np.int32
    assert records[:, 0].tolist() == [-(1 << 31) + 7, (1 << 31) - 1, -2]


def test_engine_and_generator_number_the_modes_alike(tmp_path: Path) -> None:
    names = [f"P2B_REQUANT_{mode.name}" for mode in Mode]
    (tmp_path / "main.c").write_text(
        f'#include <stdio.h>\n#include "p2b_kernels.h"\n'
        f'int main(void) {{ return printf("{" %d" * len(names)}", {", ".join(names)}) < 0; }}\n'
    )
    subprocess.run(["gcc", f"-I{ENGINE}", str(tmp_path / "main.c"), "-o", str(tmp_path / "main")], check=True)
    output = subprocess.run([tmp_path / "main"], capture_output=True, check=True, text=True).stdout
    assert output.split() == [str(int(mode)) for mode in Mode]
