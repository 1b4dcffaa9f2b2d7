/* The Xtensa MAC16 option (ESP32's LX6) for C code with inline assembly, and the layouts of the `mac16` kernels.
 *
 * Instructions
 * Assemblers not configured for the ESP32 refuse the mnemonics, so assembler macros emit the machine code; with
 * P2B_REAL_MNEMONICS they use the assembler's own. Operands are what gcc prints for "r": "p2b_min %0, %1, %2".
 * M registers are m0 .. m3, halves ll, lh, hl, hh (first letter: half of the first factor). ldinc: the address
 * register grows by 4 and then the word at it is loaded, so pointers start 4 bytes early. A first factor in an M
 * register is m0 or m1, a second one m2 or m3.
 *
 * - p2b_loop needs a count of at least 1; p2b_loopnez skips its body at 0. A body has at most 256 bytes, is entered
 *   only at its top, is not left by a branch nor ended by one, and has no call and no other loop. Hardware wants a
 *   body's first instruction inside one aligned word, so these two jump over padding. p2b_loop_in and
 *   p2b_loopnez_in add a nop at most; `base` is a label at a multiple of 4 with no call between it and the loop,
 *   such as the name of the function.
 * - ACC, m0 .. m3, SAR, LBEG, LEND and LCOUNT are clobbered; gcc knows none of them (its own hardware loops never
 *   contain inline assembly). Whatever interrupts a kernel and uses them, as another task may, must preserve them.
 * - PS.EXCM must be clear, as it is outside of exception handlers, or loops run once.
 * - QEMU 7.2 gets an M register wrong that is read, reloaded and read again in one basic block (hardware does
 *   not). Rotate loads as p2b_mac16_dot() does.
 *
 * Layouts
 * Input values are widened to int16 (fully connected, convolution) or uint8 (depthwise) as q + 128, so that the
 * channels' biases include -(zero point + 128) * sum(weights). Where a pixel's channels (a vector's values) are a
 * multiple of 4, each four of them are in the order 0, 2, 1, 3, in the weights as well. All starts are multiples of
 * 4 bytes.
 * - Fully connected: int16 out_n x in_n (rounded up to even, zeros added), then two values that are read and not
 *   used.
 * - Convolution: int16 out_c x kernel_w x pitch, where pitch is kernel_h x in_c rounded up to even, zeros added;
 *   then two values that are read and not used. A convolution row is [column][pitch] in scratch, so that a patch is
 *   one run of kernel_w * pitch values.
 * - Depthwise, 3x3, a multiple of 4 channels, one output channel each, no pooling: int16 channel x 10, the weights
 *   by columns and a zero. Four channels of a convolution row are [column][3][4] bytes in scratch. */
#ifndef P2B_MAC16_H
#define P2B_MAC16_H

#include <stdint.h>

#include "p2b_kernels.h"

#ifdef P2B_REAL_MNEMONICS

