/* SPDX-License-Identifier: Apache-2.0 */
/* The larger or the smaller of two values. */
#include "p2b_arithmetic.h"
#include "p2b_broadcast.h"

static inline int8_t combine(const void *layer, int8_t first, int8_t second)
{
    const p2b_extremum_t *const op = layer;

    return op->sign * (second - first) > 0 ? second : first;
}

void p2b_extremum(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_extremum_t *const op = layer;

    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(p2b_check_broadcast(&op->axes, in, out, rows));
    P2B_ASSERT(op->sign == 1 || op->sign == -1);

    /* A copy, which the outputs cannot be part of. */
    const p2b_extremum_t constants = *op;

    p2b_combine_row(&constants, constants.axes, in, out[0], combine);
}
