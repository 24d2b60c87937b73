#include "tests/unit/text/text_test.h"

#include "text/stream.h"
#include "text/utf8.h"

#include "base/rand.h"

#define MIXED                                                       \
    "\xE4\xBD\xA0\xE5\xA5\xBD\xEF\xBC\x8C\xE4\xB8\x96\xE7\x95\x8C " \
    "\xF0\x9F\x98\x80\xF0\x9F\x91\xA8"                              \
    "\xE2\x80\x8D\xF0\x9F\x91\xA9 caf\xC3\xA9 \xE9\xBE\x98\xF0\xA0\x80\x80!"

struct heard {
    struct buf text;
    enum stream_state state;
    int stop;
};

static void then_sendable(const struct buf *text)
{
    assert_true(utf8_valid(buf_text(text), text->size));
}

static struct heard when_streamed(const struct tokenizer *tokenizer, const struct token_ids *ids,
                                  const struct stream_stop *stops, size_t stop_count)
{
    struct stream *stream;
    struct heard heard = {0};
    assert_int_equal(stream_new(&stream, tokenizer, stops, stop_count, true), ERR_OK);
    for (size_t i = 0; i < ids->count; i++) {
        heard.state = stream_push(stream, ids->ids[i], &heard.text);
        then_sendable(&heard.text);
    }
    stream_finish(stream, &heard.text);
    then_sendable(&heard.text);
    heard.stop = stream_stop_index(stream);
    stream_free(stream);
    return heard;
}

static struct heard when_bytes_streamed(const char *text, size_t size, const char *const *stops,
                                        size_t stop_count)
{
    struct tokenizer *tokenizer = given_tiny_tokenizer();
    struct token_ids ids = given_bytes(tokenizer, text, size);
    struct stream_stop views[STREAM_STOPS_MAX];
    for (size_t i = 0; i < stop_count; i++)
        views[i] = (struct stream_stop){stops[i], strlen(stops[i])};
    struct heard heard = when_streamed(tokenizer, &ids, views, stop_count);
    token_ids_fini(&ids);
    tokenizer_free(tokenizer);
    return heard;
}

static void then_heard(struct heard heard, const char *want, int stop)
{
    assert_string_equal(buf_text(&heard.text), want);
    assert_int_equal(heard.stop, stop);
    buf_fini(&heard.text);
}

/* Whatever the tokens, the whole comes out; cut short, it ends in U+FFFD at most. */
static void check_prefixes(const struct tokenizer *tokenizer)
{
    static const char text[] = MIXED;
    for (size_t size = 0; size < sizeof text; size++) {
        struct token_ids ids = when_encoded(tokenizer, text, size, 0);
        struct heard heard = when_streamed(tokenizer, &ids, NULL, 0);
        struct buf want = {0};
        utf8_repair(&want, text, size);
        assert_string_equal(buf_text(&heard.text), buf_text(&want));
        buf_fini(&want);
        buf_fini(&heard.text);
        token_ids_fini(&ids);
    }
}

static void every_prefix_of_a_mixed_text_is_whole_characters(void **state)
{
    (void)state;
    static const char *const names[] = {"qwen2", "llama-bpe", "llama-spm"};
    struct tokenizer *tokenizer = given_tiny_tokenizer();
    check_prefixes(tokenizer);
    tokenizer_free(tokenizer);
    for (size_t i = 0; i < 3; i++) {
        tokenizer = given_vocabulary(names[i]);
        if (!tokenizer) continue;
        check_prefixes(tokenizer);
        tokenizer_free(tokenizer);
    }
}