__asm__(".macro p2b_mula_dd half, mx, my\n mula.dd.\\half \\mx, \\my\n.endm\n"
        ".macro p2b_mula_da half, mx, at\n mula.da.\\half \\mx, \\at\n.endm\n"
        ".macro p2b_mula_ad half, as, my\n mula.ad.\\half \\as, \\my\n.endm\n"
        ".macro p2b_mula_aa half, as, at\n mula.aa.\\half \\as, \\at\n.endm\n"
        ".macro p2b_mula_dd_ldinc half, mw, as, mx, my\n mula.dd.\\half\\().ldinc \\mw, \\as, \\mx, \\my\n.endm\n"
        ".macro p2b_ldinc mw, as\n ldinc \\mw, \\as\n.endm\n"
        ".macro p2b_wsr_acclo at\n wsr.acclo \\at\n.endm\n"
        ".macro p2b_rsr_acclo at\n rsr.acclo \\at\n.endm\n"
        ".macro p2b_mulsh ar, as, at\n mulsh \\ar, \\as, \\at\n.endm\n"
        ".macro p2b_min ar, as, at\n min \\ar, \\as, \\at\n.endm\n"
        ".macro p2b_max ar, as, at\n max \\ar, \\as, \\at\n.endm\n"
        ".macro p2b_loop as, end\n loop \\as, \\end\n.endm\n"
        ".macro p2b_loopnez as, end\n loopnez \\as, \\end\n.endm\n"
        ".macro p2b_loop_in base, as, end\n loop \\as, \\end\n.endm\n"
        ".macro p2b_loopnez_in base, as, end\n loopnez \\as, \\end\n.endm\n");

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
        ".macro p2b_ldinc mw, as\n p2b_word 0x800004 + (.Lp2b_\\mw << 12) + (.Lp2b_\\as << 8)\n.endm\n"
        ".macro p2b_wsr_acclo at\n p2b_word 0x131000 + (.Lp2b_\\at << 4)\n.endm\n"
        ".macro p2b_rsr_acclo at\n p2b_word 0x031000 + (.Lp2b_\\at << 4)\n.endm\n"
        ".macro p2b_rrr op, ar, as, at\n"
        " p2b_word (\\op) + (.Lp2b_\\ar << 12) + (.Lp2b_\\as << 8) + (.Lp2b_\\at << 4)\n.endm\n"
        ".macro p2b_mulsh ar, as, at\n p2b_rrr 0xb20000, \\ar, \\as, \\at\n.endm\n"
        ".macro p2b_min ar, as, at\n p2b_rrr 0x430000, \\ar, \\as, \\at\n.endm\n"
        ".macro p2b_max ar, as, at\n p2b_rrr 0x530000, \\ar, \\as, \\at\n.endm\n"
        /* The loop instruction must lie at 1 or 2 modulo 4. Debian's assembler pads with illegal instructions. */
        ".macro p2b_loop_align\n j .Lp2b_loop\\@\n .balign 4\n .byte 0, 0\n.Lp2b_loop\\@:\n.endm\n"
        ".macro p2b_loop_align_in base\n .fill (. - \\base + 1) >> 1 & 1 ^ 1, 2, 0xf03d\n.endm\n"
        ".macro p2b_loop_word op, as, end\n .byte 0x76, \\op + .Lp2b_\\as\n .byte \\end - . - 2\n.endm\n"
        ".macro p2b_loop as, end\n p2b_loop_align\n p2b_loop_word 0x80, \\as, \\end\n.endm\n"
        ".macro p2b_loopnez as, end\n p2b_loop_align\n p2b_loop_word 0x90, \\as, \\end\n.endm\n"
        ".macro p2b_loop_in base, as, end\n p2b_loop_align_in \\base\n p2b_loop_word 0x80, \\as, \\end\n.endm\n"
        ".macro p2b_loopnez_in base, as, end\n p2b_loop_align_in \\base\n p2b_loop_word 0x90, \\as, \\end\n.endm\n");

#endif

/* start + the dot product of two int16 vectors of `pairs` x 2 values, modulo 2^32. pairs: at least 1. Both start at
 * multiples of 4 bytes; up to 8 bytes behind `a` and up to 4 behind `b` are read and not used. */
static inline int32_t p2b_mac16_dot(const int16_t *a, const int16_t *b, int32_t pairs, int32_t start)
{
    __asm__ volatile(
        " addi %[a], %[a], -4\n"
        " addi %[b], %[b], -4\n"
        " p2b_wsr_acclo %[sum]\n"
        " p2b_ldinc m0, %[a]\n"
        " p2b_ldinc m2, %[b]\n"
        " p2b_ldinc m1, %[a]\n"
        " srli %[sum], %[pairs], 1\n"
        " p2b_loopnez %[sum], .Lp2b_end%=\n"
        " p2b_mula_dd_ldinc ll, m3, %[b], m0, m2\n"
        " p2b_mula_dd_ldinc hh, m0, %[a], m0, m2\n"
        " p2b_mula_dd_ldinc ll, m2, %[b], m1, m3\n"
        " p2b_mula_dd_ldinc hh, m1, %[a], m1, m3\n"
        ".Lp2b_end%=:\n"
        " bbci %[pairs], 0, .Lp2b_even%=\n"
        " p2b_mula_dd ll, m0, m2\n"
        " p2b_mula_dd hh, m0, m2\n"
        ".Lp2b_even%=:\n"
        " p2b_rsr_acclo %[sum]\n"
        : [sum] "+&r"(start), [a] "+&r"(a), [b] "+&r"(b)
        : [pairs] "r"(pairs)
        : "memory");
    return start;
}

