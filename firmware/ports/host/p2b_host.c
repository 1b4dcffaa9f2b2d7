/* SPDX-License-Identifier: Apache-2.0 */
/* The host library's exports: what paper2board/firmware/host.py calls through ctypes. */
#include <stdint.h>
#include <string.h>

#include "model.h"
#include "p2b_fit.h"

/* HostModel is told of one input and one output; of more it knows the names alone. */
#if P2B_INPUTS > 1
#define P2B_INPUT_H 0
#define P2B_INPUT_W 0
#define P2B_INPUT_C 0
#endif
#if P2B_OUTPUTS > 1
#define P2B_OUTPUT_BYTES 0
#define P2B_OUTPUT_SCALE 0
#define P2B_OUTPUT_ZERO_POINT 0
#endif

int32_t p2b_host_input_height(void);
int32_t p2b_host_input_width(void);
int32_t p2b_host_input_channels(void);
int32_t p2b_host_output_bytes(void);
int32_t p2b_host_output_zero_point(void);
double p2b_host_output_scale(void);
int32_t p2b_host_layer_count(void);
const char *p2b_host_layer_name(int32_t layer);
const char *p2b_host_class(int32_t output);
const char *p2b_host_model_name(void);
const char *p2b_host_model_sha256(void);
void p2b_host_run_batch(const int8_t *inputs, int8_t *outputs, int32_t n);
const char *p2b_host_fit_text(void);
void p2b_host_fit(const uint8_t *photo, int32_t width, int32_t height, int8_t *input);

int32_t p2b_host_input_height(void)
{
    return P2B_INPUT_H;
}

int32_t p2b_host_input_width(void)
{
    return P2B_INPUT_W;
}

int32_t p2b_host_input_channels(void)
{
    return P2B_INPUT_C;
}

int32_t p2b_host_output_bytes(void)
{
    return P2B_OUTPUT_BYTES;
}

int32_t p2b_host_output_zero_point(void)
{
    return P2B_OUTPUT_ZERO_POINT;
}

double p2b_host_output_scale(void)
{
    return P2B_OUTPUT_SCALE;
}

int32_t p2b_host_layer_count(void)
{
    return P2B_LAYER_COUNT;
}

const char *p2b_host_layer_name(int32_t layer)
{
    return p2b_model.layer_names[layer];
}

/* The name of an output; empty if it has none. */
const char *p2b_host_class(int32_t output)
{
    static const char *const names[] = {P2B_CLASSES};

    return output >= 0 && (size_t)output < sizeof names / sizeof *names ? names[output] : "";
}

const char *p2b_host_model_name(void)
{
    return P2B_MODEL_NAME;
}

const char *p2b_host_model_sha256(void)
{
    return P2B_MODEL_SHA256;
}

static size_t tensor_bytes(int32_t tensor)
{
    return (size_t)(p2b_model.tensors[tensor].rows * p2b_model.tensors[tensor].row_bytes);
}

/* From the first content of all states on, n inferences. inputs: each inference's inputs, one after the other;
 * outputs: likewise. */
void p2b_host_run_batch(const int8_t *inputs, int8_t *outputs, int32_t n)
{
    p2b_reset(&p2b_model);
    for (int32_t i = 0; i < n; ++i) {
        const int8_t *each[P2B_INPUTS];

        for (int32_t input = 0; input < P2B_INPUTS; inputs += tensor_bytes(input), ++input)
            each[input] = inputs;
        p2b_run(&p2b_model, each);
        for (int32_t output = 0; output < p2b_model.output_count; ++output) {
            const size_t bytes = tensor_bytes(p2b_model.outputs[output]);

            memcpy(outputs, p2b_output(&p2b_model, output), bytes);
            outputs += bytes;
        }
    }
}

#ifdef P2B_FIT
const char *p2b_host_fit_text(void)
{
    return P2B_FIT_TEXT;
}

/* photo: height x width x P2B_PHOTO_C; input: P2B_INPUT_BYTES. 1 <= width, height <= 65535. */
void p2b_host_fit(const uint8_t *photo, int32_t width, int32_t height, int8_t *input)
{
    static p2b_fit_t fit;
    const uint32_t row_bytes = (uint32_t)width * P2B_PHOTO_C;

    p2b_fit_begin(&fit, (uint16_t)width, (uint16_t)height, input);
    for (int32_t y = 0; y < height; ++y, photo += row_bytes)
        p2b_fit_bytes(&fit, photo, row_bytes);
}
#else
const char *p2b_host_fit_text(void)
{
    return "";
}

void p2b_host_fit(const uint8_t *photo, int32_t width, int32_t height, int8_t *input)
{
    (void)photo;
    (void)width;
    (void)height;
    (void)input;
}
#endif
