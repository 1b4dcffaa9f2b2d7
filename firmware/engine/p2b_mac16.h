/* SPDX-License-Identifier: Apache-2.0 */
/* The Xtensa MAC16 option (ESP32's LX6) for C code with inline assembly, and the layouts of the `mac16` kernels.
 *
 * Instructions
 * Assemblers not configured for the ESP32 refuse the mnemonics, so assembler macros emit the machine code; with
 * P2B_REAL_MNEMONICS they use the assembler's own. Operands are what gcc prints for "r": "p2b_min %0, %1, %2".
 * M registers are m0 .. m3, halves ll, lh, hl, hh (first letter: half of the first factor). ldinc: the address
 * register grows by 4 and then the word at it is loaded, so pointers start 4 bytes early. A first factor in an M
 * register is m0 or m1, a second one m2 or m3.
 *
 * - p2b_loop needs a count of at least 1. A body has at most 256 bytes, is entered only at its top, is not ended by
 *   a branch, and has no call and no other loop; it may be left if it is entered again where it goes on. Hardware
 *   wants a body's first instruction inside one aligned word, so p2b_loop jumps over padding. A loop inside another
 *   is p2b_loop_placed, `distance` bytes behind a p2b_place_loop outside the outer one; "_" keeps the instructions in
 *   between at 3 bytes. No padding depends on other lengths: Debian's assembler did not end in large functions then.
 * - ACC, m0 .. m3, SAR, LBEG, LEND and LCOUNT are clobbered; gcc knows none of them (its own hardware loops never
 *   contain inline assembly). Whatever interrupts a kernel and uses them, as another task may, must preserve them.
 * - PS.EXCM must be clear, as it is outside of exception handlers, or loops run once.
 * - QEMU 7.2 gets an M register wrong that is read, reloaded and read again in one basic block (hardware does
 *   not). Rotate loads as p2b_mac16_dot() does.
 *
 * Layouts
 * Input values are widened to int16 (uint8 in a depthwise convolution without pooling) as q + 128, so that the
 * channels' biases include -(zero point + 128) * sum(weights). Where a pixel's channels (a vector's values) are a
 * multiple of 4, each four of them are in the order 0, 2, 1, 3, in the weights as well. All starts are multiples of 4
 * bytes.
 * - Fully connected: int16 out_n x in_n (rounded up to a multiple of 4, zeros added), then two values that are read
 *   and not used.
 * - Convolution: int16 out_c x (kernel_w x pitch, rounded up to a multiple of 4), zeros added; then two values that are
 *   read and not used. pitch is kernel_h x in_c, rounded up to even unless stride_w is even and pool_h is 1. A
 *   convolution row is [column][pitch] in scratch, so that a patch is one run of kernel_w * pitch values.
 * - Depthwise without pooling: int16 out_c x (kernel_w x kernel_h, rounded up to even, a zero added), the weights by
 *   columns; then two values that are read and not used. Of a convolution row, four channels (one if their number is no
 *   multiple of 4) are [column][kernel_h][4] bytes in scratch, with 8 bytes behind them that are read and not used.
 * - Depthwise by rows: as a convolution of one input channel. */
#ifndef P2B_MAC16_H
#define P2B_MAC16_H

#include <stdint.h>

#include "p2b_kernels.h"
#include "p2b_output.h"

#ifdef P2B_REAL_MNEMONICS

__asm__(".macro p2b_mula_dd half, mx, my\n mula.dd.\\half \\mx, \\my\n.endm\n"
        ".macro p2b_mula_da half, mx, at\n mula.da.\\half \\mx, \\at\n.endm\n"
        ".macro p2b_mula_ad half, as, my\n mula.ad.\\half \\as, \\my\n.endm\n"
        ".macro p2b_mula_aa half, as, at\n mula.aa.\\half \\as, \\at\n.endm\n"
        ".macro p2b_mula_dd_ldinc half, mw, as, mx, my\n mula.dd.\\half\\().ldinc \\mw, \\as, \\mx, \\my\n.endm\n"
        ".macro p2b_mula_da_ldinc half, mw, as, mx, at\n mula.da.\\half\\().ldinc \\mw, \\as, \\mx, \\at\n.endm\n"
        ".macro p2b_ldinc mw, as\n ldinc \\mw, \\as\n.endm\n"
        ".macro p2b_wsr_acclo at\n wsr.acclo \\at\n.endm\n"
        ".macro p2b_rsr_acclo at\n rsr.acclo \\at\n.endm\n"
        ".macro p2b_mulsh ar, as, at\n mulsh \\ar, \\as, \\at\n.endm\n"
        ".macro p2b_min ar, as, at\n min \\ar, \\as, \\at\n.endm\n"
        ".macro p2b_max ar, as, at\n max \\ar, \\as, \\at\n.endm\n"
        ".macro p2b_loop as, end\n loop \\as, \\end\n.endm\n"
        ".macro p2b_place_loop distance\n.endm\n"
        ".macro p2b_loop_placed as, end\n loop \\as, \\end\n.endm\n");

