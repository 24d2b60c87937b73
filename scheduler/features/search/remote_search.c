/* A search of an index that a RediSearch keeps (remote.h): its commands, sent together, and what they answer.
 *
 *      the best       FT.SEARCH
 *      orders         FT.AGGREGATE over places in the order, without scores
 *      facets         FT.AGGREGATE each, and one for least and largest
 *
 * FT.SEARCH is asked first: what finds nothing is a failure to FT.AGGREGATE. */
#include "scheduler/features/search/redisearch_code.h"
#include "scheduler/features/search/redisearch_tags.h"
#include "scheduler/features/search/remote.h"
#include "scheduler/features/search/remote_query.h"

#include "base/clock.h"
#include "base/mem.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PRESET_MS = 10000 // of a search without a deadline
};

// ---- commands ----------------------------------------------------------------------------------

/* Bytes of a document's key before its id. */
size_t remote_key_size(const struct remote *remote)
{
    struct buf key = {0};
    remote_key(&key, remote->head.generation, "", 0);
    size_t size = key.size;
    buf_fini(&key);
    return size;
}

/* One search on its way. */
struct asking {
    struct corpus *corpus;
    const struct corpus_search *search;
    struct corpus_ranking *ranking;
    struct remote_query query;
};

static void say_head(struct redisearch_command *command, const struct asking *asking,
                     const char *name, bool is_scored)
{
    redisearch_say(command, name);
    buf_addf(redisearch_word(command), "q%" PRIu64, asking->corpus->remote->head.generation);
    struct buf *query = redisearch_word(command);
    buf_add(query, buf_text(&asking->query.match), asking->query.match.size);
    if (is_scored) buf_add(query, buf_text(&asking->query.scores), asking->query.scores.size);
    redisearch_say(command, "VERBATIM");
}

static void say_count(struct redisearch_command *command, size_t count)
{
    buf_addf(redisearch_word(command), "%zu", count);
}

/* Ids and scores of the best `count`; the total comes with them. */
static void send_best(const struct asking *asking, size_t count)
{
    struct redisearch_command command = {0};
    say_head(&command, asking, "FT.SEARCH", count > 0);
    REDISEARCH_SAY(&command, "NOSTOPWORDS", "NOCONTENT", "WITHSCORES", "SCORER", "TFIDF", "LIMIT",
                   "0");
    say_count(&command, count ? count : 1); // 0 is refused
    redisearch_send(asking->corpus->remote->link, &command);
}

static size_t place_of(const struct search_names *names, const char *name)
{
    size_t i = 0;
    while (i + 1 < names->count && strcmp(names->items[i], name) != 0)
        i++;
    return i;
}

static void say_place(struct redisearch_command *command, const struct asking *asking,
                      const struct corpus_sort *sort)
{
    const struct search_names *sortable = &asking->corpus->half->settings->sortable;
    buf_addf(redisearch_word(command), "@%c%zu", sort->descending ? 'z' : 'a',
             place_of(sortable, sort->attribute));
}

/* Ids in the orders that are asked for. */
static void send_order(const struct asking *asking)
{
    const struct corpus_search *search = asking->search;
    struct redisearch_command command = {0};
    say_head(&command, asking, "FT.AGGREGATE", false);
    redisearch_say(&command, "LOAD"); // what is not loaded is not compared
    say_count(&command, 1 + search->sort_count);
    redisearch_say(&command, "@i");
    for (size_t i = 0; i < search->sort_count; i++)
        say_place(&command, asking, &search->sorts[i]);
    redisearch_say(&command, "SORTBY");
    say_count(&command, 2 * search->sort_count);
    for (size_t i = 0; i < search->sort_count; i++) {
        say_place(&command, asking, &search->sorts[i]);
        redisearch_say(&command, search->sorts[i].descending ? "DESC" : "ASC");
    }
    size_t depth = asking->ranking->depth ? asking->ranking->depth : 1;
    redisearch_say(&command, "MAX");
    say_count(&command, depth);
    REDISEARCH_SAY(&command, "LIMIT", "0");
    say_count(&command, depth);
    redisearch_send(asking->corpus->remote->link, &command);
}

