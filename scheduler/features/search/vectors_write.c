#include "scheduler/core/fleet.h"
#include "scheduler/features/follower.h"
#include "scheduler/features/search/numbers.h"
#include "scheduler/features/search/vector.h"
#include "scheduler/features/search/vectors_parts.h"
#include "scheduler/settings.h"

#include "base/buf.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/must.h"
#include "base/rand.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    DESCRIPTION_VERSION = 1
};

// ---- what the vectors say of themselves --------------------------------------------------------

static bool read_digest(struct digest *out, const json_t *value)
{
    return hex_read(out->bytes, sizeof out->bytes, json_string_value(value));
}

bool vectors_read_made(struct vectors_made *made, const char *text, size_t size)
{
    json_error_t error;
    json_t *root = json_loadb(text, size, 0, &error);
    const char *epoch = json_string_value(json_object_get(root, "epoch"));
    json_int_t count = json_integer_value(json_object_get(root, "size"));
    *made = (struct vectors_made){0};
    made->known = json_integer_value(json_object_get(root, "v")) == DESCRIPTION_VERSION && epoch &&
                  sscanf(epoch, "%" SCNx64, &made->epoch) == 1 && count >= 1 &&
                  count <= VECTOR_SIZE_MAX &&
                  read_digest(&made->model, json_object_get(root, "model")) &&
                  read_digest(&made->adapter, json_object_get(root, "adapter"));
    made->size = (uint32_t)count;
    json_decref(root);
    return made->known;
}

static void write_made(struct buf *out, const struct fleet_model *model)
{
    char digest[DIGEST_TEXT_SIZE], adapter[DIGEST_TEXT_SIZE];
    buf_addf(out,
             "{\"v\":%d,\"model\":\"%s\",\"adapter\":\"%s\",\"size\":%" PRIu32
             ",\"epoch\":\"%016" PRIx64 "\"}",
             DESCRIPTION_VERSION, digest_text(&model->model, digest),
             digest_text(&model->adapter, adapter), model->vector_size, rand_entropy());
}

// ---- the work of this scheduler ----------------------------------------------------------------

static void count_more(struct metrics *metrics, size_t metric, uint64_t now, uint64_t seen)
{
    if (now > seen) metric_add(metrics, metric, NULL, NULL, (double)(now - seen));
}

void vectors_count(struct vectors_entry *entry)
{
    struct metrics *metrics = entry->vectors->options.metrics;
    if (entry->embedder && metrics) {
        const struct embedder_stats *now = embedder_stats(entry->embedder);
        count_more(metrics, M_vectors_embedded_total, now->embedded, entry->seen_embedder.embedded);
        count_more(metrics, M_vectors_failed_total, now->failed, entry->seen_embedder.failed);
        entry->seen_embedder = *now;
    }
    if (entry->filler && metrics) {
        const struct filler_stats *now = filler_stats(entry->filler);
        count_more(metrics, M_shard_fills_total, now->fills, entry->seen_filler.fills);
        count_more(metrics, M_shard_unheard_total, now->unheard, entry->seen_filler.unheard);
        entry->seen_filler = *now;
    }
}

void vectors_stop_embedding(struct vectors_entry *entry)
{
    vectors_count(entry);
    embedder_free(entry->embedder);
    entry->embedder = NULL;
    entry->seen_embedder = (struct embedder_stats){0};
}

void vectors_stop_filling(struct vectors_entry *entry, bool drops)
{
    vectors_count(entry);
    filler_free(entry->filler, drops);
    entry->filler = NULL;
    entry->seen_filler = (struct filler_stats){0};
}

// ---- the writer --------------------------------------------------------------------------------

static void wrote(void *owner, uint64_t version)
{
    struct vectors_entry *entry = owner;
    (void)version;
    follower_kick(entry->follower);
}

/* A change of the whole collection; the entry may have gone when it is answered. */
struct making {
    struct vectors *vectors;
    char index[COLLECTION_NAME_MAX + 1];
    char name[COLLECTION_NAME_MAX + 1];
    struct buf description; // with which it is set up after it was removed; empty: it is not
};

