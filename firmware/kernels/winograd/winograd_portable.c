/* SPDX-License-Identifier: Apache-2.0 */
/* Winograd convolution with dot products in C: 2 tiles x 2 output channels in registers. */
#define P2B_BLOCK 2
#include "winograd.h"

typedef int16_t __attribute__((may_alias)) half_t;

/* p2b_output_value(x / 64) in mode P2B_REQUANT_FAST. */
static inline int8_t fast_value(int32_t x, const p2b_channel_t *channel, const p2b_output_t *output)
{
    int32_t y;

    if (x <= 0)
        return (int8_t)output->low;
    y = (p2b_high(x, channel->multiplier) + channel->rounding) >> channel->shift;
    return (int8_t)(y > output->high ? output->high : y);
}

static void requantize(const uint32_t *y, int32_t n, const p2b_output_t *layer, int8_t *const *to, int32_t c)
{
    /* Copies: an int8 that is stored may, for all gcc knows, change what is in memory. */
    const p2b_output_t output = *layer;
    const p2b_channel_t channel = output.channels[c];

    if (output.mode == P2B_REQUANT_FAST)
        while (n-- > 0)
            to[n][c] = fast_value((int32_t)y[n], &channel, &output);
    else
        while (n-- > 0)
            to[n][c] = p2b_output_value((int32_t)y[n] >> 6, &channel, &output);
}

static void dots(const int16_t *u, const word_t *v_words, int32_t pairs, uint32_t t[][24])
{
    const half_t *v = (const half_t *)v_words;

    for (int32_t row = 0; row < 24; row += 4) {
        uint32_t m[4][6];

        for (int32_t column = 0; column < 6; ++column) {
            uint32_t m0 = 0, m1 = 0, m2 = 0, m3 = 0;

            for (const int16_t *const end = u + 4 * pairs; u != end; u += 4, v += 4) {
                m0 += (uint32_t)(u[0] * v[0]);
                m1 += (uint32_t)(u[0] * v[2]);
                m2 += (uint32_t)(u[2] * v[0]);
                m3 += (uint32_t)(u[2] * v[2]);
                m0 += (uint32_t)(u[1] * v[1]);
                m1 += (uint32_t)(u[1] * v[3]);
                m2 += (uint32_t)(u[3] * v[1]);
                m3 += (uint32_t)(u[3] * v[3]);
            }
            m[0][column] = m0;
            m[1][column] = m1;
            m[2][column] = m2;
            m[3][column] = m3;
        }
        for (int32_t i = 0; i < 4; ++i)
            output_transform(m[i][0], m[i][1], m[i][2], m[i][3], m[i][4], m[i][5], 1, t[i] + row, 1);
    }
}

void p2b_conv2d_winograd_portable(const void *op, const int8_t *const *in, int8_t *const *out, int32_t rows,
                                  void *scratch)
{
    convolve(op, in, out, rows, scratch);
}
