/* SPDX-License-Identifier: Apache-2.0 */
/* FULLY_CONNECTED by MAC16. Scratch: the input, widened. */
#include "p2b_checks.h"
#include "p2b_mac16.h"

void p2b_fully_connected_mac16(const void *op, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_fully_connected_t *const layer = op;

    P2B_ASSERT(p2b_check_fully_connected(layer, in, out, rows, scratch));
    P2B_ASSERT(p2b_is_aligned(layer->weights, 4));

    const int32_t jump = P2B_MAC16_FOLLOWING;
    const p2b_mac16_row_t row = {
        .values = scratch,
        .pixels = 1,
        .vectors = 1,
        .groups = (layer->in_n + 3) / 4,
        .jumps = &jump,
        .depth = layer->out_n,
        .weights = layer->weights,
        .output = &layer->output,
    };

    p2b_mac16_widen(in[0], layer->in_n, scratch, layer->in_n, 1, layer->in_n);
    p2b_mac16_products(&row, 0, layer->out_n, out[0]);
}
