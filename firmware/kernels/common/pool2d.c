/* SPDX-License-Identifier: Apache-2.0 */
/* Max and average pooling: a window is cut to the input first, so padding is never looked at. */
#include "p2b_arithmetic.h"
#include "p2b_checks.h"

/* A window cut to the input: `height` rows, of which bytes begin .. end - 1. */
typedef struct {
    const int8_t *const *rows;
    int32_t height, begin, end;
} area_t;

/* The rows that are no padding. */
static area_t area_under(const p2b_window_t *window, const int8_t *const *in)
{
    int32_t height = window->kernel_h;

    for (; in[0] == NULL; ++in)
        --height;
    while (in[height - 1] == NULL)
        --height;
    return (area_t){.rows = in, .height = height, .begin = 0, .end = 0};
}

/* Move to output column out_x; return the window's width there. */
static int32_t move(area_t *area, const p2b_window_t *window, int32_t out_x)
{
    const int32_t x = out_x * window->stride_w - window->pad_w, past = x + window->kernel_w;
    const int32_t left = x > 0 ? x : 0, right = past < window->in_w ? past : window->in_w;

    area->begin = left * window->in_c;
    area->end = right * window->in_c;
    return right - left;
}

static inline bool check(const p2b_pool2d_t *op, const int8_t *const *in, int8_t *const *out, int32_t rows,
                         const void *scratch)
{
    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));

    const p2b_window_t *const window = &op->window;
    bool sees_a_row = false;

    P2B_ASSERT(rows == 1);
    P2B_ASSERT(window->in_c >= 1);
    P2B_ASSERT(p2b_is_window(window->in_h, window->out_h, window->kernel_h, window->stride_h, window->pad_h));
    P2B_ASSERT(p2b_is_window(window->in_w, window->out_w, window->kernel_w, window->stride_w, window->pad_w));
    /* If the first and the last window of a row see a pixel of the input, all windows do. */
    P2B_ASSERT(window->pad_w < window->kernel_w);
    P2B_ASSERT((window->out_w - 1) * window->stride_w - window->pad_w < window->in_w);
    P2B_ASSERT(window->kernel_h * window->kernel_w < 1 << 16);
    for (int32_t y = 0; y < window->kernel_h; ++y) {
        P2B_ASSERT(p2b_check_row(in[y], window->in_w * window->in_c));
        sees_a_row |= in[y] != NULL;
    }
    P2B_ASSERT(sees_a_row);
    P2B_ASSERT(p2b_check_range(op->low, op->high));
    return true;
}

void p2b_max_pool2d(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_pool2d_t *const op = layer;

    P2B_ASSERT(check(op, in, out, rows, scratch));

    const int32_t channels = op->window.in_c;
    area_t area = area_under(&op->window, in);
    int8_t *output = out[0];

    for (int32_t x = 0; x < op->window.out_w; ++x) {
        (void)move(&area, &op->window, x);
        for (int32_t c = 0; c < channels; ++c) {
            int32_t largest = op->low;

            for (int32_t y = 0; y < area.height; ++y) {
                const int8_t *const end = area.rows[y] + area.end + c;

                for (const int8_t *p = area.rows[y] + area.begin + c; p != end; p += channels)
                    if (*p > largest)
                        largest = *p;
            }
            *output++ = (int8_t)(largest > op->high ? op->high : largest);
        }
    }
}

/* floor(x / count) for x <= 128.5 * count, count < 2^16; reciprocal: floor(2^24 / count).
 *
 * The estimate is below x / count by less than x / 2^24 < 1 for the reciprocal's missing fraction, so that its
 * floor is the quotient or one less. Its product is below 128.5 * 2^24 < 2^32. */
static inline int32_t divide(uint32_t x, uint32_t count, uint32_t reciprocal)
{
    const uint32_t estimate = x * reciprocal >> 24;

    return (int32_t)(estimate + (x - estimate * count >= count));
}

void p2b_average_pool2d(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_pool2d_t *const op = layer;

    P2B_ASSERT(check(op, in, out, rows, scratch));

    const int32_t channels = op->window.in_c;
    area_t area = area_under(&op->window, in);
    uint32_t count = 0, reciprocal = 0;
    int8_t *output = out[0];

    for (int32_t x = 0; x < op->window.out_w; ++x) {
        const uint32_t pixels = (uint32_t)(move(&area, &op->window, x) * area.height);

        if (count != pixels) {
            count = pixels;
            reciprocal = p2b_divide(1u << 24, count);
        }
        for (int32_t c = 0; c < channels; ++c) {
            int32_t sum = 0, mean;

            for (int32_t y = 0; y < area.height; ++y) {
                const int8_t *const end = area.rows[y] + area.end + c;

                for (const int8_t *p = area.rows[y] + area.begin + c; p != end; p += channels)
                    sum += *p;
            }
            /* Ties away from zero. */
            if (sum < 0)
                mean = -divide((uint32_t)-sum + count / 2, count, reciprocal);
            else
                mean = divide((uint32_t)sum + count / 2, count, reciprocal);
            *output++ = p2b_clamp(mean, 0, op->low, op->high);
        }
    }
}
