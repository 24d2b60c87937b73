/* bench-recommend [--model FILE] [--items N] [--rate R] [--seconds S] [--threads N] [--top N] [--length N]: recommendations of one node's
 * engine, without links.
 *
 * The real engine in its own thread, a sasrec behind it; this thread plays the service. Without --model a file of
 * random weights with --items rows (12,103 x 64, a block, context 50) is made and removed. Histories are of 1 to
 * --length items, drawn from a seed; a list is of --top items without those of its history. With --rate 0 (the default) WAITING requests wait
 * or run all the time: what is shown is requests/s. Else requests come at times drawn for a mean rate, and what is shown is
 * the time from when each was due to its answer. --keep FILE does nothing but make that file there, for other benches; --names 1: its rows
 * are called item-0, item-1, … */
#include "node/engine/engine.h"
#include "node/engine/kv.h"
#include "node/engine/seq.h"
#include "node/recommender.h"
#include "tests/support/tiny_sasrec.h"

#include "kernels/cpu.h"
#include "kernels/ops.h"
#include "kernels/select.h"
#include "kernels/team.h"

#include "base/clock.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "base/rand.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    WAITING = 128,
    IN_THE_AIR_MAX = 4096,
    HISTORY_MAX = 64,
    TIMES_MAX = 1 << 20,
    WARM = 64 // requests before the clock starts
};

struct bench {
    const char *model, *keep;
    bool names;
    uint32_t items;
    double rate;
    double seconds;
    uint32_t threads;
    uint32_t top;
    uint32_t length;

    struct ops ops;
    struct team *team;
    struct recommender *recommender;
    struct wire_model facts;
    struct kv_pool *pool;
    struct engine *engine;
    pthread_t thread;
    struct rand rand;
    uint64_t submitted;
    uint64_t ended;
    uint64_t due_ns[IN_THE_AIR_MAX]; // of ticket % IN_THE_AIR_MAX
    float *times_ms;                 // [TIMES_MAX]
    size_t time_count;
    uint64_t steps;
};

static void fail(const char *what)
{
    fprintf(stderr, "bench-recommend: %s\n", what);
    exit(EXIT_FAILURE);
}

static void submit(struct bench *bench, uint64_t due_ns)
{
    int32_t ids[HISTORY_MAX];
    uint32_t count = 1 + (uint32_t)rand_below(&bench->rand, bench->length);
    for (uint32_t i = 0; i < count; i++)
        ids[i] = (int32_t)rand_below(&bench->rand, bench->facts.vocab_size);
    struct wire_submit asked = {
        .kind = WIRE_RECOMMEND,
        .ids = ids,
        .id_count = count,
        .prompt_length = count,
        .next_position = count,
        .tenant_weight = 1,
        .top_count = bench->top,
        .excluded = ids,
        .excluded_count = count,
    };
    struct seq_room room = {.context_max = bench->facts.context_length,
                            .vector_size = bench->facts.vector_size};
    uint64_t ticket = ++bench->submitted;
    bench->due_ns[ticket % IN_THE_AIR_MAX] = due_ns;
    engine_submit(bench->engine, seq_new(&asked, ticket, 0, &room, due_ns));
}

/* What has been answered by now. */
static void take(struct bench *bench)
{
    mailbox_hush(engine_outbox(bench->engine));
    for (struct engine_report *report; (report = engine_take(bench->engine)) != NULL;) {
        uint64_t now_ns = clock_now_ns();
        for (size_t i = 0; i < report->item_count; i++) {
            struct seq *seq = report->items[i].seq;
            if (!report->items[i].answered) fail("a request was not answered");
            double ms = (double)(now_ns - bench->due_ns[seq->ticket % IN_THE_AIR_MAX]) / 1e6;
            if (bench->time_count < TIMES_MAX) bench->times_ms[bench->time_count++] = (float)ms;
            bench->ended++;
            seq_free(seq);
        }
        bench->steps = report->load.steps;
        engine_give(bench->engine, report);
    }
}

static void wait_for(struct bench *bench, uint64_t until_ns)
{
    uint64_t now_ns = clock_now_ns();
    if (until_ns > now_ns) mailbox_wait(engine_outbox(bench->engine), until_ns - now_ns);
    take(bench);
}

static void drain(struct bench *bench)
{
    while (bench->ended < bench->submitted)
        wait_for(bench, clock_now_ns() + CLOCK_SECOND);
}

static int by_size(const void *left, const void *right)
{
    float a = *(const float *)left;
    float b = *(const float *)right;
    return a < b ? -1 : a > b;
}

static double time_at(const struct bench *bench, double part)
{
    if (bench->time_count == 0) return 0;
    return (double)bench->times_ms[(size_t)(part * (double)(bench->time_count - 1))];
}

static void show(struct bench *bench, double seconds, uint64_t steps)
{
    qsort(bench->times_ms, bench->time_count, sizeof *bench->times_ms, by_size);
    printf("%" PRIu32 " items, %" PRIu32 " threads, top %" PRIu32 ", histories of 1 to %" PRIu32
           ": %.0f requests/s, %.1f a step, ms p50 %.2f p99 %.2f max %.2f\n",
           bench->facts.vocab_size, team_size(bench->team), bench->top, bench->length,
           (double)bench->time_count / seconds,
           (double)bench->time_count / (steps > 0 ? (double)steps : 1), time_at(bench, 0.5),
           time_at(bench, 0.99), time_at(bench, 1));
}

static void warm(struct bench *bench)
{
    for (uint32_t i = 0; i < WARM; i++)
        submit(bench, clock_now_ns());
    drain(bench);
    bench->time_count = 0;
}

