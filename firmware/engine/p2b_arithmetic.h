/* SPDX-License-Identifier: Apache-2.0 */
/* Integer arithmetic shared by all kernels: TFLite's requantization and a small division.
 *
 * Everything here is exact, needs 32-bit multiplications only and calls nothing, because the Xtensa lx106
 * compiler has neither a 32 x 32 -> 64 multiplication nor a division. The host runs the same code.
 * Right shifts of negative numbers are arithmetic (gcc, clang). */
#ifndef P2B_ARITHMETIC_H
#define P2B_ARITHMETIC_H

#include <stdint.h>

/* floor((x * multiplier + 2^30) / 2^31): gemmlowp's SaturatingRoundingDoublingHighMul, ties towards +infinity.
 * x: any; multiplier: 0 .. 2^31 - 1.
 *
 * With x = xh * 2^16 + xl and multiplier = mh * 2^16 + ml the product is
 * xh*mh * 2^32 + (xh*ml + xl*mh) * 2^16 + xl*ml; every partial product and sum below fits 32 bits. */
static inline int32_t p2b_multiply_high(int32_t x, int32_t multiplier)
{
    const int32_t xh = x >> 16, xl = (int32_t)((uint32_t)x & 0xffffu);
    const int32_t mh = multiplier >> 16, ml = (int32_t)((uint32_t)multiplier & 0xffffu);
    const int32_t carry = (int32_t)(((uint32_t)xl * (uint32_t)ml) >> 16);
    const int32_t middle = xh * ml + carry;
    const int32_t low = xl * mh + (int32_t)((uint32_t)middle & 0xffffu);

    return 2 * (xh * mh + (middle >> 16)) + (((low >> 14) + 1) >> 1);
}

/* floor(x * multiplier / 2^32): the upper word of a signed product. multiplier: 0 .. 2^31 - 1. */
static inline int32_t p2b_high(int32_t x, int32_t multiplier)
{
#if defined(__xtensa__) && !defined(P2B_HAVE_MULSH)
    const int32_t xh = x >> 16, xl = (int32_t)((uint32_t)x & 0xffffu);
    const int32_t mh = multiplier >> 16, ml = (int32_t)((uint32_t)multiplier & 0xffffu);
    const int32_t middle = xh * ml + (int32_t)(((uint32_t)xl * (uint32_t)ml) >> 16);
    const int32_t low = xl * mh + (int32_t)((uint32_t)middle & 0xffffu);

    return xh * mh + (middle >> 16) + (low >> 16);
#else
    return (int32_t)(((int64_t)x * multiplier) >> 32);
#endif
}

/* x / 2^shift, ties away from zero: gemmlowp's RoundingDivideByPOT. shift: 0 .. 31. */
static inline int32_t p2b_rounding_shift(int32_t x, int32_t shift)
{
    const int32_t mask = (int32_t)((1u << shift) - 1u);
    const int32_t threshold = (mask >> 1) + (x < 0);

    return (x >> shift) + ((x & mask) > threshold);
}

/* x * 2^shift, held within int32. TFLite leaves the overflow undefined; a saturated value ends at the same
 * int8 bound as the unlimited one. shift: 0 .. 31. */
static inline int32_t p2b_saturating_shift_left(int32_t x, int32_t shift)
{
    if (x > INT32_MAX >> shift)
        return INT32_MAX;
    if (x < INT32_MIN >> shift)
        return INT32_MIN;
    return (int32_t)((uint32_t)x << shift);
}

/* x * multiplier * 2^(shift - 31): TFLite's MultiplyByQuantizedMultiplier with double rounding.
 * multiplier: 0 .. 2^31 - 1; shift: -31 .. 31 (positive: to the left, before the multiplication). */
static inline int32_t p2b_requantize(int32_t x, int32_t multiplier, int32_t shift)
{
    if (shift > 0)
        return p2b_multiply_high(p2b_saturating_shift_left(x, shift), multiplier);
    return p2b_rounding_shift(p2b_multiply_high(x, multiplier), -shift);
}

/* clamp(x + offset, low, high) as int8, without the sum's overflow. -128 <= low <= high <= 127. */
static inline int8_t p2b_clamp(int32_t x, int32_t offset, int32_t low, int32_t high)
{
    if (x < low - offset)
        return (int8_t)low;
    if (x > high - offset)
        return (int8_t)high;
    return (int8_t)(x + offset);
}

/* floor(numerator / denominator) by restoring division. denominator: 1 .. 2^31. */
static inline uint32_t p2b_divide(uint32_t numerator, uint32_t denominator)
{
    uint32_t quotient = 0, remainder = 0;

    for (int32_t bit = 31; bit >= 0; --bit) {
        remainder = remainder << 1 | (numerator >> bit & 1u);
        quotient <<= 1;
        if (remainder >= denominator) {
            remainder -= denominator;
            quotient |= 1u;
        }
    }
    return quotient;
}

#endif
