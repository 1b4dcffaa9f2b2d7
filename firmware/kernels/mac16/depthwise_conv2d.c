/* SPDX-License-Identifier: Apache-2.0 */
/* DEPTHWISE_CONV_2D by MAC16, one output row a call. Without pooling: scratch has four channels of the input rows, or
 * one if their number is no multiple of 4, [column][row][four bytes], as uint8. Else: a convolution of each input
 * channel. */
#include "p2b_checks.h"
#include "p2b_mac16.h"
#include "p2b_output.h"

typedef uint32_t __attribute__((may_alias)) word_t;

enum { WEIGHTS_3X3 = 10 };

/* Four channels of `columns` columns of an input row if depth is a multiple of 4, else one. A column has `pitch`
 * bytes. */
static void widen(const int8_t *in, word_t *out, int32_t columns, int32_t depth, int32_t pitch)
{
    uint32_t values;

    if (depth % 4)
        __asm__ volatile(" p2b_loop %[columns], .Lend%=\n"
                         " l8ui %[values], %[in], 0\n"
                         " add %[in], %[in], %[depth]\n"
                         " xor %[values], %[values], %[sign]\n"
                         " s8i %[values], %[out], 0\n"
                         " add %[out], %[out], %[pitch]\n"
                         ".Lend%=:\n"
                         : [in] "+&r"(in), [out] "+&r"(out), [values] "=&r"(values)
                         : [columns] "r"(columns), [depth] "r"(depth), [sign] "r"(0x80), [pitch] "r"(pitch)
                         : "memory");
    else if (columns == 1)
        *out = *(const word_t *)(const void *)in ^ 0x80808080u;
    else
        __asm__ volatile(" p2b_loop %[columns], .Lend%=\n"
                         " l32i %[values], %[in], 0\n"
                         " add %[in], %[in], %[depth]\n"
                         " xor %[values], %[values], %[signs]\n"
                         " s32i %[values], %[out], 0\n"
                         " add %[out], %[out], %[pitch]\n"
                         ".Lend%=:\n"
                         : [in] "+&r"(in), [out] "+&r"(out), [values] "=&r"(values)
                         : [columns] "r"(columns), [depth] "r"(depth), [signs] "r"(0x80808080u), [pitch] "r"(pitch)
                         : "memory");
}

/* A row of `channels` output channels from `first`. values: those of the first one, the next one's `lane` bytes on. */
typedef void channel_rows_t(const p2b_conv2d_t *layer, const uint8_t *values, int32_t lane, int32_t first,
                            int32_t channels, int8_t *out);

/* Assembly, one instruction a line. */
/* clang-format off */

