#include "scheduler/features/search/indexes.h"

#include "scheduler/features/collection.h"
#include "scheduler/features/follower.h"
#include "scheduler/features/search/indexes_parts.h"
#include "scheduler/scribe.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/event.h>

#include <stdio.h>
#include <string.h>

enum {
    TICK_MS = 20,
    LIST_MS = 1000,
    SLICE_MS = 4,
    LOOK_MS = 40 // at an index that is kept elsewhere
};

#define PREFIX "index:"

static void on_slice(void *argument);
static void after_slice(void *argument);

enum err indexes_collection(char *out, size_t out_size, const char *tenant, const char *name,
                            size_t size)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    bool fits = size >= 1 && size <= INDEXES_NAME_MAX;
    for (size_t i = 0; fits && i < size; i++)
        fits = name[i] != '\0' && strchr(letters, name[i]);
    if (!fits)
        return err_note(ERR_INVALID, "the name of an index is 1 to %d letters, digits, '-' and '_'",
                        INDEXES_NAME_MAX);
    snprintf(out, out_size, PREFIX "%s:%.*s", tenant, (int)size, name);
    return ERR_OK;
}

// ---- what the follower tells -------------------------------------------------------------------

/* One that is kept elsewhere is a worker's that may wait; it changes hands when nobody has it. */
static bool choose_worker(struct index_entry *entry)
{
    const struct indexes_options *options = &entry->indexes->options;
    struct scribe *scribe = entry->writer.is_remote ? options->waiters : options->scribe;
    if (entry->scribe != scribe && entry->jobs > 0) return false;
    entry->scribe = scribe;
    return true;
}

/* Each server has a worker of its own. */
static size_t lane_of(const struct index_entry *entry)
{
    const struct indexes_options *options = &entry->indexes->options;
    if (entry->scribe == options->scribe) return entry->lane;
    return entry->keeper.place ? (size_t)(entry->keeper.place - options->places.items) : 0;
}

bool indexes_submit(struct index_entry *entry, scribe_fn *work, scribe_fn *done, void *argument)
{
    if (!choose_worker(entry) ||
        !scribe_submit_to(entry->scribe, lane_of(entry), work, done, argument))
        return false;
    entry->jobs++;
    return true;
}

static void start_slice(struct index_entry *entry)
{
    if (entry->at_work || entry->indexes->stopped) return;
    uint64_t now_ns = clock_now_ns();
    bool looks = entry->writer.is_remote && now_ns >= entry->look_ns;
    if (!entry->waiting.first && !entry->orders.first && !entry->restless && !looks) return;
    entry->look_ns = now_ns + LOOK_MS * CLOCK_MS;
    entry->at_work = true;
    if (!entry->orders.first && entry->waiting.first) {
        entry->orders = entry->waiting;
        keeper_orders_init(&entry->waiting);
    }
    if (!indexes_submit(entry, on_slice, after_slice, entry))
        entry->at_work = false; // the timer tries again
}

static void order(struct index_entry *entry, enum keeper_kind kind, const char *id, size_t id_size,
                  const char *text, size_t text_size, uint64_t version)
{
    keeper_orders_add(&entry->waiting, kind, id, id_size, text, text_size, version);
}

static void on_reset(void *owner)
{
    struct index_entry *entry = owner;
    if (entry->doubt == DOUBT_UNTIL_RESET) entry->doubt = DOUBT_UNTIL_MARK;
    writer_reset(&entry->writer);
    order(owner, KEEPER_RESET, NULL, 0, NULL, 0, 0);
}

static void on_settings(void *owner, const char *text, size_t size)
{
    struct index_entry *entry = owner;
    const struct indexes_options *options = &entry->indexes->options;
    if (!writer_settings(&entry->writer, text, size)) return;
    order(owner, KEEPER_SETTINGS, NULL, 0, text, size, 0);
    if (options->told) options->told(options->owner, entry->name, text, size);
}

