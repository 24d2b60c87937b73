/* Bitmaps of what may be recommended: filters over a catalogue that changes, followed from a real Redis. */
#include "scheduler/features/catalogue.h"
#include "scheduler/features/filter.h"
#include "scheduler/features/sold.h"
#include "tests/test.h"
#include "tests/unit/scheduler/features/stock.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include <event2/event.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
    ROWS = 3000
};

static struct digest model = {{1}};

/* Row i is item "i": sold in cn when i is even, in us when it can be divided by 3, and it costs i. */
static struct catalogue *fill(const char *tenant)
{
    static char names[ROWS][12], texts[ROWS][96];
    static const char *ids[ROWS], *records[ROWS];
    struct catalogue *catalogue = catalogue_of(stock.catalogues, tenant);
    for (size_t i = 0; i < ROWS; i++) {
        snprintf(names[i], sizeof names[i], "%zu", i);
        snprintf(texts[i], sizeof texts[i], "{\"id\":\"%zu\",\"price\":%zu,\"regions\":[%s%s%s]}",
                 i, i, i % 2 ? "\"x\"" : "\"cn\"", i % 3 ? "" : ",", i % 3 ? "" : "\"us\"");
        ids[i] = names[i];
        records[i] = texts[i];
    }
    stock_put_all(catalogue, ids, records, ROWS);
    return catalogue;
}

struct wish {
    struct sold *sold;
    bool told;
    unsigned times;
};

static void on_found(void *argument, struct sold *sold)
{
    struct wish *wish = argument;
    wish->sold = sold;
    wish->told = true;
    wish->times++;
}

static struct filter *parse(const char *text)
{
    struct filter *filter;
    assert_int_equal(filter_parse_text(&filter, text, strlen(text)), ERR_OK);
    return filter;
}

/* The bitmap, waited for. *at_once: it was known. */
static struct sold *find(struct solds *solds, const struct catalogue *catalogue, const char *region,
                         const char *text, bool *at_once)
{
    struct wish wish = {0};
    struct sold_ticket *ticket;
    struct filter *filter = text ? parse(text) : NULL;
    struct sold_want want = {catalogue, region, &model, NULL, ROWS, filter};
    assert_int_equal(solds_find(solds, &want, on_found, &wish, &wish.sold, &ticket), ERR_OK);
    filter_free(filter);
    *at_once = wish.sold != NULL;
    assert_true(*at_once == (ticket == NULL));
    if (ticket) store_loop_until(stock.base, &wish.told);
    assert_int_equal(wish.times, ticket ? 1 : 0);
    return wish.sold;
}

static bool has(const struct sold *sold, uint32_t row)
{
    return sold->bits[row / 8] >> row % 8 & 1;
}

static void a_row_is_in_when_it_is_sold_and_the_filter_holds(void **state)
{
    (void)state;
    if (!stock.base) skip();
    struct catalogue *catalogue = fill("one");
    struct solds *solds = solds_new(stock.base);
    bool at_once;
    struct sold *cheap = find(solds, catalogue, "cn", "price < 1000", &at_once);
    assert_false(at_once);
    assert_int_equal(cheap->size, (ROWS + 7) / 8);
    for (uint32_t row = 0; row < ROWS; row++)
        assert_int_equal(has(cheap, row), row % 2 == 0 && row < 1000);
    struct digest digest = digest_of(cheap->bits, cheap->size);
    assert_true(digest_equal(&digest, &cheap->digest));
    struct sold *again = find(solds, catalogue, "cn", " price<1000 ", &at_once);
    assert_true(at_once);
    assert_ptr_equal(again, cheap);
    struct sold *us = find(solds, catalogue, "us", "price < 1000", &at_once);
    struct sold *all = find(solds, catalogue, "", NULL, &at_once);
    for (uint32_t row = 0; row < ROWS; row++) {
        assert_int_equal(has(us, row), row % 3 == 0 && row < 1000);
        assert_true(has(all, row));
    }
    sold_release(cheap);
    sold_release(again);
    sold_release(us);
    sold_release(all);
    solds_free(solds);
}

