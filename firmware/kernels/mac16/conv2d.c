/* SPDX-License-Identifier: Apache-2.0 */
/* CONV_2D by MAC16, one output row a call. Scratch: the jumps between a pixel's patches, then the pool_h convolution
 * rows that the output needs, widened. */
#include "p2b_checks.h"
#include "p2b_mac16.h"

/* `columns` columns of one kernel row's padding, `pitch` values apart; returns the next column. */
static int16_t *pad(int16_t *out, int32_t columns, int32_t depth, int32_t pitch, int16_t zero)
{
    for (; columns > 0; --columns, out += pitch)
        for (int32_t i = 0; i < depth; ++i)
            out[i] = zero;
    return out;
}

/* One kernel row's part of a convolution row: `inputs` channels of an input row, widened, and its padding. */
static void widen_row(const p2b_conv2d_t *layer, const int8_t *in, int32_t inputs, int16_t *out, int32_t columns,
                      int32_t pitch)
{
    const p2b_window_t *const window = &layer->window;
    const int16_t zero = (int16_t)(layer->input_zero_point + 128);
    const int32_t before = in && window->pad_w < columns ? window->pad_w : columns;
    const int32_t inside = columns - before < window->in_w ? columns - before : window->in_w;

    out = pad(out, before, inputs, pitch, zero);
    p2b_mac16_widen(in, window->in_c, out, pitch, inside, inputs);
    out += inside * pitch;
    (void)pad(out, columns - before - inside, inputs, pitch, zero);
}

void p2b_mac16_convolve(const p2b_conv2d_t *layer, const int8_t *const *in, int8_t *out, int32_t input, int32_t inputs,
                        int32_t first, int32_t outputs, void *scratch)
{
    const p2b_window_t *const window = &layer->window;
    const int32_t odd = window->kernel_h * inputs & 1 && (window->stride_w & 1 || layer->pool_h > 1);
    const int32_t pitch = window->kernel_h * inputs + odd;
    const int32_t columns = (window->out_w - 1) * window->stride_w + window->kernel_w;
    const int32_t vectors = layer->pool_h * layer->pool_w, groups = (window->kernel_w * pitch + 3) / 4;
    int32_t *const jumps = scratch, *jump = jumps;
    int16_t *const values = (int16_t *)(void *)(jumps + vectors);
    const p2b_mac16_row_t row = {
        .values = values,
        .pixels = layer->pooled_w,
        .vectors = vectors,
        .groups = groups,
        .jumps = jumps,
        .depth = layer->out_c,
        .weights = layer->weights,
        .output = &layer->output,
    };
    int32_t here = 0;

    for (int32_t y = 0; y < layer->pool_h; ++y)
        for (int32_t ky = 0; ky < window->kernel_h; ++ky) {
            const int8_t *const from = in[y * window->stride_h + ky];

            widen_row(layer, from ? from + input : NULL, inputs, values + y * columns * pitch + ky * inputs, columns,
                      pitch);
        }
    for (int32_t i = 0, x = 0, y = 0; i < vectors; ++i) {
        int32_t next;

        if (++x == layer->pool_w)
            x = 0, ++y;
        next = i + 1 < vectors ? y * columns + x * window->stride_w : layer->pool_stride_w * window->stride_w;
        *jump++ = 2 * (next - here) * pitch - 8 * groups - 8;
        here = next;
    }
    p2b_mac16_products(&row, first, outputs, out);
}

void p2b_conv2d_mac16(const void *op, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_conv2d_t *const layer = op;

    P2B_ASSERT(p2b_check_conv2d(layer, in, out, rows, scratch));
    P2B_ASSERT(rows == 1);
    P2B_ASSERT(p2b_is_aligned(layer->weights, 4));
    p2b_mac16_convolve(layer, in, out[0], 0, layer->window.in_c, 0, layer->out_c, scratch);
}