static void end_making(struct making *making)
{
    struct vectors *vectors = making->vectors;
    struct vectors_entry *entry = vectors->is_over ? NULL : vectors_find(vectors, making->index);
    if (entry) {
        entry->making = false;
        if (entry->follower) follower_kick(entry->follower);
    }
    buf_fini(&making->description);
    mem_free(making);
    vectors_answered(vectors);
}

static void on_made(void *argument, enum err err, uint64_t version)
{
    (void)err, (void)version; // the follower finds out
    end_making(argument);
}

static void on_removed(void *argument, enum err err, uint64_t version)
{
    struct making *making = argument;
    (void)version;
    if ((err && err != ERR_NOT_FOUND) || making->description.size == 0 ||
        making->vectors->stopped) {
        end_making(making);
        return;
    }
    collection_configure(making->vectors->options.collections, making->name,
                         making->description.data, making->description.size, on_made, making);
}

/* Make the vectors anew by this model, or, without, be rid of them. */
static void make(struct vectors_entry *entry, const struct fleet_model *model)
{
    struct making *making = mem_new(1, sizeof *making);
    making->vectors = entry->vectors;
    snprintf(making->index, sizeof making->index, "%s", entry->index);
    snprintf(making->name, sizeof making->name, "%s", entry->name);
    if (model) write_made(&making->description, model);
    log_info(model ? "vectors_made" : "vectors_removed", "collection=%s model=%s", entry->name,
             model ? model->name : "");
    vectors_stop_embedding(entry);
    entry->making = true;
    entry->vectors->underway++;
    collection_remove(entry->vectors->options.collections, entry->name, on_removed, making);
}

static void embed(struct vectors_entry *entry, const struct fleet_model *model)
{
    const struct vectors_options *options = &entry->vectors->options;
    entry->embedder = embedder_new(&(struct embedder_options){.collections = options->collections,
                                                              .fleet = options->fleet,
                                                              .flights = options->flights,
                                                              .lexicon = options->lexicon,
                                                              .scribe = options->scribe,
                                                              .index = entry->index,
                                                              .collection = entry->name,
                                                              .description = entry->description,
                                                              .settings = entry->settings,
                                                              .numbers = entry->numbers,
                                                              .model = model->model,
                                                              .adapter = model->adapter,
                                                              .size = entry->made.size,
                                                              .wrote = wrote,
                                                              .owner = entry});
}

bool vectors_made_by(const struct vectors_made *made, const struct fleet_model *model)
{
    return made->known && digest_equal(&made->model, &model->model) &&
           digest_equal(&made->adapter, &model->adapter) && made->size == model->vector_size;
}

bool vectors_can_be_made_by(const struct fleet_model *model)
{
    return model && model->kinds & 1u << WIRE_EMBED && model->vector_size > 0 &&
           model->vector_size <= VECTOR_SIZE_MAX;
}

/* With the writer's lock: see that the collection is what the index wants. */
void vectors_write(struct vectors_entry *entry, uint64_t now_ns)
{
    const struct fleet *fleet = entry->vectors->options.fleet;
    uint64_t version = follower_version(entry->follower);
    const struct fleet_model *model =
        entry->model ? fleet_find_model(fleet, entry->model, strlen(entry->model)) : NULL;
    if (entry->making) return;
    if (!entry->model) {
        if (version > 0) make(entry, NULL);
        return;
    }
    if (!vectors_can_be_made_by(model)) return; // its nodes come back, or others
    bool full = entry->embedder && embedder_stats(entry->embedder)->full;
    if (!vectors_made_by(&entry->made, model) || full) {
        make(entry, model);
        return;
    }
    if (!entry->embedder) embed(entry, model);
    embedder_tick(entry->embedder, version, vectors_asked(entry->vectors, now_ns), now_ns);
}

void vectors_fill(struct vectors_entry *entry, uint64_t now_ns)
{
    const struct vectors_options *options = &entry->vectors->options;
    if (!entry->filler) {
        entry->filler = filler_new(&(struct filler_options){.collections = options->collections,
                                                            .fleet = options->fleet,
                                                            .collection = entry->name,
                                                            .numbers = entry->numbers,
                                                            .epoch = entry->made.epoch,
                                                            .size = entry->made.size,
                                                            .road = {options->owner, options->send},
                                                            .backlog = options->backlog});
        filler_mark(entry->filler, follower_version(entry->follower));
    }
    filler_tick(entry->filler, now_ns);
}
