/* SPDX-License-Identifier: Apache-2.0 */
/* Element-wise sum or difference: both operands are brought to a common scale with 20 extra bits, then added.
 *
 * An operand has 256 values, so the first step is a table. TFLite gives the sum, which is below 2^28, a multiplier
 * below 1 (no shift to the left). */
#include "p2b_arithmetic.h"
#include "p2b_broadcast.h"

/* Values step_1 and step_2 apart. rectified: no output lies below the zero point, which all sums up to 0 give. */
static inline void add_values(p2b_add_t op, const uint8_t *input_1, int32_t step_1, const uint8_t *input_2,
                              int32_t step_2, int8_t *output, int rectified)
{
    /* With h = high(sum << 3, multiplier) TFLite's first rounding is (h + 2) >> 2; the second one sends ties
     * away from zero: up, unless 1 is taken from a negative number. A shift by 29 bits or more gives 0. */
    const int32_t shift = op.shift < 29 ? op.shift : 29;
    const int32_t rounding = shift > 0 ? 2 + (2 << shift) : 2, tie = shift > 0 ? -4 : 0;

    for (int8_t *const end = output + op.axes.inner; output != end; ++output) {
        const int32_t sum = op.table_1[*input_1] + op.table_2[*input_2];
        int32_t y = op.low;

        input_1 += step_1;
        input_2 += step_2;
        if (!rectified || sum > 0) {
            const int32_t h = p2b_high(sum * 8, op.multiplier);
            const int32_t sign = rectified ? 0 : ((h + 2) >> 31) & tie;

            y = ((h + rounding + sign) >> (shift + 2)) + op.zero_point;
            y = y < op.low ? op.low : y > op.high ? op.high : y;
        }
        *output = (int8_t)y;
    }
}

void p2b_add(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_add_t *const op = layer;

    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(p2b_check_broadcast(&op->axes, in, out, rows));
    P2B_ASSERT(op->table_1 != NULL && op->table_2 != NULL);
    P2B_ASSERT(op->multiplier >= 0 && op->shift >= 0 && op->shift <= 31);
    P2B_ASSERT(p2b_is_int8(op->zero_point));
    P2B_ASSERT(p2b_check_range(op->low, op->high));

    const uint8_t *input_1 = (const uint8_t *)in[0], *input_2 = (const uint8_t *)in[1];
    int8_t *output = out[0];

    for (int32_t i = 0; i < op->axes.outer; ++i) {
        if (op->axes.inner_1 == 0 || op->axes.inner_2 == 0)
            add_values(*op, input_1, op->axes.inner_1, input_2, op->axes.inner_2, output, 0);
        else if (op->low >= op->zero_point)
            add_values(*op, input_1, 1, input_2, 1, output, 1);
        else
            add_values(*op, input_1, 1, input_2, 1, output, 0);
        input_1 += op->axes.outer_1;
        input_2 += op->axes.outer_2;
        output += op->axes.inner;
    }
}
