#include "scheduler/core/flight.h"
#include "scheduler/features/search/embedder_parts.h"
#include "scheduler/features/search/numbers.h"
#include "scheduler/features/search/passage.h"
#include "scheduler/features/search/vector.h"
#include "scheduler/lexicon.h"
#include "scheduler/scribe.h"
#include "scheduler/state/store.h"

#include "text/pack.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    PAUSE_MS = 1000, // after a failure that has nothing to do with the text
    AIR_TOKENS_LEAST = 64,
    AIR_TOKENS_MAX = 8192,
    AIR_LESS = 4,
    AIR_MORE = 8
};

static void fly(struct batch *batch);

// ---- its end -----------------------------------------------------------------------------------

static void batch_free(struct batch *batch)
{
    struct batch **at = &batch->embedder->batches;
    while (*at != batch)
        at = &(*at)->next;
    *at = batch->next;
    batch->embedder->batch_count--;
    for (size_t i = 0; i < batch->count; i++) {
        struct batch_item *item = &batch->items[i];
        buf_fini(&item->record);
        token_ids_fini(&item->ids);
        mem_free(item->values);
    }
    if (batch->pack) lexicon_release(batch->pack);
    mem_free(batch);
}

static void recall(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (!batch->items[i].flight) continue;
        flight_cancel(batch->embedder->options.flights, batch->items[i].flight, clock_now_ns());
        batch->items[i].flight = 0;
        batch->embedder->air_tokens -= batch->items[i].ids.count;
    }
}

/* What was not done is to be done again, after a pause when something went wrong. */
static void batch_end(struct batch *batch, bool pauses)
{
    struct embedder *embedder = batch->embedder;
    recall(batch);
    if (pauses) embedder->pause_ns = clock_now_ns() + PAUSE_MS * CLOCK_MS;
    for (size_t i = 0; !embedder->closing && i < batch->count; i++)
        embedder_settle(embedder, &batch->items[i]);
    batch_free(batch);
    embedder_answered(embedder);
}

void embedder_recall(struct embedder *embedder)
{
    struct batch *next;
    for (struct batch *batch = embedder->batches; batch; batch = next) {
        next = batch->next;
        if (batch->step == BATCH_FLY) batch_end(batch, false); // the others are answered
    }
}

/* Whether it is to go no further. */
static bool stops(struct batch *batch, enum err err)
{
    bool over = err || batch->embedder->closing; // as it is when the lock is lost
    if (over) batch_end(batch, err != ERR_OK);
    return over;
}

// ---- WRITE -------------------------------------------------------------------------------------

static void on_written(void *argument, enum err err, uint64_t version)
{
    struct batch *batch = argument;
    for (size_t i = 0; !err && i < batch->count; i++)
        batch->items[i].is_done = !batch->items[i].is_stuck && !batch->items[i].err;
    if (!err && !batch->embedder->closing) embedder_wrote(batch->embedder, version);
    batch_end(batch, err != ERR_OK);
}

static void write_vectors(struct batch *batch)
{
    struct embedder *embedder = batch->embedder;
    size_t count = 0;
    batch->step = BATCH_WRITE;
    for (size_t i = 0; i < batch->count; i++) {
        struct batch_item *item = &batch->items[i];
        if (item->is_stuck || item->err) continue;
        struct collection_entry *entry = &batch->entries[count++];
        *entry = (struct collection_entry){.id = item->id, .id_size = item->id_size};
        if (item->is_gone) continue;
        buf_clear(&item->record);
        vector_write(&item->record, &(struct vector){.number = item->number,
                                                     .digest = item->digest,
                                                     .scale = item->scale,
                                                     .size = embedder->options.size,
                                                     .values = item->values});
        entry->record = item->record.data;
        entry->record_size = item->record.size;
    }
    struct collection_write write = {.name = embedder->collection,
                                     .entries = batch->entries,
                                     .count = count,
                                     .existing = true,
                                     .fates = batch->fates};
    collection_write(embedder->options.collections, &write, on_written, batch);
}

// ---- NUMBER ------------------------------------------------------------------------------------

static bool wants_number(const struct batch_item *item)
{
    return item->values && !item->is_stuck && !item->err && item->number == NUMBERS_NONE;
}

static void on_numbers(void *argument, enum err err, const redisReply *reply)
{
    struct batch *batch = argument;
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++)
        count += wants_number(&batch->items[i]);
    if (!err && (reply->type != REDIS_REPLY_INTEGER || reply->integer < (long long)count))
        err = err_note(ERR_CONFLICT, "the vectors are to be made by another model");
    if (stops(batch, err)) return;
    if (reply->integer > VECTOR_NUMBERS_MAX) {
        batch->embedder->stats.full = true;
        batch_end(batch, true);
        return;
    }
    uint32_t next = (uint32_t)reply->integer - (uint32_t)count;
    for (size_t i = 0; i < batch->count; i++)
        if (wants_number(&batch->items[i])) batch->items[i].number = next++;
    write_vectors(batch);
}

