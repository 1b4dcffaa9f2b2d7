/* SPDX-License-Identifier: Apache-2.0 */
/* What the device application needs from the machine that it runs on; each port implements it once. */
#ifndef P2B_PORT_H
#define P2B_PORT_H

#include <stdint.h>

/* Bytes of memory by linker section; `stack` is the most that has ever been in use (painted at start-up). */
typedef struct {
    uint32_t text, rodata, data, bss, stack;
} port_memory_t;

/* Wait for the next byte from the host. */
uint8_t port_read(void);

/* Send `length` bytes to the host. */
void port_write(const char *bytes, uint32_t length);

/* Outputs for instruments; a port without pins ignores them. */
typedef enum {
    PORT_PIN_RUNNING, /* starts low; high while inferences run */
    PORT_PIN_LAP,     /* starts high; a falling edge is EnergyRunner's time stamp */
} port_pin_t;

void port_pin(port_pin_t pin, int high);

/* What port_counter counts: "instructions" on an emulator, "cycles" on hardware. */
const char *port_counter_unit(void);

/* Free-running counter, in port_counter_unit; it may wrap. */
uint32_t port_counter(void);

/* Count from `start` to `end`, both read from port_counter, across at most one wrap. */
uint32_t port_elapsed(uint32_t start, uint32_t end);

/* Counts in a microsecond of the stated clock model. */
uint32_t port_counts_per_us(void);

void port_memory(port_memory_t *memory);

/* The loaded image, as linked: code, constants and the initial values of variables, by load address; its size and one
 * of its bytes. */
uint32_t port_image_bytes(void);
uint8_t port_image_byte(uint32_t index);

/* The application (app.c), which the port's start-up code calls once. */
void app_start(void);           /* say that the device is ready */
void app_receive(uint8_t byte); /* take one byte from the host; a whole command is executed at once */

#endif
