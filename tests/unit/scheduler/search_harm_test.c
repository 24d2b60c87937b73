/* Search through HTTP against those who mean it harm: giant documents, filters that would be more than a filter, settings that
 * nobody would choose, and an index that is deleted under load. */
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"

#include "base/buf.h"
#include "base/mem.h"

#include <string.h>

/* A scheduler that has found its Redis. */
static void start(void)
{
    static const char *const more[] = {"--body-bytes", "4M", NULL};
    start_scheduler_with("", more);
}

static void put_index(const char *settings)
{
    assert_parts(ask("PUT", "/v1/indexes/shop", "", settings), "200 OK", "index_version", NULL);
}

static void drop_index(void)
{
    assert_parts(ask("DELETE", "/v1/indexes/shop", "", ""), "204", NULL);
}

static char *put(const char *documents)
{
    return ask_patiently("POST", "/v1/indexes/shop/documents?wait=true", "", documents);
}

static char *search(const char *body)
{
    return ask_patiently("POST", "/v1/indexes/shop/search", "", body);
}

// ---- giants ------------------------------------------------------------------------------------

/* {"id":ID,"t":"WORD WORD …"} of `count` words; `distinct`: each another one. */
static void write_giant(struct buf *out, const char *id, size_t count, bool distinct)
{
    buf_addf(out, "{\"id\":\"%s\",\"t\":\"", id);
    for (size_t i = 0; i < count; i++)
        if (distinct)
            buf_addf(out, "%zx ", i);
        else
            buf_addf(out, "%c ", (char)('a' + i % 7));
    buf_add_text(out, "\"}\n");
}

static void giant_documents_are_taken_up_to_their_limit(void **state)
{
    (void)state;
    struct buf body = {0};
    if (!scene.redis.process) skip();
    start();
    put_index("{\"facets\":[\"t\"],\"sortable\":[\"t\"]}");
    write_giant(&body, "many", 120000, false); // 240 kB
    write_giant(&body, "distinct", 45000, true);
    write_giant(&body, "beyond", 132000, false);
    buf_add_text(&body, "{\"id\":\"small\",\"t\":\"f g\"}\n");
    assert_parts(put(buf_text(&body)), "207", "\"stored\":3", "\"line\":3", "262144", NULL);
    assert_parts(search("{\"q\":\"g\",\"facets\":[\"t\"],\"attributesToRetrieve\":[\"id\"]}"),
                 "200 OK", "\"many\"", "\"small\"", "\"estimatedTotalHits\":2", NULL);
    assert_parts(search("{\"q\":\"\\\"f g a b c d e f\\\"\",\"attributesToRetrieve\":[\"id\"]}"),
                 "200 OK", "\"many\"", "\"estimatedTotalHits\":1", NULL);
    assert_parts(search("{\"q\":\"a0\",\"sort\":[\"t:desc\"],\"attributesToRetrieve\":[\"id\"]}"),
                 "200 OK", "\"distinct\"", NULL);
    buf_clear(&body);
    write_giant(&body, "many", 100, false); // much less of it in its place
    assert_parts(put(buf_text(&body)), "200 OK", "\"stored\":1", NULL);
    assert_parts(search("{\"q\":\"g\",\"attributesToRetrieve\":[\"id\"]}"), "200 OK",
                 "\"estimatedTotalHits\":2", NULL);
    buf_fini(&body);
    drop_index();
    stop_scheduler();
}

static void write_nested(struct buf *out, size_t levels, const char *open, const char *close)
{
    buf_addf(out, "{\"id\":\"n%zu\",\"a\":", levels);
    for (size_t i = 0; i < levels; i++)
        buf_add_text(out, open);
    buf_add_text(out, "1");
    for (size_t i = 0; i < levels; i++)
        buf_add_text(out, close);
    buf_add_text(out, "}\n");
}

