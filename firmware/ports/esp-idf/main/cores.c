/* SPDX-License-Identifier: Apache-2.0 */
/* Both cores for one inference. The linker has every p2b_call of the application come here (--wrap).
 *
 * Calls of one step that follow each other in the schedule compute different rows of one tensor and read rows that are
 * there before the first of them. The second core does the later half of such calls with the same p2b_call, on a view
 * of the model that has row pointers, counts of rows and working memory of its own, and the arena in common. So each
 * row comes from the same kernel on the same inputs as on one core.
 *
 * Whatever interrupts a kernel keeps MAC16's registers (ESP-IDF, components/xtensa/xtensa_context.S,
 * xthal_save_extra_nw), and giving and taking a notification orders memory between the cores. */
#include <stdlib.h>
#include <string.h>

#include "esp_idf.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "model.h"

#define STACK_BYTES 4096

/* The names that --wrap gives to the engine's function and to ours. */
int32_t __real_p2b_call(const p2b_model_t *model, int32_t index, p2b_source_t *source, void *context);
int32_t __wrap_p2b_call(const p2b_model_t *model, int32_t index, p2b_source_t *source, void *context);

static p2b_model_t view;
static int8_t scratch[P2B_SCRATCH_BYTES + 16] __attribute__((aligned(16))); /* never of size 0 */
static TaskHandle_t first_core, second_core;
static int32_t from, to; /* calls that the second core does */
static int32_t next;     /* first call that has not been done */

static void run_second_core(void *unused)
{
    (void)unused;
    for (;;) {
        (void)ulTaskNotifyTake(pdTRUE, portMAX_DELAY);
        for (int32_t call = from; call < to; ++call)
            (void)__real_p2b_call(&view, call, NULL, NULL);
        (void)xTaskNotifyGive(first_core);
    }
}

static void *allocate(int32_t count, size_t bytes)
{
    void *const memory = calloc((size_t)count, bytes);

    if (memory == NULL)
        abort();
    return memory;
}

static p2b_step_t *view_steps(const p2b_model_t *model)
{
    p2b_step_t *const steps = allocate(model->step_count, sizeof *steps);

    memcpy(steps, model->steps, (size_t)model->step_count * sizeof *steps);
    for (int32_t i = 0; i < model->step_count; ++i) {
        /* An offset from the arena, although it lies outside of it: memory is flat. */
        steps[i].scratch = (int32_t)((intptr_t)scratch - (intptr_t)model->arena);
    }
    return steps;
}

void cores_start(void)
{
    int32_t largest_in = 0, largest_out = 0;

    for (int32_t i = 0; i < p2b_model.step_count; ++i) {
        const p2b_step_t *const step = &p2b_model.steps[i];
        int32_t in = 0;

        for (int32_t j = 0; j < step->operand_count; ++j) {
            const p2b_operand_t *const operand = &step->operands[j];

            in += operand->height == 0 ? 1 : (step->rows - 1) * operand->stride + operand->height;
        }
        if (in > largest_in)
            largest_in = in;
        if (step->rows > largest_out)
            largest_out = step->rows;
    }
    view = p2b_model;
    view.steps = view_steps(&p2b_model);
    view.progress = allocate(view.step_count, sizeof *view.progress);
    view.ring_start = allocate(view.tensor_count, sizeof *view.ring_start);
    view.in = allocate(largest_in, sizeof *view.in);
    view.out = allocate(largest_out, sizeof *view.out);
    first_core = xTaskGetCurrentTaskHandle();
    if (xTaskCreatePinnedToCore(run_second_core, "p2b", STACK_BYTES, NULL, uxTaskPriorityGet(NULL), &second_core, 1) !=
        pdPASS)
        abort();
}

/* How many calls from `index` on may run at once: those of one step whose rows all have different places. */
static int32_t calls_at_once(const p2b_model_t *model, int32_t index)
{
    const int32_t number = model->schedule[index];
    const p2b_step_t *const step = &model->steps[number];
    const p2b_tensor_t *const output = &model->tensors[step->output];
    const int32_t left = output->rows - model->progress[number];
    int32_t calls = 1;

    /* The input's rows come one after the other. */
    while (step->kernel && index + calls < model->schedule_length && model->schedule[index + calls] == number) {
        const int32_t rows = (calls + 1) * step->rows;

        if ((rows < left ? rows : left) > output->capacity)
            break;
        ++calls;
    }
    return calls;
}

/* As p2b_call; the first call of several that run at once does them all. */
int32_t __wrap_p2b_call(const p2b_model_t *model, int32_t index, p2b_source_t *source, void *context)
{
    const int32_t number = model->schedule[index];
    const p2b_step_t *const step = &model->steps[number];
    int32_t calls, half;

    if (index > 0 && index < next)
        return step->layer;
    calls = calls_at_once(model, index);
    half = (calls + 1) / 2;
    next = index + calls;
    if (calls == 1)
        return __real_p2b_call(model, index, source, context);

    from = index + half;
    to = index + calls;
    view.progress[number] = (int16_t)(model->progress[number] + half * step->rows);
    memcpy(view.ring_start, model->ring_start, (size_t)model->tensor_count * sizeof *view.ring_start);
    (void)xTaskNotifyGive(second_core);
    for (int32_t call = index; call < from; ++call)
        (void)__real_p2b_call(model, call, source, context);
    (void)ulTaskNotifyTake(pdTRUE, portMAX_DELAY);
    model->progress[number] = view.progress[number];
    model->ring_start[step->output] = view.ring_start[step->output];
    return step->layer;
}