#else

/* Register numbers and halves by name; 24-bit instructions, little-endian. */
__asm__(".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n .set .Lp2b_a\\n, \\n\n.endr\n"
        " .set .Lp2b_sp, 1\n"
        ".irp n, 0,1,2,3\n .set .Lp2b_m\\n, \\n\n.endr\n"
        " .set .Lp2b_ll, 0\n .set .Lp2b_hl, 0x10000\n .set .Lp2b_lh, 0x20000\n .set .Lp2b_hh, 0x30000\n"
        ".macro p2b_word w\n .byte (\\w) & 255, (\\w) >> 8 & 255, (\\w) >> 16 & 255\n.endm\n"
        /* m0/m1 in bit 14, m2/m3 in bit 6 */
        ".macro p2b_mula_dd half, mx, my\n"
        " p2b_word 0x280004 + .Lp2b_\\half + (.Lp2b_\\mx << 14) + ((.Lp2b_\\my - 2) << 6)\n.endm\n"
        ".macro p2b_mula_da half, mx, at\n"
        " p2b_word 0x680004 + .Lp2b_\\half + (.Lp2b_\\mx << 14) + (.Lp2b_\\at << 4)\n.endm\n"
        ".macro p2b_mula_ad half, as, my\n"
        " p2b_word 0x380004 + .Lp2b_\\half + (.Lp2b_\\as << 8) + ((.Lp2b_\\my - 2) << 6)\n.endm\n"
        ".macro p2b_mula_aa half, as, at\n"
        " p2b_word 0x780004 + .Lp2b_\\half + (.Lp2b_\\as << 8) + (.Lp2b_\\at << 4)\n.endm\n"
        ".macro p2b_mula_dd_ldinc half, mw, as, mx, my\n"
        " p2b_word 0x080004 + .Lp2b_\\half + (.Lp2b_\\mw << 12) + (.Lp2b_\\as << 8) + (.Lp2b_\\mx << 14)"
        " + ((.Lp2b_\\my - 2) << 6)\n.endm\n"
        ".macro p2b_mula_da_ldinc half, mw, as, mx, at\n"
        " p2b_word 0x480004 + .Lp2b_\\half + (.Lp2b_\\mw << 12) + (.Lp2b_\\as << 8) + (.Lp2b_\\mx << 14)"
        " + (.Lp2b_\\at << 4)\n.endm\n"
        ".macro p2b_ldinc mw, as\n p2b_word 0x800004 + (.Lp2b_\\mw << 12) + (.Lp2b_\\as << 8)\n.endm\n"
        ".macro p2b_wsr_acclo at\n p2b_word 0x131000 + (.Lp2b_\\at << 4)\n.endm\n"
        ".macro p2b_rsr_acclo at\n p2b_word 0x031000 + (.Lp2b_\\at << 4)\n.endm\n"
        ".macro p2b_rrr op, ar, as, at\n"
        " p2b_word (\\op) + (.Lp2b_\\ar << 12) + (.Lp2b_\\as << 8) + (.Lp2b_\\at << 4)\n.endm\n"
        ".macro p2b_mulsh ar, as, at\n p2b_rrr 0xb20000, \\ar, \\as, \\at\n.endm\n"
        ".macro p2b_min ar, as, at\n p2b_rrr 0x430000, \\ar, \\as, \\at\n.endm\n"
        ".macro p2b_max ar, as, at\n p2b_rrr 0x530000, \\ar, \\as, \\at\n.endm\n"
        /* The loop instruction must lie at 1 or 2 modulo 4. Debian's assembler pads with illegal instructions. */
        ".macro p2b_place_loop distance\n"
        " j .Lp2b_place\\@\n .balign 4\n .fill (2 - (\\distance)) & 3, 1, 0\n.Lp2b_place\\@:\n.endm\n"
        ".macro p2b_loop_word op, as, end\n .byte 0x76, \\op + .Lp2b_\\as\n .byte \\end - . - 2\n.endm\n"
        ".macro p2b_loop as, end\n p2b_place_loop 0\n p2b_loop_word 0x80, \\as, \\end\n.endm\n"
        ".macro p2b_loop_placed as, end\n p2b_loop_word 0x80, \\as, \\end\n.endm\n");

#endif

/* Assembly, one instruction a line. */
/* clang-format off */

