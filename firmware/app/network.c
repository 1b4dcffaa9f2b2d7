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
static void input_row(void *context, int32_t row, int8_t *destination)
{
    const uint32_t row_bytes = P2B_INPUT_W * P2B_INPUT_C;

    (void)context;
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
void network_send_boxes(void)
{
    static p2b_box_t boxes[P2B_BOX_CELLS];
    uint32_t count = p2b_boxes_decode(&p2b_box_tables, p2b_output(&p2b_model), boxes);

    count = p2b_boxes_suppress(&p2b_box_tables, boxes, count, P2B_BOX_CELLS);
    link_send_number("m-boxes", count);
    for (uint32_t i = 0; i < count; ++i) {
        /* Cut at the image, so never negative. */
        const int16_t sides[] = {boxes[i].x1, boxes[i].y1, boxes[i].x2, boxes[i].y2};

        link_text("m-box-[");
        link_number(boxes[i].kind);
        link_text(",");
        link_number(boxes[i].score);
        for (uint32_t side = 0; side < 4; ++side) {
            link_text(",");
            link_number((uint32_t)sides[side]);
        }
        link_send("]");
    }
}
#endif
