/* A search's first documents, scored with its question by a cross-encoder (search_run.h). */
#include "scheduler/door/door.h"
#include "scheduler/door/errand.h"
#include "scheduler/door/govern.h"
#include "scheduler/door/http.h"
#include "scheduler/door/index_errand.h"
#include "scheduler/door/search_run.h"

#include "base/mem.h"

#include <math.h>

/* As /v1/rerank tells it: 0 to 1. */
static double relevance(const struct errand *errand, size_t index)
{
    return 1 / (1 + exp(-(double)errand_numbers(errand, index)[0]));
}

static void on_scored(void *owner, const struct http_error *error)
{
    struct search_run *run = owner;
    struct search_rerank *rerank = &run->rerank;
    double scores[HYBRID_RERANK_MAX];
    bool is_limited = error && (error->err == ERR_LIMITED || error->err == ERR_TOO_LARGE);
    if (is_limited) {
        search_run_refuse(run, error);
        return;
    }
    for (size_t i = 0; !error && i < rerank->count; i++)
        scores[i] = relevance(rerank->errand, i);
    if (!error) search_run_judge(run, RANKING_RERANK, rerank->places, scores, rerank->count);
    search_rerank_drop(run);
    search_run_settle(run, RANKING_RERANK, !error);
}

static enum err start(struct search_run *run)
{
    struct search_rerank *rerank = &run->rerank;
    const struct index_errand *errand = run->errand;
    const struct corpus_search *search = &errand->ask.search;
    struct errand_text texts[HYBRID_RERANK_MAX];
    rerank->count = 0;
    for (size_t i = 0; i < run->texts.count; i++) {
        struct errand_text text = {0};
        text.text = search_texts_at(&run->texts, i, &text.size);
        if (text.size == 0) continue; // it has gone, or nothing is searched in it
        rerank->places[rerank->count] = (uint32_t)i;
        texts[rerank->count++] = text;
    }
    if (rerank->count == 0) return ERR_OK;
    struct errand_options options = {.door = run->door,
                                     .request = errand->request,
                                     .context = &errand->context,
                                     .kind = WIRE_SCORE,
                                     .chosen = &rerank->chosen,
                                     .priority = errand->context.key->priority,
                                     .deadline_ns = run->until_ns,
                                     .query = {.text = search->q, .size = search->q_size},
                                     .texts = texts,
                                     .count = rerank->count,
                                     .width = 1,
                                     .truncate = true,
                                     .query_name = "q",
                                     .list_name = "hits",
                                     .cure = "ask for less",
                                     .done = on_scored,
                                     .owner = run};
    return errand_start(&rerank->errand, &options);
}

enum err search_rerank_prepare(struct search_run *run, const char **code)
{
    const char *name = run->errand->ask.wishes.reranker, *why = NULL;
    enum err err = choose_and_hold(run->door, WIRE_SCORE, name, &run->rerank.chosen, &why);
    if (!err)
        err = govern_model(run->door, &run->errand->context, FEATURE_SEARCH,
                           &run->rerank.chosen.model, &why);
    if (err) chosen_release(&run->rerank.chosen);
    if (!name || !err) return ERR_OK;
    *code = why;
    return err;
}

void search_rerank_begin(struct search_run *run)
{
    struct search_rerank *rerank = &run->rerank;
    enum err err = rerank->chosen.pack ? start(run) : ERR_UNAVAILABLE;
    if (err || rerank->count == 0) search_run_settle(run, RANKING_RERANK, !err);
}

void search_rerank_drop(struct search_run *run)
{
    if (run->rerank.errand) errand_free(run->rerank.errand);
    run->rerank.errand = NULL;
}

void search_rerank_fini(struct search_run *run)
{
    search_rerank_drop(run);
    chosen_release(&run->rerank.chosen);
}