static void deep_and_wide_documents_are_filtered_as_others(void **state)
{
    (void)state;
    struct buf body = {0};
    if (!scene.redis.process) skip();
    start();
    put_index("{\"facets\":[\"a\"],\"filterable\":[\"o\"]}");
    write_nested(&body, 30, "[", "]");
    write_nested(&body, 29, "{\"b\":", "}");
    write_nested(&body, 3000, "[", "]");
    write_nested(&body, 40, "{\"b\":", "}");
    buf_add_text(&body, "{\"id\":\"wide\",\"o\":{");
    for (size_t i = 0; i < 9000; i++)
        buf_addf(&body, "%s\"k%zu\":%zu", i ? "," : "", i, i);
    buf_add_text(&body, "}}\n");
    assert_parts(put(buf_text(&body)), "207", "\"stored\":3", "\"line\":3",
                 "nests deeper than 32 levels", "\"line\":4", NULL);
    assert_parts(search("{\"filter\":\"a = 1\",\"facets\":[\"a\"]}"), "200 OK", "\"n30\"",
                 "\"estimatedTotalHits\":1", "{\"a\":{\"1\":1}}", NULL);
    assert_parts(search("{\"filter\":\"a.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b "
                        "= 1 OR o.k8999 > 8998\"}"),
                 "200 OK", "\"estimatedTotalHits\":2", NULL);
    assert_parts(search("{\"filter\":\"o.k9000 NOT EXISTS AND o.k1 = 1\"}"), "200 OK", "\"wide\"",
                 "\"estimatedTotalHits\":1", NULL);
    buf_fini(&body);
    drop_index();
    stop_scheduler();
}

// ---- filters -----------------------------------------------------------------------------------

