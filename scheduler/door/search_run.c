#include "scheduler/door/search_run.h"

#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/index_errand.h"
#include "scheduler/door/json.h"
#include "scheduler/settings.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/must.h"

#include <event2/event.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RERANK_TEXT_BYTES = 8 << 10 // of a document that is scored; what the model takes is less
};

// ---- texts -------------------------------------------------------------------------------------

const char *search_texts_at(const struct search_texts *texts, size_t index, size_t *size)
{
    size_t begin = index > 0 ? texts->ends[index - 1] : 0;
    *size = texts->ends[index] - begin;
    return buf_text(&texts->text) + begin;
}

void search_texts_init(struct search_texts *texts, size_t most)
{
    texts->ends = mem_new(most + 1, sizeof *texts->ends);
}

void search_texts_end(struct search_texts *texts)
{
    texts->ends[texts->count++] = texts->text.size;
}

void search_texts_fini(struct search_texts *texts)
{
    buf_fini(&texts->text);
    mem_free(texts->ends);
}

// ---- in the worker -----------------------------------------------------------------------------

static enum err rank(struct search_run *run, struct corpus *corpus)
{
    struct corpus_search *search = &run->errand->ask.search;
    TRY(corpus_check(corpus, search, run->errand->param));
    TRY(corpus_rank(corpus, search, &run->ranking));
    return search_vector_filter(run, corpus);
}

/* Every list that has a say; the sum of their weights. */
static size_t gather_lists(const struct search_run *run, struct ranking_list lists[RANKING_PARTS],
                           double *weight)
{
    size_t count = 0;
    *weight = 0;
    for (size_t i = 0; i < RANKING_PARTS; i++) {
        struct ranking_list *list = &lists[count];
        if (run->weights[i] == 0) continue;
        *list = (struct ranking_list){run->lists[i], run->counts[i], run->weights[i],
                                      (enum ranking_part)i};
        if (i == RANKING_LEXICAL) list->items = corpus_ranked(run->ranking, &list->count);
        *weight += list->weight;
        count++;
    }
    return count;
}

/* What is fused of them, at most RANKING_LIST_MAX; mem_free() it. */
static struct ranked *fuse(const struct search_run *run, size_t *count, double *best)
{
    struct ranking_list lists[RANKING_PARTS];
    size_t all = 0, list_count = gather_lists(run, lists, best);
    *best /= RANKING_K + 1;
    for (size_t i = 0; i < list_count; i++)
        all += lists[i].count;
    if (all > RANKING_LIST_MAX) all = RANKING_LIST_MAX;
    struct ranked *out = mem_new(all + 1, sizeof *out);
    *count = ranking_fuse(lists, list_count, out, all);
    return out;
}

/* The first documents, for those who judge them. */
static void gather(struct search_run *run, const struct corpus *corpus)
{
    double best;
    run->first = fuse(run, &run->first_count, &best);
    size_t depth = run->errand->ask.wishes.rerank_depth;
    if (depth > run->first_count) depth = run->first_count;
    search_texts_init(&run->texts, depth);
    for (size_t i = 0; i < depth; i++) {
        corpus_text(corpus, &run->first[i], RERANK_TEXT_BYTES, &run->texts.text);
        search_texts_end(&run->texts);
    }
    search_texts_init(&run->ids, HYBRID_PERSONAL_MAX);
    for (size_t i = 0; i < run->first_count && i < HYBRID_PERSONAL_MAX; i++) {
        size_t size;
        const char *id = corpus_id(corpus, &run->first[i], &size);
        if (id) buf_add(&run->ids.text, id, size);
        search_texts_end(&run->ids);
    }
}

/* The parts that were asked for and have no say. */
static void write_degraded(const struct search_run *run)
{
    struct buf *out = &run->errand->answer;
    size_t count = 0;
    for (size_t i = 0; i < RANKING_PARTS; i++) {
        bool is_partial = i == RANKING_VECTOR && run->vector.is_partial;
        if (!hybrid_lacks(&run->hybrid, (enum ranking_part)i) && !is_partial) continue;
        buf_add_text(out, count++ > 0 ? "," : ",\"degraded\":[");
        buf_addf(out, "\"%s\"", ranking_part_name((enum ranking_part)i));
    }
    if (count > 0) buf_add_byte(out, ']');
}

static void write_answer(struct search_run *run, struct corpus *corpus, uint64_t version)
{
    size_t count;
    double best;
    bool is_fused = run->weights[RANKING_LEXICAL] == 0;
    for (size_t i = RANKING_LEXICAL + 1; i < RANKING_PARTS; i++)
        is_fused |= run->weights[i] > 0;
    if (is_fused) {
        struct ranked *fused = fuse(run, &count, &best);
        corpus_rerank(run->ranking, fused, count, best);
        mem_free(fused);
    }
    index_search_write(run->errand, corpus, run->ranking, version);
    write_degraded(run);
    buf_add_byte(&run->errand->answer, '}');
}

