/* SPDX-License-Identifier: Apache-2.0 */
/* Division by the root of the sum of squares, with gemmlowp's fixed point: "Qi" is an int32 with i bits before the
 * binary point. */
#include "p2b_arithmetic.h"
#include "p2b_checks.h"

#define ONE_Q3 (1 << 28)
#define HALF_ROOT_2 1518500250 /* Q0 */
#define OUTPUT_BITS 7

/* 1 / sqrt(x) = *multiplier / 2^31 / 2^*shift: five steps of Newton's iteration. */
static void inverse_square_root(int32_t x, int32_t *multiplier, int32_t *shift)
{
    int32_t root = ONE_Q3; /* Q3 */

    *multiplier = INT32_MAX;
    *shift = 0;
    if (x <= 1)
        return;
    *shift = 11;
    for (; x >= 1 << 29; x /= 4)
        ++*shift;
    for (; x < 1 << 27; x *= 4)
        --*shift;

    const int32_t half = p2b_rounding_shift(x >> 1, 1);

    for (int32_t i = 0; i < 5; ++i) {
        const int32_t cube =
            p2b_saturating_shift_left(p2b_multiply_high(p2b_multiply_high(root, root), root), 6); /* Q3 */

        root =
            p2b_saturating_shift_left(p2b_multiply_high(ONE_Q3 + ONE_Q3 / 2, root) - p2b_multiply_high(half, cube), 3);
    }
    *multiplier = p2b_multiply_high(root, HALF_ROOT_2);
    if (*shift < 0) {
        *multiplier = (int32_t)((uint32_t)*multiplier << -*shift);
        *shift = 0;
    }
}

void p2b_l2_normalization(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_l2_normalization_t *const op = layer;

    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(rows == 1);
    P2B_ASSERT(in[0] != NULL);
    P2B_ASSERT(op->pixels >= 1 && op->depth >= 1);
    P2B_ASSERT(p2b_is_int8(op->input_zero_point));

    const int8_t *input = in[0];
    int8_t *output = out[0];

    for (int32_t i = 0; i < op->pixels; ++i) {
        int32_t squares = 0, multiplier, shift;

        for (int32_t c = 0; c < op->depth; ++c) {
            const int32_t x = input[c] - op->input_zero_point;

            squares += x * x;
        }
        inverse_square_root(squares, &multiplier, &shift);
        for (const int8_t *const end = input + op->depth; input != end;)
            *output++ = p2b_clamp(p2b_requantize(*input++ - op->input_zero_point, multiplier, OUTPUT_BITS - shift), 0,
                                  INT8_MIN, INT8_MAX);
    }
}
