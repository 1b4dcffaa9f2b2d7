/* SPDX-License-Identifier: Apache-2.0 */
/* Streaming area averaging; p2b_fit.h defines the arithmetic. */
#include "p2b_fit.h"

#ifdef P2B_FIT

#include <string.h>

#include "p2b_arithmetic.h"

#define LINE_BYTES (P2B_IMAGE_W * P2B_PHOTO_C)
#define LUMA_RED 299u
#define LUMA_GREEN 587u
#define LUMA_BLUE 114u

static inline uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* a * b for a < 2^30 and b < 2^13, or a < 2^24 and b < 2^16, in two halves: not every core has a long product. */
static inline uint64_t product(uint32_t a, uint32_t b)
{
    return ((uint64_t)((a >> 12) * b) << 12) + (a & 0xfffu) * b;
}

/* floor(numerator / denominator) for quotients below 2^bits. */
static uint32_t divide(uint64_t numerator, uint64_t denominator, int bits)
{
    uint32_t quotient = 0;

    for (int bit = 1; bit < bits; ++bit)
        denominator <<= 1;
    for (int bit = 0; bit < bits; ++bit, denominator >>= 1) {
        quotient <<= 1;
        if (numerator >= denominator) {
            numerator -= denominator;
            quotient |= 1u;
        }
    }
    return quotient;
}

/* --- area means -------------------------------------------------------------------------------------- */

static void begin_row(p2b_area_t *area)
{
    area->to_column = 0;
    area->column_left = area->from_w;
    memset(area->row, 0, area->to_w * area->channels * sizeof *area->row);
}

/* row, sum: room for area->to_w * area->channels. */
static void area_begin(p2b_area_t *area, uint32_t *row, uint64_t *sum)
{
    area->row = row;
    area->sum = sum;
    area->row_left = area->from_h;
    memset(sum, 0, area->to_w * area->channels * sizeof *sum);
    begin_row(area);
}

/* Spread a pixel over the columns that it covers. */
static void add_pixel(p2b_area_t *area, const uint32_t *values)
{
    for (uint32_t left = area->to_w; left > 0;) {
        const uint32_t overlap = smaller(left, area->column_left);
        uint32_t *const target = area->row + area->to_column * area->channels;

        for (uint32_t c = 0; c < area->channels; ++c)
            target[c] += overlap * values[c];
        left -= overlap;
        area->column_left -= overlap;
        if (area->column_left == 0) {
            area->column_left = area->from_w;
            area->to_column += 1;
        }
    }
}

/* Spread a source row, `left` of which is not yet spread, over the current row. 1 if that is complete: mean() gives it,
 * and calls go on until nothing is left. */
static int cover_row(p2b_area_t *area, uint32_t *left)
{
    const uint32_t overlap = smaller(*left, area->row_left);

    for (uint32_t i = 0; i < area->to_w * area->channels; ++i)
        area->sum[i] += product(area->row[i], overlap);
    *left -= overlap;
    area->row_left -= overlap;
    if (area->row_left > 0)
        return 0;
    area->row_left = area->from_h;
    return 1;
}

/* Take a value of a complete row. whole: what the values of a byte's unit add up to. */
static uint32_t take_mean(p2b_area_t *area, uint32_t index, uint64_t whole)
{
    const uint64_t sum = area->sum[index];

    area->sum[index] = 0;
    return divide(sum + whole / 2, whole, 8);
}

/* --- geometry ---------------------------------------------------------------------------------------- */

#if P2B_FIT == P2B_FIT_CROP
/* max(1, floor(a * b / c)) */
static uint32_t scaled(uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t quotient = p2b_divide(a * b, c);

    return quotient > 0 ? quotient : 1;
}
#elif P2B_FIT == P2B_FIT_LETTERBOX
/* max(1, a * b / c rounded half up) */
static uint32_t scaled(uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t quotient = p2b_divide(2 * a * b + c, 2 * c);

    return quotient > 0 ? quotient : 1;
}
#endif

static void place(p2b_fit_t *fit, uint32_t width, uint32_t height)
{
    p2b_rectangle_t *const seen = &fit->seen, *const filled = &fit->filled;

    *seen = (p2b_rectangle_t){0, 0, width, height};
    *filled = (p2b_rectangle_t){0, 0, P2B_IMAGE_W, P2B_IMAGE_H};
#if P2B_FIT == P2B_FIT_CROP
    if (width * P2B_IMAGE_H > height * P2B_IMAGE_W)
        seen->w = scaled(height, P2B_IMAGE_W, P2B_IMAGE_H);
    else
        seen->h = scaled(width, P2B_IMAGE_H, P2B_IMAGE_W);
    seen->x = (width - seen->w) / 2;
    seen->y = (height - seen->h) / 2;
#elif P2B_FIT == P2B_FIT_LETTERBOX
    if (width * P2B_IMAGE_H > height * P2B_IMAGE_W)
        filled->h = scaled(height, P2B_IMAGE_W, width);
    else
        filled->w = scaled(width, P2B_IMAGE_H, height);
    filled->x = (P2B_IMAGE_W - filled->w) / 2;
    filled->y = (P2B_IMAGE_H - filled->h) / 2;
#endif
}

