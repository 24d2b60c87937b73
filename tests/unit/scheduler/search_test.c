/* Search through HTTP: a whole scheduler and a real Redis. */
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"

#include "base/buf.h"
#include "base/mem.h"

#include <string.h>

static const char keys_path[] = "/tmp/qiao-search-test-keys.json";

/* A scheduler that has found its Redis. */
static void start(const char *keys)
{
    start_scheduler(keys);
}

static void put_shop(void)
{
    assert_parts(ask("PUT", "/v1/indexes/shop", "",
                     "{\"fields\":{\"title\":3,\"text\":1},\"facets\":[\"brand\"],"
                     "\"sortable\":[\"price\"]}"),
                 "200 OK", "\"index_version\":1", NULL);
    assert_parts(
        ask_patiently(
            "POST", "/v1/indexes/shop/documents?wait=true", "",
            "{\"id\":\"p1\",\"title\":\"智能手机\",\"brand\":\"华为\",\"price\":3999}\n"
            "{\"id\":\"p2\",\"title\":\"Wireless charger\",\"brand\":\"Anker\",\"price\":99}\n"
            "{\"id\":3,\"title\":\"Wireless phone cable\",\"brand\":\"Anker\",\"price\":19}\n"),
        "200 OK", "\"stored\":3,\"index_version\":2,\"errors\":[]", NULL);
}

static void drop_shop(void)
{
    assert_parts(ask("DELETE", "/v1/indexes/shop", "", ""), "204", NULL);
}

static void documents_are_found_as_soon_as_their_version_is_waited_for(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start("");
    put_shop();
    assert_parts(ask_patiently("POST", "/v1/indexes/shop/search", "", "{\"q\":\"shouji\"}"),
                 "200 OK", "\"id\":\"p1\"", "\"estimatedTotalHits\":1", "\"index_version\":2",
                 NULL);
    assert_parts(ask_patiently("POST", "/v1/indexes/shop/search", "",
                               "{\"q\":\"wirless\",\"sort\":[\"price:asc\"],\"facets\":[\"brand\"],"
                               "\"highlight\":true,\"limit\":1,\"filter\":\"price < 1000\"}"),
                 "200 OK", "\"id\":3", "<em>Wireless</em>", "\"estimatedTotalHits\":2",
                 "\"facetDistribution\":{\"brand\":{\"Anker\":2}}", NULL);
    assert_parts(ask("POST", "/v1/indexes/shop/suggest", "", "{\"q\":\"the wir\"}"), "200 OK",
                 "[\"the wireless\"]", NULL);
    assert_parts(ask("GET", "/v1/indexes/shop/documents/p2", "", ""), "200 OK", "Wireless charger",
                 NULL);
    assert_parts(ask_patiently("DELETE", "/v1/indexes/shop/documents/p2?wait=true", "", ""),
                 "200 OK", "\"index_version\":3", NULL);
    assert_parts(ask_patiently("POST", "/v1/indexes/shop/search", "", "{\"q\":\"charger\"}"),
                 "200 OK", "\"hits\":[]", "\"index_version\":3", NULL);
    // A write that is not waited for is found by who asks for its version.
    assert_parts(
        ask("POST", "/v1/indexes/shop/documents", "", "[{\"id\":\"p4\",\"title\":\"Lamp\"}]"),
        "\"index_version\":4", NULL);
    assert_parts(
        ask_patiently("POST", "/v1/indexes/shop/search", "", "{\"q\":\"lamp\",\"min_version\":4}"),
        "\"id\":\"p4\"", "\"index_version\":4", NULL);
    drop_shop();
    stop_scheduler();
}

