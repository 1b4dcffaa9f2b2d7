/* SPDX-License-Identifier: Apache-2.0 */
/* A long short-term memory layer over a sequence. Each step reads the last one's outputs, which lie in the output, so
 * that the state is written once, after the last step. */
#include "p2b_arithmetic.h"
#include "p2b_checks.h"

#define INPUT 0
#define FORGET 1
#define CELL 2
#define OUTPUT 3

static int32_t int16_clamped(int32_t x)
{
    return x < INT16_MIN ? INT16_MIN : x > INT16_MAX ? INT16_MAX : x;
}

static int32_t product(const int8_t *weights, const int8_t *values, int32_t n, int32_t sum)
{
    for (const int8_t *const end = weights + n; weights != end;)
        sum += *weights++ * *values++;
    return sum;
}

/* The sum that goes into a gate of a unit, in steps of 2^-12. */
static int32_t gate_sum(const p2b_lstm_t *op, int32_t gate, int32_t unit, const int8_t *input, const int8_t *last)
{
    const int32_t row = gate * op->units + unit;
    const int32_t own = product(op->input_weights + row * op->inputs, input, op->inputs, op->input_bias[row]);
    const int32_t recurrent =
        product(op->recurrent_weights + row * op->units, last, op->units, op->recurrent_bias[row]);

    return int16_clamped(
        int16_clamped(p2b_requantize(own, op->input_multipliers[gate], op->input_shifts[gate])) +
        int16_clamped(p2b_requantize(recurrent, op->recurrent_multipliers[gate], op->recurrent_shifts[gate])));
}

/* The sigmoid of a magnitude between the table's values, which are 2^bits apart; `most` from the last one on. */
static int32_t interpolated(const uint16_t *table, int32_t magnitude, int32_t bits, int32_t most)
{
    const int32_t place = magnitude >> bits;

    if (place >= 255)
        return most;
    return (table[place] << bits) + (magnitude & ((1 << bits) - 1)) * (table[place + 1] - table[place]);
}

/* x in steps of 2^-12; the result in steps of 2^-15. */
static int32_t sigmoid(const uint16_t *table, int32_t x)
{
    const int32_t value = interpolated(table, 3 * (x < 0 ? -x : x), 9, INT16_MAX << 10);

    return (x >= 0 ? value + (1 << 9) : (1 << 25) - value + (1 << 9) - 1) >> 10;
}

/* x in steps of 2^-12 / 3; the result in steps of 2^-15. */
static int32_t hyperbolic_tangent(const uint16_t *table, int32_t x)
{
    const int32_t value = interpolated(table, x < 0 ? -x : x, 8, 0xffff << 8);

    return (x >= 0 ? value - (1 << 23) + (1 << 7) : (1 << 23) - value + (1 << 7) - 1) >> 8;
}

static int8_t unit_output(const p2b_lstm_t *op, int32_t unit, const int8_t *input, const int8_t *last, int16_t *cell)
{
    const uint16_t *const table = op->sigmoid;
    const int32_t take = sigmoid(table, gate_sum(op, INPUT, unit, input, last));
    const int32_t forget = sigmoid(table, gate_sum(op, FORGET, unit, input, last));
    const int32_t candidate = hyperbolic_tangent(table, 3 * gate_sum(op, CELL, unit, input, last));
    const int32_t give = sigmoid(table, gate_sum(op, OUTPUT, unit, input, last));
    const int32_t kept = p2b_requantize(forget * *cell, op->forget_multiplier, op->forget_shift);
    const int32_t taken = p2b_requantize(take * candidate, op->take_multiplier, op->take_shift);
    int32_t next = int16_clamped(int16_clamped(kept) + int16_clamped(taken));

    if (op->clip > 0)
        next = next < -op->clip ? -op->clip : next > op->clip ? op->clip : next;
    *cell = (int16_t)next;

    const int32_t scaled = (next * op->tanh_factor + ((1 << op->tanh_shift) >> 1)) >> op->tanh_shift;
    const int32_t given = p2b_requantize(hyperbolic_tangent(table, scaled) * give, op->give_multiplier, op->give_shift);

    return p2b_clamp(given, op->zero_point, INT8_MIN, INT8_MAX);
}

void p2b_lstm(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_lstm_t *const op = layer;

    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(in[0] != NULL && in[1] != NULL && p2b_is_aligned(in[2], 2));
    P2B_ASSERT(op->steps >= 1 && op->inputs >= 1 && op->units >= 1);
    P2B_ASSERT(op->input_weights != NULL && op->recurrent_weights != NULL && op->sigmoid != NULL);
    P2B_ASSERT(op->input_bias != NULL && op->recurrent_bias != NULL);
    P2B_ASSERT(op->tanh_shift >= 0 && op->tanh_shift <= 12 && op->clip >= 0 && op->clip <= INT16_MAX);
    P2B_ASSERT(p2b_is_int8(op->zero_point));

    const int8_t *input = in[0], *last = in[1];
    /* The states are this layer's to change. */
    int8_t *const hidden = (int8_t *)(uintptr_t)in[1];
    int16_t *const cell = (int16_t *)(uintptr_t)in[2];
    int8_t *output = out[0];

    for (int32_t step = 0; step < op->steps; ++step) {
        for (int32_t unit = 0; unit < op->units; ++unit)
            output[unit] = unit_output(op, unit, input, last, &cell[unit]);
        input += op->inputs;
        last = output;
        output += op->units;
    }
    for (int32_t unit = 0; unit < op->units; ++unit)
        hidden[unit] = last[unit];
}
