/* Interests from a history and a catalogue, and those that are taken away, in a real Redis. */
#include "scheduler/features/catalogue.h"
#include "scheduler/features/consent.h"
#include "scheduler/features/events.h"
#include "scheduler/features/history.h"
#include "scheduler/features/tags.h"
#include "scheduler/state/keyring.h"
#include "scheduler/state/store.h"
#include "tests/test.h"
#include "tests/unit/scheduler/features/stock.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include "base/mem.h"

#include <hiredis/hiredis.h>

#include <stdio.h>
#include <string.h>

static struct consents *consents;
static struct events *events;
static struct histories *histories;
static struct tags *tags;
static struct keyring keys;
static struct catalogue *catalogue;

static int set_up(void **state)
{
    static const char *const ids[] = {"p1", "p2", "c1", "m1", "bare"};
    static const char *const records[] = {"{\"id\":\"p1\",\"category\":\"phone\"}",
                                          "{\"id\":\"p2\",\"category\":\"phone\"}",
                                          "{\"id\":\"c1\",\"category\":\"case\"}",
                                          "{\"id\":\"m1\",\"category\":\"phone\",\"attributes\":{"
                                          "\"categories\":[\"phone\",\"gift\"]}}",
                                          "{\"id\":\"bare\"}"};
    if (stock_start(state) != 0) return -1;
    if (!stock.base) return 0;
    keyring_make(&keys);
    consents = consents_new(stock.store, keys.root);
    events = events_new(stock.store, &keys, 3600);
    histories = histories_new(stock.store, consents_owner_key(consents), &keys, stock.catalogues);
    tags = tags_new(stock.store, consents_owner_key(consents), &keys);
    catalogue = catalogue_of(stock.catalogues, "shop");
    stock_put_all(catalogue, ids, records, 5);
    return 0;
}

static int tear_down(void **state)
{
    int result = stock_stop(state);
    consents_free(consents);
    events_free(events);
    histories_free(histories);
    tags_free(tags);
    return result;
}

// ---- words -------------------------------------------------------------------------------------

struct told {
    bool done;
    enum err err;
    char text[512]; // items, or tags with their events
    size_t hidden;
};

static void on_changed(void *argument, enum err err, const struct consent_state *state)
{
    struct told *told = argument;
    (void)state;
    told->done = true;
    assert_int_equal(err, ERR_OK);
}

static void on_done(void *argument, enum err err)
{
    struct told *told = argument;
    told->done = true;
    told->err = err;
}

static const char *owner_of(const char *user)
{
    static char owner[OWNER_TEXT_SIZE];
    owner_write(owner, consents_owner_key(consents), "shop", user);
    return owner;
}

static void live(const char *user, const char *const *items, size_t count)
{
    struct told agreed = {0}, stored = {0};
    struct event list[8];
    unsigned char fates[8];
    const struct consent_change all = {.purposes = {CONSENT_GIVE, CONSENT_GIVE, CONSENT_GIVE}};
    consent_change(consents, "shop", user, &all, on_changed, &agreed);
    store_loop_until(stock.base, &agreed.done);
    for (size_t i = 0; i < count; i++)
        list[i] = (struct event){.type = EVENT_VIEW, .item = items[i], .time_ms = 1790000000000};
    struct event_batch batch = {.tenant = "shop",
                                .owner = owner_of(user),
                                .source = "",
                                .events = list,
                                .count = count,
                                .fates = fates};
    events_store(events, &batch, on_done, &stored);
    store_loop_until(stock.base, &stored.done);
    assert_int_equal(stored.err, ERR_OK);
}

static void on_items(void *argument, enum err err, const struct history *history)
{
    struct told *told = argument;
    on_done(told, err);
    if (err) return;
    told->hidden = json_array_size(history->hidden);
    for (size_t i = 0; i < history->count; i++) {
        size_t used = strlen(told->text);
        snprintf(told->text + used, sizeof told->text - used, "%s ", history->events[i].item);
    }
}

static void on_tags(void *argument, enum err err, const struct history *history)
{
    struct told *told = argument;
    struct tag *list = mem_new(TAGS_LIST_MAX, sizeof *list);
    on_done(told, err);
    size_t count = tags_derive(history, history->hidden, catalogue, list);
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(told->text);
        snprintf(told->text + used, sizeof told->text - used, "%s=%zu ", list[i].text,
                 list[i].events);
    }
    mem_free(list);
}

static struct told read_of(const char *user, enum consent_purpose purpose, history_fn *done)
{
    struct told told = {0};
    history_read(histories, "shop", user, purpose, &history_everything, done, &told);
    store_loop_until(stock.base, &told.done);
    return told;
}

static enum err change(const char *user, const char *tag, bool hide)
{
    struct told told = {0};
    tags_change(tags, "shop", user, tag, hide, on_done, &told);
    assert_false(told.done);
    store_loop_until(stock.base, &told.done);
    return told.err;
}

