/* Gorse's paths as its clients see them: a whole scheduler and a real Redis, no node. */
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"

#include "base/mem.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A scheduler that has found Redis. */
static void start(const char *keys)
{
    start_scheduler(keys);
}

static void agree(const char *user)
{
    char header[64];
    snprintf(header, sizeof header, "X-Qiao-User: %s\r\n", user);
    assert_parts(ask("PUT", "/v1/me/consents", header, "{\"consents\":{\"history\":true}}"),
                 " 200 ", NULL);
}

static void items_are_put_changed_listed_and_deleted(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start("");
    assert_parts(
        ask("POST", "/api/item", "",
            "{\"ItemId\":\"a\",\"IsHidden\":false,\"Categories\":[\"phones\",\"new\"],"
            "\"Timestamp\":\"2022-02-24\",\"Labels\":{\"colour\":\"red\"},\"Comment\":\"A\"}"),
        " 200 ", "{\"RowAffected\":1}", NULL);
    assert_parts(ask("POST", "/api/items", "", "[{\"ItemId\":\"b\"},{\"ItemId\":\"c d\"}]"),
                 " 400 ", "text/plain", "id must be", NULL);
    assert_parts(ask("GET", "/api/item/b", "", ""), " 404 ", "item not found", NULL);
    assert_parts(ask("POST", "/api/items", "", "[{\"ItemId\":\"b\"},{\"ItemId\":\"c\"}]"),
                 "{\"RowAffected\":2}", NULL);
    assert_parts(ask("GET", "/api/item/a", "", ""), " 200 ",
                 "{\"ItemId\":\"a\",\"IsHidden\":false,\"Categories\":[\"phones\",\"new\"],"
                 "\"Timestamp\":\"2022-02-24\",\"Labels\":{\"colour\":\"red\"},\"Comment\":\"A\"}",
                 NULL);
    assert_parts(ask("GET", "/v1/items/a", "", ""), "\"category\":\"phones\"", NULL);
    assert_parts(ask("PATCH", "/api/item/a", "", "{\"IsHidden\":true}"), "{\"RowAffected\":1}",
                 NULL);
    assert_parts(ask("GET", "/api/item/a", "", ""), "\"IsHidden\":true", "\"phones\"", NULL);
    assert_parts(ask("PUT", "/api/item/a/category/old%20ones", "", ""), "{\"RowAffected\":1}",
                 NULL);
    assert_parts(ask("DELETE", "/api/item/a/category/phones", "", ""), "{\"RowAffected\":1}", NULL);
    assert_parts(ask("GET", "/api/item/a", "", ""), "\"Categories\":[\"new\",\"old ones\"]", NULL);
    assert_parts(ask("GET", "/api/items?n=2", "", ""),
                 "{\"Cursor\":\"2\",\"Items\":[{\"ItemId\":\"a\"", "\"ItemId\":\"b\"", NULL);
    assert_parts(ask("GET", "/api/items?n=2&cursor=2", "", ""),
                 "{\"Cursor\":\"\",\"Items\":[{\"ItemId\":\"c\"", NULL);
    assert_parts(ask("GET", "/api/items?n=x", "", ""), " 400 ", "n must be a number", NULL);
    assert_parts(ask("DELETE", "/api/item/a", "", ""), "{\"RowAffected\":1}", NULL);
    assert_parts(ask("DELETE", "/api/item/a", "", ""), "{\"RowAffected\":0}", NULL);
    assert_parts(ask("PATCH", "/api/item/a", "", "{}"), " 404 ", NULL);
    assert_parts(ask("DELETE", "/api/item/b", "", ""), "{\"RowAffected\":1}", NULL);
    assert_parts(ask("DELETE", "/api/item/c", "", ""), "{\"RowAffected\":1}", NULL);
    stop_scheduler();
}

