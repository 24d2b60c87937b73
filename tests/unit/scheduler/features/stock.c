#include "tests/unit/scheduler/features/stock.h"

#include "scheduler/features/catalogue.h"
#include "scheduler/features/collection.h"
#include "scheduler/features/follower.h"
#include "scheduler/state/store.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include "base/mem.h"

#include <event2/event.h>

#include <stdbool.h>
#include <string.h>

struct stock stock;

static struct test_redis redis;
static struct store *store;
static struct collections *collections;
static uint64_t written; // the latest write's version

int stock_start(void **state)
{
    (void)state;
    if (!store_loop_begin(&redis, &stock.base, &store)) return 0;
    stock.store = store;
    collections = collections_new(stock.base, store);
    stock.catalogues = catalogues_new(collections, 100000);
    return 0;
}

int stock_stop(void **state)
{
    (void)state;
    if (!stock.base) return 0;
    catalogues_free(stock.catalogues);
    store_free(store);
    collections_free(collections);
    event_base_free(stock.base);
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

void stock_put_all(struct catalogue *catalogue, const char *const *ids, const char *const *records,
                   size_t count)
{
    bool told = false;
    struct collection_entry *entries = mem_new(count, sizeof *entries);
    unsigned char *fates = mem_new(count, 1);
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct collection_entry){ids[i], strlen(ids[i]), records[i],
                                               records[i] ? strlen(records[i]) : 0};
    struct collection_write write = {
        .name = catalogue_name(catalogue), .entries = entries, .count = count, .fates = fates};
    collection_write(collections, &write, on_written, &told);
    store_loop_until(stock.base, &told);
    struct follower *follower = catalogue_follower(catalogue);
    assert_soon_on(stock.base,
                   follower_is_whole(follower) && follower_version(follower) == written);
    mem_free(entries);
    mem_free(fates);
}

void stock_put(struct catalogue *catalogue, const char *id, const char *record)
{
    stock_put_all(catalogue, &id, &record, 1);
}
