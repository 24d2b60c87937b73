/* Sessions as a client sees them: a whole scheduler, a played node, a real Redis and its replica. */
#include "tests/support/fake_node.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdarg.h>
#include <string.h>

static const char chat_path[] = "/v1/chat/completions";
static struct fake_node *node;

/* A chat that says `text` in the session; `rest` are further members of the body. */
static char *say(const char *session, const char *text, const char *rest)
{
    struct buf body = {0};
    buf_addf(&body, "{\"session\":%s,\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]%s}",
             session, text, rest);
    char *answer = ask("POST", chat_path, "", body.data);
    buf_fini(&body);
    return answer;
}

static char *get(const char *path)
{
    return ask("GET", path, "", "");
}

static void start(const char *const *more, const struct fake_node_options *options)
{
    start_scheduler_with("", more);
    node = start_node(options ? options : &(struct fake_node_options){0});
}

static void stop(void)
{
    assert_soon(flights_in_air() == 0);
    fake_node_stop(node);
    stop_scheduler();
}

static void a_wrong_version_is_refused_before_a_token_is_computed(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start(NULL, NULL);
    assert_parts(say("{\"id\":\"v\",\"version\":0}", "one", ""), " 200 ",
                 "x-qiao-session-version: 1", "\"usage\":{",
                 "},\"session\":{\"id\":\"v\",\"version\":1}}", NULL);
    unsigned before = fake_node_submits(node);
    assert_parts(say("{\"id\":\"v\",\"version\":0}", "one", ""), " 409 ",
                 "x-qiao-session-version: 1", "is at version 1, not 0",
                 "\"code\":\"conflict\",\"session\":{\"id\":\"v\",\"version\":1}}}", NULL);
    assert_parts(say("{\"id\":\"v\",\"version\":7}", "one", ",\"stream\":true"), " 409 ", NULL);
    assert_int_equal(fake_node_submits(node), before);
    assert_parts(say("{\"id\":\"v\",\"version\":1}", "two", ",\"stream\":true"), " 200 ",
                 "\"finish_reason\":\"stop\"}],\"session\":{\"id\":\"v\",\"version\":2}}", "[DONE]",
                 NULL);
    assert_parts(
        say("\"v\"", "three", ",\"stream\":true,\"stream_options\":{\"include_usage\":true}"),
        "],\"session\":{\"id\":\"v\",\"version\":3},\"usage\":null}", "[DONE]", NULL);
    assert_parts(get("/v1/sessions/v"), "\"id\":\"v\",\"version\":3,\"expires_in\":86400,",
                 "\"content\":\"one\",\"version\":1}", "\"content\":\"three\",\"version\":3}",
                 NULL);
    assert_parts(say("{\"id\":\"a/b\"}", "x", ""), " 400 ", "session", NULL);
    stop();
}

static void the_second_of_two_devices_hears_the_version(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    const char body[] =
        "{\"session\":\"both\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}";
    start(NULL, NULL);
    fake_node_hang(node, true); // until both have read the session
    int one = begin("POST", chat_path, "", body);
    int two = begin("POST", chat_path, "", body);
    wait_for_submits(node, 2);
    fake_node_hang(node, false);
    char *first = finish(one, NULL), *second = finish(two, NULL);
    char *refused = strstr(first, " 409 ") ? first : second;
    assert_parts(refused == first ? second : first, " 200 ", "\"version\":1}", NULL);
    assert_parts(refused, " 409 ", "x-qiao-session-version: 1",
                 "\"code\":\"conflict\",\"session\":{\"id\":\"both\",\"version\":1}", NULL);
    stop();
}

static void a_turn_that_comes_again_is_answered_by_what_was_stored(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    const char turn[] = "{\"id\":\"again\",\"turn_id\":\"t-1\",\"version\":0}";
    start(NULL, NULL);
    assert_parts(say(turn, "one", ",\"max_tokens\":3"), " 200 ", "\"content\":\"Hell\"",
                 "\"finish_reason\":\"length\"", NULL);
    unsigned before = fake_node_submits(node);
    assert_parts(say(turn, "one", ""), " 200 ", "x-qiao-session-version: 1", "\"content\":\"Hell\"",
                 "\"finish_reason\":\"length\"", "\"completion_tokens\":0",
                 "\"session\":{\"id\":\"again\",\"version\":1,\"repeated\":true}", NULL);
    assert_parts(say(turn, "one", ",\"stream\":true,\"stream_options\":{\"include_usage\":true}"),
                 " 200 ", "\"role\":\"assistant\"", "\"content\":\"Hell\"",
                 "\"finish_reason\":\"length\"", "\"repeated\":true}",
                 "\"choices\":[],\"usage\":", "[DONE]", NULL);
    assert_parts(say("{\"id\":\"again\",\"turn_id\":\"t-2\"}", "two", ""), "\"version\":2}", NULL);
    assert_parts(say(turn, "one", ""), " 200 ", "\"content\":\"Hell\"", "\"repeated\":true", NULL);
    assert_parts(say(turn, "another", ""), " 409 ", "turn_id made version 1, but of other messages",
                 NULL);
    assert_int_equal(fake_node_submits(node), before + 1);
    assert_parts(get("/v1/sessions/again"), "\"version\":2,", NULL);
    stop();
}

