#include "scheduler/core/flight.h"
#include "scheduler/door/ask.h"
#include "scheduler/door/choice_text.h"
#include "scheduler/door/mark.h"
#include "tests/unit/text/text_test.h"

#define SAID "one two three"

static struct tokenizer *tokenizer;
static struct mark no_label;

static int set_up(void **state)
{
    (void)state;
    tokenizer = given_tiny_tokenizer();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tokenizer_free(tokenizer);
    return 0;
}

/* Of a chat; a reader that came back has `told`. */
static struct choice_text given(const struct ask *ask, bool keeps, struct position_place told)
{
    struct choice_text text;
    struct choice_text_options options = {
        .ask = ask, .tokenizer = tokenizer, .mark = &no_label, .keeps = keeps, .told = told};
    assert_int_equal(choice_text_init(&text, &options), ERR_OK);
    return text;
}

/* SAID in pieces of so many ids, each byte an id; what was fresh of it, one piece after another, into `heard`. */
static enum err when_said(struct choice_text *text, size_t piece, struct buf *heard)
{
    enum err err = ERR_OK;
    struct token_ids ids = given_bytes(tokenizer, SAID, strlen(SAID));
    for (size_t at = 0; !err && !text->finish && at < ids.count; at += piece) {
        size_t rest = ids.count - at;
        err = choice_text_add(
            text, &(struct flight_ids){.ids = ids.ids + at, .count = piece < rest ? piece : rest});
        if (!err) buf_add(heard, text->fresh.data, text->fresh.size);
    }
    token_ids_fini(&ids);
    return err;
}

static void assert_text(const struct buf *text, const char *want)
{
    assert_int_equal(text->size, strlen(want));
    assert_string_equal(buf_text(text), want);
}

static void a_plain_text_waits_for_its_end(void **state)
{
    struct ask ask = {.kind = ASK_CHAT};
    (void)state;
    for (size_t piece = 1; piece <= strlen(SAID); piece++) {
        struct buf heard = {0};
        struct choice_text text = given(&ask, true, (struct position_place){0});
        assert_int_equal(when_said(&text, piece, &heard), ERR_OK);
        assert_null(text.finish);
        choice_text_end(&text, "length");
        assert_string_equal(text.finish, "length");
        assert_text(&heard, "");
        assert_text(&text.whole, SAID);
        assert_int_equal(text.bytes, strlen(SAID));
        assert_int_equal(text.tokens, strlen(SAID));
        buf_fini(&heard);
        choice_text_fini(&text);
    }
}

static void a_stop_string_ends_it_and_what_follows_does_not_count(void **state)
{
    struct ask ask = {
        .kind = ASK_CHAT, .stream = true, .stops = {{.text = "two t", .size = 5}}, .stop_count = 1};
    (void)state;
    for (size_t piece = 1; piece <= strlen(SAID); piece++) {
        struct buf heard = {0};
        struct choice_text text = given(&ask, true, (struct position_place){0});
        assert_int_equal(when_said(&text, piece, &heard), ERR_OK);
        assert_string_equal(text.finish, "stop");
        assert_text(&heard, "one ");
        assert_text(&text.whole, "one ");
        assert_int_equal(text.tokens, strlen("one two t"));
        buf_fini(&heard);
        choice_text_fini(&text);
    }
}

static void what_its_reader_has_is_kept_and_not_said_again(void **state)
{
    struct ask ask = {.kind = ASK_CHAT, .stream = true};
    (void)state;
    for (size_t piece = 1; piece <= strlen(SAID); piece++) {
        for (uint32_t has = 0; has <= strlen(SAID); has++) {
            struct buf heard = {0};
            struct choice_text text =
                given(&ask, true, (struct position_place){.tokens = has, .bytes = has});
            assert_int_equal(when_said(&text, piece, &heard), ERR_OK);
            choice_text_end(&text, "stop");
            assert_text(&heard, SAID + has);
            assert_text(&text.whole, SAID);
            assert_false(choice_text_falls_short(&text));
            buf_fini(&heard);
            choice_text_fini(&text);
        }
    }
}

static void a_reader_that_has_something_else_is_found_out(void **state)
{
    struct ask ask = {.kind = ASK_CHAT, .stream = true};
    static const struct position_place wrong[] = {
        {.tokens = 3, .bytes = 1}, {.tokens = 3, .bytes = 5}, {.tokens = 0, .bytes = 2}};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct buf heard = {0};
        struct choice_text text = given(&ask, false, wrong[i]);
        assert_int_equal(when_said(&text, 4, &heard), ERR_INVALID);
        buf_fini(&heard);
        choice_text_fini(&text);
    }
}

static void an_end_before_its_reader_falls_short(void **state)
{
    struct ask ask = {.kind = ASK_CHAT, .stream = true};
    uint32_t size = (uint32_t)strlen(SAID);
    struct buf heard = {0};
    (void)state;
    struct choice_text text =
        given(&ask, false, (struct position_place){.tokens = size + 1, .bytes = size + 1});
    assert_int_equal(when_said(&text, 4, &heard), ERR_OK);
    choice_text_end(&text, "stop");
    assert_true(choice_text_falls_short(&text));
    assert_text(&heard, "");
    buf_fini(&heard);
    choice_text_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_text_waits_for_its_end),
        cmocka_unit_test(a_stop_string_ends_it_and_what_follows_does_not_count),
        cmocka_unit_test(what_its_reader_has_is_kept_and_not_said_again),
        cmocka_unit_test(a_reader_that_has_something_else_is_found_out),
        cmocka_unit_test(an_end_before_its_reader_falls_short),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
