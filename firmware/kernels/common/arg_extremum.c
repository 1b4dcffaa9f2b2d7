/* SPDX-License-Identifier: Apache-2.0 */
/* Where the greatest or the least value over pixels is. */
#include "p2b_checks.h"

void p2b_arg_extremum(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_arg_extremum_t *const op = layer;

    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(in[0] != NULL);
    P2B_ASSERT(op->groups >= 1 && op->pixels >= 1 && op->pixels <= 256 && op->channels >= 1);
    P2B_ASSERT(op->least == 0 || op->least == 1);

    const int32_t sign = op->least ? -1 : 1;
    const int32_t size = op->pixels * op->channels;
    const int8_t *input = in[0];
    int8_t *output = out[0];

    for (int32_t group = 0; group < op->groups; ++group, input += size)
        for (int32_t c = 0; c < op->channels; ++c) {
            int32_t found = 0;

            for (int32_t pixel = 1; pixel < op->pixels; ++pixel)
                if (sign * input[pixel * op->channels + c] > sign * input[found * op->channels + c])
                    found = pixel;
            *output++ = (int8_t)(found - 128);
        }
}