static void channel_rows_3x3(const p2b_conv2d_t *layer, const uint8_t *values, int32_t lane, int32_t first,
                         int32_t channels, int8_t *out)
{
    const int32_t mode = layer->output.mode, low = layer->output.low;
    const int32_t columns = layer->window.out_w, step = 12 * layer->window.stride_w;
    const int32_t width = columns * step - lane, size = columns * layer->out_c - 1;
    const p2b_channel_t *channel = layer->output.channels + first, *const last = channel + channels;
    const int16_t *weights = (const int16_t *)layer->weights + WEIGHTS_3X3 * first - 2;
    int32_t multiplier, upper, rounding, bias, y, t1, t2, t3;
    int8_t *to = out + first;

    /* m0 .. m3: the first eight weights. The ninth is in the upper half of [upper]. Taps are loaded three instructions
     * ahead of their use. */
    __asm__ volatile(
        ".Lchannel%=:\n"
        P2B_MAC16_CHANNEL
        " addi %[t2], %[t2], 16\n"
        " mov %[bias], %[y]\n"
        " s32i %[t2], %[next]\n"
        " l32i %[t1], %[weights]\n"
        " p2b_ldinc m0, %[t1]\n"
        " p2b_ldinc m1, %[t1]\n"
        " p2b_ldinc m2, %[t1]\n"
        " p2b_ldinc m3, %[t1]\n"
        " l16ui %[y], %[t1], 4\n"
        " addi %[t1], %[t1], 4\n"
        " s32i %[t1], %[weights]\n"
        " slli %[y], %[y], 16\n"
        " or %[upper], %[upper], %[y]\n"
        " l32i %[t3], %[columns]\n"
        " p2b_loop %[t3], .Lcolumns%=\n"
        " l8ui %[y], %[values], 0\n"
        " l8ui %[t1], %[values], 4\n"
        " l8ui %[t2], %[values], 8\n"
        " p2b_wsr_acclo %[bias]\n"
        " l8ui %[t3], %[values], 12\n"
        " p2b_mula_da ll, m0, %[y]\n"
        " l8ui %[y], %[values], 16\n"
        " p2b_mula_da hl, m0, %[t1]\n"
        " l8ui %[t1], %[values], 20\n"
        " p2b_mula_da ll, m1, %[t2]\n"
        " l8ui %[t2], %[values], 24\n"
        " p2b_mula_da hl, m1, %[t3]\n"
        " l8ui %[t3], %[values], 28\n"
        " p2b_mula_ad ll, %[y], m2\n"
        " l8ui %[y], %[values], 32\n"
        " p2b_mula_ad lh, %[t1], m2\n"
        " add %[values], %[values], %[step]\n"
        " p2b_mula_ad ll, %[t2], m3\n"
        " p2b_mula_ad lh, %[t3], m3\n"
        " p2b_mula_aa lh, %[y], %[upper]\n"
        " p2b_rsr_acclo %[y]\n"
        P2B_MAC16_OUTPUT("column", "",
                         " s8i %[y], %[to], 0\n"
                         " add %[to], %[to], %[depth]\n"
                         ".Lcolumns%=:\n"
                         " l32i %[t1], %[width]\n"
                         " l32i %[t3], %[size]\n"
                         " l32i %[t2], %[next]\n"
                         " sub %[values], %[values], %[t1]\n"
                         " l32i %[t1], %[last]\n"
                         " sub %[to], %[to], %[t3]\n"
                         " sub %[t1], %[t1], %[t2]\n"
                         " bnez %[t1], .Lchannel%=\n")
        : [values] "+&r"(values), [to] "+&r"(to), [y] "=&r"(y), [t1] "=&r"(t1), [t2] "=&r"(t2), [t3] "=&r"(t3),
          [multiplier] "=&r"(multiplier), [upper] "=&r"(upper), [rounding] "=&r"(rounding), [bias] "=&r"(bias),
          [weights] "+m"(weights), [next] "=m"(channel)
        : [channel] "[t2]"(channel), [high] "r"(layer->output.high), [step] "r"(step), [depth] "r"(layer->out_c),
          [columns] "m"(columns), [width] "m"(width), [size] "m"(size), [last] "m"(last), [low] "m"(low),
          [mode] "m"(mode)
        : "memory");
}

