/* CONV_2D by MAC16, one output row a call. Scratch: pointers to the patches of an output pixel, then the pool_h
 * convolution rows that it needs, widened. */
#include "p2b_mac16.h"

/* `columns` columns of one kernel row's padding, `pitch` values apart; returns the next column. */
static int16_t *pad(int16_t *out, int32_t columns, int32_t depth, int32_t pitch, int16_t zero)
{
    for (; columns > 0; --columns, out += pitch)
        for (int32_t i = 0; i < depth; ++i)
            out[i] = zero;
    return out;
}

/* One kernel row's part of a convolution row: an input row, widened, and its padding. */
static void widen_row(const p2b_conv2d_t *layer, const int8_t *in, int16_t *out, int32_t columns, int32_t pitch)
{
    const p2b_window_t *const window = &layer->window;
    const int16_t zero = (int16_t)(layer->input_zero_point + 128);
    const int32_t before = in ? window->pad_w : columns;
    const int32_t inside = columns - before < window->in_w ? columns - before : window->in_w;

    out = pad(out, before, window->in_c, pitch, zero);
    p2b_mac16_widen(in, out, inside, window->in_c, pitch);
    out += inside * pitch;
    (void)pad(out, columns - before - inside, window->in_c, pitch, zero);
}

void p2b_conv2d_mac16(const void *op, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_conv2d_t *const layer = op;
    const p2b_window_t *const window = &layer->window;
    const int32_t pitch = (window->kernel_h * window->in_c + 1) & ~1;
    const int32_t columns = (window->out_w - 1) * window->stride_w + window->kernel_w;
    const int32_t patches = layer->pool_h * layer->pool_w;
    const int16_t **const vectors = scratch, **vector = vectors;
    int16_t *row = (int16_t *)(void *)(vectors + patches);
    const p2b_mac16_job_t job = {
        .vectors = vectors,
        .count = patches,
        .pairs = window->kernel_w * pitch / 2,
        .step = layer->pool_stride_w * window->stride_w * pitch,
        .outputs = layer->out_c,
        .weights = layer->weights,
        .output = &layer->output,
    };
    (void)rows;

    for (int32_t y = 0; y < layer->pool_h; ++y, row += columns * pitch) {
        const int8_t *const *const top = &in[y * window->stride_h];

        for (int32_t ky = 0; ky < window->kernel_h; ++ky)
            widen_row(layer, top[ky], row + ky * window->in_c, columns, pitch);
        for (int32_t x = 0; x < layer->pool_w; ++x)
            *vector++ = row + x * window->stride_w * pitch - 2;
    }
    p2b_mac16_products(&job, out[0], layer->pooled_w);
}