static void one_turn_sent_twice_at_once_is_stored_once(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    const char body[] = "{\"session\":{\"id\":\"twice\",\"turn_id\":\"t\"},"
                        "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}";
    const char other[] = "{\"session\":{\"id\":\"twice\",\"turn_id\":\"t\"},"
                         "\"messages\":[{\"role\":\"user\",\"content\":\"y\"}]}";
    start(NULL, NULL);
    fake_node_hang(node, true); // until all have read the session; it then ends them in this order
    int fds[] = {begin("POST", chat_path, "", body), begin("POST", chat_path, "", body)};
    wait_for_submits(node, 2);
    int late = begin("POST", chat_path, "", other);
    wait_for_submits(node, 3);
    fake_node_hang(node, false);
    int repeated = 0;
    for (int i = 0; i < 2; i++) {
        char *answer = finish(fds[i], NULL);
        repeated += strstr(answer, "\"repeated\":true") != NULL;
        assert_parts(answer, " 200 ", "Hello, 你好 world", "\"version\":1", NULL);
    }
    assert_int_equal(repeated, 1);
    assert_parts(finish(late, NULL), " 409 ", "of other messages", NULL);
    assert_parts(get("/v1/sessions/twice"), "\"version\":1,", NULL);
    stop();
}

/* A conversation with a system turn that is nearly too long. */
static void fill(const char *session)
{
    char *answer = NULL;
    struct buf body = {0};
    bool full = false;
    buf_addf(&body,
             "{\"session\":\"%s\",\"messages\":[{\"role\":\"system\",\"content\":\"be kind\"},"
             "{\"role\":\"user\",\"content\":\"the very first\"}]}",
             session);
    assert_parts(ask("POST", chat_path, "", body.data), " 200 ", NULL);
    buf_clear(&body);
    buf_addf(&body, "\"%s\"", session);
    for (int i = 0; i < 40 && !full; i++) {
        answer = say(body.data, "a question of some length", "");
        full = strstr(answer, "context_length_exceeded") != NULL;
        mem_free(answer);
    }
    assert_true(full);
    buf_fini(&body);
}

static void a_full_context_is_an_error_or_costs_the_oldest_turns(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start(NULL, NULL);
    fill("full");
    assert_parts(say("\"full\"", "a question of some length", ""), " 400 ", "\\\"compact\\\"",
                 NULL);
    assert_parts(say("{\"id\":\"full\",\"compact\":\"drop\"}", "and the last", ""), " 200 ",
                 "\"session\":{\"id\":\"full\",\"version\":", "\"dropped_turns\":", NULL);
    char *prompt = fake_node_prompt(node);
    assert_non_null(strstr(prompt, "system\nbe kind"));
    assert_null(strstr(prompt, "the very first"));
    assert_non_null(strstr(prompt, "and the last"));
    mem_free(prompt);
    char *left = get("/v1/sessions/full");
    assert_null(strstr(left, "the very first"));
    assert_parts(left, "be kind", "and the last", NULL);
    for (int i = 0; i < 20; i++)
        assert_parts(say("{\"id\":\"full\",\"compact\":\"drop\"}", "it goes on for ever", ""),
                     " 200 ", NULL);
    stop();
}

static void too_many_bytes_are_an_error_or_cost_the_oldest_turns(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    const char *const more[] = {"--session-bytes", "1024", NULL};
    char text[361] = "";
    while (strlen(text) < 360)
        strcat(text, "你"); // one token of three bytes
    start(more, &(struct fake_node_options){.answer = "H"});
    for (int i = 0; i < 2; i++)
        assert_parts(say("\"bytes\"", text, ""), " 200 ", NULL);
    assert_parts(say("\"bytes\"", text, ""), " 413 ", "the limits are 512 and 1024; start a new",
                 NULL);
    assert_parts(say("{\"id\":\"bytes\",\"compact\":\"drop\"}", text, ""), " 200 ",
                 "\"dropped_turns\":2}", NULL);
    stop();
}

