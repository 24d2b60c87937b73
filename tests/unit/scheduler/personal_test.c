/* Consents, catalogues and events as a client sees them: a whole scheduler and a real Redis, no node. */
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"

#include "base/buf.h"
#include "base/mem.h"

#include <string.h>

static const char ann[] = "X-Qiao-User: ann\r\n", bob[] = "X-Qiao-User: bob\r\n";

static void consents_are_none_until_given_and_each_users_own(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start_scheduler("");
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
    start_scheduler("");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_parts(ask("PUT", "/v1/me/consents", bob, rows[i][0]), " 400 ", rows[i][1], NULL);
    assert_parts(ask("PUT", "/v1/me/personalization", bob, "{\"enabled\":1}"), " 400 ", "enabled",
                 NULL);
    assert_parts(ask("DELETE", "/v1/me/consents", bob, ""), " 405 ", "Allow: GET, PUT", NULL);
    assert_parts(ask("GET", "/v1/me/consents", bob, ""), "\"assistant\":false", NULL);
    stop_scheduler();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(consents_are_none_until_given_and_each_users_own),
        cmocka_unit_test(a_wrong_consent_changes_nothing_and_is_named),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
