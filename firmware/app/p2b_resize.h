/* SPDX-License-Identifier: Apache-2.0 */
/* A photo of any size becomes the network's input, row by row, in integers.
 *
 * The photo (width x height pixels of P2B_INPUT_C interleaved bytes) is cropped around its centre to the
 * input's aspect ratio (a square for square inputs), then averaged by area:
 *
 *   crop:    if width * H > height * W: w = max(1, floor(height * W / H)), h = height
 *            else:                      w = width, h = max(1, floor(width * H / W))
 *            where W, H = P2B_INPUT_W, P2B_INPUT_H; first column floor((width - w) / 2), first row likewise
 *   weights: source column j covers [j * W, (j + 1) * W), target column i covers [i * w, (i + 1) * w);
 *            wx(i, j) is the length of their overlap, wy(i, j) the same for rows with H and h
 *   pixel:   p = floor((sum of wx * wy * byte + floor(w * h / 2)) / (w * h)), round half up
 *   input:   p - 128
 *
 * Sums are exact for every size up to 65535 x 65535; photos smaller than the input are enlarged by the same
 * definition. Host and device run this code, so they give the same bytes. */
#ifndef P2B_RESIZE_H
#define P2B_RESIZE_H

#include <stdint.h>

#include "model.h"

typedef struct {
    uint32_t crop_w, crop_h;                 /* w, h */
    uint32_t crop_x, crop_y;                 /* first column and row of the crop */
    uint32_t width;                          /* of the photo */
    uint32_t source_row;                     /* rows of the photo seen so far */
    uint32_t column;                         /* pixels of the current source row seen so far */
    uint32_t channel;                        /* bytes of the current pixel seen so far */
    uint32_t target_column;                  /* target column that the next source pixel falls into */
    uint32_t column_left;                    /* length of that column not yet covered, 1 .. w */
    uint32_t target_row;                     /* rows of the input finished so far */
    uint32_t target_left;                    /* length of the current target row not yet covered, 1 .. h */
    uint32_t row[P2B_INPUT_W * P2B_INPUT_C]; /* sum of wx * byte along the current source row */
    uint64_t sum[P2B_INPUT_W * P2B_INPUT_C]; /* sum of wx * wy * byte of the current target row */
    uint8_t pixel[P2B_INPUT_C];              /* bytes of the current pixel */
    int8_t input[P2B_INPUT_BYTES];           /* finished rows */
} p2b_resize_t;

/* Start a photo. width, height >= 1. */
void p2b_resize_begin(p2b_resize_t *resize, uint16_t width, uint16_t height);

/* Take the photo's next bytes, in any portions: height rows of width pixels of P2B_INPUT_C bytes in all. */
void p2b_resize_bytes(p2b_resize_t *resize, const uint8_t *bytes, uint32_t count);

/* Write the network's input, P2B_INPUT_BYTES in HWC order. */
void p2b_resize_end(p2b_resize_t *resize, int8_t *input);

#endif
