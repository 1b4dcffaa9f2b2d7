/* SPDX-License-Identifier: Apache-2.0 */
/* Winograd convolution with dot products by MAC16: one tile and one output channel at a time. */
#define P2B_BLOCK 1
#include "winograd.h"

#include "p2b_mac16.h"

/* The 36 dot products are consecutive in memory, so the loads run ahead from one into the next. A word (two
 * channels) is multiplied from m0 and m2, the next one from m1 and m3. */
#define WORD_02 "p2b_mula_dd_ldinc ll, m3, %[v], m0, m2\n p2b_mula_dd_ldinc hh, m0, %[u], m0, m2\n"
#define WORD_13 "p2b_mula_dd_ldinc ll, m2, %[v], m1, m3\n p2b_mula_dd_ldinc hh, m1, %[u], m1, m3\n"

/* The loop instruction must lie at 1 or 2 modulo 4, SIX_DOTS starts at 0 and DOT has 21 bytes, 27 with an odd word:
 * hence the NOPs (of 2 bytes), placed by hand: an assembler that works padding out while it relaxes branches did not
 * end in a function of this size. */
#ifdef P2B_REAL_MNEMONICS
#define LOOP(end) "loopnez %[half], " end "\n"
#define NOP ""
#else
#define LOOP(end) "p2b_loop_word 0x90, %[half], " end "\n"
#define NOP ".byte 0x3d, 0xf0\n"
#endif

/* Assembly, one instruction a line. */
/* clang-format off */

/* Product number m: pairs of words, then the odd word if there is one. */
#define DOT(m, align, first, second, odd) \
    align LOOP(".Lp2b_dot%=" m) first second ".Lp2b_dot%=" m ":\n" odd \
    "p2b_rsr_acclo %[m" m "]\n p2b_wsr_acclo %[zero]\n"

#define SIX_DOTS(text) \
    __asm__ volatile("j .Lp2b_base%=\n .balign 4\n.Lp2b_base%=:\n" text \
                     : [u] "+&r"(u), [v] "+&r"(v), [m0] "=&r"(m0), [m1] "=&r"(m1), [m2] "=&r"(m2), \
                       [m3] "=&r"(m3), [m4] "=&r"(m4), [m5] "=&r"(m5) \
                     : [half] "r"(pairs >> 1), [zero] "r"(0) \
                     : "memory")

static void dots(const int16_t *u, const word_t *v, int32_t pairs, uint32_t t[][24])
{
    u -= 2;
    v -= 1;
    __asm__ volatile("p2b_wsr_acclo %[zero]\n p2b_ldinc m0, %[u]\n p2b_ldinc m2, %[v]\n p2b_ldinc m1, %[u]"
                     : [u] "+&r"(u), [v] "+&r"(v)
                     : [zero] "r"(0)
                     : "memory");
    for (uint32_t *row = t[0]; row != t[0] + 24; row += 4) {
        uint32_t m0, m1, m2, m3, m4, m5;

        if (pairs & 1)
            SIX_DOTS(DOT("0", NOP, WORD_02, WORD_13, WORD_02)
                     DOT("1", "", WORD_13, WORD_02, WORD_13)
                     DOT("2", NOP, WORD_02, WORD_13, WORD_02)
                     DOT("3", "", WORD_13, WORD_02, WORD_13)
                     DOT("4", NOP, WORD_02, WORD_13, WORD_02)
                     DOT("5", "", WORD_13, WORD_02, WORD_13));
        else
            SIX_DOTS(DOT("0", NOP, WORD_02, WORD_13, "")
                     DOT("1", NOP, WORD_02, WORD_13, "")
                     DOT("2", "", WORD_02, WORD_13, "")
                     DOT("3", NOP, WORD_02, WORD_13, "")
                     DOT("4", "", WORD_02, WORD_13, "")
                     DOT("5", NOP, WORD_02, WORD_13, ""));
        output_transform(m0, m1, m2, m3, m4, m5, 1, row, 1);
    }
}

static void requantize(const uint32_t *y, int32_t n, const p2b_output_t *output, int8_t *const *to, int32_t c)
{
    const int32_t mode = output->mode, low = output->low;
    const p2b_channel_t *const channel = output->channels + c;
    int32_t multiplier, upper, rounding, value, t1, t2;

    if (p2b_is_exact(output, channel)) {
        while (n-- > 0)
            to[n][c] = p2b_output_value((int32_t)y[n] >> 6, channel, output);
        return;
    }
    y += n - 1;
    to += n - 1;
    __asm__ volatile(
        P2B_MAC16_CHANNEL
        " p2b_loop %[n], .Lend%=\n"
        " l32i %[y], %[from], 0\n"
        " addi %[from], %[from], -4\n"
        " srai %[y], %[y], 6\n"
        P2B_MAC16_OUTPUT("tile", "",
                         " l32i %[t1], %[to], 0\n"
                         " addi %[to], %[to], -4\n"
                         " add %[t1], %[t1], %[c]\n"
                         " s8i %[y], %[t1], 0\n"
                         ".Lend%=:\n")
        : [from] "+&r"(y), [to] "+&r"(to), [y] "=&r"(value), [t1] "=&r"(t1), [t2] "=&r"(t2),
          [multiplier] "=&r"(multiplier), [upper] "=&r"(upper), [rounding] "=&r"(rounding)
        : [channel] "r"(channel), [n] "r"(n), [c] "r"(c), [high] "r"(output->high), [low] "m"(low), [mode] "m"(mode)
        : "memory");
}

/* clang-format on */

void p2b_conv2d_winograd_mac16(const void *op, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    convolve(op, in, out, rows, scratch);
}
