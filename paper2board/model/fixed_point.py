"""TFLite's and gemmlowp's fixed-point arithmetic, exact in 64 bits.

The functions use only what numpy's int64 arrays and torch's int64 tensors have in common, so they take either and
return the same kind, without importing torch. All values fit int32; "Qi" is an int32 with i bits before the binary
point and 31 − i after it, so a C port works line by line with 32-bit integers and 64-bit products.
"""

from typing import Any, TypeAlias

Integers: TypeAlias = Any
"""Int64 array or tensor; where only sums, products and shifts are taken, a Python integer as well."""

_EXP_MINUS_EIGHTH = 1895147668  # Q0
_THIRD = 715827883  # Q0
_EXP_OF_POWERS = {
    -2: 1672461947,  # exp(−2^−2), Q0
    -1: 1302514674,
    0: 790015084,
    1: 290630308,
    2: 39332535,
    3: 720401,
    4: 242,
}
_ONE_Q0 = (1 << 31) - 1
_ONE_Q2 = 1 << 29
_48_OVER_17 = 1515870810  # Q2
_MINUS_32_OVER_17 = -1010580540  # Q2
_ONE_Q3 = 1 << 28
_HALF_ROOT_2 = 1518500250  # Q0
_QUARTER_Q6 = 1 << 23
_LOG_2 = 1488522236  # Q0
_FOURTH_ROOT_OF_HALF = 1805811301  # Q0
# 11/240, 1/20 and 1/4 of the fourth root of 2, and 2 over that root, minus it; all Q0.
_LOG_ALPHA_N, _LOG_ALPHA_D, _LOG_ALPHA_F, _LOG_ALPHA_I = 117049297, 127690142, 638450708, 1057819769


def multiply_by_quantized_multiplier(x: Integers, multiplier: Integers, shift: Integers) -> Integers:
    """Return TFLite's ``MultiplyByQuantizedMultiplier``: x · multiplier · 2^(shift − 31), rounded twice.

    First a rounding doubling high multiply (ties towards +∞), then a rounding right shift (ties away from zero).
    """
    left = shift * (shift > 0)
    return rounding_shift_right(doubling_high_multiply(x << left, multiplier), left - shift)


def doubling_high_multiply(a: Integers, b: Integers) -> Integers:
    """Return a · b / 2^31 rounded, ties towards +∞; not for a = b = −2^31."""
    return (a * b + (1 << 30)) >> 31


def rounding_shift_right(x: Integers, amount: Integers) -> Integers:
    """Return x / 2^amount rounded, ties away from zero."""
    mask = (1 << amount) - 1
    threshold = (mask >> 1) + (x < 0)
    return (x >> amount) + ((x & mask) > threshold)


def exp_on_negative(a: Integers, integer_bits: int = 5) -> Integers:
    """Return exp(a) in Q0 for ``a`` ≤ 0 in Q\\ ``integer_bits``, which is 5 at most."""
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    fraction = (a & (quarter - 1)) - quarter  # of −1/4 to 0
    x = (fraction << integer_bits) + (1 << 28)  # Q0, around −1/8, where the Taylor series is taken
    x2 = doubling_high_multiply(x, x)
    x3 = doubling_high_multiply(x2, x)
    x4 = doubling_high_multiply(x2, x2)
    high_terms = doubling_high_multiply(rounding_shift_right(x4, 2) + x3, _THIRD)
    series = x + rounding_shift_right(high_terms + x2, 1)
    result = _EXP_MINUS_EIGHTH + doubling_high_multiply(series, _EXP_MINUS_EIGHTH)
    rest = fraction - a
    for power in range(-2, integer_bits):
        factor = doubling_high_multiply(result, _EXP_OF_POWERS[power])
        result = _select((rest >> (fraction_bits + power)) & 1, factor, result)
    return _select(a == 0, _ONE_Q0, result)


def reciprocal_of_one_plus(a: Integers) -> Integers:
    """Return 1 / (1 + a) in Q0 for ``a`` in Q0, 0 ≤ a ≤ 1."""
    return _saturated(_twice_the_reciprocal(a) << 1)


def one_minus_over_one_plus(a: Integers) -> Integers:
    """Return (1 − a) / (1 + a) in Q0 for ``a`` in Q0, 0 ≤ a ≤ 1."""
    return _saturated((_twice_the_reciprocal(a) - _ONE_Q2) << 2)