/* Bring a place of the image, in 1 / units of its side, back along one axis. */
static uint32_t photo_place(uint32_t at, uint32_t units, uint32_t filled, uint32_t filled_side, uint32_t seen,
                            uint32_t seen_side)
{
    const uint32_t before = filled * units, whole = filled_side * units;

    if (at <= before)
        return seen;
    if (at - before >= whole)
        return seen + seen_side;
    return seen + divide(product(at - before, seen_side) + whole / 2, whole, 16);
}

uint32_t p2b_fit_photo_x(const p2b_fit_t *fit, uint32_t x, uint32_t side)
{
    return photo_place(x * P2B_IMAGE_W, side, fit->filled.x, fit->filled.w, fit->seen.x, fit->seen.w);
}

uint32_t p2b_fit_photo_y(const p2b_fit_t *fit, uint32_t y, uint32_t side)
{
    return photo_place(y * P2B_IMAGE_H, side, fit->filled.y, fit->filled.h, fit->seen.y, fit->seen.h);
}

/* --- photo, image, input ----------------------------------------------------------------------------- */

/* Give the image's next row, fit->line, to the input. */
static void end_line(p2b_fit_t *fit)
{
#if P2B_FIT_AGAIN
    const uint64_t area = (uint64_t)(P2B_IMAGE_W * P2B_IMAGE_H);
    p2b_area_t *const again = &fit->area_again;

    begin_row(again);
    for (const uint8_t *pixel = fit->line; pixel < fit->line + LINE_BYTES; pixel += P2B_PHOTO_C) {
#if P2B_INPUT_C == 1
        const uint32_t values[] = {LUMA_RED * pixel[0] + LUMA_GREEN * pixel[1] + LUMA_BLUE * pixel[2]};
#else
        const uint32_t values[] = {pixel[0], pixel[1], pixel[2]};
#endif
        add_pixel(again, values);
    }
    for (uint32_t left = P2B_INPUT_H; left > 0;)
        if (cover_row(again, &left))
            for (uint32_t i = 0; i < P2B_INPUT_W * P2B_INPUT_C; ++i) {
                const uint64_t whole = P2B_INPUT_C == 1 ? (LUMA_RED + LUMA_GREEN + LUMA_BLUE) * area : area;

                *fit->input++ = (int8_t)((int32_t)take_mean(again, i, whole) - 128);
            }
#else
    for (uint32_t i = 0; i < LINE_BYTES; ++i)
        *fit->input++ = (int8_t)(fit->line[i] - 128);
#endif
    fit->image_row += 1;
}

/* Grey rows of the image, up to one. */
static void grey_lines(p2b_fit_t *fit, uint32_t end)
{
    memset(fit->line, P2B_FIT_GREY, sizeof fit->line);
    while (fit->image_row < end)
        end_line(fit);
}

void p2b_fit_begin(p2b_fit_t *fit, uint16_t width, uint16_t height, int8_t *input)
{
    place(fit, width, height);
    fit->width = width;
    fit->photo_row = 0;
    fit->column = 0;
    fit->channel = 0;
    fit->image_row = 0;
    fit->input = input;
    fit->area = (p2b_area_t){
        .from_w = fit->seen.w,
        .from_h = fit->seen.h,
        .to_w = fit->filled.w,
        .to_h = fit->filled.h,
        .channels = P2B_PHOTO_C,
    };
    area_begin(&fit->area, fit->row, fit->sum);
#if P2B_FIT_AGAIN
    fit->area_again = (p2b_area_t){
        .from_w = P2B_IMAGE_W,
        .from_h = P2B_IMAGE_H,
        .to_w = P2B_INPUT_W,
        .to_h = P2B_INPUT_H,
        .channels = P2B_INPUT_C,
    };
    area_begin(&fit->area_again, fit->row_again, fit->sum_again);
#endif
    grey_lines(fit, fit->filled.y);
}

/* Spread a row of what is seen over the image's rows. */
static void end_photo_row(p2b_fit_t *fit)
{
    const uint32_t whole = fit->seen.w * fit->seen.h, first = fit->filled.x * P2B_PHOTO_C;

    for (uint32_t left = fit->filled.h; left > 0;)
        if (cover_row(&fit->area, &left)) {
            for (uint32_t i = 0; i < fit->filled.w * P2B_PHOTO_C; ++i)
                fit->line[first + i] = (uint8_t)take_mean(&fit->area, i, whole);
            end_line(fit);
        }
    begin_row(&fit->area);
    if (fit->image_row == fit->filled.y + fit->filled.h)
        grey_lines(fit, P2B_IMAGE_H);
}

static void take_pixel(p2b_fit_t *fit)
{
    const int seen = fit->photo_row - fit->seen.y < fit->seen.h;

    if (seen && fit->column - fit->seen.x < fit->seen.w)
        add_pixel(&fit->area, fit->pixel);
    fit->column += 1;
    if (fit->column == fit->width) {
        if (seen)
            end_photo_row(fit);
        fit->column = 0;
        fit->photo_row += 1;
    }
}

void p2b_fit_bytes(p2b_fit_t *fit, const uint8_t *bytes, uint32_t count)
{
    for (uint32_t i = 0; i < count; ++i) {
        fit->pixel[fit->channel++] = bytes[i];
        if (fit->channel == P2B_PHOTO_C) {
            fit->channel = 0;
            take_pixel(fit);
        }
    }
}

#endif
