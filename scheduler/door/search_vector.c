/* The vectors in a search (search_run.h): its question is embedded by the index' own model while the words are searched, then the
 * vectors are. Under a filter they wait for the worker, which knows what passes it:
 *
 *      few documents      are named, and they alone are looked at
 *      many               would cost more to name than to scan: the best WIDE of all are asked for, and the worker takes those that
 *                         pass. Where these are too few after all (the filter shuts out what the question is about) it names the
 *                         passing ones, and they are searched once more
 *
 * Either way the list is that of the passing documents, exactly. */
#include "scheduler/core/fleet.h"
#include "scheduler/core/order.h"
#include "scheduler/door/choose.h"
#include "scheduler/door/door.h"
#include "scheduler/door/errand.h"
#include "scheduler/door/govern.h"
#include "scheduler/door/index_errand.h"
#include "scheduler/door/search_run.h"
#include "scheduler/features/search/vectors.h"
#include "scheduler/lexicon.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <string.h>

enum {
    WIDE = 2000 // documents of a list that is filtered afterwards
};

/* Documents that are wanted of the vectors. */
static size_t wanted(const struct search_run *run)
{
    size_t depth = run->errand->ask.search.depth;
    return depth < VECTORS_TOP_MAX ? depth : VECTORS_TOP_MAX;
}

// ---- in the worker -----------------------------------------------------------------------------

enum err search_vector_filter(struct search_run *run, struct corpus *corpus)
{
    const struct corpus_search *search = &run->errand->ask.search;
    struct search_vector *vector = &run->vector;
    size_t passing, count = corpus_count(corpus);
    if (!vector->chosen.pack || !search->filter) return ERR_OK;
    TRY(corpus_pass(corpus, search, &passing));
    // So many of the first WIDE can be expected to pass that half as many again are not missing.
    vector->is_wide = count <= WIDE || 2 * passing * WIDE >= 3 * wanted(run) * count;
    if (!vector->is_wide) corpus_each(corpus, vectors_allow, &vector->allowed);
    return ERR_OK;
}

/* Too few have passed: those that pass are named, and what was found is forgotten. */
static void name_passing(struct search_vector *vector, const struct corpus *corpus)
{
    vector->is_wide = false;
    vector->is_short = true;
    search_texts_fini(&vector->ids);
    mem_free(vector->scores);
    vector->ids = (struct search_texts){0};
    vector->scores = NULL;
    corpus_each(corpus, vectors_allow, &vector->allowed);
}

enum err search_vector_list(struct search_run *run, struct corpus *corpus)
{
    struct search_vector *vector = &run->vector;
    size_t count = 0, passing = 0, most = wanted(run);
    if (vector->is_wide) TRY(corpus_pass(corpus, &run->errand->ask.search, &passing));
    struct ranked *list = mem_new(vector->ids.count + 1, sizeof *list);
    for (size_t i = 0; i < vector->ids.count && count < most; i++) {
        size_t size;
        const char *id = search_texts_at(&vector->ids, i, &size);
        if (!corpus_find(corpus, id, size, &list[count])) continue;
        if (vector->is_wide && !corpus_passes(corpus, &list[count])) continue;
        list[count++].score = (double)vector->scores[i];
    }
    if (vector->is_wide && count < most && count < passing) {
        mem_free(list);
        name_passing(vector, corpus);
        return ERR_OK;
    }
    run->lists[RANKING_VECTOR] = list;
    run->counts[RANKING_VECTOR] = count;
    return ERR_OK;
}

// ---- on the loop -------------------------------------------------------------------------------

static void on_hits(void *argument, const struct vectors_answer *answer)
{
    struct search_run *run = argument;
    struct search_vector *vector = &run->vector;
    vector->ticket = NULL;
    if (answer->err) {
        search_run_settle(run, RANKING_VECTOR, false);
        return;
    }
    search_run_observe(run, "scan", vector->scan_ns);
    search_texts_init(&vector->ids, answer->count);
    vector->scores = mem_new(answer->count + 1, sizeof *vector->scores);
    for (size_t i = 0; i < answer->count; i++) {
        buf_add(&vector->ids.text, answer->hits[i].id, answer->hits[i].id_size);
        search_texts_end(&vector->ids);
        vector->scores[i] = answer->hits[i].score;
    }
    vector->is_partial = answer->partial;
    search_run_settle(run, RANKING_VECTOR, true);
}

