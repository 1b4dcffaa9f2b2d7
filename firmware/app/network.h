/* SPDX-License-Identifier: Apache-2.0 */
/* The network of this image: its input, an inference, its results. */
#ifndef P2B_NETWORK_H
#define P2B_NETWORK_H

#include <stdint.h>

#include "model.h"
#include "p2b_fit.h"

extern int8_t network_input[P2B_INPUT_BYTES]; /* H x W x C */

/* What each layer took in the last inference, in port_counter_unit. */
extern uint32_t network_counts[P2B_LAYER_COUNT];

/* Infer network_input; the outputs are p2b_output(&p2b_model, 0). */
void network_infer(void);

#ifdef P2B_BOXES
/* Send what a detector found in the last inference: m-boxes, and a line for each. If the input was a photo, that is
 * m-photo-box with sides in the photo's pixels, and boxes that lie beside it are left out; else (0) it is m-box with sides
 * in units of p2b_boxes.h. */
void network_send_boxes(const p2b_fit_t *photo);
#endif

#endif