static void what_changes_is_judged_again_and_nothing_else_walked(void **state)
{
    (void)state;
    if (!stock.base) skip();
    struct catalogue *catalogue = fill("two");
    struct solds *solds = solds_new(stock.base);
    bool at_once;
    struct sold *before = find(solds, catalogue, "cn", "price < 1000", &at_once);
    stock_put(catalogue, "10", "{\"id\":\"10\",\"price\":5000}");
    stock_put(catalogue, "12", NULL);
    stock_put(catalogue, "13", "{\"id\":\"13\",\"price\":7}");
    struct sold *after = find(solds, catalogue, "cn", "price < 1000", &at_once);
    assert_true(at_once);
    assert_true(has(before, 10) && has(before, 12) && !has(before, 13)); // as it was lent
    assert_true(!has(after, 10) && !has(after, 12) && has(after, 13) && has(after, 14));
    assert_false(digest_equal(&before->digest, &after->digest));
    struct digest digest = digest_of(after->bits, after->size);
    assert_true(digest_equal(&digest, &after->digest));
    sold_release(before);
    sold_release(after);
    fill("two"); // everything is as it was: more changes than are followed at once
    struct sold *last = find(solds, catalogue, "cn", "price < 1000", &at_once);
    assert_false(at_once);
    assert_true(has(last, 10) && has(last, 12) && !has(last, 13));
    sold_release(last);
    solds_free(solds);
}

static void a_costly_filter_is_cut_into_turns_and_may_be_left(void **state)
{
    (void)state;
    if (!stock.base) skip();
    struct catalogue *catalogue = fill("three");
    struct solds *solds = solds_new(stock.base);
    char text[8000] = "price = x0";
    size_t size = strlen(text);
    for (int i = 1; i < 250; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, " OR price = %d", i);
    struct filter *filter = parse(text);
    struct wish wishes[3] = {0};
    struct sold_ticket *tickets[3];
    struct sold_want want = {catalogue, "", &model, NULL, ROWS, filter};
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            solds_find(solds, &want, on_found, &wishes[i], &wishes[i].sold, &tickets[i]), ERR_OK);
    sold_drop(tickets[0]);
    unsigned turns = 0;
    while (!wishes[1].told && turns < 100000) {
        event_base_loop(stock.base, EVLOOP_ONCE);
        turns++;
    }
    assert_true(wishes[2].told && !wishes[0].told);
    assert_ptr_equal(wishes[1].sold, wishes[2].sold);
    assert_true(turns > 3); // 3,000 rows times 250 conditions
    for (uint32_t row = 1; row < ROWS; row++)
        assert_int_equal(has(wishes[1].sold, row), row < 250);
    sold_release(wishes[1].sold);
    sold_release(wishes[2].sold);
    filter_free(filter);
    solds_free(solds);
}

static void more_than_can_be_made_at_once_are_refused(void **state)
{
    (void)state;
    if (!stock.base) skip();
    struct catalogue *catalogue = fill("four");
    struct solds *solds = solds_new(stock.base);
    struct sold_ticket *tickets[SOLD_KEPT + 1];
    struct wish wish = {0};
    for (int i = 0; i <= SOLD_KEPT; i++) {
        char text[32];
        snprintf(text, sizeof text, "price = %d", i);
        struct filter *filter = parse(text);
        struct sold_want want = {catalogue, "", &model, NULL, ROWS, filter};
        assert_int_equal(solds_find(solds, &want, on_found, &wish, &wish.sold, &tickets[i]),
                         i < SOLD_KEPT ? ERR_OK : ERR_BUSY);
        filter_free(filter);
    }
    for (int i = 0; i < SOLD_KEPT; i++)
        sold_drop(tickets[i]);
    bool at_once;
    struct sold *sold = find(solds, catalogue, "", "price = 9", &at_once);
    assert_true(has(sold, 9) && !has(sold, 8));
    sold_release(sold);
    solds_free(solds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_in_when_it_is_sold_and_the_filter_holds),
        cmocka_unit_test(what_changes_is_judged_again_and_nothing_else_walked),
        cmocka_unit_test(a_costly_filter_is_cut_into_turns_and_may_be_left),
        cmocka_unit_test(more_than_can_be_made_at_once_are_refused),
    };
    return cmocka_run_group_tests(tests, stock_start, stock_stop);
}
