/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax and its logarithm in gemmlowp's fixed point, bit for bit: "Qi" is an int32 with i bits before the binary point.
 *
 * gemmlowp's products are signed, p2b_multiply_high() takes one operand that is not negative: of every product
 * here one is. */
#include <string.h>

#include "p2b_arithmetic.h"
#include "p2b_checks.h"

#define EXP_MINUS_EIGHTH 1895147668 /* Q0 */
#define THIRD 715827883             /* Q0 */
#define ONE_Q2 (1 << 29)
#define MINUS_32_OVER_17 -1010580540 /* Q2 */
#define VALUE_48_OVER_17 1515870810  /* Q2 */
#define LARGEST_SUM (512 << 19)      /* Q12 */
#define HALF_ROOT_2 1518500250       /* Q0 */
#define FOURTH_ROOT_OF_HALF 1805811301
#define LOG_2 1488522236
#define LOG_ALPHA_N 117049297 /* 11/240, 1/20, 1/4 of the fourth root of 2, and 2 over that root, minus it; Q0 */
#define LOG_ALPHA_D 127690142
#define LOG_ALPHA_F 638450708
#define LOG_ALPHA_I 1057819769
#define QUARTER_Q6 (1 << 23)

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

/* How many bits of x > 0 lie above its highest one. */
static int32_t leading_zeros(int32_t x)
{
    int32_t zeros = 0;

    for (uint32_t bits = (uint32_t)x; bits < 1u << 31; bits <<= 1)
        ++zeros;
    return zeros;
}

/* log(x) in Q5 for x >= 1 in Q12: a rational approximation near the fourth root of 1/2. */
static int32_t log_of_sum(int32_t x)
{
    const int32_t zeros = leading_zeros(x), zeros_b = leading_zeros(p2b_multiply_high(x, HALF_ROOT_2));
    const int32_t r_a =
        p2b_saturating_shift_left(p2b_multiply_high((int32_t)((uint32_t)x << (zeros - 1)), HALF_ROOT_2), 1);
    const int32_t r_b = p2b_saturating_shift_left(x, zeros_b - 1);
    const int32_t power_a = (12 - zeros) * (1 << 25) + QUARTER_Q6; /* Q6 */
    const int32_t power_b = (13 - zeros_b) * (1 << 25) - QUARTER_Q6;
    const int32_t r = r_a < r_b ? r_a : r_b, power = power_a > power_b ? power_a : power_b;

    const int32_t half_sum = (int32_t)(((uint32_t)r + FOURTH_ROOT_OF_HALF + 1u) >> 1);
    const int32_t q = (r - FOURTH_ROOT_OF_HALF) * 2, magnitude = q < 0 ? -q : q;
    const int32_t square = p2b_multiply_high(magnitude, magnitude);
    const int32_t numerator = p2b_multiply_high(q, r) + p2b_multiply_high(p2b_multiply_high(q, square), LOG_ALPHA_N);
    const int32_t sum = LOG_ALPHA_I + q + p2b_multiply_high(square, LOG_ALPHA_D);
    const int32_t denominator = p2b_multiply_high(sum, half_sum) + p2b_multiply_high(q, LOG_ALPHA_F);
    const int32_t quotient = p2b_multiply_high(p2b_rounding_shift(numerator, 6), reciprocal_of_one_plus(denominator));

    return p2b_saturating_shift_left(p2b_multiply_high(power, LOG_2) + quotient, 1);
}

/* An input's difference from the largest one as an exponent, Q5. */
static int32_t exponent_of(const p2b_softmax_t *op, int32_t difference)
{
    return p2b_multiply_high((int32_t)((uint32_t)difference << op->shift), op->multiplier);
}

static int32_t largest_of(const int8_t *input, int32_t depth)
{
    int32_t largest = INT8_MIN;

    for (int32_t i = 0; i < depth; ++i)
        if (input[i] > largest)
            largest = input[i];
    return largest;
}