/* The vectors are here: those of new documents need numbers. */
static void number(struct batch *batch)
{
    struct embedder *embedder = batch->embedder;
    char text[24];
    uint64_t digest;
    size_t count = 0;
    batch->step = BATCH_NUMBER;
    for (size_t i = 0; i < batch->count; i++) {
        struct batch_item *item = &batch->items[i];
        item->number = numbers_find(embedder->options.numbers, item->id, item->id_size, &digest);
        count += wants_number(item);
    }
    if (count == 0) {
        write_vectors(batch);
        return;
    }
    snprintf(text, sizeof text, "%zu", count);
    const char *const words[] = {embedder->vectors.meta, text, embedder->description};
    store_eval(collections_store(embedder->options.collections), embedder->reserve, on_numbers,
               batch, 1, 3, words, NULL);
}

// ---- FLY ---------------------------------------------------------------------------------------

static void on_whole(void *argument, const struct flight_whole *whole)
{
    struct batch_item *item = argument;
    uint32_t size = item->batch->embedder->options.size;
    if (whole->vector_size != size) return; // on_end() finds none
    item->values = mem_new(size, 1);
    if (vector_quantise(whole->vector, size, item->values, &item->scale)) return;
    mem_free(item->values);
    item->values = NULL;
}

/* Would another try come to the same? */
static bool is_lasting(enum err err)
{
    return err == ERR_INVALID || err == ERR_TOO_LONG || err == ERR_TOO_LARGE ||
           err == ERR_UNSUPPORTED || err == ERR_INTERNAL || err == ERR_FORMAT;
}

/* As many tokens at once as come back in time: a little more after each that did, much less after one that did not. */
static void pace(struct embedder *embedder, const struct batch_item *item)
{
    uint64_t most_ms = embedder->is_asked ? EMBEDDER_ASKED_MS : EMBEDDER_QUIET_MS;
    bool is_late = clock_now_ns() - item->flew_ns > most_ms * CLOCK_MS;
    if (is_late && embedder->air_most > AIR_TOKENS_LEAST)
        embedder->air_most -= embedder->air_most / AIR_LESS;
    else if (!is_late && embedder->air_most < AIR_TOKENS_MAX)
        embedder->air_most += 1 + item->ids.count / AIR_MORE;
}

static void on_end(void *argument, const struct flight_end *end)
{
    struct batch_item *item = argument;
    item->flight = 0;
    item->batch->in_air--;
    item->batch->embedder->air_tokens -= item->ids.count;
    item->err = end->err;
    item->is_stuck = end->err ? is_lasting(end->err) : !item->values;
    if (end->err == ERR_BUSY) { // fly() again, when there is a place
        item->flew = false;
        item->err = ERR_OK;
        return;
    }
    if (!end->err) pace(item->batch->embedder, item);
    embedder_fly_on(item->batch->embedder); // there is room for another's
}

static enum err start_flight(struct batch *batch, struct batch_item *item)
{
    static const struct flight_events events = {.end = on_end, .whole = on_whole};
    struct flight_order order = {
        .kind = WIRE_EMBED,
        .model = batch->model.model,
        .adapter = batch->model.adapter,
        .numerics = batch->model.numerics,
        .ids = item->ids.ids,
        .id_count = item->ids.count,
        .sampling = {.repetition_penalty = 1},
        .tenant = batch->embedder->tenant,
        .tenant_weight = 1,
        .priority = WIRE_BATCH,
        .deadline_ns = clock_now_ns() + EMBEDDER_DEADLINE_MS * CLOCK_MS,
    };
    for (size_t i = 0; i < sizeof order.trace; i += 8) {
        uint64_t bits = rand_entropy();
        memcpy(order.trace + i, &bits, 8);
    }
    return flight_start(batch->embedder->options.flights, &order, &events, item, clock_now_ns(),
                        &item->flight);
}

static bool has_room(const struct batch *batch)
{
    size_t nodes = batch->model.node_count > 0 ? batch->model.node_count : 1;
    return batch->embedder->air_tokens < nodes * batch->embedder->air_most;
}

static void fly(struct batch *batch)
{
    bool waits = false, failed = false;
    for (size_t i = 0; i < batch->count && !waits; i++) {
        struct batch_item *item = &batch->items[i];
        if (item->is_gone || item->is_stuck || item->flew) continue;
        enum err err = has_room(batch) ? start_flight(batch, item) : ERR_BUSY;
        waits = err == ERR_BUSY; // the next end, or the tick, tries again
        item->flew = !waits;
        item->flew_ns = clock_now_ns();
        item->err = waits ? ERR_OK : err;
        item->is_stuck = err && is_lasting(err);
        batch->in_air += err == ERR_OK;
        batch->embedder->air_tokens += err == ERR_OK ? item->ids.count : 0;
    }
    if (waits || batch->in_air > 0) return;
    for (size_t i = 0; i < batch->count; i++)
        failed |= batch->items[i].err && !batch->items[i].is_stuck;
    if (failed) batch->embedder->pause_ns = clock_now_ns() + PAUSE_MS * CLOCK_MS;
    number(batch);
}

