/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernels of two operands, element by element, have in common. */
#ifndef P2B_BROADCAST_H
#define P2B_BROADCAST_H

#include "p2b_checks.h"

/* The output of one value of each operand. */
typedef int8_t p2b_combine_t(const void *layer, int8_t first, int8_t second);

/* Compute a row. Each kernel gets a copy of this loop with its `combine` in it. */
static inline __attribute__((always_inline)) void p2b_combine_row(const void *layer, p2b_broadcast_t axes,
                                                                  const int8_t *const *in, int8_t *output,
                                                                  p2b_combine_t *combine)
{
    const int8_t *row_1 = in[0], *row_2 = in[1];

    for (int32_t i = 0; i < axes.outer; ++i) {
        const int8_t *first = row_1, *second = row_2;

        for (int8_t *const end = output + axes.inner; output != end; ++output) {
            *output = combine(layer, *first, *second);
            first += axes.inner_1;
            second += axes.inner_2;
        }
        row_1 += axes.outer_1;
        row_2 += axes.outer_2;
    }
}

/* Preconditions of a call. */
static inline bool p2b_check_broadcast(const p2b_broadcast_t *axes, const int8_t *const *in, int8_t *const *out,
                                       int32_t rows)
{
    P2B_ASSERT(rows == 1);
    P2B_ASSERT(in[0] != NULL && in[1] != NULL);
    P2B_ASSERT(axes->outer >= 1 && axes->inner >= 1);
    P2B_ASSERT(axes->outer_1 >= 0 && axes->outer_2 >= 0);
    P2B_ASSERT(axes->inner_1 == 0 || axes->inner_1 == 1);
    P2B_ASSERT(axes->inner_2 == 0 || axes->inner_2 == 1);
    P2B_ASSERT(p2b_check_row(out[0], axes->outer * axes->inner));
    P2B_ASSERT(p2b_check_row(in[0], (axes->outer - 1) * axes->outer_1 + (axes->inner - 1) * axes->inner_1 + 1));
    P2B_ASSERT(p2b_check_row(in[1], (axes->outer - 1) * axes->outer_2 + (axes->inner - 1) * axes->inner_2 + 1));
    return true;
}

#endif
