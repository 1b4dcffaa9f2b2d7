/* What `mac16` convolutions and FULLY_CONNECTED share: widened vectors and their products. */
#include "p2b_mac16.h"
#include "p2b_output.h"

/* a . w: m0, m1 and m2 hold the first words. The loop reads no M register again after loading it. In the end m2
 * holds, and [w] points at, the word behind the channel's weights. */
#define DOT(name) \
    " p2b_loopnez_in .L" name "%=, %[n], .L" name "_last%=\n" \
    " p2b_mula_dd_ldinc ll, m3, %[w], m0, m2\n" \
    " p2b_mula_dd_ldinc hh, m0, %[a], m0, m2\n" \
    " p2b_mula_dd_ldinc ll, m2, %[w], m1, m3\n" \
    " p2b_mula_dd_ldinc hh, m1, %[a], m1, m3\n" \
    ".L" name "_last%=:\n" \
    " bbci %[pairs], 0, .L" name "_even%=\n" \
    " p2b_mula_dd ll, m0, m2\n" \
    " p2b_mula_dd_ldinc hh, m2, %[w], m0, m2\n" \
    ".L" name "_even%=:\n"

#define NEXT(name) \
    " l32i %[t1], %[end]\n" \
    " s8i %[y], %[out], 0\n" \
    " addi %[channel], %[channel], 16\n" \
    " addi %[out], %[out], 1\n" \
    " bne %[out], %[t1], .L" name "%=\n"

static void one_vector(const p2b_mac16_job_t *job, int8_t *out)
{
    const int32_t mode = job->output->mode;
    const p2b_channel_t *channel = job->output->channels;
    const int16_t *w = job->weights, *a, *const vector = job->vectors[0];
    int8_t *const end = out + job->outputs;
    int32_t y, t1, t2, t3;

    __asm__ volatile(
        " addi %[w], %[w], -4\n"
        " p2b_ldinc m2, %[w]\n"
        " j .Lone%=\n"
        " .balign 4\n"
        ".Lone%=:\n"
        " l32i %[a], %[vector]\n"
        " l32i %[t1], %[channel], 0\n"
        " p2b_ldinc m0, %[a]\n"
        " p2b_ldinc m1, %[a]\n"
        " p2b_wsr_acclo %[t1]\n"
        DOT("one")
        " p2b_rsr_acclo %[y]\n"
        P2B_MAC16_OUTPUT("one", P2B_MAC16_SHIFT, NEXT("one"))
        : [a] "=&r"(a), [w] "+&r"(w), [channel] "+&r"(channel), [out] "+&r"(out), [y] "=&r"(y), [t1] "=&r"(t1),
          [t2] "=&r"(t2), [t3] "=&r"(t3)
        : [n] "r"(job->pairs >> 1), [pairs] "r"(job->pairs), [low] "r"(job->output->low),
          [high] "r"(job->output->high), [mode] "m"(mode), [vector] "m"(vector), [end] "m"(end)
        : "memory");
}

static void greatest_of_vectors(const p2b_mac16_job_t *job, int8_t *out)
{
    const int32_t mode = job->output->mode, least = INT32_MIN;
    const p2b_channel_t *channel = job->output->channels;
    const int16_t **const vectors = job->vectors, **const vectors_end = vectors + job->count;
    const int16_t *w, *weights = job->weights, *a;
    int8_t *const end = out + job->outputs;
    int32_t y, t1, t2, t3;

    /* t3: the next vector. The long forms outside the inner loop spare it a nop. */
    __asm__ volatile(
        " addi %[w], %[weights], 0\n"
        " j .Lmany%=\n"
        " .balign 4\n"
        ".Lmany%=:\n"
        " _l32i %[t3], %[vectors]\n"
        " _l32i %[y], %[least]\n"
        " addi %[weights], %[w], -4\n"
        ".Lmany_vector%=:\n"
        " l32i %[a], %[t3], 0\n"
        " l32i %[t1], %[channel], 0\n"
        " addi %[t3], %[t3], 4\n"
        " mov %[w], %[weights]\n"
        " p2b_ldinc m0, %[a]\n"
        " p2b_ldinc m2, %[w]\n"
        " p2b_ldinc m1, %[a]\n"
        " p2b_wsr_acclo %[t1]\n"
        DOT("many")
        " l32i %[t2], %[vectors_end]\n"
        " p2b_rsr_acclo %[t1]\n"
        " p2b_max %[y], %[y], %[t1]\n"
        " bne %[t3], %[t2], .Lmany_vector%=\n"
        P2B_MAC16_OUTPUT("many", P2B_MAC16_SHIFT, NEXT("many"))
        : [a] "=&r"(a), [w] "=&r"(w), [weights] "+&r"(weights), [channel] "+&r"(channel), [out] "+&r"(out),
          [y] "=&r"(y), [t1] "=&r"(t1), [t2] "=&r"(t2), [t3] "=&r"(t3)
        : [n] "r"(job->pairs >> 1), [pairs] "r"(job->pairs), [low] "r"(job->output->low),
          [high] "r"(job->output->high), [mode] "m"(mode), [vectors] "m"(vectors), [vectors_end] "m"(vectors_end),
          [least] "m"(least), [end] "m"(end)
        : "memory");
}