static void whatever_an_items_attributes_are_it_can_be_shown_and_changed(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start("");
    assert_parts(
        ask_until("PUT", "/v1/items", "",
                  "{\"id\":\"odd\",\"category\":\"pens\",\"titles\":{\"en\":\"Odd\"},"
                  "\"attributes\":{\"categories\":[7,null,[\"x\"],\"ink\"],\"labels\":9}}\n"
                  "{\"id\":\"plain\",\"category\":\"pens\"}",
                  "\"visible\":true"),
        " 200 ", "\"visible\":true", NULL);
    assert_parts(ask("GET", "/api/item/odd", "", ""), " 200 ",
                 "\"Categories\":[7,null,[\"x\"],\"ink\"]", "\"Labels\":9,\"Comment\":\"\"", NULL);
    assert_parts(ask("GET", "/api/item/plain", "", ""),
                 "\"Categories\":[\"pens\"],\"Timestamp\":\"0001-01-01T00:00:00Z\",\"Labels\":null",
                 NULL);
    assert_parts(ask("PUT", "/api/item/odd/category/new", "", ""), "{\"RowAffected\":1}", NULL);
    assert_parts(ask("GET", "/v1/items/odd", "", ""), "\"Odd\"", "\"categories\":[\"ink\",\"new\"]",
                 NULL);
    assert_parts(ask("POST", "/api/item", "", "{\"ItemId\":\"odd\",\"Categories\":[1]}"), " 400 ",
                 "Categories must be", NULL);
    assert_parts(ask("POST", "/api/item", "", "{\"Categories\":[]}"), " 400 ", "ItemId must be",
                 NULL);
    assert_parts(ask("DELETE", "/api/item/odd", "", ""), " 200 ", NULL);
    assert_parts(ask("DELETE", "/api/item/plain", "", ""), " 200 ", NULL);
    stop_scheduler();
}

static void feedback_is_kept_with_consent_alone_and_told_back(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    static const char bobs[] =
        "[{\"FeedbackType\":\"star\",\"UserId\":\"bob\",\"ItemId\":\"vue\",\"Timestamp\":\"\"},"
        "{\"FeedbackType\":\"read\",\"UserId\":\"bob\",\"ItemId\":\"vue\",\"Comment\":\"x\"},"
        "{\"FeedbackType\":\"star\",\"UserId\":\"bob\",\"ItemId\":\"d3\"}]";
    start("");
    assert_parts(ask("POST", "/api/feedback", "", bobs), " 403 ", "text/plain",
                 "3 of 3 feedbacks were not stored", "PUT /v1/me/consents", NULL);
    assert_parts(ask("GET", "/api/user/bob/feedback", "", ""), " 403 ", "nothing was read", NULL);
    agree("bob");
    assert_parts(ask("POST", "/api/feedback", "", bobs), " 200 ", "{\"RowAffected\":3}", NULL);
    assert_parts(ask("POST", "/api/feedback", "", bobs), " 200 ", "{\"RowAffected\":0}", NULL);
    assert_parts(ask("PUT", "/api/feedback", "", bobs), " 200 ", "{\"RowAffected\":3}", NULL);
    char *list = ask("GET", "/api/user/bob/feedback", "", "");
    assert_non_null(strstr(list, "{\"FeedbackType\":\"read\",\"UserId\":\"bob\",\"ItemId\":\"vue\","
                                 "\"Timestamp\":\"2"));
    const char *first = strstr(list, "\"ItemId\":\"d3\"");
    assert_true(first && !strstr(first + 1, "\"ItemId\":\"d3\"")); // the latest stands for both
    mem_free(list);
    assert_parts(ask("GET", "/api/user/bob/feedback/read", "", ""), " 200 ",
                 "[{\"FeedbackType\":\"read\"", "\"Comment\":\"x\"}]", NULL);
    assert_parts(ask("GET", "/api/feedback/bob/vue", "", ""), " 200 ", "read", "star", NULL);
    assert_parts(ask("GET", "/api/feedback/star/bob/d3", "", ""), " 200 ",
                 "{\"FeedbackType\":\"star\"", NULL);
    assert_parts(ask("GET", "/api/feedback/read/bob/d3", "", ""), " 404 ", "feedback not found",
                 NULL);
    assert_parts(ask("GET", "/api/feedback?n=10", "", ""), " 403 ", "told to nobody", NULL);
    assert_parts(ask("GET", "/v1/me/events", "X-Qiao-User: bob\r\n", ""), "\"favourite\"",
                 "\"view\"", NULL);
    stop_scheduler();
}

