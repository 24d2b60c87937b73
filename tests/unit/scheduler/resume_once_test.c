/* What an answer that is asked for again costs, and what it writes: once. */
#include "scheduler/state/pulse.h"
#include "tests/test.h"
#include "tests/unit/scheduler/pair.h"

#include "base/buf.h"
#include "base/mem.h"

#include <string.h>

static const char url[] = "/v1/chat/completions";

// ---- the bill ----------------------------------------------------------------------------------

static const char bearer[] = "Authorization: Bearer the-metered-key-1\r\n";

enum {
    LIMIT = 900 // tokens of a user in a day, in which none come back
};

static long question_price; // of charged()
static int questions;

/* Limits of users are counted in Redis with each request, so that every scheduler sees the same. Each test has a key of
 * its own. */
static void start_metered(const struct fake_node_options *like, const char *id)
{
    char path[] = "/tmp/qiao-keys-XXXXXX", keys[256];
    snprintf(keys, sizeof keys,
             "[{\"key\":\"the-metered-key-1\",\"id\":\"%s\",\"user_tokens_per_day\":%d}]", id,
             LIMIT);
    int file = mkstemp(path);
    assert_int_equal(write(file, keys, strlen(keys)), strlen(keys));
    close(file);
    questions = 0;
    pair_start((const char *const[]){"--keys", path, NULL}, like);
    unlink(path);
}

static int begin_metered(const struct desk *desk, const char *key, const char *last)
{
    struct buf headers = {0};
    buf_addf(&headers, "%sIdempotency-Key: %s\r\n", bearer, key);
    if (last) buf_addf(&headers, "Last-Event-ID: %s\r\n", last);
    int fd =
        desk_begin(desk, url, headers.data,
                   "{\"messages\":[{\"role\":\"user\",\"content\":\"say it\"}],\"stream\":true,"
                   "\"max_tokens\":50}");
    buf_fini(&headers);
    return fd;
}

static void ask_metered(const struct desk *desk, const char *key, const char *last)
{
    assert_parts(desk_finish(begin_metered(desk, key, last), NULL), " 200 ", "[DONE]", NULL);
}

/* What a scheduler settles is in Redis: it is idle, and Redis answers in the order of the questions. */
static void wait_settled(struct desk *desk)
{
    if (atomic_load(&desk->paused)) return;
    assert_soon(desk_busy(desk) == 0);
    assert_parts(desk_ask(desk, "/v1/sessions/none", bearer, ""), " 404 ", NULL);
}

/* How many tokens have been charged since the first call of the test, but for what asking costs itself. */
static long charged(void)
{
    wait_settled(&pair.first);
    wait_settled(&pair.second);
    char *answer =
        desk_ask(&pair.second, url, bearer,
                 "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":1}");
    const char *left = strstr(answer, "x-ratelimit-remaining-tokens-day: ");
    if (!left) fail_msg("no limit in: %s", answer);
    long spent = LIMIT - strtol(strchr(left, ' '), NULL, 10);
    mem_free(answer);
    if (questions == 0) question_price = spent;
    return spent - ++questions * question_price;
}

static void an_answer_is_charged_once_however_often_it_is_asked_for(void **state)
{
    (void)state;
    if (!pair.redis.process) skip();
    start_metered(&(struct fake_node_options){0}, "often");
    assert_int_equal(charged(), 0);
    ask_metered(&pair.first, "bill", NULL);
    long once = charged();
    assert_in_range(once, 30, 40); // prompt and answer
    for (int i = 0; i < 6; i++)
        ask_metered(i % 2 ? &pair.first : &pair.second, "bill", i > 2 ? "2-2" : NULL);
    assert_int_equal(charged(), once);
    ask_metered(&pair.first, "another", NULL);
    assert_int_equal(charged(), 2 * once);
    pair_stop();
}

static void what_an_attempt_used_that_was_left_is_not_charged_again(void **state)
{
    (void)state;
    if (!pair.redis.process) skip();
    start_metered(&(struct fake_node_options){0}, "left");
    assert_int_equal(charged(), 0);
    ask_metered(&pair.first, "whole", NULL);
    long once = charged();
    fake_node_halt(pair.nodes[0], 4);
    mem_free(desk_finish(begin_metered(&pair.first, "left", NULL), "\"content\":\"e\""));
    long part = charged() - once;
    assert_in_range(part, 20, once - 5);
    ask_metered(&pair.second, "left", NULL);
    assert_int_equal(charged(), 2 * once);
    /* Leaving early gives nothing back of what was used before. */
    mem_free(desk_finish(begin_metered(&pair.second, "left", NULL), "\"content\":\"e\""));
    assert_int_equal(charged(), 2 * once);
    pair_stop();
}

