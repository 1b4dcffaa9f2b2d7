/* SPDX-License-Identifier: Apache-2.0 */
/* Text encodings and checksums of the serial link. */
#ifndef P2B_CODEC_H
#define P2B_CODEC_H

#include <stdint.h>

#define CODEC_ERROR 0xffffffffu

/* Value of a hexadecimal digit, or CODEC_ERROR. */
uint32_t codec_hex_digit(char digit);

/* Parse exactly `length` (1 to 8) hexadecimal digits into `value`; return 0 if any is not one. */
int codec_parse_hex(const char *text, uint32_t length, uint32_t *value);

/* Write `value` as `length` lower-case hexadecimal digits, without a terminator. */
void codec_format_hex(uint32_t value, uint32_t length, char *text);

/* Parse a whole string of decimal digits into `value`; return 0 if it is none or above 999,999,999. */
int codec_parse_decimal(const char *text, uint32_t *value);

/* Write `value` in decimal with a terminator (at most 11 bytes); return the number of digits. */
uint32_t codec_format_decimal(uint32_t value, char *text);

/* Decode pairs of hexadecimal digits in place; return the number of bytes or CODEC_ERROR. */
uint32_t codec_decode_hex(char *text);

/* Decode base64 (RFC 4648, with padding) in place; return the number of bytes or CODEC_ERROR. */
uint32_t codec_decode_base64(char *text);

/* CRC-32 of IEEE 802.3, as zlib's crc32(). */
uint32_t codec_crc32(const char *bytes, uint32_t length);

#endif
