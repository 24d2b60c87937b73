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
    start_scheduler(keys);
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
    assert_parts(ask("PUT", "/v1/items", "", "{\"id\":1.5}\n{}"), " 400 ", "\"stored\":0",
                 "\"line\":2", NULL);
    assert_parts(ask("PUT", "/v1/items", "", ""), " 400 ", "the body is empty", NULL);
    assert_parts(ask("PUT", "/v1/items", "", "{\"id\":17,\"availability\":false}"), " 200 ",
                 "\"stored\":1", NULL);
    assert_parts(ask("GET", "/v1/items/17", "", ""), " 200 ", "\"id\":\"17\"",
                 "\"available\":false", NULL);
    assert_parts(ask("DELETE", "/v1/items/17", "", ""), " 204 ", NULL);
    assert_parts(
        ask("PUT", "/v1/items", "", "{\"id\":\"a\",\"available\":true,\"availability\":true}"),
        " 400 ", "\"param\":\"available\"", NULL);
    stop_scheduler();
}

static void consent_to_all(const char *user)
{
    assert_parts(ask("PUT", "/v1/me/consents", user,
                     "{\"consents\":{\"history\":true,\"recommendations\":true}}"),
                 " 200 ", NULL);
}

static void events_are_taken_with_consent_and_once(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    static const char body[] =
        "{\"session\":\"s\",\"events\":["
        "{\"id\":\"1\",\"type\":\"view\",\"item\":\"a\"},"
        "{\"id\":\"2\",\"type\":\"purchase\",\"item\":\"b\",\"properties\":{\"n\":2}},"
        "{\"id\":\"2\",\"type\":\"purchase\",\"item\":\"b\"}]}";
    static const char eve[] = "X-Qiao-User: eve\r\n";
    start("");
    assert_parts(ask("POST", "/v1/events", eve, body), " 403 ", "\"stored\":0,\"repeated\":0",
                 "{\"index\":0,\"error\":{\"message\":\"the user has not agreed",
                 "\"code\":\"permission_denied\"", "{\"index\":1,", "{\"index\":2,", NULL);
    consent_to_all(eve);
    assert_parts(ask("POST", "/v1/events", eve, body), " 200 ",
                 "\"stored\":2,\"repeated\":1,\"errors\":[]", NULL);
    assert_parts(ask("POST", "/v1/events", eve, body), " 200 ", "\"stored\":0,\"repeated\":3",
                 NULL);
    assert_parts(
        ask("POST", "/v1/events", eve, "{\"type\":\"search\",\"properties\":{\"query\":\"x\"}}"),
        " 200 ", "\"stored\":1", NULL);
    assert_parts(ask("GET", "/v1/me/events", eve, ""), " 200 ",
                 "{\"object\":\"list\",\"data\":[{\"type\":\"search\",\"time\":",
                 ",\"query\":\"x\"},{\"type\":\"purchase\",\"item\":\"b\",\"time\":",
                 "\"session\":\"s\"},{\"type\":\"view\",\"item\":\"a\",", "}]}", NULL);
    assert_parts(ask("GET", "/v1/me/events", "X-Qiao-User: nobody\r\n", ""), " 403 ",
                 "consent 'history'", NULL);
    // of several users, one of whom has not agreed
    assert_parts(ask("POST", "/v1/events", "",
                     "{\"events\":[{\"user\":\"eve\",\"type\":\"view\",\"item\":\"a\"},"
                     "{\"user\":\"nobody\",\"type\":\"view\",\"item\":\"a\"}]}"),
                 " 207 ", "\"stored\":1", "{\"index\":1,", NULL);
    stop_scheduler();
}