// ---- tests -------------------------------------------------------------------------------------

static void interests_are_the_categories_of_what_was_looked_at(void **state)
{
    (void)state;
    if (!stock.base) skip();
    live("ann", (const char *const[]){"p1", "c1", "m1", "p2", "bare", "p1"}, 6);
    assert_string_equal(read_of("ann", CONSENT_HISTORY, on_tags).text, "phone=4 case=1 gift=1 ");
}

static void what_is_taken_away_is_in_no_history_that_something_is_made_of(void **state)
{
    (void)state;
    if (!stock.base) skip();
    live("bob", (const char *const[]){"p1", "c1", "m1", "bare"}, 4);
    assert_int_equal(change("bob", "gift", true), ERR_OK);
    assert_int_equal(change("bob", "gift", true), ERR_OK); // again
    assert_string_equal(read_of("bob", CONSENT_RECOMMENDATIONS, on_items).text, "p1 c1 bare ");
    assert_string_equal(read_of("bob", CONSENT_HISTORY, on_items).text, "p1 c1 m1 bare ");
    assert_string_equal(read_of("bob", CONSENT_HISTORY, on_tags).text, "phone=2 case=1 ");
    assert_int_equal(change("bob", "phone", true), ERR_OK);
    struct told told = read_of("bob", CONSENT_SEARCH, on_items);
    assert_string_equal(told.text, "c1 bare ");
    assert_int_equal(told.hidden, 2);
    assert_int_equal(change("bob", "gift", false), ERR_OK);
    assert_int_equal(change("bob", "phone", false), ERR_OK);
    assert_string_equal(read_of("bob", CONSENT_RECOMMENDATIONS, on_items).text, "p1 c1 m1 bare ");
    char key[96]; // nothing is left where nothing is taken away
    snprintf(key, sizeof key, "qiao:{u:%s}:tags", owner_of("bob"));
    assert_int_equal(store_loop_ask(stock.base, stock.store, "EXISTS", key, NULL).integer, 0);
}

static void an_item_that_nobody_knows_is_not_used_while_something_is_taken_away(void **state)
{
    (void)state;
    if (!stock.base) skip();
    live("carol", (const char *const[]){"p1", "unknown"}, 2);
    assert_string_equal(read_of("carol", CONSENT_RECOMMENDATIONS, on_items).text, "p1 unknown ");
    assert_int_equal(change("carol", "case", true), ERR_OK);
    assert_string_equal(read_of("carol", CONSENT_RECOMMENDATIONS, on_items).text, "p1 ");
}

static void redis_does_not_see_what_was_taken_away(void **state)
{
    (void)state;
    if (!stock.base) skip();
    char key[96];
    assert_int_equal(change("dave", "medicine", true), ERR_OK);
    snprintf(key, sizeof key, "qiao:{u:%s}:tags", owner_of("dave"));
    struct store_answer answer =
        store_loop_ask(stock.base, stock.store, "GETRANGE", key, "0", "3", NULL);
    assert_string_equal(answer.text, "QSV1");
    // Another's does not open.
    char other[96];
    snprintf(other, sizeof other, "qiao:{u:%s}:tags", owner_of("erin"));
    assert_int_equal(change("erin", "books", true), ERR_OK);
    store_loop_ask(stock.base, stock.store, "COPY", key, other, "REPLACE", NULL);
    assert_int_equal(change("erin", "music", true), ERR_INTERNAL);
}

static void there_is_a_most_and_a_shape(void **state)
{
    (void)state;
    if (!stock.base) skip();
    char tag[TAGS_TEXT_MAX + 2];
    for (int i = 0; i < TAGS_HIDDEN_MAX; i++) {
        snprintf(tag, sizeof tag, "t%d", i);
        assert_int_equal(change("frank", tag, true), ERR_OK);
    }
    assert_int_equal(change("frank", "one more", true), ERR_TOO_LARGE);
    assert_int_equal(change("frank", "t7", false), ERR_OK);
    assert_int_equal(change("frank", "one more", true), ERR_OK);
    memset(tag, 'x', sizeof tag);
    assert_int_equal(tags_check(tag, TAGS_TEXT_MAX), ERR_OK);
    assert_int_equal(tags_check(tag, TAGS_TEXT_MAX + 1), ERR_INVALID);
    assert_int_equal(tags_check("", 0), ERR_INVALID);
    assert_int_equal(tags_check("a\n", 2), ERR_INVALID);
    assert_int_equal(tags_check("\xff", 1), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interests_are_the_categories_of_what_was_looked_at),
        cmocka_unit_test(what_is_taken_away_is_in_no_history_that_something_is_made_of),
        cmocka_unit_test(an_item_that_nobody_knows_is_not_used_while_something_is_taken_away),
        cmocka_unit_test(redis_does_not_see_what_was_taken_away),
        cmocka_unit_test(there_is_a_most_and_a_shape),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
