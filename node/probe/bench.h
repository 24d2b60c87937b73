/* node/probe/bench.h -- what qiao-probe bench measured, and how it is shown.
 *
 * Every figure is the median of the runs, beside the slowest and the fastest. One run is a prefill and then a decode
 * of each batch, so that a disturbance meets all of them. Thread: main's. */
#ifndef NODE_PROBE_BENCH_H
#define NODE_PROBE_BENCH_H

#include "node/probe/peak.h"
#include "node/probe/probe.h"

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct json_t;

enum {
    BENCH_RUNS_MAX = 32
};

/* What a step has to read and to multiply, from the file's directory. */
struct bench_cost {
    uint64_t bytes;      // of matrices, as the file has them; an untied embedding is only looked up
    uint64_t products;   // of one token through all matrices, the head's included
    uint64_t head;       // the head's share of them; prefill needs it for the last token alone
    enum peak_kind peak; // the products that most of the bytes are for
};

struct bench_setting {
    const char *model;
    uint32_t prompt;   // tokens
    uint32_t generate; // steps of decode
    uint32_t batches[PROBE_COUNTS_MAX];
    uint32_t batch_count;
    uint32_t runs;
    bool distinct;
    struct bench_cost cost;
};

/* Tokens per second, one of each run; sorted once bench_sort() has been called. */
struct bench_figures {
    uint32_t threads;
    const char *rung;
    double prefill[BENCH_RUNS_MAX];
    double decode[PROBE_COUNTS_MAX][BENCH_RUNS_MAX];
};

/* ERR_IO and ERR_FORMAT of the file. */
enum err bench_read_cost(struct bench_cost *out, const char *path);

void bench_sort(const struct bench_setting *setting, struct bench_figures *figures);
/* `peaks` may be NULL: then no fractions of them. */
void bench_print(const struct bench_setting *setting, const struct bench_figures *figures,
                 const struct peaks *peaks);
struct json_t *bench_json(const struct bench_setting *setting, const struct bench_figures *figures,
                          const struct peaks *peaks);

#endif