/* The first scheduler stands still in the middle of the stream and is taken for dead; it is not, and comes back. */
static void who_takes_over_reserves_nothing_and_who_comes_back_settles(void **state)
{
    (void)state;
    if (!pair.redis.process) skip();
    start_metered(&(struct fake_node_options){0}, "over");
    assert_int_equal(charged(), 0);
    ask_metered(&pair.first, "whole", NULL);
    long once = charged();
    fake_node_halt(pair.nodes[0], 4);
    int lost = begin_metered(&pair.first, "over", NULL);
    assert_parts(exchange_read(lost, "\"content\":\"e\""), " 200 ", NULL);
    desk_freeze(&pair.first, true);
    long reserved = charged() - once;
    assert_in_range(reserved, 60, 80); // the prompt and 50 tokens
    assert_parts(desk_finish(begin_metered(&pair.second, "over", "2-2"), NULL), " 200 ",
                 "Idempotent-Replayed: true", "\"content\":\"l\"", "[DONE]", NULL);
    assert_int_equal(charged() - once, reserved);
    usleep(PULSE_WORD_MS * 1000); // by then nobody asks it to let go any more
    desk_freeze(&pair.first, false);
    fake_node_halt(pair.nodes[0], 0);
    assert_parts(desk_finish(lost, NULL), "[DONE]", NULL);
    assert_int_equal(charged(), 2 * once); // what it had reserved too much
    pair_stop();
}

/* The old connection is half open when the new one comes: what it used is paid, and not paid twice. */
static void who_takes_a_running_answer_over_pays_for_the_rest(void **state)
{
    (void)state;
    if (!pair.redis.process) skip();
    start_metered(&(struct fake_node_options){0}, "half-open");
    assert_int_equal(charged(), 0);
    ask_metered(&pair.first, "whole", NULL);
    long once = charged();
    for (int i = 0; i < 2; i++) {
        const char *key = i ? "far" : "near";
        fake_node_halt(pair.nodes[0], 4);
        int old = begin_metered(&pair.first, key, NULL);
        assert_parts(exchange_read(old, "\"content\":\"e\""), " 200 ", NULL);
        int new = begin_metered(i ? &pair.second : &pair.first, key, "2-2");
        assert_parts(desk_finish(old, NULL), "idempotency_taken_over", NULL);
        fake_node_halt(pair.nodes[0], 0);
        assert_parts(desk_finish(new, NULL), " 200 ", "[DONE]", NULL);
        assert_int_equal(charged(), (2 + i) * once);
    }
    pair_stop();
}

// ---- sessions ----------------------------------------------------------------------------------

static char *session_of(const char *id)
{
    char path[64];
    snprintf(path, sizeof path, "/v1/sessions/%s", id);
    return desk_ask(&pair.first, path, "", "");
}

static void a_turn_is_appended_once(void **state)
{
    (void)state;
    if (!pair.redis.process) skip();
    pair_start(NULL, &(struct fake_node_options){0});
    struct told whole =
        events_of(pair_ask(&pair.first, "turn-1", NULL, ",\"stream\":true,\"session\":\"once\""));
    char *before = session_of("once");
    assert_non_null(strstr(before, "\"version\":1,"));
    for (size_t cut = 0; cut < whole.count; cut += 3) {
        char *more = pair_ask(&pair.second, "turn-1", whole.ids[cut],
                              ",\"stream\":true,\"session\":\"once\"");
        assert_joined(&whole, cut, more);
        mem_free(more);
    }
    char *after = session_of("once");
    assert_string_equal(strstr(after, "\r\n\r\n"), strstr(before, "\r\n\r\n"));
    mem_free(after);
    mem_free(before);
    /* Also when the conversation has gone on, and by a client that said the same once more. */
    assert_parts(pair_ask(&pair.first, "turn-2", NULL, ",\"session\":\"once\""), " 200 ", NULL);
    assert_parts(session_of("once"), "\"version\":2,", NULL);
    for (int i = 0; i < 2; i++) {
        char *more =
            pair_ask(&pair.second, "turn-1", whole.ids[4], ",\"stream\":true,\"session\":\"once\"");
        assert_joined(&whole, 4, more);
        mem_free(more);
    }
    assert_parts(session_of("once"), "\"version\":2,", NULL);
    told_free(&whole);
    pair_stop();
}

