/* SPDX-License-Identifier: Apache-2.0 */
/* What the ESP-IDF port uses of esp_task.h. */
#pragma once

#define ESP_TASK_MAIN_STACK 8192
