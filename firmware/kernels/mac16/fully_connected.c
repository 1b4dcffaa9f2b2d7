/* FULLY_CONNECTED by MAC16. Scratch: the input widened, and the pointer to it. */
#include "p2b_mac16.h"

void p2b_fully_connected_mac16(const void *op, const int8_t *const *in, int8_t *const *out, int32_t rows,
                               void *scratch)
{
    const p2b_fully_connected_t *const layer = op;
    const int16_t **const vectors = scratch;
    int16_t *const vector = (int16_t *)(void *)(vectors + 1);
    const p2b_mac16_job_t job = {
        .vectors = vectors,
        .count = 1,
        .pairs = (layer->in_n + 1) / 2,
        .outputs = layer->out_n,
        .weights = layer->weights,
        .output = &layer->output,
    };
    (void)rows;

    p2b_mac16_widen(in[0], vector, 1, layer->in_n, layer->in_n);
    vectors[0] = vector - 2;
    p2b_mac16_products(&job, out[0], 1);
}
