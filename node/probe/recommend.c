/* qiao-probe recommend: leave-one-out over the full catalogue. Of each user the last item is the one to find, from
 * those before it; rows that the user has seen already score 0, as in the published evaluation of SASRec's family. */
#include "node/model/sasrec.h"
#include "node/probe/probe.h"
#include "node/probe/sequences.h"

#include "kernels/cpu.h"
#include "kernels/mathf.h"
#include "kernels/ops.h"
#include "kernels/select.h"
#include "kernels/team.h"

#include "base/clock.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CUTS = 3,
    CUT_MOST = 20
};

static const uint32_t cuts[CUTS] = {5, 10, CUT_MOST};

/* Everything of one run; zeroed at first, freed by fini() whatever was made. */
struct evaluation {
    struct ops ops;
    struct team *team;
    struct sasrec *model;
    struct sasrec_runner *runner;
    struct sequences sequences;
    uint32_t batch;
    uint32_t top;   // of the lists that are printed; 0: none
    int32_t *seen;  // [batch][longest]: ascending, each once
    size_t longest; // sequence
    double hits[CUTS];
    double gains[CUTS];
    size_t users;
};

static void fini(struct evaluation *e)
{
    sasrec_runner_free(e->runner);
    sasrec_free(e->model);
    team_free(e->team);
    sequences_fini(&e->sequences);
    mem_free(e->seen);
}

static int by_value(const void *left, const void *right)
{
    int32_t a = *(const int32_t *)left;
    int32_t b = *(const int32_t *)right;
    return a < b ? -1 : a > b;
}

/* The distinct ids, ascending; returns how many. */
static size_t distinct(const int32_t *ids, size_t count, int32_t *out)
{
    memcpy(out, ids, count * sizeof *out);
    qsort(out, count, sizeof *out, by_value);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || out[i] != out[kept - 1]) out[kept++] = out[i];
    return kept;
}

/* The best rows when those that were seen score 0: hits without them, and they, merged. */
static uint32_t merge_seen(const struct sasrec_answer *answer, const struct catalogue_query *query,
                           struct best_hit *out)
{
    uint32_t count = 0;
    uint32_t hit = 0;
    size_t seen = 0;
    while (count < query->top_count && (hit < answer->hit_count || seen < query->excluded_count)) {
        struct best_hit zero = {.score = 0, .row = INT32_MAX};
        if (seen < query->excluded_count) zero.row = query->excluded[seen];
        const struct best_hit *next = hit < answer->hit_count ? &answer->hits[hit] : NULL;
        bool takes_hit = next && (next->score > 0 || zero.row == INT32_MAX ||
                                  (next->score == 0 && next->row < zero.row));
        out[count++] = takes_hit ? *next : zero;
        hit += takes_hit;
        seen += !takes_hit;
    }
    return count;
}

static void judge(struct evaluation *e, const struct best_hit *hits, uint32_t count, int32_t target)
{
    e->users++;
    uint32_t rank = 0;
    while (rank < count && hits[rank].row != target)
        rank++;
    if (rank == count) return;
    double gain = mathd_log(2.0) / mathd_log((double)rank + 2.0);
    for (size_t i = 0; i < CUTS; i++) {
        if (rank >= cuts[i]) continue;
        e->hits[i] += 1;
        e->gains[i] += gain;
    }
}

static void print_list(const struct sequence *user, const struct best_hit *hits, uint32_t count)
{
    printf("%.*s", (int)user->user_size, user->user);
    for (uint32_t i = 0; i < count; i++)
        printf(" %" PRId32, hits[i].row);
    putchar('\n');
}

