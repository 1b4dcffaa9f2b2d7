/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax in gemmlowp's fixed point, bit for bit: "Qi" is an int32 with i bits before the binary point.
 *
 * gemmlowp's products are signed, p2b_multiply_high() takes one operand that is not negative: of every product
 * here one is. */
#include "p2b_arithmetic.h"
#include "p2b_checks.h"

#define EXP_MINUS_EIGHTH 1895147668 /* Q0 */
#define THIRD 715827883             /* Q0 */
#define ONE_Q2 (1 << 29)
#define MINUS_32_OVER_17 -1010580540 /* Q2 */
#define VALUE_48_OVER_17 1515870810  /* Q2 */

/* exp(a) in Q0 for a <= 0 in Q5. */
static int32_t exp_on_negative(int32_t a)
{
    /* exp(-2^i), Q0, for i = -2 .. 4: the bits of a Q5 number from bit 24 up. */
    static const int32_t powers[] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    const int32_t fraction = (a & ((1 << 24) - 1)) - (1 << 24); /* of -1/4 to 0 */
    const int32_t x = fraction * 32 + (1 << 28);                /* Q0, from -1/8, where the series is taken */
    const int32_t magnitude = x < 0 ? -x : x;
    const int32_t x2 = p2b_multiply_high(magnitude, magnitude);
    const int32_t x3 = p2b_multiply_high(x, x2);
    const int32_t x4 = p2b_multiply_high(x2, x2);
    const int32_t high_terms = p2b_multiply_high(p2b_rounding_shift(x4, 2) + x3, THIRD);
    const int32_t series = x + p2b_rounding_shift(high_terms + x2, 1);
    const int32_t rest = (fraction - a) >> 24;
    int32_t result = EXP_MINUS_EIGHTH + p2b_multiply_high(series, EXP_MINUS_EIGHTH);

    if (a == 0)
        return INT32_MAX;
    for (int32_t i = 0; i < 7; ++i)
        if (rest >> i & 1)
            result = p2b_multiply_high(result, powers[i]);
    return result;
}

/* 1 / (1 + a) in Q0 for 0 <= a < 1 in Q0: three steps of Newton's division. */
static int32_t reciprocal_of_one_plus(int32_t a)
{
    const int32_t half_denominator = (int32_t)(((uint32_t)a + (1u << 31)) >> 1);          /* Q0 */
    int32_t x = VALUE_48_OVER_17 + p2b_multiply_high(MINUS_32_OVER_17, half_denominator); /* Q2 */

    for (int32_t i = 0; i < 3; ++i) {
        const int32_t error = ONE_Q2 - p2b_multiply_high(half_denominator, x);
        x += p2b_saturating_shift_left(p2b_multiply_high(error, x), 2);
    }
    return p2b_saturating_shift_left(x, 1);
}

/* exp of an input's difference from the largest one, Q0. */
static int32_t exp_of(const p2b_softmax_t *op, int32_t difference)
{
    return exp_on_negative(p2b_multiply_high((int32_t)((uint32_t)difference << op->shift), op->multiplier));
}

static void softmax(const p2b_softmax_t *op, const int8_t *input, int8_t *output)
{
    int32_t largest = INT8_MIN, sum = 0; /* Q12 */
    int32_t over = 12;

    for (int32_t i = 0; i < op->depth; ++i)
        if (input[i] > largest)
            largest = input[i];
    for (int32_t i = 0; i < op->depth; ++i)
        if (input[i] - largest >= op->diff_min)
            sum += p2b_rounding_shift(exp_of(op, input[i] - largest), 12);

    /* sum = (1 + a) * 2^over, 0 <= a < 1, with a in the bits below the highest one. */
    for (; sum >= 0; sum = (int32_t)((uint32_t)sum << 1))
        --over;
    const int32_t scale = reciprocal_of_one_plus(sum & INT32_MAX);

    for (int32_t i = 0; i < op->depth; ++i) {
        const int32_t difference = input[i] - largest;

        if (difference < op->diff_min)
            output[i] = INT8_MIN;
        else
            output[i] = p2b_clamp(p2b_rounding_shift(p2b_multiply_high(exp_of(op, difference), scale), over + 23),
                                  INT8_MIN, INT8_MIN, INT8_MAX);
    }
}

void p2b_softmax(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_softmax_t *const op = layer;

    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(rows == 1);
    P2B_ASSERT(in[0] != NULL);
    P2B_ASSERT(op->pixels >= 1 && op->depth >= 1 && op->depth <= 511);
    P2B_ASSERT(op->multiplier >= 1 << 30 && op->shift >= 0 && op->shift <= 31);
    P2B_ASSERT(op->diff_min <= 0 && op->diff_min >= -((31 << 26) >> op->shift));

    for (int32_t i = 0; i < op->pixels; ++i)
        softmax(op, in[0] + i * op->depth, out[0] + i * op->depth);
}
