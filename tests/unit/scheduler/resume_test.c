/* What a client gets that asks again under its Idempotency-Key: the same answer, from where it was. */
#include "tests/test.h"
#include "tests/unit/scheduler/pair.h"

#include "base/buf.h"
#include "base/mem.h"

#include <signal.h>
#include <string.h>

static const char url[] = "/v1/chat/completions";

/* The value of the first "NAME": or NAME: in the answer, up to a comma or the line's end. */
static char *value_of(const char *answer, const char *name)
{
    const char *at = strstr(answer, name);
    if (!at) fail_msg("no %s in: %s", name, answer);
    at += strlen(name);
    return mem_text(at, strcspn(at, ",\r\n"));
}

static void assert_same_value(const char *one, const char *other, const char *name)
{
    char *mine = value_of(one, name), *theirs = value_of(other, name);
    assert_string_equal(mine, theirs);
    mem_free(mine);
    mem_free(theirs);
}

// ---- streams -----------------------------------------------------------------------------------

static void resume_everywhere(const char *key, const char *rest)
{
    struct told whole = events_of(pair_ask(&pair.first, key, NULL, rest));
    assert_true(whole.count > 3);
    for (size_t cut = 0; cut < whole.count; cut++) {
        char *more = pair_ask(cut % 2 ? &pair.first : &pair.second, key, whole.ids[cut], rest);
        assert_non_null(strstr(more, " 200 "));
        assert_non_null(strstr(more, "Idempotent-Replayed: true"));
        assert_joined(&whole, cut, more);
        mem_free(more);
    }
    told_free(&whole);
}

static void an_answer_that_is_asked_for_again_is_the_same_one(void **state)
{
    (void)state;
    if (!pair.redis.process) skip();
    pair_start(NULL, &(struct fake_node_options){0});
    char *one = pair_ask(&pair.first, "again", NULL, ""),
         *two = pair_ask(&pair.second, "again", NULL, "");
    assert_non_null(strstr(one, "\"content\":\"Hello, 你好 world\""));
    assert_null(strstr(one, "Idempotent-Replayed"));
    assert_non_null(strstr(two, "Idempotent-Replayed: true"));
    assert_string_equal(strstr(one, "\r\n\r\n"), strstr(two, "\r\n\r\n"));
    mem_free(one);
    mem_free(two);
    one = pair_ask(&pair.first, "again-2", NULL, "");
    usleep(1100000); // the second is another
    two = pair_ask(&pair.second, "again-2", NULL, "");
    assert_same_value(one, two, "\"created\":");
    assert_same_value(one, two, "\"id\":");
    mem_free(one);
    mem_free(two);
    pair_stop();
}