static void wrong_events_are_named_and_the_others_stored(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    static const char fay[] = "X-Qiao-User: fay\r\n";
    static const char *const rows[][2] = {
        {"{\"type\":\"view\"}", "item must be given"},
        {"{\"type\":\"looked\",\"item\":\"a\"}", "type must be view, cart"},
        {"{\"type\":\"view\",\"item\":\"a\",\"time\":1400000000}", "time is too old"},
        {"{\"type\":\"view\",\"item\":\"a\",\"time\":\"2099-01-01T00:00:00Z\"}",
         "time is in the future"},
        {"{\"type\":\"view\",\"item\":\"a\",\"time\":1790000000000}", "looks like another unit"},
        {"{\"type\":\"view\",\"item\":\"a\",\"time\":\"yesterday\"}", "such as 2026-11-26"},
        {"{\"type\":\"view\",\"item\":\"a\",\"properties\":[]}", "properties must be an object"},
        {"{\"type\":\"view\",\"item\":\"a\",\"colour\":1}", "colour is no member"},
        {"{\"type\":\"view\",\"item\":\"a b\"}", "item must have no spaces"},
        {"{\"type\":\"view\",\"item\":\"a\",\"user\":\"x y\"}", "user must be"},
        {"7", "an event must be an object"},
    };
    struct buf body = {0};
    start("");
    consent_to_all(fay);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_clear(&body);
        buf_addf(&body, "{\"events\":[%s,{\"id\":\"%zu\",\"type\":\"view\",\"item\":\"a\"}]}",
                 rows[i][0], i);
        assert_parts(ask("POST", "/v1/events", fay, buf_text(&body)), " 207 ", "\"stored\":1",
                     "{\"index\":0,", rows[i][1], NULL);
    }
    buf_clear(&body);
    buf_add_text(&body, "{\"events\":[7");
    for (int i = 0; i < 1000; i++)
        buf_add_text(&body, ",7");
    buf_add_text(&body, "]}");
    assert_parts(ask("POST", "/v1/events", fay, buf_text(&body)), " 400 ", "1 to 1000 events",
                 NULL);
    assert_parts(ask("POST", "/v1/events", fay, "{}"), " 400 ", "events must be a list", NULL);
    // with a catalogue, what it does not have is an error
    assert_parts(ask_until("PUT", "/v1/items", "", "{\"id\":\"a\"}", "\"visible\":true"), " 200 ",
                 "\"visible\":true", NULL);
    assert_parts(
        ask("POST", "/v1/events", fay,
            "{\"events\":[{\"type\":\"view\",\"item\":\"a\"},{\"type\":\"view\",\"item\":\"b\"}]}"),
        " 207 ", "\"stored\":1", "{\"index\":1,", "item is not in the catalogue", NULL);
    buf_fini(&body);
    stop_scheduler();
}

static const char keys_text[] =
    "[{\"id\":\"shop\",\"key\":\"shop-key-0123456789\"},"
    "{\"id\":\"loader\",\"key\":\"loader-key-0123456789\",\"tenant\":\"shop\",\"data\":true}]";

static void a_key_may_do_what_its_entry_says(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    static const char shop[] = "Authorization: Bearer shop-key-0123456789\r\n",
                      loader[] = "Authorization: Bearer loader-key-0123456789\r\n";
    char path[128];
    snprintf(path, sizeof path, "%s/keys.json", scene.redis.directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(keys_text, file);
    fclose(file);
    start(path);
    assert_parts(ask("PUT", "/v1/items", shop, "{\"id\":\"a\"}"), " 403 ",
                 "needs \\\"data\\\": true", NULL);
    assert_parts(ask("PUT", "/v1/items", loader, "{\"id\":\"a\"}"), " 200 ", "\"stored\":1", NULL);
    assert_parts(ask("GET", "/v1/items/a", shop, ""), " 200 ", NULL);
    assert_parts(ask("POST", "/v1/events", shop,
                     "{\"user\":\"ann\",\"events\":[{\"type\":\"view\",\"item\":\"a\"}]}"),
                 " 403 ", "this key may not assert a user", "\"param\":\"user\"", NULL);
    consent_to_all(shop); // the key's own user
    assert_parts(ask("POST", "/v1/events", shop, "{\"type\":\"view\",\"item\":\"a\"}"), " 200 ",
                 NULL);
    stop_scheduler();
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(consents_are_none_until_given_and_each_users_own),
        cmocka_unit_test(a_wrong_consent_changes_nothing_and_is_named),
        cmocka_unit_test(items_are_stored_line_by_line_and_seen_at_once),
        cmocka_unit_test(events_are_taken_with_consent_and_once),
        cmocka_unit_test(wrong_events_are_named_and_the_others_stored),
        cmocka_unit_test(a_key_may_do_what_its_entry_says),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
