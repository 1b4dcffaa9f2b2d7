/* Port to QEMU's Xtensa `sim` machine: semihosting for the line, CCOUNT for the instruction count. */
#include "port.h"

/* Numbers of QEMU's Xtensa SIMCALL interface. */
#define SIMCALL_EXIT 1
#define SIMCALL_READ 3
#define SIMCALL_WRITE 4

#define STACK_PAINT 0xa5a5a5a5u /* as start.S paints it */

/* With -icount shift=5 an instruction takes 32 ns, a tick of CCOUNT (40 MHz) 25 ns: 32/25 ticks an instruction.
 * 2^32 ticks are a whole number of instructions, so the count below wraps cleanly at that number. */
#define INSTRUCTIONS_A_WRAP 3355443200u

/* The clock model of `timestamp`: 240 MHz at 1.25 cycles an instruction. */
#define INSTRUCTIONS_A_MICROSECOND 192u

/* From the linker script. */
extern uint8_t __image_start[], __text_end[], __rodata_start[], __rodata_end[], __image_end[];
extern uint32_t __data_start[], __data_end[], __bss_start[], __bss_end[], __stack_start[], __stack_end[];

void port_start(void) __attribute__((noreturn));
void port_fault(uint32_t cause, uint32_t address, uint32_t accessed) __attribute__((noreturn));

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
        if (filled < 0) filled = 0; /* nothing there yet */
    }
    return buffer[taken++];
}

void port_write(const char *bytes, uint32_t length)
{
    (void)simcall(SIMCALL_WRITE, 1, (uint32_t)bytes, length);
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

void port_memory(port_memory_t *memory)
{
    const uint32_t *unused = __stack_start;
    while (unused < __stack_end && *unused == STACK_PAINT) unused++;
    memory->text = (uint32_t)(__text_end - __image_start);
    memory->rodata = (uint32_t)(__rodata_end - __rodata_start);
    memory->data = (uint32_t)(__data_end - __data_start) * sizeof(uint32_t);
    memory->bss = (uint32_t)(__bss_end - __bss_start) * sizeof(uint32_t);
    memory->stack = (uint32_t)(__stack_end - unused) * sizeof(uint32_t);
}

const uint8_t *port_image(uint32_t *length)
{
    *length = (uint32_t)(__image_end - __image_start);
    return __image_start;
}

void port_fault(uint32_t cause, uint32_t address, uint32_t accessed)
{
    static char message[] = "\r\ne-[Fault 00 at 00000000 on 00000000]\r\n";
    static const char digits[] = "0123456789abcdef";
    message[11] = digits[cause >> 4 & 15u];
    message[12] = digits[cause & 15u];
    for (uint32_t i = 0; i < 8; i++) {
        message[17 + i] = digits[address >> (28 - 4 * i) & 15u];
        message[29 + i] = digits[accessed >> (28 - 4 * i) & 15u];
    }
    port_write(message, sizeof message - 1);
    for (;;) (void)simcall(SIMCALL_EXIT, 1, 0, 0);
}

/* Called by start.S with memory initialised. */
void port_start(void)
{
    app_start();
    for (;;) app_receive(port_read());
}
