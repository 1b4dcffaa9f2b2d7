/* SPDX-License-Identifier: Apache-2.0 */
/* The schedule's interpreter: finds each call's rows and calls its kernel. */
#include "p2b_engine.h"

#include <stddef.h>

#include "p2b_assert.h"

/* Where row `row` of a tensor lies, in bytes from the tensor's start. Rows from ring_start on lie from the ring's start
 * on; earlier rows lie behind them. */
static int32_t place_of(const p2b_model_t *model, int32_t number, int32_t row)
{
    P2B_ASSERT(number >= 0 && number < model->tensor_count);

    const p2b_tensor_t *const tensor = &model->tensors[number];
    int32_t position = row - model->ring_start[number];

    if (position < 0)
        position += tensor->capacity;
    P2B_ASSERT(position >= 0 && position < tensor->capacity);
    return position * tensor->row_bytes;
}

static const int8_t *row_of(const p2b_model_t *model, int32_t number, int32_t row)
{
    const int32_t place = place_of(model, number, row);
    const p2b_tensor_t *const tensor = &model->tensors[number];

    return (tensor->constant ? tensor->constant : model->arena + tensor->offset) + place;
}

static int8_t *new_row_of(const p2b_model_t *model, int32_t number, int32_t row)
{
    const int32_t place = place_of(model, number, row);

    P2B_ASSERT(!model->tensors[number].constant);
    return model->arena + model->tensors[number].offset + place;
}

/* Let rows up to `last` take the places of the oldest rows. */
static void advance_ring(const p2b_model_t *model, int32_t number, int32_t last)
{
    const int32_t next = model->ring_start[number] + model->tensors[number].capacity;

    P2B_ASSERT(last < next + model->tensors[number].capacity);
    if (last >= next)
        model->ring_start[number] = (int16_t)next;
}

void p2b_reset(const p2b_model_t *model)
{
    for (int32_t i = 0; i < model->state_count; ++i) {
        const p2b_state_t *const state = &model->states[i];
        const p2b_tensor_t *const tensor = &model->tensors[state->tensor];
        int8_t *const content = model->arena + tensor->offset;

        for (int32_t byte = 0; byte < tensor->rows * tensor->row_bytes; ++byte)
            content[byte] = state->initial ? state->initial[byte] : state->fill;
    }
}

void p2b_begin(const p2b_model_t *model)
{
    for (int32_t i = 0; i < model->step_count; ++i)
        model->progress[i] = 0;
    for (int32_t i = 0; i < model->tensor_count; ++i)
        model->ring_start[i] = 0;
}

int32_t p2b_call(const p2b_model_t *model, int32_t index, p2b_source_t *source, void *context)
{
    P2B_ASSERT(index >= 0 && index < model->schedule_length);
    P2B_ASSERT(model->schedule[index] < model->step_count);

    const int32_t number = model->schedule[index];
    const p2b_step_t *const step = &model->steps[number];
    const int32_t first = model->progress[number];
    const int32_t left = model->tensors[step->output].rows - first;
    const int32_t rows = left < step->rows ? left : step->rows;
    const int8_t **in = model->in;

    P2B_ASSERT(rows >= 1 && rows <= model->tensors[step->output].capacity);
    model->progress[number] = (int16_t)(first + rows);
    advance_ring(model, step->output, first + rows - 1);
    for (int32_t i = 0; i < rows; ++i)
        model->out[i] = new_row_of(model, step->output, first + i);
    if (!step->kernel) {
        P2B_ASSERT(source != NULL && rows == 1);
        source(context, -1 - step->layer, first, model->out[0]);
        return step->layer;
    }
    for (int32_t i = 0; i < step->operand_count; ++i) {
        const p2b_operand_t *const operand = &step->operands[i];
        const int32_t end = model->tensors[operand->tensor].rows;
        const int32_t top = first * operand->stride - operand->pad;
        const int32_t bottom = top + (rows - 1) * operand->stride + operand->height;

        P2B_ASSERT(operand->height > 0 || model->tensors[operand->tensor].capacity == end);
        if (operand->height == 0)
            *in++ = row_of(model, operand->tensor, 0);
        for (int32_t row = top; operand->height > 0 && row < bottom; ++row)
            *in++ = row >= 0 && row < end ? row_of(model, operand->tensor, row) : NULL;
    }
    step->kernel(step->op, model->in, model->out, rows, model->arena + step->scratch);
    return step->layer;
}

const int8_t *p2b_output(const p2b_model_t *model, int32_t output)
{
    P2B_ASSERT(output >= 0 && output < model->output_count);
    return row_of(model, model->outputs[output], 0);
}

typedef struct {
    const p2b_model_t *model;
    const int8_t *const *inputs;
} frame_t;

/* The tensors of the inputs are the first ones. */
static void copy_row(void *context, int32_t input, int32_t row, int8_t *destination)
{
    const frame_t *const frame = context;
    const int32_t row_bytes = frame->model->tensors[input].row_bytes;
    const int8_t *from = frame->inputs[input] + row * row_bytes;

    for (int8_t *const end = destination + row_bytes; destination != end;)
        *destination++ = *from++;
}

void p2b_run(const p2b_model_t *model, const int8_t *const *inputs)
{
    frame_t frame = {model, inputs};

    p2b_begin(model);
    for (int32_t i = 0; i < model->schedule_length; ++i)
        (void)p2b_call(model, i, copy_row, &frame);
}
