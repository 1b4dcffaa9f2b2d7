/* SPDX-License-Identifier: Apache-2.0 */
/* The same values again, such as what a state will hold next. */
#include "p2b_checks.h"

void p2b_copy(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_copy_t *const op = layer;

    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(rows == 1);
    P2B_ASSERT(in[0] != NULL);
    P2B_ASSERT(p2b_check_row(in[0], op->n));
    P2B_ASSERT(p2b_check_row(out[0], op->n));

    const int8_t *input = in[0];

    for (int8_t *output = out[0], *const end = output + op->n; output != end;)
        *output++ = *input++;
}
