/* SPDX-License-Identifier: Apache-2.0 */
/* Port to a bare ESP32: UART 0 for the serial link, CCOUNT for cycles, one core, no interrupts, no operating system.
 *
 * The ROM's loader has put everything into internal SRAM (esp32.ld) and left the clock at the crystal's 40 MHz and
 * the UART at 115,200 baud, 8N1, with its pins connected. Both stay: code and data in SRAM take the same number of
 * cycles at any clock, so CCOUNT tells the cycles of 240 MHz too.
 * Registers: ESP32 Technical Reference Manual, UART, Watchdog Timers, Low-Power Management, IO_MUX and GPIO Matrix. */
#include "xtensa.h"

#define CRYSTAL_MHZ 40u

/* Bytes are written through the AHB address of the FIFO and read through the other one, as ESP-IDF does. Read so, the
 * receiver's count cannot be trusted (ESP32 errata 3.17): that of a full FIFO apart, the pointers tell. */
#define UART_TX_FIFO 0x60000000u
#define UART_RX_FIFO 0x3ff40000u
#define UART_STATUS 0x3ff4001cu
#define UART_RX_POINTERS 0x3ff40060u
#define UART_RX_READ(pointers) ((pointers) >> 2 & 0x7ffu)
#define UART_RX_WRITTEN(pointers) ((pointers) >> 13 & 0x7ffu)
#define UART_RX_COUNT(status) ((status) & 255u)
#define UART_TX_COUNT(status) ((status) >> 16 & 255u)
#define UART_FIFO_BYTES 128u

/* The two watchdogs that the ROM starts for the time of booting, and what opens their registers. */
#define RTC_WATCHDOG_CONFIG 0x3ff4808cu
#define RTC_WATCHDOG_PROTECT 0x3ff480a4u
#define TIMER_WATCHDOG_CONFIG 0x3ff5f048u
#define TIMER_WATCHDOG_PROTECT 0x3ff5f064u
#define WATCHDOG_KEY 0x50d83aa1u

/* Pins for instruments, free on common boards (of an ESP32-CAM they go to the memory card's slot). A pad is driven by
 * the output register through the GPIO matrix's signal 256. */
#define RUNNING_GPIO 13u
#define LAP_GPIO 14u
#define RUNNING_PAD 0x3ff49038u           /* IO_MUX, pad MTCK */
#define LAP_PAD 0x3ff49030u               /* IO_MUX, pad MTMS */
#define PAD_IS_GPIO (2u << 12 | 2u << 10) /* function 2, usual strength */
#define GPIO_SET 0x3ff44008u
#define GPIO_CLEAR 0x3ff4400cu
#define GPIO_ENABLE 0x3ff44024u
#define GPIO_SIGNAL(number) (0x3ff44530u + 4u * (number))
#define SIGNAL_OF_OUTPUT_REGISTER 256u

/* From the linker script. */
extern const uint32_t __text_start[], __text_end[], __rodata_start[], __image_end[];

static volatile uint32_t *peripheral(uint32_t address)
{
    return (volatile uint32_t *)address;
}

static void stop_watchdog(uint32_t config, uint32_t protect)
{
    *peripheral(protect) = WATCHDOG_KEY;
    *peripheral(config) = 0;
    *peripheral(protect) = 0;
}

static void start_pin(uint32_t number, uint32_t pad)
{
    *peripheral(GPIO_SIGNAL(number)) = SIGNAL_OF_OUTPUT_REGISTER;
    *peripheral(GPIO_ENABLE) = 1u << number;
    *peripheral(pad) = PAD_IS_GPIO;
}

void port_pin(port_pin_t pin, int high)
{
    *peripheral(high ? GPIO_SET : GPIO_CLEAR) = 1u << (pin == PORT_PIN_LAP ? LAP_GPIO : RUNNING_GPIO);
}

static int received(void)
{
    const uint32_t pointers = *peripheral(UART_RX_POINTERS);

    return UART_RX_READ(pointers) != UART_RX_WRITTEN(pointers) || UART_RX_COUNT(*peripheral(UART_STATUS)) != 0;
}

uint8_t port_read(void)
{
    while (!received()) {
    }
    return (uint8_t)*peripheral(UART_RX_FIFO);
}

void port_write(const char *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length; ++i) {
        while (UART_TX_COUNT(*peripheral(UART_STATUS)) >= UART_FIFO_BYTES - 1) {
        }
        *peripheral(UART_TX_FIFO) = (uint8_t)bytes[i];
    }
}

const char *port_counter_unit(void)
{
    return "cycles";
}

uint32_t port_counter(void)
{
    uint32_t cycles;
    __asm__ volatile("rsr %0, ccount" : "=r"(cycles)::"memory");
    return cycles;
}

uint32_t port_elapsed(uint32_t start, uint32_t end)
{
    return end - start;
}

uint32_t port_counts_per_us(void)
{
    return CRYSTAL_MHZ;
}

uint32_t port_image_bytes(void)
{
    return (uint32_t)((__image_end - __rodata_start) + (__text_end - __text_start)) * sizeof(uint32_t);
}

uint8_t port_image_byte(uint32_t index)
{
    const uint32_t constants = (uint32_t)(__image_end - __rodata_start), word = index / sizeof(uint32_t);
    /* Code can only be read in words. */
    const uint32_t value = word < constants ? __rodata_start[word] : __text_start[word - constants];
    return (uint8_t)(value >> 8 * (index % sizeof(uint32_t)));
}

void port_halt(void)
{
    for (;;) {
    }
}

void port_start(void)
{
    stop_watchdog(RTC_WATCHDOG_CONFIG, RTC_WATCHDOG_PROTECT);
    stop_watchdog(TIMER_WATCHDOG_CONFIG, TIMER_WATCHDOG_PROTECT);
    port_pin(PORT_PIN_RUNNING, 0);
    port_pin(PORT_PIN_LAP, 1);
    start_pin(RUNNING_GPIO, RUNNING_PAD);
    start_pin(LAP_GPIO, LAP_PAD);
    app_start();
    for (;;)
        app_receive(port_read());
}
