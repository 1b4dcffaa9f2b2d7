/* SPDX-License-Identifier: Apache-2.0 */
/* Concatenation of rows, by copying. */
#include "p2b_kernels.h"

#include <stddef.h>

void p2b_concatenation(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_concatenation_t *const op = layer;
    int8_t *output = out[0];
    (void)rows;
    (void)scratch;

    for (int32_t run = 0; run < op->runs; ++run)
        for (int32_t i = 0; i < op->inputs; ++i) {
            if (in[i] == NULL)
                continue;
            const int8_t *input = in[i] + run * op->lengths[i];

            for (int8_t *const end = output + op->lengths[i]; output != end;)
                *output++ = *input++;
        }
}
