/* SPDX-License-Identifier: Apache-2.0 */
/* Layouts of the `portable` kernels, and the multiplications that they share.
 *
 * Inputs are bytes u = q + 128, 0 .. 255, so that every load is an unsigned one; bias holds what that and the
 * zero point add. A 32-bit product has room for more than one output, so two accumulators P, Q hold the sums
 * A, B, C of three outputs,
 *
 *     P = A + C * 2^11   Q = B + C * 2^22   (mod 2^32),   0 <= A, C < 2^21, 0 <= B < 2^22.
 *
 * Q's upper 10 bits are C's lower ones; with those taken from P, its lower 21 bits are A and its upper 11 the
 * rest of C. Taps whose sums would leave these ranges are cut into segments, whose A, B, C are added.
 *
 * Weights of a convolution or a fully connected layer, int32:
 * - [0]: taps of a segment (the last one may have fewer).
 * - Outputs in groups of 6, the last of 1 .. 6. A group has 2 words (P, Q) for every 3 outputs, of what is left
 *   2 words for two (C = 0) and 1 for one: A, which then has all 32 bits.
 * - A group is, for each segment, its words' first values, which keep A, B, C from getting negative (bias takes
 *   them back), then its words for each tap.
 * - Taps of a convolution: kernel_w x kernel_h x in_c, as in the columns.
 * Columns: u of the input of one row of the convolution, columns x kernel_h x in_c with the padding: each window
 * is one run of bytes, and neighbours overlap.
 *
 * Weights of a depthwise convolution, int16: out_c x kernel_w x kernel_h. */
#ifndef P2B_PORTABLE_H
#define P2B_PORTABLE_H

/* In the order of the source, the sums below fit the registers; gcc would regroup them, and then they do not. This
 * comes before all other headers, since gcc inlines a function only into one with the same options. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-tree-reassoc", "no-tree-coalesce-vars", "no-schedule-insns")
#endif

#include <stdbool.h>
#include <stdint.h>

#include "p2b_output.h"

#define P2B_PORTABLE_OUTPUTS 6 /* of a group */

#define P2B_PORTABLE_INLINE static inline __attribute__((always_inline))

/* May alias anything. */
typedef uint32_t __attribute__((may_alias)) p2b_portable_word_t;

/* Copy n int8 as bytes u. */
static inline void p2b_portable_copy(const int8_t *from, uint8_t *to, int32_t n)
{
    const uint8_t *in = (const uint8_t *)from, *const end = in + n;

    if ((((uintptr_t)in | (uintptr_t)to | (uintptr_t)n) & 3u) == 0) {
        for (; in != end; in += 4, to += 4)
            *(p2b_portable_word_t *)to = *(const p2b_portable_word_t *)in ^ 0x80808080u;
        return;
    }
    for (const uint8_t *const stop = end - (n & 3); in != stop; in += 4, to += 4) {
        to[0] = (uint8_t)(in[0] - 128);
        to[1] = (uint8_t)(in[1] - 128);
        to[2] = (uint8_t)(in[2] - 128);
        to[3] = (uint8_t)(in[3] - 128);
    }
    while (in != end)
        *to++ = (uint8_t)(*in++ - 128);
}

/* Outputs of a group that begins with `left` outputs to do. */
static inline int32_t p2b_portable_outputs(int32_t left)
{
    return left < P2B_PORTABLE_OUTPUTS ? left : P2B_PORTABLE_OUTPUTS;
}

/* Words a tap of a group of outputs. */
static inline int32_t p2b_portable_words(int32_t outputs)
{
    return outputs - (outputs >= 3) - (outputs >= 6);
}

/* Taps and first values, of which a group has its number of words each. */
static inline int32_t p2b_portable_lines(int32_t taps, int32_t segment)
{
    int32_t lines = taps;

    for (int32_t left = taps; left > 0; left -= segment)
        ++lines;
    return lines;
}

/* sums (+)= the outputs in one or two words. */
P2B_PORTABLE_INLINE void p2b_portable_unpack(int32_t words, uint32_t p, uint32_t q, bool add, int32_t *sums)
{
    const uint32_t low = q >> 22, rest = p - (low << 11);
    const uint32_t abc[] = {words > 1 ? rest << 11 >> 11 : p, q << 10 >> 10, (rest >> 21 << 10) + low};

    sums[0] = (int32_t)(add ? (uint32_t)sums[0] + abc[0] : abc[0]);
    if (words > 1) {
        sums[1] = (int32_t)(add ? (uint32_t)sums[1] + abc[1] : abc[1]);
        sums[2] = (int32_t)(add ? (uint32_t)sums[2] + abc[2] : abc[2]);
    }
}

#define P2B_PORTABLE_WORD(tap, i)                  \
    if (words > (i)) {                             \
        const uint32_t v = w[(tap) * words + (i)]; \
        a##i += x * v;                             \
        if (two)                                   \
            b##i += y * v;                         \
    }