static void an_index_outlives_its_scheduler(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start("");
    put_shop();
    stop_scheduler();
    start("");
    // The first question waits until the index has been read.
    assert_parts(ask_patiently("POST", "/v1/indexes/shop/search", "", "{\"q\":\"手机\"}"), "200 OK",
                 "\"id\":\"p1\"", "\"index_version\":2", NULL);
    assert_parts(ask("GET", "/v1/indexes", "", ""), "\"name\":\"shop\"", NULL);
    assert_parts(ask("GET", "/v1/indexes/shop", "", ""), "\"documents\":3",
                 "\"sortable\":[\"price\"]", NULL);
    drop_shop();
    assert_parts(ask_patiently("POST", "/v1/indexes/shop/search", "", "{}"), "404", NULL);
    stop_scheduler();
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;

    static const struct {
        const char *path, *body, *status, *what;
    } cases[] = {
        {"/search", "{\"filter\":\"colour = red\"}", "400", "`colour` is not filterable"},
        {"/search", "{\"filter\":\"brand = = x\"}", "400", "\"param\":\"filter\""},
        {"/search", "{\"facets\":[\"title\"]}", "400", "\"param\":\"facets\""},
        {"/search", "{\"sort\":[\"brand:asc\"]}", "400", "these are: price"},
        {"/search", "{\"sort\":[\"price\"]}", "400", "price:asc"},
        {"/search", "{\"limit\":1001}", "400", "\"param\":\"limit\""},
        {"/search", "{\"offset\":9999,\"limit\":2}", "400", "\"param\":\"offset\""},
        {"/search", "{\"colour\":1}", "400", "\"param\":\"colour\""},
        {"/search", "{\"vector\":[1]}", "400", "not served yet"},
        {"/search", "{\"q\":7}", "400", "\"param\":\"q\""},
        {"/search", "[]", "400", "JSON object"},
        {"/search", "{\"min_version\":99,\"deadline_ms\":50}", "503", "Retry-After"},
        {"/suggest", "{}", "400", "\"param\":\"q\""},
        {"/documents", "{\"title\":\"x\"}", "400", "id must be given"},
        {"/documents", "{\"id\":\"a b\"}", "400", "letters, digits"},
        {"/documents", "", "400", ""},
        {"/other", "{}", "404", "search, suggest"},
    };

    if (!scene.redis.process) skip();
    start("");
    put_shop();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[64];
        snprintf(path, sizeof path, "/v1/indexes/shop%s", cases[i].path);
        assert_parts(ask("POST", path, "", cases[i].body), cases[i].status, cases[i].what, NULL);
    }
    assert_parts(ask("POST", "/v1/indexes/none/documents", "", "{\"id\":1}"), "404", NULL);
    assert_parts(ask("PUT", "/v1/indexes/a.b", "", "{}"), "400", "the name of an index", NULL);
    assert_parts(ask("PUT", "/v1/indexes/shop", "", "{\"backend\":\"disk\"}"), "400",
                 "must be memory or redisearch", "\"param\":\"backend\"", NULL);
    assert_parts(ask("PUT", "/v1/indexes/shop", "", "{\"backend\":\"redisearch\"}"), "400",
                 "search_redisearch must have local:shop=host:port", "\"param\":\"backend\"", NULL);
    assert_parts(ask("PUT", "/v1/indexes/shop", "", "{\"fields\":[]}"), "400",
                 "\"param\":\"fields\"", NULL);
    assert_parts(ask("DELETE", "/v1/indexes/none", "", ""), "404", NULL);
    assert_parts(ask("PATCH", "/v1/indexes/shop", "", ""), "405", NULL);
    drop_shop();
    stop_scheduler();
}

