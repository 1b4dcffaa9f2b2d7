/* SPDX-License-Identifier: Apache-2.0 */
/* int8 layers with TFLite's semantics, row by row: the interface that every kernel implements.
 *
 * Data
 * - A tensor is int8 in HWC order (channels fastest), one image; a row is its W x C consecutive bytes, a
 *   vector of N is one row. real = scale * (q - zero point). A row whose size is a multiple of 4 bytes starts at
 *   one, others anywhere.
 * - Weights have zero point 0; an accumulator is sum((x - zero point) * weight) + bias, padding counts as
 *   real 0. No accumulator can leave int32: the generator takes no other models.
 * - An accumulator becomes an output by its channel's requantization, then is clamped to low .. high, which
 *   hold the fused activation as well as int8's range.
 *
 * Calls: kernel(op, in, out, rows, scratch)
 * - op: the layer's constants, one of the structures below.
 * - in: pointers to the rows of the input that the call sees, top to bottom; NULL is a row of padding. For a
 *   window of height K and stride S (rows of the input) that is (rows - 1) * S + K rows. Layers with several
 *   inputs have one pointer an input. Layers that see their whole input (FULLY_CONNECTED, MEAN) have one
 *   pointer to all of it.
 * - out: pointers to the rows to compute. rows: how many of them, 1 unless the kernel's step says more. Layers that
 *   compute their whole output at once (MEAN, RESIZE_BILINEAR, moves across rows) get all of its rows, which lie one
 *   after the other.
 * - scratch: at least the bytes that the generator reserved for the kernel, at a multiple of 16 bytes; its
 *   content is not kept from call to call.
 * - No kernel keeps state; inputs, outputs and scratch do not overlap.
 *
 * Compiled with P2B_CHECKS=1, a kernel ends the program if its caller breaks what is said here (p2b_checks.h). */
#ifndef P2B_KERNELS_H
#define P2B_KERNELS_H

#include <stdint.h>

typedef void p2b_kernel_t(const void *op, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch);

/* How an accumulator becomes an output value, before the clamp. */
enum {
    /* (high(acc << 6, multiplier) + rounding) >> shift, high being the upper word of the signed 64-bit product, for
     * |acc| < 2^25. The zero point is in rounding. That is `low` or more if acc >= 0; the output of acc <= 0 is `low`,
     * whatever this gives. */
    P2B_REQUANT_FAST,
    /* As P2B_REQUANT_FAST for acc >= 0. Below, 32 are taken from high where high + 16 is negative. */
    P2B_REQUANT_FAST_SIGNED,
    /* p2b_requantize(acc, multiplier, shift) + zero point: TFLite's, for any accumulator and shift. rounding is
     * the zero point. */
    P2B_REQUANT_EXACT,
    /* Channels whose shift is P2B_EXACT_SHIFT + TFLite's as P2B_REQUANT_EXACT, the others as P2B_REQUANT_FAST_SIGNED. */
    P2B_REQUANT_MIXED,
};

enum { P2B_EXACT_SHIFT = 96 };

/* One output channel. bias includes whatever the kernel's own zero-point handling adds to it, and what moves the
 * accumulators to where a fast form gives TFLite's outputs. */
typedef struct {
    int32_t bias;
    int32_t multiplier; /* 0 .. 2^31 - 1 */
    int32_t rounding;
    int32_t shift; /* fast: to the right, 1 .. 31; exact: TFLite's, -31 .. 31, positive to the left */
} p2b_channel_t;

/* The end of every layer with weights. */
typedef struct {
    int32_t mode; /* P2B_REQUANT_* */
    int32_t low, high;
    const p2b_channel_t *channels;
} p2b_output_t;

/* How a window moves over an input, in pixels. All but the padding is at least 1. The last window reaches beyond the
 * padding before the input: pad_w < (out_w - 1) * stride_w + kernel_w, and likewise for the height. */
typedef struct {
    int32_t in_h, in_w, in_c;
    int32_t out_h, out_w;
    int32_t kernel_h, kernel_w;
    int32_t stride_h, stride_w;
    int32_t pad_h, pad_w; /* rows above and columns left of the input */
} p2b_window_t;

