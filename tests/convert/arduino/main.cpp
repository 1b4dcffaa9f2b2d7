/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a sketch: setup, then its loop once. The camera gives one frame, which is read from standard input. */
#include <Arduino.h>
#include <esp_camera.h>

HardwareSerial Serial;

static uint8_t pixels[160 * 120 * 2];
static camera_fb_t frame = {pixels, 0, 160, 120, PIXFORMAT_RGB565};

extern "C" esp_err_t esp_camera_init(const camera_config_t *config)
{
    const size_t pixel_bytes = config->pixel_format == PIXFORMAT_RGB565 ? 2 : 1;

    frame.len = fread(pixels, 1, 160 * 120 * pixel_bytes, stdin);
    return ESP_OK;
}

extern "C" camera_fb_t *esp_camera_fb_get(void)
{
    return &frame;
}

extern "C" void esp_camera_fb_return(camera_fb_t *)
{
}

int main()
{
    setup();
    loop();
}