static void an_index_is_its_tenants_and_writing_needs_a_key_for_it(void **state)
{
    static const char keys[] =
        "[{\"id\":\"a\",\"key\":\"the-secret-key-of-a\",\"tenant\":\"one\",\"data\":true},"
        "{\"id\":\"b\",\"key\":\"the-secret-key-of-b\",\"tenant\":\"one\"},"
        "{\"id\":\"c\",\"key\":\"the-secret-key-of-c\",\"tenant\":\"two\",\"admin\":true}]";
    (void)state;
    if (!scene.redis.process) skip();
    FILE *file = fopen(keys_path, "w");
    assert_non_null(file);
    fputs(keys, file);
    fclose(file);
    start(keys_path);
    assert_parts(
        ask("PUT", "/v1/indexes/shop", "Authorization: Bearer the-secret-key-of-a\r\n", "{}"),
        "200", NULL);
    assert_parts(ask_patiently("POST", "/v1/indexes/shop/documents?wait=true",
                               "Authorization: Bearer the-secret-key-of-a\r\n",
                               "{\"id\":1,\"t\":\"red\"}"),
                 "200", NULL);
    assert_parts(ask_patiently("POST", "/v1/indexes/shop/search",
                               "Authorization: Bearer the-secret-key-of-b\r\n", "{\"q\":\"red\"}"),
                 "200", "\"id\":1", NULL);
    assert_parts(ask("POST", "/v1/indexes/shop/documents",
                     "Authorization: Bearer the-secret-key-of-b\r\n", "{\"id\":2}"),
                 "403", "`data`", NULL);
    assert_parts(
        ask("DELETE", "/v1/indexes/shop", "Authorization: Bearer the-secret-key-of-b\r\n", ""),
        "403", NULL);
    assert_parts(ask_patiently("POST", "/v1/indexes/shop/search",
                               "Authorization: Bearer the-secret-key-of-c\r\n", "{\"q\":\"red\"}"),
                 "404", NULL);
    assert_parts(ask("GET", "/v1/indexes", "Authorization: Bearer the-secret-key-of-c\r\n", ""),
                 "\"data\":[]", NULL);
    assert_parts(
        ask("DELETE", "/v1/indexes/shop", "Authorization: Bearer the-secret-key-of-a\r\n", ""),
        "204", NULL);
    stop_scheduler();
    unlink(keys_path);
}

enum {
    CROWD = 24
};

static void an_index_may_be_deleted_while_it_is_asked(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start("");
    for (int round = 0; round < 5; round++) {
        int fds[CROWD];
        assert_parts(ask("PUT", "/v1/indexes/shop", "", "{}"), "200", NULL);
        assert_parts(ask_patiently("POST", "/v1/indexes/shop/documents?wait=true", "",
                                   "[{\"id\":1,\"t\":\"red\"},{\"id\":2,\"t\":\"red\"}]"),
                     "200", NULL);
        for (int i = 0; i < CROWD; i++) {
            bool writes = i % 3 == 2;
            fds[i] = begin(
                "POST", writes ? "/v1/indexes/shop/documents?wait=true" : "/v1/indexes/shop/search",
                "", writes ? "{\"id\":7,\"t\":\"red\"}" : "{\"q\":\"red\"}");
            if (i == CROWD / 2)
                assert_parts(ask("DELETE", "/v1/indexes/shop", "", ""), "204", NULL);
        }
        for (int i = 0; i < CROWD; i++) {
            char *answer = finish(fds[i], NULL);
            bool fine =
                strstr(answer, " 200 ") || strstr(answer, " 404 ") || strstr(answer, " 503 ");
            if (!fine) fail_msg("%s", answer);
            mem_free(answer);
        }
        // A write that came behind the deletion has not brought it back.
        assert_parts(ask_patiently("POST", "/v1/indexes/shop/search", "", "{\"q\":\"red\"}"), "404",
                     NULL);
    }
    stop_scheduler();
}

static void a_client_may_go_at_any_time(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start("");
    put_shop();
    for (int i = 0; i < 40; i++) {
        static const char *const paths[] = {"/v1/indexes/shop/search",
                                            "/v1/indexes/shop/documents?wait=true",
                                            "/v1/indexes/shop/suggest", "/v1/indexes/none/search"};
        static const char *const bodies[] = {"{\"q\":\"wireless\"}", "{\"id\":9,\"title\":\"x\"}",
                                             "{\"q\":\"w\"}", "{\"min_version\":3}"};
        close(begin("POST", paths[i % 4], "", bodies[i % 4]));
    }
    assert_parts(ask_patiently("POST", "/v1/indexes/shop/search", "", "{\"q\":\"wireless\"}"),
                 "200", NULL);
    drop_shop();
    stop_scheduler();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_found_as_soon_as_their_version_is_waited_for),
        cmocka_unit_test(an_index_outlives_its_scheduler),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(an_index_is_its_tenants_and_writing_needs_a_key_for_it),
        cmocka_unit_test(an_index_may_be_deleted_while_it_is_asked),
        cmocka_unit_test(a_client_may_go_at_any_time),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
