/* SPDX-License-Identifier: Apache-2.0 */
/* What the ESP-IDF port uses of tensorflow/lite/schema/schema_generated.h. */
#pragma once
#include <cstdint>

namespace tflite {
struct Model;
inline const Model *GetModel(const void *buf)
{
    return static_cast<const Model *>(buf);
}
} // namespace tflite
