/* SPDX-License-Identifier: Apache-2.0 */
/* Live mode of an ESP32-CAM: frame, fit, inference, result, in an endless loop.
 *
 * Frames are small enough for internal memory: with PSRAM, gcc works around the first ESP32s' cache in all code, and
 * inline assembly would not. Their formats need no decoder: RGB565 for networks that see colours, else grey. */
#include "esp_camera.h"

#include "esp_err.h"
#include "esp_idf.h"
#include "link.h"
#include "network.h"
#include "p2b_fit.h"
#include "port.h"

#if P2B_INPUT_C == 3
#define FORMAT PIXFORMAT_RGB565
#define PIXEL_BYTES 2u
#elif P2B_INPUT_C == 1
#define FORMAT PIXFORMAT_GRAYSCALE
#define PIXEL_BYTES 1u
#else
#error "the camera gives one channel or three"
#endif

/* Pins of AI-Thinker's ESP32-CAM. */
static const camera_config_t config = {
    .pin_pwdn = 32,
    .pin_reset = -1,
    .pin_xclk = 0,
    .pin_sccb_sda = 26,
    .pin_sccb_scl = 27,
    .pin_d7 = 35,
    .pin_d6 = 34,
    .pin_d5 = 39,
    .pin_d4 = 36,
    .pin_d3 = 21,
    .pin_d2 = 19,
    .pin_d1 = 18,
    .pin_d0 = 5,
    .pin_vsync = 25,
    .pin_href = 23,
    .pin_pclk = 22,
    .xclk_freq_hz = 20000000,
    .ledc_timer = LEDC_TIMER_0,
    .ledc_channel = LEDC_CHANNEL_0,
    .pixel_format = FORMAT,
    .frame_size = FRAMESIZE_QQVGA,
    .fb_count = 1,
    .fb_location = CAMERA_FB_IN_DRAM,
    .grab_mode = CAMERA_GRAB_WHEN_EMPTY,
};

static p2b_fit_t photo;

/* Give one row of a frame to the photo. */
static void take_row(const uint8_t *row, uint32_t width)
{
    for (const uint8_t *const end = row + width * PIXEL_BYTES; row < end; row += PIXEL_BYTES) {
#if P2B_INPUT_C == 1
        const uint8_t rgb[] = {*row, *row, *row};
#else
        /* The high byte comes first (esp32-camera, conversions/to_bmp.c). */
        const uint32_t pixel = (uint32_t)row[0] << 8 | row[1];
        const uint32_t red = pixel >> 11, green = pixel >> 5 & 63u, blue = pixel & 31u;
        const uint8_t rgb[] = {(uint8_t)(red << 3 | red >> 2), (uint8_t)(green << 2 | green >> 4),
                               (uint8_t)(blue << 3 | blue >> 2)};
#endif
        p2b_fit_bytes(&photo, rgb, sizeof rgb);
    }
}

#ifndef P2B_BOXES
/* The class of the largest output, the first of equals: its name, or its number if it has none, and the output,
 * 0 .. 255. */
static void send_label(const int8_t *output)
{
    static const char *const names[] = {P2B_CLASSES};
    uint32_t best = 0;

    for (uint32_t i = 1; i < P2B_OUTPUT_BYTES; ++i)
        if (output[i] > output[best])
            best = i;
    link_text("m-label-[");
    if (best < sizeof names / sizeof *names && names[best][0] != '\0')
        link_text(names[best]);
    else
        link_number(best);
    link_send_number("]", (uint32_t)(output[best] + 128));
}
#endif

/* Make the input of a frame; 0 if the frame is not whole. */
static int take_frame(void)
{
    camera_fb_t *const frame = esp_camera_fb_get();
    const int whole = frame != NULL && frame->len >= frame->width * frame->height * PIXEL_BYTES;

    if (whole) {
        p2b_fit_begin(&photo, (uint16_t)frame->width, (uint16_t)frame->height, network_input);
        for (size_t y = 0; y < frame->height; ++y)
            take_row(frame->buf + y * frame->width * PIXEL_BYTES, (uint32_t)frame->width);
    }
    if (frame != NULL)
        esp_camera_fb_return(frame);
    return whole;
}

void camera_run(void)
{
    const esp_err_t error = esp_camera_init(&config);

    link_set_framed(0);
    if (error != ESP_OK) {
        link_send_number("e-[The camera does not start]", (uint32_t)error);
        return;
    }
    for (;;) {
        uint32_t start;

        if (!take_frame()) {
            link_send("e-[No whole frame came]");
            continue;
        }
        start = port_counter();
        network_infer();
        link_send_number("m-infer-us", port_elapsed(start, port_counter()) / port_counts_per_us());
#ifdef P2B_BOXES
        network_send_boxes(&photo);
#else
        send_label(p2b_output(&p2b_model, 0));
#endif
        link_send_ready();
    }
}
