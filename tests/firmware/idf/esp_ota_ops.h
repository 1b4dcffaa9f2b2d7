/* SPDX-License-Identifier: Apache-2.0 */
/* What the ESP-IDF port uses of esp_ota_ops.h. */
#pragma once
#include "esp_partition.h"

const esp_partition_t *esp_ota_get_running_partition(void);