/* CONV_2D and DEPTHWISE_CONV_2D, optionally with the MAX_POOL_2D that follows.
 *
 * With pooling, a row of the output is a row of pooled outputs: the maximum is taken over accumulators' outputs
 * of pool_h x pool_w convolution pixels, pool_stride_w apart; rows of the convolution are pool_stride_h apart. Every
 * pooling window lies inside the convolution's output. Requantization grows with the accumulator, so the maximum
 * of the accumulators may be requantized instead. Without pooling all four are 1
 * and pooled_w is out_w.
 * A call sees the input rows of ((rows - 1) * pool_stride_h + pool_h) convolution rows. */
typedef struct {
    p2b_window_t window; /* of the convolution; out_h, out_w before pooling */
    int32_t out_c;
    int32_t pool_h, pool_w, pool_stride_h, pool_stride_w;
    int32_t pooled_w;    /* pixels of an output row */
    int32_t left, right; /* convolution columns left .. right - 1 see no padding */
    int32_t input_zero_point;
    p2b_output_t output;
    const void *weights; /* in the kernel's layout; depthwise: output channel c reads input c / (out_c / in_c) */
} p2b_conv2d_t;

/* FULLY_CONNECTED. in[0]: in_n values; out[0]: out_n values. */
typedef struct {
    int32_t in_n, out_n;
    int32_t input_zero_point;
    p2b_output_t output;
    const void *weights; /* in the kernel's layout */
} p2b_fully_connected_t;

/* MAX_POOL_2D, AVERAGE_POOL_2D: padding never wins and does not count. A window has less than 2^16 pixels, and sees at
 * least one of the input. */
typedef struct {
    p2b_window_t window;
    int32_t low, high;
} p2b_pool2d_t;

/* Two operands, element by element: a row of the output has outer x inner values. Those of operand 1 lie outer_1 and
 * inner_1 values apart, those of operand 2 outer_2 and inner_2; 0: the same one again. */
typedef struct {
    int32_t outer, inner;
    int32_t outer_1, inner_1, outer_2, inner_2;
} p2b_broadcast_t;

/* ADD, SUB and SQUARED_DIFFERENCE of two rows, which may be the same row. A table gives the operand's value at the
 * common scale, p2b_requantize((q - zero point) << bits, multiplier, shift), negative for what is subtracted, for
 * q = 0 .. 127, -128 .. -1. */
typedef struct {
    p2b_broadcast_t axes;
    const int32_t *table_1, *table_2; /* 256 values each; sums below 2^28, for SQUARED_DIFFERENCE below 2^15.5 */
    int32_t multiplier, shift;        /* of the sum, or of its square; multiplier not negative, shift to the right: ADD
                                       * and SUB 0 .. 31, else likewise or negative */
    int32_t zero_point, low, high;    /* of the output */
} p2b_add_t;

/* MUL: the product of both operands without zero points. */
typedef struct {
    p2b_broadcast_t axes;
    int32_t zero_point_1, zero_point_2;
    int32_t multiplier, shift; /* multiplier not negative, shift as in p2b_requantize() */
    int32_t zero_point, low, high;
} p2b_mul_t;

/* PRELU: operand 1 without zero point, times operand 2 without zero point where it is below 0. */
typedef struct {
    p2b_broadcast_t axes;
    int32_t zero_point_1, zero_point_2;
    int32_t multiplier_above, shift_above, multiplier_below, shift_below; /* as in p2b_mul_t */
    int32_t zero_point;
} p2b_prelu_t;

/* MAXIMUM (sign 1) and MINIMUM (sign -1). */
typedef struct {
    p2b_broadcast_t axes;
    int32_t sign;
} p2b_extremum_t;

/* A function of one int8, such as LOGISTIC, of a row of n values: 256 values for q = 0 .. 127, -128 .. -1. */
typedef struct {
    int32_t n;
    const int8_t *table;
} p2b_table_t;

/* The n values of a row again. */
typedef struct {
    int32_t n;
} p2b_copy_t;

/* Values in another order: output value (a, b, c, d) is input value offsets_1[a] + offsets_2[b] + offsets_3[c] +
 * offsets_4[d], or `run` values from there on. */
