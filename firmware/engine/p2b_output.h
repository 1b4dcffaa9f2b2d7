/* SPDX-License-Identifier: Apache-2.0 */
/* The end of every layer with weights: an accumulator becomes an int8. */
#ifndef P2B_OUTPUT_H
#define P2B_OUTPUT_H

#include <stdbool.h>

#include "p2b_arithmetic.h"
#include "p2b_kernels.h"

/* Whether a channel is requantized exactly. */
static inline bool p2b_is_exact(const p2b_output_t *output, const p2b_channel_t *channel)
{
    return output->mode == P2B_REQUANT_EXACT || (output->mode == P2B_REQUANT_MIXED && channel->shift > 31);
}

/* Requantization by the layer's mode and the channel's constants, then the clamp. accumulator: bias included. */
static inline int8_t p2b_output_value(int32_t accumulator, const p2b_channel_t *channel, const p2b_output_t *output)
{
    int32_t y;

    if (p2b_is_exact(output, channel)) {
        const int32_t shift = channel->shift - (output->mode == P2B_REQUANT_EXACT ? 0 : P2B_EXACT_SHIFT);

        return p2b_clamp(p2b_requantize(accumulator, channel->multiplier, shift), channel->rounding, output->low,
                         output->high);
    }
    y = p2b_high((int32_t)((uint32_t)accumulator << 6), channel->multiplier);
    if (output->mode != P2B_REQUANT_FAST)
        y += ((y + 16) >> 31) * 32;
    y = (y + channel->rounding) >> channel->shift;
    return (int8_t)(y < output->low ? output->low : y > output->high ? output->high : y);
}

#endif
