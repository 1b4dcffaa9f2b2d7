/* The parts of the ESP-IDF port; port.c implements port.h. */
#ifndef P2B_ESP_IDF_H
#define P2B_ESP_IDF_H

/* Open the line. */
void port_start(void);

/* Have the second core help with every inference of p2b_model from now on; called once, by the task that infers. */
void cores_start(void);

/* Tell what the camera sees, for ever. */
void camera_run(void);

/* Run the network here and in TFLite Micro, tell whether the outputs are equal and what they took. */
void tflm_compare(void);

#endif
