/* scheduler/features/search/embedder_parts.h -- what the files of an embedder share: embedder.c knows what is to be done,
 * embedder_batch.c does it, a batch at a time. */
#ifndef SCHEDULER_FEATURES_SEARCH_EMBEDDER_PARTS_H
#define SCHEDULER_FEATURES_SEARCH_EMBEDDER_PARTS_H

#include "scheduler/core/fleet.h"
#include "scheduler/features/collection.h"
#include "scheduler/features/search/embedder.h"
#include "scheduler/features/search/settings.h"

#include "text/tokenizer.h"

#include "base/buf.h"
#include "base/err.h"

struct follower;
struct ids;
struct lexicon_pack;
struct store_script;

enum want_state {
    WANT_IDLE,
    WANT_QUEUED,
    WANT_BUSY,
    WANT_STUCK // the model does not take this text
};

/* A document, at its place in `ids`. */
struct want {
    uint64_t digest; // of its text; 0: it has none
    enum want_state state;
};

/* A document of a batch. */
struct batch_item {
    struct batch *batch;
    char id[COLLECTION_ID_MAX];
    size_t id_size;
    struct buf record; // of the collection of documents; then of that of vectors
    bool is_gone;      // no document, or no text: it has no vector
    bool is_done, is_stuck;
    enum err err;
    uint64_t digest;
    struct token_ids ids;
    uint64_t flight; // 0: not in the air
    bool flew;
    uint64_t flew_ns; // since when
    int8_t *values;
    float scale;
    uint32_t number; // NUMBERS_NONE: it is to get one
};

enum batch_step {
    BATCH_READ,
    BATCH_ENCODE,
    BATCH_FLY,
    BATCH_NUMBER,
    BATCH_WRITE
};

struct batch {
    struct batch *next;
    struct embedder *embedder; // its options alone, in a worker
    enum batch_step step;
    bool is_encoded;           // the worker's
    struct lexicon_pack *pack; // held
    struct fleet_model model;
    struct batch_item items[EMBEDDER_BATCH];
    size_t count, in_air;
    struct collection_entry entries[EMBEDDER_BATCH];
    unsigned char fates[EMBEDDER_BATCH];
};

struct embedder {
    struct embedder_options options;
    struct collection_keys documents, vectors; // keys
    char *index, *collection, *description;
    struct search_settings *settings; // a worker may read them
    struct store_script *reserve;
    struct follower *follower;
    bool is_whole;   // all documents are known
    bool is_known;   // so are all vectors
    bool is_settled; // those among them that were written here
    bool is_asked;
    struct ids *ids;
    struct want *wants; // [capacity], by place
    uint32_t capacity;
    uint32_t *queue; // a ring of places
    size_t queue_at, queue_count, queue_capacity;
    uint32_t patrol_wants, patrol_numbers; // what is looked at next
    struct buf orphans; // ids without a document, each a byte of size and its bytes
    size_t orphan_count;
    struct batch *batches; // the eldest first
    size_t batch_count;
    size_t air_tokens; // of all texts in the air
    size_t air_most;   // of those that may be, for each node: it follows how long they take
    struct collection_entry *deletions; // that are under way; their texts are in `doomed`
    unsigned char *deletion_fates;
    struct buf doomed;
    uint64_t written_version;
    uint64_t pause_ns; // nothing new before
    uint64_t tenant;   // as flights have it
    size_t underway;   // calls that will be answered: batches and deletions
    bool closing;
    struct embedder_stats stats;
};

/* embedder.c: the next document that wants a vector; false: none does. */
bool embedder_take(struct embedder *embedder, struct batch_item *item);
/* What became of it. */
void embedder_settle(struct embedder *embedder, const struct batch_item *item);
void embedder_wrote(struct embedder *embedder, uint64_t version);
/* A call was answered: go on, or end, if it is time. */
void embedder_answered(struct embedder *embedder);

/* embedder_batch.c: as many batches as may be under way. */
void embedder_pump(struct embedder *embedder);
/* Those whose flights found no place. */
void embedder_fly_on(struct embedder *embedder);
/* All that is in the air comes down. */
void embedder_recall(struct embedder *embedder);

#endif
