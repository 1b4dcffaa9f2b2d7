/* SPDX-License-Identifier: Apache-2.0 */
/* Port to QEMU's Xtensa `sim` machine: semihosting for the serial link, CCOUNT for the instruction count. */
#include "xtensa.h"

/* Numbers of QEMU's Xtensa SIMCALL interface. */
#define SIMCALL_EXIT 1
#define SIMCALL_READ 3
#define SIMCALL_WRITE 4

/* With -icount shift=5 an instruction takes 32 ns, a tick of CCOUNT (40 MHz) 25 ns: 32/25 ticks an instruction.
 * 2^32 ticks are a whole number of instructions, so the count below wraps cleanly at that number. */
#define INSTRUCTIONS_A_WRAP 3355443200u

/* The clock model of `timestamp`: 240 MHz at 1.25 cycles an instruction. */
#define INSTRUCTIONS_A_MICROSECOND 192u

/* From the linker script. */
extern const uint8_t __text_start[], __image_end[];

static int32_t simcall(int32_t number, int32_t first, uint32_t second, uint32_t third)
{
    register int32_t a2 __asm__("a2") = number;
    register int32_t a3 __asm__("a3") = first;
    register uint32_t a4 __asm__("a4") = second;
    register uint32_t a5 __asm__("a5") = third;
    __asm__ volatile("simcall" : "+r"(a2), "+r"(a3) : "r"(a4), "r"(a5) : "memory");
    return a2;
}

uint8_t port_read(void)
{
    static uint8_t buffer[16]; /* as many as QEMU holds for us */
    static int32_t filled, taken;
    while (taken == filled) {
        taken = 0;
        filled = simcall(SIMCALL_READ, 0, (uint32_t)buffer, sizeof buffer);
        if (filled < 0)
            filled = 0; /* nothing there yet */
    }
    return buffer[taken++];
}

void port_write(const char *bytes, uint32_t length)
{
    (void)simcall(SIMCALL_WRITE, 1, (uint32_t)bytes, length);
}

void port_pin(port_pin_t pin, int high)
{
    (void)pin;
    (void)high;
}

const char *port_counter_unit(void)
{
    return "instructions";
}

uint32_t port_counter(void)
{
    uint32_t ticks;
    __asm__ volatile("rsr %0, ccount" : "=r"(ticks)::"memory");
    /* ticks = floor(instructions · 32 / 25): the one number of instructions that gives these ticks. */
    return 25u * (ticks >> 5) + ((25u * (ticks & 31u) + 31u) >> 5);
}

uint32_t port_elapsed(uint32_t start, uint32_t end)
{
    return end >= start ? end - start : end + (INSTRUCTIONS_A_WRAP - start);
}

uint32_t port_counts_per_us(void)
{
    return INSTRUCTIONS_A_MICROSECOND;
}

uint32_t port_image_bytes(void)
{
    return (uint32_t)(__image_end - __text_start);
}

uint8_t port_image_byte(uint32_t index)
{
    return __text_start[index];
}

void port_halt(void)
{
    for (;;)
        (void)simcall(SIMCALL_EXIT, 1, 0, 0);
}

void port_start(void)
{
    app_start();
    for (;;)
        app_receive(port_read());
}
