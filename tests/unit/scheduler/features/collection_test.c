/* Collections and their copies, in a real Redis. Two schedulers are two sets of followers here: neither knows the other. */
#include "scheduler/features/collection.h"
#include "scheduler/features/follower.h"
#include "scheduler/state/store.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include "base/clock.h"
#include "base/mem.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>

#include <stdbool.h>
#include <string.h>

enum {
    SHELF_MAX = 1 << 18, // documents of a copy: ids are numbers below
    BULK = 2000
};

/* A copy: which value each numbered document has; 0: none. */
struct shelf {
    uint32_t *values;
    size_t count;
    int resets, settings_told;
    bool whole, full;
    bool heads; // documents are not wanted
    char settings[64];
    uint64_t version;
};

static struct test_redis redis;
static struct event_base *base;
static struct store *store;
static struct collections *collections;

static int set_up(void **state)
{
    (void)state;
    if (!store_loop_begin(&redis, &base, &store)) return 0;
    collections = collections_new(base, store);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (!base) return 0;
    store_free(store);
    collections_free(collections);
    event_base_free(base);
    libevent_global_shutdown();
    test_redis_stop(&redis);
    return 0;
}

// ---- a copy ------------------------------------------------------------------------------------

static void on_reset(void *owner)
{
    struct shelf *shelf = owner;
    memset(shelf->values, 0, SHELF_MAX * sizeof *shelf->values);
    shelf->count = 0;
    shelf->resets++;
    shelf->whole = false;
}

static void on_settings(void *owner, const char *text, size_t size)
{
    struct shelf *shelf = owner;
    snprintf(shelf->settings, sizeof shelf->settings, "%.*s", (int)size, text ? text : "");
    shelf->settings_told++;
}

static void keep(struct shelf *shelf, const char *id, size_t size, uint32_t value)
{
    char text[16];
    snprintf(text, sizeof text, "%.*s", (int)size, id);
    size_t at = strtoul(text, NULL, 10);
    assert_true(at < SHELF_MAX);
    shelf->count += (shelf->values[at] == 0 && value != 0) ? 1 : 0;
    shelf->count -= (shelf->values[at] != 0 && value == 0) ? 1 : 0;
    shelf->values[at] = value;
}

static void on_put(void *owner, const char *id, size_t id_size, const char *record, size_t size)
{
    char text[16];
    snprintf(text, sizeof text, "%.*s", (int)size, record);
    keep(owner, id, id_size, (uint32_t)strtoul(text, NULL, 10));
}

static void on_drop(void *owner, const char *id, size_t id_size)
{
    keep(owner, id, id_size, 0);
}

static void on_caught_up(void *owner, uint64_t version)
{
    struct shelf *shelf = owner;
    shelf->version = version;
    shelf->whole = true;
}

static bool on_full(void *owner)
{
    const struct shelf *shelf = owner;
    return shelf->full;
}

static bool on_wants(void *owner)
{
    const struct shelf *shelf = owner;
    return !shelf->heads;
}

static const struct follower_sink sink = {.reset = on_reset,
                                          .settings = on_settings,
                                          .put = on_put,
                                          .drop = on_drop,
                                          .caught_up = on_caught_up,
                                          .wants = on_wants,
                                          .is_full = on_full};

static struct follower *given_copy(struct shelf *shelf, const char *name)
{
    *shelf = (struct shelf){.values = mem_new(SHELF_MAX, sizeof *shelf->values)};
    return follower_new(collections, name, &sink, shelf);
}

static void free_copy(struct shelf *shelf, struct follower *follower)
{
    follower_free(follower);
    store_loop_settle(base, store); // a question may be on its way
    mem_free(shelf->values);
}

static void wait_for(const struct shelf *shelf, uint64_t version)
{
    assert_soon_on(base, shelf->whole && shelf->version == version);
}

// ---- writing -----------------------------------------------------------------------------------

struct written {
    bool done;
    enum err err;
    uint64_t version;
};

static void on_written(void *argument, enum err err, uint64_t version)
{
    struct written *written = argument;
    *written = (struct written){true, err, version};
}

static unsigned char fates[BULK];

