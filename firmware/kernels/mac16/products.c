/* SPDX-License-Identifier: Apache-2.0 */
/* What the `mac16` kernels share: widened vectors and their products. */
#include "p2b_mac16.h"
#include "p2b_output.h"

/* Assembly, one instruction a line. */
/* clang-format off */

/* gcc has registers for 13 operands at -O0. So constants stay in memory where that costs no time, t1 also holds the
 * weights' pointer and t2 also holds [groups]. `next`: the instructions after the last pixel. */
#define OUTPUT(name, next) \
    P2B_MAC16_OUTPUT(name, " l32i %[t2], %[count]\n", \
                     " s8i %[y], %[to], 0\n" \
                     " add %[to], %[to], %[depth]\n" \
                     " bne %[to], %[end], .L" name "%=\n" next)

/* Pixels of one vector each, one after the other in memory: the last words that the loop has loaded are the first ones
 * of the next vector. As pixels may be few and channels many (FULLY_CONNECTED), the loop over channels is assembly as
 * well. */
static void following_vectors(const p2b_mac16_row_t *row, int32_t first, int32_t outputs, int8_t *out)
{
    const int32_t mode = row->output->mode, low = row->output->low;
    const int32_t count = row->groups, size = row->pixels * row->depth;
    const p2b_channel_t *channel = row->output->channels + first, *const last = channel + outputs;
    const int16_t *start = row->weights + 4 * count * first - 2, *const values = row->values - 2, *a;
    int8_t *to = out + first, *end = to + size;
    int32_t multiplier, upper, rounding, bias, y, t1, t2;

    __asm__ volatile(
        ".Lchannel%=:\n"
        P2B_MAC16_CHANNEL
        " addi %[t1], %[t1], 16\n"
        " s32i %[t1], %[next]\n"
        " mov %[bias], %[y]\n"
        " l32i %[a], %[values]\n"
        " p2b_ldinc m0, %[a]\n"
        " p2b_ldinc m1, %[a]\n"
        " p2b_place_loop 9\n"
        ".Lfollowing%=:\n"
        " _l32i %[t1], %[start]\n"
        " p2b_wsr_acclo %[bias]\n"
        " p2b_ldinc m2, %[t1]\n"
        P2B_MAC16_DOT("following")
        " p2b_rsr_acclo %[y]\n"
        OUTPUT("following",
               " l32i %[a], %[size]\n"
               " addi %[end], %[end], 1\n"
               " sub %[to], %[end], %[a]\n"
               " l32i %[a], %[start]\n"
               " addx8 %[a], %[groups], %[a]\n"
               " s32i %[a], %[start]\n"
               " l32i %[t1], %[next]\n"
               " l32i %[a], %[last]\n"
               " sub %[a], %[a], %[t1]\n"
               " bnez %[a], .Lchannel%=\n")
        : [a] "=&r"(a), [to] "+&r"(to), [end] "+&r"(end), [y] "=&r"(y), [t1] "=&r"(t1), [t2] "=&r"(t2),
          [multiplier] "=&r"(multiplier), [upper] "=&r"(upper), [rounding] "=&r"(rounding), [bias] "=&r"(bias),
          [start] "+m"(start), [next] "=m"(channel)
        : [channel] "[t1]"(channel), [groups] "[t2]"(count), [high] "r"(row->output->high), [depth] "r"(row->depth),
          [values] "m"(values), [size] "m"(size), [last] "m"(last), [count] "m"(count), [low] "m"(low),
          [mode] "m"(mode)
        : "memory");
}