static void a_full_context_is_summed_up_by_the_model_itself(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    const char ask_for_it[] = "{\"id\":\"sum\",\"compact\":\"summary\"}";
    start(NULL, NULL);
    fill("sum");
    unsigned before = fake_node_submits(node);
    assert_parts(say(ask_for_it, "and the last", ""), " 200 ", "\"content\":\"Hello, 你好 world\"",
                 "\"session\":{\"id\":\"sum\",\"version\":", "\"dropped_turns\":",
                 "\"summary_tokens\":", NULL);
    assert_int_equal(fake_node_submits(node), before + 2);
    char *prompt = fake_node_prompt(node);
    assert_non_null(strstr(prompt, "system\nbe kind\n\nSummary of the conversation so far: Hello, "
                                   "你好 world<|im_end|>"));
    assert_null(strstr(prompt, "the very first"));
    assert_non_null(strstr(prompt, "and the last"));
    mem_free(prompt);
    assert_parts(get("/v1/sessions/sum"), "{\"role\":\"system\",\"content\":\"be kind\"",
                 "{\"role\":\"system\",\"content\":\"Summary of the conversation so far: Hello",
                 "and the last", NULL);
    assert_parts(say(ask_for_it, "there is room again", ""), " 200 ", NULL);
    assert_int_equal(fake_node_submits(node), before + 3);
    for (int i = 0; i < 30; i++) // the next summaries take the older ones in
        assert_parts(say(ask_for_it, "it goes on for ever", ""), " 200 ", NULL);
    assert_true(fake_node_submits(node) > before + 34);
    char *shown = get("/v1/sessions/sum");
    char *summary = strstr(shown, "Summary of the");
    assert_non_null(summary);
    assert_null(strstr(summary + 1, "Summary of the"));
    mem_free(shown);
    stop();
}

