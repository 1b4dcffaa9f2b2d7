/* SPDX-License-Identifier: Apache-2.0 */
/* What the ESP-IDF port uses of driver/ledc.h. */
#pragma once

typedef enum { LEDC_TIMER_0 } ledc_timer_t;
typedef enum { LEDC_CHANNEL_0 } ledc_channel_t;