static void an_attempt_that_did_not_append_is_made_good(void **state)
{
    (void)state;
    if (!pair.redis.process) skip();
    pair_start(NULL, &(struct fake_node_options){0});
    fake_node_halt(pair.nodes[0], 4);
    const char rest[] = ",\"stream\":true,\"session\":\"good\"";
    char *part = desk_finish(pair_begin(&pair.first, "good-1", NULL, rest), "\"content\":\"e\"");
    assert_parts(session_of("good"), " 404 ", NULL);
    mem_free(part);
    assert_parts(pair_ask(&pair.second, "good-1", "2-2", rest), " 200 ", "\"content\":\"l\"",
                 "[DONE]", NULL);
    assert_parts(session_of("good"), "\"version\":1,", "say it", "Hello, 你好 world", NULL);
    /* Another device has written before the retry: its turn stays, this one is refused as it would have been. */
    part = desk_finish(pair_begin(&pair.first, "good-2", NULL, rest), "\"content\":\"e\"");
    mem_free(part);
    assert_soon(desk_busy(&pair.first) == 0);
    fake_node_halt(pair.nodes[0], 0);
    assert_parts(
        desk_ask(&pair.first, url, "",
                 "{\"session\":\"good\",\"messages\":[{\"role\":\"user\",\"content\":\"me\"}]}"),
        " 200 ", NULL);
    assert_parts(pair_ask(&pair.second, "good-2", "2-2", rest), " 409 ",
                 "it was at version 1 and is at version 2", "\"code\":\"conflict\"", NULL);
    pair_stop();
}

static void a_turn_that_is_taken_over_is_appended_once(void **state)
{
    (void)state;
    if (!pair.redis.process) skip();
    pair_start(NULL, &(struct fake_node_options){0});
    fake_node_halt(pair.nodes[0], 4);
    const char rest[] = ",\"stream\":true,\"session\":\"half\"";
    int old = pair_begin(&pair.first, "half-open", NULL, rest);
    assert_soon(fake_node_submits(pair.nodes[0]) > 0);
    assert_parts(pair_ask(&pair.second, "half-open", NULL, rest), " 200 ", "[DONE]", NULL);
    assert_parts(desk_finish(old, NULL), "idempotency_taken_over", NULL);
    assert_parts(session_of("half"), "\"version\":1,", "say it", "Hello, 你好 world", NULL);
    pair_stop();
}

// ---- Redis goes away ---------------------------------------------------------------------------

static void without_redis_the_setting_decides_and_nothing_is_resumed(void **state)
{
    (void)state;
    if (!pair.redis.process) skip();
    pair_start_one(&pair.first, &pair.nodes[0], NULL, &(struct fake_node_options){0});
    pair_start_one(&pair.second, &pair.nodes[1],
                   (const char *const[]){"--idempotency-when-away", "closed", NULL},
                   &(struct fake_node_options){0});
    test_redis_kill(&pair.redis);
    char *answer = pair_ask(&pair.first, "away", NULL, ",\"stream\":true");
    assert_null(strstr(answer, "\nid: "));
    assert_parts(answer, " 200 ", "X-Qiao-Resumable: no", "[DONE]", NULL);
    assert_parts(pair_ask(&pair.second, "away", NULL, ",\"stream\":true"), " 503 ", "Retry-After",
                 "\"code\":\"store_unavailable\"", NULL);
    assert_parts(pair_ask(&pair.first, "away", "1-1", ",\"stream\":true"), " 503 ",
                 "\"code\":\"store_unavailable\"", NULL);
    test_redis_restart(&pair.redis);
    desk_wait_ready(&pair.first);
    desk_wait_ready(&pair.second);
    assert_parts(pair_ask(&pair.first, "away", NULL, ",\"stream\":true"), " 200 ", "id: 0-0", NULL);
    pair_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_charged_once_however_often_it_is_asked_for),
        cmocka_unit_test(what_an_attempt_used_that_was_left_is_not_charged_again),
        cmocka_unit_test(who_takes_over_reserves_nothing_and_who_comes_back_settles),
        cmocka_unit_test(who_takes_a_running_answer_over_pays_for_the_rest),
        cmocka_unit_test(a_turn_is_appended_once),
        cmocka_unit_test(an_attempt_that_did_not_append_is_made_good),
        cmocka_unit_test(a_turn_that_is_taken_over_is_appended_once),
        cmocka_unit_test(without_redis_the_setting_decides_and_nothing_is_resumed),
    };
    return cmocka_run_group_tests(tests, pair_set_up, pair_tear_down);
}