def _twice_the_reciprocal(a: Integers) -> Integers:
    """Return 2 / (1 + a) in Q2: three steps of Newton's division."""
    half_denominator = (a + (1 << 31)) >> 1  # Q0
    x = _48_OVER_17 + doubling_high_multiply(half_denominator, _MINUS_32_OVER_17)  # Q2
    for _ in range(3):
        error = _ONE_Q2 - doubling_high_multiply(half_denominator, x)
        x = x + _saturated(doubling_high_multiply(x, error) << 2)
    return x


def log_of_sum(x: Integers) -> Integers:
    """Return log(x), Q5, for ``x`` ≥ 1 in Q12: TFLite's ``log_x_for_x_greater_than_or_equal_to_1``.

    x is r · 2^power, and r, near the fourth root of 1/2, goes into a rational approximation. Of the two r that
    shifts of x and of x / √2 give, the lower is taken.
    """
    zeros = leading_zeros(x)
    r_a = _saturated(doubling_high_multiply(x << (zeros - 1), _HALF_ROOT_2) << 1)
    power_a = ((12 - zeros) << 25) + _QUARTER_Q6
    zeros_b = leading_zeros(doubling_high_multiply(x, _HALF_ROOT_2))
    r_b = _saturated(x << (zeros_b - 1))
    power_b = ((13 - zeros_b) << 25) - _QUARTER_Q6
    r, power = _select((r_b < r_a) * 1, r_b, r_a), _select((power_b > power_a) * 1, power_b, power_a)

    half_sum = (r + _FOURTH_ROOT_OF_HALF + 1) >> 1
    q = (r - _FOURTH_ROOT_OF_HALF) << 1
    square = doubling_high_multiply(q, q)
    numerator = doubling_high_multiply(q, r) + doubling_high_multiply(
        doubling_high_multiply(q, square), _LOG_ALPHA_N
    )
    denominator = doubling_high_multiply(
        half_sum, _LOG_ALPHA_I + q + doubling_high_multiply(square, _LOG_ALPHA_D)
    ) + doubling_high_multiply(q, _LOG_ALPHA_F)
    quotient = doubling_high_multiply(rounding_shift_right(numerator, 6), reciprocal_of_one_plus(denominator))
    return _saturated((doubling_high_multiply(power, _LOG_2) + quotient) << 1)


def leading_zeros(x: Integers) -> Integers:
    """Return how many of the 32 bits of ``x`` > 0 lie above its highest one."""
    count, rest = 31 + 0 * x, x
    for bits in (16, 8, 4, 2, 1):
        large = (rest >= 1 << bits) * 1
        count, rest = count - bits * large, rest >> (bits * large)
    return count


def inverse_square_root(x: Integers) -> tuple[Integers, Integers]:
    """Return (multiplier, shift) with 1 / √x ≈ multiplier / 2^(31 + shift), for 0 ≤ x < 2^31; 0 counts as 1.

    TFLite's ``GetInvSqrtQuantizedMultiplierExp``: five steps of Newton's iteration.
    """
    shift, value = 11 + 0 * x, x + (x <= 1)
    for _ in range(2):
        large = value >= 1 << 29
        value, shift = _select(large * 1, value >> 2, value), shift + large
    for _ in range(14):
        small = value < 1 << 27
        value, shift = _select(small * 1, value << 2, value), shift - small * 1
    half, root = rounding_shift_right(value >> 1, 1), _ONE_Q3 + 0 * x  # Q3
    for _ in range(5):
        cube = _saturated(doubling_high_multiply(doubling_high_multiply(root, root), root) << 6)
        step = doubling_high_multiply(root, _ONE_Q3 + _ONE_Q3 // 2) - doubling_high_multiply(half, cube)
        root = _saturated(step << 3)
    multiplier = doubling_high_multiply(root, _HALF_ROOT_2)
    left = -shift * (shift < 0)
    one = (x <= 1) * 1
    return _select(one, _ONE_Q0 + 0 * x, multiplier << left), _select(one, 0 * x, shift + left)


def _select(condition: Integers, value: Integers, other: Integers) -> Integers:
    """Return ``value`` where ``condition`` is 1, else ``other``."""
    return other + condition * (value - other)


def _saturated(x: Integers) -> Integers:
    return x.clip(-(1 << 31), (1 << 31) - 1)
