#include "scheduler/features/search/vectors.h"

#include "scheduler/core/fleet.h"
#include "scheduler/core/shards.h"
#include "scheduler/features/follower.h"
#include "scheduler/features/lock.h"
#include "scheduler/features/search/numbers.h"
#include "scheduler/features/search/settings.h"
#include "scheduler/features/search/strays.h"
#include "scheduler/features/search/vector.h"
#include "scheduler/features/search/vectors_parts.h"
#include "scheduler/settings.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/must.h"

#include <event2/event.h>
#include <jansson.h>

#include <stdio.h>
#include <string.h>

enum {
    TICK_MS = 50,
    LIST_MS = 5000,
    ASKED_MS = 2000,  // after a search others are expected
    ORPHAN_MS = 10000 // that vectors without an index are left alone
};

#define INDEX_PREFIX   "index:"
#define VECTORS_PREFIX "vectors:"

void vectors_answered(struct vectors *vectors)
{
    must(vectors->underway > 0);
    if (--vectors->underway > 0 || !vectors->is_over) return;
    mem_free(vectors->tickets);
    mem_free(vectors);
}

// ---- the follower ------------------------------------------------------------------------------

static void on_reset(void *owner)
{
    struct vectors_entry *entry = owner;
    numbers_clear(entry->numbers);
    if (entry->filler) filler_reset(entry->filler);
}

static void on_settings(void *owner, const char *text, size_t size)
{
    struct vectors_entry *entry = owner;
    struct vectors_made made = {0};
    if (text) (void)vectors_read_made(&made, text, size);
    if (made.epoch != entry->made.epoch || !made.known) {
        vectors_stop_filling(entry, true);
        vectors_stop_embedding(entry);
        numbers_clear(entry->numbers);
    }
    entry->made = made;
    mem_free(entry->description);
    entry->description = made.known ? mem_text(text, size) : NULL;
}

static void on_put(void *owner, const char *id, size_t id_size, const char *record, size_t size)
{
    struct vectors_entry *entry = owner;
    struct vector vector;
    if (!vector_read(&vector, record, size) || vector.size != entry->made.size) return;
    uint32_t before = numbers_put(entry->numbers, id, id_size, vector.number, vector.digest);
    if (!entry->filler) return;
    if (before != NUMBERS_NONE) filler_drop(entry->filler, before);
    filler_put(entry->filler, &vector);
}

static void on_drop(void *owner, const char *id, size_t id_size)
{
    struct vectors_entry *entry = owner;
    uint32_t number = numbers_drop(entry->numbers, id, id_size);
    if (entry->filler && number != NUMBERS_NONE) filler_drop(entry->filler, number);
}

static void on_caught_up(void *owner, uint64_t version)
{
    struct vectors_entry *entry = owner;
    if (entry->filler) filler_mark(entry->filler, version);
}

static bool is_full(void *owner)
{
    const struct vectors_entry *entry = owner;
    return entry->filler && filler_is_full(entry->filler);
}

static const struct follower_sink sink = {.reset = on_reset,
                                          .settings = on_settings,
                                          .put = on_put,
                                          .drop = on_drop,
                                          .caught_up = on_caught_up,
                                          .is_full = is_full};

// ---- entries -----------------------------------------------------------------------------------

struct vectors_entry *vectors_find(const struct vectors *vectors, const char *index)
{
    struct vectors_entry *entry = vectors->entries;
    while (entry && strcmp(entry->index, index) != 0)
        entry = entry->next;
    return entry;
}

uint64_t vectors_shard(const struct vectors_entry *entry, uint32_t shard)
{
    return shard_id(entry->name, entry->made.epoch, shard);
}

/* NULL: there are VECTORS_INDEXES_MAX, or it is no name. */
static struct vectors_entry *open_entry(struct vectors *vectors, const char *index)
{
    struct vectors_entry *entry = vectors_find(vectors, index);
    size_t size = strlen(index), prefix = strlen(INDEX_PREFIX);
    if (entry) return entry;
    if (vectors->count == VECTORS_INDEXES_MAX || strncmp(index, INDEX_PREFIX, prefix) != 0 ||
        size - prefix + strlen(VECTORS_PREFIX) > COLLECTION_NAME_MAX)
        return NULL;
    entry = mem_new(1, sizeof *entry);
    entry->vectors = vectors;
    memcpy(entry->index, index, size + 1);
    memcpy(entry->name, VECTORS_PREFIX, strlen(VECTORS_PREFIX));
    memcpy(entry->name + strlen(VECTORS_PREFIX), index + prefix, size - prefix + 1);
    entry->numbers = numbers_new();
    entry->next = vectors->entries;
    vectors->entries = entry;
    vectors->count++;
    return entry;
}

