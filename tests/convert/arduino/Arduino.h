/* SPDX-License-Identifier: Apache-2.0 */
/* What the generated sketches use of an Arduino's core: printing goes to standard output, time stands still. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct HardwareSerial {
    void begin(unsigned long) {}
    void print(const char *text) { fputs(text, stdout); }
    void print(int number) { printf("%d", number); }
    void print(unsigned long number) { printf("%lu", number); }
    void print(double number, int digits) { printf("%.*f", digits, number); }
    void println(const char *text) { printf("%s\n", text); }
    void println(double number, int digits) { printf("%.*f\n", digits, number); }
};

extern HardwareSerial Serial;

inline unsigned long micros()
{
    return 0;
}

inline void delay(unsigned long)
{
}

void setup();
void loop();