/* Pixels of one vector each, at any distance. */
static void one_vector(const p2b_mac16_row_t *row, int32_t first, int32_t outputs, int8_t *out)
{
    const int32_t mode = row->output->mode, low = row->output->low, count = row->groups;
    const int16_t *start = row->weights + 4 * count * first - 2;

    for (int32_t i = first; i < first + outputs; ++i, start += 4 * count) {
        const int16_t *a = row->values - 2;
        int8_t *to = out + i;
        int32_t multiplier, upper, rounding, bias, y, t1, t2;

        __asm__ volatile(
            P2B_MAC16_CHANNEL
            " mov %[bias], %[y]\n"
            " sub %[a], %[a], %[jump]\n"
            " p2b_place_loop 18\n"
            ".Lone%=:\n"
            " _l32i %[t1], %[start]\n"
            " _add %[a], %[a], %[jump]\n"
            " p2b_ldinc m0, %[a]\n"
            " p2b_ldinc m2, %[t1]\n"
            " p2b_ldinc m1, %[a]\n"
            " p2b_wsr_acclo %[bias]\n"
            P2B_MAC16_DOT("one")
            " p2b_rsr_acclo %[y]\n"
            OUTPUT("one", "")
            : [a] "+&r"(a), [to] "+&r"(to), [y] "=&r"(y), [t1] "=&r"(t1), [t2] "=&r"(t2),
              [multiplier] "=&r"(multiplier), [upper] "=&r"(upper), [rounding] "=&r"(rounding), [bias] "=&r"(bias)
            : [channel] "[t1]"(&row->output->channels[i]), [groups] "[t2]"(count), [jump] "r"(row->jumps[0]),
              [high] "r"(row->output->high), [depth] "r"(row->depth), [end] "r"(to + row->pixels * row->depth),
              [start] "m"(start), [count] "m"(count), [low] "m"(low), [mode] "m"(mode)
            : "memory");
    }
}

/* Pixels of several vectors each. */
static void greatest_of_vectors(const p2b_mac16_row_t *row, int32_t first, int32_t outputs, int8_t *out)
{
    const int32_t mode = row->output->mode, low = row->output->low, count = row->groups;
    const int32_t least = INT32_MIN, *const jumps = row->jumps, *const jumps_end = jumps + row->vectors;
    const int16_t *start = row->weights + 4 * count * first - 2;

    for (int32_t i = first; i < first + outputs; ++i, start += 4 * count) {
        const int16_t *a = row->values - 2;
        const int32_t *jump;
        int8_t *to = out + i;
        int32_t multiplier, upper, rounding, bias, y, t1, t2;

        __asm__ volatile(
            P2B_MAC16_CHANNEL
            " mov %[bias], %[y]\n"
            " p2b_place_loop 21\n"
            ".Lmany%=:\n"
            " _l32i %[jump], %[jumps]\n"
            " _l32i %[y], %[least]\n"
            ".Lmany_vector%=:\n"
            " p2b_ldinc m0, %[a]\n"
            " p2b_ldinc m1, %[a]\n"
            " p2b_wsr_acclo %[bias]\n"
            " _l32i %[t1], %[start]\n"
            " p2b_ldinc m2, %[t1]\n"
            P2B_MAC16_DOT("many")
            " l32i %[t1], %[jump], 0\n"
            " addi %[jump], %[jump], 4\n"
            " add %[a], %[a], %[t1]\n"
            " p2b_rsr_acclo %[t1]\n"
            " p2b_max %[y], %[y], %[t1]\n"
            " l32i %[t1], %[jumps_end]\n"
            " bne %[jump], %[t1], .Lmany_vector%=\n"
            OUTPUT("many", "")
            : [a] "+&r"(a), [jump] "=&r"(jump), [to] "+&r"(to), [y] "=&r"(y), [t1] "=&r"(t1), [t2] "=&r"(t2),
              [multiplier] "=&r"(multiplier), [upper] "=&r"(upper), [rounding] "=&r"(rounding), [bias] "=&r"(bias)
            : [channel] "[t1]"(&row->output->channels[i]), [groups] "[t2]"(count),
              [high] "r"(row->output->high), [depth] "r"(row->depth), [end] "r"(to + row->pixels * row->depth),
              [start] "m"(start), [count] "m"(count), [least] "m"(least), [jumps] "m"(jumps),
              [jumps_end] "m"(jumps_end), [low] "m"(low), [mode] "m"(mode)
            : "memory");
    }
}

/* clang-format on */

/* Any requantization. */
static void exactly(const p2b_mac16_row_t *row, int32_t first, int32_t outputs, int8_t *out)
{
    const int16_t *weights = row->weights + 4 * row->groups * first;

    for (int32_t i = first; i < first + outputs; ++i, weights += 4 * row->groups) {
        const p2b_channel_t *const channel = &row->output->channels[i];
        const int16_t *values = row->values;

        for (int32_t x = 0; x < row->pixels; ++x) {
            int32_t greatest = INT32_MIN;

            for (int32_t j = 0; j < row->vectors; ++j) {
                const int32_t y = p2b_mac16_dot(values, weights, row->groups, channel->bias);

                greatest = y > greatest ? y : greatest;
                values += 4 * row->groups + (row->jumps[j] - P2B_MAC16_FOLLOWING) / 2;
            }
            out[x * row->depth + i] = p2b_output_value(greatest, channel, row->output);
        }
    }
}

