/* SPDX-License-Identifier: Apache-2.0 */
/* What a port to a bare Xtensa core adds to port.h; start.S, runtime.c and xtensa.c are common to them. */
#ifndef P2B_XTENSA_H
#define P2B_XTENSA_H

#include "port.h"

/* Called by start.S with memory initialised. */
void port_start(void) __attribute__((noreturn));

/* End after a fault. */
void port_halt(void) __attribute__((noreturn));

#endif
