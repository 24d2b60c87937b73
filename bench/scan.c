/* bench-scan [--rows N] [--dims N] [--threads N] [--top N] [--queries N] [--runs N]: searches among vectors, as a
 * node walks them between two steps.
 *
 * A shelf is filled, part by part, with rows drawn from a seed; then walks over all of it, of one query and of as many at once
 * as a walk takes, are timed. Median (slowest, fastest) of --runs. */
#include "node/shelf/shelf.h"
#include "node/shelf/walk.h"

#include "kernels/cpu.h"
#include "kernels/ops.h"
#include "kernels/select.h"
#include "kernels/team.h"

#include "base/clock.h"
#include "base/rand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RUNS_MAX = 1000,
    DIMS_MAX = 4096,
    SHARDS_MAX = 64,
    PART_ROWS = 64
};

struct bench {
    uint64_t rows, dims, threads, top, queries, runs;
    struct team *team;
    struct shelf *shelf;
    struct walk *walk;
    struct rand rand;
    const struct shelf_shard *shards[SHARDS_MAX];
    size_t shard_count;
    float vectors[WALK_QUERIES_MAX][DIMS_MAX];
    struct walk_query asked[WALK_QUERIES_MAX];
};

static void fail(const char *what)
{
    fprintf(stderr, "bench-scan: %s\n", what);
    exit(EXIT_FAILURE);
}

static void put_part(struct bench *bench, uint64_t from, uint64_t count, bool reset, bool complete)
{
    static int32_t numbers[PART_ROWS];
    static float scales[PART_ROWS];
    static uint8_t rows[PART_ROWS * DIMS_MAX];
    for (uint64_t i = 0; i < count; i++) {
        numbers[i] = (int32_t)(from + i);
        scales[i] = (float)(rand_unit(rand_next(&bench->rand)) + 0.5) / 1000;
        for (uint64_t d = 0; d < bench->dims; d++)
            rows[i * bench->dims + d] = (uint8_t)(rand_next(&bench->rand) >> 7);
    }
    struct wire_shard_put put = {.shard = from / WIRE_SHARD_NUMBERS + 1,
                                 .dims = (uint32_t)bench->dims,
                                 .version = 1,
                                 .reset = reset,
                                 .complete = complete,
                                 .numbers = numbers,
                                 .row_count = count,
                                 .scales = scales,
                                 .rows = rows,
                                 .rows_size = count * bench->dims};
    if (shelf_put(bench->shelf, 1, &put)) fail("a part was refused");
}

static void fill(struct bench *bench)
{
    bench->shelf = shelf_new(UINT64_C(1) << 40);
    uint64_t started_ns = clock_now_ns();
    for (uint64_t at = 0; at < bench->rows; at += PART_ROWS) {
        uint64_t left = bench->rows - at;
        uint64_t count = left < PART_ROWS ? left : PART_ROWS;
        bool ends = (at + count) % WIRE_SHARD_NUMBERS == 0 || at + count == bench->rows;
        put_part(bench, at, count, at % WIRE_SHARD_NUMBERS == 0, ends);
    }
    for (uint64_t at = 0; at < bench->rows; at += WIRE_SHARD_NUMBERS)
        if (shelf_hold(bench->shelf, at / WIRE_SHARD_NUMBERS + 1, bench->dims,
                       &bench->shards[bench->shard_count++]))
            fail("a shard is not whole");
    printf("%llu rows of %llu, drawn and put in %.1f s, %.0f MB\n", (unsigned long long)bench->rows,
           (unsigned long long)bench->dims, (double)(clock_now_ns() - started_ns) / 1e9,
           (double)shelf_state(bench->shelf).used / 1e6);
}

static void ask(struct bench *bench)
{
    for (size_t i = 0; i < WALK_QUERIES_MAX; i++) {
        for (uint64_t d = 0; d < bench->dims; d++)
            bench->vectors[i][d] = (float)rand_unit(rand_next(&bench->rand)) - 0.5f;
        bench->asked[i] = (struct walk_query){.vector = bench->vectors[i],
                                              .size = bench->dims,
                                              .shards = bench->shards,
                                              .shard_count = bench->shard_count,
                                              .top_count = (uint32_t)bench->top};
    }
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static void report(const struct bench *bench, const char *what, double *times, double bytes)
{
    qsort(times, bench->runs, sizeof *times, by_value);
    double median = times[bench->runs / 2];
    printf("%-28s %llu threads  %8.2f ms (%.2f–%.2f)  %6.1f GB/s\n", what,
           (unsigned long long)bench->threads, median, times[bench->runs - 1], times[0],
           bytes / median / 1e6);
}

static void run_walks(struct bench *bench, size_t count)
{
    double times[RUNS_MAX];
    char what[64];
    for (uint64_t run = 0; run < bench->runs; run++) {
        uint64_t started_ns = clock_now_ns();
        walk_begin(bench->walk, bench->asked, count);
        while (!walk_on(bench->walk, 128 << 20))
            ;
        times[run] = (double)(clock_now_ns() - started_ns) / 1e6;
    }
    snprintf(what, sizeof what, "walk, %zu queries", count);
    report(bench, what, times, (double)(bench->rows * bench->dims));
}

static void read_words(struct bench *bench, int count, char **words)
{
    const struct {
        const char *flag;
        uint64_t *value;
        uint64_t most;
    } flags[] = {{"--rows", &bench->rows, SHARDS_MAX * WIRE_SHARD_NUMBERS},
                 {"--dims", &bench->dims, DIMS_MAX},
                 {"--threads", &bench->threads, TEAM_THREADS_MAX},
                 {"--top", &bench->top, WALK_TOP_MAX},
                 {"--queries", &bench->queries, WALK_QUERIES_MAX},
                 {"--runs", &bench->runs, RUNS_MAX}};

    for (int i = 1; i + 1 < count; i += 2) {
        bool known = false;
        for (size_t f = 0; f < sizeof flags / sizeof *flags; f++) {
            if (strcmp(words[i], flags[f].flag) != 0) continue;
            known = true;
            *flags[f].value = strtoull(words[i + 1], NULL, 10);
            if (*flags[f].value < 1 || *flags[f].value > flags[f].most) fail(words[i]);
        }
        if (!known) fail(words[i]);
    }
}

int main(int count, char **words)
{
    static struct bench bench = {.rows = 1000000,
                                 .dims = 384,
                                 .threads = 1,
                                 .top = 20,
                                 .queries = WALK_QUERIES_MAX,
                                 .runs = 30};
    read_words(&bench, count, words);
    uint32_t features;
    struct ops ops;
    if (cpu_choose_env(&features)) fail("QIAO_CPU names no rung of this machine");
    ops_select(&ops, features);
    if (team_new(&bench.team, (uint32_t)bench.threads)) fail("no threads");
    rand_init(&bench.rand, 1);
    if (walk_new(&bench.walk, &ops, bench.team)) fail("no memory");
    fill(&bench);
    ask(&bench);
    run_walks(&bench, 1);
    if (bench.queries > 1) run_walks(&bench, bench.queries);
    for (size_t i = 0; i < bench.shard_count; i++)
        shelf_let_go(bench.shelf, bench.shards[i]);
    walk_free(bench.walk);
    shelf_free(bench.shelf);
    team_free(bench.team);
    return 0;
}