void p2b_mac16_products(const p2b_mac16_row_t *row, int32_t first, int32_t outputs, int8_t *out)
{
    while (outputs > 0) {
        const int32_t n = p2b_mac16_alike(row->output, first, outputs);

        if (p2b_is_exact(row->output, row->output->channels + first))
            exactly(row, first, n, out);
        else if (row->vectors > 1)
            greatest_of_vectors(row, first, n, out);
        else if (row->jumps[0] == P2B_MAC16_FOLLOWING)
            following_vectors(row, first, n, out);
        else
            one_vector(row, first, n, out);
        first += n;
        outputs -= n;
    }
}

/* Each loop takes one channel of all pixels, or four, or all three of a colour image. */
void p2b_mac16_widen(const int8_t *in, int32_t depth, int16_t *out, int32_t pitch, int32_t pixels, int32_t n)
{
    const int32_t fours = (n | depth) % 4 == 0, threes = n == 3 && depth == 3 && pitch != 3;
    const int32_t channels = fours ? 4 : threes ? 3 : 1, dense = n == depth && n == pitch;
    const int8_t *const end = in + (dense ? channels : n);
    const uint32_t signs = 0x80808080u, evens = 0x00ff00ffu;

    if (pixels <= 0)
        return;
    if (dense) {
        pixels *= fours ? n / 4 : n;
        depth = pitch = channels;
    }
    for (; in != end; in += channels, out += channels) {
        const int8_t *from = in;
        int16_t *to = out;
        uint32_t t1, t2;

        if (fours)
            __asm__ volatile(" p2b_loop %[pixels], .Lfours%=\n"
                             " l32i %[t1], %[from], 0\n"
                             " add %[from], %[from], %[depth]\n"
                             " xor %[t1], %[t1], %[signs]\n"
                             " srli %[t2], %[t1], 8\n"
                             " and %[t1], %[t1], %[evens]\n"
                             " and %[t2], %[t2], %[evens]\n"
                             " s32i %[t1], %[to], 0\n"
                             " s32i %[t2], %[to], 4\n"
                             " add %[to], %[to], %[pitch]\n"
                             ".Lfours%=:\n"
                             : [from] "+&r"(from), [to] "+&r"(to), [t1] "=&r"(t1), [t2] "=&r"(t2)
                             : [pixels] "r"(pixels), [depth] "r"(depth), [pitch] "r"(2 * pitch), [signs] "r"(signs),
                               [evens] "r"(evens)
                             : "memory");
        else if (threes)
            __asm__ volatile(" p2b_loop %[pixels], .Lthrees%=\n"
                             " l8ui %[t1], %[from], 0\n"
                             " l8ui %[t2], %[from], 1\n"
                             " xor %[t1], %[t1], %[sign]\n"
                             " s16i %[t1], %[to], 0\n"
                             " l8ui %[t1], %[from], 2\n"
                             " xor %[t2], %[t2], %[sign]\n"
                             " s16i %[t2], %[to], 2\n"
                             " addi %[from], %[from], 3\n"
                             " xor %[t1], %[t1], %[sign]\n"
                             " s16i %[t1], %[to], 4\n"
                             " add %[to], %[to], %[pitch]\n"
                             ".Lthrees%=:\n"
                             : [from] "+&r"(from), [to] "+&r"(to), [t1] "=&r"(t1), [t2] "=&r"(t2)
                             : [pixels] "r"(pixels), [pitch] "r"(2 * pitch), [sign] "r"(0x80)
                             : "memory");
        else
            __asm__ volatile(" p2b_loop %[pixels], .Lones%=\n"
                             " l8ui %[t1], %[from], 0\n"
                             " add %[from], %[from], %[depth]\n"
                             " xor %[t1], %[t1], %[sign]\n"
                             " s16i %[t1], %[to], 0\n"
                             " add %[to], %[to], %[pitch]\n"
                             ".Lones%=:\n"
                             : [from] "+&r"(from), [to] "+&r"(to), [t1] "=&r"(t1)
                             : [pixels] "r"(pixels), [depth] "r"(depth), [pitch] "r"(2 * pitch), [sign] "r"(0x80)
                             : "memory");
    }
}
