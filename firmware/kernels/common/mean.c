/* SPDX-License-Identifier: Apache-2.0 */
/* Sum or mean over pixels: the multiplier of a mean divides by their number. */
#include "p2b_arithmetic.h"
#include "p2b_checks.h"

void p2b_mean(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_mean_t *const op = layer;

    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(in[0] != NULL);
    P2B_ASSERT(op->groups >= 1 && op->pixels >= 1 && op->channels >= 1);
    P2B_ASSERT(p2b_is_int8(op->input_zero_point) && p2b_is_int8(op->output_zero_point));
    P2B_ASSERT(op->multiplier >= 0 && op->shift >= -31 && op->shift <= 31);

    const int32_t size = op->pixels * op->channels;
    const int8_t *input = in[0];
    int8_t *output = out[0];

    for (int32_t group = 0; group < op->groups; ++group, input += size)
        for (int32_t c = 0; c < op->channels; ++c) {
            int32_t sum = -op->pixels * op->input_zero_point;

            for (const int8_t *p = input + c, *const end = p + size; p != end; p += op->channels)
                sum += *p;
            *output++ =
                p2b_clamp(p2b_requantize(sum, op->multiplier, op->shift), op->output_zero_point, INT8_MIN, INT8_MAX);
        }
}
