/* SPDX-License-Identifier: Apache-2.0 */
/* The network of this image: its input, an inference, its results. */
#ifndef P2B_NETWORK_H
#define P2B_NETWORK_H

#include <stdint.h>

#include "model.h"

extern int8_t network_input[P2B_INPUT_BYTES]; /* H x W x C */

/* What each layer took in the last inference, in port_counter_unit. */
extern uint32_t network_counts[P2B_LAYER_COUNT];

/* Infer network_input; the outputs are p2b_output(&p2b_model). */
void network_infer(void);

#ifdef P2B_BOXES
/* Send what a detector found in the last inference: m-boxes, and a line m-box for each. */
void network_send_boxes(void);
#endif

#endif