/* Documents first … first + count - 1 get `value`; 0 deletes them. */
static struct written write_some(const char *name, size_t first, size_t count, uint32_t value,
                                 uint64_t most)
{
    static char ids[BULK][16];
    static struct collection_entry entries[BULK];
    struct written written = {0};
    char record[16];
    snprintf(record, sizeof record, "%u", value);
    for (size_t i = 0; i < count; i++) {
        snprintf(ids[i], sizeof ids[i], "%zu", first + i);
        entries[i] = (struct collection_entry){ids[i], strlen(ids[i]), value ? record : NULL,
                                               value ? strlen(record) : 0};
    }
    struct collection_write write = {
        .name = name, .entries = entries, .count = count, .documents_max = most, .fates = fates};
    collection_write(collections, &write, on_written, &written);
    store_loop_until(base, &written.done);
    return written;
}

static size_t count_fates(size_t count, enum collection_fate fate)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += fates[i] == fate;
    return found;
}

static void two_schedulers_have_every_write_and_know_its_version(void **state)
{
    (void)state;
    if (!base) skip();
    struct shelf a, b;
    struct follower *one = given_copy(&a, "items:two"), *two = given_copy(&b, "items:two");
    wait_for(&a, 0);
    struct written written = write_some("items:two", 0, 10, 7, 0);
    assert_int_equal(written.err, ERR_OK);
    assert_int_equal(written.version, 1);
    assert_int_equal(count_fates(10, COLLECTION_CREATED), 10);
    wait_for(&a, 1);
    wait_for(&b, 1);
    assert_int_equal(a.count, 10);

    assert_int_equal(write_some("items:two", 5, 10, 8, 0).version, 2);
    assert_int_equal(count_fates(10, COLLECTION_REPLACED), 5);
    assert_int_equal(write_some("items:two", 0, 2, 0, 0).version, 3);
    assert_int_equal(count_fates(2, COLLECTION_DELETED), 2);
    assert_int_equal(write_some("items:two", 0, 2, 0, 0).version, 3); // nothing changes
    assert_int_equal(count_fates(2, COLLECTION_MISSING), 2);
    wait_for(&a, 3);
    wait_for(&b, 3);
    assert_int_equal(a.count, 13);
    assert_int_equal(b.values[0], 0);
    assert_int_equal(b.values[4], 7);
    assert_int_equal(b.values[5], 8);
    // the first, and the one when the collection appeared; news come without one
    assert_true(a.resets <= 2 && b.resets <= 2);
    free_copy(&a, one);
    free_copy(&b, two);
}

static void a_collection_that_is_full_takes_what_it_has_and_no_more(void **state)
{
    (void)state;
    if (!base) skip();
    write_some("items:full", 0, 3, 1, 4);
    assert_int_equal(write_some("items:full", 2, 4, 2, 4).err, ERR_OK);
    assert_int_equal(fates[0], COLLECTION_REPLACED);
    assert_int_equal(fates[1], COLLECTION_CREATED);
    assert_int_equal(fates[2], COLLECTION_FULL);
    assert_int_equal(fates[3], COLLECTION_FULL);
}

static void on_reached(void *argument, enum err err)
{
    struct written *written = argument;
    written->done = true;
    written->err = err;
}

static void a_write_can_be_waited_for_and_what_does_not_come_is_told(void **state)
{
    (void)state;
    if (!base) skip();
    struct shelf shelf;
    struct follower *follower = given_copy(&shelf, "items:wait");
    wait_for(&shelf, 0);
    struct written written = write_some("items:wait", 0, 1, 1, 0), reached = {0};
    if (follower_version(follower) < written.version) {
        follower_await(follower, written.version, 60000, on_reached, &reached);
        store_loop_until(base, &reached.done);
        assert_int_equal(reached.err, ERR_OK);
    }
    assert_int_equal(shelf.count, 1);
    reached.done = false;
    follower_await(follower, 99, 60, on_reached, &reached);
    store_loop_until(base, &reached.done);
    assert_int_equal(reached.err, ERR_TIMEOUT);
    reached.done = false;
    follower_await(follower, 99, 60000, on_reached, &reached);
    free_copy(&shelf, follower);
    assert_int_equal(reached.err, ERR_CANCELED);
}

static void what_the_stream_has_lost_is_read_from_the_start(void **state)
{
    (void)state;
    if (!base) skip();
    struct shelf shelf;
    struct follower *follower = given_copy(&shelf, "items:gap");
    write_some("items:gap", 0, 4, 1, 0);
    wait_for(&shelf, 1);
    int resets = shelf.resets;
    shelf.full = true; // it does not ask meanwhile
    store_loop_settle(base, store);
    write_some("items:gap", 1, 2, 2, 0);
    write_some("items:gap", 0, 1, 0, 0);
    store_loop_ask(base, store, "XTRIM", "qiao:{c:items:gap}:changes", "MAXLEN", "1", NULL);
    shelf.full = false;
    wait_for(&shelf, 3);
    assert_int_equal(shelf.resets, resets + 1);
    assert_int_equal(shelf.count, 3);
    assert_int_equal(shelf.values[2], 2);
    free_copy(&shelf, follower);
}

