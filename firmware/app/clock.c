/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include "port.h"

uint32_t clock_us(void)
{
    static uint32_t last, remainder, total;
    const uint32_t now = port_counter();
    const uint32_t elapsed = port_elapsed(last, now);
    const uint32_t per_us = port_counts_per_us();

    last = now;
    total += elapsed / per_us;
    remainder += elapsed % per_us;
    total += remainder / per_us;
    remainder %= per_us;
    return total;
}
