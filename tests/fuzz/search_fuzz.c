/* Any bytes as a query of a small index, as a document of it, and as what is completed: what is answered is JSON that names documents
 * which are there, best first. Built with libFuzzer, or with tests/fuzz/corpus.c. */
#include "scheduler/features/search/corpus.h"

#include "text/analyze.h"
#include "text/pinyin.h"

#include "base/buf.h"
#include "base/must.h"

#include <jansson.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct corpus *corpus;

static void put(const char *id, const char *title, const char *text, int price)
{
    json_t *document = json_pack("{s:s, s:s, s:s, s:i, s:[s, s]}", "id", id, "title", title, "text",
                                 text, "price", price, "tags", "a", price % 2 ? "b" : "c");
    char *record = json_dumps(document, JSON_COMPACT);
    must(record && corpus_put(corpus, id, strlen(id), record, strlen(record)) == ERR_OK);
    free(record);
    json_decref(document);
}

static void start(void)
{
    static struct corpus_tools tools;
    struct analyzer *analyzer;
    struct search_settings *settings;
    char param[SEARCH_PARAM_MAX];
    json_t *object = json_loads("{\"fields\":{\"title\":3,\"text\":1},\"facets\":[\"tags\"],"
                                "\"sortable\":[\"price\"],\"stop_words\":[\"the\"]}",
                                0, NULL);
    must(analyzer_new(&analyzer) == ERR_OK);
    tools = (struct corpus_tools){analyzer, pinyin_new()};
    must(search_settings_read(&settings, object, param) == ERR_OK);
    must(corpus_new(&corpus, &tools, settings) == ERR_OK);
    json_decref(object);
    put("1", "Wireless charger", "charges phones without the cable", 99);
    put("2", "智能手机", "手机屏幕很大，机器学习", 3999);
    put("3", "機器學習", "traditional characters and running shoes", 12);
    put("4", "Phone case", "a case, a phone; (wi-fi) 5G", 19);
    put("5", "", "ab abc abcd abcde", 1);
}

static void rank(const char *q, size_t size, bool all)
{
    struct corpus_ranking *ranking;
    struct buf out = {0};
    struct corpus_search search = {.q = q,
                                   .q_size = size,
                                   .all = all,
                                   .limit = 10,
                                   .depth = 10,
                                   .all_facets = true,
                                   .highlight_all = true,
                                   .before = "<em>",
                                   .after = "</em>",
                                   .show_score = true,
                                   .show_parts = true};
    must(corpus_rank(corpus, &search, &ranking) == ERR_OK);
    size_t count;
    const struct ranked *items = corpus_ranked(ranking, &count);
    must(count <= 6);
    for (size_t i = 1; i < count; i++)
        must(items[i - 1].score >= items[i].score);
    buf_add_byte(&out, '{');
    corpus_answer(corpus, &search, ranking, &out);
    buf_add_byte(&out, '}');
    json_t *answer = json_loadb(out.data, out.size, 0, NULL);
    must(json_array_size(json_object_get(answer, "hits")) == count);
    json_decref(answer);
    corpus_ranking_free(ranking);
    buf_fini(&out);
}

static void suggest(const char *q, size_t size)
{
    struct buf out = {0};
    corpus_suggest(corpus, q, size, 10, &out);
    json_t *list = json_loadb(out.data, out.size, 0, NULL);
    must(json_is_array(list) && json_array_size(list) <= 10);
    json_decref(list);
    buf_fini(&out);
}

/* A document of the text: it is found by what it says, if that is anything, and gone afterwards. */
static void keep(const char *text, size_t size)
{
    json_t *document = json_pack("{s:s, s:s%}", "id", "x", "text", text, size);
    if (!document) return; // no UTF-8
    char *record = json_dumps(document, JSON_COMPACT);
    must(record && corpus_put(corpus, "x", 1, record, strlen(record)) == ERR_OK);
    must(corpus_count(corpus) == 6);
    rank(text, size, true);
    must(corpus_drop(corpus, "x", 1) == ERR_OK);
    free(record);
    json_decref(document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!corpus) start();
    if (size > 2048 || memchr(data, '\0', size)) return 0; // what a body cannot hold
    rank((const char *)data, size, false);
    rank((const char *)data, size, true);
    suggest((const char *)data, size);
    keep((const char *)data, size);
    must(corpus_count(corpus) == 5);
    return 0;
}
