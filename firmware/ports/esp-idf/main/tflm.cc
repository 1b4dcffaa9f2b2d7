/* SPDX-License-Identifier: Apache-2.0 */
/* The same network through TFLite Micro with Espressif's kernels: same outputs, and what both take. */
#include <cstring>

#include "sdkconfig.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

extern "C" {
#include "esp_idf.h"
#include "link.h"
#include "network.h"
#include "port.h"

/* The file itself; ESP-IDF's EMBED_FILES would not align it. */
extern const uint8_t p2b_tflite[];
__asm__(".pushsection .rodata.p2b_tflite, \"a\"\n"
        ".balign 16\n"
        ".global p2b_tflite\n"
        "p2b_tflite: .incbin \"" P2B_TFLITE "\"\n"
        ".popsection\n");
}

namespace {

constexpr uint32_t kInputs = 10;

alignas(16) uint8_t arena[CONFIG_P2B_TFLM_ARENA];

/* Bytes as good as random, the same in every run. */
void draw_input()
{
    static uint32_t state = 1;

    for (int8_t &value : network_input) {
        state = 1664525u * state + 1013904223u;
        value = static_cast<int8_t>(state >> 24);
    }
}

} // namespace

void tflm_compare(void)
{
    static tflite::MicroMutableOpResolver<11> resolver; /* every operator that the engine takes */
    resolver.AddAdd();
    resolver.AddAveragePool2D();
    resolver.AddConcatenation();
    resolver.AddConv2D();
    resolver.AddDepthwiseConv2D();
    resolver.AddFullyConnected();
    resolver.AddMaxPool2D();
    resolver.AddMean();
    resolver.AddPad();
    resolver.AddReshape();
    resolver.AddSoftmax();
    tflite::MicroInterpreter interpreter(tflite::GetModel(p2b_tflite), resolver, arena, sizeof arena);
    uint32_t equal = 0, here = 0, there = 0;

    link_set_framed(0);
    if (interpreter.AllocateTensors() != kTfLiteOk) {
        link_send("e-[TFLite Micro does not take the network; is P2B_TFLM_ARENA large enough?]");
        return;
    }
    for (uint32_t i = 0; i < kInputs; i++) {
        draw_input();
        std::memcpy(interpreter.input(0)->data.int8, network_input, sizeof network_input);
        uint32_t start = port_counter();
        if (interpreter.Invoke() != kTfLiteOk) {
            link_send("e-[TFLite Micro fails]");
            return;
        }
        there += port_elapsed(start, port_counter()) / port_counts_per_us();

        start = port_counter();
        network_infer();
        here += port_elapsed(start, port_counter()) / port_counts_per_us();
        equal += std::memcmp(interpreter.output(0)->data.int8, p2b_output(&p2b_model, 0), P2B_OUTPUT_BYTES) == 0;
    }
    link_send_number("m-inputs", kInputs);
    link_send_number("m-equal", equal);
    link_send_number("m-infer-us", here / kInputs);
    link_send_number("m-tflm-us", there / kInputs);
    link_send_number("m-tflm-arena", static_cast<uint32_t>(interpreter.arena_used_bytes()));
    link_send_ready();
}
