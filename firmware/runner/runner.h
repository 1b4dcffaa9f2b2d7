/* SPDX-License-Identifier: Apache-2.0 */
/* Networks with inputs, linked into one program that runs them all and prints what they cost. */
#ifndef RUNNER_H
#define RUNNER_H

#include <stdint.h>

#include "p2b_engine.h"

typedef struct {
    const p2b_model_t *model;
    const int8_t *inputs; /* of `count` inferences, one after the other */
    int32_t count;
} runner_network_t;

/* Generated: paper2board/firmware/runner.py. */
extern const runner_network_t runner_networks[];
extern const int32_t runner_network_count;

/* End the program. Each platform implements it beside the port's functions. */
void runner_exit(void) __attribute__((noreturn));

#endif
