/* SPDX-License-Identifier: Apache-2.0 */
/* Port of the device application to a process on this machine: bytes come from stdin and go to stdout, what the pins do
 * to stderr. */
#include <stdio.h>

#include "port.h"

static const uint8_t image[] = "abc";

void port_write(const char *bytes, uint32_t length)
{
    fwrite(bytes, 1, length, stdout);
}

void port_pin(port_pin_t pin, int high)
{
    fprintf(stderr, "%s %s\n", pin == PORT_PIN_LAP ? "lap" : "running", high ? "high" : "low");
}

const char *port_counter_unit(void)
{
    return "instructions";
}

/* Near the wrap, and the same in every run. */
uint32_t port_counter(void)
{
    static uint32_t counter = 0xffffff00u;
    return counter += 7;
}

uint32_t port_elapsed(uint32_t start, uint32_t end)
{
    return end - start;
}

uint32_t port_counts_per_us(void)
{
    return 5;
}

void port_memory(port_memory_t *memory)
{
    *memory = (port_memory_t){1, 2, 3, 4, 5};
}

uint32_t port_image_bytes(void)
{
    return sizeof image - 1;
}

uint8_t port_image_byte(uint32_t index)
{
    return image[index];
}

int main(void)
{
    int byte;
    setvbuf(stdout, 0, _IOLBF, 1 << 16);
    app_start();
    while ((byte = getchar()) != EOF)
        app_receive((uint8_t)byte);
    return 0;
}
