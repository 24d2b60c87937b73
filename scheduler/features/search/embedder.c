#include "scheduler/features/follower.h"
#include "scheduler/features/search/embedder_parts.h"
#include "scheduler/features/search/ids.h"
#include "scheduler/features/search/numbers.h"
#include "scheduler/features/search/passage.h"
#include "scheduler/features/search/vector.h"
#include "scheduler/state/store.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <jansson.h>

#include <string.h>

/*      KEYS  meta of the vectors
 *      ARGV  how many, the settings that must be there
 *      gives the number behind the last of them; -1: the vectors are others by now */
static const char reserve_text[] =
    "if redis.call('HGET', KEYS[1], 'settings') ~= ARGV[2] then return -1 end\n"
    "return redis.call('HINCRBY', KEYS[1], 'numbers', ARGV[1])\n";

enum {
    PATROL_SLICE = 2000,
    AIR_TOKENS_FIRST = 256,
    ORPHANS_MAX = COLLECTION_CHUNK_ENTRIES // that are deleted together
};

// ---- what is to be done ------------------------------------------------------------------------

static void push(struct embedder *embedder, uint32_t place)
{
    if (embedder->queue_count == embedder->queue_capacity) {
        size_t capacity = embedder->queue_capacity ? 2 * embedder->queue_capacity : 256;
        uint32_t *queue = mem_new(capacity, sizeof *queue);
        for (size_t i = 0; i < embedder->queue_count; i++)
            queue[i] = embedder->queue[(embedder->queue_at + i) % embedder->queue_capacity];
        mem_free(embedder->queue);
        embedder->queue = queue;
        embedder->queue_at = 0;
        embedder->queue_capacity = capacity;
    }
    size_t at = (embedder->queue_at + embedder->queue_count++) % embedder->queue_capacity;
    embedder->queue[at] = place;
    embedder->wants[place].state = WANT_QUEUED;
}

/* Whether document and vector differ. */
static bool differs(const struct embedder *embedder, uint32_t place)
{
    size_t size;
    uint64_t digest;
    const char *id = ids_at(embedder->ids, place, &size);
    uint32_t number = numbers_find(embedder->options.numbers, id, size, &digest);
    if (embedder->wants[place].digest == 0) return number != NUMBERS_NONE;
    return number == NUMBERS_NONE || digest != embedder->wants[place].digest;
}

static void look_at(struct embedder *embedder, uint32_t place)
{
    if (embedder->wants[place].state == WANT_IDLE && differs(embedder, place))
        push(embedder, place);
}

bool embedder_take(struct embedder *embedder, struct batch_item *item)
{
    while (embedder->queue_count > 0) {
        uint32_t place = embedder->queue[embedder->queue_at];
        embedder->queue_at = (embedder->queue_at + 1) % embedder->queue_capacity;
        embedder->queue_count--;
        const char *id = ids_at(embedder->ids, place, &item->id_size);
        // A place may have another document by now, which then stands in the queue itself, or not.
        if (!id || embedder->wants[place].state != WANT_QUEUED) continue;
        embedder->wants[place].state = WANT_IDLE;
        if (!differs(embedder, place)) continue;
        embedder->wants[place].state = WANT_BUSY;
        memcpy(item->id, id, item->id_size);
        return true;
    }
    return false;
}

void embedder_settle(struct embedder *embedder, const struct batch_item *item)
{
    uint32_t place = ids_find(embedder->ids, item->id, item->id_size);
    embedder->stats.embedded += item->is_done && !item->is_gone;
    embedder->stats.failed += item->is_stuck;
    if (place == IDS_NONE || embedder->wants[place].state != WANT_BUSY) return;
    struct want *want = &embedder->wants[place];
    bool same = want->digest == item->digest;
    want->state = item->is_stuck && same ? WANT_STUCK : WANT_IDLE;
    if (want->state == WANT_IDLE && !(item->is_done && same)) push(embedder, place);
}

void embedder_wrote(struct embedder *embedder, uint64_t version)
{
    if (version > embedder->written_version) embedder->written_version = version;
    embedder->is_settled = false;
    embedder->options.wrote(embedder->options.owner, version);
}

// ---- documents ---------------------------------------------------------------------------------

