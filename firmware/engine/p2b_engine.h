/* SPDX-License-Identifier: Apache-2.0 */
/* Running a network: a table of steps, a schedule of calls, tensors that hold some or all of their rows.
 *
 * A step is one layer (with what is fused into it). The schedule says which step computes its next rows, one
 * entry a call. A tensor whose `capacity` is smaller than its number of rows is a ring: row r lies at position
 * r mod capacity. The same code runs layer by layer (whole tensors, every step to its end) and streaming (a few rows
 * of each tensor at a time). */
#ifndef P2B_ENGINE_H
#define P2B_ENGINE_H

#include "p2b_kernels.h"

/* Where a tensor's rows are. A capacity of `rows` means that the whole tensor is there, row after row. */
typedef struct {
    const int8_t *constant; /* all of it, in flash; NULL: it is in the arena */
    int32_t offset;         /* bytes into the arena */
    int32_t rows, capacity;
    int32_t row_bytes;
} p2b_tensor_t;

/* One input of a step: output row y needs rows y * stride - pad .. + height - 1 of `tensor`. height 0: the whole
 * tensor, one pointer. */
typedef struct {
    int16_t tensor, height, stride, pad;
} p2b_operand_t;

typedef struct {
    p2b_kernel_t *kernel; /* NULL: the next row of an input of the model */
    const void *op;
    const p2b_operand_t *operands;
    int16_t operand_count;
    int16_t output;  /* tensor */
    int16_t rows;    /* computed by one call (the last one may have fewer) */
    int16_t layer;   /* into layer_names; below 0: input -1 - layer */
    int32_t scratch; /* offset of the kernel's working memory in the arena */
} p2b_step_t;

/* A tensor that is kept from one inference to the next. */
typedef struct {
    int16_t tensor;
    int8_t fill;           /* its first content: each byte, */
    const int8_t *initial; /* or these bytes; NULL: fill */
} p2b_state_t;

typedef struct {
    const char *const *layer_names; /* layer_count */
    const p2b_tensor_t *tensors;
    const p2b_step_t *steps;
    const uint8_t *schedule; /* step of each call */
    int32_t layer_count, step_count, tensor_count, schedule_length;
    const int16_t *outputs; /* tensors */
    const p2b_state_t *states;
    int32_t output_count, state_count;
    int8_t *arena;       /* all tensors and working memory; at a multiple of 16 bytes */
    int16_t *progress;   /* one a step: rows computed so far */
    int16_t *ring_start; /* one a tensor: the newest row that lies, or will lie, at position 0 of its ring */
    const int8_t **in;   /* one call's pointers to input rows, as many as the largest call has */
    int8_t **out;        /* one call's pointers to output rows, likewise */
} p2b_model_t;

/* Write row `row` of the model's input `input` (W x C bytes, int8) to `destination`. */
typedef void p2b_source_t(void *context, int32_t input, int32_t row, int8_t *destination);

/* Give all states their first content: before the first inference, and to forget what was. */
void p2b_reset(const p2b_model_t *model);

/* Start an inference. */
void p2b_begin(const p2b_model_t *model);

/* Do call `index` of the schedule (0 .. schedule_length - 1, in this order); return its layer, below 0 for an input.
 * Rows of the inputs come from `source`, each input's top to bottom, each asked for once. */
int32_t p2b_call(const p2b_model_t *model, int32_t index, p2b_source_t *source, void *context);

/* Output `output`, after the last call and until the next inference. */
const int8_t *p2b_output(const p2b_model_t *model, int32_t output);

/* A whole inference on inputs in memory, one pointer each. */
void p2b_run(const p2b_model_t *model, const int8_t *const *inputs);

#endif
