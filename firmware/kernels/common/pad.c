/* SPDX-License-Identifier: Apache-2.0 */
/* Padding of one row: pixels to its left and right, channels before and after each of its pixels. */
#include "p2b_checks.h"

static int8_t *fill(int8_t *output, int32_t n, int32_t value)
{
    for (int8_t *const end = output + n; output != end;)
        *output++ = (int8_t)value;
    return output;
}

void p2b_pad(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_pad_t *const op = layer;

    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(rows == 1);
    P2B_ASSERT(op->left >= 0 && op->width >= 1 && op->right >= 0);
    P2B_ASSERT(op->before >= 0 && op->depth >= 1 && op->after >= 0);
    P2B_ASSERT(p2b_is_int8(op->value));

    const int32_t depth = op->before + op->depth + op->after;
    const int8_t *input = in[0];
    int8_t *output = out[0];

    if (input == NULL) {
        (void)fill(output, (op->left + op->width + op->right) * depth, op->value);
        return;
    }
    output = fill(output, op->left * depth, op->value);
    for (int32_t x = 0; x < op->width; ++x) {
        output = fill(output, op->before, op->value);
        for (int8_t *const end = output + op->depth; output != end;)
            *output++ = *input++;
        output = fill(output, op->after, op->value);
    }
    (void)fill(output, op->right * depth, op->value);
}