static void a_filter_is_never_more_than_a_filter(void **state)
{
    static const struct {
        const char *body, *status, *what;
    } cases[] = {
        // What a value is made of stays a value.
        {"{\"filter\":\"brand = \\\"x' OR brand EXISTS\\\"\"}", "200", "\"estimatedTotalHits\":0"},
        {"{\"filter\":\"brand = 'x\\\\' OR brand EXISTS OR brand = \\\\''\"}", "200",
         "\"estimatedTotalHits\":0"},
        {"{\"filter\":\"brand = \\\"; DROP TABLE terms; --\\\"\"}", "200",
         "\"estimatedTotalHits\":0"},
        {"{\"filter\":\"brand = '*'\"}", "200", "\"estimatedTotalHits\":0"},
        {"{\"filter\":\"brand = '%' OR brand = '.*' OR brand = '[a-z]+'\"}", "200",
         "\"estimatedTotalHits\":0"},
        {"{\"filter\":\"brand = 'FLUSHALL' OR brand = '\\r\\nDEL x\\r\\n'\"}", "200",
         "\"estimatedTotalHits\":0"},
        // What is not filterable is not read, whatever stands around it.
        {"{\"filter\":\"brand EXISTS OR secret = 1\"}", "400", "`secret` is not filterable"},
        {"{\"filter\":\"NOT (brand EXISTS AND 'secret' EXISTS)\"}", "400", "`secret`"},
        {"{\"filter\":[\"brand EXISTS\",[\"price > 1\",\"secret != 7\"]]}", "400", "`secret`"},
        {"{\"filter\":\"brandy EXISTS\"}", "400", "`brandy`"},
        {"{\"filter\":\".brand EXISTS\"}", "400", "`.brand`"},
        {"{\"filter\":\"_geoRadius(1, 2, 3)\"}", "400", "no functions"},
        {"{\"filter\":\"brand = x; price = 1\"}", "400", "AND or OR"},
        {"{\"filter\":\"brand = x) OR (brand EXISTS\"}", "400", "never opened"},
        {"{\"filter\":\"brand = \\u0000 OR brand EXISTS\"}", "400", ""},
        {"{\"filter\":\"price > 1e999\"}", "400", "a number is expected"},
        {"{\"filter\":\"price > nan\"}", "400", "a number is expected"},
        {"{\"filter\":{\"$ne\":null}}", "400", "\"param\":\"filter\""},
        {"{\"filter\":[[[\"brand EXISTS\"]]]}", "400", "must be a text"},
        // Nor is a query.
        {"{\"q\":\"\\\") OR secret : (\\\"\"}", "200", ""},
        {"{\"q\":\"* NEAR(a b) {brand} : red^\"}", "200", ""},
        {"{\"q\":\"\\\"\\\"\\\"\\\"-\\\"-\\\"\"}", "200", "\"estimatedTotalHits\":0"},
        {"{\"sort\":[\"secret:asc\"]}", "400", "these are: price"},
        {"{\"facets\":[\"secret\"]}", "400", "these are: brand"},
    };

    (void)state;
    if (!scene.redis.process) skip();
    start();
    put_index("{\"facets\":[\"brand\"],\"sortable\":[\"price\"],\"fields\":[\"t\"]}");
    assert_parts(put("[{\"id\":1,\"t\":\"red\",\"brand\":\"a\",\"price\":3,\"secret\":1},"
                     "{\"id\":2,\"t\":\"red\",\"brand\":{\"x\":1},\"secret\":7}]"),
                 "200 OK", NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_parts(search(cases[i].body), cases[i].status, cases[i].what, NULL);
    drop_index();
    stop_scheduler();
}

static void a_filter_that_is_too_much_is_refused(void **state)
{
    (void)state;
    struct buf body = {0};
    if (!scene.redis.process) skip();
    start();
    put_index("{\"filterable\":[\"a\"]}");
    assert_parts(put("{\"id\":1,\"a\":1}"), "200 OK", NULL);
    buf_add_text(&body, "{\"filter\":\"");
    for (size_t i = 0; i < 300; i++)
        buf_addf(&body, "%sa=%zu", i ? " OR " : "", i);
    buf_add_text(&body, "\"}");
    assert_parts(search(buf_text(&body)), "400", "at most 256 conditions", NULL);
    buf_clear(&body);
    buf_add_text(&body, "{\"filter\":\"");
    for (size_t i = 0; i < 200; i++)
        buf_add_text(&body, "(");
    buf_add_text(&body, "a=1\"}");
    assert_parts(search(buf_text(&body)), "400", "parentheses", NULL);
    buf_clear(&body);
    buf_add_text(&body, "{\"filter\":\"a = '");
    for (size_t i = 0; i < 20000; i++)
        buf_add_byte(&body, 'x');
    buf_add_text(&body, "'\"}");
    assert_parts(search(buf_text(&body)), "400", "16384 bytes", NULL);
    // The largest that is taken.
    buf_clear(&body);
    buf_add_text(&body, "{\"filter\":\"");
    for (size_t i = 0; i < 60; i++)
        buf_add_text(&body, "NOT (");
    for (size_t i = 0; i < 256; i++)
        buf_addf(&body, "%sa=%zu", i ? (i % 2 ? " AND NOT " : " OR ") : "", i);
    for (size_t i = 0; i < 60; i++)
        buf_add_text(&body, ")");
    buf_add_text(&body, "\"}");
    assert_parts(search(buf_text(&body)), "200 OK", NULL);
    buf_fini(&body);
    drop_index();
    stop_scheduler();
}

// ---- settings ----------------------------------------------------------------------------------

/* Lists of `count` names: {"facets":["n0", …], …} */
static void write_names(struct buf *out, size_t count)
{
    static const char *const members[] = {"facets", "filterable", "sortable"};
    buf_add_text(out, "{");
    for (size_t i = 0; i < 3; i++) {
        buf_addf(out, "%s\"%s\":[", i ? "," : "", members[i]);
        for (size_t j = 0; j < count; j++)
            buf_addf(out, "%s\"%s%zu\"", j ? "," : "", members[i], j);
        buf_add_text(out, "]");
    }
    buf_add_text(out, "}");
}

static void settings_that_nobody_would_choose_do_no_harm(void **state)
{
    static const char *const taken[] = {
        "{\"fields\":{\"t.t.t.t.t.t.t.t.t\":0.01,\"t\":100},\"bm25\":{\"k1\":0,\"b\":0}}",
        "{\"fields\":[\"t\",\"t.\",\".t\",\".\",\"..\",\"t..x\"],\"bm25\":{\"k1\":10,\"b\":1}}",
        "{\"facets\":[\"t\",\"t.x\",\"t.x.x\",\"\\\"); DROP\",\"$\",\"constructor\",\"手机\"]}",
        "{\"stop_words\":[\"\",\" \",\"red\",\"手机\",\"\\u0001\",\"a b c\"]}",
        "{\"primary_key\":\"a.b\"}",
        "{\"typos\":{\"enabled\":true,\"one\":1,\"two\":1}}",
    };
    static const char *const refused[] = {
        "{\"bm25\":{\"k1\":1e999}}",     "{\"bm25\":{\"k1\":-1}}",
        "{\"fields\":{\"t\":1e300}}",    "{\"fields\":{\"__t\":1}}",
        "{\"facets\":[\"\"]}",           "{\"facets\":{\"a\":1}}",
        "{\"typos\":{\"one\":0}}",       "{\"stop_words\":[null]}",
        "{\"primary_key\":\"\"}",        "[1]",
        "{\"fields\":{\"a\":1,\"a\":2}}"};
    (void)state;
    struct buf body = {0};
    if (!scene.redis.process) skip();
    start();
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        put_index(taken[i]);
        assert_parts(put("[{\"id\":1,\"a.b\":1,\"t\":{\"x\":\"red shoes\",\"\":\"red\"}},"
                         "{\"id\":2,\"a.b\":2,\"t\":\"red hats\"}]"),
                     "200 OK", "\"stored\":2", NULL);
        assert_parts(search("{\"q\":\"hats rd\",\"facets\":[\"*\"],\"showRankingScore\":true}"),
                     "200 OK", "\"id\":2", NULL);
        drop_index();
    }
    put_index("{}");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_parts(ask("PUT", "/v1/indexes/shop", "", refused[i]), "400", NULL);
    write_names(&body, 64);
    put_index(buf_text(&body));
    assert_parts(put("{\"id\":1,\"facets0\":{\"x\":[1]},\"sortable63\":2}"), "200 OK", NULL);
    assert_parts(search("{\"facets\":[\"*\"],\"filter\":\"facets0.x = 1\","
                        "\"sort\":[\"sortable63:asc\",\"sortable0:desc\"]}"),
                 "200 OK", "\"estimatedTotalHits\":1", NULL);
    buf_clear(&body);
    write_names(&body, 65);
    assert_parts(ask("PUT", "/v1/indexes/shop", "", buf_text(&body)), "400", "at most 64", NULL);
    buf_fini(&body);
    drop_index();
    stop_scheduler();
}