/* [a] . [t1] for vectors of 4 * [groups] values. m0, m1 and m2 hold the first words, [a] and [t1] point at the last
 * loaded. The loop reads no M register again after loading it. In the end m0 and m1 hold the words behind [a]'s
 * vector, m2 the word behind [t1]'s. */
#define P2B_MAC16_DOT(name) \
    " p2b_loop_placed %[groups], .L" name "_dot%=\n" \
    " p2b_mula_dd_ldinc ll, m3, %[t1], m0, m2\n" \
    " p2b_mula_dd_ldinc hh, m0, %[a], m0, m2\n" \
    " p2b_mula_dd_ldinc ll, m2, %[t1], m1, m3\n" \
    " p2b_mula_dd_ldinc hh, m1, %[a], m1, m3\n" \
    ".L" name "_dot%=:\n"

/* start + the dot product of two int16 vectors of 4 * groups values, modulo 2^32. groups: at least 1. Both start at
 * multiples of 4 bytes; up to 8 bytes behind `a` and up to 4 behind `w` are read and not used. */
static inline int32_t p2b_mac16_dot(const int16_t *a, const int16_t *w, int32_t groups, int32_t start)
{
    __asm__ volatile(
        " addi %[a], %[a], -4\n"
        " addi %[t1], %[t1], -4\n"
        " p2b_wsr_acclo %[sum]\n"
        " p2b_ldinc m0, %[a]\n"
        " p2b_ldinc m2, %[t1]\n"
        " p2b_ldinc m1, %[a]\n"
        " p2b_place_loop 0\n"
        P2B_MAC16_DOT("exact")
        " p2b_rsr_acclo %[sum]\n"
        : [sum] "+&r"(start), [a] "+&r"(a), [t1] "+&r"(w)
        : [groups] "r"(groups)
        : "memory");
    return start;
}

/* Of `outputs` channels from `first`, how many in a row are requantized exactly, or not, as the first one. */
static inline int32_t p2b_mac16_alike(const p2b_output_t *output, int32_t first, int32_t outputs)
{
    int32_t n = 1;

    if (output->mode != P2B_REQUANT_MIXED)
        return outputs;
    while (n < outputs &&
           p2b_is_exact(output, output->channels + first + n) == p2b_is_exact(output, output->channels + first))
        ++n;
    return n;
}

/* Requantization in assembly, for channels that are not requantized exactly: first, the channel's constants.
 * Operands: [channel]; [multiplier]; [upper], the multiplier's high half; [rounding]; [y] becomes the bias. SAR becomes
 * the shift. */
#define P2B_MAC16_CHANNEL \
    " l32i %[y], %[channel], 12\n" \
    " l32i %[multiplier], %[channel], 4\n" \
    " l32i %[rounding], %[channel], 8\n" \
    " ssr %[y]\n" \
    " extui %[upper], %[multiplier], 16, 16\n" \
    " l32i %[y], %[channel], 0\n"

/* Then, for each output: [y] is the accumulator and becomes the output. Operands also: the constants, of [upper] only
 * the low half; [high]; [low] and [mode] in memory; temporaries [t1] and [t2]. t2 changes off the common path only, where
 * `restore` can load it again. `next` stores [y] and goes on to the next output, or falls through. */
#define P2B_MAC16_OUTPUT(name, restore, next) \
    P2B_MAC16_HIGH_COMMON(name) \
    ".L" name "_round%=:\n" \
    " add %[y], %[y], %[rounding]\n" \
    " sra %[y], %[y]\n" \
    " p2b_min %[y], %[y], %[high]\n" \
    ".L" name "_store%=:\n" \
    next \
    " j .L" name "_done%=\n" \
    P2B_MAC16_HIGH_GREAT(name, restore) \
    /* The output of a negative accumulator is `low` in P2B_REQUANT_FAST. Only such accumulators need what \
     * P2B_REQUANT_FAST_SIGNED adds, and only they can give less than `low`. */ \
    ".L" name "_negative%=:\n" \
    " l32i %[t1], %[mode]\n" \
    " bnez %[t1], .L" name "_signed%=\n" \
    " l32i %[y], %[low]\n" \
    " j .L" name "_store%=\n" \
    ".L" name "_signed%=:\n" \
    P2B_MAC16_HIGH_NEGATIVE \
    restore \
    " addi %[t1], %[y], 16\n" \
    " srai %[t1], %[t1], 31\n" \
    " slli %[t1], %[t1], 5\n" \
    " add %[y], %[y], %[t1]\n" \
    " add %[y], %[y], %[rounding]\n" \
    " sra %[y], %[y]\n" \
    " l32i %[t1], %[low]\n" \
    " p2b_max %[y], %[y], %[t1]\n" \
    " p2b_min %[y], %[y], %[high]\n" \
    " j .L" name "_store%=\n" \
    ".L" name "_done%=:\n"

