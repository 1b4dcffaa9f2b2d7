/* SPDX-License-Identifier: Apache-2.0 */
/* Run every network on its inputs. What is printed, one line each:
 *   network K             before anything of network K runs
 *   output HEX            of each inference, all outputs one after the other
 *   total COUNT           of the first inference: p2b_begin() and all calls
 *   input COUNT           the calls that take in rows
 *   layer COUNT NAME      a layer's calls; the name in hexadecimal, for it may be any text
 *   end                   after the last network
 * A count is in the unit of the port's counter and leaves out what counting costs. */
#include "runner.h"

#include <stdbool.h>
#include <string.h>

#include "port.h"

#define LAYERS 256 /* a schedule's entries are bytes: no more steps, hence layers, than this */

typedef struct {
    const p2b_model_t *model;
    const int8_t *inputs; /* one after the other; their tensors are the first ones */
} frame_t;

static uint32_t counts[1 + LAYERS]; /* of the inputs, then of each layer */

static int32_t tensor_bytes(const p2b_model_t *model, int32_t tensor)
{
    return model->tensors[tensor].rows * model->tensors[tensor].row_bytes;
}

static void take_row(void *context, int32_t input, int32_t row, int8_t *destination)
{
    const frame_t *const frame = context;
    const int32_t row_bytes = frame->model->tensors[input].row_bytes;
    int32_t place = row * row_bytes;

    while (input > 0)
        place += tensor_bytes(frame->model, --input);
    memcpy(destination, frame->inputs + place, (size_t)row_bytes);
}

static bool is_state(const p2b_model_t *model, int32_t offset)
{
    for (int32_t i = 0; i < model->state_count; ++i)
        if (model->tensors[model->states[i].tensor].offset == offset)
            return true;
    return false;
}

static void print_hex(const void *data, uint32_t length)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    char text[128];

    while (length > 0) {
        uint32_t n = 0;

        for (; n < sizeof text && length > 0; --length, ++bytes) {
            text[n++] = digits[*bytes >> 4];
            text[n++] = digits[*bytes & 15u];
        }
        port_write(text, n);
    }
}

static void print_text(const char *text)
{
    port_write(text, (uint32_t)strlen(text));
}

static void print_number(const char *word, uint32_t value)
{
    char text[10];
    uint32_t start = sizeof text;

    do {
        text[--start] = (char)('0' + value % 10u);
        value /= 10u;
    } while (value > 0);
    print_text(word);
    port_write(text + start, (uint32_t)sizeof text - start);
}

static uint32_t since(uint32_t start, uint32_t cost)
{
    return port_elapsed(start, port_counter()) - cost;
}

/* Overwrite all tensors, so that a kernel that reads what this inference has not written gives wrong outputs. */
static void overwrite_tensors(const p2b_model_t *model, int byte)
{
    int32_t tensors = 0;

    for (int32_t i = 0; i < model->step_count; ++i)
        tensors = model->steps[i].output >= tensors ? model->steps[i].output + 1 : tensors;
    for (int32_t i = 0; i < tensors; ++i) {
        const p2b_tensor_t *const tensor = &model->tensors[i];

        if (is_state(model, tensor->offset))
            continue;
        memset(model->arena + tensor->offset, byte, (size_t)(tensor->capacity * tensor->row_bytes));
    }
}

/* One inference, each call counted by its layer. Return the count of all. */
static uint32_t run(const p2b_model_t *model, frame_t *frame, uint32_t cost)
{
    uint32_t start, total;

    memset(counts, 0, sizeof counts);
    start = port_counter();
    p2b_begin(model);
    total = since(start, cost);
    for (int32_t i = 0; i < model->schedule_length; ++i) {
        int32_t layer;
        uint32_t count;

        start = port_counter();
        layer = p2b_call(model, i, take_row, frame);
        count = since(start, cost);
        counts[layer < 0 ? 0 : 1 + layer] += count;
        total += count;
    }
    return total;
}

static void run_network(const runner_network_t *network, uint32_t cost)
{
    const p2b_model_t *const model = network->model;
    frame_t frame = {model, network->inputs};

    p2b_reset(model);
    for (int32_t i = 0; i < network->count; ++i) {
        uint32_t total;

        overwrite_tensors(model, 0x55 + i);
        total = run(model, &frame, cost);
        print_text("output ");
        for (int32_t output = 0; output < model->output_count; ++output)
            print_hex(p2b_output(model, output), (uint32_t)tensor_bytes(model, model->outputs[output]));
        print_text("\n");
        for (int32_t step = 0; step < model->step_count && model->steps[step].layer < 0; ++step)
            frame.inputs += tensor_bytes(model, model->steps[step].output);
        if (i > 0)
            continue;
        print_number("total ", total);
        print_number("\ninput ", counts[0]);
        for (int32_t layer = 0; layer < model->layer_count; ++layer) {
            print_number("\nlayer ", counts[1 + layer]);
            print_text(" ");
            print_hex(model->layer_names[layer], (uint32_t)strlen(model->layer_names[layer]));
        }
        print_text("\n");
    }
}

void app_start(void)
{
    const uint32_t start = port_counter();
    const uint32_t cost = since(start, 0);

    for (int32_t i = 0; i < runner_network_count; ++i) {
        print_number("network ", (uint32_t)i);
        print_text("\n");
        run_network(&runner_networks[i], cost);
    }
    print_text("end\n");
    runner_exit();
}

/* The port's part of an application that listens, which this one does not. */
void app_receive(uint8_t byte)
{
    (void)byte;
}