static struct lock *open_lock(const struct vectors_entry *entry, const char *what)
{
    char key[LOCK_KEY_MAX + 1];
    snprintf(key, sizeof key, "qiao:{c:%s}:%s", entry->name, what);
    return lock_new(collections_store(entry->vectors->options.collections), key);
}

static void follow(struct vectors_entry *entry)
{
    if (entry->follower) return;
    entry->follower = follower_new(entry->vectors->options.collections, entry->name, &sink, entry);
    entry->writer = open_lock(entry, "writer");
    entry->shards = open_lock(entry, "shards");
}

static void close_entry(struct vectors_entry *entry)
{
    vectors_stop_embedding(entry);
    vectors_stop_filling(entry, false);
    lock_free(entry->writer);
    lock_free(entry->shards);
    follower_free(entry->follower);
    entry->writer = entry->shards = NULL;
    entry->follower = NULL;
}

static void free_entry(struct vectors_entry *entry)
{
    close_entry(entry);
    numbers_free(entry->numbers);
    mem_free(entry->settings);
    mem_free(entry->model);
    mem_free(entry->description);
    mem_free(entry);
}

void vectors_told(void *owner, const char *index, const char *settings, size_t size)
{
    struct vectors *vectors = owner;
    struct vectors_entry *entry =
        settings ? open_entry(vectors, index) : vectors_find(vectors, index);
    struct search_settings *read = NULL;
    char param[SEARCH_PARAM_MAX];
    json_error_t error;
    if (!entry || vectors->stopped) return;
    json_t *object = settings ? json_loadb(settings, size, 0, &error) : NULL;
    if (object && search_settings_read(&read, object, param)) read = NULL; // of a later qiao
    json_decref(object);
    if (settings && !read) return;
    bool same = read && entry->settings && strcmp(read->text, entry->settings) == 0;
    entry->told = true;
    if (!same) {
        vectors_stop_embedding(entry); // another one begins with what is to be done by then
        mem_free(entry->settings);
        mem_free(entry->model);
        entry->settings = read ? mem_copy_text(read->text) : NULL;
        entry->model = read && read->embedder ? mem_copy_text(read->embedder) : NULL;
    }
    search_settings_free(read);
    if (entry->model) follow(entry);
}

bool vectors_asked(const struct vectors *vectors, uint64_t now_ns)
{
    return vectors->asked_ns > 0 && now_ns - vectors->asked_ns < ASKED_MS * CLOCK_MS;
}

static void tend(struct vectors_entry *entry, uint64_t now_ns)
{
    if (!entry->follower) return;
    if (entry->told) lock_tick(entry->writer, now_ns);
    if (entry->made.known) lock_tick(entry->shards, now_ns);
    bool whole = follower_is_whole(entry->follower);
    if (!lock_is_held(entry->writer, now_ns) || !entry->told)
        vectors_stop_embedding(entry);
    else if (whole)
        vectors_write(entry, now_ns);
    else if (entry->embedder)
        embedder_tick(entry->embedder, 0, vectors_asked(entry->vectors, now_ns), now_ns);
    if (!lock_is_held(entry->shards, now_ns) || !entry->made.known)
        vectors_stop_filling(entry, false);
    else if (whole)
        vectors_fill(entry, now_ns);
}

// ---- vectors whose index is gone ---------------------------------------------------------------

