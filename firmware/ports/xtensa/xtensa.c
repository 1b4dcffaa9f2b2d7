/* SPDX-License-Identifier: Apache-2.0 */
/* Memory figures, from the symbols of the linker scripts, and the message of a program that failed. */
#include "xtensa.h"

#include <string.h>

#define STACK_PAINT 0xa5a5a5a5u /* as start.S paints it */

/* From the linker script. */
extern const uint8_t __text_start[], __text_end[], __rodata_start[], __rodata_end[];
extern const uint32_t __data_start[], __data_end[], __bss_start[], __bss_end[], __stack_start[], __stack_end[];

void port_fault(uint32_t cause, uint32_t address, uint32_t accessed) __attribute__((noreturn));
void p2b_assert_failed(const char *what) __attribute__((noreturn));

void port_memory(port_memory_t *memory)
{
    const uint32_t *unused = __stack_start;
    while (unused < __stack_end && *unused == STACK_PAINT)
        ++unused;
    memory->text = (uint32_t)(__text_end - __text_start);
    memory->rodata = (uint32_t)(__rodata_end - __rodata_start);
    memory->data = (uint32_t)(__data_end - __data_start) * sizeof(uint32_t);
    memory->bss = (uint32_t)(__bss_end - __bss_start) * sizeof(uint32_t);
    memory->stack = (uint32_t)(__stack_end - unused) * sizeof(uint32_t);
}

/* Called by start.S on any exception. */
void port_fault(uint32_t cause, uint32_t address, uint32_t accessed)
{
    static char message[] = "\r\ne-[Fault 00 at 00000000 on 00000000]\r\n";
    static const char digits[] = "0123456789abcdef";
    message[11] = digits[cause >> 4 & 15u];
    message[12] = digits[cause & 15u];
    for (uint32_t i = 0; i < 8; ++i) {
        message[17 + i] = digits[address >> (28 - 4 * i) & 15u];
        message[29 + i] = digits[accessed >> (28 - 4 * i) & 15u];
    }
    port_write(message, sizeof message - 1);
    port_halt();
}

/* Called by a check of the engine (p2b_assert.h) that was compiled in. */
void p2b_assert_failed(const char *what)
{
    static const char before[] = "\r\ne-[Check failed: ", after[] = "]\r\n";

    port_write(before, sizeof before - 1);
    port_write(what, (uint32_t)strlen(what));
    port_write(after, sizeof after - 1);
    port_halt();
}
