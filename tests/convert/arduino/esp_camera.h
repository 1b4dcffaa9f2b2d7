/* SPDX-License-Identifier: Apache-2.0 */
/* The stand-in of the ESP-IDF port's tests, as C++ sees it. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

extern "C" {
#include "../../firmware/idf/esp_camera.h"
}
