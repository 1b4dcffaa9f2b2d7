/* SPDX-License-Identifier: Apache-2.0 */
#include "network.h"

#include <string.h>

#include "clock.h"
#include "link.h"
#include "port.h"

#ifdef P2B_BOXES
#include "boxes.h"
#endif

int8_t network_input[P2B_INPUT_BYTES];
uint32_t network_counts[P2B_LAYER_COUNT];

/* The network takes its input row by row. */
static void input_row(void *context, int32_t input, int32_t row, int8_t *destination)
{
    const uint32_t row_bytes = P2B_INPUT_W * P2B_INPUT_C;

    (void)context;
    (void)input;
    memcpy(destination, network_input + (uint32_t)row * row_bytes, row_bytes);
}

void network_infer(void)
{
    memset(network_counts, 0, sizeof network_counts);
    p2b_begin(&p2b_model);
    for (int32_t call = 0; call < p2b_model.schedule_length; ++call) {
        const uint32_t start = port_counter();
        const int32_t layer = p2b_call(&p2b_model, call, input_row, 0);

        /* The input's arrival belongs to no layer. */
        if (layer >= 0)
            network_counts[layer] += port_elapsed(start, port_counter());
        (void)clock_us();
    }
}

#ifdef P2B_BOXES
/* x1, y1, x2, y2: in the photo's pixels, or in units without a photo. */
static void box_sides(const p2b_box_t *box, const p2b_fit_t *photo, uint32_t sides[4])
{
    /* Cut at the image, so never negative. */
    const uint32_t x1 = (uint32_t)box->x1, y1 = (uint32_t)box->y1, x2 = (uint32_t)box->x2, y2 = (uint32_t)box->y2;
    const uint32_t width = p2b_box_tables.width, height = p2b_box_tables.height;

    sides[0] = photo == 0 ? x1 : p2b_fit_photo_x(photo, x1, width);
    sides[1] = photo == 0 ? y1 : p2b_fit_photo_y(photo, y1, height);
    sides[2] = photo == 0 ? x2 : p2b_fit_photo_x(photo, x2, width);
    sides[3] = photo == 0 ? y2 : p2b_fit_photo_y(photo, y2, height);
}

void network_send_boxes(const p2b_fit_t *photo)
{
    static p2b_box_t boxes[P2B_BOX_CELLS];
    uint32_t count = p2b_boxes_decode(&p2b_box_tables, p2b_output(&p2b_model, 0), boxes), found = 0, sides[4];

    count = p2b_boxes_suppress(&p2b_box_tables, boxes, count, P2B_BOX_CELLS);
    for (uint32_t i = 0; i < count; ++i) {
        box_sides(&boxes[i], photo, sides);
        if (sides[2] > sides[0] && sides[3] > sides[1])
            boxes[found++] = boxes[i];
    }
    link_send_number("m-boxes", found);
    for (uint32_t i = 0; i < found; ++i) {
        box_sides(&boxes[i], photo, sides);
        link_text(photo == 0 ? "m-box-[" : "m-photo-box-[");
        link_number(boxes[i].kind);
        link_text(",");
        link_number(boxes[i].score);
        for (uint32_t side = 0; side < 4; ++side) {
            link_text(",");
            link_number(sides[side]);
        }
        link_send("]");
    }
}
#endif