static void on_reset(void *owner)
{
    struct embedder *embedder = owner;
    ids_clear(embedder->ids);
    embedder->queue_count = 0;
    embedder->is_whole = false;
    embedder->patrol_wants = 0;
}

static void on_put(void *owner, const char *id, size_t id_size, const char *record, size_t size)
{
    struct embedder *embedder = owner;
    struct buf text = {0};
    uint32_t place = ids_find(embedder->ids, id, id_size);
    bool is_new = place == IDS_NONE;
    if (is_new) place = ids_add(embedder->ids, id, id_size);
    if (place >= embedder->capacity) {
        embedder->capacity = embedder->capacity ? 2 * embedder->capacity : 256;
        embedder->wants = mem_resize(embedder->wants, embedder->capacity, sizeof *embedder->wants);
    }
    struct want *want = &embedder->wants[place];
    if (is_new) *want = (struct want){0};
    uint64_t before = want->digest;
    want->digest = 0;
    if (!passage_write(&text, embedder->settings, record, size) && text.size > 0)
        want->digest = vector_digest(&embedder->options.model, &embedder->options.adapter,
                                     text.data, text.size);
    buf_fini(&text);
    if (want->state == WANT_STUCK && want->digest != before) want->state = WANT_IDLE;
    look_at(embedder, place);
}

static void add_orphan(struct embedder *embedder, const char *id, size_t size)
{
    if (embedder->orphan_count == ORPHANS_MAX) return; // the patrol finds it
    buf_add_byte(&embedder->orphans, (unsigned char)size);
    buf_add(&embedder->orphans, id, size);
    embedder->orphan_count++;
}

static void on_drop(void *owner, const char *id, size_t id_size)
{
    struct embedder *embedder = owner;
    uint64_t digest;
    uint32_t place = ids_find(embedder->ids, id, id_size);
    if (place != IDS_NONE) {
        embedder->wants[place].state = WANT_IDLE;
        ids_remove(embedder->ids, place);
    }
    if (numbers_find(embedder->options.numbers, id, id_size, &digest) != NUMBERS_NONE)
        add_orphan(embedder, id, id_size);
}

static void on_caught_up(void *owner, uint64_t version)
{
    struct embedder *embedder = owner;
    embedder->is_whole =
        version > 0; // without an index nothing is an orphan: all of it goes, by other hands
    embedder_pump(embedder);
}

static const struct follower_sink sink = {
    .reset = on_reset, .put = on_put, .drop = on_drop, .caught_up = on_caught_up};

// ---- what has no document ----------------------------------------------------------------------

static void on_deleted(void *argument, enum err err, uint64_t version)
{
    struct embedder *embedder = argument;
    mem_free(embedder->deletions);
    mem_free(embedder->deletion_fates);
    buf_fini(&embedder->doomed);
    embedder->deletions = NULL;
    embedder->deletion_fates = NULL;
    if (!embedder->closing && !err) embedder_wrote(embedder, version);
    embedder_answered(embedder);
}

static void delete_orphans(struct embedder *embedder)
{
    if (embedder->orphan_count == 0 || embedder->deletions) return;
    size_t count = 0;
    embedder->doomed = embedder->orphans;
    embedder->orphans = (struct buf){0};
    embedder->deletions = mem_new(embedder->orphan_count, sizeof *embedder->deletions);
    embedder->deletion_fates = mem_new(embedder->orphan_count, 1);
    for (size_t at = 0; at < embedder->doomed.size;) {
        size_t size = (unsigned char)embedder->doomed.data[at];
        const char *id = embedder->doomed.data + at + 1;
        at += 1 + size;
        if (ids_find(embedder->ids, id, size) != IDS_NONE) continue; // it has come again
        embedder->deletions[count++] = (struct collection_entry){.id = id, .id_size = size};
    }
    embedder->orphan_count = 0;
    embedder->stats.deleted += count;
    embedder->underway++;
    struct collection_write write = {.name = embedder->collection,
                                     .entries = embedder->deletions,
                                     .count = count,
                                     .existing = true,
                                     .fates = embedder->deletion_fates};
    collection_write(embedder->options.collections, &write, on_deleted, embedder);
}