static void feedback_that_is_taken_back_is_gone_and_may_come_again(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    static const char dans[] = "[{\"FeedbackType\":\"star\",\"UserId\":\"dan\",\"ItemId\":\"vue\"},"
                               "{\"FeedbackType\":\"read\",\"UserId\":\"dan\",\"ItemId\":\"vue\"},"
                               "{\"FeedbackType\":\"star\",\"UserId\":\"dan\",\"ItemId\":\"d3\"}]";
    start("");
    agree("dan");
    assert_parts(ask("POST", "/api/feedback", "", dans), "{\"RowAffected\":3}", NULL);
    assert_parts(ask("DELETE", "/api/feedback/star/dan/vue", "", ""), " 200 ",
                 "{\"RowAffected\":1}", NULL);
    assert_parts(ask("DELETE", "/api/feedback/star/dan/vue", "", ""), "{\"RowAffected\":0}", NULL);
    assert_parts(ask("GET", "/api/feedback/dan/vue", "", ""), "\r\n\r\n[{\"FeedbackType\":\"read\"",
                 "}]", NULL);
    assert_parts(ask("POST", "/api/feedback", "", dans), "{\"RowAffected\":1}", NULL);
    // also with personalization off, when nothing is read for anything else
    assert_parts(
        ask("PUT", "/v1/me/personalization", "X-Qiao-User: dan\r\n", "{\"enabled\":false}"),
        " 200 ", NULL);
    assert_parts(ask("DELETE", "/api/feedback/dan/vue", "", ""), " 200 ", "{\"RowAffected\":2}",
                 NULL);
    assert_parts(ask("DELETE", "/api/feedback/nobody/vue", "", ""), " 200 ", "{\"RowAffected\":0}",
                 NULL);
    assert_parts(ask("PUT", "/v1/me/personalization", "X-Qiao-User: dan\r\n", "{\"enabled\":true}"),
                 " 200 ", NULL);
    assert_parts(ask("GET", "/api/user/dan/feedback", "", ""),
                 "\r\n\r\n[{\"FeedbackType\":\"star\","
                 "\"UserId\":\"dan\",\"ItemId\":\"d3\"",
                 "}]", NULL);
    stop_scheduler();
}

static void a_wrong_feedback_is_named_and_nothing_of_its_body_stored(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    static const char *const rows[][2] = {
        {"{\"FeedbackType\":\"yawn\",\"UserId\":\"ann\",\"ItemId\":\"a\"}",
         "feedback 1: FeedbackType must be view"},
        {"{\"FeedbackType\":\"search\",\"UserId\":\"ann\",\"ItemId\":\"a\"}",
         "FeedbackType must be"},
        {"{\"FeedbackType\":\"star\",\"UserId\":\"ann\"}", "must be given"},
        {"{\"FeedbackType\":\"star\",\"UserId\":\"a n\",\"ItemId\":\"a\"}", "UserId must be"},
        {"{\"FeedbackType\":\"star\",\"UserId\":\"ann\",\"ItemId\":\"a b\"}", "ItemId must have"},
        {"{\"FeedbackType\":\"star\",\"UserId\":\"ann\",\"ItemId\":\"a\",\"Timestamp\":\"soon\"}",
         "Timestamp must be a time"},
        {"{\"FeedbackType\":\"star\",\"UserId\":\"ann\",\"ItemId\":\"a\",\"Timestamp\":\"2011-01-"
         "01\"}",
         "Timestamp is too old"},
        {"{\"FeedbackType\":\"star\",\"UserId\":\"ann\",\"ItemId\":\"a\",\"Timestamp\":\"2199-01-"
         "01\"}",
         "Timestamp is in the future"},
        {"7", "it must be an object"},
    };
    start("");
    agree("ann");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char body[512];
        snprintf(body, sizeof body,
                 "[{\"FeedbackType\":\"star\",\"UserId\":\"ann\",\"ItemId\":\"a\"},%s]",
                 rows[i][0]);
        assert_parts(ask("POST", "/api/feedback", "", body), " 400 ", rows[i][1],
                     "nothing was stored", NULL);
    }
    assert_parts(ask("POST", "/api/feedback", "", "{}"), " 400 ", "must be a JSON list", NULL);
    assert_parts(ask("POST", "/api/feedback", "", "[]"), " 400 ", "1 to 1000 feedbacks", NULL);
    assert_parts(ask("GET", "/api/user/ann/feedback", "", ""), " 200 ", "\r\n\r\n[]", NULL);
    stop_scheduler();
}

static void a_user_is_who_has_agreed_and_is_deleted_with_all_events(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start("");
    assert_parts(ask("POST", "/api/user", "", "{\"UserId\":\"eve\",\"Labels\":[\"x\"]}"), " 200 ",
                 "{\"RowAffected\":0}", NULL);
    assert_parts(ask("POST", "/api/users", "", "[{\"UserId\":\"eve\"},{}]"), " 400 ",
                 "UserId must be", NULL);
    assert_parts(ask("GET", "/api/user/eve", "", ""), " 404 ", "user not found", NULL);
    agree("eve");
    assert_parts(ask("GET", "/api/user/eve", "", ""), " 200 ",
                 "{\"UserId\":\"eve\",\"Labels\":null", NULL);
    assert_parts(ask("PATCH", "/api/user/eve", "", "{\"Comment\":\"x\"}"), "{\"RowAffected\":0}",
                 NULL);
    assert_parts(ask("POST", "/api/feedback", "",
                     "[{\"FeedbackType\":\"buy\",\"UserId\":\"eve\",\"ItemId\":\"z\"}]"),
                 "{\"RowAffected\":1}", NULL);
    assert_parts(ask("DELETE", "/api/user/eve", "", ""), " 200 ", "{\"RowAffected\":1}", NULL);
    assert_parts(ask("DELETE", "/api/user/eve", "", ""), " 200 ", "{\"RowAffected\":0}", NULL);
    agree("eve");
    assert_parts(ask("GET", "/api/user/eve/feedback", "", ""), " 200 ", "\r\n\r\n[]", NULL);
    assert_parts(ask("GET", "/api/users", "", ""), " 403 ", "cannot be listed", NULL);
    stop_scheduler();
}

