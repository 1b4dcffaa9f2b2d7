/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions as the deck does them: output stationary, with or without the interior/boundary split.
 *
 * Output stationary: one output's accumulator stays in a register while its inputs and weights stream
 * through, so no buffer besides input and output exists. Split (P2B_SPLIT=1): where the window lies wholly
 * inside the input, no tap is checked, and each of a CONV_2D's rows is one run of kernel_w * in_c consecutive
 * bytes of input and of weights. */
#include "p2b_checks.h"
#include "p2b_output.h"

#ifndef P2B_SPLIT
#error "define P2B_SPLIT as 1 (interior without bounds checks) or 0 (every tap checked)"
#endif

/* For functions whose inner loop needs the registers: inlined into the loops around it, it takes 14 instructions a
 * multiply-accumulate instead of 12, and with the split other loops than without it. */
#define NOINLINE __attribute__((noinline))

/* The sum under a window whose first row is in[0] and whose first column is x. weights: the output channel's;
 * channel: the input channel of a depthwise convolution. */
typedef int32_t sum_t(const p2b_conv2d_t *op, const int8_t *const *in, const int8_t *weights, int32_t x,
                      int32_t channel);

/* All output channels of a convolution pixel whose window begins at column x. */
typedef void pixel_t(const p2b_conv2d_t *op, const int8_t *const *in, int8_t *out, int32_t x);

/* Sum of (input + offset) * weight over n consecutive elements. */
static inline int32_t dot(const int8_t *input, const int8_t *weights, int32_t n, int32_t offset)
{
    int32_t sum = 0;

    for (const int8_t *end = weights + n; weights != end; ++weights, ++input)
        sum += (*input + offset) * *weights;
    return sum;
}

static inline int inside(const p2b_conv2d_t *op, const int8_t *row, int32_t column)
{
    return row != NULL && column >= 0 && column < op->window.in_w;
}

NOINLINE static int32_t conv2d_checked(const p2b_conv2d_t *op, const int8_t *const *in, const int8_t *weights,
                                       int32_t x, int32_t channel)
{
    const p2b_window_t *const window = &op->window;
    const int32_t in_c = window->in_c, offset = -op->input_zero_point;
    int32_t sum = 0;
    (void)channel;

    for (int32_t y = 0; y < window->kernel_h; ++y)
        for (int32_t column = x; column < x + window->kernel_w; ++column, weights += in_c)
            if (inside(op, in[y], column))
                sum += dot(in[y] + column * in_c, weights, in_c, offset);
    return sum;
}

NOINLINE static int32_t conv2d_interior(const p2b_conv2d_t *op, const int8_t *const *in, const int8_t *weights,
                                        int32_t x, int32_t channel)
{
    const p2b_window_t *const window = &op->window;
    const int32_t run = window->kernel_w * window->in_c, offset = -op->input_zero_point;
    int32_t sum = 0;
    (void)channel;

    for (int32_t y = 0; y < window->kernel_h; ++y, weights += run)
        sum += dot(in[y] + x * window->in_c, weights, run, offset);
    return sum;
}

static int32_t depthwise_checked(const p2b_conv2d_t *op, const int8_t *const *in, const int8_t *weights, int32_t x,
                                 int32_t channel)
{
    const p2b_window_t *const window = &op->window;
    int32_t sum = 0;

    for (int32_t y = 0; y < window->kernel_h; ++y)
        for (int32_t column = x; column < x + window->kernel_w; ++column, weights += op->out_c)
            if (inside(op, in[y], column))
                sum += (in[y][column * window->in_c + channel] - op->input_zero_point) * *weights;
    return sum;
}

static int32_t depthwise_interior(const p2b_conv2d_t *op, const int8_t *const *in, const int8_t *weights, int32_t x,
                                  int32_t channel)
{
    const p2b_window_t *const window = &op->window;
    const int32_t in_c = window->in_c, offset = -op->input_zero_point;
    int32_t sum = 0;

    for (int32_t y = 0; y < window->kernel_h; ++y) {
        const int8_t *input = in[y] + x * in_c + channel;

        for (const int8_t *const end = input + window->kernel_w * in_c; input != end;
             input += in_c, weights += op->out_c)
            sum += (*input + offset) * *weights;
    }
    return sum;
}

