/* Filters: what holds for which document, and what is refused where. */
#include "scheduler/features/filter.h"
#include "tests/test.h"

#include "base/buf.h"

#include <stdbool.h>
#include <string.h>

static const char phone[] =
    "{\"id\":\"p1\",\"category\":\"Phones\",\"price\":3999,\"stock\":0,\"sold\":true,\"note\":null,"
    "\"tags\":[\"5G\",\"手机\",\"O'Neil\"],\"titles\":{\"zh\":\"智能手机\",\"en\":\"\"},\"empty\":["
    "],"
    "\"offers\":[{\"shop\":\"north\",\"price\":{\"cny\":3900}},{\"shop\":\"south\",\"price\":{"
    "\"cny\":4100}}],"
    "\"a.b\":\"dotted\",\"IN\":1,\"year\":\"2024\"}";

static json_t *parse(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert_non_null(value);
    return value;
}

static bool holds_json(const char *filter_text)
{
    struct filter *filter = NULL;
    json_t *value = parse(filter_text), *document = parse(phone);
    if (filter_parse(&filter, value)) fail_msg("%s: %s", filter_text, err_text());
    bool holds = filter_holds(filter, document);
    filter_free(filter);
    json_decref(value);
    json_decref(document);
    return holds;
}

static bool holds(const char *text)
{
    struct filter *filter = NULL;
    json_t *document = parse(phone);
    if (filter_parse_text(&filter, text, strlen(text))) fail_msg("%s: %s", text, err_text());
    bool is = filter_holds(filter, document);
    filter_free(filter);
    json_decref(document);
    return is;
}

