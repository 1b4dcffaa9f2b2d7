/* SPDX-License-Identifier: Apache-2.0 */
/* Port to ESP-IDF: UART 0 for the serial link, CCOUNT of the application's core for cycles. */
#include "port.h"

#include "driver/gpio.h"
#include "driver/uart.h"
#include "esp_cpu.h"
#include "esp_err.h"
#include "esp_idf.h"
#include "esp_image_format.h" /* bootloader_support */
#include "esp_ota_ops.h"      /* app_update */
#include "esp_partition.h"
#include "esp_task.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "sdkconfig.h"

#define LINK UART_NUM_0
#define RECEIVE_BYTES 2048 /* more than a command: the host waits for each reply */

/* Free on common boards; of an ESP32-CAM they go to the memory card's slot. */
#define RUNNING_GPIO GPIO_NUM_13
#define LAP_GPIO GPIO_NUM_14

/* From ESP-IDF's linker script (esp_system/ld/esp32/sections.ld.in): code is in flash and in IRAM. */
extern const uint8_t _text_start[], _text_end[], _iram_text_start[], _iram_text_end[];
extern const uint8_t _rodata_start[], _rodata_end[], _data_start[], _data_end[], _bss_start[], _bss_end[];

void port_start(void)
{
    const uart_config_t config = {
        .baud_rate = CONFIG_P2B_BAUD,
        .data_bits = UART_DATA_8_BITS,
        .parity = UART_PARITY_DISABLE,
        .stop_bits = UART_STOP_BITS_1,
        .flow_ctrl = UART_HW_FLOWCTRL_DISABLE,
        .source_clk = UART_SCLK_DEFAULT,
    };

    const gpio_config_t pins = {
        .pin_bit_mask = 1ull << RUNNING_GPIO | 1ull << LAP_GPIO,
        .mode = GPIO_MODE_OUTPUT,
    };

    port_pin(PORT_PIN_RUNNING, 0);
    port_pin(PORT_PIN_LAP, 1);
    ESP_ERROR_CHECK(gpio_config(&pins));
    ESP_ERROR_CHECK(uart_driver_install(LINK, RECEIVE_BYTES, 0, 0, NULL, 0));
    ESP_ERROR_CHECK(uart_param_config(LINK, &config));
}

uint8_t port_read(void)
{
    static uint8_t buffer[128];
    static int filled, taken;

    while (taken == filled) {
        size_t waiting;

        ESP_ERROR_CHECK(uart_get_buffered_data_len(LINK, &waiting));
        if (waiting == 0)
            waiting = 1; /* wait for one */
        if (waiting > sizeof buffer)
            waiting = sizeof buffer;
        taken = 0;
        filled = uart_read_bytes(LINK, buffer, (uint32_t)waiting, portMAX_DELAY);
        if (filled < 0)
            filled = 0;
    }
    return buffer[taken++];
}

void port_write(const char *bytes, uint32_t length)
{
    (void)uart_write_bytes(LINK, bytes, length);
}

void port_pin(port_pin_t pin, int high)
{
    ESP_ERROR_CHECK(gpio_set_level(pin == PORT_PIN_LAP ? LAP_GPIO : RUNNING_GPIO, high ? 1 : 0));
}

const char *port_counter_unit(void)
{
    return "cycles";
}

uint32_t port_counter(void)
{
    return esp_cpu_get_cycle_count();
}

uint32_t port_elapsed(uint32_t start, uint32_t end)
{
    return end - start;
}

uint32_t port_counts_per_us(void)
{
    return CONFIG_ESP_DEFAULT_CPU_FREQ_MHZ;
}

void port_memory(port_memory_t *memory)
{
    memory->text = (uint32_t)((_text_end - _text_start) + (_iram_text_end - _iram_text_start));
    memory->rodata = (uint32_t)(_rodata_end - _rodata_start);
    memory->data = (uint32_t)(_data_end - _data_start);
    memory->bss = (uint32_t)(_bss_end - _bss_start);
    /* Of the application's task; FreeRTOS paints it, and ESP-IDF counts it in bytes. */
    memory->stack = ESP_TASK_MAIN_STACK - uxTaskGetStackHighWaterMark(NULL);
}

/* The image is the running partition up to the image's end: the bytes of the .bin file. */
uint32_t port_image_bytes(void)
{
    const esp_partition_t *const partition = esp_ota_get_running_partition();
    const esp_partition_pos_t place = {.offset = partition->address, .size = partition->size};
    esp_image_metadata_t image;

    ESP_ERROR_CHECK(esp_image_get_metadata(&place, &image));
    return image.image_len;
}

uint8_t port_image_byte(uint32_t index)
{
    static uint8_t block[256];
    static uint32_t held = UINT32_MAX; /* number of the block */

    if (index / sizeof block != held) {
        held = index / sizeof block;
        ESP_ERROR_CHECK(esp_partition_read(esp_ota_get_running_partition(), held * sizeof block, block, sizeof block));
    }
    return block[index % sizeof block];
}
