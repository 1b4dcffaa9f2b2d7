/* SPDX-License-Identifier: Apache-2.0 */
/* Values below zero are multiplied by those of a second tensor, mostly one value a channel. */
#include "p2b_arithmetic.h"
#include "p2b_broadcast.h"

static inline int8_t combine(const void *layer, int8_t first, int8_t second)
{
    const p2b_prelu_t *const op = layer;
    const int32_t x = first - op->zero_point_1;
    const int32_t y = x >= 0 ? p2b_requantize(x, op->multiplier_above, op->shift_above)
                             : p2b_requantize(x * (second - op->zero_point_2), op->multiplier_below, op->shift_below);

    return p2b_clamp(y, op->zero_point, INT8_MIN, INT8_MAX);
}

void p2b_prelu(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_prelu_t *const op = layer;

    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(p2b_check_broadcast(&op->axes, in, out, rows));
    P2B_ASSERT(op->multiplier_above >= 0 && op->shift_above >= -31 && op->shift_above <= 31);
    P2B_ASSERT(op->multiplier_below >= 0 && op->shift_below >= -31 && op->shift_below <= 31);
    P2B_ASSERT(p2b_is_int8(op->zero_point_1) && p2b_is_int8(op->zero_point_2) && p2b_is_int8(op->zero_point));

    /* A copy, which the outputs cannot be part of. */
    const p2b_prelu_t constants = *op;

    p2b_combine_row(&constants, constants.axes, in, out[0], combine);
}
