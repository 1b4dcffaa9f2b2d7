/* SPDX-License-Identifier: Apache-2.0 */
/* The runner's platform on a host: standard output, and a counter that stands still. */
#include <stdio.h>
#include <stdlib.h>

#include "port.h"
#include "runner.h"

void port_write(const char *bytes, uint32_t length)
{
    (void)fwrite(bytes, 1, length, stdout);
    /* Whole lines are out before anything can fault. */
    if (length > 0 && bytes[length - 1] == '\n')
        (void)fflush(stdout);
}

uint32_t port_counter(void)
{
    return 0;
}

uint32_t port_elapsed(uint32_t start, uint32_t end)
{
    return end - start;
}

void runner_exit(void)
{
    exit(EXIT_SUCCESS);
}

int main(void)
{
    app_start();
}
