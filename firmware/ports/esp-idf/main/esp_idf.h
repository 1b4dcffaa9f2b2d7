/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the ESP-IDF port; port.c implements port.h. */
#ifndef P2B_ESP_IDF_H
#define P2B_ESP_IDF_H

/* Open the serial link. */
void port_start(void);

/* From now on the second core computes a part of every inference of p2b_model; called once, by the task that infers. */
void cores_start(void);

/* Classify what the camera sees and send it, in an endless loop. */
void camera_run(void);

/* Run the network in this engine and in TFLite Micro; send whether the outputs are equal, and both times. */
void tflm_compare(void);

#endif
