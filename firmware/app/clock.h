/* Time since start. */
#ifndef P2B_CLOCK_H
#define P2B_CLOCK_H

#include <stdint.h>

/* Microseconds of the port's clock. Counts are turned into microseconds as they pass, so that no wrap of the counter is
 * missed as long as this is called at least once a wrap. */
uint32_t clock_us(void);

#endif
