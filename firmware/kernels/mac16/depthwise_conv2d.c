/* DEPTHWISE_CONV_2D 3x3 by MAC16, one output row a call, four channels at a time. Scratch: these channels of the
 * three input rows, [column][row][channel], as uint8. */
#include "p2b_mac16.h"
#include "p2b_output.h"

typedef uint32_t __attribute__((may_alias)) word_t;

enum { TAPS = 9, WEIGHTS = 10 };

/* Four channels of `columns` columns of an input row. */
static void widen(const int8_t *in, word_t *out, int32_t columns, int32_t depth)
{
    uint32_t four;

    __asm__ volatile(
        " p2b_loop %[columns], .Lend%=\n"
        " l32i %[four], %[in], 0\n"
        " add %[in], %[in], %[depth]\n"
        " xor %[four], %[four], %[signs]\n"
        " s32i %[four], %[out], 0\n"
        " addi %[out], %[out], 12\n"
        ".Lend%=:\n"
        : [in] "+&r"(in), [out] "+&r"(out), [four] "=&r"(four)
        : [columns] "r"(columns), [depth] "r"(depth), [signs] "r"(0x80808080u)
        : "memory");
}

/* A row of one channel; values: its first in scratch. */
static void channel_row(const p2b_conv2d_t *layer, const uint8_t *values, const int16_t *weights,
                        const p2b_channel_t *channel, int8_t *out)
{
    const int32_t mode = layer->output.mode, ninth = weights[8];
    const int16_t *a = weights - 2;
    int32_t left = layer->window.out_w, y, t1, t2, t3;

    /* m0 .. m3: the first eight weights. Taps are loaded three instructions ahead of their use. */
    __asm__ volatile(
        " p2b_ldinc m0, %[a]\n"
        " p2b_ldinc m1, %[a]\n"
        " p2b_ldinc m2, %[a]\n"
        " p2b_ldinc m3, %[a]\n"
        P2B_MAC16_SHIFT
        ".Lcolumn%=:\n"
        " l32i %[y], %[channel], 0\n"
        " l8ui %[a], %[values], 0\n"
        " l8ui %[t1], %[values], 4\n"
        " l8ui %[t2], %[values], 8\n"
        " p2b_wsr_acclo %[y]\n"
        " l8ui %[t3], %[values], 12\n"
        " p2b_mula_da ll, m0, %[a]\n"
        " l8ui %[a], %[values], 16\n"
        " p2b_mula_da hl, m0, %[t1]\n"
        " l8ui %[t1], %[values], 20\n"
        " p2b_mula_da ll, m1, %[t2]\n"
        " l8ui %[t2], %[values], 24\n"
        " p2b_mula_da hl, m1, %[t3]\n"
        " l8ui %[t3], %[values], 28\n"
        " p2b_mula_ad ll, %[a], m2\n"
        " l8ui %[a], %[values], 32\n"
        " p2b_mula_ad lh, %[t1], m2\n"
        " l32i %[t1], %[ninth]\n"
        " p2b_mula_ad ll, %[t2], m3\n"
        " p2b_mula_ad lh, %[t3], m3\n"
        " p2b_mula_aa ll, %[a], %[t1]\n"
        " add %[values], %[values], %[step]\n"
        " p2b_rsr_acclo %[y]\n"
        P2B_MAC16_OUTPUT("column", "",
                         " addi %[left], %[left], -1\n"
                         " s8i %[y], %[out], 0\n"
                         " add %[out], %[out], %[depth]\n"
                         " bnez %[left], .Lcolumn%=\n")
        : [values] "+&r"(values), [out] "+&r"(out), [left] "+&r"(left), [a] "+&r"(a), [y] "=&r"(y),
          [t1] "=&r"(t1), [t2] "=&r"(t2), [t3] "=&r"(t3)
        : [channel] "r"(channel), [low] "r"(layer->output.low), [high] "r"(layer->output.high),
          [step] "r"(12 * layer->window.stride_w), [depth] "r"(layer->out_c), [mode] "m"(mode), [ninth] "m"(ninth)
        : "memory");
}

/* The same in any mode. */
static void channel_row_exactly(const p2b_conv2d_t *layer, const uint8_t *values, const int16_t *weights,
                                const p2b_channel_t *channel, int8_t *out)
{
    for (int32_t x = 0; x < layer->window.out_w; ++x, out += layer->out_c, values += 12 * layer->window.stride_w) {
        uint32_t sum = (uint32_t)channel->bias;

        for (int32_t i = 0; i < TAPS; ++i)
            sum += (uint32_t)(values[4 * i] * weights[i]);
        *out = p2b_output_value((int32_t)sum, channel, &layer->output);
    }
}

void p2b_depthwise_conv2d_mac16(const void *op, const int8_t *const *in, int8_t *const *out, int32_t rows,
                                void *scratch)
{
    const p2b_conv2d_t *const layer = op;
    const p2b_window_t *const window = &layer->window;
    const int32_t columns = (window->out_w - 1) * window->stride_w + 3, most = columns - window->pad_w;
    const int32_t inside = most < window->in_w ? most : window->in_w;
    const int16_t *weights = layer->weights;
    word_t *const values = scratch;
    (void)rows;

    /* Padding stays for all channels. */
    for (int32_t i = 0; i < 3 * columns; ++i)
        values[i] = (uint32_t)(layer->input_zero_point + 128) * 0x01010101u;
    for (int32_t c = 0; c < layer->out_c; ++c, weights += WEIGHTS) {
        const uint8_t *const first = (const uint8_t *)scratch + c % 4;
        const p2b_channel_t *const channel = &layer->output.channels[c];

        for (int32_t y = 0; y < 3 && c % 4 == 0; ++y)
            if (in[y])
                widen(in[y] + c, values + 3 * window->pad_w + y, inside, window->in_c);
        if (layer->output.mode == P2B_EXACT)
            channel_row_exactly(layer, first, weights, channel, out[0] + c);
        else
            channel_row(layer, first, weights, channel, out[0] + c);
    }
}