static void another_history_under_the_same_version_is_noticed(void **state)
{
    (void)state;
    if (!base) skip();
    struct shelf shelf;
    struct follower *follower = given_copy(&shelf, "items:past");
    write_some("items:past", 0, 4, 1, 0);
    wait_for(&shelf, 1);
    shelf.full = true;
    store_loop_settle(base, store);
    struct written removed = {0};
    collection_remove(collections, "items:past", on_written, &removed);
    store_loop_until(base, &removed.done);
    assert_int_equal(removed.err, ERR_OK);
    write_some("items:past", 9, 1, 5, 0); // version 1 once more
    shelf.whole = shelf.full = false;
    wait_for(&shelf, 1);
    assert_int_equal(shelf.count, 1);
    assert_int_equal(shelf.values[9], 5);
    free_copy(&shelf, follower);
}

static void settings_come_first_and_documents_without_them_can_be_refused(void **state)
{
    (void)state;
    if (!base) skip();
    struct shelf shelf;
    struct follower *follower = given_copy(&shelf, "index:t:a");
    struct collection_entry entry = {"1", 1, "1", 1};
    struct collection_write write = {
        .name = "index:t:a", .entries = &entry, .count = 1, .existing = true, .fates = fates};
    struct written written = {0};
    collection_write(collections, &write, on_written, &written);
    store_loop_until(base, &written.done);
    assert_int_equal(written.err, ERR_NOT_FOUND);
    assert_int_equal(fates[0], COLLECTION_UNSENT);

    written.done = false;
    collection_configure(collections, "index:t:a", "{\"a\":1}", 7, on_written, &written);
    store_loop_until(base, &written.done);
    assert_int_equal(written.err, ERR_OK);
    written.done = false;
    collection_write(collections, &write, on_written, &written);
    store_loop_until(base, &written.done);
    assert_int_equal(written.version, 2);
    wait_for(&shelf, 2);
    assert_string_equal(shelf.settings, "{\"a\":1}");
    collection_configure(collections, "index:t:a", "{}", 2, on_written, &written);
    wait_for(&shelf, 3);
    assert_string_equal(shelf.settings, "{}");
    assert_int_equal(shelf.count, 1);

    written.done = false;
    collection_remove(collections, "index:t:a", on_written, &written);
    store_loop_until(base, &written.done);
    wait_for(&shelf, 0);
    assert_int_equal(shelf.count, 0);
    assert_string_equal(shelf.settings, "");
    written.done = false;
    collection_remove(collections, "index:t:a", on_written, &written);
    store_loop_until(base, &written.done);
    assert_int_equal(written.err, ERR_NOT_FOUND);
    free_copy(&shelf, follower);
}

/* Versions and settings alone, then all of it, then on from a version that is told. */
static void who_wants_no_documents_goes_on_with_them_from_a_version(void **state)
{
    (void)state;
    if (!base) skip();
    struct shelf shelf;
    struct follower *follower = given_copy(&shelf, "index:heads");
    struct written written = {0};
    shelf.heads = true;
    collection_configure(collections, "index:heads", "{}", 2, on_written, &written);
    store_loop_until(base, &written.done);
    write_some("index:heads", 0, 10, 7, 0);
    wait_for(&shelf, 2);
    assert_int_equal(shelf.count, 0);
    assert_string_equal(shelf.settings, "{}");
    char token[COLLECTION_TOKEN_MAX + 1];
    snprintf(token, sizeof token, "%s", follower_token(follower));
    assert_true(*token);
    write_some("index:heads", 10, 10, 8, 0);
    wait_for(&shelf, 3);
    assert_int_equal(shelf.count, 0);

    int resets = shelf.resets;
    shelf.heads = false;
    follower_resume(follower, 2, token);
    shelf.version = 0;
    wait_for(&shelf, 3);
    assert_int_equal(shelf.count, 10); // what has changed since, and no more
    assert_int_equal(shelf.values[10], 8);
    assert_int_equal(shelf.resets, resets);

    follower_restart(follower);
    shelf.whole = false;
    wait_for(&shelf, 3);
    assert_int_equal(shelf.count, 20);
    assert_true(shelf.resets > resets);

    resets = shelf.resets;
    shelf.whole = false;
    follower_resume(follower, 2, "another"); // another history: all of it comes again
    wait_for(&shelf, 3);
    assert_true(shelf.resets > resets);
    assert_int_equal(shelf.count, 20);
    free_copy(&shelf, follower);
}