#define P2B_MOVE_AXES 4
typedef struct {
    int32_t lengths[P2B_MOVE_AXES]; /* at least 1 each */
    int32_t run;
    const int32_t *offsets; /* those of the first axis, then of the second ... */
} p2b_move_t;

/* SUM and MEAN over pixels. in[0]: groups x pixels x channels values; out[0]: groups x channels values. */
typedef struct {
    int32_t groups, pixels, channels;
    int32_t input_zero_point, output_zero_point;
    int32_t multiplier, shift; /* MEAN: with the division by pixels; multiplier not negative, shift as in
                                * p2b_requantize() */
} p2b_mean_t;

/* REDUCE_MIN: the least value of the pixels. in[0]: groups x pixels x channels values; out[0]: groups x channels. */
typedef struct {
    int32_t groups, pixels, channels;
} p2b_reduce_t;

/* ARG_MAX, ARG_MIN: the first index of the greatest or least of the pixels, minus 128. in[0], out[0]: as REDUCE_MIN. */
typedef struct {
    int32_t groups, pixels, channels; /* pixels: 256 at most */
    int32_t least;                    /* 1: of the least value */
} p2b_arg_extremum_t;

/* PAD of a row: in[0] is NULL where the whole row is padding. width and depth are at least 1. */
typedef struct {
    int32_t left, width, right;   /* pixels */
    int32_t before, depth, after; /* channels */
    int32_t value;                /* the zero point */
} p2b_pad_t;

/* RESIZE_BILINEAR of channels values a pixel, to out_h x out_w pixels. For each output row: where the two input rows
 * around it begin, and its distance from the first in parts of 2^P2B_RESIZE_BITS; for each output column likewise, from
 * a row's beginning. */
#define P2B_RESIZE_BITS 10
typedef struct {
    int32_t out_h, out_w, channels;
    const int32_t *rows, *columns;
} p2b_resize_bilinear_t;

/* BATCH_MATMUL. in[0]: batches x rows x depth values; in[1]: batches x columns x depth; out[0]: batches x rows x columns
 * values, each the product of a row of both. */
typedef struct {
    int32_t batches, rows, columns, depth;
    int32_t zero_point_1, zero_point_2, output_zero_point;
    int32_t multiplier, shift; /* multiplier not negative, shift as in p2b_requantize() */
} p2b_batch_matmul_t;

/* L2_NORMALIZATION over the last axis of a row: `pixels` groups of `depth` values, whose squares' sum fits int32. */
typedef struct {
    int32_t pixels, depth;
    int32_t input_zero_point;
} p2b_l2_normalization_t;

/* SVDF. in[0]: `inputs` values; in[1]: the state, of units x rank filters with `memory` values each, the newest last, int8
 * or, where `wide`, int16 of the processor's byte order, which the kernel changes; out[0]: units values. Multipliers are
 * not negative, shifts as in p2b_requantize(). */
typedef struct {
    int32_t inputs, units, rank, memory, wide;
    int32_t input_zero_point, state_zero_point; /* of a wide state 0 */
    const int8_t *feature_weights;              /* units x rank x inputs */
    const void *time_weights;                   /* units x rank x memory, of the state's type */
    const int32_t *bias;                        /* units */
    int32_t feature_multiplier, feature_shift;  /* to steps of the state */
    int32_t multiplier, shift, zero_point;      /* to those of the output */
} p2b_svdf_t;

/* UNIDIRECTIONAL_SEQUENCE_LSTM. in[0]: steps x inputs values; in[1], in[2]: the last output (units values) and the cell
 * (units int16 of the processor's byte order), which the kernel changes; out[0]: steps x units values. Arrays of four are
 * those of the gates input, forget, cell, output. Sums begin with the biases, which hold the zero points, and become steps
 * of 2^-12. All multipliers are not negative, their shifts as in p2b_requantize(). */