static void run_full(struct bench *bench)
{
    warm(bench);
    uint64_t steps = bench->steps;
    uint64_t start_ns = clock_now_ns();
    uint64_t end_ns = start_ns + (uint64_t)(bench->seconds * 1e9);
    while (clock_now_ns() < end_ns) {
        while (bench->submitted - bench->ended < WAITING)
            submit(bench, clock_now_ns());
        wait_for(bench, end_ns);
    }
    drain(bench);
    show(bench, (double)(clock_now_ns() - start_ns) / 1e9, bench->steps - steps);
}

static void run_at_rate(struct bench *bench)
{
    warm(bench);
    uint64_t steps = bench->steps;
    uint64_t start_ns = clock_now_ns();
    uint64_t end_ns = start_ns + (uint64_t)(bench->seconds * 1e9);
    uint64_t next_ns = start_ns;
    for (;;) {
        next_ns += (uint64_t)(-log(1 - rand_unit(rand_next(&bench->rand))) * 1e9 / bench->rate);
        if (next_ns >= end_ns) break;
        while (clock_now_ns() < next_ns)
            wait_for(bench, next_ns);
        if (bench->submitted - bench->ended == IN_THE_AIR_MAX) fail("it cannot keep up");
        submit(bench, next_ns);
    }
    drain(bench);
    show(bench, (double)(clock_now_ns() - start_ns) / 1e9, bench->steps - steps);
}

static void open_engine(struct bench *bench)
{
    if (bench->length > bench->facts.context_length) bench->length = bench->facts.context_length;
    struct kv_shape shape = {.layer_count = 1, .kv_head_count = 1, .head_dim = 8, .block_count = 1};
    if (kv_pool_new(&bench->pool, &shape)) fail(err_text());
    struct engine_options options = {
        .backend = recommender_backend(bench->recommender),
        .ops = &bench->ops,
        .team = bench->team,
        .pool = bench->pool,
        .limits = {.batch_tokens = recommender_batch_tokens(bench->recommender),
                   .sequences = RECOMMENDER_SEQUENCES,
                   .waiting_max = IN_THE_AIR_MAX},
        .orders_max = IN_THE_AIR_MAX + 2,
    };
    bench->engine = engine_new(&options);
    if (pthread_create(&bench->thread, NULL, engine_run, bench->engine)) fail("no thread");
}

static void open_model(struct bench *bench)
{
    char made[TINY_MODEL_PATH_MAX] = "";
    ops_select(&bench->ops, cpu_features());
    if (team_new(&bench->team, bench->threads ? bench->threads : team_cores())) fail(err_text());
    if (!bench->model) {
        struct tiny_sasrec shape = {.items = bench->items,
                                    .dim = 64,
                                    .context = 50,
                                    .blocks = 1,
                                    .ffn = 256,
                                    .heads = 2,
                                    .item_ids = bench->names,
                                    .seed = 1};
        tiny_sasrec_file(made, &shape);
        if (bench->keep) exit(rename(made, bench->keep) ? EXIT_FAILURE : EXIT_SUCCESS);
    }
    const char *path = bench->model ? bench->model : made;
    enum err err = recommender_new(&bench->recommender, path, &bench->ops, bench->team);
    if (*made) unlink(made);
    if (err) fail(err_text());
    bench->facts = recommender_facts(bench->recommender);
}

static void close_all(struct bench *bench)
{
    engine_stop(bench->engine);
    pthread_join(bench->thread, NULL);
    take(bench);
    engine_free(bench->engine);
    kv_pool_free(bench->pool);
    recommender_free(bench->recommender);
    team_free(bench->team);
    mem_free(bench->times_ms);
}

static void read_arguments(struct bench *bench, int count, char **words)
{
    for (int i = 1; i + 1 < count; i += 2) {
        double value = strtod(words[i + 1], NULL);
        if (strcmp(words[i], "--model") == 0)
            bench->model = words[i + 1];
        else if (strcmp(words[i], "--keep") == 0)
            bench->keep = words[i + 1];
        else if (strcmp(words[i], "--names") == 0)
            bench->names = value > 0;
        else if (strcmp(words[i], "--items") == 0)
            bench->items = (uint32_t)value;
        else if (strcmp(words[i], "--rate") == 0)
            bench->rate = value;
        else if (strcmp(words[i], "--seconds") == 0)
            bench->seconds = value;
        else if (strcmp(words[i], "--threads") == 0)
            bench->threads = (uint32_t)value;
        else if (strcmp(words[i], "--top") == 0)
            bench->top = (uint32_t)value;
        else if (strcmp(words[i], "--length") == 0)
            bench->length = (uint32_t)value;
        else
            fail("unknown setting; see the head of bench/recommend.c");
    }
    if (count % 2 == 0) fail("a setting without its value");
    if (bench->length < 1 || bench->length > HISTORY_MAX) fail("--length: 1 to 64");
    if (bench->top < 1 || bench->top > WIRE_RESULT_IDS_MAX) fail("--top: 1 to 4096");
    if (bench->items < 1 || bench->items > CATALOGUE_ROWS_MAX) fail("--items: 1 to 16777216");
}

int main(int count, char **words)
{
    static struct bench bench = {.items = 12103, .seconds = 5, .top = 20, .length = 50};
    read_arguments(&bench, count, words);
    bench.times_ms = mem_new(TIMES_MAX, sizeof *bench.times_ms);
    rand_init(&bench.rand, 1);
    open_model(&bench);
    open_engine(&bench);
    if (bench.rate > 0)
        run_at_rate(&bench);
    else
        run_full(&bench);
    close_all(&bench);
    return EXIT_SUCCESS;
}
