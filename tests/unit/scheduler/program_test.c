/* The whole scheduler in one thread, its client here, a played node, a real Redis. */
#include "scheduler/door/wait.h"
#include "tests/support/fake_node.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include <string.h>

static void a_chat_is_answered_plain_and_as_a_stream(void **state)
{
    (void)state;
    start_scheduler("");
    struct fake_node *node = start_node(&(struct fake_node_options){0});
    assert_parts(chat(""), " 200 ", "x-request-id: ", "\"object\":\"chat.completion\"",
                 "\"model\":\"tiny\"", "\"role\":\"assistant\",\"content\":\"Hello, 你好 world\"",
                 "\"finish_reason\":\"stop\"",
                 "\"usage\":{\"prompt_tokens\":", "\"cached_tokens\":3", NULL);
    char *prompt = fake_node_prompt(node);
    assert_non_null(strstr(prompt, "<|im_start|>user\nsay it<|im_end|>\n<|im_start|>assistant\n"));
    mem_free(prompt);
    assert_parts(chat(",\"stream\":true,\"stream_options\":{\"include_usage\":true}"), " 200 ",
                 "text/event-stream", "\"object\":\"chat.completion.chunk\"",
                 "\"delta\":{\"role\":\"assistant\",\"content\":\"\"", "\"usage\":null",
                 "\"content\":\"H", "\"content\":\"好\"", "\"content\":\"d\"",
                 "\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"",
                 "\"choices\":[],\"usage\":{\"prompt_tokens\":", "data: [DONE]\n\n", NULL);
    assert_parts(chat(",\"max_tokens\":3"), "\"finish_reason\":\"length\"",
                 "\"completion_tokens\":3", NULL);
    assert_parts(ask("POST", "/v1/completions", "", "{\"prompt\":\"abc\",\"max_tokens\":100}"),
                 "\"object\":\"text_completion\"", "\"text\":\"Hello, 你好 world\"",
                 "\"finish_reason\":\"stop\"", NULL);
    assert_parts(ask("POST", "/v1/completions", "", "{\"prompt\":[1,2,3],\"stream\":true}"),
                 "\"object\":\"text_completion\"", "\"text\":\"H", "[DONE]", NULL);
    assert_parts(ask("GET", "/v1/models", "", ""), "\"id\":\"tiny\"", "\"object\":\"model\"", NULL);
    assert_parts(ask("GET", "/metrics", "", ""), "qiao_own_seconds_count 5\n",
                 "qiao_own_part_seconds_count{part=\"read\"} 5\n",
                 "qiao_own_part_seconds_count{part=\"deliver\"} 5\n",
                 "qiao_completion_tokens_total{model=\"tiny\"}", NULL);
    assert_soon(flights_in_air() == 0);
    fake_node_stop(node);
    stop_scheduler();
}

static void several_choices_come_in_one_answer(void **state)
{
    (void)state;
    start_scheduler("");
    struct fake_node *node = start_node(&(struct fake_node_options){.answer = "H你"});
    assert_parts(
        chat(",\"n\":3"), " 200 ",
        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"H你\"",
        "\"finish_reason\":\"stop\"},{\"index\":1,", "\"content\":\"H你\"",
        "\"finish_reason\":\"stop\"},{\"index\":2,", "\"content\":\"H你\"",
        "\"finish_reason\":\"stop\"}],\"usage\":{", "\"completion_tokens\":9",
        "\"cached_tokens\":3", NULL);
    for (int i = 0; i < 3; i++) {
        char role[64], text[64], end[64];
        snprintf(role, sizeof role, "{\"index\":%d,\"delta\":{\"role\"", i);
        snprintf(text, sizeof text, "{\"index\":%d,\"delta\":{\"content\":\"你\"", i);
        snprintf(end, sizeof end, "{\"index\":%d,\"delta\":{},", i);
        assert_parts(chat(",\"n\":3,\"stream\":true,\"stream_options\":{\"include_usage\":true}"),
                     " 200 ", role, text, end, "\"completion_tokens\":9", "[DONE]", NULL);
    }
    // A stop string ends each choice by itself.
    assert_parts(chat(",\"n\":2,\"stop\":\"你\""), "{\"index\":0,", "\"content\":\"H\"",
                 "{\"index\":1,", "\"content\":\"H\"", NULL);
    assert_parts(ask("POST", "/v1/completions", "", "{\"prompt\":\"x\",\"n\":2,\"logprobs\":1}"),
                 "{\"index\":0,\"text\":\"H你\"", "\"tokens\":[\"H\",",
                 "{\"index\":1,\"text\":\"H你\"", "\"tokens\":[\"H\",", NULL);
    assert_soon(flights_in_air() == 0);
    fake_node_stop(node);
    stop_scheduler();
}

