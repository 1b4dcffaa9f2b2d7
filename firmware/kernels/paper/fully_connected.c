/* Fully connected layer, output stationary: one accumulator, inputs and weights stream through. */
#include "p2b_arithmetic.h"
#include "p2b_kernels.h"

void p2b_fully_connected(const p2b_fully_connected_t *op, const int8_t *input, int8_t *output)
{
    const p2b_requantization_t *const r = &op->requantization;
    const int8_t *const input_end = input + op->in_n;
    const int8_t *weights = op->weights;

    for (int32_t c = 0; c < op->out_n; ++c) {
        int32_t accumulator = op->bias[c];

        for (const int8_t *x = input; x != input_end; ++x, ++weights)
            accumulator += (*x + r->input_offset) * *weights;
        output[c] = p2b_clamp(p2b_requantize(accumulator, r->multipliers[c], r->shifts[c]), r->output_offset,
                              r->low, r->high);
    }
}
