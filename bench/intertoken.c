/* bench-intertoken MODEL.gguf [STRETCH [BATCH_TOKENS [SPECULATE [ROUNDS [cpu]]]]] : what prompts that arrive do to running answers.
 *
 * The real engine, turned in this thread. STREAMS answers of CONTEXT ids of prompt run undisturbed for STEPS steps, then
 * while one prompt of PROMPT ids (or what the context holds) after another is prefilled beside them for as many steps or
 * until the prompt's end, whichever is later; ROUNDS (3) times in turn. What is shown are the gaps between the ids of one
 * answer. STRETCH is --step-stretch (percent); 0 runs without a pace, in chunks of BATCH_TOKENS. `cpu` computes in one thread and shows its processor time, for a
 * machine that others use. Ids are from a seed. */
#include "node/engine/calibrate.h"
#include "node/engine/engine.h"
#include "node/engine/kv.h"
#include "node/engine/seq.h"
#include "node/probe/decoder.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    STREAMS = 8,
    CONTEXT = 256,
    PROMPT = 4096,
    STEPS = 100,
    SEQUENCES = STREAMS + 1,
    PROMPT_LINK = STREAMS, // its sequence's link; the streams' are 0 and on
    GAPS_MAX = STREAMS * 8192
};

struct gaps {
    double ms[GAPS_MAX];
    size_t count;
};

struct bench {
    struct decoder *decoder;
    struct engine *engine;
    struct pace pace;
    struct rand rand;
    uint64_t next_ticket;
    uint64_t tickets[STREAMS];
    uint64_t last_ns[STREAMS]; // of each answer's last id; 0: none yet
    uint32_t prompt_length;
    uint32_t ended;    // sequences that came back
    bool prompt_runs;  // its one id has not come
    bool cpu;          // gaps are of processor time
    struct gaps *gaps; // where gaps go now; NULL: nowhere
    struct engine_load load;
};

static struct gaps undisturbed;
static struct gaps disturbed;

static void step(void *self, const struct forward_slice *slices, struct seq *const *seqs,
                 size_t count)
{
    (void)seqs;
    forward_step(self, slices, count);
}

static float *logits(void *self, size_t index)
{
    return forward_logits(self, index);
}

static void submit(struct bench *bench, uint64_t link, uint32_t length, uint32_t max_tokens)
{
    int32_t *ids = mem_new(length, sizeof *ids);
    uint32_t vocab_size = model_shape(bench->decoder->model)->vocab_size;
    for (uint32_t i = 0; i < length; i++)
        ids[i] = (int32_t)rand_below(&bench->rand, vocab_size);
    struct wire_submit request = {
        .key = {.request = bench->next_ticket},
        .ids = ids,
        .id_count = length,
        .prompt_length = length,
        .next_position = length,
        .max_tokens = max_tokens,
        .sampling = {.temperature = 1,
                     .top_p = 1,
                     .repetition_penalty = 1,
                     .seed = rand_next(&bench->rand)},
    };
    if (link < STREAMS) bench->tickets[link] = bench->next_ticket;
    struct seq_room room = {.context_max = bench->decoder->limits.context_max};
    engine_submit(bench->engine, seq_new(&request, bench->next_ticket++, link, &room, 0));
    mem_free(ids);
}

static void take_id(struct bench *bench, uint64_t link, uint64_t now_ns)
{
    if (link == PROMPT_LINK) {
        bench->prompt_runs = false;
        return;
    }
    uint64_t last_ns = bench->last_ns[link];
    bench->last_ns[link] = now_ns;
    struct gaps *gaps = bench->gaps;
    if (!gaps || last_ns == 0 || gaps->count == GAPS_MAX) return;
    gaps->ms[gaps->count++] = (double)(now_ns - last_ns) / 1e6;
}

static uint64_t cpu_clock_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * CLOCK_SECOND + (uint64_t)now.tv_nsec;
}

static uint64_t gap_clock_ns(const struct bench *bench)
{
    return bench->cpu ? cpu_clock_ns() : clock_now_ns();
}

static void turn(struct bench *bench)
{
    engine_turn(bench->engine, clock_now_ns());
    uint64_t now_ns = gap_clock_ns(bench);
    for (struct engine_report *report; (report = engine_take(bench->engine)) != NULL;) {
        for (size_t i = 0; i < report->item_count; i++) {
            const struct engine_item *item = &report->items[i];
            if (item->sampled) take_id(bench, item->seq->link, now_ns);
            if (!item->end) continue;
            seq_free(item->seq);
            bench->ended++;
        }
        bench->load = report->load;
        engine_give(bench->engine, report);
    }
}

static bool all_stream(const struct bench *bench)
{
    for (size_t i = 0; i < STREAMS; i++) {
        if (bench->last_ns[i] == 0) return false;
    }
    return true;
}

struct tally {
    uint64_t steps; // beside prompts
    uint64_t prompts;
    uint64_t ns;
};

