#include "scheduler/door/search_ask.h"

#include "scheduler/door/json.h"
#include "scheduler/features/filter.h"
#include "scheduler/features/members.h"
#include "scheduler/features/search/query.h"

#include "wire/message.h"

#include <stdio.h>
#include <string.h>

enum {
    LIMIT_PRESET = 20,
    DEADLINE_PRESET_MS = 2000
};

/* Every member of `object` is one of `known`, in this or another spelling; it has that name from here on. */
static enum err check_known(json_t *object, const char *param, const char *const *known,
                            size_t count)
{
    const char *twice = members_respell(object, known, count);
    if (twice && !param) return json_wrong(twice, "is there twice, in two spellings");
    if (twice) return json_wrong(param, "has `%s` twice, in two spellings", twice);
    const char *name = members_unknown(object, known, count);
    if (!name) return ERR_OK;
    if (!param) return json_wrong(name, "is no parameter of a search: see docs/api.md");
    return json_wrong(param, "has no member `%.64s`: see docs/api.md", name);
}

static enum err check_members(json_t *root)
{
    static const char *const known[] = {"q",
                                        "filter",
                                        "facets",
                                        "sort",
                                        "limit",
                                        "offset",
                                        "page",
                                        "hitsPerPage",
                                        "attributesToRetrieve",
                                        "attributesToHighlight",
                                        "highlightPreTag",
                                        "highlightPostTag",
                                        "showRankingScore",
                                        "showRankingScoreDetails",
                                        "matchingStrategy",
                                        "highlight",
                                        "min_version",
                                        "hybrid",
                                        "rerank",
                                        "personalize",
                                        "deadline_ms"};
    if (json_find(root, "vector")) return json_wrong("vector", "is not served yet");
    return check_known(root, NULL, known, sizeof known / sizeof *known);
}

/* A failure of a member's member names both. */
static enum err within(const char *object, enum err err)
{
    char param[JSON_PARAM_MAX], note[ERR_NOTE_MAX];
    if (!err) return ERR_OK;
    snprintf(param, sizeof param, "%s.%.64s", object, json_param());
    snprintf(note, sizeof note, "%s.%s", object, err_text());
    json_set_param(param);
    return err_note(err, "%s", note);
}

/* An array of names, or ["*"]. */
static enum err take_names(const json_t *root, const char *key, const char **names, size_t *count,
                           bool *all)
{
    const json_t *array = json_find(root, key);
    size_t at;
    json_t *item;
    if (!array) return ERR_OK;
    if (!json_is_array(array) || json_array_size(array) > SEARCH_NAMES_MAX)
        return json_wrong(key, "must be an array of at most %d strings", SEARCH_NAMES_MAX);
    json_array_foreach(array, at, item)
    {
        if (!json_is_string(item) || json_string_length(item) > SEARCH_NAME_MAX)
            return json_wrong(key, "must be an array of strings of at most %d bytes",
                              SEARCH_NAME_MAX);
        if (strcmp(json_string_value(item), "*") == 0)
            *all = true;
        else
            names[(*count)++] = json_string_value(item);
    }
    return ERR_OK;
}

static enum err take_sorts(const json_t *root, struct search_ask *ask)
{
    const json_t *array = json_find(root, "sort");
    size_t at;
    json_t *item;
    if (!array) return ERR_OK;
    if (!json_is_array(array) || json_array_size(array) > CORPUS_SORTS_MAX)
        return json_wrong("sort", "must be an array of at most %d strings", CORPUS_SORTS_MAX);
    json_array_foreach(array, at, item)
    {
        const char *text = json_is_string(item) ? json_string_value(item) : "";
        const char *colon = strrchr(text, ':');
        bool descending = colon && strcmp(colon, ":desc") == 0;
        if (!colon || colon == text || colon - text > SEARCH_NAME_MAX ||
            (!descending && strcmp(colon, ":asc") != 0))
            return json_wrong("sort", "must be strings such as \"price:asc\" or \"price:desc\"");
        snprintf(ask->sorts[at], sizeof ask->sorts[at], "%.*s", (int)(colon - text), text);
        ask->search.sorts[at] = (struct corpus_sort){ask->sorts[at], descending};
        ask->search.sort_count++;
    }
    return ERR_OK;
}

