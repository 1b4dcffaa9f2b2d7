/* SPDX-License-Identifier: Apache-2.0 */
/* A board as the port sees it: the serial link is standard input and output, flash and camera are files. */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "driver/gpio.h"
#include "driver/uart.h"
#include "esp_camera.h"
#include "esp_cpu.h"
#include "esp_image_format.h"
#include "esp_ota_ops.h"

void app_main(void);

static const esp_partition_t factory = {.address = 0x10000, .size = 0x300000};

static uint32_t file_bytes(const char *name, uint32_t offset, void *bytes, size_t size)
{
    FILE *const file = fopen(name, "rb");
    size_t count;

    if (file == NULL || fseek(file, (long)offset, SEEK_SET) != 0)
        abort();
    count = fread(bytes, 1, size, file);
    fclose(file);
    return (uint32_t)count;
}

/* Near the wrap, and the same in every run. */
esp_cpu_cycle_count_t esp_cpu_get_cycle_count(void)
{
    static uint32_t cycles = 0xffffff00u;

    return cycles += 240;
}

esp_err_t gpio_config(const gpio_config_t *pGPIOConfig)
{
    const int right = pGPIOConfig->mode == GPIO_MODE_OUTPUT && pGPIOConfig->pin_bit_mask == (3u << 13);

    return right ? ESP_OK : -1;
}

/* Edges go to the file pins.txt. */
esp_err_t gpio_set_level(gpio_num_t gpio_num, uint32_t level)
{
    FILE *const file = fopen("pins.txt", "a");

    if (file == NULL || level > 1)
        abort();
    fprintf(file, "%d %u\n", (int)gpio_num, (unsigned)level);
    fclose(file);
    return ESP_OK;
}

esp_err_t uart_driver_install(uart_port_t uart_num, int rx_buffer_size, int tx_buffer_size, int queue_size,
                              QueueHandle_t *uart_queue, int intr_alloc_flags)
{
    /* The driver takes no ring smaller than the hardware's FIFO, of 128 bytes. */
    const int right = rx_buffer_size > 128 && tx_buffer_size == 0 && queue_size == 0 && uart_queue == NULL;

    return uart_num == UART_NUM_0 && right && intr_alloc_flags == 0 ? ESP_OK : -1;
}

esp_err_t uart_param_config(uart_port_t uart_num, const uart_config_t *uart_config)
{
    return uart_num == UART_NUM_0 && uart_config->baud_rate == 115200 ? ESP_OK : -1;
}

esp_err_t uart_get_buffered_data_len(uart_port_t uart_num, size_t *size)
{
    int waiting = 0;

    (void)uart_num;
    if (ioctl(STDIN_FILENO, FIONREAD, &waiting) != 0)
        return -1;
    *size = (size_t)waiting;
    return ESP_OK;
}

/* All of `length`, as the driver does it with no limit to its patience; the end of input ends the program. */
int uart_read_bytes(uart_port_t uart_num, void *buf, uint32_t length, TickType_t ticks_to_wait)
{
    uint8_t *bytes = buf;

    if (uart_num != UART_NUM_0 || ticks_to_wait != portMAX_DELAY)
        abort();
    for (uint32_t left = length; left > 0;) {
        const ssize_t count = read(STDIN_FILENO, bytes, left);

        if (count <= 0)
            exit(0);
        bytes += count;
        left -= (uint32_t)count;
    }
    return (int)length;
}

int uart_write_bytes(uart_port_t uart_num, const void *src, size_t size)
{
    const char *bytes = src;

    (void)uart_num;
    for (size_t left = size; left > 0;) {
        const ssize_t count = write(STDOUT_FILENO, bytes, left);

        if (count <= 0)
            exit(0);
        bytes += count;
        left -= (size_t)count;
    }
    return (int)size;
}

const esp_partition_t *esp_ota_get_running_partition(void)
{
    return &factory;
}

/* The file `image`, then erased flash. */
esp_err_t esp_partition_read(const esp_partition_t *partition, size_t src_offset, void *dst, size_t size)
{
    if (src_offset + size > partition->size)
        return -1;
    memset(dst, 0xff, size);
    (void)file_bytes("image", (uint32_t)src_offset, dst, size);
    return ESP_OK;
}

esp_err_t esp_image_get_metadata(const esp_partition_pos_t *part, esp_image_metadata_t *metadata)
{
    static uint8_t image[0x300000];

    if (part->offset != factory.address || part->size != factory.size)
        return -1;
    metadata->image_len = file_bytes("image", 0, image, sizeof image);
    return ESP_OK;
}

static pixformat_t format;

esp_err_t esp_camera_init(const camera_config_t *config)
{
    format = config->pixel_format;
    return config->frame_size == FRAMESIZE_QQVGA && config->fb_count == 1 ? ESP_OK : -1;
}

/* Frames of the file `frames`, one after the other, then one that is cut off, then the end. */
camera_fb_t *esp_camera_fb_get(void)
{
    static uint8_t pixels[160 * 120 * 2];
    static camera_fb_t frame = {.buf = pixels, .width = 160, .height = 120};
    static uint32_t taken;
    const size_t whole = 160 * 120 * (format == PIXFORMAT_RGB565 ? 2 : 1);

    frame.format = format;
    frame.len = file_bytes("frames", taken * (uint32_t)whole, pixels, whole);
    ++taken;
    if (frame.len == 0)
        exit(0);
    return &frame;
}

void esp_camera_fb_return(camera_fb_t *fb)
{
    memset(fb->buf, 0x55, fb->len);
}

int main(void)
{
    app_main();
    return 0;
}