static void one_round(struct bench *bench, struct tally *tally)
{
    memset(bench->last_ns, 0, sizeof bench->last_ns);
    for (uint64_t i = 0; i < STREAMS; i++)
        submit(bench, i, CONTEXT, PROMPT);
    while (!all_stream(bench))
        turn(bench);
    bench->gaps = &undisturbed;
    for (int i = 0; i < STEPS; i++)
        turn(bench);

    bench->gaps = &disturbed;
    uint64_t started_ns = gap_clock_ns(bench);
    for (int i = 0; i < STEPS || bench->prompt_runs; i++, tally->steps++) {
        if (!bench->prompt_runs) {
            submit(bench, PROMPT_LINK, bench->prompt_length, 1);
            bench->prompt_runs = true;
            tally->prompts++;
        }
        turn(bench);
    }
    tally->ns += gap_clock_ns(bench) - started_ns;
    bench->gaps = NULL;
    for (size_t i = 0; i < STREAMS; i++)
        engine_cancel(bench->engine, bench->tickets[i]);
    uint32_t wanted = bench->ended + STREAMS;
    while (bench->ended < wanted)
        turn(bench);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double at_percent(const struct gaps *gaps, size_t percent)
{
    return gaps->count ? gaps->ms[(gaps->count - 1) * percent / 100] : 0;
}

static void show(const struct bench *bench, const struct tally *tally)
{
    static const size_t percents[] = {50, 90, 99};
    qsort(undisturbed.ms, undisturbed.count, sizeof *undisturbed.ms, by_value);
    qsort(disturbed.ms, disturbed.count, sizeof *disturbed.ms, by_value);
    for (size_t i = 0; i < sizeof percents / sizeof *percents; i++) {
        double before = at_percent(&undisturbed, percents[i]);
        double beside = at_percent(&disturbed, percents[i]);
        printf("inter-token p%zu  undisturbed %7.2f ms  beside prompts %7.2f ms  ratio %.2f\n",
               percents[i], before, beside, beside / before);
    }
    double ids = (double)tally->prompts * bench->prompt_length;
    printf("%" PRIu64 " prompts of %" PRIu32 " ids: %.1f ids a step, %.0f ids/s beside answers\n",
           tally->prompts, bench->prompt_length, ids / (double)tally->steps,
           ids * 1e9 / (double)tally->ns);
    printf("predicted against measured: %.1f %% off; drafts %" PRIu64 ", accepted %" PRIu64 "\n",
           100 * (double)bench->load.pace_error, bench->load.drafted, bench->load.accepted);
}

static void open_engine(struct bench *bench, uint32_t stretch, uint32_t batch_tokens,
                        uint32_t speculate)
{
    struct decoder *decoder = bench->decoder;
    struct engine_options options = {
        .backend = {.self = decoder->forward,
                    .vocab_size = model_shape(decoder->model)->vocab_size,
                    .step = step,
                    .logits = logits,
                    .clock_ns = bench->cpu ? cpu_clock_ns : NULL},
        .ops = &decoder->ops,
        .pool = decoder->pool,
        .limits = {.batch_tokens = batch_tokens, .sequences = SEQUENCES, .waiting_max = SEQUENCES},
        .orders_max = 4 * SEQUENCES,
    };
    if (stretch > 0) {
        pace_init(&bench->pace, &(struct pace_options){.stretch_percent = stretch});
        options.limits.pace = &bench->pace;
        options.limits.drafts_max = speculate;
        calibrate(&options.backend, decoder->pool, &options.limits, decoder->limits.context_max);
    }
    bench->engine = engine_new(&options);
}

static uint32_t number_at(int argc, char **argv, int index, uint32_t preset)
{
    return index < argc ? (uint32_t)strtoul(argv[index], NULL, 10) : preset;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench-intertoken MODEL.gguf [STRETCH [BATCH_TOKENS [SPECULATE "
                        "[ROUNDS [cpu]]]]]\n");
        return 2;
    }
    uint32_t batch_tokens = number_at(argc, argv, 3, 256);
    static struct bench bench = {.next_ticket = 1};
    bench.cpu = argc > 6 && strcmp(argv[6], "cpu") == 0;
    struct decoder_options options = {.model = argv[1],
                                      .threads = bench.cpu ? 1 : 0,
                                      .context_max = PROMPT + 2,
                                      .rows_max = batch_tokens,
                                      .sequences_max = SEQUENCES};
    if (decoder_new(&bench.decoder, &options) != ERR_OK) {
        fprintf(stderr, "bench-intertoken: %s\n", err_text());
        return 1;
    }
    uint32_t context = bench.decoder->limits.context_max;
    bench.prompt_length = context - 2 < PROMPT ? context - 2 : PROMPT;
    rand_init(&bench.rand, 1);
    open_engine(&bench, number_at(argc, argv, 2, 170), batch_tokens, number_at(argc, argv, 4, 0));
    struct tally tally = {0};
    uint32_t rounds = number_at(argc, argv, 5, 3);
    for (uint32_t i = 0; i < rounds; i++)
        one_round(&bench, &tally);
    show(&bench, &tally);
    engine_free(bench.engine);
    decoder_free(bench.decoder);
    return 0;
}