void embedder_fly_on(struct embedder *embedder)
{
    struct batch *next;
    for (struct batch *batch = embedder->batches; batch; batch = next) {
        next = batch->next;
        if (batch->step == BATCH_FLY) fly(batch);
    }
}

// ---- ENCODE ------------------------------------------------------------------------------------

static enum err encode_item(const struct batch *batch, struct batch_item *item)
{
    const struct embedder_options *options = &batch->embedder->options;
    const struct tokenizer *tokenizer = lexicon_text(batch->pack)->tokenizer;
    struct token_ids ids = {0};
    struct buf text = {0};
    uint32_t segment;
    size_t marks = tokenizer_frame_size(tokenizer, false), room = batch->model.context_length;
    enum err err =
        passage_write(&text, batch->embedder->settings, item->record.data, item->record.size);
    item->is_gone = err || text.size == 0;
    if (!item->is_gone) {
        item->digest = vector_digest(&options->model, &options->adapter, text.data, text.size);
        err = tokenizer_encode(tokenizer, text.data, text.size, 0, &ids);
        if (room > marks && ids.count > room - marks) ids.count = room - marks;
        if (!err) tokenizer_frame(tokenizer, &ids, NULL, &item->ids, &segment);
        item->is_stuck = err || room <= marks || item->ids.count == 0;
    }
    token_ids_fini(&ids);
    buf_fini(&text);
    return err;
}

static void encode(void *argument)
{
    struct batch *batch = argument;
    for (size_t i = 0; i < batch->count; i++)
        if (!batch->items[i].is_gone) (void)encode_item(batch, &batch->items[i]);
    batch->is_encoded = true;
}

static void on_encoded(void *argument)
{
    struct batch *batch = argument;
    if (stops(batch, batch->is_encoded ? ERR_OK : ERR_CANCELED)) return;
    batch->step = BATCH_FLY;
    fly(batch);
}

// ---- READ --------------------------------------------------------------------------------------

static void on_read(void *argument, enum err err, const redisReply *reply)
{
    struct batch *batch = argument;
    if (!err && (reply->type != REDIS_REPLY_ARRAY || reply->elements != batch->count))
        err = err_note(ERR_INTERNAL, "the documents' answer is none");
    if (stops(batch, err)) return;
    for (size_t i = 0; i < batch->count; i++) {
        const redisReply *record = reply->element[i];
        batch->items[i].is_gone = record->type != REDIS_REPLY_STRING;
        if (!batch->items[i].is_gone) buf_add(&batch->items[i].record, record->str, record->len);
    }
    batch->step = BATCH_ENCODE;
    if (!scribe_submit(batch->embedder->options.scribe, encode, on_encoded, batch))
        batch_end(batch, true);
}

static void read_documents(struct batch *batch)
{
    struct embedder *embedder = batch->embedder;
    const char *words[2 + EMBEDDER_BATCH] = {"HMGET", embedder->documents.docs};
    size_t sizes[2 + EMBEDDER_BATCH] = {5, strlen(embedder->documents.docs)};
    for (size_t i = 0; i < batch->count; i++) {
        words[2 + i] = batch->items[i].id;
        sizes[2 + i] = batch->items[i].id_size;
    }
    store_command(collections_store(embedder->options.collections), on_read, batch,
                  2 + batch->count, words, sizes);
}

/* The set of this embedder's model that is served now, with its text pack held. */
static bool find_model(struct batch *batch)
{
    const struct embedder_options *options = &batch->embedder->options;
    const char *name = batch->embedder->settings->embedder;
    const struct fleet_model *model = fleet_find_model(options->fleet, name, strlen(name));
    bool fits = model && model->kinds & 1u << WIRE_EMBED && model->node_count > 0 &&
                digest_equal(&model->model, &options->model) &&
                digest_equal(&model->adapter, &options->adapter);
    if (!fits || lexicon_find(options->lexicon, &model->pack, &batch->pack)) return false;
    lexicon_hold(batch->pack);
    batch->model = *model;
    return true;
}

void embedder_pump(struct embedder *embedder)
{
    while (embedder->is_whole && embedder->is_known && !embedder->closing &&
           !embedder->stats.full && embedder->batch_count < EMBEDDER_BATCHES_MAX &&
           embedder->queue_count > 0 && clock_now_ns() >= embedder->pause_ns) {
        struct batch *batch = mem_new(1, sizeof *batch);
        batch->embedder = embedder;
        struct batch **last = &embedder->batches;
        while (*last)
            last = &(*last)->next;
        *last = batch;
        embedder->batch_count++;
        bool served = find_model(batch);
        while (served && batch->count < EMBEDDER_BATCH) {
            struct batch_item *item = &batch->items[batch->count];
            item->batch = batch;
            if (!embedder_take(embedder, item)) break;
            batch->count++;
        }
        if (batch->count == 0) {
            batch_free(batch);
            return;
        }
        embedder->underway++;
        read_documents(batch);
    }
}