static void send_facet(const struct asking *asking, size_t place)
{
    struct redisearch_command counts = {0}, ends = {0};
    struct redisearch_link *link = asking->corpus->remote->link;
    say_head(&counts, asking, "FT.AGGREGATE", false);
    redisearch_say(&counts, "APPLY");
    buf_addf(redisearch_word(&counts), "split(@v%zu,\",\")", place);
    REDISEARCH_SAY(&counts, "AS", "s", "GROUPBY", "1", "@s", "REDUCE", "COUNT", "0", "AS", "n",
                   "SORTBY", "4", "@n", "DESC", "@s", "ASC", "MAX");
    say_count(&counts, CORPUS_FACET_VALUES + 1); // documents without a value are one, too
    REDISEARCH_SAY(&counts, "LIMIT", "0");
    say_count(&counts, CORPUS_FACET_VALUES + 1);
    redisearch_send(link, &counts);
    say_head(&ends, asking, "FT.AGGREGATE", false);
    REDISEARCH_SAY(&ends, "APPLY", "'1'", "AS", "s", "GROUPBY", "1", "@s", "REDUCE", "MIN", "1");
    buf_addf(redisearch_word(&ends), "@m%zu", place);
    REDISEARCH_SAY(&ends, "AS", "least", "REDUCE", "MIN", "1");
    buf_addf(redisearch_word(&ends), "@o%zu", place);
    REDISEARCH_SAY(&ends, "AS", "most");
    redisearch_send(link, &ends);
}

// ---- answers -----------------------------------------------------------------------------------

static const char *text_in(const redisReply *row, const char *name)
{
    for (size_t i = 0; row->type == REDIS_REPLY_ARRAY && i + 1 < row->elements; i += 2)
        if (row->element[i]->str && strcmp(row->element[i]->str, name) == 0)
            return row->element[i + 1]->str;
    return NULL;
}

static void keep(const struct asking *asking, const char *id, size_t size, double score)
{
    struct corpus_ranking *ranking = asking->ranking;
    if (ranking->count == ranking->depth) return;
    struct ranked *item = &ranking->items[ranking->count++];
    *item = remote_number(asking->corpus->remote, id, size);
    item->score = score;
}

/* Ids are the documents' keys. */
static void take_best(const struct asking *asking, const redisReply *reply, bool is_list)
{
    size_t skip = remote_key_size(asking->corpus->remote);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1) return;
    asking->ranking->total = (size_t)reply->element[0]->integer;
    for (size_t i = 1; i + 1 < reply->elements; i += 2) {
        const redisReply *id = reply->element[i];
        double score = strtod(reply->element[i + 1]->str, NULL);
        if (asking->ranking->best < score) asking->ranking->best = score;
        if (is_list && id->len > skip) keep(asking, id->str + skip, id->len - skip, score);
    }
}

static void take_order(const struct asking *asking, const redisReply *reply)
{
    for (size_t i = 1; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        const char *coded = text_in(reply->element[i], "i");
        struct buf id = {0};
        if (coded && *coded == 'k' && code_read(&id, coded + 1, strlen(coded + 1)))
            keep(asking, buf_text(&id), id.size, 0);
        buf_fini(&id);
    }
}

static void take_counts(struct facet *facet, const redisReply *reply)
{
    facet->found.counts = json_object();
    for (size_t i = 1; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        const char *coded = text_in(reply->element[i], "s");
        const char *count = text_in(reply->element[i], "n");
        struct buf name = {0};
        if (json_object_size(facet->found.counts) == CORPUS_FACET_VALUES) return;
        if (coded && count && *coded == 'v' && code_read(&name, coded + 1, strlen(coded + 1)))
            json_object_set_new(facet->found.counts, buf_text(&name),
                                json_integer(strtoll(count, NULL, 10)));
        buf_fini(&name);
    }
}

/* Where no document has a number, the least is REMOTE_NO_NUMBER. */
static void take_ends(struct facet *facet, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2) return;
    const char *least = text_in(reply->element[1], "least");
    const char *most = text_in(reply->element[1], "most");
    if (!least || !most) return;
    facet->found.least = strtod(least, NULL);
    facet->found.most = -strtod(most, NULL);
    facet->found.has_numbers = facet->found.least <= facet->found.most;
}

static enum err take_facet(const struct asking *asking, struct facet *facet)
{
    struct redisearch_link *link = asking->corpus->remote->link;
    redisReply *reply;
    TRY(redisearch_link_take(link, &reply));
    take_counts(facet, reply);
    freeReplyObject(reply);
    TRY(redisearch_link_take(link, &reply));
    take_ends(facet, reply);
    freeReplyObject(reply);
    return ERR_OK;
}

/* Nothing was found, which FT.AGGREGATE takes for a failure. */
static void name_nothing(struct corpus_ranking *ranking)
{
    for (size_t i = 0; i < ranking->facet_count; i++)
        ranking->facets[i].found.counts = json_object();
}

