/* SPDX-License-Identifier: Apache-2.0 */
/* Enlarging and reducing: each output is a mean of four inputs, weighted by its distance from them. */
#include "p2b_checks.h"

#define ONE (1 << P2B_RESIZE_BITS)

static bool check(const p2b_resize_bilinear_t *op, const int8_t *const *in, int8_t *const *out, int32_t rows,
                  const void *scratch)
{
    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(in[0] != NULL && op->rows != NULL && op->columns != NULL);
    P2B_ASSERT(op->out_h >= 1 && op->out_w >= 1 && op->channels >= 1);
    for (int32_t i = 0; i < 3 * op->out_h; ++i)
        P2B_ASSERT(op->rows[i] >= 0 && (i % 3 < 2 || op->rows[i] < ONE));
    for (int32_t i = 0; i < 3 * op->out_w; ++i)
        P2B_ASSERT(op->columns[i] >= 0 && (i % 3 < 2 || op->columns[i] < ONE));
    return true;
}

/* Sums are below 2^27 + 2^19; ties go away from zero. */
static int8_t divided(int32_t sum)
{
    const int32_t half = 1 << (2 * P2B_RESIZE_BITS - 1);

    return (int8_t)(sum > 0 ? (sum + half) >> 2 * P2B_RESIZE_BITS : -((half - sum) >> 2 * P2B_RESIZE_BITS));
}

void p2b_resize_bilinear(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_resize_bilinear_t *const op = layer;

    P2B_ASSERT(check(op, in, out, rows, scratch));

    int8_t *output = out[0];

    for (int32_t y = 0; y < op->out_h; ++y) {
        const int32_t *const row = op->rows + 3 * y;
        const int32_t down = row[2];

        for (int32_t x = 0; x < op->out_w; ++x) {
            const int32_t *const column = op->columns + 3 * x;
            const int32_t across = column[2];
            const int8_t *top_left = in[0] + row[0] + column[0], *top_right = in[0] + row[0] + column[1];
            const int8_t *bottom_left = in[0] + row[1] + column[0], *bottom_right = in[0] + row[1] + column[1];

            for (int8_t *const end = output + op->channels; output != end;) {
                const int32_t left = *top_left++ * (ONE - down) + *bottom_left++ * down;
                const int32_t right = *top_right++ * (ONE - down) + *bottom_right++ * down;

                *output++ = divided(left * (ONE - across) + right * across);
            }
        }
    }
}
