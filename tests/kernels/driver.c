/* SPDX-License-Identifier: Apache-2.0 */
/* Call kernels one by one and print what they write. Every row and the scratch is a block of memory of its own, of
 * exactly the size that the kernel may use; a row whose size is no multiple of 4 lies at an odd address. What is
 * printed, one line each:
 *   call K        before call K
 *   row HEX       of each row of its output
 *   end           after the last call
 * An error is the last line, e-[TEXT]. */
#include <string.h>

#include "calls.h"
#include "port.h"
#include "runner.h"

enum { BLOCKS = 512, UNWRITTEN = 0x55 };

static int8_t *blocks[BLOCKS];
static int32_t block_count;

static void fail(const char *error)
{
    port_write(error, (uint32_t)strlen(error));
    runner_exit();
}

#if __STDC_HOSTED__
#include <stdlib.h>

/* The address sanitizer watches both ends of what malloc gives. */
static int8_t *new_block(int32_t bytes)
{
    int8_t *const block = malloc((size_t)bytes);

    if (block == NULL || block_count == BLOCKS)
        fail("e-[Too many blocks]\n");
    blocks[block_count++] = block;
    return block;
}

static void free_blocks(void)
{
    while (block_count > 0)
        free(blocks[--block_count]);
}
#else
/* Blocks of one array, at multiples of 16 bytes. What lies between them is GUARD and must stay so. */
enum { POOL_BYTES = 1 << 20, GAP = 16, GUARD = 0x33 };

static int8_t pool[POOL_BYTES] __attribute__((aligned(16)));
static int32_t ends[BLOCKS];
static int32_t taken;

static int8_t *new_block(int32_t bytes)
{
    int8_t *const block = pool + taken + GAP;

    if (taken + bytes + 3 * GAP > POOL_BYTES || block_count == BLOCKS)
        fail("e-[Too many blocks]\n");
    memset(pool + taken, GUARD, (size_t)(bytes + 3 * GAP));
    ends[block_count] = taken + GAP + bytes;
    blocks[block_count++] = block;
    taken = (taken + GAP + bytes + 15) & ~15;
    return block;
}

static void free_blocks(void)
{
    for (int32_t i = 0; i < block_count; ++i)
        for (int32_t j = 0; j < GAP; ++j)
            if (pool[ends[i] + j] != GUARD || blocks[i][j - GAP] != GUARD)
                fail("e-[The kernel wrote outside its memory]\n");
    block_count = 0;
    taken = 0;
}
#endif

static int8_t *new_row(int32_t bytes)
{
    const int32_t odd = bytes % 4 ? 1 : 0;

    return new_block(bytes + odd) + odd;
}

static void print_number(uint32_t number)
{
    char digits[10];
    uint32_t start = sizeof digits;

    do {
        digits[--start] = (char)('0' + number % 10u);
        number /= 10u;
    } while (number > 0);
    port_write(digits + start, (uint32_t)sizeof digits - start);
}

static void print_row(const int8_t *row, int32_t bytes)
{
    port_write("row ", 4);
    for (int32_t i = 0; i < bytes; ++i) {
        const char hex[] = {"0123456789abcdef"[(uint8_t)row[i] >> 4], "0123456789abcdef"[row[i] & 15]};

        port_write(hex, sizeof hex);
    }
    port_write("\n", 1);
}

static void make(const call_t *call)
{
    const int8_t *in[BLOCKS];
    int8_t *out[BLOCKS], *const scratch = new_block(call->scratch_bytes);

    memset(scratch, UNWRITTEN, (size_t)call->scratch_bytes);
    for (int32_t i = 0; i < call->input_count; ++i) {
        const input_t *const input = &call->inputs[i];

        in[i] = input->values ? memcpy(new_row(input->bytes), input->values, (size_t)input->bytes) : NULL;
    }
    for (int32_t i = 0; i < call->rows; ++i)
        out[i] = memset(new_row(call->row_bytes), UNWRITTEN, (size_t)call->row_bytes);
    call->kernel(call->op, in, out, call->rows, scratch);
    for (int32_t i = 0; i < call->rows; ++i)
        print_row(out[i], call->row_bytes);
    free_blocks();
}

void app_start(void)
{
    for (int32_t i = 0; i < call_count; ++i) {
        port_write("call ", 5);
        print_number((uint32_t)i);
        port_write("\n", 1);
        make(&calls[i]);
    }
    port_write("end\n", 4);
    runner_exit();
}

/* The port's part of an application that listens, which this one does not. */
void app_receive(uint8_t byte)
{
    (void)byte;
}
