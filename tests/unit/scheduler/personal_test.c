/* Consents, catalogues and events as a client sees them: a whole scheduler and a real Redis, no node. */
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static const char ann[] = "X-Qiao-User: ann\r\n", bob[] = "X-Qiao-User: bob\r\n";

/* A scheduler that has found Redis. */
static void start(const char *keys)
{
    bool up = false;
    start_scheduler(keys);
    for (int i = 0; i < 200 && !up; i++) {
        char *answer = ask("GET", "/v1/me/consents", bob, "");
        up = strstr(answer, " 503 ") == NULL;
        mem_free(answer);
        if (!up) usleep(10000);
    }
    assert_true(up);
}

static void consents_are_none_until_given_and_each_users_own(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start("");
    assert_parts(
        ask("GET", "/v1/me/consents", ann, ""), " 200 ", "\"personalization\":true",
        "\"history\":false,\"recommendations\":false,\"search\":false,\"assistant\":false}",
        "\"since\":{}}", NULL);
    assert_parts(ask("PUT", "/v1/me/consents", ann,
                     "{\"consents\":{\"history\":true,\"partner:pay\":true},\"pseudonyms\":{"
                     "\"pay\":\"p1\"}}"),
                 " 200 ", "\"history\":true,", "\"partner:pay\":true}", "\"since\":{\"history\":1",
                 "\"partner:pay\":1", NULL);
    assert_parts(ask("GET", "/v1/me/consents", bob, ""), "\"history\":false", NULL);
    assert_parts(ask("PUT", "/v1/me/consents", ann, "{\"consents\":{\"partner:pay\":false}}"),
                 "\"history\":true", "\"assistant\":false}", NULL);
    assert_parts(ask("PUT", "/v1/me/personalization", ann, "{\"enabled\":false}"), " 200 ",
                 "{\"object\":\"personalization\",\"enabled\":false}", NULL);
    assert_parts(ask("GET", "/v1/me/personalization", ann, ""), "\"enabled\":false", NULL);
    assert_parts(ask("GET", "/v1/me/personalization", bob, ""), "\"enabled\":true", NULL);
    stop_scheduler();
}

static void a_wrong_consent_changes_nothing_and_is_named(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    static const char *const rows[][2] = {
        {"{}", "consents must be an object"},
        {"{\"consents\":{\"history\":1}}", "consents.history must be true or false"},
        {"{\"consents\":{\"assistant\":true,\"adverts\":true}}", "consents.adverts is no purpose"},
        {"{\"consents\":{\"partner:pay\":true}}", "pseudonyms.pay must say"},
        {"{\"consents\":{\"partner:Pay me\":true}}", "lower-case"},
        {"{\"consents\":{},\"pseudonyms\":1}", "pseudonyms must be an object"},
    };
    start("");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_parts(ask("PUT", "/v1/me/consents", bob, rows[i][0]), " 400 ", rows[i][1], NULL);
    assert_parts(ask("PUT", "/v1/me/personalization", bob, "{\"enabled\":1}"), " 400 ", "enabled",
                 NULL);
    assert_parts(ask("DELETE", "/v1/me/consents", bob, ""), " 405 ", "Allow: GET, PUT", NULL);
    assert_parts(ask("GET", "/v1/me/consents", bob, ""), "\"assistant\":false", NULL);
    stop_scheduler();
}

static void items_are_stored_line_by_line_and_seen_at_once(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start("");
    assert_parts(ask("PUT", "/v1/items", "",
                     "{\"id\":\"p1\",\"titles\":{\"zh\":\"手机\"},\"price\":3999}\n"
                     "{\"id\":\"p2\",\"price\":-3}\n"
                     "{\"id\":\"p3 x\"}\n\n"
                     "{\"id\":\"a/b\",\"attributes\":{\"colour\":\"red\"}}\n"
                     "{\"id\":\"gone\",\"delete\":true}"),
                 " 207 ", "\"stored\":2,\"deleted\":0,\"missing\":1,\"version\":1,\"visible\":true",
                 "\"errors\":[{\"line\":2,\"error\":{\"message\":\"price must be",
                 "\"param\":\"price\"", "{\"line\":3,", "\"param\":\"id\"", NULL);
    assert_parts(ask("GET", "/v1/items", "", ""), " 200 ",
                 "\"count\":2,\"version\":1,\"complete\":true", NULL);
    assert_parts(ask("GET", "/v1/items/p1", "", ""), " 200 ", "\"zh\":\"手机\"", NULL);
    assert_parts(ask("GET", "/v1/items/a%2Fb", "", ""), " 200 ", "red", NULL);
    assert_parts(ask("GET", "/v1/items/p2", "", ""), " 404 ", "there is no such item", NULL);
    assert_parts(ask("POST", "/v1/items", "", "{\"id\":\"p1\",\"delete\":true}"), " 200 ",
                 "\"deleted\":1", "\"version\":2", "\"errors\":[]", NULL);
    assert_parts(ask("DELETE", "/v1/items/a%2Fb", "", ""), " 204 ", NULL);
    assert_parts(ask("DELETE", "/v1/items/a%2Fb", "", ""), " 404 ", NULL);
    assert_parts(ask("GET", "/v1/items", "", ""), "\"count\":0,\"version\":3", NULL);
    assert_parts(ask("PUT", "/v1/items", "", "{\"id\":1}\n{}"), " 400 ", "\"stored\":0",
                 "\"line\":2", NULL);
    assert_parts(ask("PUT", "/v1/items", "", ""), " 400 ", "the body is empty", NULL);
    stop_scheduler();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(consents_are_none_until_given_and_each_users_own),
        cmocka_unit_test(a_wrong_consent_changes_nothing_and_is_named),
        cmocka_unit_test(items_are_stored_line_by_line_and_seen_at_once),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