/* The sum of all exps in Q12, as soon as it is too large if it is that. */
static int32_t sum_of_exps(const p2b_softmax_t *op, const int8_t *input, int32_t largest, int32_t too_large)
{
    int32_t sum = 0;

    for (int32_t i = 0; i < op->depth && sum < too_large; ++i)
        if (input[i] - largest >= op->diff_min)
            sum += p2b_rounding_shift(exp_on_negative(exponent_of(op, input[i] - largest)), 12);
    return sum;
}

static void softmax(const p2b_softmax_t *op, const int8_t *input, int8_t *output)
{
    const int32_t largest = largest_of(input, op->depth);
    int32_t sum = sum_of_exps(op, input, largest, LARGEST_SUM);
    int32_t over = 12;

    if (sum >= LARGEST_SUM) { /* no quotient reaches half a step */
        memset(output, INT8_MIN, (size_t)op->depth);
        return;
    }
    /* sum = (1 + a) * 2^over, 0 <= a < 1, with a in the bits below the highest one. */
    for (; sum >= 0; sum = (int32_t)((uint32_t)sum << 1))
        --over;
    const int32_t scale = reciprocal_of_one_plus(sum & INT32_MAX);

    for (int32_t i = 0; i < op->depth; ++i) {
        const int32_t difference = input[i] - largest;

        if (difference < op->diff_min)
            output[i] = INT8_MIN;
        else
            output[i] = p2b_clamp(
                p2b_rounding_shift(p2b_multiply_high(exp_on_negative(exponent_of(op, difference)), scale), over + 23),
                INT8_MIN, INT8_MIN, INT8_MAX);
    }
}

static void log_softmax(const p2b_log_softmax_t *op, const int8_t *input, int8_t *output)
{
    const p2b_softmax_t *const exp = &op->exp;
    const int32_t largest = largest_of(input, exp->depth);
    const int32_t logarithm = log_of_sum(sum_of_exps(exp, input, largest, INT32_MAX));
    int32_t lowest = p2b_requantize(logarithm + INT32_MIN, op->reverse_multiplier, op->reverse_shift);

    if (lowest < exp->diff_min - 1)
        lowest = exp->diff_min - 1;
    for (int32_t i = 0; i < exp->depth; ++i) {
        const int32_t difference = input[i] - largest;

        if (difference <= lowest)
            output[i] = INT8_MIN;
        else
            output[i] = p2b_clamp(p2b_rounding_shift(exponent_of(exp, difference) - logarithm, 22), INT8_MAX, INT8_MIN,
                                  INT8_MAX);
    }
}

static bool check_groups(const p2b_softmax_t *op)
{
    P2B_ASSERT(op->pixels >= 1 && op->depth >= 1);
    P2B_ASSERT(op->multiplier >= 1 << 30 && op->shift >= 0 && op->shift <= 31);
    P2B_ASSERT(op->diff_min <= 0 && op->diff_min >= -((31 << 26) >> op->shift));
    return true;
}

void p2b_softmax(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_softmax_t *const op = layer;

    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(rows == 1);
    P2B_ASSERT(in[0] != NULL);
    P2B_ASSERT(check_groups(op));

    for (int32_t i = 0; i < op->pixels; ++i)
        softmax(op, in[0] + i * op->depth, out[0] + i * op->depth);
}

void p2b_log_softmax(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_log_softmax_t *const op = layer;

    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(rows == 1);
    P2B_ASSERT(in[0] != NULL);
    P2B_ASSERT(check_groups(&op->exp));
    P2B_ASSERT(op->exp.depth <= 4095);
    P2B_ASSERT(op->reverse_multiplier >= 0 && op->reverse_shift >= -31 && op->reverse_shift <= 0);

    for (int32_t i = 0; i < op->exp.pixels; ++i)
        log_softmax(op, in[0] + i * op->exp.depth, out[0] + i * op->exp.depth);
}
