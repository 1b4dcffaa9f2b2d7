/* SPDX-License-Identifier: Apache-2.0 */
/* What the ESP-IDF port uses of freertos/FreeRTOS.h. */
#pragma once
#include <stdint.h>

typedef uint32_t TickType_t;
typedef int BaseType_t;
typedef unsigned int UBaseType_t;
#define pdTRUE 1
#define pdPASS pdTRUE
#define portMAX_DELAY ((TickType_t)0xffffffffu)