static enum err visit(void *argument, struct corpus *corpus, uint64_t version)
{
    struct search_run *run = ((struct index_errand *)argument)->run;
    if (run->work & HYBRID_RANK) TRY(rank(run, corpus));
    bool has_vectors = run->weights[RANKING_VECTOR] > 0;
    if (has_vectors && !run->lists[RANKING_VECTOR]) TRY(search_vector_list(run, corpus));
    if (run->vector.is_short) return ERR_OK;
    if (run->work & HYBRID_GATHER) gather(run, corpus);
    if (run->work & HYBRID_ANSWER) write_answer(run, corpus, version);
    return ERR_OK;
}

// ---- on the loop -------------------------------------------------------------------------------

void search_run_observe(const struct search_run *run, const char *part, uint64_t since_ns)
{
    metric_observe(run->door->metrics, M_search_part_seconds, part, NULL,
                   (double)(clock_now_ns() - since_ns) / 1e9);
}

static void count_missing(const struct search_run *run)
{
    for (size_t i = 0; i < RANKING_PARTS; i++)
        if (hybrid_lacks(&run->hybrid, (enum ranking_part)i))
            metric_add(run->door->metrics, M_search_degraded_total,
                       ranking_part_name((enum ranking_part)i), NULL, 1);
}

static void on_visited(void *argument, enum err err, uint64_t version)
{
    struct index_errand *errand = argument;
    struct search_run *run = errand->run;
    (void)version;
    errand->ticket = NULL;
    json_param_clear();
    if (err) {
        hybrid_end(&run->hybrid);
        index_errand_fail(errand, err);
        return;
    }
    if (run->work & HYBRID_RANK) search_run_observe(run, "words", run->since_ns[RANKING_LEXICAL]);
    if (run->vector.is_short) {
        run->vector.is_short = false;
        hybrid_again(&run->hybrid);
        search_vector_filtered(run);
        return;
    }
    bool is_last = run->work & HYBRID_ANSWER;
    bool has_vectors = run->hybrid.parts[RANKING_VECTOR] == HYBRID_OUT;
    hybrid_worked(&run->hybrid); // the next visit may have been its end, if there is one
    if (has_vectors) search_vector_filtered(run);
    if (!is_last) return;
    count_missing(run);
    index_errand_reply(errand);
}

/* A visit may be the last thing: index_errand_ask() ends the errand where the workers are full. */
static void begin_work(void *owner, unsigned work)
{
    struct search_run *run = owner;
    struct index_errand *errand = run->errand;
    uint64_t now_ns = clock_now_ns(), deadline_ns = errand->ask.search.deadline_ns;
    run->work = work;
    for (size_t i = 0; i < RANKING_PARTS; i++)
        run->weights[i] = hybrid_weight(&run->hybrid, (enum ranking_part)i);
    if (work & HYBRID_RANK) run->since_ns[RANKING_LEXICAL] = now_ns;
    uint64_t wait_ms = now_ns < deadline_ns ? (deadline_ns - now_ns) / CLOCK_MS : 0;
    index_errand_ask(errand, errand->ask.min_version, wait_ms, visit, on_visited);
}

/* `eighths` of the deadline have passed: then what is out is not waited for any more. */
static void wait_until(struct search_run *run, uint64_t eighths)
{
    uint64_t now_ns = clock_now_ns();
    run->until_ns = run->errand->start_ns + run->errand->ask.deadline_ms * CLOCK_MS * eighths / 8;
    uint64_t left_us = run->until_ns > now_ns ? (run->until_ns - now_ns) / 1000 : 0;
    struct timeval left = {(time_t)(left_us / 1000000), (suseconds_t)(left_us % 1000000)};
    event_add(run->timer, &left);
}

static void on_timer(int fd, short what, void *argument)
{
    struct search_run *run = argument;
    (void)fd;
    (void)what;
    hybrid_hurry(&run->hybrid);
}

static void begin_part(void *owner, enum ranking_part part)
{
    struct search_run *run = owner;
    wait_until(run, part == RANKING_VECTOR ? 4 : 7);
    run->since_ns[part] = clock_now_ns();
    switch (part) {
    case RANKING_VECTOR: search_vector_begin(run); break;
    case RANKING_RERANK: search_rerank_begin(run); break;
    case RANKING_PERSONAL: search_personal_begin(run); break;
    default: must(false);
    }
}

