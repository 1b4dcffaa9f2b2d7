/* SPDX-License-Identifier: Apache-2.0 */
/* Concatenation of rows, by copying. */
#include "p2b_checks.h"

void p2b_concatenation(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_concatenation_t *const op = layer;

    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(rows == 1);
    P2B_ASSERT(op->runs >= 1 && op->inputs >= 1 && op->lengths != NULL);
    for (int32_t i = 0; i < op->inputs; ++i)
        P2B_ASSERT(p2b_check_row(in[i], op->runs * op->lengths[i]));

    int8_t *output = out[0];

    for (int32_t run = 0; run < op->runs; ++run)
        for (int32_t i = 0; i < op->inputs; ++i) {
            if (in[i] == NULL)
                continue;
            const int8_t *input = in[i] + run * op->lengths[i];

            for (int8_t *const end = output + op->lengths[i]; output != end;)
                *output++ = *input++;
        }
}
