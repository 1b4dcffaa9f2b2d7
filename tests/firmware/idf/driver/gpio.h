/* SPDX-License-Identifier: Apache-2.0 */
/* What the ESP-IDF port uses of driver/gpio.h. */
#pragma once
#include <stdint.h>

#include "esp_err.h"

typedef enum { GPIO_NUM_13 = 13, GPIO_NUM_14 } gpio_num_t;
typedef enum { GPIO_MODE_OUTPUT = 2 } gpio_mode_t;
typedef enum { GPIO_PULLUP_DISABLE } gpio_pullup_t;
typedef enum { GPIO_PULLDOWN_DISABLE } gpio_pulldown_t;
typedef enum { GPIO_INTR_DISABLE } gpio_int_type_t;

typedef struct {
    uint64_t pin_bit_mask;
    gpio_mode_t mode;
    gpio_pullup_t pull_up_en;
    gpio_pulldown_t pull_down_en;
    gpio_int_type_t intr_type;
} gpio_config_t;

esp_err_t gpio_config(const gpio_config_t *pGPIOConfig);
esp_err_t gpio_set_level(gpio_num_t gpio_num, uint32_t level);