static void bytes_that_are_no_characters_are_repaired_alike(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = given_tiny_tokenizer();
    struct rand rand;
    rand_init(&rand, 5);
    for (int i = 0; i < 1000; i++) {
        char text[24];
        size_t size = rand_below(&rand, sizeof text);
        for (size_t j = 0; j < size; j++)
            text[j] = (char)(rand_below(&rand, 3) ? 0x80 + rand_below(&rand, 128) : 'a');
        struct token_ids ids = when_encoded(tokenizer, text, size, 0);
        struct heard heard = when_streamed(tokenizer, &ids, NULL, 0);
        struct buf want = {0};
        utf8_repair(&want, text, size);
        assert_string_equal(buf_text(&heard.text), buf_text(&want));
        buf_fini(&want);
        buf_fini(&heard.text);
        token_ids_fini(&ids);
    }
    tokenizer_free(tokenizer);
}

/* The text before the stop string, wherever tokens part it: two runs, cut at every place. */
static void a_stop_string_is_met_across_every_border(void **state)
{
    (void)state;
    static const char text[] = "one \xE4\xB8\xAD \xE5\x81\x9C\xE6\xAD\xA2 two";
    static const char *const stop = " \xE5\x81\x9C\xE6\xAD\xA2";
    struct tokenizer *tokenizer = given_tiny_tokenizer();
    struct stream_stop view = {stop, strlen(stop)};
    for (size_t cut = 0; cut < sizeof text; cut++) {
        struct token_ids ids = when_encoded(tokenizer, text, cut, 0);
        struct token_ids rest = when_encoded(tokenizer, text + cut, sizeof text - 1 - cut, 0);
        for (size_t i = 0; i < rest.count; i++)
            token_ids_add(&ids, rest.ids[i]);
        struct heard heard = when_streamed(tokenizer, &ids, &view, 1);
        assert_int_equal(heard.state, STREAM_STOPPED);
        then_heard(heard, "one \xE4\xB8\xAD", 0);
        token_ids_fini(&ids);
        token_ids_fini(&rest);
    }
    tokenizer_free(tokenizer);
}

static void the_stop_string_that_is_whole_first_wins(void **state)
{
    (void)state;
    static const char *const stops[] = {"abcd", "bc", "xbc", "zz"};
    then_heard(when_bytes_streamed("1abcd", 5, stops, 4), "1a", 1);
    then_heard(when_bytes_streamed("1xbcd", 5, stops, 4), "1",
               2); // of two that end here, the longer
    then_heard(when_bytes_streamed("1abxz", 5, stops, 4), "1abxz", -1);
    static const char *const knotted[] = {"aabaaa"};
    then_heard(when_bytes_streamed("xaabaabaaa!", 11, knotted, 1), "xaab", 0);
    static const char *const replacement[] = {UTF8_REPLACEMENT "a"};
    then_heard(when_bytes_streamed("1\xE4\xB8"
                                   "a2",
                                   5, replacement, 1),
               "1", 0);
    static const char *const last[] = {UTF8_REPLACEMENT};
    then_heard(when_bytes_streamed("1\xE4\xB8", 3, last, 1), "1", 0);
}

/* What is sent early is never more than is safe, and never less than it could be. */
static void no_more_is_held_back_than_may_begin_a_stop_string(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = given_tiny_tokenizer();
    struct stream *stream;
    struct stream_stop stop = {"\n\nUser:", 7};
    struct buf out = {0};
    assert_int_equal(stream_new(&stream, tokenizer, &stop, 1, false), ERR_OK);
    static const char text[] = "hi\n\nUse\n\n\nUsexy";
    static const size_t sent[] = {1, 2, 2, 2, 2, 2, 2, 7, 7, 8, 8, 8, 8, 14, 15};
    for (size_t i = 0; i < sizeof text - 1; i++) {
        stream_push(stream, id_of_byte(tokenizer, text[i]), &out);
        assert_int_equal(out.size, sent[i]);
    }
    assert_memory_equal(out.data, text, out.size);
    buf_fini(&out);
    stream_free(stream);
    tokenizer_free(tokenizer);
}

