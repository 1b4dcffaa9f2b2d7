/* SPDX-License-Identifier: Apache-2.0 */
/* What the ESP-IDF port uses of tensorflow/lite/micro/micro_mutable_op_resolver.h. */
#pragma once
#include "tensorflow/lite/micro/micro_interpreter.h"

namespace tflite {
template <unsigned int tOpCount> class MicroMutableOpResolver : public MicroOpResolver {
 public:
    TfLiteStatus AddAdd() { return Add(); }
    TfLiteStatus AddAveragePool2D() { return Add(); }
    TfLiteStatus AddConcatenation() { return Add(); }
    TfLiteStatus AddConv2D() { return Add(); }
    TfLiteStatus AddDepthwiseConv2D() { return Add(); }
    TfLiteStatus AddFullyConnected() { return Add(); }
    TfLiteStatus AddMaxPool2D() { return Add(); }
    TfLiteStatus AddMean() { return Add(); }
    TfLiteStatus AddPad() { return Add(); }
    TfLiteStatus AddReshape() { return Add(); }
    TfLiteStatus AddSoftmax() { return Add(); }

 private:
    TfLiteStatus Add() { return ++operators_ <= tOpCount ? kTfLiteOk : kTfLiteError; }
};
} // namespace tflite