static void log_probabilities_come_with_their_tokens(void **state)
{
    (void)state;
    start_scheduler("");
    struct fake_node *node = start_node(&(struct fake_node_options){.answer = "H你"});
    assert_parts(chat(",\"logprobs\":true,\"top_logprobs\":2"), " 200 ",
                 "\"logprobs\":{\"content\":[{\"token\":\"H\",\"logprob\":-0.5,\"bytes\":[72],"
                 "\"top_logprobs\":[{\"token\":\"H\",\"logprob\":-0.5,\"bytes\":[72]},",
                 "\"bytes\":[228,189,160],", "\"refusal\":null},\"finish_reason\":\"stop\"", NULL);
    assert_parts(chat(",\"logprobs\":true,\"stream\":true"),
                 "\"content\":\"H\"},\"logprobs\":{\"content\":[{\"token\":\"H\"",
                 "\"content\":\"你\"},\"logprobs\":{\"content\":[{", "\"bytes\":[228,189,160],",
                 "[DONE]", NULL);
    assert_parts(ask("POST", "/v1/completions", "", "{\"prompt\":\"x\",\"logprobs\":1}"),
                 "\"logprobs\":{\"tokens\":[\"H\",", "\"token_logprobs\":[-0.5,",
                 "\"top_logprobs\":[{\"H\":-0.5},", "\"text_offset\":[0,1", NULL);
    fake_node_stop(node);
    stop_scheduler();
}

static void a_stop_string_ends_the_text_and_tells_the_node(void **state)
{
    (void)state;
    start_scheduler("");
    struct fake_node *node = start_node(&(struct fake_node_options){.pause_ms = 2});
    assert_parts(chat(",\"stop\":[\"zzz\",\"好 w\"]"), "\"content\":\"Hello, 你\"",
                 "\"finish_reason\":\"stop\"", "\"cached_tokens\":3", NULL);
    wait_for_cancels(node, 1);
    char *stream = chat(",\"stop\":\"llo\",\"stream\":true");
    assert_null(strstr(stream, "o,"));
    assert_parts(stream, "\"content\":\"H", "\"finish_reason\":\"stop\"", "[DONE]", NULL);
    wait_for_cancels(node, 2);
    assert_soon(flights_in_air() == 0);
    fake_node_stop(node);
    stop_scheduler();
}

