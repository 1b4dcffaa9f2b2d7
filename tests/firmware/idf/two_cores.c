/* SPDX-License-Identifier: Apache-2.0 */
/* Every network once by p2b_run, which uses one core, and once by calls that the linker sends to cores.c; a process
 * each, for there is one second core and it serves one network. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "esp_idf.h"
#include "freertos/task.h"
#include "model.h"
#include "two_cores.h"

p2b_model_t p2b_model; /* cores.c knows the network by this name */

static void take_row(void *context, int32_t input, int32_t row, int8_t *destination)
{
    const int32_t bytes = p2b_model.tensors[0].row_bytes;

    (void)input;
    memcpy(destination, (const int8_t *)context + row * bytes, (size_t)bytes);
}

static int differs(const network_t *network)
{
    const p2b_tensor_t *const output = &network->model->tensors[network->model->outputs[0]];
    const p2b_tensor_t *const source = &network->model->tensors[0];
    const size_t bytes = (size_t)(output->rows * output->row_bytes);
    int8_t *const expected = malloc(bytes);

    p2b_model = *network->model;
    cores_start();
    for (int32_t i = 0; i < network->inputs; ++i) {
        int8_t *const input = network->input + i * source->rows * source->row_bytes;
        const int8_t *const inputs[] = {input};

        p2b_reset(&p2b_model);
        p2b_run(&p2b_model, inputs);
        memcpy(expected, p2b_output(&p2b_model, 0), bytes);
        memset(p2b_model.arena, 0x55 + i, (size_t)network->arena_bytes);
        p2b_reset(&p2b_model);
        p2b_begin(&p2b_model);
        for (int32_t call = 0; call < p2b_model.schedule_length; ++call)
            if (p2b_call(&p2b_model, call, take_row, input) != p2b_model.steps[p2b_model.schedule[call]].layer)
                return 1;
        if (memcmp(expected, p2b_output(&p2b_model, 0), bytes) != 0)
            return 1;
    }
    return 0;
}

int main(void)
{
    for (int32_t i = 0; i < network_count; ++i) {
        int status;

        if (fork() == 0) {
            const int result = differs(&networks[i]);

            printf("%d %d %u\n", (int)i, result, notifications_given());
            fflush(stdout);
            _exit(result);
        }
        if (wait(&status) < 0 || status != 0)
            return 1;
    }
    return 0;
}
