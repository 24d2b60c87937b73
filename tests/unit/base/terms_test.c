#include "tests/test.h"

#include "base/buf.h"
#include "base/terms.h"

#include <string.h>

#define HEAD "qiao terms 1\nname demo\nserial 7\nmade 2026-11-26\n"

static struct terms *given(const char *text)
{
    struct terms *terms = NULL;
    assert_int_equal(terms_parse(&terms, "demo.terms", text, strlen(text)), ERR_OK);
    return terms;
}

static void refuses(const char *text, const char *note)
{
    struct terms *terms;
    assert_int_equal(terms_parse(&terms, "demo.terms", text, strlen(text)), ERR_FORMAT);
    if (!strstr(err_text(), note)) fail_msg("'%s' instead of '%s'", err_text(), note);
}

static void a_file_is_read_and_put_in_order(void **state)
{
    (void)state;
    struct terms *terms = given(HEAD "# what is looked for\n\ncategory z block refuse\n"
                                     "category a review mask\nterm z two words\nterm a 中文\n"
                                     "part z b\nterm z b\nterm z two words\npattern a \\d{11}");
    assert_string_equal(terms->name, "demo");
    assert_int_equal(terms->serial, 7);
    assert_int_equal(terms->made_s, 1795651200);
    assert_int_equal(terms->count, 5);
    assert_int_equal(terms->categories[0].output, TERMS_MASK);
    struct buf out = {0};
    terms_write(&out, terms);
    assert_string_equal(buf_text(&out),
                        HEAD "category a review mask\ncategory z block refuse\nterm a 中文\n"
                             "pattern a \\d{11}\nterm z b\nterm z two words\npart z b\n");
    terms_free(terms);
    terms = given(buf_text(&out)); // it reads back, and is canonical
    struct buf again = {0};
    terms_write(&again, terms);
    assert_string_equal(buf_text(&again), buf_text(&out));
    terms_free(terms);
    buf_fini(&out);
    buf_fini(&again);
}

static void dates_are_days_of_the_calendar(void **state)
{
    (void)state;
    struct buf out = {0};
    struct terms *terms = given("qiao terms 1\nname d\nserial 1\nmade 2028-02-29\n");
    terms_write(&out, terms);
    assert_non_null(strstr(buf_text(&out), "made 2028-02-29\n"));
    assert_int_equal(terms->made_s, 1835395200);
    terms_free(terms);
    buf_fini(&out);
    refuses("qiao terms 1\nmade 2027-02-29\n", ":2: a date");
    refuses("qiao terms 1\nmade 2027-12-32\n", ":2: a date");
    refuses("qiao terms 1\nmade 2027-13-01\n", ":2: a date");
    refuses("qiao terms 1\nmade 26-1-1\n", ":2: a date");
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    refuses("", "empty");
    refuses("qiao terms 2\n", ":1: the first line");
    refuses("qiao terms 1\nname demo\nserial 7\n", "no line 'made'");
    refuses("qiao terms 1\nserial 0\n", ":2: a serial");
    refuses("qiao terms 1\nserial -1\n", ":2: a serial");
    refuses("qiao terms 1\nname de/mo\n", ":2: a name");
    refuses("qiao terms 1\nname demo more\n", ":2: the line goes on");
    refuses(HEAD "term x y\n", ":5: no line 'category'");
    refuses(HEAD "category x block\n", ":5: a category has two actions");
    refuses(HEAD "category x block burn\n", ":5: a category has two actions");
    refuses(HEAD "category x mask mask\ncategory x mask mask\n", ":6: the category stands");
    refuses(HEAD "category x mask mask\nterm x \n", ":6: a term has 1 to 256");
    refuses(HEAD "category x mask mask\nterm x a\r\n", ":6: a line holds neither");
    refuses(HEAD "words x y\n", ":5: a line begins");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_and_put_in_order),
        cmocka_unit_test(dates_are_days_of_the_calendar),
        cmocka_unit_test(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