/* Once, when the question's vector is there, and what passes the filter is known. */
static void scan(struct search_run *run)
{
    struct search_vector *vector = &run->vector;
    const struct index_errand *errand = run->errand;
    const struct corpus_search *search = &errand->ask.search;
    if (!vector->query || (search->filter && !vector->is_filtered)) return;
    must(!vector->ticket && vector->ids.count == 0); // once: what is awaited last calls it
    bool is_named = search->filter && !vector->is_wide;
    if (is_named && vector->allowed.size == 0) {
        search_run_settle(run, RANKING_VECTOR, true);
        return;
    }
    size_t most = wanted(run);
    if (vector->is_wide && most < WIDE) most = WIDE;
    struct flight_order place = {0};
    govern_place(&errand->context, &place);
    const struct vectors_query query = {.regions = place.regions,
                                        .region_count = place.region_count,
                                        .index = errand->collection,
                                        .vector = vector->query,
                                        .size = vector->chosen.model.vector_size,
                                        .top_count = (uint32_t)most,
                                        .filtered = is_named,
                                        .allowed = buf_text(&vector->allowed),
                                        .allowed_size = vector->allowed.size,
                                        .tenant = errand->context.tenant_tag,
                                        .tenant_weight = errand->context.key->weight,
                                        .priority = errand->context.key->priority,
                                        .deadline_ns = run->until_ns,
                                        .done = on_hits,
                                        .argument = run};
    vector->scan_ns = clock_now_ns();
    if (vectors_search(run->door->vectors, &query, &vector->ticket))
        search_run_settle(run, RANKING_VECTOR, false);
}

static void on_embedded(void *owner, const struct http_error *error)
{
    struct search_run *run = owner;
    struct search_vector *vector = &run->vector;
    size_t size = vector->chosen.model.vector_size;
    if (!error) {
        search_run_observe(run, "embed", run->since_ns[RANKING_VECTOR]);
        vector->query = mem_new(size, sizeof *vector->query);
        memcpy(vector->query, errand_numbers(vector->errand, 0), size * sizeof *vector->query);
    }
    errand_free(vector->errand);
    vector->errand = NULL;
    if (error)
        search_run_settle(run, RANKING_VECTOR, false);
    else
        scan(run);
}

void search_vector_filtered(struct search_run *run)
{
    if (!run->errand->ask.search.filter) return; // nobody has waited for it
    run->vector.is_filtered = true;
    scan(run);
}

static enum err hold_model(struct search_run *run, const char **code)
{
    struct chosen *chosen = &run->vector.chosen;
    const struct fleet_model *model;
    struct lexicon_pack *pack;
    TRY(vectors_model(run->door->vectors, run->errand->collection, &model));
    TRY(lexicon_find(run->door->lexicon, &model->pack, &pack));
    lexicon_hold(pack);
    *chosen = (struct chosen){*model, pack};
    enum err err =
        govern_model(run->door, &run->errand->context, FEATURE_SEARCH, &chosen->model, code);
    if (err) chosen_release(chosen);
    return err;
}

enum err search_vector_prepare(struct search_run *run)
{
    const char *name = run->errand->ask.wishes.embedder;
    const char *why = NULL;
    enum err err = hold_model(run, &why);
    if (!name) return ERR_OK;
    run->errand->code = why;
    if (err == ERR_NOT_FOUND)
        return err_note(ERR_INVALID, "hybrid.model: the index has no `embedder`");
    if (!err && strcmp(run->vector.chosen.model.name, name) != 0)
        return err_note(ERR_INVALID, "hybrid.model: the vectors of this index are made by '%s'",
                        run->vector.chosen.model.name);
    return err;
}

void search_vector_begin(struct search_run *run)
{
    struct search_vector *vector = &run->vector;
    const struct index_errand *errand = run->errand;
    const struct corpus_search *search = &errand->ask.search;
    const struct errand_text text = {.text = search->q, .size = search->q_size};
    const struct errand_options options = {.door = run->door,
                                           .request = errand->request,
                                           .context = &errand->context,
                                           .is_free = true, // a question's few tokens
                                           .kind = WIRE_EMBED,
                                           .chosen = &vector->chosen,
                                           .priority = errand->context.key->priority,
                                           .deadline_ns = run->until_ns,
                                           .texts = &text,
                                           .count = 1,
                                           .width = vector->chosen.model.vector_size,
                                           .truncate = true,
                                           .list_name = "q",
                                           .cure = "ask for less",
                                           .done = on_embedded,
                                           .owner = run};
    if (!vector->chosen.pack || errand_start(&vector->errand, &options))
        search_run_settle(run, RANKING_VECTOR, false);
}

void search_vector_drop(struct search_run *run)
{
    struct search_vector *vector = &run->vector;
    if (vector->errand) errand_free(vector->errand);
    if (vector->ticket) vectors_cancel(vector->ticket);
    vector->errand = NULL;
    vector->ticket = NULL;
}

void search_vector_fini(struct search_run *run)
{
    struct search_vector *vector = &run->vector;
    search_vector_drop(run);
    chosen_release(&vector->chosen);
    mem_free(vector->query);
    mem_free(vector->scores);
    buf_fini(&vector->allowed);
    search_texts_fini(&vector->ids);
}
