#include "tests/test.h"

#include "text/utf8.h"

#include "base/buf.h"
#include "base/rand.h"

#include <string.h>

static void every_character_is_read_as_it_was_written(void **state)
{
    (void)state;
    for (int32_t code = 0; code <= 0x10FFFF; code++) {
        if (code >= 0xD800 && code <= 0xDFFF) continue;
        char text[UTF8_CHARACTER_MAX];
        int32_t back;
        size_t size = utf8_write(text, code);
        assert_int_equal(utf8_next(text, size, &back), size);
        assert_int_equal(back, code);
        for (size_t cut = 1; cut < size; cut++) {
            assert_int_equal(utf8_next(text, cut, &back), cut);
            assert_int_equal(back, UTF8_INCOMPLETE);
        }
    }
}

static void what_is_no_character_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"\x80",         "\xC0\x80",         "\xC1\xBF",
                                      "\xE0\x9F\xBF", "\xED\xA0\x80",     "\xF0\x8F\xBF\xBF",
                                      "\xF5",         "\xF4\x90\x80\x80", "\xFF",
                                      "\xE4\xB8",     "abcdefgh\xC3",     "\xE4\xB8\xADx\xAD"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(utf8_valid(bad[i], strlen(bad[i])));
    assert_true(utf8_valid("", 0));
    assert_true(utf8_valid("12345678\xE4\xB8\xAD\xF0\x9F\x98\x80", 15));
    assert_int_equal(utf8_valid_size("12345678\xE4\xB8", 10), 8);
}

/* The examples of the Unicode standard, chapter 3, tables 3-8 to 3-11. */
static void mistakes_become_one_sign_for_each_maximal_subpart(void **state)
{
    (void)state;
#define R UTF8_REPLACEMENT

    static const struct {
        const char *text, *want;
    } cases[] = {
        {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", R R R R R R R R "A"},
        {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", R R R R R R R R "A"},
        {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", R R R R R "A" R R "B"},
        {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", R R R R "A"},
        {"\xE4\xB8", R},
    };

#undef R
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = {0};
        utf8_repair(&out, cases[i].text, strlen(cases[i].text));
        assert_string_equal(buf_text(&out), cases[i].want);
        buf_fini(&out);
    }
}

static void what_was_repaired_is_valid(void **state)
{
    (void)state;
    struct rand rand;
    rand_init(&rand, 3);
    for (int i = 0; i < 5000; i++) {
        char text[32];
        struct buf out = {0};
        size_t size = rand_below(&rand, sizeof text);
        for (size_t j = 0; j < size; j++)
            text[j] =
                (char)(rand_below(&rand, 2) ? 0xE0 + rand_below(&rand, 32) : rand_next(&rand));
        utf8_repair(&out, text, size);
        assert_true(utf8_valid(buf_text(&out), out.size));
        buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_is_read_as_it_was_written),
        cmocka_unit_test(what_is_no_character_is_refused),
        cmocka_unit_test(mistakes_become_one_sign_for_each_maximal_subpart),
        cmocka_unit_test(what_was_repaired_is_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
