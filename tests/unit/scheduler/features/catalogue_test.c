/* A catalogue's copy in memory, followed from a real Redis, and what makes an item. */
#include "scheduler/features/catalogue.h"
#include "scheduler/features/collection.h"
#include "scheduler/features/follower.h"
#include "scheduler/state/store.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include "base/buf.h"

#include <event2/event.h>
#include <sodium.h>

#include <stdbool.h>
#include <string.h>

enum {
    MANY = 5000
};

static struct test_redis redis;
static struct event_base *base;
static struct store *store;
static struct collections *collections;
static struct catalogues *catalogues;
static uint64_t written; // the latest write's version

static int set_up(void **state)
{
    (void)state;
    assert_true(sodium_init() >= 0);
    if (!test_redis_start(&redis)) return 0;
    base = event_base_new();
    store = store_new(base, &(struct store_options){.host = redis.socket, .timeout_ms = 2000});
    collections = collections_new(base, store);
    catalogues = catalogues_new(collections, 100000);
    store_loop_until_up(base, store, true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (!base) return 0;
    catalogues_free(catalogues);
    store_free(store);
    collections_free(collections);
    event_base_free(base);
    libevent_global_shutdown();
    test_redis_stop(&redis);
    return 0;
}

static void on_written(void *argument, enum err err, uint64_t version)
{
    bool *told = argument;
    assert_int_equal(err, ERR_OK);
    written = version;
    *told = true;
}

/* Write the record (NULL: delete it), and wait until the copy has it. */
static void put(struct catalogue *catalogue, const char *id, const char *record)
{
    unsigned char fate;
    bool told = false;
    struct collection_entry entry = {id, strlen(id), record, record ? strlen(record) : 0};
    struct collection_write write = {
        .name = catalogue_name(catalogue), .entries = &entry, .count = 1, .fates = &fate};
    collection_write(collections, &write, on_written, &told);
    store_loop_until(base, &told);
    struct follower *follower = catalogue_follower(catalogue);
    for (int i = 0; i < 1000; i++) {
        if (follower_is_whole(follower) && follower_version(follower) == written) break;
        store_loop_run(base, 5);
    }
    assert_true(follower_is_whole(follower));
    assert_int_equal(follower_version(follower), written);
}

static void an_item_has_a_row_while_it_is_there(void **state)
{
    (void)state;
    if (!base) skip();
    struct catalogue *catalogue = catalogue_of(catalogues, "shop");
    assert_ptr_equal(catalogue_of(catalogues, "shop"), catalogue);
    assert_ptr_not_equal(catalogue_of(catalogues, "other"), catalogue);
    put(catalogue, "a",
        "{\"id\":\"a\",\"titles\":{\"zh\":\"手机\",\"en\":\"phone\"},\"regions\":[\"cn\"]}");
    put(catalogue, "b", "{\"id\":\"b\",\"available\":false}");
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

    put(catalogue, "a", "{\"id\":\"a\"}");
    assert_int_equal(catalogue_find(catalogue, "a"), a);
    put(catalogue, "a", NULL);
    assert_int_equal(catalogue_find(catalogue, "a"), CATALOGUE_NONE);
    assert_false(catalogue_item(catalogue, a, &item));
    assert_int_equal(catalogue_count(catalogue), 1);
    put(catalogue, "c", "{\"id\":\"c\"}");
    assert_int_equal(catalogue_find(catalogue, "c"), a); // the row is another's now
}

static void many_items_are_found_also_after_others_have_gone(void **state)
{
    (void)state;
    if (!base) skip();
    static char ids[MANY][12], records[MANY][24];
    static struct collection_entry entries[MANY];
    static unsigned char fates[MANY];
    struct catalogue *catalogue = catalogue_of(catalogues, "many");
    struct collection_write write = {
        .name = catalogue_name(catalogue), .entries = entries, .count = MANY, .fates = fates};
    for (size_t i = 0; i < MANY; i++) {
        snprintf(ids[i], sizeof ids[i], "i%zu", i);
        snprintf(records[i], sizeof records[i], "{\"id\":\"i%zu\"}", i);
        entries[i] =
            (struct collection_entry){ids[i], strlen(ids[i]), records[i], strlen(records[i])};
    }
    bool told = false;
    collection_write(collections, &write, on_written, &told);
    store_loop_until(base, &told);
    for (size_t i = 0; i < MANY; i += 2)
        entries[i / 2] = (struct collection_entry){ids[i], strlen(ids[i]), NULL, 0};
    write.count = MANY / 2;
    told = false;
    collection_write(collections, &write, on_written, &told);
    store_loop_until(base, &told);
    for (int i = 0; i < 1000 && catalogue_count(catalogue) != MANY / 2; i++)
        store_loop_run(base, 5);
    assert_int_equal(catalogue_count(catalogue), MANY / 2);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(catalogue_find(catalogue, ids[i]) == CATALOGUE_NONE, i % 2 == 0);
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
        cmocka_unit_test(what_is_no_item_is_named),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
