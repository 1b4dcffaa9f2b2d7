/* Element-wise sum: both operands are brought to a common scale with 20 extra bits, then added. */
#include "p2b_arithmetic.h"
#include "p2b_kernels.h"

#define LEFT_SHIFT 20

void p2b_add(const p2b_add_t *op, const int8_t *input_1, const int8_t *input_2, int8_t *output)
{
    for (int32_t i = 0; i < op->n; ++i) {
        const int32_t x1 = (input_1[i] + op->offset_1) * (1 << LEFT_SHIFT);
        const int32_t x2 = (input_2[i] + op->offset_2) * (1 << LEFT_SHIFT);
        const int32_t sum = p2b_requantize(x1, op->multiplier_1, op->shift_1) +
                            p2b_requantize(x2, op->multiplier_2, op->shift_2);
        const int32_t scaled = p2b_requantize(sum, op->output_multiplier, op->output_shift);

        output[i] = p2b_clamp(scaled, op->output_offset, op->low, op->high);
    }
}
