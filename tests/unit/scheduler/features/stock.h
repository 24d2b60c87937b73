/* tests/unit/scheduler/features/stock.h -- catalogues that follow a real Redis, for tests: put, and see it in the copy. */
#ifndef TESTS_UNIT_SCHEDULER_FEATURES_STOCK_H
#define TESTS_UNIT_SCHEDULER_FEATURES_STOCK_H

#include <stddef.h>

struct catalogue;
struct catalogues;
struct event_base;
struct store;

struct stock {
    struct event_base *base; // NULL: there is no redis-server
    struct store *store;
    struct catalogues *catalogues;
};

extern struct stock stock;

/* Of a group of tests: cmocka's set-up and tear-down. */
int stock_start(void **state);
int stock_stop(void **state);
/* Write the records (NULL: delete the item), and wait until the copy has them. */
void stock_put_all(struct catalogue *catalogue, const char *const *ids, const char *const *records,
                   size_t count);
void stock_put(struct catalogue *catalogue, const char *id, const char *record);

#endif
