#include "scheduler/features/filter.h"
#include "scheduler/features/search/corpus_parts.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CLOCK_DOCUMENTS = 4096 // that are put in order between two looks at the clock
};

/* One search on its way through the documents. */
struct rank {
    struct corpus *corpus;
    const struct corpus_search *search;
    struct corpus_ranking *ranking;
    const struct column *sorts[CORPUS_SORTS_MAX];
};

// ---- checks ------------------------------------------------------------------------------------

static enum err refuse(char param[SEARCH_PARAM_MAX], const char *field, const char *what,
                       const char *name, const struct search_names *names)
{
    struct buf text = {0};
    search_names_write(&text, names);
    snprintf(param, SEARCH_PARAM_MAX, "%s", field);
    enum err err = err_note(ERR_INVALID, "%s: `%s` is not %s in this index; these are: %s", field,
                            name, what, buf_text(&text));
    buf_fini(&text);
    return err;
}

/* A field that is listed, or lies inside of an attribute that is. */
static bool is_filterable(const struct search_names *names, const char *field)
{
    for (size_t i = 0; i < names->count; i++) {
        size_t size = strlen(names->items[i]);
        if (strncmp(field, names->items[i], size) == 0 &&
            (field[size] == '\0' || field[size] == '.'))
            return true;
    }
    return false;
}

enum err corpus_check(const struct corpus *corpus, const struct corpus_search *search,
                      char param[SEARCH_PARAM_MAX])
{
    const struct search_settings *settings = corpus->half->settings;
    const char *field;
    for (size_t i = 0; search->filter && (field = filter_field(search->filter, i)); i++)
        if (!is_filterable(&settings->filterable, field))
            return refuse(param, "filter", "filterable", field, &settings->filterable);
    for (size_t i = 0; i < search->facet_count; i++)
        if (!search_names_have(&settings->facets, search->facets[i]))
            return refuse(param, "facets", "a facet", search->facets[i], &settings->facets);
    for (size_t i = 0; i < search->sort_count; i++)
        if (!search_names_have(&settings->sortable, search->sorts[i].attribute))
            return refuse(param, "sort", "sortable", search->sorts[i].attribute,
                          &settings->sortable);
    return ERR_OK;
}

// ---- orders ------------------------------------------------------------------------------------

