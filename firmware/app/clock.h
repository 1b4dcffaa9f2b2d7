/* SPDX-License-Identifier: Apache-2.0 */
/* Time since start. */
#ifndef P2B_CLOCK_H
#define P2B_CLOCK_H

#include <stdint.h>

/* Microseconds of the port's clock. Each call adds what the counter has counted since the last call, so it must be
 * called at least once a wrap of the counter. */
uint32_t clock_us(void);

#endif
