/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of single kernels: the table that kernel_calls.py writes and driver.c goes through. */
#ifndef CALLS_H
#define CALLS_H

#include <stdint.h>

#include "p2b_kernels.h"

typedef struct {
    const int8_t *values; /* NULL: a row of padding */
    int32_t bytes;
} input_t;

typedef struct {
    p2b_kernel_t *kernel;
    const void *op;
    const input_t *inputs;
    int32_t input_count;
    int32_t rows, row_bytes; /* of the output */
    int32_t scratch_bytes;
} call_t;

extern const call_t calls[];
extern const int32_t call_count;

#endif
