/* SPDX-License-Identifier: Apache-2.0 */
/* Products of the rows of two tensors. */
#include "p2b_arithmetic.h"
#include "p2b_checks.h"

static int32_t product(const p2b_batch_matmul_t *op, const int8_t *x, const int8_t *y)
{
    int32_t sum = 0;

    for (const int8_t *const end = x + op->depth; x != end;)
        sum += (*x++ - op->zero_point_1) * (*y++ - op->zero_point_2);
    return sum;
}

void p2b_batch_matmul(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_batch_matmul_t *const op = layer;

    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(in[0] != NULL && in[1] != NULL);
    P2B_ASSERT(op->batches >= 1 && op->rows >= 1 && op->columns >= 1 && op->depth >= 1);
    P2B_ASSERT(p2b_is_int8(op->zero_point_1) && p2b_is_int8(op->zero_point_2) && p2b_is_int8(op->output_zero_point));
    P2B_ASSERT(op->multiplier >= 0 && op->shift >= -31 && op->shift <= 31);

    const int8_t *x = in[0], *y = in[1];
    int8_t *output = out[0];

    for (int32_t batch = 0; batch < op->batches; ++batch, y += op->columns * op->depth)
        for (int32_t row = 0; row < op->rows; ++row, x += op->depth)
            for (int32_t column = 0; column < op->columns; ++column)
                *output++ = p2b_clamp(p2b_requantize(product(op, x, y + column * op->depth), op->multiplier, op->shift),
                                      op->output_zero_point, INT8_MIN, INT8_MAX);
}
