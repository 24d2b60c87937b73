/* bench/wipe.c -- what it costs that nothing is left: bench-wipe [layers kv_heads head_dim]
 *
 *      blocks   a prompt of 512 tokens enters the pool and leaves it, in the shape of Qwen2.5-0.5B unless another is given
 *      buffers  what a request allocates and frees, from 32 bytes to 64 KiB, by the wiping free() and by the C library's own
 *
 * Each the best of nine rounds; shares of a prompt's or a request's time are for the reader to make with the figures of those. */
#include "base/wipe.h"

#include "node/engine/kv.h"

#include "wire/message.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROMPT = 512,
    ROUNDS = 9,
    TIMES = 64,
    BUFFERS = 10000
};

void __libc_free(void *memory);

static double best(double a, double b)
{
    return a == 0 || b < a ? b : a;
}

/* Milliseconds of a prompt's way through the pool: with its blocks wiped, all that is new is wiping. */
static double time_blocks(struct kv_pool *pool, uint32_t *blocks)
{
    static int32_t ids[PROMPT];
    struct kv_path path = {.ids = ids, .id_count = PROMPT};
    struct kv_table table;
    kv_table_init(&table, PROMPT);
    uint64_t began_ns = clock_now_ns();
    for (int i = 0; i < TIMES; i++) {
        if (kv_enter(pool, &table, &path)) abort();
        *blocks = table.block_count;
        kv_release(pool, &table);
    }
    double took = (double)(clock_now_ns() - began_ns) / TIMES / 1e6;
    kv_table_fini(pool, &table);
    return took;
}

/* Nanoseconds for one buffer. */
static double time_buffers(size_t size, void (*let_go)(void *))
{
    uint64_t began_ns = clock_now_ns();
    for (int i = 0; i < BUFFERS; i++) {
        char *memory = mem_new(size, 1);
        memset(memory, i, size);
        let_go(memory);
    }
    return (double)(clock_now_ns() - began_ns) / BUFFERS;
}

int main(int argc, char **argv)
{
    struct kv_shape shape = {
        .layer_count = 24, .kv_head_count = 2, .head_dim = 64, .block_count = 64};
    if (argc == 4) {
        shape.layer_count = (uint32_t)strtoul(argv[1], NULL, 10);
        shape.kv_head_count = (uint32_t)strtoul(argv[2], NULL, 10);
        shape.head_dim = (uint32_t)strtoul(argv[3], NULL, 10);
    }
    struct kv_pool *pool;
    if (kv_pool_new(&pool, &shape)) {
        fprintf(stderr, "bench-wipe: %s\n", err_text());
        return 1;
    }
    uint32_t blocks = 0;
    double took = 0;
    for (int i = 0; i < ROUNDS; i++)
        took = best(took, time_blocks(pool, &blocks));
    printf("blocks: %" PRIu32 " of %zu bytes wiped in %.3f ms, %.1f GB/s\n", blocks,
           kv_block_size(&shape), took,
           (double)blocks * (double)kv_block_size(&shape) / took / 1e6);
    kv_pool_free(pool);
    for (size_t size = 32; size <= 64 << 10; size *= 8) {
        double plain = 0, wiping = 0;
        for (int i = 0; i < ROUNDS; i++) {
            plain = best(plain, time_buffers(size, __libc_free));
            wiping = best(wiping, time_buffers(size, free));
        }
        printf("buffers of %zu bytes, written and freed: %.1f ns, wiped %.1f ns\n", size, plain,
               wiping);
    }
    double stack = 0;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t began_ns = clock_now_ns();
        for (int n = 0; n < 1000; n++)
            wipe_stack();
        stack = best(stack, (double)(clock_now_ns() - began_ns) / 1e3);
    }
    printf("the stack: %.0f ns\n", stack);
    return 0;
}