typedef struct {
    int32_t steps, inputs, units;
    const int8_t *input_weights, *recurrent_weights; /* 4 x units x inputs, 4 x units x units */
    const int32_t *input_bias, *recurrent_bias;      /* 4 x units */
    const uint16_t *sigmoid;                         /* of 0, 1/24 .. 255/24, in steps of 2^-16 */
    int32_t input_multipliers[4], input_shifts[4], recurrent_multipliers[4], recurrent_shifts[4];
    int32_t forget_multiplier, forget_shift; /* forget gate x cell, to steps of the cell */
    int32_t take_multiplier, take_shift;     /* input gate x cell gate, likewise */
    int32_t give_multiplier, give_shift;     /* output gate x tanh(cell), to steps of the output */
    int32_t tanh_factor, tanh_shift;         /* the cell times the factor, shifted to the right: steps of 2^-12 / 3 */
    int32_t clip;                            /* the cell's bound; 0: none */
    int32_t zero_point;                      /* of the output */
} p2b_lstm_t;

/* SOFTMAX over the last axis of a row: `pixels` groups of `depth` values.
 *
 * A value's difference from the largest of its group is 0 or less. difference * multiplier * 2^(shift - 31) is the
 * exponent, with 26 bits after the binary point. */
typedef struct {
    int32_t pixels, depth;
    int32_t multiplier, shift; /* 2^30 .. 2^31 - 1; 0 .. 31 */
    int32_t diff_min;          /* a lower difference counts for nothing; -((31 << 26) >> shift) .. 0 */
} p2b_softmax_t;

/* LOG_SOFTMAX: likewise, of 4095 values at most. A logarithm with 26 bits after the binary point times the reverse
 * multiplier is a difference. */
typedef struct {
    p2b_softmax_t exp;
    int32_t reverse_multiplier, reverse_shift; /* not negative; not positive, as in p2b_requantize() */
} p2b_log_softmax_t;

/* CONCATENATION of rows: `runs` times, the next lengths[i] bytes of each input i. in[i] is NULL where input i has
 * no part in the row (concatenation of rows themselves). */
typedef struct {
    int32_t runs, inputs;
    const int32_t *lengths; /* bytes, at least 1; one an input */
} p2b_concatenation_t;

/* The layers that no back end does better than plain C. */
p2b_kernel_t p2b_max_pool2d, p2b_average_pool2d, p2b_add, p2b_mul, p2b_prelu, p2b_squared_difference, p2b_extremum,
    p2b_table, p2b_lstm, p2b_svdf, p2b_copy, p2b_move, p2b_mean, p2b_reduce_min, p2b_arg_extremum, p2b_resize_bilinear,
    p2b_batch_matmul, p2b_l2_normalization, p2b_pad, p2b_softmax, p2b_log_softmax, p2b_concatenation;

/* `paper`: plain loops. One output at a time, int8 operands, no scratch. Weights as in the .tflite file,
 * int8: convolution out_c x kernel_h x kernel_w x in_c, depthwise kernel_h x kernel_w x out_c, fully connected
 * out_n x in_n. Bias as in the file; mode P2B_REQUANT_EXACT.
 * Compiled with P2B_SPLIT=1, outputs whose window sees no padding are computed without bounds checks; with
 * P2B_SPLIT=0 every tap of every output is checked. The outputs are the same. */
p2b_kernel_t p2b_conv2d_paper, p2b_depthwise_conv2d_paper, p2b_fully_connected_paper;

/* `portable`: blocked C for any 32-bit processor. Layouts: p2b_portable.h. */
p2b_kernel_t p2b_conv2d_portable, p2b_depthwise_conv2d_portable, p2b_fully_connected_portable;

/* `mac16`: the Xtensa MAC16 option (ESP32's LX6). Layouts: p2b_mac16.h. Depthwise: one kernel for 3 x 3, one for any
 * window, both without pooling, and one for any, for windows of many taps over many columns. */
p2b_kernel_t p2b_conv2d_mac16, p2b_fully_connected_mac16;
p2b_kernel_t p2b_depthwise_conv2d_3x3_mac16, p2b_depthwise_conv2d_mac16, p2b_depthwise_conv2d_rows_mac16;

/* Winograd F(4x4, 3x3), with dot products in C or by MAC16. Layouts: p2b_winograd.h. */
p2b_kernel_t p2b_conv2d_winograd_portable, p2b_conv2d_winograd_mac16;

#endif
