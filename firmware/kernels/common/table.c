/* SPDX-License-Identifier: Apache-2.0 */
/* A function of one int8: the generator has computed it for all 256 inputs. */
#include "p2b_checks.h"

void p2b_table(const void *layer, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    const p2b_table_t *const op = layer;

    P2B_ASSERT(p2b_check_call(op, in, out, rows, scratch));
    P2B_ASSERT(rows == 1);
    P2B_ASSERT(in[0] != NULL && op->table != NULL);
    P2B_ASSERT(p2b_check_row(in[0], op->n));
    P2B_ASSERT(p2b_check_row(out[0], op->n));

    const uint8_t *input = (const uint8_t *)in[0];

    for (int8_t *output = out[0], *const end = output + op->n; output != end; ++output)
        *output = op->table[*input++];
}