static bool is_listed(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

static void look_at_name(struct vectors *vectors, const char *const *names, size_t count,
                         const char *name, uint64_t now_ns)
{
    char index[COLLECTION_NAME_MAX + 1];
    if (strncmp(name, VECTORS_PREFIX, strlen(VECTORS_PREFIX)) != 0) return;
    snprintf(index, sizeof index, INDEX_PREFIX "%s", name + strlen(VECTORS_PREFIX));
    struct vectors_entry *entry = open_entry(vectors, index);
    if (!entry) return;
    follow(entry);
    if (entry->told || is_listed(names, count, index) || count == COLLECTION_LIST_MAX) {
        entry->orphan_ns = 0;
        return;
    }
    if (entry->orphan_ns == 0) entry->orphan_ns = now_ns;
    entry->told = now_ns - entry->orphan_ns > ORPHAN_MS * CLOCK_MS;
}

static void on_list(void *argument, enum err err, const char *const *names, size_t count)
{
    struct vectors *vectors = argument;
    vectors->listing = false;
    if (!err && count < COLLECTION_LIST_MAX) vectors->listed_ns = clock_now_ns();
    for (size_t i = 0; !err && !vectors->stopped && i < count; i++)
        look_at_name(vectors, names, count, names[i], clock_now_ns());
    vectors_answered(vectors);
}

/* An index without an embedder, or without anything, whose vectors are gone. */
static bool is_idle(const struct vectors_entry *entry)
{
    if (!entry->told || entry->model || entry->making) return false;
    return !entry->follower ||
           (follower_is_whole(entry->follower) && follower_version(entry->follower) == 0);
}

static void sweep(struct vectors *vectors)
{
    struct vectors_entry **at = &vectors->entries;
    while (*at) {
        struct vectors_entry *entry = *at;
        if (!is_idle(entry) || entry->settings) { // an index without one may get one
            if (is_idle(entry) && entry->follower) close_entry(entry);
            at = &entry->next;
            continue;
        }
        *at = entry->next;
        vectors->count--;
        free_entry(entry);
    }
}

// ---- shards that are nobody's ------------------------------------------------------------------

static bool is_ours(const struct vectors *vectors, uint64_t shard)
{
    for (const struct vectors_entry *entry = vectors->entries; entry; entry = entry->next)
        for (uint32_t i = 0; entry->made.known && i < numbers_shards(entry->numbers); i++)
            if (vectors_shard(entry, i) == shard) return true;
    return false;
}

/* Whether all vectors of all indexes are known here, and Redis has said so lately. */
static bool knows_all(const struct vectors *vectors, uint64_t now_ns)
{
    for (const struct vectors_entry *entry = vectors->entries; entry; entry = entry->next) {
        if (entry->making) return false;
        if (entry->follower &&
            (!follower_is_whole(entry->follower) || follower_age_ms(entry->follower) > LIST_MS))
            return false;
    }
    return vectors->listed_ns > 0 && now_ns - vectors->listed_ns < 2 * LIST_MS * CLOCK_MS &&
           vectors->count < VECTORS_INDEXES_MAX;
}

static void drop_strays(struct vectors *vectors, uint64_t now_ns)
{
    const struct vectors_options *options = &vectors->options;
    bool sure = knows_all(vectors, now_ns);
    strays_begin(vectors->strays);
    for (size_t n = 0; sure && n < fleet_node_count(options->fleet); n++) {
        uint64_t link = fleet_node_at(options->fleet, n)->link;
        size_t count;
        const struct fleet_shard *shards = fleet_shards_of(options->fleet, link, &count);
        for (size_t i = 0; i < count; i++) {
            struct wire_message message = {.type = WIRE_SHARD_DROP,
                                           .shard_drop = {.shard = shards[i].shard}};
            if (!is_ours(vectors, shards[i].shard) &&
                strays_see(vectors->strays, link, shards[i].shard, now_ns))
                (void)options->send(options->owner, link, &message, false);
        }
    }
}

static void list(struct vectors *vectors, uint64_t now_ns)
{
    if (vectors->listing || now_ns < vectors->list_ns) return;
    drop_strays(vectors, now_ns);
    vectors->listing = true;
    vectors->list_ns = now_ns + LIST_MS * CLOCK_MS;
    vectors->underway++;
    collections_list(vectors->options.collections, on_list, vectors);
}

// ---- the timer ---------------------------------------------------------------------------------

static void measure(const struct vectors *vectors)
{
    double documents = 0, waiting = 0, unfilled = 0;
    for (struct vectors_entry *entry = vectors->entries; entry; entry = entry->next) {
        vectors_count(entry);
        documents += (double)numbers_count(entry->numbers);
        if (entry->embedder) waiting += (double)embedder_stats(entry->embedder)->waiting;
        if (entry->filler) unfilled += (double)filler_stats(entry->filler)->waiting;
    }
    if (!vectors->options.metrics) return;
    metric_set(vectors->options.metrics, M_vectors, NULL, NULL, documents);
    metric_set(vectors->options.metrics, M_vectors_waiting, NULL, NULL, waiting);
    metric_set(vectors->options.metrics, M_shards_waiting, NULL, NULL, unfilled);
}

static void on_tick(evutil_socket_t fd, short what, void *argument)
{
    struct vectors *vectors = argument;
    uint64_t now_ns = clock_now_ns();
    (void)fd, (void)what;
    for (struct vectors_entry *entry = vectors->entries; entry; entry = entry->next)
        tend(entry, now_ns);
    sweep(vectors);
    list(vectors, now_ns);
    measure(vectors);
}

// ---- what is asked -----------------------------------------------------------------------------

enum err vectors_model(const struct vectors *vectors, const char *index,
                       const struct fleet_model **out)
{
    const struct vectors_entry *entry = vectors_find(vectors, index);
    if (!entry || !entry->model)
        return err_note(ERR_NOT_FOUND,
                        "the index has no embedder, so its documents have no vectors");
    if (!entry->made.known)
        return err_note(ERR_UNAVAILABLE, "the vectors of this index are not known here yet");
    const struct fleet_model *model =
        fleet_find_model(vectors->options.fleet, entry->model, strlen(entry->model));
    if (!model || model->node_count == 0)
        return err_note(ERR_UNAVAILABLE, "no node serves %s, which embeds this index",
                        entry->model);
    if (!vectors_made_by(&entry->made, model))
        return err_note(ERR_UNAVAILABLE, "the vectors of this index are made by another model");
    *out = model;
    return ERR_OK;
}

/* How many nodes hold a shard, and what the one that lags the most holds of it: a search may ask any of them. */
static uint32_t count_holders(const struct fleet *fleet, uint64_t shard, uint64_t *version)
{
    uint32_t count = 0;
    *version = 0;
    for (size_t i = 0; i < fleet_node_count(fleet); i++) {
        const struct fleet_node *node = fleet_node_at(fleet, i);
        const struct fleet_shard *held = fleet_find_shard(fleet, node->link, shard);
        if (node->state != FLEET_READY || !held || held->version == 0) continue;
        if (count++ == 0 || held->version < *version) *version = held->version;
    }
    return count;
}

enum err vectors_status(const struct vectors *vectors, const char *index,
                        struct vectors_status *status)
{
    const struct vectors_entry *entry = vectors_find(vectors, index);
    *status = (struct vectors_status){0};
    if (!entry || !entry->model)
        return err_note(ERR_NOT_FOUND,
                        "the index has no embedder, so its documents have no vectors");
    const struct fleet_model *model =
        fleet_find_model(vectors->options.fleet, entry->model, strlen(entry->model));
    status->model = entry->model;
    status->is_served = vectors_can_be_made_by(model) && model->node_count > 0;
    status->is_whole = entry->made.known && follower_is_whole(entry->follower);
    status->vectors = numbers_count(entry->numbers);
    status->version = follower_version(entry->follower);
    status->size = entry->made.size;
    for (uint32_t i = 0; i < numbers_shards(entry->numbers); i++) {
        if (numbers_in_shard(entry->numbers, i) == 0) continue;
        uint64_t version;
        uint32_t copies = count_holders(vectors->options.fleet, vectors_shard(entry, i), &version);
        if (status->shards == 0 || copies < status->copies) status->copies = copies;
        if (status->shards == 0 || version < status->shards_version)
            status->shards_version = version;
        status->shards++;
        status->shards_held += copies > 0;
    }
    return ERR_OK;
}

// ---- life --------------------------------------------------------------------------------------

struct vectors *vectors_new(const struct vectors_options *options)
{
    struct vectors *vectors = mem_new(1, sizeof *vectors);
    struct timeval period = {.tv_usec = TICK_MS * 1000};
    vectors->options = *options;
    vectors->underway = 1; // until it is freed
    vectors->tickets = vectors_tickets_new();
    vectors->strays = strays_new();
    vectors->timer = event_new(options->base, -1, EV_PERSIST, on_tick, vectors);
    must(vectors->timer && event_add(vectors->timer, &period) == 0);
    return vectors;
}

void vectors_stop(struct vectors *vectors)
{
    if (!vectors || vectors->stopped) return;
    vectors->stopped = true;
    event_del(vectors->timer);
    vectors_cancel_all(vectors);
    for (struct vectors_entry *entry = vectors->entries; entry; entry = entry->next)
        close_entry(entry);
}

void vectors_free(struct vectors *vectors)
{
    if (!vectors) return;
    vectors_stop(vectors);
    while (vectors->entries) {
        struct vectors_entry *entry = vectors->entries;
        vectors->entries = entry->next;
        free_entry(entry);
    }
    event_free(vectors->timer);
    strays_free(vectors->strays);
    vectors->is_over = true;
    vectors_answered(vectors);
}