/* The output value of channel c, or what is there already if that is larger. */
static inline void finish(const p2b_conv2d_t *op, int8_t *out, int32_t c, int32_t sum)
{
    const p2b_channel_t *const channel = &op->output.channels[c];
    const int8_t value = p2b_output_value(channel->bias + sum, channel, &op->output);

    if (value > out[c])
        out[c] = value;
}

static inline void conv2d_pixel(const p2b_conv2d_t *op, sum_t *sum, const int8_t *const *in, int8_t *out, int32_t x)
{
    const int32_t filter = op->window.kernel_h * op->window.kernel_w * op->window.in_c;
    const int8_t *weights = op->weights;

    for (int32_t c = 0; c < op->out_c; ++c, weights += filter)
        finish(op, out, c, sum(op, in, weights, x, 0));
}

static inline void depthwise_pixel(const p2b_conv2d_t *op, sum_t *sum, const int8_t *const *in, int8_t *out, int32_t x)
{
    const int8_t *const weights = op->weights;
    int32_t channel = 0, part = 0; /* c * in_c / out_c and its remainder */

    for (int32_t c = 0; c < op->out_c; ++c) {
        finish(op, out, c, sum(op, in, weights + c, x, channel));
        part += op->window.in_c;
        if (part == op->out_c) {
            part = 0;
            ++channel;
        }
    }
}

static void conv2d_pixel_checked(const p2b_conv2d_t *op, const int8_t *const *in, int8_t *out, int32_t x)
{
    conv2d_pixel(op, conv2d_checked, in, out, x);
}

static void conv2d_pixel_interior(const p2b_conv2d_t *op, const int8_t *const *in, int8_t *out, int32_t x)
{
    conv2d_pixel(op, conv2d_interior, in, out, x);
}

static void depthwise_pixel_checked(const p2b_conv2d_t *op, const int8_t *const *in, int8_t *out, int32_t x)
{
    depthwise_pixel(op, depthwise_checked, in, out, x);
}

static void depthwise_pixel_interior(const p2b_conv2d_t *op, const int8_t *const *in, int8_t *out, int32_t x)
{
    depthwise_pixel(op, depthwise_interior, in, out, x);
}

/* Whether none of the rows under a window is padding. */
static int whole(const p2b_conv2d_t *op, const int8_t *const *in)
{
    for (int32_t y = 0; y < op->window.kernel_h; ++y)
        if (in[y] == NULL)
            return 0;
    return 1;
}

/* One output row: the convolution's pixels one after the other, each going into its pooling window's maximum. */
static inline void row(const p2b_conv2d_t *op, const int8_t *const *in, int8_t *out, pixel_t *checked,
                       pixel_t *interior)
{
    for (int32_t i = 0; i < op->pooled_w * op->out_c; ++i)
        out[i] = INT8_MIN;
    for (int32_t pool_y = 0; pool_y < op->pool_h; ++pool_y, in += op->window.stride_h) {
        const int split = P2B_SPLIT && whole(op, in);

        for (int32_t pooled = 0; pooled < op->pooled_w; ++pooled)
            for (int32_t pool_x = 0; pool_x < op->pool_w; ++pool_x) {
                const int32_t column = pooled * op->pool_stride_w + pool_x;
                const int32_t x = column * op->window.stride_w - op->window.pad_w;
                int8_t *const pixel = out + pooled * op->out_c;

                if (split && column >= op->left && column < op->right)
                    interior(op, in, pixel, x);
                else
                    checked(op, in, pixel, x);
            }
    }
}

void p2b_conv2d_paper(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_conv2d_t *const op = layer;

    P2B_ASSERT(p2b_check_conv2d(op, in, out, rows, scratch));
    P2B_ASSERT(rows == 1);
    P2B_ASSERT(op->output.mode == P2B_REQUANT_EXACT);
    row(op, in, out[0], conv2d_pixel_checked, conv2d_pixel_interior);
}

void p2b_depthwise_conv2d_paper(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows,
                                void *scratch)
{
    const p2b_conv2d_t *const op = layer;

    P2B_ASSERT(p2b_check_depthwise_conv2d(op, in, out, rows, scratch));
    P2B_ASSERT(rows == 1);
    P2B_ASSERT(op->output.mode == P2B_REQUANT_EXACT);
    row(op, in, out[0], depthwise_pixel_checked, depthwise_pixel_interior);
}
