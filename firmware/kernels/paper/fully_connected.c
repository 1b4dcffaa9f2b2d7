/* SPDX-License-Identifier: Apache-2.0 */
/* Fully connected layer, output stationary: one accumulator, inputs and weights stream through. */
#include "p2b_checks.h"
#include "p2b_output.h"

void p2b_fully_connected_paper(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows,
                               void *scratch)
{
    const p2b_fully_connected_t *const op = layer;

    P2B_ASSERT(p2b_check_fully_connected(op, in, out, rows, scratch));
    P2B_ASSERT(op->output.mode == P2B_REQUANT_EXACT);

    const int32_t offset = -op->input_zero_point;
    const int8_t *const end = in[0] + op->in_n;
    const int8_t *weights = op->weights;

    for (int32_t c = 0; c < op->out_n; ++c) {
        const p2b_channel_t *const channel = &op->output.channels[c];
        int32_t accumulator = channel->bias;

        for (const int8_t *x = in[0]; x != end; ++x, ++weights)
            accumulator += (*x + offset) * *weights;
        out[0][c] = p2b_output_value(accumulator, channel, &op->output);
    }
}