static void on_record(void *argument, enum err err, const char *record, size_t size)
{
    struct store_answer *answer = argument;
    answer->done = true;
    answer->err = err;
    snprintf(answer->text, sizeof answer->text, "%.*s", (int)size, record ? record : "");
}

static void on_names(void *argument, enum err err, const char *const *names, size_t count)
{
    struct written *found = argument;
    assert_int_equal(err, ERR_OK);
    found->done = true;
    for (size_t i = 0; i < count; i++)
        found->version += strcmp(names[i], "items:read") == 0;
}

static void a_document_can_be_read_and_the_collections_listed(void **state)
{
    (void)state;
    if (!base) skip();
    write_some("items:read", 3, 1, 4, 0);
    struct store_answer answer = {0};
    collection_read(collections, "items:read", "3", 1, on_record, &answer);
    store_loop_until(base, &answer.done);
    assert_string_equal(answer.text, "4");
    answer.done = false;
    collection_read(collections, "items:read", "4", 1, on_record, &answer);
    store_loop_until(base, &answer.done);
    assert_int_equal(answer.err, ERR_NOT_FOUND);
    struct written found = {0};
    collections_list(collections, on_names, &found);
    store_loop_until(base, &found.done);
    assert_int_equal(found.version, 1);
}

static void a_hundred_thousand_documents_are_followed(void **state)
{
    (void)state;
    if (!base) skip();
    struct shelf early, late;
    struct follower *one = given_copy(&early, "items:many");
    uint64_t begin_ns = clock_now_ns(), version = 0;
    for (size_t first = 0; first < 100000; first += BULK)
        version = write_some("items:many", first, BULK, (uint32_t)first + 1, 0).version;
    uint64_t written_ns = clock_now_ns();
    struct follower *two = given_copy(&late, "items:many");
    wait_for(&late, version);
    uint64_t read_ns = clock_now_ns();
    wait_for(&early, version);
    print_message("100,000 documents: written in %u ms, copied in %u ms\n",
                  (unsigned)((written_ns - begin_ns) / CLOCK_MS),
                  (unsigned)((read_ns - written_ns) / CLOCK_MS));
    assert_int_equal(early.count, 100000);
    assert_int_equal(late.count, 100000);
    assert_int_equal(memcmp(early.values, late.values, SHELF_MAX * sizeof *early.values), 0);
    free_copy(&early, one);
    free_copy(&late, two);
}

/* Last: what was written before is gone then. */
static void a_redis_that_comes_back_empty_empties_the_copy_and_not_before(void **state)
{
    (void)state;
    if (!base) skip();
    struct shelf shelf;
    struct follower *follower = given_copy(&shelf, "items:away");
    write_some("items:away", 0, 4, 1, 0);
    wait_for(&shelf, 1);
    test_redis_kill(&redis);
    store_loop_until_up(base, store, false);
    struct written written = write_some("items:away", 0, 4, 2, 0);
    assert_int_equal(written.err, ERR_STORE_AWAY);
    assert_int_equal(fates[0], COLLECTION_UNSURE);
    store_loop_run(base, 200);
    assert_true(shelf.whole);
    assert_int_equal(shelf.count, 4);
    assert_true(follower_age_ms(follower) >= 150);
    test_redis_restart(&redis);
    store_loop_until_up(base, store, true);
    wait_for(&shelf, 0);
    assert_int_equal(shelf.count, 0);
    write_some("items:away", 7, 1, 3, 0);
    wait_for(&shelf, 1);
    assert_int_equal(shelf.values[7], 3);
    free_copy(&shelf, follower);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_schedulers_have_every_write_and_know_its_version),
        cmocka_unit_test(a_collection_that_is_full_takes_what_it_has_and_no_more),
        cmocka_unit_test(a_write_can_be_waited_for_and_what_does_not_come_is_told),
        cmocka_unit_test(what_the_stream_has_lost_is_read_from_the_start),
        cmocka_unit_test(another_history_under_the_same_version_is_noticed),
        cmocka_unit_test(settings_come_first_and_documents_without_them_can_be_refused),
        cmocka_unit_test(who_wants_no_documents_goes_on_with_them_from_a_version),
        cmocka_unit_test(a_document_can_be_read_and_the_collections_listed),
        cmocka_unit_test(a_hundred_thousand_documents_are_followed),
        cmocka_unit_test(a_redis_that_comes_back_empty_empties_the_copy_and_not_before),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
