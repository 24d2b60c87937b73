/* What a user may ask for, at the door: whole, refused, and with Redis away; a real Redis, no node. */
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANN "X-Qiao-User: ann\r\n"

static void start(void)
{
    start_scheduler("");
}

static void live(void)
{
    assert_parts(
        ask_patiently(
            "PUT", "/v1/items?wait=true", "",
            "{\"id\":\"p1\",\"category\":\"a b/c\"}\n{\"id\":\"p2\",\"category\":\"手机\"}"),
        " 200 ", NULL);
    assert_parts(ask("PUT", "/v1/me/consents", ANN,
                     "{\"consents\":{\"history\":true,\"partner:mall\":true},\"pseudonyms\":{"
                     "\"mall\":\"m-7\"}}"),
                 " 200 ", NULL);
    assert_parts(ask("POST", "/v1/events", ANN,
                     "{\"events\":[{\"type\":\"view\",\"item\":\"p1\",\"properties\":{\"a\":[1]}},"
                     "{\"type\":\"purchase\",\"item\":\"p2\"},"
                     "{\"type\":\"search\",\"properties\":{\"query\":\"灯\"}}]}"),
                 " 200 ", "\"stored\":3", NULL);
}

/* The id of the receipt in an answer; mem_free() both. */
static char *id_of(const char *answer)
{
    const char *at = strstr(answer, "\"id\":\"");
    assert_non_null(at);
    return mem_text(at + 6, 32);
}

static void everything_is_told_in_lines_and_forgotten_at_a_word(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    start();
    live();
    assert_parts(ask("GET", "/v1/me/export", ANN, ""), " 200 ", "application/x-ndjson",
                 "{\"object\":\"export\",\"format\":1,", "\"purpose\":\"partner:mall\"",
                 "{\"object\":\"limits\",", "\"tag\":\"手机\"}\n", "\"tag\":\"a b/c\"}\n",
                 "\"properties\":{\"a\":[1]}", "\"properties\":{\"query\":\"灯\"}",
                 "{\"object\":\"end\",\"complete\":true,", NULL);
    char *receipt = ask("DELETE", "/v1/me", ANN, ""), *id = id_of(receipt), path[96];
    assert_parts(receipt, " 200 ", "\"events\":3,\"consents\":2,\"links\":1,\"tags\":0",
                 "\"service\":{\"state\":\"complete\"", "\"replicas\":{\"state\":\"none\"}", NULL);
    snprintf(path, sizeof path, "/v1/me/erasures/%s", id);
    assert_parts(ask("GET", path, ANN, ""), " 200 ", id, "\"events\":3", NULL);
    assert_parts(ask("GET", path, "X-Qiao-User: bob\r\n", ""), " 404 ", "no such erasure", NULL);
    assert_parts(ask("GET", "/v1/me/erasures", ANN, ""), " 200 ",
                 "{\"object\":\"erasure\",\"id\":\"", id, "\"}]}", NULL);
    assert_parts(ask("GET", "/v1/me/erasures", "X-Qiao-User: bob\r\n", ""), "\"data\":[]", NULL);
    assert_parts(ask("GET", "/v1/me/erasures/ABC", ANN, ""), " 400 ", "32 hexadecimal digits",
                 NULL);
    assert_parts(ask("GET", "/v1/me/events", ANN, ""), " 403 ", NULL);
    assert_parts(ask("DELETE", "/v1/me", ANN, ""), " 200 ", "\"events\":0,\"consents\":0", NULL);
    assert_parts(ask("POST", "/v1/me", ANN, ""), " 405 ", "DELETE", NULL);
    mem_free(id);
    stop_scheduler();
}

static void interests_are_taken_by_their_encoded_names(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    start();
    live();
    assert_parts(ask("GET", "/v1/me/tags", "X-Qiao-User: nobody\r\n", ""), " 403 ", "history",
                 NULL);
    assert_parts(ask("GET", "/v1/me/tags", ANN, ""), " 200 ",
                 "\"data\":[{\"object\":\"tag\",\"tag\":\"手机\",\"weight\":0.8889,\"events\":1,",
                 "\"deleted\":[]", NULL);
    assert_parts(ask("DELETE", "/v1/me/tags/a%20b%2Fc", ANN, ""), " 200 ",
                 "{\"object\":\"tag\",\"tag\":\"a b/c\",\"deleted\":true}", NULL);
    assert_parts(ask("GET", "/v1/me/tags", ANN, ""), "\"weight\":1.0000", "\"deleted\":[\"a b/c\"]",
                 NULL);
    assert_parts(ask("PUT", "/v1/me/tags/a%20b/c", ANN, "{}"), " 200 ", "\"deleted\":false", NULL);
    assert_parts(ask("GET", "/v1/me/tags", ANN, ""), "\"deleted\":[]", NULL);
    assert_parts(ask("DELETE", "/v1/me/tags/%0A", ANN, ""), " 400 ", "a tag is", NULL);
    stop_scheduler();
}

