/* SPDX-License-Identifier: Apache-2.0 */
/* A photo of any size becomes the network's input, pixel by pixel as it comes, in integers and without a frame.
 *
 * model.h says how: P2B_FIT names the method, P2B_IMAGE_W x P2B_IMAGE_H is the size of the images that the network has
 * learnt from. A photo goes the way of a training photo, so it gives the same bytes
 * (paper2board.core.photo_fit and paper2board.networks.pixels):
 *
 *   1. The photo, width x height pixels of red, green, blue, becomes an image of W x H = P2B_IMAGE_W x P2B_IMAGE_H.
 *      Divisions are floors unless they are called rounded; wide: width * H > height * W.
 *        stretch:    the whole photo becomes the whole image
 *        crop:       wide: the max(1, height * W / H) columns of all rows; else max(1, width * H / W) rows of all
 *                    columns; the first is floor(half of what is left over)
 *        letterbox:  the whole photo becomes W columns of max(1, rounded height * W / width) rows if it is wide, else
 *                    max(1, rounded width * H / height) columns of H rows; centred likewise, and grey 114 around it
 *   2. If the input has another size or one channel, the image is stretched to P2B_INPUT_W x P2B_INPUT_H. One channel is
 *      the luma 0.299 red + 0.587 green + 0.114 blue.
 *   3. The input is the byte - 128.
 *
 * A byte of w x h pixels that become W x H ones is the mean of the area that it covers, halves up, also when photos
 * are enlarged:
 *
 *   weights: source column j covers [j * W, (j + 1) * W), target column i covers [i * w, (i + 1) * w);
 *            wx(i, j) is the length of their overlap, wy(i, j) the same for rows with H and h
 *   byte:    floor((sum of wx * wy * value + floor(w * h / 2)) / (w * h)); for the luma, value is 299 red + 587 green
 *            + 114 blue, and 1000 * w * h stands for w * h
 *
 * Sums are exact for photos up to 65535 x 65535 and images up to 4096 x 4096. */
#ifndef P2B_FIT_H
#define P2B_FIT_H

#include <stdint.h>

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Values of P2B_FIT, which a network has whose inputs are images. */
#define P2B_FIT_STRETCH 0
#define P2B_FIT_CROP 1
#define P2B_FIT_LETTERBOX 2

#ifdef P2B_FIT

#define P2B_FIT_GREY 114
#define P2B_PHOTO_C 3 /* bytes of a photo's pixel */
/* Whether step 2 does anything. */
#define P2B_FIT_AGAIN (P2B_IMAGE_W != P2B_INPUT_W || P2B_IMAGE_H != P2B_INPUT_H || P2B_INPUT_C == 1)

typedef struct {
    uint32_t x, y, w, h;
} p2b_rectangle_t;

/* Area means of from_w x from_h pixels, as they come: those of to_w x to_h pixels, a row at a time. */
typedef struct {
    uint32_t from_w, from_h, to_w, to_h, channels;
    uint32_t to_column;   /* column that the next pixel falls into */
    uint32_t column_left; /* length of that column not yet covered, 1 .. from_w */
    uint32_t row_left;    /* length of the current row not yet covered, 1 .. from_h */
    uint32_t *row;        /* to_w * channels: sum of wx * value along the current source row */
    uint64_t *sum;        /* to_w * channels: sum of wx * wy * value of the current row */
} p2b_area_t;

typedef struct {
    p2b_rectangle_t seen;   /* what is seen of the photo */
    p2b_rectangle_t filled; /* what it becomes of the image */
    uint32_t width;         /* of the photo */
    uint32_t photo_row;     /* rows of the photo seen so far */
    uint32_t column;        /* pixels of the current row seen so far */
    uint32_t channel;       /* bytes of the current pixel seen so far */
    uint32_t image_row;     /* rows of the image finished so far */
    uint32_t pixel[P2B_PHOTO_C];
    uint8_t line[P2B_IMAGE_W * P2B_PHOTO_C]; /* one row of the image */
    int8_t *input;                           /* where the input's next row goes */
    p2b_area_t area;                         /* step 1 */
    uint32_t row[P2B_IMAGE_W * P2B_PHOTO_C];
    uint64_t sum[P2B_IMAGE_W * P2B_PHOTO_C];
#if P2B_FIT_AGAIN
    p2b_area_t area_again; /* step 2 */
    uint32_t row_again[P2B_INPUT_W * P2B_INPUT_C];
    uint64_t sum_again[P2B_INPUT_W * P2B_INPUT_C];
#endif
} p2b_fit_t;

/* Start a photo. width, height >= 1. input: room for P2B_INPUT_BYTES, written row by row in HWC order. */
void p2b_fit_begin(p2b_fit_t *fit, uint16_t width, uint16_t height, int8_t *input);

/* Take the photo's next bytes, in any portions. After height rows of width pixels of P2B_PHOTO_C bytes, the input is
 * complete. */
void p2b_fit_bytes(p2b_fit_t *fit, const uint8_t *bytes, uint32_t count);

/* Bring a place on the input, of `side` units in all and below 2^12, back to the photo that has begun: its pixel, rounded
 * half up, inside what was seen. */
uint32_t p2b_fit_photo_x(const p2b_fit_t *fit, uint32_t x, uint32_t side);
uint32_t p2b_fit_photo_y(const p2b_fit_t *fit, uint32_t y, uint32_t side);

#endif

#ifdef __cplusplus
}
#endif

#endif
