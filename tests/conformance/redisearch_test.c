/* How well an index in a RediSearch ranks on the judged collections: the same terms and queries as the memory's (search_test.c),
 * the same formula in 31 steps. Skipped where the data or the module is absent. */
#include "scheduler/features/search/corpus.h"
#include "scheduler/features/search/redisearch_link.h"
#include "tests/support/collection.h"
#include "tests/support/redis.h"
#include "tests/test.h"

#include "text/analyze.h"
#include "text/pinyin.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include <jansson.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct searcher {
    struct test_redis redis;
    struct redisearch_place place;
    struct corpus_tools tools;
    struct corpus *corpus;
    uint32_t ranking[1000];
    size_t count;
};

static struct search_settings *given_settings(const struct collection *collection)
{
    struct search_settings *settings = NULL;
    char param[SEARCH_PARAM_MAX];
    json_t *stops = json_array();
    for (size_t i = 0; i < collection->stop_count; i++)
        json_array_append_new(stops, json_string(collection->stops[i]));
    json_t *object = json_pack("{s:s, s:[s], s:o}", "backend", "redisearch", "fields", "text",
                               "stop_words", stops);
    assert_int_equal(search_settings_read(&settings, object, param), ERR_OK);
    json_decref(object);
    return settings;
}

static void put(struct corpus *corpus, size_t number, const char *text)
{
    char id[24];
    json_t *document = json_object();
    json_object_set_new(document, "text", json_string(text));
    char *record = json_dumps(document, JSON_COMPACT);
    snprintf(id, sizeof id, "%zu", number);
    assert_int_equal(corpus_put(corpus, id, strlen(id), record, strlen(record)), ERR_OK);
    free(record);
    json_decref(document);
}

/* The vocabulary is read some thousand words at a time, 40 ms apart. */
static void read_words(struct corpus *corpus)
{
    for (int i = 0; i < 60; i++) {
        usleep(45000);
        corpus_look(corpus);
    }
}

static void given_searcher(struct searcher *searcher, const struct collection *collection)
{
    struct analyzer *analyzer;
    assert_int_equal(analyzer_new(&analyzer), ERR_OK);
    searcher->tools = (struct corpus_tools){analyzer, pinyin_new()};
    searcher->place = (struct redisearch_place){.collection = "index:local:judged"};
    snprintf(searcher->place.address.host, sizeof searcher->place.address.host, "%s",
             searcher->redis.socket);
    assert_int_equal(corpus_new_remote(&searcher->corpus, &searcher->tools, &searcher->place,
                                       given_settings(collection)),
                     ERR_OK);
    uint64_t start_ns = clock_now_ns();
    for (size_t i = 0; i < collection->count; i++)
        put(searcher->corpus, i, collection->documents[i]);
    corpus_mark(searcher->corpus, 1, "token");
    double seconds = (double)(clock_now_ns() - start_ns) / (double)CLOCK_SECOND;
    assert_int_equal(corpus_count(searcher->corpus), collection->count);
    print_message("%zu documents, %.0f a second\n", collection->count,
                  (double)collection->count / seconds);
    read_words(searcher->corpus);
}

static void end_searcher(struct searcher *searcher)
{
    corpus_free(searcher->corpus);
    pinyin_free(searcher->tools.pinyin);
    analyzer_free((struct analyzer *)(uintptr_t)searcher->tools.analyzer);
    test_redis_stop(&searcher->redis);
}

static void search(struct searcher *searcher, const char *text, size_t depth)
{
    struct corpus_search ask = {.q = text, .q_size = strlen(text), .limit = depth, .depth = depth};
    struct corpus_ranking *ranking;
    assert_int_equal(corpus_rank(searcher->corpus, &ask, &ranking), ERR_OK);
    const struct ranked *items = corpus_ranked(ranking, &searcher->count);
    for (size_t i = 0; i < searcher->count; i++) {
        size_t size;
        const char *id = corpus_id(searcher->corpus, &items[i], &size);
        char number[16];
        snprintf(number, sizeof number, "%.*s", (int)size, id);
        searcher->ranking[i] = (uint32_t)strtoul(number, NULL, 10);
    }
    corpus_ranking_free(ranking);
}

static void vaswani(void **state)
{
    (void)state;
    struct collection collection;
    struct searcher searcher = {0};
    const char *folder = test_shared("search/vaswani");
    if (!folder || !test_redis_start_search(&searcher.redis)) skip();
    collection_read_vaswani(&collection, folder);
    given_searcher(&searcher, &collection);
    double map = 0, ndcg = 0, count = (double)collection.query_count;
    uint64_t start_ns = clock_now_ns();
    for (size_t i = 0; i < collection.query_count; i++) {
        const struct collection_query *query = &collection.queries[i];
        search(&searcher, query->text, 1000);
        map += collection_average_precision(query, searcher.ranking, searcher.count) / count;
        ndcg += collection_ndcg(query, searcher.ranking, searcher.count) / count;
    }
    print_message("vaswani: MAP %.4f, nDCG %.4f, %.2f ms a query\n", map, ndcg,
                  (double)(clock_now_ns() - start_ns) / 1e6 / count);
    end_searcher(&searcher);
    collection_fini(&collection);
    assert_true(map >= 0.295);
    assert_true(ndcg >= 0.619);
}

static void cmrc(void **state)
{
    (void)state;
    struct collection collection;
    struct searcher searcher = {0};
    const char *folder = test_shared("search/cmrc2018");
    if (!folder || !test_redis_start_search(&searcher.redis)) skip();
    collection_read_cmrc(&collection, folder);
    given_searcher(&searcher, &collection);
    double mrr = 0, count = (double)collection.query_count;
    uint64_t start_ns = clock_now_ns();
    for (size_t i = 0; i < collection.query_count; i++) {
        const struct collection_query *query = &collection.queries[i];
        search(&searcher, query->text, 10);
        mrr += collection_reciprocal_rank(query, searcher.ranking, searcher.count, 10) / count;
    }
    print_message("cmrc2018: MRR@10 %.4f, %.2f ms a query\n", mrr,
                  (double)(clock_now_ns() - start_ns) / 1e6 / count);
    end_searcher(&searcher);
    collection_fini(&collection);
    assert_true(mrr >= 0.955);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vaswani),
        cmocka_unit_test(cmrc),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
