/* SPDX-License-Identifier: Apache-2.0 */
/* Winograd's convolution F(4x4, 3x3), exact in integers: 36 multiplications, not 144, for 4 x 4 outputs.
 *
 * Identity (Lavin and Gray, arXiv:1509.09308): the 4 x 4 outputs Y of a 3 x 3 kernel w (stride 1) over the 6 x 6
 * inputs d are Y = A^T [(G w G^T) * (B^T d B)] A, * element by element, summed over the input channels, with
 * the points 0, 1, -1, 2, -2, infinity. G has fractions; its rows may be scaled and change sign if those of A or B
 * make up for it. Here
 *
 *          4  0 -5  0  1  0             6  0  0                1  1  1  1  1  0
 *          0  4  4 -1 -1  0             4  4  4                0  1 -1  2 -2  0
 *   B^T =  0 -4  4  1 -1  0      G =    4 -4  4        A^T =   0  1  1  4  4  0
 *          0  2  1 -2 -1  0            -1 -2 -4                0  1 -1  8 -8  2
 *          0  2 -1 -2  1  0             1 -2  4
 *          0  4  0 -5  0  1             0  0 12
 *
 * that is 24 times the true G (its last row 12 times, and twice the true last column of A^T), rows 1, 2, 3 of both
 * G and B^T negated. The result is therefore 24 * 24 * Y = 576 Y.
 *
 * Exactness. All steps are additions and multiplications of integers, so they may be done modulo 2^32. 9 is odd:
 * P2B_NINTH is its inverse there, and P2B_NINTH * 576 Y = 64 Y modulo 2^32. For |Y| < 2^25, which the packer
 * demands, 64 Y fits int32: it is Y << 6 itself, the number that the fast requantization begins with.
 *
 * Ranges of the factors, which must be int16:
 * - U = G w G^T: the magnitudes of a row of G sum to at most 12, so |U| <= 12 * 12 * 128 = 18432.
 * - V = B^T x B of x = q + 128, 0 .. 255: positive and negative entries of the rows of B^T sum to (5, -5),
 *   (8, -2), (5, -5), (3, -3), (3, -3), (5, -5); the largest sum of products of two rows is 8 * 8 + 2 * 2 = 68, the
 *   smallest -50, so -12750 <= V <= 17340.
 *
 * Two channels of V are computed at once, as V0 + 2^16 V1 modulo 2^32: each step is linear, so only at the end
 * 1 has to be added to the upper half where V0 is negative.
 *
 * Bias. Y must be bias + sum w * (q - zero point) = [bias - (zero point + 128) * sum w] + sum w * x, padding
 * having q = zero point. A constant added to the product at row 1, column 1 is added to all 16 outputs (column 1 of
 * A^T is all ones), so p2b_channel_t.bias is 576 * [...] modulo 2^32 and is added there.
 *
 * Layers: 3 x 3, stride 1, any padding, at least 2 input channels, no pooling or 2 x 2 of stride 2,
 * |Y| < 2^25. A call computes 4 rows, or 2 pooled ones, from 6 input rows.
 *
 * Weights: U, int16, in blocks of B output channels (portable 2, mac16 1; missing ones are 0), aligned to 4 bytes:
 * [block][row][column][pair of input channels][channel in block][2]. A pair is input channels 2k and 2k + 1; with an
 * odd number of channels the last pair is the last two, the first of them with weight 0. mac16 reads, but does not
 * use, 4 values beyond the end.
 * Scratch: V of B tiles, a word a pair: [row][column][pair][tile], then one pixel of padding, rounded up to words:
 * 144 * B * pairs + 4 * ceil(in_c / 4) bytes. */
#ifndef P2B_WINOGRAD_H
#define P2B_WINOGRAD_H

#define P2B_NINTH 0x38e38e39u

#endif
