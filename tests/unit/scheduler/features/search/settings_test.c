/* The settings of an index in the words of several services, and what of them counts. */
#include "scheduler/features/search/settings.h"
#include "tests/test.h"

#include <jansson.h>

#include <string.h>

static enum err read_text(struct search_settings **out, const char *text,
                          char param[SEARCH_PARAM_MAX])
{
    json_t *object = json_loads(text, 0, NULL);
    assert_non_null(object);
    enum err err = search_settings_read(out, object, param);
    json_decref(object);
    return err;
}

static struct search_settings *given(const char *text)
{
    struct search_settings *settings = NULL;
    char param[SEARCH_PARAM_MAX];
    if (read_text(&settings, text, param)) fail_msg("%s: %s", text, err_text());
    return settings;
}

/* The names and weights as "a=3 b=1". */
static void weighs(const char *text, const char *want)
{
    struct search_settings *settings = given(text);
    char got[256] = "";
    for (size_t i = 0; i < settings->fields.count; i++) {
        size_t used = strlen(got);
        snprintf(got + used, sizeof got - used, "%s%s=%g", i ? " " : "", settings->fields.items[i],
                 settings->weights[i]);
    }
    assert_string_equal(got, want);
    search_settings_free(settings);
}

static void weights_count_by_their_ratios(void **state)
{
    (void)state;
    weighs("{\"fields\":[\"a\",\"b\"]}", "a=1 b=1");
    weighs("{\"fields\":{\"a\":3,\"b\":1}}", "a=3 b=1");
    weighs("{\"fields\":{\"a\":3}}", "a=1");
    weighs("{\"fields\":{\"a\":0.5,\"b\":0.25}}", "a=2 b=1");
    weighs("{\"fields\":[\"a\",\"b\"],\"weights\":{\"a\":4}}", "a=4 b=1");
    weighs("{\"fields\":[\"a\",\"b\",\"a\"]}", "a=1 b=1");
    weighs("{\"weights\":{\"a\":4,\"b\":2}}", "a=2 b=1");
}

static void other_services_names_are_understood_and_kept_as_ours(void **state)
{
    (void)state;
    struct search_settings *settings = given(
        "{\"primaryKey\":\"sku\",\"searchableAttributes\":[\"t\"],\"filterableAttributes\":[\"p\"],"
        "\"sortableAttributes\":[\"q\"],\"stopWords\":[\"the\"],\"embedder\":\"e\","
        "\"language\":\"zh-Hans-CN\"}");
    assert_string_equal(settings->primary_key, "sku");
    assert_true(search_names_have(&settings->fields, "t"));
    assert_true(search_names_have(&settings->filterable, "p"));
    assert_true(search_names_have(&settings->sortable, "q"));
    assert_true(search_names_have(&settings->stops, "the"));
    assert_string_equal(settings->embedder, "e");
    assert_true(settings->stem);
    struct search_settings *again = given(settings->text); // as another scheduler reads it
    assert_string_equal(again->text, settings->text);
    assert_non_null(strstr(again->text, "\"primary_key\":\"sku\""));
    assert_non_null(strstr(again->text, "\"embedder\":{\"model\":\"e\"}"));
    search_settings_free(again);
    search_settings_free(settings);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"bogus\":1}", "bogus"},
        {"{\"primaryKey\":\"a\",\"primary_key\":\"a\"}", "primary_key"},
        {"{\"searchableAttributes\":[\"a\"],\"fields\":[\"a\"]}", "fields"},
        {"{\"weights\":3}", "weights"},
        {"{\"fields\":{\"a\":1},\"weights\":{\"a\":1}}", "weights"},
        {"{\"fields\":[\"a\"],\"weights\":{\"b\":1}}", "weights"},
        {"{\"fields\":[\"a\",3],\"weights\":{\"a\":1}}", "weights"},
        {"{\"fields\":[\"a\"],\"weights\":{\"a\":\"3\"}}", "fields.a"},
        {"{\"fields\":{\"a\":0}}", "fields.a"},
        {"{\"weights\":{}}", "fields"},
        {"{\"language\":\"english\"}", "language"},
        {"{\"language\":\"zhx\"}", "language"},
        {"[]", "settings"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct search_settings *settings;
        char param[SEARCH_PARAM_MAX];
        assert_int_equal(read_text(&settings, rows[i][0], param), ERR_INVALID);
        assert_string_equal(param, rows[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_count_by_their_ratios),
        cmocka_unit_test(other_services_names_are_understood_and_kept_as_ours),
        cmocka_unit_test(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
