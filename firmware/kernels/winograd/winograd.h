/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution by Winograd's F(4x4, 3x3): everything but the dot products. The mathematics: p2b_winograd.h.
 *
 * Include once, with P2B_BLOCK defined, and define dots() and requantize(). For a row of 4 x 4 tiles: P2B_BLOCK tiles are
 * transformed to V, then P2B_BLOCK output channels at a time are multiplied, transformed back and stored. */
#ifndef P2B_WINOGRAD_KERNEL_H
#define P2B_WINOGRAD_KERNEL_H

#include "p2b_checks.h"
#include "p2b_output.h"
#include "p2b_winograd.h"

/* V is written two channels a word, then read as int16. */
typedef uint32_t __attribute__((may_alias)) word_t;

/* Products of P2B_BLOCK tiles and P2B_BLOCK output channels, the 6 columns of each already transformed to 4:
 * t[channel * P2B_BLOCK + tile][row * 4 + x]. */
static void dots(const int16_t *u, const word_t *v, int32_t pairs, uint32_t t[][24]);

/* to[i][c] = p2b_output_value(y[i] / 64) for n values, from the last to the first. */
static void requantize(const uint32_t *y, int32_t n, const p2b_output_t *output, int8_t *const *to, int32_t c);

/* scale * A^T m, written `step` words apart. */
static inline void output_transform(uint32_t m0, uint32_t m1, uint32_t m2, uint32_t m3, uint32_t m4, uint32_t m5,
                                    uint32_t scale, uint32_t *y, int32_t step)
{
    const uint32_t p = m1 + m2, q = m1 - m2, r = m3 + m4, s = m3 - m4;

    y[0] = scale * (m0 + p + r);
    y[step] = scale * (q + 2 * s);
    y[2 * step] = scale * (p + 4 * r);
    y[3 * step] = scale * (q + 8 * s + 2 * m5);
}

/* borrow = 0x8000: x, with 1 added to the upper half if the lower half is negative; that 1 was subtracted when the two
 * were added into one word. borrow = 0: x. */
static inline uint32_t undo_borrow(uint32_t x, uint32_t borrow)
{
    return x + 2 * (x & borrow);
}

/* B^T d of two channels in one word each, written `step` words apart. borrow: see undo_borrow(). */
static inline void input_transform(uint32_t d0, uint32_t d1, uint32_t d2, uint32_t d3, uint32_t d4, uint32_t d5,
                                   uint32_t borrow, word_t *v, int32_t step)
{
    const uint32_t p = 4 * d2 - d4, q = 4 * d1 - d3, r = d4 - d2, s = d1 - d3;

    *v = undo_borrow(r + 4 * (d0 - d2), borrow);
    v += step;
    *v = undo_borrow(q + p, borrow);
    v += step;
    *v = undo_borrow(p - q, borrow);
    v += step;
    *v = undo_borrow(2 * s - r, borrow);
    v += step;
    *v = undo_borrow(2 * s + r, borrow);
    v += step;
    *v = undo_borrow((d5 - d3) + 4 * s, borrow);
}

/* x + 128 of two neighbouring channels: the first below, the second above. */
static inline uint32_t two_channels(const uint8_t *x)
{
    return ((uint32_t)x[1] << 16 | x[0]) ^ 0x00800080u;
}

/* Not inlined: in convolve() gcc would have too few registers for these two. */
static void transform_tile(const uint8_t *const pixels[36], int32_t in_c, word_t *v) __attribute__((noinline));
static void store_tile(const p2b_conv2d_t *op, const uint32_t t[24], int8_t *const to[16], int32_t c)
    __attribute__((noinline));

/* Transform a tile whose 6 x 6 pixels are given; v: its first word. */
static void transform_tile(const uint8_t *const pixels[36], int32_t in_c, word_t *v)
{
    const int32_t step = (in_c + 1) / 2 * P2B_BLOCK;

    for (int32_t c = 0; c < in_c; c += 2, v += P2B_BLOCK) {
        /* An odd number of channels: the last word has the last two of them, the first with weight 0. */
        const int32_t first = c + 2 <= in_c ? c : in_c - 2;
        word_t t[36], *to = v;

        for (int32_t j = 0; j < 6; ++j) {
            const uint8_t *const *const p = pixels + j;

            input_transform(two_channels(p[0] + first), two_channels(p[6] + first), two_channels(p[12] + first),
                            two_channels(p[18] + first), two_channels(p[24] + first), two_channels(p[30] + first), 0,
                            t + j, 6);
        }
        for (const word_t *d = t; d != t + 36; d += 6, to += 6 * step)
            input_transform(d[0], d[1], d[2], d[3], d[4], d[5], 0x8000, to, step);
    }
}

static inline uint32_t larger(uint32_t a, uint32_t b)
{
    return (int32_t)a > (int32_t)b ? a : b;
}