/* y = p2b_high(y << 6, multiplier), or a jump to where that is done for such a y. */
#ifdef P2B_HAVE_MULSH
#define P2B_MAC16_HIGH_NEGATIVE \
    " slli %[y], %[y], 6\n" \
    " p2b_mulsh %[y], %[y], %[multiplier]\n"
#define P2B_MAC16_HIGH_COMMON(name) " bltz %[y], .L" name "_negative%=\n" P2B_MAC16_HIGH_NEGATIVE
#define P2B_MAC16_HIGH_GREAT(name, restore)
#else
/* That is floor(y * m / 2^26), m being the multiplier. With y = yh * 2^16 + yl (yl >= 0), m = mh * 2^16 + ml and
 * t = floor(yl * m / 2^16) = yl * mh + floor(yl * ml / 2^16) < 2^31, it is floor((yh * m + t) / 2^10).
 * Common: yh = 0. Else, with m = m1 * 2^10 + m0, it is yh * m1 + floor((yh * m0 + t) / 2^10): |yh| <= 2^9, so
 * |yh * m0| < 2^19, and the sum is a uint32_t if yh is positive and an int32_t if it is negative. */
#define P2B_MAC16_HIGH_COMMON(name) \
    " bgeui %[y], 65536, .L" name "_great%=\n" \
    " mul16u %[t1], %[y], %[multiplier]\n" \
    " mul16u %[y], %[y], %[upper]\n" \
    " extui %[t1], %[t1], 16, 16\n" \
    " add %[y], %[y], %[t1]\n" \
    " srli %[y], %[y], 10\n"
#define P2B_MAC16_HIGH_GREAT(name, restore) \
    ".L" name "_great%=:\n" \
    " bltz %[y], .L" name "_negative%=\n" \
    " extui %[t1], %[y], 16, 16\n" \
    P2B_MAC16_HIGH_ANY("srli") \
    restore \
    " j .L" name "_round%=\n"
#define P2B_MAC16_HIGH_NEGATIVE \
    " srai %[t1], %[y], 16\n" \
    P2B_MAC16_HIGH_ANY("srai")
/* t1: yh. */
#define P2B_MAC16_HIGH_ANY(shift) \
    " mul16u %[t2], %[y], %[multiplier]\n" \
    " mul16u %[y], %[y], %[upper]\n" \
    " extui %[t2], %[t2], 16, 16\n" \
    " add %[y], %[y], %[t2]\n" \
    " extui %[t2], %[multiplier], 0, 10\n" \
    " mull %[t2], %[t2], %[t1]\n" \
    " add %[y], %[y], %[t2]\n" \
    " srli %[t2], %[multiplier], 10\n" \
    " mull %[t2], %[t2], %[t1]\n" \
    " " shift " %[y], %[y], 10\n" \
    " add %[y], %[y], %[t2]\n"
#endif

/* clang-format on */

/* The value of `jumps` below for a vector that starts where the one before it ends. */
enum { P2B_MAC16_FOLLOWING = -8 };

/* Pixels of one or more vectors of 4 * groups values each, and the weights of all output channels. */
typedef struct {
    const int16_t *values; /* the first pixel's first vector; 8 bytes behind each vector are read and not used */
    int32_t pixels, vectors, groups;
    /* For each of a pixel's vectors, in bytes: from 8 behind its end to the start of the next one; from the last to
     * the next pixel's first. */
    const int32_t *jumps;
    int32_t depth; /* values from one pixel's output to the next one's */
    const int16_t *weights;
    const p2b_output_t *output;
} p2b_mac16_row_t;

/* For all pixels, `outputs` output channels from `first`: the greatest of the products of the pixel's vectors with the
 * channel's weights, requantized. out: the first pixel's outputs. */
void p2b_mac16_products(const p2b_mac16_row_t *row, int32_t first, int32_t outputs, int8_t *out);

/* Widen n values each of `pixels` pixels, depth values apart in `in` and pitch in `out`, by fours if n and depth are
 * multiples of 4. */
void p2b_mac16_widen(const int8_t *in, int32_t depth, int16_t *out, int32_t pitch, int32_t pixels, int32_t n);

/* `outputs` output channels from `first` of a row of a convolution, of `inputs` input channels from `input`. */
void p2b_mac16_convolve(const p2b_conv2d_t *layer, const int8_t *const *in, int8_t *out, int32_t input, int32_t inputs,
                        int32_t first, int32_t outputs, void *scratch);

#endif
