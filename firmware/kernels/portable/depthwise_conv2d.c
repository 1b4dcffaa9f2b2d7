/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution: four channels of the input as a strip of bytes u (p2b_portable.h), columns x kernel_h x 4,
 * then one output channel after the other, four pixels at a time. */
#include "p2b_portable.h"

#include "p2b_checks.h"

#define CHANNELS 4 /* of a strip */

typedef struct {
    const uint8_t *strip; /* at the channel */
    int32_t step;         /* bytes from a pixel's window to the next one's */
    const int16_t *weights;
    int32_t taps;
    int32_t pixels;
    bool first; /* row of the pooling windows */
} line_t;

/* The strip of channels from .. from + n - 1 for one row of the convolution. */
static void copy_strip(const p2b_conv2d_t *op, const int8_t *const *in, int32_t from, int32_t n, uint8_t *strip)
{
    const p2b_window_t *const window = &op->window;
    const int32_t in_c = window->in_c, column = window->kernel_h * CHANNELS;
    const int32_t all = (window->out_w - 1) * window->stride_w + window->kernel_w, right = all - window->pad_w;
    const int32_t inside = right < window->in_w ? right : window->in_w;
    const uint8_t zero = (uint8_t)(op->input_zero_point + 128);
    uint8_t *const begin = strip + window->pad_w * column, *const end = begin + inside * column;

    for (uint8_t *to = strip; to != begin;)
        *to++ = zero;
    for (uint8_t *to = end; to != strip + all * column;)
        *to++ = zero;
    for (int32_t y = 0; y < window->kernel_h; ++y) {
        uint8_t *to = begin + y * CHANNELS;
        const uint8_t *row = (const uint8_t *)in[y];

        if (!row) {
            for (; to < end; to += column)
                to[0] = to[1] = to[2] = to[3] = zero;
        } else if ((((uintptr_t)row | (uintptr_t)in_c) & 3u) == 0) {
            for (row += from; to < end; to += column, row += in_c)
                *(p2b_portable_word_t *)to = *(const p2b_portable_word_t *)row ^ 0x80808080u;
        } else {
            for (row += from; to < end; to += column, row += in_c)
                for (int32_t c = 0; c < n; ++c)
                    to[c] = (uint8_t)(row[c] - 128);
        }
    }
}

P2B_PORTABLE_INLINE void keep(int32_t *maximum, bool first, uint32_t sum)
{
    if (first || *maximum < (int32_t)sum)
        *maximum = (int32_t)sum;
}

/* Sums of one output channel's pixels, for any window. */
static void sum_pixels(const line_t *line, int32_t *sums)
{
    for (int32_t i = 0; i < line->pixels; ++i) {
        const uint8_t *const x = line->strip + i * line->step;
        uint32_t sum = 0;

        for (int32_t k = 0; k < line->taps; ++k)
            sum += x[k * CHANNELS] * (uint32_t)line->weights[k];
        keep(&sums[i], line->first, sum);
    }
}

/* sum += its tap in a column, if it has one there. */
P2B_PORTABLE_INLINE void tap(uint32_t *sum, uint32_t x, int32_t column, uint32_t w0, uint32_t w1, uint32_t w2)
{
    if (column >= 0 && column < 3)
        *sum += x * (column == 0 ? w0 : column == 1 ? w1 : w2);
}

/* The same for 3 x 3 windows, stride pixels apart, and four or more of them; stride, 1 or 2, is a constant. Every
 * byte is loaded once for all windows. */
P2B_PORTABLE_INLINE void sum_pixels_3x3(const line_t *line, int32_t stride, int32_t *sums)
{
    const int16_t *const weights = line->weights;
    const bool first = line->first;

    for (int32_t pixel = 0; pixel < line->pixels; pixel += 4) {
        /* The last four may overlap those before. */
        const int32_t from = pixel < line->pixels - 4 ? pixel : line->pixels - 4;
        const uint8_t *const x = line->strip + from * stride * 3 * CHANNELS;
        int32_t *const to = sums + from;
        uint32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;

        for (int32_t y = 0; y < 3; ++y) {
            const uint32_t w0 = (uint32_t)weights[y], w1 = (uint32_t)weights[3 + y], w2 = (uint32_t)weights[6 + y];

#pragma GCC unroll 9
            for (int32_t column = 0; column < 3 * stride + 3; ++column) {
                const uint32_t value = x[(column * 3 + y) * CHANNELS];

                tap(&sum0, value, column, w0, w1, w2);
                tap(&sum1, value, column - stride, w0, w1, w2);
                tap(&sum2, value, column - 2 * stride, w0, w1, w2);
                tap(&sum3, value, column - 3 * stride, w0, w1, w2);
            }
        }
        keep(&to[0], first, sum0);
        keep(&to[1], first, sum1);
        keep(&to[2], first, sum2);
        keep(&to[3], first, sum3);
    }
}