static void on_put(void *owner, const char *id, size_t id_size, const char *record, size_t size)
{
    order(owner, KEEPER_PUT, id, id_size, record, size, 0);
}

static void on_drop(void *owner, const char *id, size_t id_size)
{
    order(owner, KEEPER_DROP, id, id_size, NULL, 0, 0);
}

static void on_caught_up(void *owner, uint64_t version)
{
    struct index_entry *entry = owner;
    if (!writer_caught_up(&entry->writer)) return;
    const char *token = follower_token(entry->follower);
    bool has_all = writer_wants(&entry->writer);
    order(owner, KEEPER_MARK, NULL, 0, has_all ? token : NULL, has_all ? strlen(token) : 0,
          version);
    start_slice(owner);
}

static bool wants(void *owner)
{
    const struct index_entry *entry = owner;
    return writer_wants(&entry->writer);
}

static bool is_full(void *owner)
{
    struct index_entry *entry = owner;
    start_slice(entry);
    return entry->waiting.bytes > INDEXES_ORDERS_BYTES;
}

static const struct follower_sink sink = {
    .reset = on_reset,
    .settings = on_settings,
    .put = on_put,
    .drop = on_drop,
    .caught_up = on_caught_up,
    .wants = wants,
    .is_full = is_full,
};

// ---- the worker --------------------------------------------------------------------------------

static void on_slice(void *argument)
{
    struct index_entry *entry = argument;
    keeper_work(&entry->keeper, &entry->orders, SLICE_MS * CLOCK_MS);
}

static void after_slice(void *argument)
{
    struct index_entry *entry = argument;
    entry->at_work = false;
    entry->jobs--;
    entry->restless = entry->keeper.restless;
    entry->version = entry->keeper.version;
    // A mark is the end of what the follower has told: with nothing left it has been reached.
    if (!entry->orders.first && !entry->keeper.is_reset) {
        entry->is_known = true;
        entry->gone = !entry->keeper.corpus;
        entry->status = entry->keeper.status;
        if (!entry->waiting.first) writer_settle(&entry->writer);
        if (entry->doubt == DOUBT_UNTIL_MARK && !entry->waiting.first) {
            entry->doubt = DOUBT_NONE;
            entry->removed = false;
        }
    }
    if (entry->version > 0) entry->is_known = true;
    if (entry->indexes->stopped) return;
    start_slice(entry);
    indexes_serve(entry);
}

// ---- entries -----------------------------------------------------------------------------------

static struct index_entry *find(const struct indexes *indexes, const char *name)
{
    struct index_entry *entry = indexes->entries;
    while (entry && strcmp(entry->name, name) != 0)
        entry = entry->next;
    return entry;
}

/* NULL: there are INDEXES_MAX. */
struct index_entry *indexes_open(struct indexes *indexes, const char *name)
{
    struct index_entry *entry = find(indexes, name);
    if (entry || indexes->count == INDEXES_MAX) return entry;
    entry = mem_new(1, sizeof *entry);
    entry->indexes = indexes;
    snprintf(entry->name, sizeof entry->name, "%s", name);
    entry->lane = indexes->lanes++;
    entry->keeper.tools = indexes->options.tools;
    entry->keeper.place = redisearch_find(&indexes->options.places, name);
    keeper_orders_init(&entry->waiting);
    keeper_orders_init(&entry->orders);
    entry->tickets.next = entry->tickets.previous = &entry->tickets;
    entry->follower = follower_new(indexes->options.collections, name, &sink, entry);
    writer_init(&entry->writer, collections_store(indexes->options.collections), entry->name,
                entry->follower);
    entry->next = indexes->entries;
    indexes->entries = entry;
    indexes->count++;
    return entry;
}

static void free_entry(struct index_entry *entry)
{
    writer_fini(&entry->writer);
    follower_free(entry->follower);
    keeper_orders_free(&entry->waiting);
    keeper_orders_free(&entry->orders);
    keeper_fini(&entry->keeper);
    mem_free(entry);
}

