/* What gcc calls and this bare machine lacks: memcpy, memset, strlen, strcmp and the integer routines missing from
 * lx106's libgcc. Word-wise where alignment allows; the build keeps gcc from turning these loops into calls to themselves. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t length);
void *memset(void *to, int byte, size_t length);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);
uint32_t __udivsi3(uint32_t dividend, uint32_t divisor);
uint32_t __umodsi3(uint32_t dividend, uint32_t divisor);
int32_t __divsi3(int32_t dividend, int32_t divisor);
uint64_t __muldi3(uint64_t a, uint64_t b);

/* May alias anything. */
typedef uint32_t __attribute__((may_alias)) word_t;

void *memcpy(void *restrict to, const void *restrict from, size_t length) {
    uint8_t *out = to;
    const uint8_t *in = from;
    if ((((uintptr_t)out | (uintptr_t)in) & 3u) == 0) {
        for (; length >= 4; length -= 4, out += 4, in += 4) *(word_t *)out = *(const word_t *)in;
    }
    while (length-- > 0) *out++ = *in++;
    return to;
}

void *memset(void *to, int byte, size_t length) {
    uint8_t *out = to;
    const uint32_t word = (uint8_t)byte * 0x01010101u;
    for (; length > 0 && ((uintptr_t)out & 3u) != 0; length--) *out++ = (uint8_t)byte;
    for (; length >= 4; length -= 4, out += 4) *(word_t *)out = word;
    while (length-- > 0) *out++ = (uint8_t)byte;
    return to;
}

size_t strlen(const char *text) {
    size_t length = 0;
    while (text[length] != '\0') length++;
    return length;
}

int strcmp(const char *a, const char *b) {
    while (*a != '\0' && *a == *b) a++, b++;
    return (uint8_t)*a - (uint8_t)*b;
}

/* Shift and subtract, starting at the first bit where the quotient can have one. */
static uint32_t divide(uint32_t dividend, uint32_t divisor, uint32_t *remainder) {
    uint32_t quotient = 0;
    if (divisor != 0 && dividend >= divisor) {
        int32_t shift = __builtin_clz(divisor) - __builtin_clz(dividend);
        for (; shift >= 0; shift--) {
            if (dividend >= divisor << shift) {
                dividend -= divisor << shift;
                quotient |= 1u << shift;
            }
        }
    }
    *remainder = dividend;
    return quotient;
}

uint32_t __udivsi3(uint32_t dividend, uint32_t divisor) {
    uint32_t remainder;
    return divide(dividend, divisor, &remainder);
}

uint32_t __umodsi3(uint32_t dividend, uint32_t divisor) {
    uint32_t remainder;
    (void)divide(dividend, divisor, &remainder);
    return remainder;
}

int32_t __divsi3(int32_t dividend, int32_t divisor) {
    const uint32_t a = dividend < 0 ? 0u - (uint32_t)dividend : (uint32_t)dividend;
    const uint32_t b = divisor < 0 ? 0u - (uint32_t)divisor : (uint32_t)divisor;
    const uint32_t quotient = __udivsi3(a, b);
    return (int32_t)((dividend ^ divisor) < 0 ? 0u - quotient : quotient);
}

uint64_t __muldi3(uint64_t a, uint64_t b) {
    /* Schoolbook on 16-bit halves: the lx106 has no instruction for the high word of a product. */
    const uint32_t a_low = (uint32_t)a, b_low = (uint32_t)b;
    const uint32_t a0 = a_low & 0xffffu, a1 = a_low >> 16, b0 = b_low & 0xffffu, b1 = b_low >> 16;
    const uint32_t middle = a1 * b0 + (a0 * b0 >> 16);
    const uint32_t carry = (middle & 0xffffu) + a0 * b1;
    const uint32_t high = a1 * b1 + (middle >> 16) + (carry >> 16);
    const uint32_t cross = (uint32_t)(a >> 32) * b_low + a_low * (uint32_t)(b >> 32);
    return (uint64_t)(high + cross) << 32 | (a_low * b_low);
}
