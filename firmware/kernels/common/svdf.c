/* SPDX-License-Identifier: Apache-2.0 */
/* A dense layer factorized over features and time: each filter remembers what it gave for the last inputs. */
#include "p2b_arithmetic.h"
#include "p2b_checks.h"

/* What filter `filter` gives for an input, in steps of the state and without its zero point. */
static int32_t feature(const p2b_svdf_t *op, int32_t filter, const int8_t *input)
{
    const int8_t *weights = op->feature_weights + filter * op->inputs;
    int32_t sum = 0;

    for (const int8_t *const end = weights + op->inputs; weights != end;)
        sum += *weights++ * (*input++ - op->input_zero_point);
    return p2b_requantize(sum, op->feature_multiplier, op->feature_shift);
}

/* Let a filter's memory take in `newest`; return its sum over time. */
static int32_t narrow_sum(const p2b_svdf_t *op, int32_t filter, int32_t newest, int8_t *memory)
{
    const int8_t *const weights = (const int8_t *)op->time_weights + filter * op->memory;
    int32_t sum = 0;

    for (int32_t i = 0; i + 1 < op->memory; ++i)
        memory[i] = memory[i + 1];
    newest = newest < INT8_MIN ? INT8_MIN : newest > INT8_MAX ? INT8_MAX : newest;
    memory[op->memory - 1] = (int8_t)(uint8_t)(newest + op->state_zero_point);
    for (int32_t i = 0; i < op->memory; ++i)
        sum += weights[i] * (memory[i] - op->state_zero_point);
    return sum;
}

static int32_t wide_sum(const p2b_svdf_t *op, int32_t filter, int32_t newest, int16_t *memory)
{
    const int16_t *const weights = (const int16_t *)op->time_weights + filter * op->memory;
    int32_t sum = 0;

    for (int32_t i = 0; i + 1 < op->memory; ++i)
        memory[i] = memory[i + 1];
    memory[op->memory - 1] = (int16_t)(newest < INT16_MIN ? INT16_MIN : newest > INT16_MAX ? INT16_MAX : newest);
    for (int32_t i = 0; i < op->memory; ++i)
        sum += weights[i] * memory[i];
    return sum;
}

void p2b_svdf(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_svdf_t *const op = layer;

    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(rows == 1 && in[0] != NULL && in[1] != NULL && p2b_is_aligned(in[1], op->wide ? 2 : 1));
    P2B_ASSERT(op->inputs >= 1 && op->units >= 1 && op->rank >= 1 && op->memory >= 1);
    P2B_ASSERT(op->feature_weights != NULL && op->time_weights != NULL && op->bias != NULL);
    P2B_ASSERT(p2b_is_int8(op->input_zero_point) && p2b_is_int8(op->state_zero_point) && p2b_is_int8(op->zero_point));
    P2B_ASSERT(!op->wide || op->state_zero_point == 0);

    /* The state is this layer's to change. */
    int8_t *const state = (int8_t *)(uintptr_t)in[1];

    for (int32_t unit = 0, filter = 0; unit < op->units; ++unit) {
        int32_t sum = op->bias[unit];

        for (int32_t i = 0; i < op->rank; ++i, ++filter) {
            const int32_t newest = feature(op, filter, in[0]);

            sum += op->wide ? wide_sum(op, filter, newest, (int16_t *)(void *)state + filter * op->memory)
                            : narrow_sum(op, filter, newest, state + filter * op->memory);
        }
        out[0][unit] = p2b_clamp(p2b_requantize(sum, op->multiplier, op->shift), op->zero_point, INT8_MIN, INT8_MAX);
    }
}