static void a_client_that_leaves_during_a_summary_cancels_it(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start(NULL, NULL);
    fill("left");
    unsigned before = fake_node_submits(node);
    fake_node_hang(node, true);
    int fd = begin("POST", chat_path, "",
                   "{\"session\":{\"id\":\"left\",\"compact\":\"summary\"},"
                   "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    assert_soon(fake_node_submits(node) > before);
    close(fd);
    wait_for_cancels(node, 1);
    assert_int_equal(fake_node_submits(node), before + 1);
    fake_node_hang(node, false);
    char *shown = get("/v1/sessions/left");
    assert_non_null(strstr(shown, "the very first")); // nothing was lost
    mem_free(shown);
    stop();
}

static void a_session_is_prewarmed_without_a_turn(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start(NULL, NULL);
    assert_parts(ask("POST", "/v1/sessions/warm/prewarm", "", ""), " 404 ", "no such session",
                 NULL);
    assert_parts(say("\"warm\"", "one", ""), " 200 ", NULL);
    assert_parts(ask("POST", "/v1/sessions/warm/prewarm", "", ""), " 200 ",
                 "\"object\":\"session.prewarm\",\"id\":\"warm\",\"version\":1,\"model\":\"tiny\","
                 "\"prompt_tokens\":",
                 "\"cached_tokens\":3}", NULL);
    char *prompt = fake_node_prompt(node);
    const char *end = strstr(prompt, "Hello, 你好 world<|im_end|>\n");
    assert_non_null(end); // it ends where the next question will begin
    assert_string_equal(end, "Hello, 你好 world<|im_end|>\n");
    mem_free(prompt);
    assert_parts(ask("POST", "/v1/sessions/warm/prewarm", "", "{\"model\":\"nope\"}"), " 404 ",
                 "model_not_found", NULL);
    assert_parts(ask("POST", "/v1/sessions/warm/cool", "", ""), " 404 ", NULL);
    assert_parts(get("/v1/sessions/warm"), "\"version\":1,", NULL);
    stop();
}

static void sessions_are_listed_and_exported_for_their_user(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start(NULL, NULL);
    assert_parts(get("/v1/sessions"), " 200 ",
                 "{\"object\":\"list\",\"data\":[],\"has_more\":false}", NULL);
    assert_parts(say("\"l-1\"", "one", ""), " 200 ", NULL);
    assert_parts(get("/v1/sessions"),
                 "[{\"object\":\"session\",\"id\":\"l-1\",\"version\":1,\"expires_in\":86400}]",
                 NULL);
    assert_parts(ask("GET", "/v1/sessions", "X-Qiao-User: other\r\n", ""), "\"data\":[]", NULL);
    assert_parts(get("/v1/sessions/l-1/export"), " 200 ", "application/x-ndjson",
                 "\"id\":\"l-1\",\"version\":1,\"expires_in\":86400,\"turn_count\":2}\n"
                 "{\"role\":\"user\",\"content\":\"one\",\"version\":1}\n"
                 "{\"role\":\"assistant\",\"content\":\"Hello, 你好 world\",\"version\":1}\n",
                 NULL);
    assert_parts(ask("GET", "/v1/sessions/l-1/export", "X-Qiao-User: other\r\n", ""), " 404 ",
                 NULL);
    assert_parts(ask("DELETE", "/v1/sessions/l-1", "", ""), " 204 ", NULL);
    assert_parts(get("/v1/sessions"), "\"data\":[]", NULL);
    stop();
}

/* A turn that asks for replicas, sent again for as long as the answer says that. */
static char *say_until_without(const char *code, const char *session, const char *text,
                               const char *rest)
{
    char *answer = say(session, text, rest);
    for (int i = 0; i < TEST_LOOKS_MAX && strstr(answer, code); i++) {
        mem_free(answer);
        usleep(TEST_LOOK_US);
        answer = say(session, text, rest);
    }
    return answer;
}

/* The connection of replicated turns is one of its own, and may come after that of everybody. */
static void wait_for_durables(void)
{
    mem_free(say_until_without("store_unavailable",
                               "{\"id\":\"first\",\"durability\":\"replicated\"}", "one", ""));
}

static void a_replicated_turn_is_answered_when_a_replica_has_it(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    const char *const more[] = {"--session-wait-ms", "800", NULL};
    const char turn[] = "{\"id\":\"dur\",\"turn_id\":\"t\",\"durability\":\"replicated\"}";
    struct test_redis replica;
    start(more, NULL);
    wait_for_durables();
    for (int i = 0; i < 2; i++)
        assert_parts(say(turn, "one", ""), " 503 ", "x-qiao-session-version: 1", "Retry-After: ",
                     "0 of 1 replicas had it within 800 ms; send it again with the same turn_id",
                     "\"code\":\"not_replicated\",\"session\":{\"id\":\"dur\",\"version\":1", NULL);
    assert_parts(say("\"dur-local\"", "one", ""), " 200 ", NULL);
    test_redis_start_replica(&replica, &scene.redis);
    assert_parts(say_until_without("not_replicated", turn, "one", ""), " 200 ", "Hello, 你好 world",
                 "\"repeated\":true", NULL);
    assert_parts(
        say_until_without("not_replicated",
                          "{\"id\":\"dur\",\"turn_id\":\"u\",\"durability\":\"replicated\"}", "two",
                          ",\"stream\":true"),
        " 200 ", "\"version\":2}", "[DONE]", NULL);
    test_redis_stop(&replica);
    assert_parts(say("{\"id\":\"dur\",\"durability\":\"replicated\"}", "three", ",\"stream\":true"),
                 " 200 ", "\"content\":\"H", "\"code\":\"not_replicated\"", NULL);
    stop();

    const char *const preset[] = {"--session-wait-ms", "100", "--session-durability", "replicated",
                                  NULL};
    start(preset, NULL);
    wait_for_durables();
    assert_parts(say("\"preset\"", "one", ""), " 503 ", "not_replicated", NULL);
    assert_parts(say("{\"id\":\"preset-2\",\"durability\":\"local\"}", "one", ""), " 200 ", NULL);
    stop();

    const char *const none[] = {"--session-replicas", "0", NULL};
    start(none, NULL);
    assert_parts(say("{\"id\":\"none\",\"durability\":\"replicated\"}", "one", ""), " 400 ",
                 "session_replicas is 0", "\"param\":\"session.durability\"", NULL);
    stop();
}

static int start_redis_with_port(void **state)
{
    (void)state;
    if (!test_redis_start_with_port(&scene.redis))
        snprintf(scene.redis.socket, sizeof scene.redis.socket, "/nonexistent");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_version_is_refused_before_a_token_is_computed),
        cmocka_unit_test(the_second_of_two_devices_hears_the_version),
        cmocka_unit_test(a_turn_that_comes_again_is_answered_by_what_was_stored),
        cmocka_unit_test(one_turn_sent_twice_at_once_is_stored_once),
        cmocka_unit_test(a_full_context_is_an_error_or_costs_the_oldest_turns),
        cmocka_unit_test(too_many_bytes_are_an_error_or_cost_the_oldest_turns),
        cmocka_unit_test(a_full_context_is_summed_up_by_the_model_itself),
        cmocka_unit_test(a_client_that_leaves_during_a_summary_cancels_it),
        cmocka_unit_test(a_session_is_prewarmed_without_a_turn),
        cmocka_unit_test(sessions_are_listed_and_exported_for_their_user),
        cmocka_unit_test(a_replicated_turn_is_answered_when_a_replica_has_it),
    };
    return cmocka_run_group_tests(tests, start_redis_with_port, stop_redis);
}
