/* SPDX-License-Identifier: Apache-2.0 */
/* Boxes of a grid detector; p2b_boxes.h defines the arithmetic. */
#include "p2b_boxes.h"

#include "p2b_arithmetic.h"

#define BOX 4

static inline uint32_t index_of(int8_t value)
{
    return (uint32_t)(value + 128);
}

static inline int32_t clamp(int32_t value, int32_t high)
{
    return value < 0 ? 0 : value > high ? high : value;
}

/* First of the largest. */
static uint32_t best_class(const int8_t *values, uint32_t count)
{
    uint32_t best = 0;

    for (uint32_t c = 1; c < count; ++c)
        if (values[c] > values[best])
            best = c;
    return best;
}

static uint32_t score_of(const p2b_box_tables_t *tables, const int8_t *classes, uint32_t best)
{
    uint32_t sum = 0;

    for (uint32_t c = 0; c < tables->classes; ++c)
        sum += tables->exponential[classes[best] - classes[c]];
    return (tables->confidence[index_of(classes[tables->classes])] * p2b_divide(1u << 30, sum) + (1u << 14)) >> 15;
}

/* One axis of a box: centre -+ half, cut at limit. */
static void span(int32_t centre, int32_t half, int32_t limit, int16_t *low, int16_t *high)
{
    *low = (int16_t)clamp(centre - half, limit);
    *high = (int16_t)clamp(centre + half, limit);
}

uint32_t p2b_boxes_decode(const p2b_box_tables_t *tables, const int8_t *output, p2b_box_t *boxes)
{
    uint32_t count = 0;

    for (int32_t row = 0; row < tables->rows; ++row)
        for (int32_t column = 0; column < tables->columns; ++column, output += BOX + tables->classes + 1) {
            const int8_t *const classes = output + BOX;
            const uint32_t kind = best_class(classes, tables->classes);
            const uint32_t score = score_of(tables, classes, kind);
            p2b_box_t *const box = boxes + count;

            if (score < tables->score_threshold)
                continue;
            span(column * tables->stride + tables->offset[index_of(output[0])], tables->half_width[index_of(output[2])],
                 tables->width, &box->x1, &box->x2);
            span(row * tables->stride + tables->offset[index_of(output[1])], tables->half_height[index_of(output[3])],
                 tables->height, &box->y1, &box->y2);
            box->score = (uint16_t)score;
            box->kind = (uint16_t)kind;
            if (box->x2 > box->x1 && box->y2 > box->y1)
                ++count;
        }
    return count;
}

static uint32_t area(const p2b_box_t *box)
{
    return (uint32_t)(box->x2 - box->x1) * (uint32_t)(box->y2 - box->y1);
}

static int overlap(const p2b_box_t *a, const p2b_box_t *b, uint32_t threshold)
{
    const int32_t x1 = a->x1 > b->x1 ? a->x1 : b->x1, x2 = a->x2 < b->x2 ? a->x2 : b->x2;
    const int32_t y1 = a->y1 > b->y1 ? a->y1 : b->y1, y2 = a->y2 < b->y2 ? a->y2 : b->y2;
    uint32_t shared;

    if (x2 <= x1 || y2 <= y1)
        return 0;
    shared = (uint32_t)(x2 - x1) * (uint32_t)(y2 - y1);
    return shared * 128u > threshold * (area(a) + area(b) - shared);
}

/* Put boxes[best] at boxes[0] and after it, in their order, the boxes that it does not suppress; return the number of
 * all of these. Up to best's old place the others move by one, so `next` keeps the box that is overwritten. */
static uint32_t keep(p2b_box_t *boxes, uint32_t count, uint32_t best, uint32_t threshold)
{
    const p2b_box_t top = boxes[best];
    p2b_box_t next = boxes[0];
    uint32_t left = 1;

    boxes[0] = top;
    for (uint32_t i = 0; i < count; ++i) {
        const p2b_box_t box = next;

        if (i + 1 < count)
            next = boxes[i + 1];
        if (i != best && (box.kind != top.kind || !overlap(&box, &top, threshold)))
            boxes[left++] = box;
    }
    return left;
}

uint32_t p2b_boxes_suppress(const p2b_box_tables_t *tables, p2b_box_t *boxes, uint32_t count, uint32_t limit)
{
    uint32_t kept = 0;

    while (kept < count && kept < limit) {
        uint32_t best = kept;

        for (uint32_t i = kept + 1; i < count; ++i)
            if (boxes[i].score > boxes[best].score)
                best = i;
        count = kept + keep(boxes + kept, count - kept, best - kept, tables->iou_threshold);
        ++kept;
    }
    return kept;
}