/* The first line of what Redis answers; `words` as redis-cli takes them. Borrowed until the next call. */
static const char *redis_says(const char *words)
{
    static char line[256];
    char command[640];
    line[0] = '\0';
    snprintf(command, sizeof command, "redis-cli -s %s --raw %s", scene.redis.socket, words);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    if (fgets(line, sizeof line, pipe)) line[strcspn(line, "\n")] = '\0';
    pclose(pipe);
    return line;
}

/* Of a key of this user's. */
static void redis_do(const char *owner, const char *verb, const char *kind, const char *rest)
{
    char words[256];
    snprintf(words, sizeof words, "%s 'qiao:{u:%s}:%s' %s", verb, owner, kind, rest);
    assert_string_not_equal(redis_says(words), "");
}

static void what_does_not_open_keeps_nothing_else_back(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    char owner[33];
    start();
    assert_parts(ask_patiently("PUT", "/v1/items?wait=true", "", "{\"id\":\"p9\"}"), " 200 ", NULL);
    assert_parts(ask("PUT", "/v1/me/consents", "X-Qiao-User: odd\r\n",
                     "{\"consents\":{\"search\":true,\"assistant\":true}}"),
                 " 200 ", NULL);
    const char *found =
        redis_says("eval \"for _, k in ipairs(redis.call('keys', 'qiao:{u:*}:consent')) do "
                   "if redis.call('hexists', k, 'assistant') == 1 then return k end end\" 0");
    assert_int_equal(sscanf(found, "qiao:{u:%32[0-9a-f]}", owner), 1);
    redis_do(owner, "hset", "session:bad", "v 1 r garbage-that-is-none");
    redis_do(owner, "zadd", "sessions", "99999999999999 bad");
    redis_do(owner, "hset", "consent", "history 1");
    redis_do(owner, "rpush", "events", "QSV1-and-nothing-that-opens-it-is-here");
    assert_parts(ask("GET", "/v1/me/export", "X-Qiao-User: odd\r\n", ""), " 200 ",
                 "\"purpose\":\"assistant\"", "{\"object\":\"events\",\"error\":",
                 "{\"object\":\"session\",\"id\":\"bad\",\"error\":",
                 "{\"object\":\"end\",\"complete\":false", NULL);
    assert_parts(ask("DELETE", "/v1/me", "X-Qiao-User: odd\r\n", ""), " 200 ",
                 "\"sessions\":1,\"events\":1,\"consents\":3", NULL);
    stop_scheduler();
}

static void an_export_without_a_body_is_a_head(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    start();
    assert_parts(ask("HEAD", "/v1/me/export", ANN, ""), " 200 ", "application/x-ndjson", NULL);
    stop_scheduler();
}

static void only_a_few_exports_run_at_once(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();

    enum {
        MOST = 16
    };

    int fds[MOST];
    start();
    live();
    test_redis_freeze(&scene.redis, true);
    for (int i = 0; i < MOST; i++)
        fds[i] = begin("GET", "/v1/me/export", ANN, "");
    assert_soon(requests_in_hand() == MOST);
    assert_parts(ask("GET", "/v1/me/export", ANN, ""), " 503 ", "16 exports are under way", NULL);
    test_redis_freeze(&scene.redis, false);
    for (int i = 0; i < MOST; i++)
        mem_free(finish(fds[i], NULL));
    assert_parts(ask("GET", "/v1/me/export", ANN, ""), " 200 ", "\"complete\":true", NULL);
    stop_scheduler();
}

static void without_redis_nothing_is_promised(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    start();
    assert_parts(ask("GET", "/v1/items", "", ""), " 200 ", NULL); // the catalogue is followed
    test_redis_kill(&scene.redis);
    wait_for_redis(false);
    assert_parts(ask("DELETE", "/v1/me", ANN, ""), " 503 ", "data cannot be erased",
                 "store_unavailable", NULL);
    assert_parts(ask("GET", "/v1/me/erasures/00000000000000000000000000000000", ANN, ""), " 503 ",
                 "receipts cannot be read", NULL);
    assert_parts(ask("GET", "/v1/me/erasures", ANN, ""), " 503 ", "receipts cannot", NULL);
    assert_parts(ask("DELETE", "/v1/me/tags/x", ANN, ""), " 503 ", "tags cannot be changed", NULL);
    char *answer = ask("GET", "/v1/me/export", ANN, "");
    assert_non_null(strstr(answer, " 503 "));
    mem_free(answer);
    stop_scheduler();
    test_redis_restart(&scene.redis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_told_in_lines_and_forgotten_at_a_word),
        cmocka_unit_test(interests_are_taken_by_their_encoded_names),
        cmocka_unit_test(what_does_not_open_keeps_nothing_else_back),
        cmocka_unit_test(an_export_without_a_body_is_a_head),
        cmocka_unit_test(only_a_few_exports_run_at_once),
        cmocka_unit_test(without_redis_nothing_is_promised),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
