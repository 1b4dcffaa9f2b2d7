/* Max and average pooling: a window is cut to the input first, so padding is never looked at. */
#include "p2b_arithmetic.h"
#include "p2b_kernels.h"

static inline int32_t larger(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

static inline int32_t smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* A window cut to the input: its first element in channel 0, its size in pixels. */
typedef struct {
    const int8_t *first;
    int32_t height, width;
} area_t;

static area_t area_under(const p2b_window_t *window, const int8_t *input, int32_t out_y, int32_t out_x)
{
    const int32_t y = out_y * window->stride_h - window->pad_h, top = larger(y, 0);
    const int32_t x = out_x * window->stride_w - window->pad_w, left = larger(x, 0);

    return (area_t){
        .first = input + (top * window->in_w + left) * window->in_c,
        .height = smaller(y + window->kernel_h, window->in_h) - top,
        .width = smaller(x + window->kernel_w, window->in_w) - left,
    };
}

/* The largest element of one channel under a window. */
static int32_t maximum(const p2b_window_t *window, area_t area)
{
    int32_t result = INT8_MIN;

    for (int32_t y = 0; y < area.height; ++y, area.first += window->in_w * window->in_c)
        for (int32_t x = 0; x < area.width; ++x)
            result = larger(result, area.first[x * window->in_c]);
    return result;
}

/* The mean of one channel under a window, ties away from zero. */
static int32_t mean(const p2b_window_t *window, area_t area)
{
    const uint32_t count = (uint32_t)(area.height * area.width);
    int32_t sum = 0;

    for (int32_t y = 0; y < area.height; ++y, area.first += window->in_w * window->in_c)
        for (int32_t x = 0; x < area.width; ++x)
            sum += area.first[x * window->in_c];
    if (sum < 0)
        return -(int32_t)p2b_divide((uint32_t)-sum + count / 2, count);
    return (int32_t)p2b_divide((uint32_t)sum + count / 2, count);
}

static inline void pool(const p2b_pool2d_t *op, int32_t reduce(const p2b_window_t *, area_t),
                        const int8_t *input, int8_t *output)
{
    const p2b_window_t *const window = &op->window;

    for (int32_t y = 0; y < window->out_h; ++y)
        for (int32_t x = 0; x < window->out_w; ++x) {
            area_t area = area_under(window, input, y, x);

            for (int32_t c = 0; c < window->in_c; ++c, ++area.first)
                *output++ = p2b_clamp(reduce(window, area), 0, op->low, op->high);
        }
}

void p2b_max_pool2d(const p2b_pool2d_t *op, const int8_t *input, int8_t *output)
{
    pool(op, maximum, input, output);
}

void p2b_average_pool2d(const p2b_pool2d_t *op, const int8_t *input, int8_t *output)
{
    pool(op, mean, input, output);
}