/* Ours: true, the names, or an object of the names and the tags. */
static enum err take_highlight(json_t *root, struct corpus_search *search)
{
    static const char *const known[] = {"attributes", "pre_tag", "post_tag"};
    json_t *highlight = json_find(root, "highlight");
    if (!highlight || json_is_false(highlight)) return ERR_OK;
    if (search->highlight_count > 0 || search->highlight_all)
        return json_wrong("highlight", "and attributesToHighlight say the same: send one of them");
    if (json_is_array(highlight))
        return take_names(root, "highlight", search->highlight, &search->highlight_count,
                          &search->highlight_all);
    if (!json_is_true(highlight) && !json_is_object(highlight))
        return json_wrong("highlight",
                          "must be true, false, an array of attributes, or an object of "
                          "`attributes`, `pre_tag` and `post_tag`");
    search->highlight_all = !json_find(highlight, "attributes");
    if (json_is_true(highlight)) return ERR_OK;
    TRY(check_known(highlight, "highlight", known, 3));
    TRY(within("highlight", take_names(highlight, "attributes", search->highlight,
                                       &search->highlight_count, &search->highlight_all)));
    TRY(within("highlight",
               json_take_text(highlight, "pre_tag", 0, SEARCH_TAG_MAX, &search->before)));
    return within("highlight",
                  json_take_text(highlight, "post_tag", 0, SEARCH_TAG_MAX, &search->after));
}

static enum err take_attributes(json_t *root, struct search_ask *ask)
{
    struct corpus_search *search = &ask->search;
    bool all = false;
    search->before = "<em>";
    search->after = "</em>";
    TRY(take_names(root, "facets", search->facets, &search->facet_count, &search->all_facets));
    search->retrieve_some = json_find(root, "attributesToRetrieve") != NULL;
    TRY(take_names(root, "attributesToRetrieve", search->retrieve, &search->retrieve_count, &all));
    search->retrieve_some &= !all;
    TRY(take_names(root, "attributesToHighlight", search->highlight, &search->highlight_count,
                   &search->highlight_all));
    TRY(json_take_text(root, "highlightPreTag", 0, SEARCH_TAG_MAX, &search->before));
    TRY(json_take_text(root, "highlightPostTag", 0, SEARCH_TAG_MAX, &search->after));
    TRY(take_highlight(root, search));
    TRY(json_take_flag(root, "showRankingScore", NULL, &search->show_score));
    return json_take_flag(root, "showRankingScoreDetails", NULL, &search->show_parts);
}

/* The other way to say offset and limit. */
static enum err take_numbered(const json_t *root, int64_t *offset, int64_t *limit, uint64_t *page)
{
    int64_t number = 1, hits = LIMIT_PRESET;
    if (!json_find(root, "page") && !json_find(root, "hitsPerPage")) return ERR_OK;
    if (json_find(root, "limit") || json_find(root, "offset"))
        return json_wrong("page", "and hitsPerPage must not stand beside offset and limit");
    TRY(json_take_integer(root, "page", 1, CORPUS_DEPTH_MAX, &number));
    TRY(json_take_integer(root, "hitsPerPage", 1, SEARCH_LIMIT_MAX, &hits));
    if (number * hits > CORPUS_DEPTH_MAX)
        return json_wrong("page", "must not reach beyond hit %d", CORPUS_DEPTH_MAX);
    *offset = (number - 1) * hits;
    *limit = hits;
    *page = (uint64_t)number;
    return ERR_OK;
}

static enum err take_page(const json_t *root, struct search_ask *ask)
{
    int64_t limit = LIMIT_PRESET, offset = 0, version = 0, deadline = DEADLINE_PRESET_MS;
    TRY(json_take_integer(root, "limit", 0, SEARCH_LIMIT_MAX, &limit));
    TRY(json_take_integer(root, "offset", 0, CORPUS_DEPTH_MAX, &offset));
    TRY(take_numbered(root, &offset, &limit, &ask->page));
    if (offset + limit > CORPUS_DEPTH_MAX)
        return json_wrong("offset", "and limit must not reach beyond %d", CORPUS_DEPTH_MAX);
    TRY(json_take_integer(root, "min_version", 0, INT64_MAX, &version));
    TRY(json_take_integer(root, "deadline_ms", 1, SEARCH_MS_MAX, &deadline));
    ask->search.limit = (size_t)limit;
    ask->search.offset = (size_t)offset;
    ask->search.depth = (size_t)(offset + limit);
    ask->min_version = (uint64_t)version;
    ask->deadline_ms = (uint64_t)deadline;
    return ERR_OK;
}