#define P2B_PORTABLE_TAP(tap)                              \
    {                                                      \
        const uint32_t x = x0[tap], y = two ? x1[tap] : 0; \
        P2B_PORTABLE_WORD(tap, 0)                          \
        P2B_PORTABLE_WORD(tap, 1)                          \
        P2B_PORTABLE_WORD(tap, 2)                          \
        P2B_PORTABLE_WORD(tap, 3)                          \
    }

/* sums[pixel][output] of one group for the windows x0 and, if two, x1. words and two are constants. */
P2B_PORTABLE_INLINE void p2b_portable_sums(int32_t words, bool two, const uint8_t *x0, const uint8_t *x1,
                                           const uint32_t *w, int32_t taps, int32_t segment, int32_t *sums)
{
    for (bool add = false; taps > 0; taps -= segment, add = true) {
        const int32_t n = taps < segment ? taps : segment;
        const uint8_t *const stop = x0 + (n & ~7), *const end = x0 + n;
        uint32_t a0 = w[0], a1 = words > 1 ? w[1] : 0, a2 = words > 2 ? w[2] : 0, a3 = words > 3 ? w[3] : 0;
        uint32_t b0 = a0, b1 = a1, b2 = a2, b3 = a3;

        for (w += words; x0 != stop; x0 += 8, x1 += two ? 8 : 0, w += 8 * words) {
            P2B_PORTABLE_TAP(0)
            P2B_PORTABLE_TAP(1)
            P2B_PORTABLE_TAP(2)
            P2B_PORTABLE_TAP(3)
            P2B_PORTABLE_TAP(4)
            P2B_PORTABLE_TAP(5)
            P2B_PORTABLE_TAP(6)
            P2B_PORTABLE_TAP(7)
        }
        for (; x0 != end; ++x0, x1 += two ? 1 : 0, w += words)
            P2B_PORTABLE_TAP(0)

        p2b_portable_unpack(words, a0, a1, add, sums);
        if (words > 2)
            p2b_portable_unpack(words - 2, a2, a3, add, sums + 3);
        if (two)
            p2b_portable_unpack(words, b0, b1, add, sums + P2B_PORTABLE_OUTPUTS);
        if (two && words > 2)
            p2b_portable_unpack(words - 2, b2, b3, add, sums + P2B_PORTABLE_OUTPUTS + 3);
    }
}

/* The same for a number of words; not inlined, since it needs all registers. */
typedef void p2b_portable_sums_t(const uint8_t *x0, const uint8_t *x1, const uint32_t *w, int32_t taps, int32_t segment,
                                 int32_t *sums);

#define P2B_PORTABLE_SUMS(name, words, two)                                                                           \
    static __attribute__((noinline)) void name(const uint8_t *x0, const uint8_t *x1, const uint32_t *w, int32_t taps, \
                                               int32_t segment, int32_t *sums)                                        \
    {                                                                                                                 \
        p2b_portable_sums(words, two, x0, x1, w, taps, segment, sums);                                                \
    }

P2B_PORTABLE_SUMS(p2b_portable_one_1, 1, false)
P2B_PORTABLE_SUMS(p2b_portable_one_2, 2, false)
P2B_PORTABLE_SUMS(p2b_portable_one_3, 3, false)
P2B_PORTABLE_SUMS(p2b_portable_one_4, 4, false)

/* For one window: by words - 1. */
static p2b_portable_sums_t *const p2b_portable_one[] = {p2b_portable_one_1, p2b_portable_one_2, p2b_portable_one_3,
                                                        p2b_portable_one_4};

/* Requantize n sums, or twice n. sums: P2B_PORTABLE_OUTPUTS from pixel to pixel; out: pitch. */
P2B_PORTABLE_INLINE void p2b_portable_requantize(const p2b_output_t *output, const int32_t *sums, bool two,
                                                 const p2b_channel_t *channel, int32_t n, int8_t *out, int32_t pitch)
{
    for (const int32_t *const end = sums + n; sums != end; ++sums, ++channel, ++out) {
        const p2b_channel_t constants = *channel; /* which no store to out can change */
        const uint32_t bias = (uint32_t)constants.bias;

        out[0] = p2b_output_value((int32_t)((uint32_t)sums[0] + bias), &constants, output);
        if (two)
            out[pitch] = p2b_output_value((int32_t)((uint32_t)sums[P2B_PORTABLE_OUTPUTS] + bias), &constants, output);
    }
}

/* The same, with code of its own for the usual mode. */
static __attribute__((noinline, unused)) void p2b_portable_finish(const p2b_output_t *output, const int32_t *sums,
                                                                  bool two, const p2b_channel_t *channel, int32_t n,
                                                                  int8_t *out, int32_t pitch)
{
    const p2b_output_t fast = {P2B_REQUANT_FAST, output->low, output->high, channel};

    if (output->mode != P2B_REQUANT_FAST)
        p2b_portable_requantize(output, sums, two, channel, n, out, pitch);
    else if (two)
        p2b_portable_requantize(&fast, sums, true, channel, n, out, pitch);
    else
        p2b_portable_requantize(&fast, sums, false, channel, n, out, pitch);
}

#endif
