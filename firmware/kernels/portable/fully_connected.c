/* SPDX-License-Identifier: Apache-2.0 */
/* Fully connected layer: a window of one pixel. */
#include "p2b_portable.h"

#include "p2b_checks.h"

void p2b_fully_connected_portable(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows,
                                  void *scratch)
{
    const p2b_fully_connected_t *const op = layer;

    P2B_ASSERT(p2b_check_fully_connected(op, in, out, rows, scratch));
    P2B_ASSERT(p2b_is_aligned(op->weights, 4));

    const uint8_t *const x = scratch;
    const uint32_t *weights = op->weights;
    const int32_t segment = (int32_t)*weights++, lines = p2b_portable_lines(op->in_n, segment);
    int32_t sums[P2B_PORTABLE_OUTPUTS];

    p2b_portable_copy(in[0], scratch, op->in_n);
    for (int32_t o = 0; o < op->out_n; o += P2B_PORTABLE_OUTPUTS) {
        const int32_t n = p2b_portable_outputs(op->out_n - o), words = p2b_portable_words(n);

        p2b_portable_one[words - 1](x, x, weights, op->in_n, segment, sums);
        p2b_portable_finish(&op->output, sums, false, &op->output.channels[o], n, &out[0][o], 0);
        weights += lines * words;
    }
}