static enum err take_query(const json_t *root, struct search_ask *ask)
{
    const char *strategy = "any";
    TRY(json_take_text(root, "q", 0, QUERY_BYTES_MAX, &ask->search.q));
    ask->search.q_size = ask->search.q ? strlen(ask->search.q) : 0;
    TRY(json_take_text(root, "matchingStrategy", 1, 16, &strategy));
    ask->search.all = strcmp(strategy, "all") == 0;
    if (!ask->search.all && strcmp(strategy, "any") != 0 && strcmp(strategy, "last") != 0 &&
        strcmp(strategy, "frequency") != 0)
        return json_wrong("matchingStrategy",
                          "must be any, all, or last or frequency (which are any here)");
    const json_t *filter = json_find(root, "filter");
    if (!filter) return ERR_OK;
    enum err err = filter_parse(&ask->filter, filter);
    if (err) return json_wrong("filter", "is not right: %s", err_text());
    if (!filter_is_empty(ask->filter)) ask->search.filter = ask->filter;
    return ERR_OK;
}

static enum err take_hybrid(json_t *root, struct hybrid_wishes *wishes)
{
    static const char *const known[] = {"semantic_ratio", "model", "embedder"};
    const char *name = NULL;
    json_t *hybrid = json_find(root, "hybrid");
    if (!hybrid) return ERR_OK;
    if (!json_is_object(hybrid))
        return json_wrong("hybrid", "must be an object such as {\"semantic_ratio\": 0.5}");
    TRY(check_known(hybrid, "hybrid", known, 3));
    wishes->hybrid = true;
    wishes->ratio = HYBRID_RATIO_PRESET;
    TRY(within("hybrid", json_take_real(hybrid, "semantic_ratio", 0, 1, &wishes->ratio)));
    // Meilisearch's indexes have several, each with a name, and its clients must say one; here there is one, which is its model.
    TRY(within("hybrid", json_take_text(hybrid, "embedder", 1, WIRE_NAME_MAX, &name)));
    if (name && strcmp(name, "default") != 0) wishes->embedder = name;
    return within("hybrid", json_take_text(hybrid, "model", 1, WIRE_NAME_MAX, &wishes->embedder));
}

static enum err take_rerank(const json_t *root, struct hybrid_wishes *wishes)
{
    static const char *const known[] = {"model", "depth", "weight"};
    json_t *rerank = json_find(root, "rerank");
    int64_t depth = HYBRID_RERANK_PRESET;
    if (!rerank || json_is_false(rerank)) return ERR_OK;
    if (!json_is_true(rerank) && !json_is_object(rerank))
        return json_wrong("rerank", "must be true, or an object of `model`, `depth` and `weight`");
    wishes->rerank = true;
    wishes->rerank_weight = HYBRID_RERANK_WEIGHT_PRESET;
    if (json_is_object(rerank)) {
        TRY(check_known(rerank, "rerank", known, 3));
        TRY(within("rerank", json_take_integer(rerank, "depth", 1, HYBRID_RERANK_MAX, &depth)));
        TRY(within("rerank", json_take_real(rerank, "weight", 0, 100, &wishes->rerank_weight)));
        TRY(within("rerank", json_take_text(rerank, "model", 1, WIRE_NAME_MAX, &wishes->reranker)));
    }
    wishes->rerank_depth = (uint32_t)depth;
    return ERR_OK;
}

static enum err take_personal(const json_t *root, struct hybrid_wishes *wishes)
{
    const json_t *value = json_find(root, "personalize");
    if (!value || json_is_false(value)) return ERR_OK;
    if (!json_is_true(value) && !json_is_number(value))
        return json_wrong("personalize", "must be true, false or a weight from 0 to 1");
    wishes->personal = HYBRID_PERSONAL_PRESET;
    return json_is_true(value) ? ERR_OK
                               : json_take_real(root, "personalize", 0, 1, &wishes->personal);
}

static enum err take_wishes(json_t *root, struct search_ask *ask)
{
    TRY(take_hybrid(root, &ask->wishes));
    TRY(take_rerank(root, &ask->wishes));
    TRY(take_personal(root, &ask->wishes));
    if (!hybrid_is_asked(&ask->wishes)) return ERR_OK;
    if (ask->search.sort_count > 0)
        return json_wrong("sort", "must not stand beside hybrid, rerank or personalize, which make "
                                  "an order of their own");
    if (ask->search.depth < HYBRID_LIST_LEAST) ask->search.depth = HYBRID_LIST_LEAST;
    ask->search.show_parts = true;
    return ERR_OK;
}

enum err search_ask_read(struct search_ask *ask, const char *body, size_t size)
{
    *ask = (struct search_ask){0};
    TRY(json_read(&ask->root, body, size));
    TRY(check_members(ask->root));
    TRY(take_query(ask->root, ask));
    TRY(take_page(ask->root, ask));
    TRY(take_attributes(ask->root, ask));
    TRY(take_sorts(ask->root, ask));
    return take_wishes(ask->root, ask);
}

void search_ask_fini(struct search_ask *ask)
{
    filter_free(ask->filter);
    json_decref(ask->root);
    ask->filter = NULL;
    ask->root = NULL;
}
