#include "tests/test.h"

#include "base/err.h"

#include <string.h>

static void a_note_is_kept_until_the_next_failure(void **state)
{
    (void)state;
    assert_int_equal(err_note(ERR_FORMAT, "field %s is %d", "count", 7), ERR_FORMAT);
    assert_string_equal(err_text(), "field count is 7");
    err_note(ERR_IO, "around: %s", err_text());
    assert_string_equal(err_text(), "around: field count is 7");
}

static void a_long_note_never_ends_inside_a_character(void **state)
{
    (void)state;
    for (size_t pad = 0; pad < 4; pad++) {
        char text[ERR_NOTE_MAX * 2] = "";
        memset(text, 'x', pad);
        while (strlen(text) + 3 < sizeof text)
            strcat(text, "桥");
        err_note(ERR_INVALID, "%s", text);
        size_t size = strlen(err_text());
        assert_true(size < ERR_NOTE_MAX);
        assert_int_equal((size - pad) % 3, 0);
    }
}

static void an_unknown_number_is_an_internal_error(void **state)
{
    (void)state;
    assert_int_equal(err_http_status((enum err)9999), 500);
    assert_string_equal(err_api_code((enum err) - 1), "internal_error");
    assert_int_equal(err_http_status(ERR_LIMITED), 429);
    assert_int_equal(err_retry_class(ERR_BUSY), ERR_RETRY_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_note_is_kept_until_the_next_failure),
        cmocka_unit_test(a_long_note_never_ends_inside_a_character),
        cmocka_unit_test(an_unknown_number_is_an_internal_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