// ---- deletion ----------------------------------------------------------------------------------

enum {
    CROWD = 30,
    DOCUMENTS = 4000
};

static const char *const questions[] = {
    "{\"q\":\"red number\",\"facets\":[\"*\"],\"filter\":\"n < 3000 AND c != c3\"}",
    "{\"sort\":[\"n:desc\"],\"limit\":100}",
    "{\"q\":\"\\\"red number\\\" shoos\",\"highlight\":true}",
    "{\"q\":\"手\",\"matchingStrategy\":\"all\"}",
};

/* Those that were asked before it: their answer, or that there is none. */
static void finish_crowd(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *answer = finish(fds[i], NULL);
        bool fine = strstr(answer, " 200 ") ? strstr(answer, "\"hits\":[") != NULL
                                            : strstr(answer, " 404 ") != NULL;
        if (!fine) fail_msg("%s", answer);
        mem_free(answer);
    }
}

static void put_many(void)
{
    struct buf body = {0};
    for (size_t i = 0; i < DOCUMENTS; i++)
        buf_addf(
            &body,
            "{\"id\":%zu,\"t\":\"red number %zu 手机壳\",\"n\":%zu,\"c\":[\"c%zu\",\"all\"]}\n", i,
            i, i, i % 7);
    assert_parts(put(buf_text(&body)), "200 OK", "\"stored\":4000", NULL);
    buf_fini(&body);
}

static void an_index_that_is_deleted_under_load_answers_or_is_not_there(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start();
    for (size_t round = 0; round < 3; round++) {
        int fds[CROWD];
        size_t count = 0;
        put_index("{\"facets\":[\"c\"],\"sortable\":[\"n\"],\"fields\":[\"t\"]}");
        put_many();
        for (; count < CROWD / 2; count++)
            fds[count] = begin("POST", "/v1/indexes/shop/search", "", questions[count % 4]);
        if (round == 1) // its copy is being read again for other settings
            put_index("{\"facets\":[\"c\"],\"sortable\":[\"n\"],\"fields\":[\"t\",\"c\"]}");
        for (; count < CROWD; count++)
            fds[count] = begin("POST", "/v1/indexes/shop/search", "", questions[count % 4]);
        drop_index();
        for (size_t i = 0; i < 4; i++)
            assert_parts(search(questions[i]), " 404 ", "no such index", NULL);
        assert_parts(put("{\"id\":1,\"t\":\"red\"}"), " 404 ", NULL);
        finish_crowd(fds, count);
        assert_parts(search(questions[0]), " 404 ", NULL);
    }
    stop_scheduler();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(giant_documents_are_taken_up_to_their_limit),
        cmocka_unit_test(deep_and_wide_documents_are_filtered_as_others),
        cmocka_unit_test(a_filter_is_never_more_than_a_filter),
        cmocka_unit_test(a_filter_that_is_too_much_is_refused),
        cmocka_unit_test(settings_that_nobody_would_choose_do_no_harm),
        cmocka_unit_test(an_index_that_is_deleted_under_load_answers_or_is_not_there),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