/* An index that is gone, and of which nobody wants anything any more. */
static void sweep(struct indexes *indexes)
{
    struct index_entry **at = &indexes->entries;
    while (*at) {
        struct index_entry *entry = *at;
        bool idle = indexes_is_sure(entry) && entry->gone && entry->jobs == 0 && !entry->restless &&
                    !entry->waiting.first && !entry->orders.first && entry->ticket_count == 0;
        if (!idle) {
            at = &entry->next;
            continue;
        }
        *at = entry->next;
        indexes->count--;
        free_entry(entry);
    }
}

static void on_list(void *argument, enum err err, const char *const *names, size_t count)
{
    struct indexes *indexes = argument;
    indexes->listing = false;
    if (indexes->is_over) {
        mem_free(indexes);
        return;
    }
    if (err || indexes->stopped) return;
    for (size_t i = 0; i < count; i++)
        if (strncmp(names[i], PREFIX, sizeof PREFIX - 1) == 0)
            (void)indexes_open(indexes, names[i]);
}

static void on_tick(evutil_socket_t fd, short what, void *argument)
{
    struct indexes *indexes = argument;
    uint64_t now_ns = clock_now_ns();
    (void)fd, (void)what;
    for (struct index_entry *entry = indexes->entries; entry; entry = entry->next) {
        writer_tick(&entry->writer, &entry->status, now_ns);
        start_slice(entry);
        if (entry->ticket_count > 0) indexes_serve(entry);
    }
    sweep(indexes);
    if (indexes->listing || now_ns < indexes->list_ns) return;
    indexes->listing = true;
    indexes->list_ns = now_ns + LIST_MS * CLOCK_MS;
    collections_list(indexes->options.collections, on_list, indexes);
}

void indexes_kick(struct indexes *indexes, const char *collection)
{
    struct index_entry *entry = indexes ? find(indexes, collection) : NULL;
    if (!indexes) return;
    if (!entry) entry = indexes_open(indexes, collection);
    if (!entry) return;
    if (entry->gone) entry->is_known = false; // it may be there again
    entry->removed = false;
    entry->written_ns = clock_now_ns();
    follower_kick(entry->follower);
}

void indexes_forget(struct indexes *indexes, const char *collection)
{
    struct index_entry *entry = indexes ? find(indexes, collection) : NULL;
    if (!entry) return;
    entry->removed = true;
    entry->written_ns = 0;
    entry->doubt = DOUBT_UNTIL_RESET;
    follower_kick(entry->follower);
    indexes_serve(entry);
}

bool indexes_have_place(const struct indexes *indexes, const char *collection)
{
    return redisearch_find(&indexes->options.places, collection) != NULL;
}

size_t indexes_count(const struct indexes *indexes)
{
    return indexes->count;
}

// ---- life --------------------------------------------------------------------------------------

struct indexes *indexes_new(const struct indexes_options *options)
{
    struct indexes *indexes = mem_new(1, sizeof *indexes);
    struct timeval period = {.tv_usec = TICK_MS * 1000};
    indexes->options = *options;
    indexes->timer = event_new(options->base, -1, EV_PERSIST, on_tick, indexes);
    must(indexes->timer && event_add(indexes->timer, &period) == 0);
    return indexes;
}

void indexes_stop(struct indexes *indexes)
{
    if (!indexes) return;
    indexes->stopped = true;
    event_del(indexes->timer);
}

void indexes_free(struct indexes *indexes)
{
    if (!indexes) return;
    while (indexes->entries) {
        struct index_entry *entry = indexes->entries;
        indexes->entries = entry->next;
        while (entry->tickets.next != &entry->tickets)
            indexes_refuse(entry->tickets.next, ERR_CANCELED, "the scheduler ends");
        free_entry(entry);
    }
    event_free(indexes->timer);
    indexes->is_over = true;
    if (!indexes->listing) mem_free(indexes);
}
