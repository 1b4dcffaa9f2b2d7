/* SPDX-License-Identifier: Apache-2.0 */
/* An interpreter that has the engine compute the outputs. */
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tensorflow/lite/schema/schema_generated.h"

extern "C" {
#include "model.h"
}

typedef enum { kTfLiteOk, kTfLiteError } TfLiteStatus;
typedef struct {
    union {
        int8_t *int8;
    } data;
} TfLiteTensor;

namespace tflite {
class MicroOpResolver {
 public:
    unsigned int operators_ = 0;
};

class MicroInterpreter {
 public:
    MicroInterpreter(const Model *model, const MicroOpResolver &op_resolver, uint8_t *tensor_arena,
                     size_t tensor_arena_size)
        : file_(reinterpret_cast<const char *>(model)), operators_(op_resolver.operators_)
    {
        input_.data.int8 = reinterpret_cast<int8_t *>(tensor_arena);
        output_.data.int8 = input_.data.int8 + P2B_INPUT_BYTES;
        used_ = P2B_INPUT_BYTES + P2B_OUTPUT_BYTES;
        enough_ = tensor_arena_size >= used_ && reinterpret_cast<uintptr_t>(tensor_arena) % 16 == 0;
    }
    /* A .tflite file has its mark at byte 4. */
    TfLiteStatus AllocateTensors()
    {
        const bool aligned = reinterpret_cast<uintptr_t>(file_) % 16 == 0;
        return enough_ && aligned && operators_ == 11 && !std::memcmp(file_ + 4, "TFL3", 4) ? kTfLiteOk : kTfLiteError;
    }
    TfLiteStatus Invoke()
    {
        const int8_t *const inputs[] = {input_.data.int8};

        p2b_run(&p2b_model, inputs);
        std::memcpy(output_.data.int8, p2b_output(&p2b_model, 0), P2B_OUTPUT_BYTES);
        return kTfLiteOk;
    }
    TfLiteTensor *input(size_t) { return &input_; }
    TfLiteTensor *output(size_t) { return &output_; }
    size_t arena_used_bytes() const { return used_; }

 private:
    const char *file_;
    unsigned int operators_;
    TfLiteTensor input_, output_;
    size_t used_;
    bool enough_;
};
} // namespace tflite