static enum err run_more(struct asking *asking)
{
    struct corpus_ranking *ranking = asking->ranking;
    struct redisearch_link *link = asking->corpus->remote->link;
    const struct search_names *facets = &asking->corpus->half->settings->facets;
    bool is_sorted = asking->search->sort_count > 0;
    if (is_sorted) send_order(asking);
    for (size_t i = 0; i < ranking->facet_count; i++)
        send_facet(asking, place_of(facets, ranking->facets[i].name));
    if (is_sorted) {
        redisReply *reply;
        TRY(redisearch_link_take(link, &reply));
        take_order(asking, reply);
        freeReplyObject(reply);
    }
    for (size_t i = 0; i < ranking->facet_count; i++)
        TRY(take_facet(asking, &ranking->facets[i]));
    return ERR_OK;
}

static enum err run(struct asking *asking)
{
    bool is_sorted = asking->search->sort_count > 0;
    redisReply *reply;
    send_best(asking, is_sorted ? 0 : asking->ranking->depth);
    TRY(redisearch_link_take(asking->corpus->remote->link, &reply));
    take_best(asking, reply, !is_sorted);
    freeReplyObject(reply);
    if (asking->ranking->total > 0) return run_more(asking);
    name_nothing(asking->ranking);
    return ERR_OK;
}

static void start_over(struct corpus_ranking *ranking)
{
    ranking->count = ranking->total = 0;
    ranking->best = 0;
    for (size_t i = 0; i < ranking->facet_count; i++) {
        json_decref(ranking->facets[i].found.counts);
        ranking->facets[i].found = (struct column_facet){0};
    }
}

static enum err ask(struct corpus *corpus, const struct corpus_search *search,
                    struct corpus_ranking *ranking, uint64_t timeout_ms)
{
    struct remote *remote = corpus->remote;
    struct asking asking = {.corpus = corpus, .search = search, .ranking = ranking};
    TRY(redisearch_link_open(remote->link, timeout_ms));
    enum err err = remote_query_write(&asking.query, corpus, search);
    if (!err && asking.query.finds) err = run(&asking);
    if (!err && !asking.query.finds) name_nothing(ranking);
    remote_query_fini(&asking.query);
    if (err) {
        redisearch_link_reset(remote->link); // what was sent with it is not answered any more
        start_over(ranking);
    }
    return err;
}

static enum err time_left(const struct corpus_search *search, uint64_t *ms)
{
    uint64_t now_ns = clock_now_ns();
    *ms = PRESET_MS;
    if (!search->deadline_ns) return ERR_OK;
    if (now_ns >= search->deadline_ns)
        return err_note(ERR_TIMEOUT, "the search took longer than its deadline");
    *ms = (search->deadline_ns - now_ns) / CLOCK_MS;
    return ERR_OK;
}

/* A generation that has just given way to another one is not known there any more: once, it is looked which one is. */
enum err remote_rank(struct corpus *corpus, const struct corpus_search *search,
                     struct corpus_ranking *ranking)
{
    struct remote *remote = corpus->remote;
    uint64_t generation = remote->head.generation, ms;
    TRY(time_left(search, &ms));
    if (!remote->is_known) TRY(remote_look(corpus, ms));
    if (remote->head.version == 0)
        return err_note(ERR_UNAVAILABLE, "the index is being written to its RediSearch");
    ranking->items = mem_new(ranking->depth + 1, sizeof *ranking->items);
    enum err err = ask(corpus, search, ranking, ms);
    if (err != ERR_INTERNAL) return err;
    TRY(time_left(search, &ms));
    TRY(remote_look(corpus, ms));
    if (remote->head.generation == generation) return ask(corpus, search, ranking, ms);
    TRY(corpus_check(corpus, search, (char[SEARCH_PARAM_MAX]){0}));
    return ask(corpus, search, ranking, ms);
}

enum err remote_each_id(const struct corpus *corpus, const struct filter *filter,
                        corpus_each_fn *each, struct buf *out, size_t most, size_t *count)
{
    struct remote *remote = corpus->remote;
    struct redisearch_command command = {0};
    redisReply *reply;
    size_t skip = remote_key_size(remote);
    TRY(redisearch_link_open(remote->link, PRESET_MS));
    redisearch_say(&command, "FT.SEARCH");
    buf_addf(redisearch_word(&command), "q%" PRIu64, remote->head.generation);
    tags_filter(redisearch_word(&command), filter);
    REDISEARCH_SAY(&command, "VERBATIM", "NOCONTENT", "LIMIT", "0");
    say_count(&command, most ? most : 1);
    TRY(redisearch_ask(remote->link, &command, &reply));
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0)
        *count = (size_t)reply->element[0]->integer;
    for (size_t i = 1; each && i < reply->elements; i++)
        if (reply->element[i]->len > skip)
            each(out, reply->element[i]->str + skip, reply->element[i]->len - skip);
    freeReplyObject(reply);
    return ERR_OK;
}