/* The same for any window. Two taps of it at a time; the last of an odd number has a weight of 0 beside it. */
static void channel_rows_any(const p2b_conv2d_t *layer, const uint8_t *values, int32_t lane, int32_t first,
                             int32_t channels, int8_t *out)
{
    const p2b_window_t *const window = &layer->window;
    const int32_t mode = layer->output.mode, low = layer->output.low;
    const int32_t columns = window->out_w, step = 4 * window->kernel_h * window->stride_w;
    const int32_t pairs = (window->kernel_h * window->kernel_w + 1) / 2, jump = step - 8 * pairs;
    const int32_t width = columns * step - lane, size = columns * layer->out_c - 1;
    const p2b_channel_t *channel = layer->output.channels + first, *const last = channel + channels;
    const int16_t *weights = (const int16_t *)layer->weights + 2 * pairs * first - 2;
    int32_t multiplier, upper, rounding, bias, y, t1, t2;
    int8_t *to = out + first, *end;

    __asm__ volatile(
        ".Lchannel%=:\n"
        P2B_MAC16_CHANNEL
        " addi %[t2], %[t2], 16\n"
        " mov %[bias], %[y]\n"
        " s32i %[t2], %[next]\n"
        " l32i %[t1], %[size]\n"
        " addi %[end], %[t1], 1\n"
        " add %[end], %[end], %[to]\n"
        " p2b_place_loop 15\n"
        ".Lcolumn%=:\n"
        " _l32i %[t1], %[weights]\n"
        " _l32i %[t2], %[pairs]\n"
        " p2b_wsr_acclo %[bias]\n"
        " p2b_ldinc m0, %[t1]\n"
        " _l8ui %[y], %[values], 0\n"
        " p2b_loop_placed %[t2], .Ltaps%=\n"
        " _l8ui %[t2], %[values], 4\n"
        " p2b_mula_da ll, m0, %[y]\n"
        " addi %[values], %[values], 8\n"
        " p2b_mula_da_ldinc hl, m0, %[t1], m0, %[t2]\n"
        " l8ui %[y], %[values], 0\n"
        ".Ltaps%=:\n"
        " p2b_rsr_acclo %[y]\n"
        " add %[values], %[values], %[jump]\n"
        P2B_MAC16_OUTPUT("any", "",
                         " s8i %[y], %[to], 0\n"
                         " add %[to], %[to], %[depth]\n"
                         " bne %[to], %[end], .Lcolumn%=\n"
                         " l32i %[t1], %[weights]\n"
                         " l32i %[t2], %[pairs]\n"
                         " addx4 %[t1], %[t2], %[t1]\n"
                         " s32i %[t1], %[weights]\n"
                         " l32i %[t1], %[width]\n"
                         " l32i %[y], %[size]\n"
                         " l32i %[t2], %[next]\n"
                         " sub %[values], %[values], %[t1]\n"
                         " l32i %[t1], %[last]\n"
                         " sub %[to], %[to], %[y]\n"
                         " sub %[t1], %[t1], %[t2]\n"
                         " bnez %[t1], .Lchannel%=\n")
        : [values] "+&r"(values), [to] "+&r"(to), [end] "=&r"(end), [y] "=&r"(y), [t1] "=&r"(t1), [t2] "=&r"(t2),
          [multiplier] "=&r"(multiplier), [upper] "=&r"(upper), [rounding] "=&r"(rounding), [bias] "=&r"(bias),
          [weights] "+m"(weights), [next] "=m"(channel)
        : [channel] "[t2]"(channel), [high] "r"(layer->output.high), [jump] "r"(jump), [depth] "r"(layer->out_c),
          [pairs] "m"(pairs), [width] "m"(width), [size] "m"(size), [last] "m"(last), [low] "m"(low),
          [mode] "m"(mode)
        : "memory");
}

/* clang-format on */

/* The same with any requantization. */
static void channel_rows_exactly(const p2b_conv2d_t *layer, const uint8_t *values, int32_t lane, int32_t first,
                                 int32_t channels, int8_t *out)
{
    const p2b_window_t *const window = &layer->window;
    const int32_t taps = window->kernel_h * window->kernel_w, pitch = (taps + 1) & ~1;
    const int16_t *weights = (const int16_t *)layer->weights + pitch * first;

    for (int32_t i = first; i < first + channels; ++i, weights += pitch, values += lane) {
        const p2b_channel_t *const channel = &layer->output.channels[i];
        const uint8_t *seen = values;

        for (int32_t x = 0; x < window->out_w; ++x, seen += 4 * window->kernel_h * window->stride_w) {
            uint32_t sum = (uint32_t)channel->bias;

            for (int32_t j = 0; j < taps; ++j)
                sum += (uint32_t)(seen[4 * j] * weights[j]);
            out[x * layer->out_c + i] = p2b_output_value((int32_t)sum, channel, &layer->output);
        }
    }
}

/* `columns` columns of an input row's padding, `pitch` words each; returns the next column. */
static word_t *pad(word_t *out, int32_t columns, int32_t pitch, uint32_t zeros)
{
    for (; columns > 0; --columns, out += pitch)
        *out = zeros;
    return out;
}