static void each_operator_holds_where_it_should_and_nowhere_else(void **state)
{
    (void)state;
    static const char *const good[] = {
        "category = phones",
        "category=\"PHONES\"",
        "category != tablets",
        "missing != 1",
        "price >= 3999",
        "price <= 3999",
        "price > 3998.5",
        "price < 4e3",
        "price 3000 TO 3999",
        "price = 3999",
        "year = 2024",
        "sold = true",
        "category IN [tablets, Phones]",
        "category NOT IN [tablets]",
        "missing NOT IN [tablets]",
        "note EXISTS",
        "missing NOT EXISTS",
        "note IS NULL",
        "price IS NOT NULL",
        "empty IS EMPTY",
        "titles.en IS EMPTY",
        "titles.zh IS NOT EMPTY",
        "tags = 手机",
        "tags = 'O\\'Neil'",
        "tags IN [4G, 5g]",
        "titles.zh = 智能手机",
        "offers.shop = south",
        "offers.price.cny > 4000",
        "a.b = dotted",
        "'IN' = 1",
        "\"IN\" EXISTS",
    };
    static const char *const bad[] = {
        "category = phone", "category != Phones", "price > 3999",    "price < 3999",
        "price 1 TO 3998",
        "year > 2000", // a text
        "sold = 1",         "category IN []",     "note NOT EXISTS", "missing IS NULL",
        "missing IS EMPTY", "price IS EMPTY",     "missing = 1",     "offers.shop = west",
        "offers.price > 1", // an object
        "titles = zh",
        "tags != 5G", // a list that has it
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!holds(good[i])) fail_msg("it must hold: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (holds(bad[i])) fail_msg("it must not hold: %s", bad[i]);
}

static void not_binds_before_and_and_and_before_or(void **state)
{
    (void)state;
    assert_true(holds("price = 1 AND stock = 1 OR sold = true"));
    assert_true(holds("sold = true OR price = 1 AND stock = 1"));
    assert_false(holds("(sold = true OR price = 1) AND stock = 1"));
    assert_false(holds("NOT sold = true OR stock = 1"));
    assert_true(holds("NOT (sold = true AND stock = 1)"));
    assert_true(holds("NOT NOT sold = true"));
    assert_true(holds("NOT sold = true OR NOT stock = 1"));
    assert_true(holds("((price=3999))AND(stock=0)"));
    assert_true(holds("  "));
    assert_true(holds(""));
}

static void lists_are_and_of_or(void **state)
{
    (void)state;
    assert_true(holds_json("[]"));
    assert_true(holds_json("null"));
    assert_true(holds_json("[\"price > 1\", [\"stock = 9\", \"sold = true\"]]"));
    assert_false(holds_json("[\"price > 1\", [\"stock = 9\", \"sold = false\"]]"));
    assert_false(holds_json("[\"price < 1\", \"sold = true\"]"));
    assert_true(holds_json("[[\"price < 1 OR stock = 0\"], \"sold = true AND price > 1\"]"));
}

/* The filter is refused, and the note has `part`. */
static void refused(const char *json, const char *part)
{
    struct filter *filter = NULL;
    json_t *value = parse(json);
    if (filter_parse(&filter, value) != ERR_INVALID) fail_msg("it must be refused: %s", json);
    if (!strstr(err_text(), part)) fail_msg("%s: '%s' is not in '%s'", json, part, err_text());
    assert_null(filter);
    json_decref(value);
}

static void what_is_wrong_is_named_with_its_place(void **state)
{
    (void)state;
    refused("\"price\"", "at its end: =, !=");
    refused("\"price >\"", "a number is expected");
    refused("\"price > cheap\"", "at byte 8, \"cheap\": a number");
    refused("\"price > 0x10\"", "a number");
    refused("\"price > nan\"", "a number");
    refused("\"price = 1 price = 2\"", "at byte 10, \"price = 2\": AND or OR");
    refused("\"(price = 1\"", "a parenthesis is not closed");
    refused("\"price = 1)\"", "at byte 9, \")\": this parenthesis");
    refused("\"price = 'x\"", "the quote has no end");
    refused("\"price IN [1, 2\"", "',' or ']'");
    refused("\"price IN 1\"", "'[' is expected");
    refused("\"price IS 1\"", "NULL or EMPTY");
    refused("\"price NOT 1\"", "IN or EXISTS");
    refused("\"AND price = 1\"", "a reserved word");
    refused("\"price = 1 AND\"", "a field is expected");
    refused("\"_geoRadius(1,2,3)\"", "there are no functions");
    refused("\"x'; DROP TABLE items; --\"", "at byte 1");
    refused("\"price = 1 OR 1=1; --\"", "AND or OR is expected");
    refused("\"a\\u0000 = 1\"", "NUL");
    refused("[\"a = 1\", [\"b = 2\", \"c =\"]]", "filter[1][1]: at its end");
    refused("[\"a = 1\", []]", "filter[1]: an empty list");
    refused("[\"a = 1\", 7]", "filter[1]: it must be a text");
    refused("[\"a = 1\", [[\"b = 1\"]]]", "filter[1][0]: it must be a text");
    refused("\"'' = 1\"", "a field has a name");
    refused("7", "filter: it must be a text or a list");
}

static void limits_hold(void **state)
{
    (void)state;
    struct buf text = {0};
    buf_add_byte(&text, '"');
    for (int i = 0; i < 500; i++)
        buf_add_text(&text, "NOT (");
    buf_add_text(&text, "a = 1\"");
    refused(buf_text(&text), "may be open");
    buf_clear(&text);
    buf_add_text(&text, "\"a = 1");
    for (int i = 0; i < 300; i++)
        buf_add_text(&text, " OR a = 1");
    buf_add_byte(&text, '"');
    refused(buf_text(&text), "at most 256 conditions");
    buf_clear(&text);
    buf_add_text(&text, "\"a IN [1");
    for (int i = 0; i < 3000; i++)
        buf_add_text(&text, ",2");
    buf_add_text(&text, "]\"");
    refused(buf_text(&text), "at most 2048 values");
    buf_clear(&text);
    buf_add_text(&text, "\"a = '");
    for (int i = 0; i < 20000; i++)
        buf_add_byte(&text, 'x');
    buf_add_text(&text, "'\"");
    refused(buf_text(&text), "more than 16384 bytes");
    buf_fini(&text);
}

static void equal_filters_have_equal_digests(void **state)
{
    (void)state;
    static const char *const texts[] = {"a = 1 AND b = 2", "  a=1   AND (b = '2')",
                                        "a = 1 OR b = 2", "a = 1 AND b = 3",
                                        "a = 12 AND b IS NULL"};
    struct digest digests[5];
    for (size_t i = 0; i < 5; i++) {
        struct filter *filter = NULL;
        assert_int_equal(filter_parse_text(&filter, texts[i], strlen(texts[i])), ERR_OK);
        digests[i] = filter_digest(filter);
        assert_string_equal(filter_field(filter, 0), "a");
        assert_string_equal(filter_field(filter, 1), "b");
        assert_null(filter_field(filter, 2));
        filter_free(filter);
    }
    assert_true(digest_equal(&digests[0], &digests[1]));
    for (size_t i = 2; i < 5; i++)
        assert_false(digest_equal(&digests[0], &digests[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_operator_holds_where_it_should_and_nowhere_else),
        cmocka_unit_test(not_binds_before_and_and_and_before_or),
        cmocka_unit_test(lists_are_and_of_or),
        cmocka_unit_test(what_is_wrong_is_named_with_its_place),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(equal_filters_have_equal_digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
