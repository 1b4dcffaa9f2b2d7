/* SPDX-License-Identifier: Apache-2.0 */
/* Streaming area averaging; p2b_resize.h defines the arithmetic. */
#include "p2b_resize.h"

#include <string.h>

#include "p2b_arithmetic.h"

#define ROW_VALUES (P2B_INPUT_W * P2B_INPUT_C)

static inline uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* max(1, floor(a * b / c)) */
static uint32_t scaled(uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t quotient = p2b_divide(a * b, c);

    return quotient > 0 ? quotient : 1;
}

static void begin_source_row(p2b_resize_t *resize)
{
    resize->column = 0;
    resize->target_column = 0;
    resize->column_left = resize->crop_w;
    memset(resize->row, 0, sizeof resize->row);
}

void p2b_resize_begin(p2b_resize_t *resize, uint16_t width, uint16_t height)
{
    const uint32_t w = width, h = height;
    const int wide = w * P2B_INPUT_H > h * P2B_INPUT_W;

    resize->crop_w = wide ? scaled(h, P2B_INPUT_W, P2B_INPUT_H) : w;
    resize->crop_h = wide ? h : scaled(w, P2B_INPUT_H, P2B_INPUT_W);
    resize->crop_x = (w - resize->crop_w) / 2;
    resize->crop_y = (h - resize->crop_h) / 2;
    resize->width = w;
    resize->channel = 0;
    resize->source_row = 0;
    resize->target_row = 0;
    resize->target_left = resize->crop_h;
    memset(resize->sum, 0, sizeof resize->sum);
    begin_source_row(resize);
}

/* Spread one pixel of the crop over the target columns that it covers. */
static void add_pixel(p2b_resize_t *resize)
{
    for (uint32_t source_left = P2B_INPUT_W; source_left > 0;) {
        const uint32_t overlap = smaller(source_left, resize->column_left);
        uint32_t *const target = resize->row + resize->target_column * P2B_INPUT_C;

        for (int c = 0; c < P2B_INPUT_C; ++c)
            target[c] += overlap * resize->pixel[c];
        source_left -= overlap;
        resize->column_left -= overlap;
        if (resize->column_left == 0) {
            resize->column_left = resize->crop_w;
            resize->target_column += 1;
        }
    }
}

/* Add weight * resize->row to the current target row; row < 2^24 and weight < 2^16, so the product is taken
 * in two halves of at most 28 bits. */
static void add_row(p2b_resize_t *resize, uint32_t weight)
{
    for (int i = 0; i < ROW_VALUES; ++i) {
        const uint32_t high = (resize->row[i] >> 12) * weight, low = (resize->row[i] & 0xfffu) * weight;

        resize->sum[i] += ((uint64_t)high << 12) + low;
    }
}

/* floor(numerator / denominator) for quotients below 2^8. */
static uint32_t divide_to_byte(uint64_t numerator, uint32_t denominator)
{
    uint64_t part = (uint64_t)denominator << 7;
    uint32_t quotient = 0;

    for (int bit = 0; bit < 8; ++bit, part >>= 1) {
        quotient <<= 1;
        if (numerator >= part) {
            numerator -= part;
            quotient |= 1u;
        }
    }
    return quotient;
}

static void finish_row(p2b_resize_t *resize)
{
    const uint32_t area = resize->crop_w * resize->crop_h;
    int8_t *const target = resize->input + resize->target_row * ROW_VALUES;

    for (int i = 0; i < ROW_VALUES; ++i)
        target[i] = (int8_t)((int32_t)divide_to_byte(resize->sum[i] + area / 2, area) - 128);
    memset(resize->sum, 0, sizeof resize->sum);
    resize->target_row += 1;
    resize->target_left = resize->crop_h;
}

/* Spread resize->row over the target rows that it covers. */
static void end_source_row(p2b_resize_t *resize)
{
    for (uint32_t source_left = P2B_INPUT_H; source_left > 0;) {
        const uint32_t overlap = smaller(source_left, resize->target_left);

        add_row(resize, overlap);
        source_left -= overlap;
        resize->target_left -= overlap;
        if (resize->target_left == 0)
            finish_row(resize);
    }
}

static void take_pixel(p2b_resize_t *resize)
{
    const int row_counts = resize->source_row - resize->crop_y < resize->crop_h;

    if (row_counts && resize->column - resize->crop_x < resize->crop_w)
        add_pixel(resize);
    resize->column += 1;
    if (resize->column == resize->width) {
        if (row_counts)
            end_source_row(resize);
        resize->source_row += 1;
        begin_source_row(resize);
    }
}

void p2b_resize_bytes(p2b_resize_t *resize, const uint8_t *bytes, uint32_t count)
{
    for (uint32_t i = 0; i < count; ++i) {
        resize->pixel[resize->channel++] = bytes[i];
        if (resize->channel == P2B_INPUT_C) {
            resize->channel = 0;
            take_pixel(resize);
        }
    }
}

void p2b_resize_end(p2b_resize_t *resize, int8_t *input)
{
    memcpy(input, resize->input, sizeof resize->input);
}
