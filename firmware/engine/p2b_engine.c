/* SPDX-License-Identifier: Apache-2.0 */
/* The schedule's interpreter: finds each call's rows and calls its kernel. */
#include "p2b_engine.h"

#include <stddef.h>

#include "p2b_assert.h"

/* Row `row` of a tensor. Rows from ring_start on lie from the ring's start on; earlier rows lie behind them. */
static int8_t *row_of(const p2b_model_t *model, int32_t number, int32_t row)
{
    P2B_ASSERT(number >= 0 && number < model->tensor_count);

    const p2b_tensor_t *const tensor = &model->tensors[number];
    int32_t position = row - model->ring_start[number];

    if (position < 0)
        position += tensor->capacity;
    P2B_ASSERT(position >= 0 && position < tensor->capacity);
    return model->arena + tensor->offset + position * tensor->row_bytes;
}

/* Let rows up to `last` take the places of the oldest rows. */
static void advance_ring(const p2b_model_t *model, int32_t number, int32_t last)
{
    const int32_t next = model->ring_start[number] + model->tensors[number].capacity;

    P2B_ASSERT(last < next + model->tensors[number].capacity);
    if (last >= next)
        model->ring_start[number] = (int16_t)next;
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
        model->out[i] = row_of(model, step->output, first + i);
    if (!step->kernel) {
        P2B_ASSERT(source != NULL && rows == 1);
        source(context, first, model->out[0]);
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

const int8_t *p2b_output(const p2b_model_t *model)
{
    return row_of(model, model->output, 0);
}

typedef struct {
    const int8_t *next;
    int32_t row_bytes;
} frame_t;

static void copy_row(void *context, int32_t row, int8_t *destination)
{
    frame_t *const frame = context;
    (void)row;

    for (int8_t *const end = destination + frame->row_bytes; destination != end;)
        *destination++ = *frame->next++;
}

const int8_t *p2b_run(const p2b_model_t *model, const int8_t *input)
{
    frame_t frame = {input, model->tensors[0].row_bytes};

    p2b_begin(model);
    for (int32_t i = 0; i < model->schedule_length; ++i)
        (void)p2b_call(model, i, copy_row, &frame);
    return p2b_output(model);
}
