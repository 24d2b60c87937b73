/* A catalogue's copy in memory, followed from a real Redis, and what makes an item. */
#include "scheduler/features/catalogue.h"
#include "tests/test.h"
#include "tests/unit/scheduler/features/stock.h"

#include "base/buf.h"

#include <string.h>

enum {
    MANY = 5000
};

static void an_item_has_a_row_while_it_is_there(void **state)
{
    (void)state;
    if (!stock.base) skip();
    struct catalogue *catalogue = catalogue_of(stock.catalogues, "shop");
    assert_ptr_equal(catalogue_of(stock.catalogues, "shop"), catalogue);
    assert_ptr_not_equal(catalogue_of(stock.catalogues, "other"), catalogue);
    stock_put(catalogue, "a",
              "{\"id\":\"a\",\"titles\":{\"zh\":\"手机\",\"en\":\"phone\"},\"regions\":[\"cn\"]}");
    stock_put(catalogue, "b", "{\"id\":\"b\",\"available\":false}");
    uint32_t a = catalogue_find(catalogue, "a"), b = catalogue_find(catalogue, "b");
    struct catalogue_item item;
    assert_int_equal(catalogue_find(catalogue, "c"), CATALOGUE_NONE);
    assert_true(a != b && a < catalogue_rows(catalogue) && b < catalogue_rows(catalogue));
    assert_true(catalogue_item(catalogue, a, &item));
    assert_string_equal(item.id, "a");
    assert_string_equal(catalogue_title(&item, "zh-Hans-CN"), "手机");
    assert_string_equal(catalogue_title(&item, "fr"), "phone");
    assert_true(catalogue_is_sold(&item, "cn"));
    assert_true(catalogue_is_sold(&item, ""));
    assert_false(catalogue_is_sold(&item, "us"));
    assert_true(catalogue_item(catalogue, b, &item));
    assert_false(catalogue_is_sold(&item, "cn"));
    assert_null(catalogue_title(&item, "zh"));

    stock_put(catalogue, "a", "{\"id\":\"a\"}");
    assert_int_equal(catalogue_find(catalogue, "a"), a);
    stock_put(catalogue, "a", NULL);
    assert_int_equal(catalogue_find(catalogue, "a"), CATALOGUE_NONE);
    assert_false(catalogue_item(catalogue, a, &item));
    assert_int_equal(catalogue_count(catalogue), 1);
    stock_put(catalogue, "c", "{\"id\":\"c\"}");
    assert_int_equal(catalogue_find(catalogue, "c"), a); // the row is another's now
}

static void many_items_are_found_also_after_others_have_gone(void **state)
{
    (void)state;
    if (!stock.base) skip();
    static char names[MANY][12], texts[MANY][24];
    static const char *ids[MANY], *records[MANY], *none[MANY];
    struct catalogue *catalogue = catalogue_of(stock.catalogues, "many");
    for (size_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "i%zu", i);
        snprintf(texts[i], sizeof texts[i], "{\"id\":\"i%zu\"}", i);
        ids[i] = names[i];
        records[i] = texts[i];
    }
    stock_put_all(catalogue, ids, records, MANY);
    for (size_t i = 0; i < MANY; i += 2)
        ids[i / 2] = names[i];
    stock_put_all(catalogue, ids, none, MANY / 2);
    assert_int_equal(catalogue_count(catalogue), MANY / 2);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(catalogue_find(catalogue, names[i]) == CATALOGUE_NONE, i % 2 == 0);
}

static void the_latest_changes_are_told_by_their_items(void **state)
{
    (void)state;
    if (!stock.base) skip();
    struct catalogue *catalogue = catalogue_of(stock.catalogues, "changing");
    stock_put(catalogue, "a", "{\"id\":\"a\"}");
    uint64_t before = catalogue_changes(catalogue);
    stock_put(catalogue, "b", "{\"id\":\"b\"}");
    stock_put(catalogue, "a", NULL);
    assert_int_equal(catalogue_changes(catalogue), before + 2);
    assert_string_equal(catalogue_changed(catalogue, before + 1), "b");
    assert_string_equal(catalogue_changed(catalogue, before + 2), "a");
    assert_null(catalogue_changed(catalogue, before + 3));
    assert_null(catalogue_changed(catalogue, before + 2 - CATALOGUE_CHANGES_KEPT));
}

static enum err check(const char *text, const char *member)
{
    struct buf out = {0};
    const char *id = NULL;
    char named[CATALOGUE_LABEL_MAX];
    json_t *object = json_loads(text, 0, NULL);
    assert_non_null(object);
    enum err err = catalogue_check(object, &id, &out, named);
    assert_string_equal(named, member);
    if (!err) assert_string_equal(id, "x");
    json_decref(object);
    buf_fini(&out);
    return err;
}

static void what_is_no_item_is_named(void **state)
{
    (void)state;
    assert_int_equal(
        check("{\"id\":\"x\",\"titles\":{\"en\":\"a\"},\"category\":\"c\",\"price\":9.5,"
              "\"available\":true,\"regions\":[\"cn\"],\"attributes\":{\"a\":[1]}}",
              ""),
        ERR_OK);
    static const char *const rows[][2] = {
        {"{}", "id"},
        {"{\"id\":7}", "id"},
        {"{\"id\":\"\"}", "id"},
        {"{\"id\":\"a b\"}", "id"},
        {"{\"id\":\"x\",\"titel\":1}", "titel"},
        {"{\"id\":\"x\",\"price\":null}", "price"},
        {"{\"id\":\"x\",\"price\":-1}", "price"},
        {"{\"id\":\"x\",\"titles\":\"a\"}", "titles"},
        {"{\"id\":\"x\",\"titles\":{\"\":\"a\"}}", "titles"},
        {"{\"id\":\"x\",\"titles\":{\"zh\":1}}", "titles"},
        {"{\"id\":\"x\",\"category\":[]}", "category"},
        {"{\"id\":\"x\",\"available\":1}", "available"},
        {"{\"id\":\"x\",\"regions\":\"cn\"}", "regions"},
        {"{\"id\":\"x\",\"regions\":[\"CN\"]}", "regions"},
        {"{\"id\":\"x\",\"attributes\":[]}", "attributes"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(check(rows[i][0], rows[i][1]), ERR_INVALID);
    struct buf giant = {0};
    buf_add_text(&giant, "{\"id\":\"x\",\"attributes\":{\"a\":\"");
    for (int i = 0; i < CATALOGUE_RECORD_MAX; i++)
        buf_add_byte(&giant, 'x');
    buf_add_text(&giant, "\"}}");
    assert_int_equal(check(buf_text(&giant), ""), ERR_TOO_LARGE);
    buf_fini(&giant);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_has_a_row_while_it_is_there),
        cmocka_unit_test(many_items_are_found_also_after_others_have_gone),
        cmocka_unit_test(the_latest_changes_are_told_by_their_items),
        cmocka_unit_test(what_is_no_item_is_named),
    };
    return cmocka_run_group_tests(tests, stock_start, stock_stop);
}