/* Requantization in assembly, for P2B_FAST and P2B_FAST_SIGNED. Operands: [y] the accumulator, becomes the output;
 * [channel] its constants; [low], [high]; [mode] in memory; [a], [t1] .. [t3] temporaries.
 * `shift`: code that sets SAR to the channel's shift; `next`: what stores [y] and goes on to the next output, falling
 * through after the last. */
#define P2B_MAC16_OUTPUT(name, shift, next) \
    " bltz %[y], .L" name "_negative%=\n" \
    P2B_MAC16_HIGH \
    ".L" name "_round%=:\n" \
    " l32i %[t1], %[channel], 8\n" \
    shift \
    " add %[y], %[y], %[t1]\n" \
    " sra %[y], %[y]\n" \
    " p2b_max %[y], %[y], %[low]\n" \
    " p2b_min %[y], %[y], %[high]\n" \
    ".L" name "_store%=:\n" \
    next \
    " j .L" name "_done%=\n" \
    /* A negative accumulator ends at or below the zero point: `low` in P2B_FAST. Only such ones need what \
     * P2B_FAST_SIGNED adds. */ \
    ".L" name "_negative%=:\n" \
    " l32i %[t1], %[mode]\n" \
    " bnez %[t1], .L" name "_signed%=\n" \
    " mov %[y], %[low]\n" \
    " j .L" name "_store%=\n" \
    ".L" name "_signed%=:\n" \
    P2B_MAC16_HIGH \
    " addi %[t1], %[y], 16\n" \
    " srai %[t1], %[t1], 31\n" \
    " slli %[t1], %[t1], 5\n" \
    " add %[y], %[y], %[t1]\n" \
    " j .L" name "_round%=\n" \
    ".L" name "_done%=:\n"

/* SAR = the channel's shift. */
#define P2B_MAC16_SHIFT " l32i %[t2], %[channel], 12\n ssr %[t2]\n"

/* y = p2b_high(y << 6, multiplier) */
#ifdef P2B_HAVE_MULSH
#define P2B_MAC16_HIGH \
    " l32i %[t1], %[channel], 4\n" \
    " slli %[y], %[y], 6\n" \
    " p2b_mulsh %[y], %[y], %[t1]\n"
#else
#define P2B_MAC16_HIGH \
    " l16ui %[t1], %[channel], 4\n" \
    " l16ui %[t2], %[channel], 6\n" \
    " slli %[y], %[y], 6\n" \
    " mul16u %[t3], %[y], %[t1]\n" \
    " srai %[a], %[y], 16\n" \
    " mull %[t1], %[a], %[t1]\n" \
    " extui %[t3], %[t3], 16, 16\n" \
    " mull %[a], %[a], %[t2]\n" \
    " add %[t3], %[t3], %[t1]\n" \
    " mul16u %[t1], %[y], %[t2]\n" \
    " extui %[t2], %[t3], 0, 16\n" \
    " srai %[t3], %[t3], 16\n" \
    " add %[t1], %[t1], %[t2]\n" \
    " extui %[t1], %[t1], 16, 16\n" \
    " add %[y], %[a], %[t3]\n" \
    " add %[y], %[y], %[t1]\n"
#endif

/* Widened vectors and all output channels' products with them. */
typedef struct {
    const int16_t **vectors; /* `count` of them, each pointer 4 bytes early; 8 bytes behind a vector are read */
    int32_t count;
    int32_t pairs; /* half a vector's length */
    int32_t step;  /* values from a pixel's vectors to the next one's */
    int32_t outputs;
    const int16_t *weights;
    const p2b_output_t *output;
} p2b_mac16_job_t;

/* For `pixels` pixels: out[channel] = the greatest of the vectors' products with the channel's weights, requantized.
 * vectors end behind the last pixel's. */
void p2b_mac16_products(const p2b_mac16_job_t *job, int8_t *out, int32_t pixels);

/* Widen `runs` runs of n values, which follow each other in `in` and start every `pitch` values in `out`, by fours
 * if n is a multiple of 4. */
void p2b_mac16_widen(const int8_t *in, int16_t *out, int32_t runs, int32_t n, int32_t pitch);

#endif
