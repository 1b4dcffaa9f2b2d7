/* SPDX-License-Identifier: Apache-2.0 */
/* What the bare machine lacks: the string functions that engine and application use, and the divisions missing
 * from lx106's libgcc. The build keeps gcc from turning these loops into calls to themselves. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t length);
void *memset(void *to, int byte, size_t length);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);
uint32_t __udivsi3(uint32_t dividend, uint32_t divisor);
uint32_t __umodsi3(uint32_t dividend, uint32_t divisor);

/* May alias anything. */
typedef uint32_t __attribute__((may_alias)) word_t;

void *memcpy(void *restrict to, const void *restrict from, size_t length)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    if ((((uintptr_t)out | (uintptr_t)in) & 3u) == 0)
        for (; length >= 4; length -= 4, out += 4, in += 4)
            *(word_t *)out = *(const word_t *)in;
    while (length-- > 0)
        *out++ = *in++;
    return to;
}

void *memset(void *to, int byte, size_t length)
{
    uint8_t *out = to;
    const uint32_t word = (uint8_t)byte * 0x01010101u;
    for (; length > 0 && ((uintptr_t)out & 3u) != 0; --length)
        *out++ = (uint8_t)byte;
    for (; length >= 4; length -= 4, out += 4)
        *(word_t *)out = word;
    while (length-- > 0)
        *out++ = (uint8_t)byte;
    return to;
}

size_t strlen(const char *text)
{
    size_t length = 0;
    while (text[length] != '\0')
        ++length;
    return length;
}

int strcmp(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b)
        ++a, ++b;
    return (uint8_t)*a - (uint8_t)*b;
}

/* Shift and subtract, starting at the first bit where the quotient can have one. */
static uint32_t divide(uint32_t dividend, uint32_t divisor, uint32_t *remainder)
{
    uint32_t quotient = 0;
    if (divisor != 0 && dividend >= divisor) {
        int32_t shift = __builtin_clz(divisor) - __builtin_clz(dividend);
        for (; shift >= 0; --shift) {
            if (dividend >= divisor << shift) {
                dividend -= divisor << shift;
                quotient |= 1u << shift;
            }
        }
    }
    *remainder = dividend;
    return quotient;
}

uint32_t __udivsi3(uint32_t dividend, uint32_t divisor)
{
    uint32_t remainder;
    return divide(dividend, divisor, &remainder);
}

uint32_t __umodsi3(uint32_t dividend, uint32_t divisor)
{
    uint32_t remainder;
    (void)divide(dividend, divisor, &remainder);
    return remainder;
}