static __attribute__((noinline)) void sum_pixels_3x3_1(const line_t *line, int32_t *sums)
{
    sum_pixels_3x3(line, 1, sums);
}

static __attribute__((noinline)) void sum_pixels_3x3_2(const line_t *line, int32_t *sums)
{
    sum_pixels_3x3(line, 2, sums);
}

/* The rest of one output channel: pool along the row, requantize. */
P2B_PORTABLE_INLINE void finish_with(const p2b_conv2d_t *op, const p2b_output_t *output, const int32_t *sums,
                                     const p2b_channel_t *channel, int8_t *out)
{
    /* Copies, which no store to out can change. */
    const p2b_channel_t constants = *channel;
    const int32_t pooled = op->pooled_w, width = op->pool_w, stride = op->pool_stride_w, pitch = op->out_c;

    for (int32_t i = 0; i < pooled; ++i) {
        int32_t maximum = sums[i * stride];

        for (int32_t j = 1; j < width; ++j)
            if (maximum < sums[i * stride + j])
                maximum = sums[i * stride + j];
        out[i * pitch] = p2b_output_value((int32_t)((uint32_t)maximum + (uint32_t)constants.bias), &constants, output);
    }
}

static __attribute__((noinline)) void finish(const p2b_conv2d_t *op, const int32_t *sums, const p2b_channel_t *channel,
                                             int8_t *out)
{
    const p2b_output_t fast = {P2B_REQUANT_FAST, op->output.low, op->output.high, channel};

    if (op->output.mode == P2B_REQUANT_FAST)
        finish_with(op, &fast, sums, channel, out);
    else
        finish_with(op, &op->output, sums, channel, out);
}

void p2b_depthwise_conv2d_portable(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows,
                                   void *scratch)
{
    const p2b_conv2d_t *const op = layer;

    P2B_ASSERT(p2b_check_depthwise_conv2d(op, in, out, rows, scratch));
    P2B_ASSERT(p2b_is_aligned(op->weights, 2));

    const p2b_window_t *const window = &op->window;
    const int32_t in_c = window->in_c, taps = window->kernel_h * window->kernel_w;
    int32_t multiplier = 0; /* outputs an input channel */

    for (int32_t c = 0; c < op->out_c; c += in_c)
        ++multiplier;

    int32_t *const sums = scratch; /* of a strip's output channels, out_w each */
    uint8_t *const strip = (uint8_t *)(sums + CHANNELS * multiplier * window->out_w);
    const int32_t step = window->stride_w * window->kernel_h * CHANNELS;
    const bool block = window->kernel_h == 3 && window->kernel_w == 3 && window->out_w >= 4;
    void (*const sum_line)(const line_t *, int32_t *) = block && window->stride_w == 1   ? sum_pixels_3x3_1
                                                        : block && window->stride_w == 2 ? sum_pixels_3x3_2
                                                                                         : sum_pixels;

    for (int32_t y = 0; y < rows; ++y, in += op->pool_stride_h * window->stride_h) {
        for (int32_t c = 0; c < in_c; c += CHANNELS) {
            const int32_t n = in_c - c < CHANNELS ? in_c - c : CHANNELS, first = c * multiplier;

            for (int32_t i = 0; i < op->pool_h; ++i) {
                const int16_t *weights = (const int16_t *)op->weights + first * taps;
                int32_t *sum = sums;

                copy_strip(op, in + i * window->stride_h, c, n, strip);
                for (int32_t k = 0; k < n; ++k)
                    for (int32_t j = 0; j < multiplier; ++j, weights += taps, sum += window->out_w) {
                        const line_t line = {strip + k, step, weights, taps, window->out_w, i == 0};

                        sum_line(&line, sum);
                    }
            }
            for (int32_t o = 0; o < n * multiplier; ++o)
                finish(op, sums + o * window->out_w, &op->output.channels[first + o], out[y] + first + o);
        }
    }
}