/* Finish one tile of one channel: to[i] + c is where value i goes, i below 4 x 4 or, pooled, 2 x 2. */
static void store_tile(const p2b_conv2d_t *op, const uint32_t t[24], int8_t *const to[16], int32_t c)
{
    const uint32_t bias = (uint32_t)op->output.channels[c].bias;
    uint32_t y[16];
    int32_t n = 16;

    for (int32_t x = 0; x < 4; ++x, ++t)
        output_transform(t[0], t[4] + bias, t[8], t[12], t[16], t[20], P2B_NINTH, y + x, 4);
    if (op->pool_h == 2) {
        n = 4;
        for (int32_t i = 0; i < 4; ++i) {
            const uint32_t *const corner = y + (i >> 1) * 8 + (i & 1) * 2;
            y[i] = larger(larger(corner[0], corner[1]), larger(corner[4], corner[5]));
        }
    }
    requantize(y, n, &op->output, to, c);
}

/* The pixels of the tile whose left column is x. in: 6 rows. */
static void gather(const p2b_conv2d_t *op, const int8_t *const in[6], int32_t x, const int8_t *padding,
                   const uint8_t *pixels[36])
{
    for (int32_t i = 0; i < 6; ++i)
        for (int32_t column = x; column < x + 6; ++column)
            *pixels++ =
                (const uint8_t *)(in[i] && column >= 0 && column < op->window.in_w ? in[i] + column * op->window.in_c
                                                                                   : padding);
}

/* Where a tile's n x n values go, the left ones to pixel x. A value outside the output gets the place of the last row
 * or pixel inside it. The value that belongs there is written later, since values are stored from the last to the
 * first. */
static void places(const p2b_conv2d_t *op, int8_t *const *out, int32_t rows, int32_t x, int32_t n, int8_t *to[16])
{
    for (int32_t i = 0; i < n; ++i)
        for (int32_t j = x; j < x + n; ++j)
            *to++ = out[i < rows ? i : rows - 1] + (j < op->pooled_w ? j : op->pooled_w - 1) * op->out_c;
}

static inline bool check(const p2b_conv2d_t *op, const int8_t *const *in, int8_t *const *out, int32_t rows,
                         const void *scratch)
{
    P2B_ASSERT(p2b_check_conv2d(op, in, out, rows, scratch));
    P2B_ASSERT(rows * op->pool_h <= 4);
    P2B_ASSERT(op->window.kernel_h == 3 && op->window.kernel_w == 3);
    P2B_ASSERT(op->window.stride_h == 1 && op->window.stride_w == 1);
    P2B_ASSERT(op->window.in_c >= 2);
    P2B_ASSERT(op->pool_h <= 2 && op->pool_w == op->pool_h);
    P2B_ASSERT(op->pool_stride_h == op->pool_h && op->pool_stride_w == op->pool_h);
    P2B_ASSERT(p2b_is_aligned(op->weights, 4));
    return true;
}

static void convolve(const p2b_conv2d_t *op, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    P2B_ASSERT(check(op, in, out, rows, scratch));

    const int32_t in_c = op->window.in_c, pairs = (in_c + 1) / 2;
    const int32_t in_rows = rows * op->pool_h + 2, n = op->pool_h == 2 ? 2 : 4;
    word_t *const v = scratch;
    int8_t *const padding = (int8_t *)(v + 36 * P2B_BLOCK * pairs);
    const int8_t *six[6];

    for (int32_t c = 0; c < in_c; ++c)
        padding[c] = (int8_t)op->input_zero_point;
    for (int32_t i = 0; i < 6; ++i)
        six[i] = i < in_rows ? in[i] : NULL;

    for (int32_t x = 0; x < op->pooled_w; x += P2B_BLOCK * n) {
        const int16_t *u = op->weights;
        int8_t *to[P2B_BLOCK][16];

        for (int32_t tile = 0; tile < P2B_BLOCK; ++tile) {
            const uint8_t *pixels[36];

            gather(op, six, (x + tile * n) * op->pool_h - op->window.pad_w, padding, pixels);
            transform_tile(pixels, in_c, v + tile);
            places(op, out, rows, x + tile * n, n, to[tile]);
        }
        for (int32_t c = 0; c < op->out_c; c += P2B_BLOCK, u += 72 * P2B_BLOCK * pairs) {
            uint32_t t[P2B_BLOCK * P2B_BLOCK][24];

            dots(u, v, pairs, t);
            for (int32_t o = 0; o < P2B_BLOCK && c + o < op->out_c; ++o)
                for (int32_t tile = 0; tile < P2B_BLOCK && x + tile * n < op->pooled_w; ++tile)
                    store_tile(op, t[o * P2B_BLOCK + tile], to[tile], c + o);
        }
    }
}

#endif