/* Look through a slice of everything: what the followers did not say in time, or a lost write left behind. */
static void patrol(struct embedder *embedder)
{
    const struct numbers *numbers = embedder->options.numbers;
    uint32_t end = ids_end(embedder->ids), number_end = numbers_end(numbers);
    size_t size;
    for (size_t i = 0; i < PATROL_SLICE && i < end; i++) {
        uint32_t place = embedder->patrol_wants++ % end;
        if (ids_at(embedder->ids, place, &size)) look_at(embedder, place);
    }
    if (embedder->orphan_count > 0 || embedder->deletions) return;
    for (size_t i = 0; i < PATROL_SLICE && i < number_end; i++) {
        const char *id = numbers_id(numbers, embedder->patrol_numbers++ % number_end, &size);
        if (id && ids_find(embedder->ids, id, size) == IDS_NONE) add_orphan(embedder, id, size);
    }
}

static size_t count_waiting(const struct embedder *embedder)
{
    size_t known = numbers_count(embedder->options.numbers), all = ids_count(embedder->ids);
    size_t missing = all > known ? all - known : 0, queued = embedder->queue_count;
    for (const struct batch *batch = embedder->batches; batch; batch = batch->next)
        queued += batch->count;
    return queued > missing ? queued : missing;
}

// ---- life --------------------------------------------------------------------------------------

void embedder_tick(struct embedder *embedder, uint64_t version, bool asked, uint64_t now_ns)
{
    embedder->is_asked = asked;
    embedder->is_known = version > 0;
    embedder->is_settled = embedder->is_known && version >= embedder->written_version;
    embedder->stats.waiting = count_waiting(embedder);
    if (!embedder->is_whole || now_ns < embedder->pause_ns) return;
    if (embedder->is_settled) {
        patrol(embedder);
        delete_orphans(embedder);
    }
    embedder_fly_on(embedder);
    embedder_pump(embedder);
}

static enum err read_settings(struct embedder *embedder, const char *text)
{
    char param[SEARCH_PARAM_MAX];
    json_error_t error;
    json_t *object = json_loads(text, 0, &error);
    enum err err = search_settings_read(&embedder->settings, object, param);
    json_decref(object);
    return err;
}

/* "index:TENANT:NAME", whose tenant's the work is. */
static uint64_t tenant_of(const char *index)
{
    uint64_t tenant;
    const char *begin = strchr(index, ':'), *end = strrchr(index, ':');
    struct digest tag = begin ? digest_of(begin + 1, end > begin ? (size_t)(end - begin - 1) : 0)
                              : digest_of(index, strlen(index));
    memcpy(&tenant, tag.bytes, sizeof tenant);
    return tenant;
}

struct embedder *embedder_new(const struct embedder_options *options)
{
    struct embedder *embedder = mem_new(1, sizeof *embedder);
    embedder->options = *options;
    must(read_settings(embedder, options->settings) == ERR_OK); // they were read before
    embedder->index = mem_copy_text(options->index);
    embedder->collection = mem_copy_text(options->collection);
    embedder->description = mem_copy_text(options->description);
    collection_keys(&embedder->documents, options->index);
    collection_keys(&embedder->vectors, options->collection);
    embedder->reserve = store_add_script(collections_store(options->collections), reserve_text);
    embedder->tenant = tenant_of(options->index);
    embedder->ids = ids_new();
    embedder->air_most = AIR_TOKENS_FIRST;
    embedder->follower = follower_new(options->collections, options->index, &sink, embedder);
    return embedder;
}

static void end(struct embedder *embedder)
{
    search_settings_free(embedder->settings);
    mem_free(embedder->index);
    mem_free(embedder->collection);
    mem_free(embedder->description);
    mem_free(embedder->wants);
    mem_free(embedder->queue);
    buf_fini(&embedder->orphans);
    ids_free(embedder->ids);
    mem_free(embedder);
}

void embedder_answered(struct embedder *embedder)
{
    must(embedder->underway > 0);
    embedder->underway--;
    if (!embedder->closing)
        embedder_pump(embedder);
    else if (embedder->underway == 0)
        end(embedder);
}

void embedder_free(struct embedder *embedder)
{
    if (!embedder) return;
    follower_free(embedder->follower);
    embedder->closing = true;
    embedder->underway++;
    embedder_recall(embedder);
    embedder_answered(embedder);
}

const struct embedder_stats *embedder_stats(const struct embedder *embedder)
{
    return &embedder->stats;
}
