/* Bulk bodies: which lines are taken, and what is said of the others. */
#include "scheduler/door/json.h"
#include "scheduler/door/ndjson.h"
#include "tests/test.h"

#include <string.h>

struct taken {
    char text[512];
    size_t count;
};

/* Takes objects with a number `a`, and says what came. */
static enum err take(void *argument, size_t line, json_t *object)
{
    struct taken *taken = argument;
    int64_t a = -1;
    TRY(json_take_integer(object, "a", 0, 1000000, &a));
    if (a < 0) return json_wrong("a", "must be given");
    size_t used = strlen(taken->text);
    snprintf(taken->text + used, sizeof taken->text - used, "%zu:%d ", line, (int)a);
    taken->count++;
    return ERR_OK;
}

static const struct ndjson_limits limits = {.lines = 2000, .line_bytes = 64};

static void every_line_is_judged_for_itself(void **state)
{
    (void)state;
    struct taken taken = {0};
    struct ndjson_report report = {0};
    static const char body[] =
        "{\"a\":1}\n\n  \r\n{\"a\":\"x\"}\r\n{\"a\":2}\n{\n[1]\n{}\n"
        "{\"a\":3,\"long\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}\n"
        "{\"a\":\"\xff\"}\n{\"a\":4}";
    assert_int_equal(ndjson_read(body, sizeof body - 1, &limits, take, &taken, &report), ERR_OK);
    assert_string_equal(taken.text, "1:1 5:2 11:4 ");
    assert_int_equal(report.error_count, 6);
    assert_int_equal(report.line_count, 9);
    assert_int_equal(report.first, ERR_INVALID);
    const char *errors = buf_text(&report.errors);
    static const char *const parts[] = {
        "{\"line\":4,\"error\":{\"message\":\"a must be a whole number",
        "\"param\":\"a\",\"code\":\"invalid_request\"}},{\"line\":6,\"error\":{\"message\":\"the "
        "line is not valid JSON",
        "\"param\":null",
        "{\"line\":7,\"error\":{\"message\":\"the line must be a JSON object",
        "{\"line\":8,\"error\":{\"message\":\"a must be given",
        "{\"line\":9,\"error\":{\"message\":\"the line has 6",
        "\"code\":\"request_too_large\"",
        "{\"line\":10,\"error\":{\"message\":\"the line is not valid UTF-8"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const char *at = strstr(errors, parts[i]);
        if (!at) fail_msg("'%s' is not in '%s'", parts[i], errors);
        errors = at;
    }
    ndjson_fini(&report);
}

static void a_list_counts_its_elements(void **state)
{
    (void)state;
    struct taken taken = {0};
    struct ndjson_report report = {0};
    static const char body[] = " [{\"a\":1},\n7,{\"a\":2}]";
    assert_int_equal(ndjson_read(body, sizeof body - 1, &limits, take, &taken, &report), ERR_OK);
    assert_string_equal(taken.text, "1:1 3:2 ");
    assert_non_null(strstr(buf_text(&report.errors), "{\"line\":2,"));
    ndjson_fini(&report);
}

static enum err read_lines(const char *line, size_t count)
{
    struct taken taken = {0};
    struct ndjson_report report = {0};
    struct buf body = {0};
    for (size_t i = 0; i < count; i++)
        buf_add_text(&body, line);
    enum err err = ndjson_read(buf_text(&body), body.size, &limits, take, &taken, &report);
    buf_fini(&body);
    ndjson_fini(&report);
    return err;
}

static void a_body_with_too_many_lines_or_errors_is_refused_as_a_whole(void **state)
{
    (void)state;
    assert_int_equal(read_lines("{\"a\":1}\n", 2000), ERR_OK);
    assert_int_equal(read_lines("{\"a\":1}\n", 2001), ERR_TOO_LARGE);
    assert_int_equal(read_lines("{}\n", NDJSON_ERRORS_MAX), ERR_OK);
    assert_int_equal(read_lines("{}\n", NDJSON_ERRORS_MAX + 1), ERR_INVALID);
    assert_int_equal(read_lines("\n", 5000), ERR_INVALID); // empty
    assert_int_equal(read_lines("[", 1), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_is_judged_for_itself),
        cmocka_unit_test(a_list_counts_its_elements),
        cmocka_unit_test(a_body_with_too_many_lines_or_errors_is_refused_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
