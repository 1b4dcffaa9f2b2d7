/* SPDX-License-Identifier: Apache-2.0 */
#include "sha256.h"

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate_right(uint32_t word, uint32_t bits)
{
    return word >> bits | word << (32u - bits);
}

/* Byte `index` of the message after padding: the message, 0x80, zeros, its length in bits (64-bit, big endian). */
static uint32_t padded_byte(uint8_t (*byte_at)(uint32_t), uint32_t length, uint32_t padded_length, uint32_t index)
{
    if (index < length)
        return byte_at(index);
    if (index == length)
        return 0x80;
    if (index < padded_length - 4)
        return 0;
    return length << 3 >> (8 * (padded_length - 1 - index)) & 255u;
}

void sha256(uint8_t (*byte_at)(uint32_t index), uint32_t length, uint32_t digest[8])
{
    static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    const uint32_t padded_length = (length + 9 + 63) & ~63u;
    for (uint32_t i = 0; i < 8; ++i)
        digest[i] = initial[i];

    for (uint32_t block = 0; block < padded_length; block += 64) {
        uint32_t w[16], state[8];
        for (uint32_t i = 0; i < 16; ++i) {
            w[i] = 0;
            for (uint32_t j = 0; j < 4; ++j)
                w[i] = w[i] << 8 | padded_byte(byte_at, length, padded_length, block + 4 * i + j);
        }
        for (uint32_t i = 0; i < 8; ++i)
            state[i] = digest[i];
        for (uint32_t i = 0; i < 64; ++i) {
            if (i >= 16) {
                const uint32_t w15 = w[(i + 1) & 15u], w2 = w[(i + 14) & 15u];
                w[i & 15u] += w[(i + 9) & 15u] + (rotate_right(w15, 7) ^ rotate_right(w15, 18) ^ w15 >> 3) +
                              (rotate_right(w2, 17) ^ rotate_right(w2, 19) ^ w2 >> 10);
            }
            const uint32_t a = state[0], b = state[1], c = state[2], e = state[4];
            const uint32_t first = state[7] + (rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25)) +
                                   ((e & state[5]) ^ (~e & state[6])) + round_constants[i] + w[i & 15u];
            const uint32_t second =
                (rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
            for (uint32_t j = 7; j > 0; --j)
                state[j] = state[j - 1];
            state[4] += first;
            state[0] = first + second;
        }
        for (uint32_t i = 0; i < 8; ++i)
            digest[i] += state[i];
    }
}