static const char keys_text[] =
    "[{\"id\":\"shop\",\"key\":\"shop-key-0123456789\",\"may_assert_user\":true},"
    "{\"id\":\"phone\",\"key\":\"phone-key-0123456789\"},"
    "{\"id\":\"loader\",\"key\":\"loader-key-0123456789\",\"tenant\":\"shop\",\"data\":true}]";

static void the_key_is_gorses_header_and_may_do_what_its_entry_says(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    char path[128];
    snprintf(path, sizeof path, "%s/keys.json", scene.redis.directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(keys_text, file);
    fclose(file);
    start(path);
    assert_parts(ask("GET", "/api/items", "", ""), " 401 ", "no API key was given", NULL);
    assert_parts(ask("GET", "/api/items", "X-API-Key: wrong\r\n", ""), " 401 ", "not known", NULL);
    assert_parts(ask("GET", "/api/items", "X-API-Key: shop-key-0123456789\r\n", ""), " 200 ", NULL);
    assert_parts(ask("GET", "/api/items", "Authorization: Bearer shop-key-0123456789\r\n", ""),
                 " 200 ", NULL);
    assert_parts(
        ask("POST", "/api/item", "X-API-Key: shop-key-0123456789\r\n", "{\"ItemId\":\"a\"}"),
        " 403 ", "\"data\": true", NULL);
    assert_parts(
        ask("POST", "/api/item", "X-API-Key: loader-key-0123456789\r\n", "{\"ItemId\":\"a\"}"),
        " 200 ", NULL);
    assert_parts(ask("GET", "/api/user/ann", "X-API-Key: phone-key-0123456789\r\n", ""), " 403 ",
                 "may not assert a user", NULL);
    assert_parts(ask("GET", "/api/recommend/ann", "X-API-Key: phone-key-0123456789\r\n", ""),
                 " 403 ", NULL);
    assert_parts(ask("GET", "/api/health/live", "", ""), " 200 ", "\"CacheStoreConnected\":true",
                 NULL);
    assert_parts(ask("GET", "/api/health/ready", "", ""), " 503 ", "\"Ready\":false", NULL);
    stop_scheduler();
    unlink(path);
}

static void a_path_that_is_none_is_refused_in_plain_text(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start("");
    assert_parts(ask("GET", "/api/nothing", "", ""), " 404 ", "text/plain", "no such path", NULL);
    assert_parts(ask("GET", "/api/a/b/c/d/e/f", "", ""), " 404 ", NULL);
    assert_parts(ask("PATCH", "/api/items", "", "{}"), " 405 ", "does not take PATCH", NULL);
    assert_parts(ask("GET", "/api/item/%00", "", ""), " 400 ", "a part of the path", NULL);
    assert_parts(ask("GET", "/api/recommend/ann?n=1001", "", ""), " 400 ", "at most 1000", NULL);
    assert_parts(ask("GET", "/api/recommend/ann?n=600&offset=600", "", ""), " 400 ", "together",
                 NULL);
    assert_parts(ask("GET", "/api/recommend/ann?write-back-type=read", "", ""), " 400 ",
                 "write-back-type is not served", NULL);
    assert_parts(ask("GET", "/api/recommend/ann", "", ""), " 404 ", "text/plain", "no model", NULL);
    assert_parts(ask("POST", "/api/session/recommend", "", "[]"), " 400 ", "1 to 4096 feedbacks",
                 NULL);
    stop_scheduler();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_put_changed_listed_and_deleted),
        cmocka_unit_test(whatever_an_items_attributes_are_it_can_be_shown_and_changed),
        cmocka_unit_test(feedback_is_kept_with_consent_alone_and_told_back),
        cmocka_unit_test(feedback_that_is_taken_back_is_gone_and_may_come_again),
        cmocka_unit_test(a_wrong_feedback_is_named_and_nothing_of_its_body_stored),
        cmocka_unit_test(a_user_is_who_has_agreed_and_is_deleted_with_all_events),
        cmocka_unit_test(the_key_is_gorses_header_and_may_do_what_its_entry_says),
        cmocka_unit_test(a_path_that_is_none_is_refused_in_plain_text),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
