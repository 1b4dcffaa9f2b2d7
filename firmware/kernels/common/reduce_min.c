/* SPDX-License-Identifier: Apache-2.0 */
/* The least value over pixels. */
#include "p2b_checks.h"

void p2b_reduce_min(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_reduce_t *const op = layer;

    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(in[0] != NULL);
    P2B_ASSERT(op->groups >= 1 && op->pixels >= 1 && op->channels >= 1);

    const int32_t size = op->pixels * op->channels;
    const int8_t *input = in[0];
    int8_t *output = out[0];

    for (int32_t group = 0; group < op->groups; ++group, input += size)
        for (int32_t c = 0; c < op->channels; ++c) {
            int8_t least = INT8_MAX;

            for (const int8_t *p = input + c, *const end = p + size; p != end; p += op->channels)
                if (*p < least)
                    least = *p;
            *output++ = least;
        }
}
