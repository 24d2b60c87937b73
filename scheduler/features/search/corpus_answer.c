#include "scheduler/features/search/attribute.h"
#include "scheduler/features/search/corpus_parts.h"
#include "scheduler/features/search/highlight.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- facets ------------------------------------------------------------------------------------

static void add_facets(json_t *answer, const struct corpus_ranking *ranking)
{
    json_t *all = json_object(), *stats = json_object();
    for (size_t i = 0; i < ranking->facet_count; i++) {
        const struct facet *facet = &ranking->facets[i];
        json_object_set(all, facet->name, facet->found.counts);
        if (facet->found.has_numbers)
            json_object_set_new(
                stats, facet->name,
                json_pack("{s:f, s:f}", "min", facet->found.least, "max", facet->found.most));
    }
    json_object_set_new(answer, "facetDistribution", all);
    json_object_set_new(answer, "facetStats", stats);
}

// ---- hits --------------------------------------------------------------------------------------

/* The members that are asked for. */
static json_t *select_members(const struct corpus_search *search, json_t *document)
{
    if (!search->retrieve_some) return json_incref(document);
    json_t *out = json_object();
    for (size_t i = 0; i < search->retrieve_count; i++) {
        json_t *value = attribute_find(document, search->retrieve[i]);
        if (value) json_object_set(out, search->retrieve[i], value);
    }
    return out;
}

static bool is_highlighted(const struct corpus_search *search, const char *name)
{
    if (search->highlight_all) return true;
    for (size_t i = 0; i < search->highlight_count; i++)
        if (strcmp(search->highlight[i], name) == 0) return true;
    return false;
}

/* The same members, what is highlighted with its marks. */
static json_t *format(struct corpus *corpus, const struct corpus_search *search, json_t *hit)
{
    struct highlight highlight = {.analyst = corpus->analyst,
                                  .analyze = &corpus->half->analyze,
                                  .query = &corpus->query,
                                  .before = search->before,
                                  .after = search->after};
    json_t *out = json_object(), *value;
    const char *name;
    json_object_foreach(hit, name, value)
    {
        json_t *marked =
            is_highlighted(search, name) ? highlight_value(&highlight, value) : json_incref(value);
        json_object_set_new(out, name, marked);
    }
    return out;
}

static json_t *write_parts(const struct ranked *item)
{
    json_t *out = json_pack("{s:f}", "score", item->score);
    for (size_t i = 0; i < RANKING_PARTS; i++) {
        if (item->parts[i].rank == 0) continue;
        json_t *part = json_pack("{s:f, s:i}", "score", item->parts[i].score, "rank",
                                 (int)item->parts[i].rank);
        if (item->parts[i].adds > 0)
            json_object_set_new(part, "adds", json_real(item->parts[i].adds));
        json_object_set_new(out, ranking_part_name((enum ranking_part)i), part);
    }
    return out;
}

static json_t *write_hit(struct corpus *corpus, const struct corpus_search *search,
                         const struct corpus_ranking *ranking, const struct ranked *item)
{
    json_t *parsed = corpus_document(corpus, item);
    if (!parsed) return NULL; // it has gone meanwhile
    json_t *hit = select_members(search, parsed);
    if (search->highlight_all || search->highlight_count > 0)
        json_object_set_new(hit, "_formatted", format(corpus, search, hit));
    if (search->show_score) {
        double score = ranking->is_fused ? item->score : item->parts[RANKING_LEXICAL].score;
        double share = ranking->best > 0 ? score / ranking->best : 1;
        json_object_set_new(hit, "_rankingScore", json_real(share));
    }
    if (search->show_parts) json_object_set_new(hit, "_ranking", write_parts(item));
    json_decref(parsed);
    return hit;
}

static json_t *write_hits(struct corpus *corpus, const struct corpus_search *search,
                          const struct corpus_ranking *ranking)
{
    json_t *hits = json_array();
    size_t end = search->offset + search->limit;
    if (end > ranking->count) end = ranking->count;
    if (search->offset < end)
        corpus_fetch(corpus, ranking->items + search->offset, end - search->offset);
    for (size_t i = search->offset; i < end; i++) {
        json_t *hit = write_hit(corpus, search, ranking, &ranking->items[i]);
        if (hit) json_array_append_new(hits, hit);
    }
    return hits;
}

static int add_bytes(const char *bytes, size_t size, void *out)
{
    buf_add(out, bytes, size);
    return 0;
}

void corpus_answer(struct corpus *corpus, const struct corpus_search *search,
                   const struct corpus_ranking *ranking, struct buf *out)
{
    corpus_build_query(corpus, search); // for highlighting: others have been asked since
    json_t *answer = json_object();
    json_object_set_new(answer, "hits", write_hits(corpus, search, ranking));
    json_object_set_new(answer, "estimatedTotalHits",
                        json_integer((json_int_t)corpus_total(ranking)));
    if (search->all_facets || search->facet_count > 0) add_facets(answer, ranking);
    json_dump_callback(answer, add_bytes, out, JSON_COMPACT | JSON_EMBED | JSON_REAL_PRECISION(15));
    json_decref(answer);
    query_forget(&corpus->query);
}
