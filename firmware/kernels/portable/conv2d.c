/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution: a row of the input as columns, then two windows times six outputs at a time. */
#include "p2b_portable.h"

#include "p2b_checks.h"

P2B_PORTABLE_SUMS(two_1, 1, true)
P2B_PORTABLE_SUMS(two_2, 2, true)
P2B_PORTABLE_SUMS(two_3, 3, true)
P2B_PORTABLE_SUMS(two_4, 4, true)

static p2b_portable_sums_t *const two_windows[] = {two_1, two_2, two_3, two_4};

/* A row of the convolution. */
typedef struct {
    const uint8_t *columns;
    int32_t *maxima; /* with pooling: of the rows of the pooling windows so far, pooled_w x out_c */
    bool first;      /* row of the pooling windows */
    int8_t *out;
} row_t;

/* Take a group's n sums of one or two pixels into the maxima, of which they are the first ones or not. */
static void pool(const int32_t *sums, bool two, bool first, int32_t n, int32_t *maxima)
{
    for (const int32_t *const end = sums + n; sums != end; ++sums, ++maxima) {
        int32_t maximum = sums[0];

        if (two && maximum < sums[P2B_PORTABLE_OUTPUTS])
            maximum = sums[P2B_PORTABLE_OUTPUTS];
        if (first || *maxima < maximum)
            *maxima = maximum;
    }
}

/* The group of outputs from `channel` on, for all pixels of a row. */
static void do_group(const p2b_conv2d_t *op, const row_t *row, const uint32_t *weights, int32_t segment,
                     int32_t channel)
{
    const p2b_window_t *const window = &op->window;
    const int32_t n = p2b_portable_outputs(op->out_c - channel), words = p2b_portable_words(n);
    const int32_t column = window->kernel_h * window->in_c, taps = window->kernel_w * column;
    const int32_t step = window->stride_w * column, pitch = op->out_c;
    const p2b_channel_t *const channels = op->output.channels + channel;
    p2b_portable_sums_t *const two = two_windows[words - 1], *const one = p2b_portable_one[words - 1];
    int32_t sums[2 * P2B_PORTABLE_OUTPUTS];

    if (row->maxima) {
        for (int32_t i = 0; i < op->pooled_w; ++i) {
            const uint8_t *const x = row->columns + i * op->pool_stride_w * step;
            bool first = row->first;

            for (int32_t j = 0; j < op->pool_w; j += 2, first = false) {
                const bool both = j + 1 < op->pool_w;

                (both ? two : one)(x + j * step, x + j * step + (both ? step : 0), weights, taps, segment, sums);
                pool(sums, both, first, n, row->maxima + i * pitch + channel);
            }
        }
    } else {
        for (int32_t i = 0; i < op->window.out_w; i += 2) {
            const uint8_t *const x = row->columns + i * step;
            const bool both = i + 1 < op->window.out_w;

            (both ? two : one)(x, x + (both ? step : 0), weights, taps, segment, sums);
            p2b_portable_finish(&op->output, sums, both, channels, n, row->out + i * pitch + channel, pitch);
        }
    }
}

/* All outputs of a row. */
static void do_row(const p2b_conv2d_t *op, const row_t *row)
{
    const int32_t taps = op->window.kernel_w * op->window.kernel_h * op->window.in_c;
    const uint32_t *weights = op->weights;
    const int32_t segment = (int32_t)*weights++, lines = p2b_portable_lines(taps, segment);

    for (int32_t channel = 0; channel < op->out_c; channel += P2B_PORTABLE_OUTPUTS) {
        do_group(op, row, weights, segment, channel);
        weights += lines * p2b_portable_words(p2b_portable_outputs(op->out_c - channel));
    }
}

static void fill(uint8_t *to, int32_t n, uint8_t value)
{
    for (const uint8_t *const end = to + n; to != end;)
        *to++ = value;
}

/* The columns of one convolution row. */
static void copy_columns(const p2b_conv2d_t *op, const int8_t *const *in, uint8_t *columns)
{
    const p2b_window_t *const window = &op->window;
    const int32_t in_c = window->in_c, column = window->kernel_h * in_c;
    const int32_t all = (window->out_w - 1) * window->stride_w + window->kernel_w, right = all - window->pad_w;
    const int32_t inside = right < window->in_w ? right : window->in_w;
    const uint8_t zero = (uint8_t)(op->input_zero_point + 128);
    /* Rows of one-row windows are one run. */
    const int32_t run = window->kernel_h > 1 ? in_c : inside * in_c;

    fill(columns, window->pad_w * column, zero);
    columns += window->pad_w * column;
    for (int32_t y = 0; y < window->kernel_h; ++y) {
        uint8_t *to = columns + y * in_c;
        const int8_t *from = in[y];

        for (uint8_t *const end = to + inside * column; to < end; to += run == in_c ? column : run) {
            if (from) {
                p2b_portable_copy(from, to, run);
                from += run;
            } else {
                fill(to, run, zero);
            }
        }
    }
    fill(columns + inside * column, (right - inside) * column, zero);
}

void p2b_conv2d_portable(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_conv2d_t *const op = layer;

    P2B_ASSERT(p2b_check_conv2d(op, in, out, rows, scratch));
    P2B_ASSERT(p2b_is_aligned(op->weights, 4));

    const bool pools = op->pool_h > 1 || op->pool_w > 1;
    int32_t *const maxima = pools ? scratch : NULL;
    uint8_t *const columns = pools ? (uint8_t *)(maxima + op->pooled_w * op->out_c) : scratch;

    for (int32_t y = 0; y < rows; ++y, in += op->pool_stride_h * op->window.stride_h) {
        for (int32_t i = 0; i < op->pool_h; ++i) {
            const row_t row = {columns, maxima, i == 0, out[y]};

            copy_columns(op, in + i * op->window.stride_h, columns);
            do_row(op, &row);
        }
        for (int32_t x = 0; pools && x < op->pooled_w; ++x)
            p2b_portable_finish(&op->output, maxima + x * op->out_c, false, op->output.channels, op->out_c,
                                out[y] + x * op->out_c, 0);
    }
}