/* Any mode. */
static void exactly(const p2b_mac16_job_t *job, int8_t *out)
{
    const int16_t *weights = job->weights;

    for (int32_t i = 0; i < job->outputs; ++i, weights += 2 * job->pairs) {
        const p2b_channel_t *const channel = &job->output->channels[i];
        int32_t greatest = INT32_MIN;

        for (int32_t j = 0; j < job->count; ++j) {
            const int32_t y = p2b_mac16_dot(job->vectors[j] + 2, weights, job->pairs, channel->bias);
            greatest = y > greatest ? y : greatest;
        }
        out[i] = p2b_output_value(greatest, channel, job->output);
    }
}

void p2b_mac16_products(const p2b_mac16_job_t *job, int8_t *out, int32_t pixels)
{
    for (; pixels > 0; --pixels, out += job->outputs) {
        if (job->output->mode == P2B_EXACT)
            exactly(job, out);
        else if (job->count == 1)
            one_vector(job, out);
        else
            greatest_of_vectors(job, out);
        for (int32_t i = 0; i < job->count; ++i)
            job->vectors[i] += job->step;
    }
}

/* Each loop takes one channel, or four, of all runs. */
void p2b_mac16_widen(const int8_t *in, int16_t *out, int32_t runs, int32_t n, int32_t pitch)
{
    const int32_t fours = n % 4 == 0, channels = fours ? 4 : 1;
    const int8_t *const end = in + (pitch == n ? channels : n);
    const uint32_t signs = 0x80808080u, evens = 0x00ff00ffu;

    if (runs <= 0)
        return;
    if (pitch == n) {
        runs *= fours ? n / 4 : n;
        pitch = n = channels;
    }
    for (; in != end; in += channels, out += channels) {
        const int8_t *from = in;
        int16_t *to = out;
        uint32_t t1, t2;

        if (fours)
            __asm__ volatile(
                " p2b_loop %[runs], .Lfours%=\n"
                " l32i %[t1], %[from], 0\n"
                " add %[from], %[from], %[n]\n"
                " xor %[t1], %[t1], %[signs]\n"
                " srli %[t2], %[t1], 8\n"
                " and %[t1], %[t1], %[evens]\n"
                " and %[t2], %[t2], %[evens]\n"
                " s32i %[t1], %[to], 0\n"
                " s32i %[t2], %[to], 4\n"
                " add %[to], %[to], %[pitch]\n"
                ".Lfours%=:\n"
                : [from] "+&r"(from), [to] "+&r"(to), [t1] "=&r"(t1), [t2] "=&r"(t2)
                : [runs] "r"(runs), [n] "r"(n), [pitch] "r"(2 * pitch), [signs] "r"(signs), [evens] "r"(evens)
                : "memory");
        else
            __asm__ volatile(
                " p2b_loop %[runs], .Lones%=\n"
                " l8ui %[t1], %[from], 0\n"
                " add %[from], %[from], %[n]\n"
                " xor %[t1], %[t1], %[sign]\n"
                " s16i %[t1], %[to], 0\n"
                " add %[to], %[to], %[pitch]\n"
                ".Lones%=:\n"
                : [from] "+&r"(from), [to] "+&r"(to), [t1] "=&r"(t1)
                : [runs] "r"(runs), [n] "r"(n), [pitch] "r"(2 * pitch), [sign] "r"(0x80)
                : "memory");
    }
}
