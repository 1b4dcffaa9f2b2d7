/* SPDX-License-Identifier: Apache-2.0 */
/* Element-wise product, requantized once. */
#include "p2b_arithmetic.h"
#include "p2b_broadcast.h"

static inline int8_t combine(const void *layer, int8_t first, int8_t second)
{
    const p2b_mul_t *const op = layer;
    const int32_t product = (first - op->zero_point_1) * (second - op->zero_point_2);

    return p2b_clamp(p2b_requantize(product, op->multiplier, op->shift), op->zero_point, op->low, op->high);
}

void p2b_mul(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_mul_t *const op = layer;

    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(p2b_check_broadcast(&op->axes, in, out, rows));
    P2B_ASSERT(op->multiplier >= 0 && op->shift >= -31 && op->shift <= 31);
    P2B_ASSERT(p2b_is_int8(op->zero_point_1) && p2b_is_int8(op->zero_point_2) && p2b_is_int8(op->zero_point));
    P2B_ASSERT(p2b_check_range(op->low, op->high));

    /* A copy, which the outputs cannot be part of. */
    const p2b_mul_t constants = *op;

    p2b_combine_row(&constants, constants.axes, in, out[0], combine);
}
