/* Convolution as the deck does it: output stationary, with or without the interior/boundary split.
 *
 * Output stationary: one output's accumulator stays in a register while its inputs and weights stream
 * through, so no buffer besides input and output exists. Split (P2B_SPLIT=1): where the window lies wholly
 * inside the input, no tap is checked, and each of its rows is one run of kernel_w * in_c consecutive bytes
 * of input and of weights. */
#include "p2b_arithmetic.h"
#include "p2b_kernels.h"

#ifndef P2B_SPLIT
#error "define P2B_SPLIT as 1 (interior without bounds checks) or 0 (every tap checked)"
#endif

/* Sum of (input + offset) * weight over n consecutive elements. */
static inline int32_t dot(const int8_t *input, const int8_t *weights, int32_t n, int32_t offset)
{
    int32_t sum = 0;

    for (const int8_t *end = weights + n; weights != end; ++weights, ++input)
        sum += (*input + offset) * *weights;
    return sum;
}

/* The sum under a window at row y, column x of the input, each tap checked for lying inside. */
static int32_t sum_checked(const p2b_window_t *window, int32_t offset, const int8_t *input,
                           const int8_t *weights, int32_t y, int32_t x)
{
    const int32_t in_c = window->in_c;
    int32_t sum = 0;

    for (int32_t row = y; row < y + window->kernel_h; ++row)
        for (int32_t column = x; column < x + window->kernel_w; ++column, weights += in_c)
            if (row >= 0 && row < window->in_h && column >= 0 && column < window->in_w)
                sum += dot(input + (row * window->in_w + column) * in_c, weights, in_c, offset);
    return sum;
}

#if P2B_SPLIT
/* The sum under a window at row y, column x that lies wholly inside the input. */
static int32_t sum_interior(const p2b_window_t *window, int32_t offset, const int8_t *input,
                            const int8_t *weights, int32_t y, int32_t x)
{
    const int32_t run = window->kernel_w * window->in_c, pitch = window->in_w * window->in_c;
    const int8_t *const weights_end = weights + window->kernel_h * run;
    int32_t sum = 0;

    for (input += y * pitch + x * window->in_c; weights != weights_end; weights += run, input += pitch)
        sum += dot(input, weights, run, offset);
    return sum;
}
#endif

typedef int32_t sum_t(const p2b_window_t *window, int32_t offset, const int8_t *input,
                      const int8_t *weights, int32_t y, int32_t x);

/* Outputs of row out_y, columns from .. to - 1, all channels; returns where the next output goes. */
static inline int8_t *columns(const p2b_conv2d_t *op, sum_t *sum, const int8_t *input, int8_t *output,
                              int32_t out_y, int32_t from, int32_t to)
{
    const p2b_window_t *const window = &op->window;
    const p2b_requantization_t *const r = &op->requantization;
    const int32_t filter = window->kernel_h * window->kernel_w * window->in_c;
    const int32_t y = out_y * window->stride_h - window->pad_h;

    for (int32_t out_x = from; out_x < to; ++out_x) {
        const int32_t x = out_x * window->stride_w - window->pad_w;
        const int8_t *weights = op->weights;

        for (int32_t c = 0; c < op->out_c; ++c, weights += filter) {
            const int32_t accumulator = op->bias[c] + sum(window, r->input_offset, input, weights, y, x);
            const int32_t scaled = p2b_requantize(accumulator, r->multipliers[c], r->shifts[c]);
            *output++ = p2b_clamp(scaled, r->output_offset, r->low, r->high);
        }
    }
    return output;
}

void p2b_conv2d(const p2b_conv2d_t *op, const int8_t *input, int8_t *output)
{
    const int32_t width = op->window.out_w;

    for (int32_t y = 0; y < op->window.out_h; ++y) {
#if P2B_SPLIT
        if (y >= op->top && y < op->bottom) {
            output = columns(op, sum_checked, input, output, y, 0, op->left);
            output = columns(op, sum_interior, input, output, y, op->left, op->right);
            output = columns(op, sum_checked, input, output, y, op->right, width);
            continue;
        }
#endif
        output = columns(op, sum_checked, input, output, y, 0, width);
    }
}
