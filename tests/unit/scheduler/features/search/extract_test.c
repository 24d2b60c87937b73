#include "scheduler/features/search/extract.h"
#include "scheduler/features/search/settings.h"
#include "tests/test.h"

#include "base/buf.h"

#include <string.h>

/* The title, a '|', the text. */
static char *extracted(const char *settings_text, const char *document_text, const char *language)
{
    static char out[512];
    char param[SEARCH_PARAM_MAX];
    struct search_settings *settings;
    struct buf title = {0}, text = {0};
    json_t *object = json_loads(settings_text, 0, NULL);
    json_t *document = json_loads(document_text, 0, NULL);
    assert_true(object && document);
    assert_int_equal(search_settings_read(&settings, object, param), ERR_OK);
    extract_text(settings, document, language, &title, &text);
    snprintf(out, sizeof out, "%s|%s", buf_text(&title), buf_text(&text));
    json_decref(object);
    json_decref(document);
    search_settings_free(settings);
    buf_fini(&title);
    buf_fini(&text);
    return out;
}

static void the_title_weighs_most_and_what_can_be_filtered_has_its_name(void **state)
{
    (void)state;
    assert_string_equal(
        extracted("{\"fields\":{\"text\":1,\"title\":3},\"facets\":[\"brand\"],\"sortable\":["
                  "\"price\"]}",
                  "{\"id\":1,\"text\":[\"a\",\"b\"],\"title\":\"T\",\"price\":9.5,\"brand\":\"B\","
                  "\"secret\":\"s\"}",
                  "en"),
        "T|a\nb; brand: B; price: 9.5");
    // a field that is not there gives its place to the next
    assert_string_equal(
        extracted("{\"fields\":{\"title\":3,\"text\":1}}", "{\"text\":\"a\"}", "en"), "a|");
    assert_string_equal(extracted("{\"fields\":[\"title\"]}", "{\"text\":\"a\"}", "en"), "|");
}

static void of_one_thing_in_several_languages_the_questions_is_taken(void **state)
{
    (void)state;
    static const char settings[] = "{\"fields\":{\"titles.en\":2,\"titles.zh\":2,\"category\":1}}",
                      both[] = "{\"titles\":{\"zh\":\"手机\",\"en\":\"phone\"},\"category\":\"c\"}",
                      one[] = "{\"titles\":{\"en\":\"phone\"}}";
    assert_string_equal(extracted(settings, both, "zh"), "手机|c");
    assert_string_equal(extracted(settings, both, "en"), "phone|c");
    assert_string_equal(extracted(settings, one, "zh"), "phone|");
    assert_string_equal(extracted("{\"fields\":[\"t\",\"u\"],\"facets\":[\"a.colour\"]}",
                                  "{\"t\":\"名\",\"u\":\"好\",\"a\":{\"colour\":\"红\"}}", "zh"),
                        "名|好；colour：红");
}

static void without_fields_it_is_every_text(void **state)
{
    (void)state;
    assert_string_equal(extracted("{}", "{\"id\":\"7\",\"name\":\"N\",\"text\":\"a\"}", "en"),
                        "N|7\nN\na");
    assert_string_equal(extracted("{}", "{\"title\":7,\"text\":\"a\"}", "en"), "|7\na");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_title_weighs_most_and_what_can_be_filtered_has_its_name),
        cmocka_unit_test(of_one_thing_in_several_languages_the_questions_is_taken),
        cmocka_unit_test(without_fields_it_is_every_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