static void a_client_that_leaves_cancels_its_flight(void **state)
{
    (void)state;
    const char body[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"stream\":true}";
    start_scheduler("");
    struct fake_node *node = start_node(&(struct fake_node_options){.pause_ms = 5});
    fake_node_hang(node, true); // before the first id
    int fd = begin("POST", "/v1/chat/completions", "", body);
    wait_for_submits(node, 1);
    close(fd);
    wait_for_cancels(node, 1);
    fake_node_hang(node, false); // in the middle of the stream
    mem_free(finish(begin("POST", "/v1/chat/completions", "", body), "\"content\":\"H\""));
    mem_free(finish(begin("POST", "/v1/chat/completions", "", body), "\"content\":\"e\""));
    wait_for_cancels(node, 3);
    assert_soon(flights_in_air() == 0);
    fake_node_stop(node);
    stop_scheduler();
}

static void what_cannot_be_asked_is_refused(void **state)
{
    (void)state;
    start_scheduler("");
    struct fake_node *node = start_node(&(struct fake_node_options){0});
    assert_parts(chat(",\"model\":\"nope\""), " 404 ", "'nope' does not exist; served are: tiny",
                 "\"param\":\"model\",\"code\":\"model_not_found\"", NULL);
    assert_parts(chat(",\"logit_bias\":{\"999999\":1}"), " 400 ", "\"param\":\"logit_bias\"", NULL);
    assert_parts(ask("POST", "/v1/chat/completions", "", "{\"messages\":"), " 400 ",
                 "not valid JSON", NULL);
    assert_parts(ask("GET", "/v1/chat/completions", "", ""), " 405 ", "Allow: POST",
                 "method_not_allowed", NULL);
    assert_parts(ask("POST", "/v1/completions", "", "{\"prompt\":\"\"}"), " 400 ",
                 "prompt is empty", NULL);
    struct buf body = {0}; // 600 tokens and more, once on the loop, once on a worker
    for (int letters = 2000; letters <= 40000; letters += 38000) {
        buf_clear(&body);
        buf_add_text(&body, "{\"messages\":[{\"role\":\"user\",\"content\":\"");
        for (int i = 0; i < letters; i++)
            buf_add_byte(&body, (unsigned char)("qzxjk0"[i % 6]));
        buf_add_text(&body, "\"}]}");
        assert_parts(ask("POST", "/v1/chat/completions", "", body.data), " 400 ",
                     "the model's context has 512 tokens", "\"code\":\"context_length_exceeded\"",
                     NULL);
    }
    buf_fini(&body);
    assert_parts(ask("POST", "/admin/drain", "", "{\"node\":\"nobody\"}"), " 404 ", NULL);
    assert_parts(ask("POST", "/admin/drain", "", "{\"node\":\"fake\"}"), " 200 ", NULL);
    assert_parts(chat(""), " 503 ", "Retry-After: ", "\"code\":\"unavailable\"", NULL);
    assert_parts(ask("POST", "/admin/undrain", "", "{\"node\":\"fake\"}"), " 200 ", NULL);
    assert_parts(ask("GET", "/admin/schedulers", "", ""), " 200 ", "{\"schedulers\":[{\"url\":\"",
                 scene.link_url, "\"self\":true}", NULL);
    assert_parts(chat(""), " 200 ", NULL);
    assert_soon(flights_in_air() == 0);
    fake_node_stop(node);
    stop_scheduler();
}

/* A scheduler that has just started does not refuse what it could answer in a moment, nor does one whose only node
 * restarts. */
static void a_request_that_comes_before_its_node_waits_for_it(void **state)
{
    (void)state;
    static const char body[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"say it\"}]}";
    scene.waits = (struct wait_limits){.start_ms = 60000, .node_ms = 60000};
    start_scheduler("");
    scene.waits = (struct wait_limits){0};
    struct fake_node *node = NULL;
    for (int round = 0; round < 2; round++) { // before the first node, then between two
        int fd = begin("POST", "/v1/chat/completions", "", body);
        int gone = begin("POST", "/v1/chat/completions", "", body);
        assert_soon(requests_in_hand() == 2);
        close(gone);
        assert_soon(requests_in_hand() == 1);
        node = start_node(&(struct fake_node_options){.pause_ms = 0});
        assert_parts(finish(fd, NULL), " 200 ", "Hello, 你好 world", NULL);
        assert_soon(flights_in_air() == 0);
        assert_int_equal(fake_node_submits(node), 1); // who had left was not asked for
        stop_node(node);
    }
    stop_scheduler();
}

static void who_waits_for_a_node_in_vain_is_told_so_in_the_end(void **state)
{
    (void)state;
    scene.waits = (struct wait_limits){.start_ms = 1, .node_ms = 300};
    start_scheduler("");
    stop_node(start_node(&(struct fake_node_options){0}));
    uint64_t before_ns = clock_now_ns();
    assert_parts(chat(""), " 503 ", "\"code\":\"unavailable\"", NULL);
    assert_true(clock_now_ns() - before_ns >= 300 * CLOCK_MS);
    stop_scheduler();
    scene.waits.node_ms = 3600000;
    start_scheduler("");
    stop_node(start_node(&(struct fake_node_options){0}));
    assert_parts(chat(",\"model\":\"nope\""), " 404 ", NULL); // no start is near any more
    stop_scheduler();
    scene.waits = (struct wait_limits){0};
}

static void a_node_that_dies_is_replaced_or_its_end_is_said(void **state)
{
    (void)state;
    start_scheduler("");
    struct fake_node *first =
        start_node(&(struct fake_node_options){.name = "first", .pause_ms = 5, .die_after = 4});
    struct fake_node *second = start_node(&(struct fake_node_options){.name = "second"});
    for (int i = 0; i < 4; i++) // whichever has it: the text is whole
        assert_parts(chat(",\"n\":2"), " 200 ", "\"content\":\"Hello, 你好 world\"", "\"index\":1",
                     "\"content\":\"Hello, 你好 world\"", NULL);
    stop_node(second);
    wait_for_node(first);
    fake_node_hang(first, true);
    unsigned before = fake_node_submits(first);
    int fd = begin("POST", "/v1/chat/completions", "",
                   "{\"n\":3,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    wait_for_submits(first, before + 3);
    fake_node_stop(first);
    assert_parts(finish(fd, NULL), " 503 ", "\"code\":\"unavailable\"", NULL);
    assert_soon(flights_in_air() == 0);
    stop_scheduler();
}

static void a_session_goes_on_and_belongs_to_its_user(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start_scheduler("");
    struct fake_node *node = start_node(&(struct fake_node_options){0});
    const char path[] = "/v1/sessions/talk-1";
    assert_parts(ask("GET", path, "", ""), " 404 ", NULL);
    assert_parts(chat(",\"session\":\"talk-1\""), " 200 ", NULL);
    assert_parts(ask("POST", "/v1/chat/completions", "",
                     "{\"session\":\"talk-1\",\"stream\":true,"
                     "\"messages\":[{\"role\":\"user\",\"content\":\"and then?\"}]}"),
                 " 200 ", "[DONE]", NULL);
    char *prompt = fake_node_prompt(node);
    assert_non_null(strstr(prompt, "say it<|im_end|>\n<|im_start|>assistant\nHello, 你好 world"));
    assert_non_null(strstr(prompt, "and then?"));
    mem_free(prompt);
    assert_parts(ask("GET", path, "", ""), " 200 ", "\"version\":2", "say it", "Hello, 你好 world",
                 "and then?", "Hello, 你好 world", NULL);
    assert_parts(ask("GET", path, "X-Qiao-User: other\r\n", ""), " 404 ", NULL);
    assert_parts(chat(",\"session\":\"a/b\""), " 400 ", "session", NULL);
    assert_parts(ask("DELETE", path, "", ""), " 204 ", NULL);
    assert_parts(ask("DELETE", path, "", ""), " 404 ", NULL);
    assert_soon(flights_in_air() == 0);
    fake_node_stop(node);
    stop_scheduler();
}

static void two_devices_cannot_write_over_one_another(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    const char body[] =
        "{\"session\":\"both\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}";
    start_scheduler("");
    struct fake_node *node = start_node(&(struct fake_node_options){0});
    fake_node_hang(node, true); // until both have read the session
    int one = begin("POST", "/v1/chat/completions", "", body);
    int two = begin("POST", "/v1/chat/completions", "", body);
    wait_for_submits(node, 2);
    fake_node_hang(node, false);
    char *first = finish(one, NULL), *second = finish(two, NULL);
    int good = (strstr(first, " 200 ") != NULL) + (strstr(second, " 200 ") != NULL);
    int bad = (strstr(first, "\"code\":\"conflict\"") != NULL) +
              (strstr(second, "\"code\":\"conflict\"") != NULL);
    mem_free(first);
    mem_free(second);
    assert_int_equal(good, 1);
    assert_int_equal(bad, 1);
    fake_node_stop(node);
    stop_scheduler();
}

static void without_redis_stateless_requests_go_on(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start_scheduler("");
    struct fake_node *node = start_node(&(struct fake_node_options){0});
    test_redis_kill(&scene.redis);
    assert_parts(chat(""), " 200 ", NULL);
    assert_parts(chat(",\"session\":\"s\""), " 503 ", "\"code\":\"store_unavailable\"", NULL);
    wait_for_redis(false);
    assert_parts(ask("GET", "/ready", "", ""), " 200 ", NULL);
    test_redis_restart(&scene.redis);
    assert_soon(flights_in_air() == 0);
    fake_node_stop(node);
    stop_scheduler();
}

static void keys_are_asked_for_and_limits_kept(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    char path[] = "/tmp/qiao-keys-XXXXXX";
    const char keys[] =
        "[{\"key\":\"the-limited-key-1\",\"id\":\"limited\",\"requests_per_minute\":2},"
        "{\"key\":\"the-small-key-123\",\"id\":\"small\",\"tokens_per_minute\":110},"
        "{\"key\":\"the-admin-key-123\",\"id\":\"ops\",\"admin\":true}]";
    int file = mkstemp(path);
    assert_int_equal(write(file, keys, sizeof keys - 1), sizeof keys - 1);
    close(file);
    start_scheduler(path);
    unlink(path);
    struct fake_node *node = start_node(&(struct fake_node_options){0});
    const char body[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":50}";
    const char limited[] = "Authorization: Bearer the-limited-key-1\r\n";
    const char url[] = "/v1/chat/completions";
    assert_parts(chat(""), " 401 ", "\"code\":\"invalid_api_key\"", NULL);
    assert_parts(ask("GET", "/v1/models", "", ""), " 401 ", NULL);
    assert_parts(ask("GET", "/metrics", limited, ""), " 403 ", NULL);
    assert_parts(ask("GET", "/admin/nodes", "Authorization: Bearer the-admin-key-123\r\n", ""),
                 " 200 ", "\"name\":\"fake\"", NULL);
    assert_parts(ask("POST", url, limited, body), " 200 ", "x-ratelimit-remaining-requests: 1",
                 NULL);
    assert_parts(ask("POST", url, limited, body), " 200 ", NULL);
    assert_parts(ask("POST", url, limited, body), " 429 ", "Retry-After: ", "rate_limit_exceeded",
                 NULL);
    const char small[] = "Authorization: Bearer the-small-key-123\r\n";
    for (int i = 0; i < 2; i++) // what is reserved and not used comes back
        assert_parts(ask("POST", url, small, body), " 200 ", NULL);
    assert_parts(ask("POST", url, small,
                     "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":200}"),
                 " 413 ", NULL);
    assert_soon(flights_in_air() == 0);
    fake_node_stop(node);
    stop_scheduler();
}

static void who_leaves_is_given_back_what_was_taken_and_no_more(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    char path[] = "/tmp/qiao-keys-XXXXXX";
    const char keys[] =
        "[{\"key\":\"the-small-key-123\",\"id\":\"leaver\",\"tokens_per_minute\":110}]";
    const char key[] = "Authorization: Bearer the-small-key-123\r\n";
    const char url[] = "/v1/chat/completions";
    const char body[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":50}";
    int file = mkstemp(path);
    assert_int_equal(write(file, keys, sizeof keys - 1), sizeof keys - 1);
    close(file);
    start_scheduler(path);
    unlink(path);
    struct fake_node *node = start_node(&(struct fake_node_options){0});
    test_redis_freeze(&scene.redis, true);
    int leaving = begin("POST", url, key, body); // its 69 tokens come back
    assert_soon(flights_in_air() == 1);
    close(leaving);
    assert_soon(flights_in_air() == 0);
    test_redis_freeze(&scene.redis, false);
    // Redis answers in the order of the questions: by then they have come back.
    assert_parts(ask("GET", "/v1/sessions/none", key, ""), " 404 ", NULL);
    fake_node_hang(node, true);
    test_redis_freeze(&scene.redis, true);
    int staying = begin("POST", url, key, body);
    assert_soon(flights_in_air() == 1);
    leaving = begin("POST", url, key, body); // it would be refused: nothing comes back
    assert_soon(flights_in_air() == 2);
    close(leaving);
    assert_soon(flights_in_air() == 1);
    test_redis_freeze(&scene.redis, false);
    wait_for_submits(node, 1);
    assert_parts(ask("POST", url, key, body), " 429 ", NULL);
    close(staying);
    wait_for_cancels(node, 1);
    assert_soon(flights_in_air() == 0);
    fake_node_stop(node);
    stop_scheduler();
}

static void each_user_is_cut_at_a_limit_of_its_own(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    char path[] = "/tmp/qiao-keys-XXXXXX";
    const char keys[] =
        "[{\"key\":\"the-users-key-123\",\"id\":\"front\",\"may_assert_user\":true,"
        "\"tokens_per_day\":5000,\"user_tokens_per_minute\":60,\"user_streams\":1}]";
    const char ann[] = "Authorization: Bearer the-users-key-123\r\nX-Qiao-User: ann\r\n";
    const char ben[] = "Authorization: Bearer the-users-key-123\r\nX-Qiao-User: ben\r\n";
    const char url[] = "/v1/chat/completions";
    const char body[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}";
    int file = mkstemp(path);
    assert_int_equal(write(file, keys, sizeof keys - 1), sizeof keys - 1);
    close(file);
    start_scheduler(path);
    unlink(path);
    char answer[201];
    memset(answer, 'o', sizeof answer - 1);
    answer[sizeof answer - 1] = '\0';
    struct fake_node *node = start_node(&(struct fake_node_options){.answer = answer});
    assert_parts(ask("POST", url, ann, body), " 200 ", "x-ratelimit-limit-tokens: 60",
                 "x-ratelimit-remaining-tokens: 0", "x-ratelimit-reset-tokens: 1m",
                 "x-ratelimit-limit-tokens-day: 5000", "\"finish_reason\":\"length\"",
                 "\"total_tokens\":60", NULL);
    char *refused = ask("POST", url, ann, body);
    assert_in_range(number_behind(refused, "Retry-After: "), 30, 75); // or so
    assert_parts(refused, " 429 ", "x-ratelimit-remaining-tokens: 0",
                 "the user's limit is 60 tokens per minute", "reserves 35, 0 are left",
                 "\"code\":\"rate_limit_exceeded\"", NULL);
    assert_parts(ask("POST", url, ben,
                     "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":50}"),
                 " 413 ", "more than the user's 60 tokens per minute", NULL);
    fake_node_hang(node, true);
    int staying = begin("POST", url, ben, body);
    wait_for_submits(node, 2);
    assert_parts(ask("POST", url, ben, body), " 429 ", "tokens per minute", NULL);
    close(staying);
    wait_for_cancels(node, 1);
    assert_soon(flights_in_air() == 0);
    fake_node_stop(node);
    stop_scheduler();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chat_is_answered_plain_and_as_a_stream),
        cmocka_unit_test(several_choices_come_in_one_answer),
        cmocka_unit_test(log_probabilities_come_with_their_tokens),
        cmocka_unit_test(a_stop_string_ends_the_text_and_tells_the_node),
        cmocka_unit_test(a_client_that_leaves_cancels_its_flight),
        cmocka_unit_test(what_cannot_be_asked_is_refused),
        cmocka_unit_test(a_request_that_comes_before_its_node_waits_for_it),
        cmocka_unit_test(who_waits_for_a_node_in_vain_is_told_so_in_the_end),
        cmocka_unit_test(a_node_that_dies_is_replaced_or_its_end_is_said),
        cmocka_unit_test(a_session_goes_on_and_belongs_to_its_user),
        cmocka_unit_test(two_devices_cannot_write_over_one_another),
        cmocka_unit_test(without_redis_stateless_requests_go_on),
        cmocka_unit_test(keys_are_asked_for_and_limits_kept),
        cmocka_unit_test(who_leaves_is_given_back_what_was_taken_and_no_more),
        cmocka_unit_test(each_user_is_cut_at_a_limit_of_its_own),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