/* Less than 0: `a` stands before `b`. */
static int compare(const struct rank *rank, const struct ranked *a, const struct ranked *b)
{
    const struct corpus_search *search = rank->search;
    for (size_t i = 0; i < search->sort_count; i++) {
        int order =
            column_compare(rank->sorts[i], a->number, b->number, search->sorts[i].descending);
        if (order != 0) return order;
    }
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

/* The heap's top is the last of those that are kept. */
static void sink(const struct rank *rank, struct ranked *items, size_t count, size_t at)
{
    for (;;) {
        size_t worst = at, left = 2 * at + 1, right = left + 1;
        if (left < count && compare(rank, &items[left], &items[worst]) > 0) worst = left;
        if (right < count && compare(rank, &items[right], &items[worst]) > 0) worst = right;
        if (worst == at) return;
        struct ranked moved = items[at];
        items[at] = items[worst];
        items[worst] = moved;
        at = worst;
    }
}

static void keep(const struct rank *rank, const struct ranked *item)
{
    struct corpus_ranking *ranking = rank->ranking;
    struct ranked *items = ranking->items;
    if (ranking->count < ranking->depth) {
        size_t at = ranking->count++;
        items[at] = *item;
        while (at > 0 && compare(rank, &items[at], &items[(at - 1) / 2]) > 0) {
            struct ranked moved = items[at];
            items[at] = items[(at - 1) / 2];
            items[(at - 1) / 2] = moved;
            at = (at - 1) / 2;
        }
    } else if (ranking->count > 0 && compare(rank, item, &items[0]) < 0) {
        items[0] = *item;
        sink(rank, items, ranking->count, 0);
    }
}

static void sort_kept(const struct rank *rank)
{
    struct ranked *items = rank->ranking->items;
    for (size_t left = rank->ranking->count; left > 1; left--) {
        struct ranked worst = items[0];
        items[0] = items[left - 1];
        items[left - 1] = worst;
        sink(rank, items, left - 1, 0);
    }
}

static enum err check_clock(const struct rank *rank)
{
    if (rank->search->deadline_ns && clock_now_ns() > rank->search->deadline_ns)
        return err_note(ERR_TIMEOUT, "the search took longer than its deadline");
    return ERR_OK;
}

// ---- facets ------------------------------------------------------------------------------------

static void add_facet(struct corpus_ranking *ranking, const char *name)
{
    for (size_t i = 0; i < ranking->facet_count; i++)
        if (strcmp(ranking->facets[i].name, name) == 0) return;
    struct facet *facet = &ranking->facets[ranking->facet_count++];
    facet->name = mem_copy_text(name);
}

static void name_facets(const struct corpus *corpus, const struct corpus_search *search,
                        struct corpus_ranking *ranking)
{
    const struct search_names *all = &corpus->half->settings->facets;
    for (size_t i = 0; search->all_facets && i < all->count; i++)
        add_facet(ranking, all->items[i]);
    for (size_t i = 0; i < search->facet_count; i++)
        add_facet(ranking, search->facets[i]);
}

/* Of all that match. */
static enum err count_facets(const struct rank *rank, const struct bitmap *matched)
{
    const struct columns *columns = rank->corpus->half->columns;
    for (size_t i = 0; i < rank->ranking->facet_count; i++) {
        struct facet *facet = &rank->ranking->facets[i];
        const struct column *column = columns_find(columns, facet->name);
        must(column != NULL); // facets can be filtered by
        TRY(check_clock(rank));
        column_count(column, matched, CORPUS_FACET_VALUES, &facet->found);
    }
    return ERR_OK;
}

// ---- the search --------------------------------------------------------------------------------

static double on_hit(void *owner, uint32_t number, double score)
{
    struct rank *rank = owner;
    struct corpus_ranking *ranking = rank->ranking;
    struct ranked item = {.number = number, .score = score};
    keep(rank, &item);
    // Where the score is the order, only a higher one comes in: later numbers lose what is equal.
    if (rank->search->sort_count > 0 || ranking->count < ranking->depth) return -INFINITY;
    return ranking->count > 0 ? ranking->items[0].score : INFINITY;
}

/* Every document that the filter lets pass, as they came. */
static enum err rank_all(struct rank *rank)
{
    const struct bitmap *allowed = &rank->corpus->allowed;
    const struct corpus_ranking *ranking = rank->ranking;
    size_t seen = 0;
    for (size_t i = 0; i < allowed->count; i++) {
        for (uint64_t left = allowed->words[i]; left; left &= left - 1) {
            if (rank->search->sort_count == 0 && ranking->count == ranking->depth) return ERR_OK;
            if (seen++ % CLOCK_DOCUMENTS == 0) TRY(check_clock(rank));
            on_hit(rank, (uint32_t)(64 * i + (size_t)__builtin_ctzll(left)), 0);
        }
    }
    return ERR_OK;
}

void corpus_build_query(struct corpus *corpus, const struct corpus_search *search)
{
    const struct search_settings *settings = corpus->half->settings;
    struct query_options options = {.analyst = corpus->analyst,
                                    .analyze = &corpus->half->analyze,
                                    .has = corpus->backend->has,
                                    .owner = corpus,
                                    .words = corpus->half->words,
                                    .common = corpus->half->common,
                                    .all = search->all,
                                    .typos = settings->typos,
                                    .one_typo = settings->one_typo,
                                    .two_typos = settings->two_typos};
    query_build(&corpus->query, &options, search->q ? search->q : "", search->q_size);
}

static enum err rank_some(struct rank *rank)
{
    struct corpus *corpus = rank->corpus;
    corpus_build_query(corpus, rank->search);
    struct lexical_query query = {.terms = corpus->query.terms,
                                  .count = corpus->query.count,
                                  .all = rank->search->all,
                                  .deadline_ns = rank->search->deadline_ns,
                                  .allowed = rank->search->filter ? &corpus->allowed : NULL,
                                  .hit = on_hit,
                                  .owner = rank};
    enum err err = lexical_search(corpus->half->lexical, &query);
    rank->ranking->best = lexical_best(corpus->half->lexical);
    return err;
}

bool corpus_asks_all(const struct corpus_search *search)
{
    for (size_t i = 0; search->q && i < search->q_size; i++)
        if (!strchr(" \t\r\n", search->q[i])) return false;
    return true;
}

enum err corpus_rank_memory(struct corpus *corpus, const struct corpus_search *search,
                            struct corpus_ranking *ranking)
{
    struct rank rank = {.corpus = corpus, .search = search, .ranking = ranking};
    bool all = corpus_asks_all(search);
    if (ranking->depth > corpus_count(corpus)) ranking->depth = corpus_count(corpus);
    ranking->items = mem_new(ranking->depth + 1, sizeof *ranking->items);
    for (size_t i = 0; i < search->sort_count; i++) {
        rank.sorts[i] = columns_find(corpus->half->columns, search->sorts[i].attribute);
        must(rank.sorts[i] != NULL); // corpus_check() has seen it
    }
    TRY(corpus_filter(corpus, search));
    TRY(all ? rank_all(&rank) : rank_some(&rank));
    const struct bitmap *matched = all ? &corpus->allowed : lexical_matched(corpus->half->lexical);
    TRY(count_facets(&rank, matched));
    ranking->total = bitmap_size(matched);
    sort_kept(&rank);
    for (size_t i = 0; i < ranking->count; i++)
        ranking->items[i].serial =
            documents_at(corpus->documents, ranking->items[i].number)->serial;
    return ERR_OK;
}

enum err corpus_rank(struct corpus *corpus, const struct corpus_search *search,
                     struct corpus_ranking **out)
{
    struct corpus_ranking *ranking = mem_new(1, sizeof *ranking);
    ranking->depth = search->depth;
    name_facets(corpus, search, ranking);
    enum err err = corpus->backend->rank(corpus, search, ranking);
    query_forget(&corpus->query);
    if (err) {
        corpus_ranking_free(ranking);
        return err;
    }
    for (size_t i = 0; i < ranking->count; i++) {
        ranking->items[i].parts[RANKING_LEXICAL].score = ranking->items[i].score;
        ranking->items[i].parts[RANKING_LEXICAL].rank = (uint32_t)i + 1;
    }
    *out = ranking;
    return ERR_OK;
}

void corpus_ranking_free(struct corpus_ranking *ranking)
{
    if (!ranking) return;
    for (size_t i = 0; i < ranking->facet_count; i++) {
        mem_free((char *)(uintptr_t)ranking->facets[i].name);
        json_decref(ranking->facets[i].found.counts);
    }
    mem_free(ranking->items);
    mem_free(ranking);
}

const struct ranked *corpus_ranked(const struct corpus_ranking *ranking, size_t *count)
{
    *count = ranking->count;
    return ranking->items;
}

size_t corpus_total(const struct corpus_ranking *ranking)
{
    // Of a fused list some were found by their vectors alone, and nobody counts how many are like a question.
    return ranking->is_fused && ranking->count > ranking->total ? ranking->count : ranking->total;
}

void corpus_rerank(struct corpus_ranking *ranking, const struct ranked *items, size_t count,
                   double best)
{
    struct ranked *copy = mem_new(count + 1, sizeof *copy);
    memcpy(copy, items, count * sizeof *copy);
    mem_free(ranking->items);
    ranking->items = copy;
    ranking->count = count;
    ranking->best = best;
    ranking->is_fused = true;
    if (ranking->total < count) ranking->total = count; // what only another list has found
}