static void a_stream_goes_on_where_its_reader_was(void **state)
{
    (void)state;
    if (!pair.redis.process) skip();
    pair_start(NULL, &(struct fake_node_options){0});
    struct told whole = events_of(pair_ask(&pair.first, "s", NULL, ",\"stream\":true"));
    for (size_t cut = 0; cut < whole.count; cut++) {
        char *more = pair_ask(&pair.second, "s", whole.ids[cut], ",\"stream\":true");
        assert_string_equal(strstr(more, "\r\n\r\n") + 4, whole.ends[cut]); // to the byte
        mem_free(more);
    }
    told_free(&whole);
    resume_everywhere("s-usage", ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    resume_everywhere("s-stop", ",\"stream\":true,\"stop\":[\"zzz\",\"好 wo\"]");
    resume_everywhere("s-cut", ",\"stream\":true,\"max_tokens\":5");
    resume_everywhere("s-probs", ",\"stream\":true,\"logprobs\":true,\"stop\":\"你好 x\"");
    resume_everywhere("s-n", ",\"stream\":true,\"n\":3,\"logprobs\":true,"
                             "\"stream_options\":{\"include_usage\":true}");
    pair_stop();
}

static void a_text_completion_goes_on_with_its_offsets(void **state)
{
    (void)state;
    if (!pair.redis.process) skip();
    pair_start(NULL, &(struct fake_node_options){0});
    const char path[] = "/v1/completions",
               body[] = "{\"prompt\":\"x\",\"stream\":true,\"logprobs\":1}";
    struct told whole = events_of(desk_ask(&pair.first, path, "Idempotency-Key: text\r\n", body));
    assert_true(whole.count > 3);
    for (size_t cut = 0; cut < whole.count; cut++) {
        struct buf headers = {0};
        buf_addf(&headers, "Idempotency-Key: text\r\nLast-Event-ID: %s\r\n", whole.ids[cut]);
        char *more = desk_ask(&pair.second, path, headers.data, body);
        assert_string_equal(strstr(more, "\r\n\r\n") + 4, whole.ends[cut]);
        mem_free(more);
        buf_fini(&headers);
    }
    told_free(&whole);
    pair_stop();
}

static void without_a_key_events_have_no_ids(void **state)
{
    (void)state;
    if (!pair.redis.process) skip();
    pair_start(NULL, &(struct fake_node_options){0});
    char *stream =
        desk_ask(&pair.first, url, "",
                 "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"stream\":true}");
    assert_non_null(strstr(stream, "data: [DONE]"));
    assert_null(strstr(stream, "\nid: "));
    mem_free(stream);
    pair_stop();
}

// ---- what is refused ---------------------------------------------------------------------------

static void what_is_wrong_with_a_key_or_a_place_is_said(void **state)
{
    (void)state;
    if (!pair.redis.process) skip();
    char longest[257];
    pair_start(NULL, &(struct fake_node_options){0});
    assert_parts(pair_ask(&pair.first, "a b", NULL, ""), " 400 ",
                 "Idempotency-Key must be visible ASCII", "byte 1 is not",
                 "\"param\":\"Idempotency-Key\"", NULL);
    assert_parts(pair_ask(&pair.first, "", NULL, ""), " 400 ", "must have 1 to 255 bytes, not 0",
                 NULL);
    memset(longest, 'k', 256);
    longest[256] = '\0';
    assert_parts(pair_ask(&pair.first, longest, NULL, ""), " 400 ",
                 "must have 1 to 255 bytes, not 256", NULL);
    assert_parts(pair_ask(&pair.first, longest + 1, NULL, ""), " 200 ", NULL);
    assert_parts(pair_ask(&pair.first, "a\r\nIdempotency-Key: b", NULL, ""), " 400 ", "given twice",
                 NULL);
    assert_parts(pair_ask(&pair.first, "new", "1-1", ",\"stream\":true"), " 404 ",
                 "no answer is known for this Idempotency-Key", NULL);
    assert_parts(pair_ask(&pair.first, "new", "1-1", ""), " 400 ",
                 "Last-Event-ID is for requests with", NULL);
    assert_parts(desk_ask(&pair.first, url, "Last-Event-ID: 1-1\r\n",
                          "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"stream\":true}"),
                 " 400 ", "Last-Event-ID resumes an answer that was asked for with", NULL);
    assert_parts(pair_ask(&pair.first, "new", "7", ",\"stream\":true"), " 400 ",
                 "Last-Event-ID must be the id of an event", "\"param\":\"Last-Event-ID\"", NULL);
    assert_parts(pair_ask(&pair.first, "same", NULL, ",\"stream\":true"), " 200 ", "[DONE]", NULL);
    assert_parts(pair_ask(&pair.second, "same", NULL, ",\"stream\":false"), " 422 ",
                 "another request", "\"code\":\"idempotency_mismatch\"", NULL);
    static const char *const nowhere[] = {"2-1", "1-0", "2-3", "90-2", "3-900", "99-99e", "0-5"};
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++)
        assert_parts(pair_ask(&pair.second, "same", nowhere[i], ",\"stream\":true"),
                     "Last-Event-ID is no place in this answer", NULL);
    pair_stop();
}

/* The client's old connection is half open: no end of it comes. The old one is told, should it live after all. */
static void the_newest_connection_has_the_stream(void **state)
{
    (void)state;
    if (!pair.redis.process) skip();
    pair_start(NULL, &(struct fake_node_options){0});
    struct told whole = events_of(pair_ask(&pair.first, "once", NULL, ",\"stream\":true"));
    for (int i = 0; i < 2; i++) {
        const char *key = i ? "open-far" : "open-near";
        fake_node_halt(pair.nodes[0], 5);
        int old = pair_begin(&pair.first, key, NULL, ",\"stream\":true");
        assert_parts(exchange_read(old, "\"content\":\"H"), " 200 ", "id: 0-0", NULL);
        int new = pair_begin(i ? &pair.second : &pair.first, key, whole.ids[1], ",\"stream\":true");
        char *rest = desk_finish(old, NULL);
        assert_null(strstr(rest, "[DONE]"));
        assert_parts(rest, "\"error\":{\"message\":\"a newer request",
                     "\"code\":\"idempotency_taken_over\"", NULL);
        fake_node_halt(pair.nodes[0], 0);
        char *more = desk_finish(new, NULL);
        assert_non_null(strstr(more, "Idempotent-Replayed: true"));
        assert_joined(&whole, 1, more);
        mem_free(more);
    }
    told_free(&whole);
    pair_stop();
}

