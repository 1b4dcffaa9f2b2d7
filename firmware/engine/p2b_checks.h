/* SPDX-License-Identifier: Apache-2.0 */
/* The preconditions of p2b_kernels.h that several kernels share, for P2B_ASSERT (p2b_assert.h) at a kernel's head.
 *
 * A function p2b_check_*() returns true, or ends the program at the first of its conditions that is false, so that the
 * message tells which one that is. */
#ifndef P2B_CHECKS_H
#define P2B_CHECKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "p2b_assert.h"
#include "p2b_kernels.h"
#include "p2b_output.h"

static inline bool p2b_is_aligned(const void *pointer, uintptr_t bytes)
{
    return (uintptr_t)pointer % bytes == 0;
}

static inline bool p2b_is_int8(int32_t value)
{
    return value >= INT8_MIN && value <= INT8_MAX;
}

/* Whether a window moves over `size` pixels as p2b_window_t says, along one axis. */
static inline bool p2b_is_window(int32_t size, int32_t out, int32_t kernel, int32_t stride, int32_t pad)
{
    return size >= 1 && out >= 1 && kernel >= 1 && stride >= 1 && pad >= 0 && pad < (out - 1) * stride + kernel;
}

/* What every kernel is given. */
static inline bool p2b_check_call(const void *op, const int8_t *const *in, int8_t *const *out, int32_t rows,
                                  const void *scratch)
{
    P2B_ASSERT(op != NULL && in != NULL && out != NULL);
    P2B_ASSERT(rows >= 1);
    P2B_ASSERT(p2b_is_aligned(scratch, 16));
    for (int32_t i = 0; i < rows; ++i)
        P2B_ASSERT(out[i] != NULL);
    return true;
}

/* A row of `bytes` bytes; NULL is padding. */
static inline bool p2b_check_row(const int8_t *row, int32_t bytes)
{
    P2B_ASSERT(bytes >= 1);
    P2B_ASSERT(bytes % 4 != 0 || p2b_is_aligned(row, 4));
    return true;
}

static inline bool p2b_check_range(int32_t low, int32_t high)
{
    P2B_ASSERT(p2b_is_int8(low) && p2b_is_int8(high) && low <= high);
    return true;
}

/* Requantization of n channels. */
static inline bool p2b_check_output(const p2b_output_t *output, int32_t n)
{
    P2B_ASSERT(p2b_check_range(output->low, output->high));
    P2B_ASSERT(output->mode >= P2B_REQUANT_FAST && output->mode <= P2B_REQUANT_MIXED);
    P2B_ASSERT(n >= 1 && output->channels != NULL);
    for (int32_t i = 0; i < n; ++i) {
        const p2b_channel_t *const channel = &output->channels[i];
        const int32_t shift = channel->shift - (output->mode == P2B_REQUANT_MIXED ? P2B_EXACT_SHIFT : 0);

        P2B_ASSERT(channel->multiplier >= 0);
        if (p2b_is_exact(output, channel))
            P2B_ASSERT(shift >= -31 && shift <= 31 && p2b_is_int8(channel->rounding));
        else
            P2B_ASSERT(channel->shift >= 1 && channel->shift <= 31 &&
                       channel->rounding >> channel->shift >= output->low);
    }
    return true;
}

/* A convolution, depthwise or not. */
static inline bool p2b_check_conv2d(const p2b_conv2d_t *op, const int8_t *const *in, int8_t *const *out, int32_t rows,
                                    const void *scratch)
{
    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));

    const p2b_window_t *const window = &op->window;
    const int32_t convolution_rows = (rows - 1) * op->pool_stride_h + op->pool_h;
    const int32_t in_rows = (convolution_rows - 1) * window->stride_h + window->kernel_h;
    const bool pools = op->pool_h > 1 || op->pool_w > 1;

    P2B_ASSERT(window->in_c >= 1 && op->out_c >= 1);
    P2B_ASSERT(p2b_is_window(window->in_h, window->out_h, window->kernel_h, window->stride_h, window->pad_h));
    P2B_ASSERT(p2b_is_window(window->in_w, window->out_w, window->kernel_w, window->stride_w, window->pad_w));
    P2B_ASSERT(op->pool_h >= 1 && op->pool_w >= 1 && op->pool_stride_h >= 1 && op->pool_stride_w >= 1);
    P2B_ASSERT(op->pooled_w >= 1 && (op->pooled_w - 1) * op->pool_stride_w + op->pool_w <= window->out_w);
    P2B_ASSERT(pools || (op->pool_stride_h == 1 && op->pool_stride_w == 1 && op->pooled_w == window->out_w));
    P2B_ASSERT(op->left >= 0 && op->left <= op->right && op->right <= window->out_w);
    P2B_ASSERT(op->left == op->right || op->left * window->stride_w >= window->pad_w);
    P2B_ASSERT(op->left == op->right ||
               (op->right - 1) * window->stride_w - window->pad_w + window->kernel_w <= window->in_w);
    P2B_ASSERT(p2b_is_int8(op->input_zero_point));
    P2B_ASSERT(op->weights != NULL);
    P2B_ASSERT(p2b_check_output(&op->output, op->out_c));
    for (int32_t i = 0; i < in_rows; ++i)
        P2B_ASSERT(p2b_check_row(in[i], window->in_w * window->in_c));
    for (int32_t i = 0; i < rows; ++i)
        P2B_ASSERT(p2b_check_row(out[i], op->pooled_w * op->out_c));
    return true;
}

static inline bool p2b_check_depthwise_conv2d(const p2b_conv2d_t *op, const int8_t *const *in, int8_t *const *out,
                                              int32_t rows, const void *scratch)
{
    P2B_ASSERT(p2b_check_conv2d(op, in, out, rows, scratch));
    P2B_ASSERT((uint32_t)op->out_c % (uint32_t)op->window.in_c == 0);
    return true;
}

static inline bool p2b_check_fully_connected(const p2b_fully_connected_t *op, const int8_t *const *in,
                                             int8_t *const *out, int32_t rows, const void *scratch)
{
    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(rows == 1);
    P2B_ASSERT(in[0] != NULL);
    P2B_ASSERT(p2b_is_int8(op->input_zero_point));
    P2B_ASSERT(op->weights != NULL);
    P2B_ASSERT(p2b_check_output(&op->output, op->out_n));
    P2B_ASSERT(p2b_check_row(in[0], op->in_n));
    P2B_ASSERT(p2b_check_row(out[0], op->out_n));
    return true;
}

#endif
