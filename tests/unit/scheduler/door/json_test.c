#include "scheduler/door/json.h"
#include "tests/test.h"

#include "base/buf.h"

#include <string.h>

static enum err read_text(const char *text)
{
    json_t *root;
    enum err err = json_read(&root, text, strlen(text));
    if (!err) json_decref(root);
    return err;
}

static void assert_refused(const char *text, enum err want, const char *part)
{
    assert_int_equal(read_text(text), want);
    if (!strstr(err_text(), part)) fail_msg("note of %s: %s", text, err_text());
}

static void a_body_that_is_no_object_is_refused_with_the_place(void **state)
{
    (void)state;
    assert_refused("", ERR_INVALID, "empty");
    assert_refused("{", ERR_INVALID, "line 1");
    assert_refused("[]", ERR_INVALID, "must be a JSON object");
    assert_refused("{\"a\":1}x", ERR_INVALID, "column");
    assert_refused("{\"a\":1,\"a\":2}", ERR_INVALID, "duplicate");
    assert_refused("{\"a\":\"\xff\"}", ERR_INVALID, "UTF-8");
    assert_refused("{\"a\":\"\xed\xa0\x80\"}", ERR_INVALID, "UTF-8");
    assert_refused("{\"a\":\"\\u0000\"}", ERR_INVALID, "NUL");
    assert_refused("{\"a\":1e999}", ERR_INVALID, "overflow");
    assert_refused("{\"a\":99999999999999999999}", ERR_INVALID, "integer");
    assert_refused("{\"a\":NaN}", ERR_INVALID, "token");
    assert_int_equal(read_text("{\"a\":[{\"b\":\"[[[[\\\"[[[[\"}]}"), ERR_OK);
}

static void depth_and_count_of_values_are_bounded(void **state)
{
    (void)state;
    struct buf deep = {0};
    buf_add_text(&deep, "{\"a\":");
    for (int i = 0; i < 100000; i++)
        buf_add_byte(&deep, '[');
    assert_refused(deep.data, ERR_INVALID, "nests deeper than 32");
    buf_clear(&deep);
    buf_add_text(&deep, "{\"a\":[0");
    for (int i = 0; i < JSON_VALUES_MAX; i++)
        buf_add_text(&deep, ",0");
    buf_add_text(&deep, "]}");
    assert_refused(deep.data, ERR_TOO_LARGE, "values");
    buf_fini(&deep);
}

static void takers_name_the_field_and_what_would_be_right(void **state)
{
    (void)state;
    json_t *root;
    const char text[] = "{\"n\":-1,\"r\":3.5,\"s\":\"xyz\",\"b\":true,\"z\":null}";
    assert_int_equal(json_read(&root, text, sizeof text - 1), ERR_OK);
    int64_t integer = 7;
    double real = 7;
    bool flag = false;
    const char *string = NULL;
    assert_int_equal(json_take_integer(root, "absent", 0, 5, &integer), ERR_OK);
    assert_int_equal(json_take_integer(root, "z", 0, 5, &integer), ERR_OK);
    assert_int_equal(integer, 7);
    assert_int_equal(json_take_integer(root, "n", 0, 5, &integer), ERR_INVALID);
    assert_string_equal(err_text(), "n must be a whole number from 0 to 5");
    assert_string_equal(json_param(), "n");
    assert_int_equal(json_take_integer(root, "r", 0, 5, &integer), ERR_INVALID);
    assert_int_equal(json_take_real(root, "r", 0, 3, &real), ERR_INVALID);
    assert_int_equal(json_take_real(root, "s", 0, 3, &real), ERR_INVALID);
    assert_int_equal(json_take_real(root, "r", 0, 4, &real), ERR_OK);
    assert_true(real == 3.5);
    assert_int_equal(json_take_flag(root, "r", "o.r", &flag), ERR_INVALID);
    assert_string_equal(json_param(), "o.r");
    assert_int_equal(json_take_flag(root, "b", NULL, &flag), ERR_OK);
    assert_true(flag);
    assert_int_equal(json_take_text(root, "s", 0, 2, &string), ERR_INVALID);
    assert_int_equal(json_take_text(root, "s", 0, 3, &string), ERR_OK);
    assert_string_equal(string, "xyz");
    json_decref(root);
}

static void written_text_reads_back_the_same(void **state)
{
    (void)state;
    struct buf out = {0};
    const char text[] = "quote \" slash \\ \b\f\n\r\t \x01\x1f\x7f 你好 🌉";
    buf_add_text(&out, "{\"a\":");
    json_write_string(&out, text);
    buf_add_text(&out, "}");
    json_t *root;
    assert_int_equal(json_read(&root, out.data, out.size), ERR_OK);
    assert_string_equal(json_string_value(json_object_get(root, "a")), text);
    json_decref(root);
    buf_clear(&out);
    json_write_text(&out, "a\xff\x62\0c", 5);
    assert_string_equal(out.data, "\"a\xEF\xBF\xBD"
                                  "b\\u0000c\"");
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_that_is_no_object_is_refused_with_the_place),
        cmocka_unit_test(depth_and_count_of_values_are_bounded),
        cmocka_unit_test(takers_name_the_field_and_what_would_be_right),
        cmocka_unit_test(written_text_reads_back_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
