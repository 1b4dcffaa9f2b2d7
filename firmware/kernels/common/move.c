/* SPDX-License-Identifier: Apache-2.0 */
/* Values put in another order, left out or repeated: transposed, sliced, gathered, enlarged. */
#include "p2b_checks.h"

void p2b_move(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_move_t *const op = layer;

    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(in[0] != NULL && op->offsets != NULL);
    P2B_ASSERT(op->run >= 1);
    for (int32_t axis = 0; axis < P2B_MOVE_AXES; ++axis)
        P2B_ASSERT(op->lengths[axis] >= 1);

    const int32_t *const first = op->offsets, *const second = first + op->lengths[0];
    const int32_t *const third = second + op->lengths[1], *const fourth = third + op->lengths[2];
    int8_t *output = out[0];

    for (int32_t a = 0; a < op->lengths[0]; ++a)
        for (int32_t b = 0; b < op->lengths[1]; ++b)
            for (int32_t c = 0; c < op->lengths[2]; ++c) {
                const int8_t *const from = in[0] + first[a] + second[b] + third[c];

                for (const int32_t *d = fourth, *const stop = d + op->lengths[3]; d != stop; ++d) {
                    const int8_t *input = from + *d;

                    for (int8_t *const end = output + op->run; output != end;)
                        *output++ = *input++;
                }
            }
}
