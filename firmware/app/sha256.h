/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4). */
#ifndef P2B_SHA256_H
#define P2B_SHA256_H

#include <stdint.h>

/* Hash `length` bytes (below 512 MiB), of which `byte_at` tells one, into eight words, each eight hexadecimal digits of
 * the digest. */
void sha256(uint8_t (*byte_at)(uint32_t index), uint32_t length, uint32_t digest[8]);

#endif