static void drop_part(void *owner, enum ranking_part part)
{
    if (part == RANKING_VECTOR) search_vector_drop(owner);
    if (part == RANKING_RERANK) search_rerank_drop(owner);
    if (part == RANKING_PERSONAL) search_personal_drop(owner);
}

void search_run_settle(struct search_run *run, enum ranking_part part, bool is_there)
{
    if (is_there) search_run_observe(run, ranking_part_name(part), run->since_ns[part]);
    hybrid_settle(&run->hybrid, part, is_there);
}

struct judged {
    uint32_t place;
    double score;
};

static int by_score(const void *left, const void *right)
{
    const struct judged *a = left, *b = right;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return a->place < b->place ? -1 : a->place > b->place;
}

void search_run_judge(struct search_run *run, enum ranking_part part, const uint32_t *places,
                      const double *scores, size_t count)
{
    struct judged *judged = mem_new(count + 1, sizeof *judged);
    for (size_t i = 0; i < count; i++)
        judged[i] = (struct judged){places[i], scores[i]};
    qsort(judged, count, sizeof *judged, by_score);
    run->lists[part] = mem_new(count + 1, sizeof *run->lists[part]);
    run->counts[part] = count;
    for (size_t i = 0; i < count; i++) {
        run->lists[part][i] = run->first[judged[i].place];
        run->lists[part][i].score = judged[i].score;
    }
    mem_free(judged);
}

const struct digest *search_run_model(const struct search_run *run)
{
    if (!run) return NULL;

    const struct {
        enum ranking_part part;
        const struct chosen *chosen;
    } judges[] = {{RANKING_RERANK, &run->rerank.chosen},
                  {RANKING_VECTOR, &run->vector.chosen},
                  {RANKING_PERSONAL, &run->personal.chosen}};

    for (size_t i = 0; i < sizeof judges / sizeof *judges; i++) {
        enum ranking_part part = judges[i].part;
        if (run->weights[part] > 0 && run->counts[part] > 0) return &judges[i].chosen->model.model;
    }
    return NULL;
}

static bool is_blank(const struct corpus_search *search)
{
    for (size_t i = 0; i < search->q_size; i++)
        if (!strchr(" \t\r\n", search->q[i])) return false;
    return true;
}

/* What was asked for by name must be there. */
static enum err prepare(struct search_run *run)
{
    struct index_errand *errand = run->errand;
    enum err err = ERR_OK;
    const char *param = "hybrid.model";
    json_param_clear();
    if (errand->ask.wishes.hybrid) err = search_vector_prepare(run);
    if (!err && errand->ask.wishes.rerank) {
        param = "rerank.model";
        err = search_rerank_prepare(run, &errand->code);
    }
    if (err) snprintf(errand->param, sizeof errand->param, "%s", param);
    return err;
}

void search_run_start(struct index_errand *errand)
{
    struct search_run *run = mem_new(1, sizeof *run);
    const struct hybrid_seams seams = {run, begin_work, begin_part, drop_part};
    run->door = errand->door;
    run->errand = errand;
    errand->run = run;
    hybrid_init(&run->hybrid, &errand->ask.wishes, &seams, !is_blank(&errand->ask.search));
    run->timer = event_new(errand->door->base, -1, 0, on_timer, run);
    enum err err = prepare(run);
    if (err) {
        hybrid_end(&run->hybrid);
        index_errand_fail(errand, err);
        return;
    }
    if (errand->ask.wishes.personal > 0) search_personal_prepare(run);
    hybrid_start(&run->hybrid);
}

void search_run_refuse(struct search_run *run, const struct http_error *error)
{
    must(run->errand->request != NULL); // a patron's search has no part that refuses
    http_reply_error(run->errand->request, error); // which is its part's, and goes with it
    hybrid_end(&run->hybrid);
    index_errand_free(run->errand);
}

bool search_run_gone(struct search_run *run)
{
    struct index_errand *errand = run->errand;
    hybrid_end(&run->hybrid);
    if (errand->ticket) return false; // with the worker's visit
    index_errand_free(errand);
    return true;
}

void search_run_free(struct search_run *run)
{
    if (!run) return;
    hybrid_end(&run->hybrid);
    event_free(run->timer);
    search_vector_fini(run);
    search_rerank_fini(run);
    search_personal_fini(run);
    search_texts_fini(&run->texts);
    search_texts_fini(&run->ids);
    for (size_t i = 0; i < RANKING_PARTS; i++)
        mem_free(run->lists[i]);
    mem_free(run->first);
    corpus_ranking_free(run->ranking);
    mem_free(run);
}