/* No pooling. */
static void strips(const p2b_conv2d_t *layer, const int8_t *const *in, int8_t *out, uint8_t *scratch,
                   channel_rows_t *rows)
{
    const p2b_window_t *const window = &layer->window;
    const int32_t kernel_h = window->kernel_h, columns = (window->out_w - 1) * window->stride_w + window->kernel_w;
    const int32_t left = window->pad_w < columns ? window->pad_w : columns;
    const int32_t inside = columns - left < window->in_w ? columns - left : window->in_w;
    const int32_t lanes = window->in_c % 4 ? 1 : 4;
    const uint32_t zeros = (uint32_t)(layer->input_zero_point + 128) * 0x01010101u;
    word_t *const values = (word_t *)(void *)scratch;
    int32_t each = 1; /* output channels of an input channel */

    while (each * window->in_c < layer->out_c)
        ++each;

    /* Input channels of one call of rows(). */
    const int32_t together = each == 1 ? lanes : 1;

    /* Padding stays for all channels. */
    for (int32_t y = 0; y < kernel_h; ++y) {
        const int32_t before = in[y] ? left : columns;

        (void)pad(pad(values + y, before, kernel_h, zeros) + kernel_h * inside, columns - before - inside, kernel_h,
                  zeros);
    }
    for (int32_t c = 0; c < window->in_c; c += lanes) {
        for (int32_t y = 0; y < kernel_h; ++y)
            if (in[y] && inside > 0)
                widen(in[y] + c, values + kernel_h * left + y, inside, window->in_c, 4 * kernel_h);
        for (int32_t i = 0; i < lanes; i += together) {
            const int32_t step = together > 1, end = (c + i + together) * each;
            const uint8_t *from = scratch + i;

            for (int32_t first = (c + i) * each, n; first < end; first += n, from += step * n) {
                n = p2b_mac16_alike(&layer->output, first, end - first);
                (p2b_is_exact(&layer->output, layer->output.channels + first) ? channel_rows_exactly
                                                                              : rows)(layer, from, step, first, n, out);
            }
        }
    }
}

static inline bool check(const p2b_conv2d_t *layer, const int8_t *const *in, int8_t *const *out, int32_t rows,
                         const void *scratch)
{
    P2B_ASSERT(p2b_check_depthwise_conv2d(layer, in, out, rows, scratch));
    P2B_ASSERT(rows == 1);
    P2B_ASSERT(p2b_is_aligned(layer->weights, 4));
    return true;
}

void p2b_depthwise_conv2d_3x3_mac16(const void *op, const int8_t *const *in, int8_t *const *out, int32_t rows,
                                    void *scratch)
{
    const p2b_conv2d_t *const layer = op;

    P2B_ASSERT(check(layer, in, out, rows, scratch));
    P2B_ASSERT(layer->window.kernel_h == 3 && layer->window.kernel_w == 3);
    P2B_ASSERT(layer->pool_h == 1 && layer->pool_w == 1);
    strips(layer, in, out[0], scratch, channel_rows_3x3);
}

void p2b_depthwise_conv2d_mac16(const void *op, const int8_t *const *in, int8_t *const *out, int32_t rows,
                                void *scratch)
{
    const p2b_conv2d_t *const layer = op;

    P2B_ASSERT(check(layer, in, out, rows, scratch));
    P2B_ASSERT(layer->pool_h == 1 && layer->pool_w == 1);
    strips(layer, in, out[0], scratch, channel_rows_any);
}

void p2b_depthwise_conv2d_rows_mac16(const void *op, const int8_t *const *in, int8_t *const *out, int32_t rows,
                                     void *scratch)
{
    const p2b_conv2d_t *const layer = op;

    P2B_ASSERT(check(layer, in, out, rows, scratch));

    int32_t each = 1;

    while (each * layer->window.in_c < layer->out_c)
        ++each;
    for (int32_t c = 0; c < layer->window.in_c; ++c)
        p2b_mac16_convolve(layer, in, out[0], c, 1, c * each, each, scratch);
}