static void a_stream_agrees_with_a_search_of_the_whole(void **state)
{
    (void)state;
    struct rand rand;
    rand_init(&rand, 11);
    for (int round = 0; round < 3000; round++) {
        char text[40], stop[2][6];
        const char *stops[2] = {stop[0], stop[1]};
        size_t size = rand_below(&rand, sizeof text - 1);
        for (size_t i = 0; i < size; i++)
            text[i] = (char)('a' + rand_below(&rand, 2));
        text[size] = '\0';
        const char *want_end = NULL, *want_start = NULL;
        for (size_t i = 0; i < 2; i++) {
            size_t length = 1 + rand_below(&rand, 5);
            for (size_t j = 0; j < length; j++)
                stop[i][j] = (char)('a' + rand_below(&rand, 2));
            stop[i][length] = '\0';
            const char *at = strstr(text, stop[i]);
            if (!at) continue;
            if (want_end && at + length > want_end) continue;
            if (want_end && at + length == want_end && at > want_start) continue;
            want_end = at + length;
            want_start = at;
        }
        struct heard heard = when_bytes_streamed(text, size, stops, 2);
        if (want_start) text[want_start - text] = '\0';
        assert_string_equal(buf_text(&heard.text), text);
        assert_int_equal(heard.stop >= 0, want_start != NULL);
        buf_fini(&heard.text);
    }
}

static void control_ids_are_silent(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = given_tiny_tokenizer();
    struct token_ids ids = {0};
    token_ids_add(&ids, tokenizer_find(tokenizer, "<|im_start|>"));
    token_ids_add(&ids, id_of_byte(tokenizer, 'a'));
    token_ids_add(&ids, -1);
    token_ids_add(&ids, INT32_MAX);
    token_ids_add(&ids, tokenizer_find(tokenizer, "<|im_end|>"));
    then_heard(when_streamed(tokenizer, &ids, NULL, 0), "a", -1);
    token_ids_fini(&ids);
    tokenizer_free(tokenizer);
}

static void a_stop_string_that_cannot_be_is_refused(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = given_tiny_tokenizer();
    struct stream *stream;
    char long_text[STREAM_STOP_SIZE_MAX + 1];
    memset(long_text, 'x', sizeof long_text);
    struct stream_stop many[STREAM_STOPS_MAX + 1];
    for (size_t i = 0; i <= STREAM_STOPS_MAX; i++)
        many[i] = (struct stream_stop){"a", 1};
    struct stream_stop bad[] = {{"", 0}, {long_text, sizeof long_text}, {"\xE4\xB8", 2}};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(stream_new(&stream, tokenizer, &bad[i], 1, false), ERR_INVALID);
    assert_int_equal(stream_new(&stream, tokenizer, many, STREAM_STOPS_MAX + 1, false),
                     ERR_INVALID);
    struct stream_stop longest = {long_text, STREAM_STOP_SIZE_MAX};
    struct token_ids ids = given_bytes(tokenizer, long_text, STREAM_STOP_SIZE_MAX);
    then_heard(when_streamed(tokenizer, &ids, &longest, 1), "", 0);
    ids.count--; // one byte short of a stop: all of it was held back, and comes at the end
    struct heard heard = when_streamed(tokenizer, &ids, &longest, 1);
    long_text[STREAM_STOP_SIZE_MAX - 1] = '\0';
    then_heard(heard, long_text, -1);
    token_ids_fini(&ids);
    tokenizer_free(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_prefix_of_a_mixed_text_is_whole_characters),
        cmocka_unit_test(bytes_that_are_no_characters_are_repaired_alike),
        cmocka_unit_test(a_stop_string_is_met_across_every_border),
        cmocka_unit_test(the_stop_string_that_is_whole_first_wins),
        cmocka_unit_test(no_more_is_held_back_than_may_begin_a_stop_string),
        cmocka_unit_test(a_stream_agrees_with_a_search_of_the_whole),
        cmocka_unit_test(control_ids_are_silent),
        cmocka_unit_test(a_stop_string_that_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
