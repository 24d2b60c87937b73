#include "scheduler/door/json.h"
#include "scheduler/door/position.h"
#include "tests/test.h"

#include <string.h>

static void assert_reads_back(const char *text, uint32_t count)
{
    struct position position;
    char again[POSITION_TEXT_MAX];
    assert_int_equal(position_parse(&position, text, count), ERR_OK);
    assert_string_equal(position_write(&position, count, again), text);
}

static void assert_refused(const char *text, uint32_t count)
{
    struct position position;
    if (position_parse(&position, text, count) == ERR_OK) fail_msg("'%s' was taken", text);
    assert_string_equal(json_param(), "Last-Event-ID");
    assert_non_null(strstr(err_text(), "must be the id of an event"));
}

static void a_position_says_tokens_bytes_and_what_has_ended(void **state)
{
    (void)state;
    struct position position = {.places = {{.tokens = 17, .bytes = 53, .began = true}}};
    char text[POSITION_TEXT_MAX];
    assert_string_equal(position_write(&position, 1, text), "17-53");
    position.places[0].ended = true;
    assert_string_equal(position_write(&position, 1, text), "17-53e");
    assert_string_equal(position_write(&position, 3, text), "17-53e..");
    position.places[1] = (struct position_place){.began = true};
    assert_string_equal(position_write(&position, 3, text), "17-53e.0-0.");
    position.usage = true;
    assert_string_equal(position_write(&position, 1, text), "17-53eu");
}

static void what_was_written_is_read_back(void **state)
{
    (void)state;
    struct position position;
    assert_reads_back("", 1);
    assert_reads_back("0-0", 1);
    assert_reads_back("4294967295-4294967295", 1);
    assert_reads_back("..17-53e.", 4);
    assert_reads_back("1-2e.3-4eu", 2);
    assert_int_equal(position_parse(&position, ".17-53e", 2), ERR_OK);
    assert_false(position.places[0].began);
    assert_true(position.places[1].ended);
    assert_int_equal(position.places[1].tokens, 17);
    assert_int_equal(position.places[1].bytes, 53);
}

static void the_longest_position_has_room(void **state)
{
    (void)state;
    struct position position = {.usage = true};
    char text[POSITION_TEXT_MAX];
    for (size_t i = 0; i < ASK_CHOICES_MAX; i++)
        position.places[i] = (struct position_place){UINT32_MAX, UINT32_MAX, true, true};
    assert_true(strlen(position_write(&position, ASK_CHOICES_MAX, text)) < POSITION_TEXT_MAX);
    assert_reads_back(text, ASK_CHOICES_MAX);
}

static void anything_else_is_refused(void **state)
{
    (void)state;
    static const char *const one[] = {
        "x",      "17",      "17-",     "-53",          "17-53x",
        "17-53u", "17-53ee", "17-53 ",  " 17-53",       "+1-2",
        "1-+2",   "01-2",    "1-00",    "4294967296-1", "1-99999999999999999999999",
        "e",      "u",       "1-2.3-4", "1-2."};
    for (size_t i = 0; i < sizeof one / sizeof *one; i++)
        assert_refused(one[i], 1);
    assert_refused("1-2", 2);
    assert_refused("1-2.3-4u", 2);
    assert_refused("1-2e.3-4u", 2);
    assert_refused("1-2e.u", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_position_says_tokens_bytes_and_what_has_ended),
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(the_longest_position_has_room),
        cmocka_unit_test(anything_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
