/* int8 layers with TFLite's semantics: the interface that every kernel back end implements.
 *
 * Conventions, for all functions below:
 * - Activations are int8 in HWC order (channels fastest), one image; real = scale * (q - zero point).
 * - Weights are int8 with zero point 0, biases int32 with scale (input scale * weight scale).
 * - An accumulator becomes an output as clamp(requantize(accumulator) + output_offset, low, high); the
 *   requantization is p2b_requantize() with the output channel's multiplier and shift, and low and high hold
 *   the fused activation (NONE, RELU, RELU6) as well as int8's range.
 * - No accumulator can leave int32: the generator takes no other models.
 * - input and output must not overlap. No function needs scratch memory, none keeps state. */
#ifndef P2B_KERNELS_H
#define P2B_KERNELS_H

#include <stdint.h>

/* Requantization of out_c output channels. */
typedef struct {
    int32_t input_offset;       /* minus the input's zero point */
    int32_t output_offset;      /* the output's zero point */
    int32_t low, high;          /* clamp of the output, after adding output_offset */
    const int32_t *multipliers; /* out_c values: 0 or 2^30 .. 2^31 - 1 */
    const int8_t *shifts;       /* out_c values: -31 .. 31, positive to the left */
} p2b_requantization_t;

/* How a window moves over an input: shared by convolution and pooling. */
typedef struct {
    int32_t in_h, in_w, in_c;
    int32_t out_h, out_w;
    int32_t kernel_h, kernel_w;
    int32_t stride_h, stride_w;
    int32_t pad_h, pad_w; /* rows above and columns left of the input (TFLite SAME: the odd one goes after) */
} p2b_window_t;

typedef struct {
    p2b_window_t window;
    int32_t out_c;
    /* Output rows top .. bottom - 1 and columns left .. right - 1 see no padding (the deck's interior). */
    int32_t top, bottom, left, right;
    p2b_requantization_t requantization;
    const int8_t *weights; /* out_c x kernel_h x kernel_w x in_c */
    const int32_t *bias;   /* out_c */
} p2b_conv2d_t;

typedef struct {
    int32_t in_n, out_n;
    p2b_requantization_t requantization;
    const int8_t *weights; /* out_n x in_n */
    const int32_t *bias;   /* out_n */
} p2b_fully_connected_t;

typedef struct {
    p2b_window_t window;
    int32_t low, high; /* clamp of the output */
} p2b_pool2d_t;

typedef struct {
    int32_t n;                                /* elements of each operand and of the output */
    int32_t offset_1, offset_2;               /* minus the operands' zero points */
    int32_t multiplier_1, shift_1;            /* of operand 1, shifted left by 20 bits; shift: -31 .. 0 */
    int32_t multiplier_2, shift_2;            /* of operand 2, likewise */
    int32_t output_multiplier, output_shift;  /* of the sum of both */
    int32_t output_offset;                    /* the output's zero point */
    int32_t low, high;                        /* clamp of the output */
} p2b_add_t;

/* CONV_2D. input: in_h x in_w x in_c; output: out_h x out_w x out_c. Padding counts as real 0.
 * Compiled with P2B_SPLIT=1, outputs of the interior are computed without bounds checks; with P2B_SPLIT=0
 * every tap of every output is checked. The outputs are the same. */
void p2b_conv2d(const p2b_conv2d_t *op, const int8_t *input, int8_t *output);

/* FULLY_CONNECTED. input: in_n; output: out_n. */
void p2b_fully_connected(const p2b_fully_connected_t *op, const int8_t *input, int8_t *output);

/* MAX_POOL_2D. input: in_h x in_w x in_c; output: out_h x out_w x in_c, quantized as the input. Padding
 * never wins. */
void p2b_max_pool2d(const p2b_pool2d_t *op, const int8_t *input, int8_t *output);

/* AVERAGE_POOL_2D. Shapes as p2b_max_pool2d(). The sum of q is divided by the number of elements under the
 * window that are not padding, ties away from zero. Windows of up to 2^23 elements. */
void p2b_average_pool2d(const p2b_pool2d_t *op, const int8_t *input, int8_t *output);

/* ADD. input_1, input_2, output: n elements each; the inputs may be the same tensor. */
void p2b_add(const p2b_add_t *op, const int8_t *input_1, const int8_t *input_2, int8_t *output);

#endif
