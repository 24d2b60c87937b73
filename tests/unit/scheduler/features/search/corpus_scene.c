#include "tests/unit/scheduler/features/search/corpus_scene.h"

#include "tests/test.h"

#include "text/analyze.h"
#include "text/pinyin.h"

#include "base/buf.h"

#include <string.h>

struct corpus_tools tools;

int given_tools(void **state)
{
    struct analyzer *analyzer;
    (void)state;
    if (analyzer_new(&analyzer)) return -1;
    tools = (struct corpus_tools){analyzer, pinyin_new()};
    return 0;
}

int end_tools(void **state)
{
    (void)state;
    pinyin_free(tools.pinyin);
    analyzer_free((struct analyzer *)(uintptr_t)tools.analyzer);
    return 0;
}

struct search_settings *given_settings(const char *text)
{
    struct search_settings *settings = NULL;
    char param[SEARCH_PARAM_MAX];
    json_t *object = json_loads(text, 0, NULL);
    assert_non_null(object);
    if (search_settings_read(&settings, object, param)) fail_msg("%s", err_text());
    json_decref(object);
    return settings;
}

struct corpus *given_corpus(const char *settings)
{
    struct corpus *corpus;
    assert_int_equal(corpus_new(&corpus, &tools, given_settings(settings)), ERR_OK);
    return corpus;
}

void put_record(struct corpus *corpus, const char *id, const char *record)
{
    assert_int_equal(corpus_put(corpus, id, strlen(id), record, strlen(record)), ERR_OK);
}

json_t *answer_of(struct corpus *corpus, struct corpus_search search)
{
    struct corpus_ranking *ranking;
    struct buf text = {0};
    search.q_size = search.q ? strlen(search.q) : 0;
    if (search.limit == 0) search.limit = 10;
    search.depth = search.offset + search.limit;
    if (corpus_rank(corpus, &search, &ranking))
        fail_msg("q [%s]: %s", search.q ? search.q : "", err_text());
    buf_add_byte(&text, '{');
    corpus_answer(corpus, &search, ranking, &text);
    buf_add_byte(&text, '}');
    json_t *answer = json_loads(text.data, 0, NULL);
    assert_non_null(answer);
    corpus_ranking_free(ranking);
    buf_fini(&text);
    return answer;
}
