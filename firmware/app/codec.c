/* SPDX-License-Identifier: Apache-2.0 */
#include "codec.h"

#include <string.h>

uint32_t codec_hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return (uint32_t)(digit - '0');
    if (digit >= 'a' && digit <= 'f')
        return (uint32_t)(digit - 'a' + 10);
    if (digit >= 'A' && digit <= 'F')
        return (uint32_t)(digit - 'A' + 10);
    return CODEC_ERROR;
}

int codec_parse_hex(const char *text, uint32_t length, uint32_t *value)
{
    *value = 0;
    for (uint32_t i = 0; i < length; ++i) {
        const uint32_t digit = codec_hex_digit(text[i]);
        if (digit == CODEC_ERROR)
            return 0;
        *value = *value << 4 | digit;
    }
    return 1;
}

void codec_format_hex(uint32_t value, uint32_t length, char *text)
{
    while (length > 0) {
        text[--length] = "0123456789abcdef"[value & 15u];
        value >>= 4;
    }
}

int codec_parse_decimal(const char *text, uint32_t *value)
{
    uint32_t digits = 0;
    *value = 0;
    for (; text[digits] >= '0' && text[digits] <= '9' && digits < 9; ++digits)
        *value = *value * 10u + (uint32_t)(text[digits] - '0');
    return digits > 0 && text[digits] == '\0';
}

uint32_t codec_format_decimal(uint32_t value, char *text)
{
    char reversed[10];
    uint32_t digits = 0;
    do {
        reversed[digits++] = (char)('0' + value % 10u);
        value /= 10u;
    } while (value > 0);
    for (uint32_t i = 0; i < digits; ++i)
        text[i] = reversed[digits - 1 - i];
    text[digits] = '\0';
    return digits;
}

uint32_t codec_decode_hex(char *text)
{
    const size_t length = strlen(text);
    if (length % 2 != 0)
        return CODEC_ERROR;
    for (size_t i = 0; i < length; i += 2) {
        uint32_t value;
        if (!codec_parse_hex(text + i, 2, &value))
            return CODEC_ERROR;
        text[i / 2] = (char)value;
    }
    return (uint32_t)(length / 2);
}

static uint32_t base64_digit(char digit)
{
    if (digit >= 'A' && digit <= 'Z')
        return (uint32_t)(digit - 'A');
    if (digit >= 'a' && digit <= 'z')
        return (uint32_t)(digit - 'a' + 26);
    if (digit >= '0' && digit <= '9')
        return (uint32_t)(digit - '0' + 52);
    if (digit == '+')
        return 62;
    if (digit == '/')
        return 63;
    return CODEC_ERROR;
}

uint32_t codec_decode_base64(char *text)
{
    const size_t length = strlen(text);
    uint32_t written = 0;
    if (length % 4 != 0)
        return CODEC_ERROR;
    for (size_t i = 0; i < length; i += 4) {
        uint32_t group = 0, padding = 0;
        for (size_t j = 0; j < 4; ++j) {
            uint32_t digit = base64_digit(text[i + j]);
            if (text[i + j] == '=' && i + 4 == length && j >= 2) {
                ++padding;
                digit = 0;
            } else if (digit == CODEC_ERROR || padding > 0) {
                return CODEC_ERROR;
            }
            group = group << 6 | digit;
        }
        for (uint32_t j = 0; j < 3 - padding; ++j)
            text[written++] = (char)(group >> (16 - 8 * j) & 255u);
    }
    return written;
}

uint32_t codec_crc32(const char *bytes, uint32_t length)
{
    /* One nibble at a time: a 64-byte table instead of the usual 1 KiB. */
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = 0xffffffffu;
    for (uint32_t i = 0; i < length; ++i) {
        crc ^= (uint8_t)bytes[i];
        crc = crc >> 4 ^ table[crc & 15u];
        crc = crc >> 4 ^ table[crc & 15u];
    }
    return ~crc;
}