/* Before a byte of the answer has left, it is a plain refusal; and no automatic retry takes the answer back. */
static void who_waits_for_a_whole_answer_is_told_too(void **state)
{
    (void)state;
    if (!pair.redis.process) skip();
    pair_start(NULL, &(struct fake_node_options){0});
    fake_node_halt(pair.nodes[0], 5);
    int old = pair_begin(&pair.first, "whole", NULL, "");
    assert_soon(fake_node_submits(pair.nodes[0]) > 0);
    assert_parts(pair_ask(&pair.second, "whole", NULL, ""), " 200 ", "Idempotent-Replayed: true",
                 "\"content\":\"Hello, 你好 world\"", NULL);
    assert_parts(desk_finish(old, NULL), " 409 ", "x-should-retry: false",
                 "\"code\":\"idempotency_taken_over\"", NULL);
    pair_stop();
}

static void who_leaves_before_the_key_is_claimed_leaves_nothing(void **state)
{
    (void)state;
    if (!pair.redis.process) skip();
    pair_start(NULL, &(struct fake_node_options){0});
    assert_int_equal(kill(pair.redis.process, SIGSTOP), 0);
    int fd = pair_begin(&pair.first, "left", NULL, ",\"stream\":true");
    assert_soon(desk_busy(&pair.first) > 0);
    close(fd);
    assert_soon(desk_busy(&pair.first) == 0);
    assert_int_equal(kill(pair.redis.process, SIGCONT), 0);
    assert_parts(pair_ask(&pair.second, "left", NULL, ",\"stream\":true"), " 200 ", "[DONE]", NULL);
    pair_stop();
}

static void an_answer_is_as_long_as_it_was_to_be_at_first(void **state)
{
    (void)state;
    if (!pair.redis.process) skip();
    const char *flags[] = {"--answer-tokens", "4", NULL};
    pair_start_one(&pair.first, &pair.nodes[0], flags, &(struct fake_node_options){0});
    pair_start_one(&pair.second, &pair.nodes[1], NULL, &(struct fake_node_options){0});
    assert_parts(pair_ask(&pair.second, "other-length", NULL, ""), "\"finish_reason\":\"stop\"",
                 NULL);
    assert_parts(pair_ask(&pair.first, "length", NULL, ""), "\"completion_tokens\":4", NULL);
    assert_parts(pair_ask(&pair.second, "length", NULL, ""), "\"finish_reason\":\"length\"",
                 "\"completion_tokens\":4", NULL);
    pair_stop();
}

static void another_model_does_not_finish_the_answer(void **state)
{
    (void)state;
    if (!pair.redis.process) skip();
    pair_start_one(&pair.first, &pair.nodes[0], NULL, &(struct fake_node_options){.model = "old"});
    pair_start_one(&pair.second, &pair.nodes[1], NULL, &(struct fake_node_options){.model = "new"});
    assert_parts(pair_ask(&pair.first, "model", NULL, ""), " 200 ", NULL);
    assert_parts(pair_ask(&pair.second, "model", NULL, ""), " 409 ", "x-should-retry: false",
                 "the model 'tiny' any more", "\"code\":\"model_changed\"", NULL);
    struct fake_node *old = fake_node_start(&(struct fake_node_options){
        .url = pair.second.link_url, .name = "old", .model = "old", .answer = pair_greeting});
    assert_soon(desk_has_node(&pair.second, fake_node_instance(old)));
    assert_parts(pair_ask(&pair.second, "model", NULL, ""), " 200 ", NULL);
    fake_node_stop(old);
    pair_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_that_is_asked_for_again_is_the_same_one),
        cmocka_unit_test(a_stream_goes_on_where_its_reader_was),
        cmocka_unit_test(a_text_completion_goes_on_with_its_offsets),
        cmocka_unit_test(without_a_key_events_have_no_ids),
        cmocka_unit_test(what_is_wrong_with_a_key_or_a_place_is_said),
        cmocka_unit_test(the_newest_connection_has_the_stream),
        cmocka_unit_test(who_waits_for_a_whole_answer_is_told_too),
        cmocka_unit_test(who_leaves_before_the_key_is_claimed_leaves_nothing),
        cmocka_unit_test(an_answer_is_as_long_as_it_was_to_be_at_first),
        cmocka_unit_test(another_model_does_not_finish_the_answer),
    };
    return cmocka_run_group_tests(tests, pair_set_up, pair_tear_down);
}