/* Users [first, first + count) of the file, of whom those with one item have nothing to be asked. */
static void run_batch(struct evaluation *e, size_t first, size_t count)
{
    struct sasrec_request requests[CATALOGUE_QUERIES_MAX] = {0};
    const struct sequence *users[CATALOGUE_QUERIES_MAX];
    static struct best_hit merged[CATALOGUE_TOP_MAX];
    size_t asked = 0;
    for (size_t i = first; i < first + count; i++) {
        const struct sequence *user = &e->sequences.users[i];
        if (user->count < 2) continue;
        const int32_t *ids = e->sequences.ids + user->first;
        int32_t *seen = e->seen + asked * e->longest;
        requests[asked] = (struct sasrec_request){
            .ids = ids,
            .id_count = user->count - 1,
            .query = {.top_count = e->top > CUT_MOST ? e->top : CUT_MOST,
                      .excluded = seen,
                      .excluded_count = distinct(ids, user->count - 1, seen)},
        };
        users[asked++] = user;
    }
    sasrec_run(e->runner, requests, asked);
    for (size_t i = 0; i < asked; i++) {
        const struct sasrec_answer *answer = sasrec_answer(e->runner, i);
        uint32_t found = merge_seen(answer, &requests[i].query, merged);
        judge(e, merged, found, e->sequences.ids[users[i]->first + users[i]->count - 1]);
        if (e->top > 0) print_list(users[i], merged, found < e->top ? found : e->top);
    }
}

static enum err read_options(struct evaluation *e, const struct probe_conf *conf, uint32_t *threads)
{
    if (!*conf->model) return err_note(ERR_INVALID, "--model FILE is missing: which GGUF file?");
    if (!*conf->sequences)
        return err_note(ERR_INVALID, "--sequences FILE is missing: whose histories?");
    uint32_t counts[PROBE_COUNTS_MAX];
    uint32_t count;
    TRY(probe_read_counts("batch", &conf->batch, CATALOGUE_QUERIES_MAX, counts, &count));
    e->batch = count ? counts[count - 1] : CATALOGUE_QUERIES_MAX;
    e->top = (uint32_t)conf->top;
    TRY(probe_read_counts("threads", &conf->threads, TEAM_THREADS_MAX, counts, &count));
    *threads = count ? counts[0] : team_cores();
    return ERR_OK;
}

static enum err open_all(struct evaluation *e, const struct probe_conf *conf)
{
    uint32_t threads;
    TRY(read_options(e, conf, &threads));
    uint32_t features;
    if (*conf->cpu)
        TRY(cpu_choose(conf->cpu, &features));
    else
        TRY(cpu_choose_env(&features));
    ops_select(&e->ops, features);
    TRY(team_new(&e->team, threads));
    TRY(sasrec_load(&e->model, conf->model, &e->ops, e->team));
    TRY(sequences_read(&e->sequences, conf->sequences, sasrec_shape(e->model)->item_count));
    e->longest = 1;
    for (size_t i = 0; i < e->sequences.count; i++)
        if (e->sequences.users[i].count > e->longest) e->longest = e->sequences.users[i].count;
    e->seen = mem_new(e->batch * e->longest, sizeof *e->seen);
    struct sasrec_limits limits = {.requests_max = e->batch,
                                   .top_max = e->top > CUT_MOST ? e->top : CUT_MOST,
                                   .ids_max = (uint32_t)e->longest};
    return sasrec_runner_new(&e->runner, e->model, e->team, &limits);
}

static void print_figures(const struct evaluation *e, double seconds)
{
    double users = e->users > 0 ? (double)e->users : 1;
    for (size_t i = 0; i < CUTS; i++) {
        printf("HIT@%" PRIu32 " %.4f\n", cuts[i], e->hits[i] / users);
        printf("NDCG@%" PRIu32 " %.4f\n", cuts[i], e->gains[i] / users);
    }
    printf("users %zu\n", e->users);
    fprintf(stderr, "%.0f users/s, %.1f of %" PRIu32 " rows scored in float for each\n",
            users / seconds, (double)sasrec_scored(e->runner) / users,
            sasrec_shape(e->model)->item_count);
}

static enum err run(struct evaluation *e, const struct probe_conf *conf)
{
    TRY(open_all(e, conf));
    uint64_t started_ns = clock_now_ns();
    for (size_t first = 0; first < e->sequences.count; first += e->batch) {
        size_t left = e->sequences.count - first;
        run_batch(e, first, left < e->batch ? left : e->batch);
    }
    print_figures(e, (double)(clock_now_ns() - started_ns) / 1e9);
    return ERR_OK;
}

enum err probe_recommend(const struct probe_conf *conf)
{
    struct evaluation evaluation = {0};
    enum err err = run(&evaluation, conf);
    fini(&evaluation);
    return err;
}
