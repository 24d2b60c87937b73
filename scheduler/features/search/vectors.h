/* scheduler/features/search/vectors.h -- the vectors of every index that has an `embedder`, and the search among them.
 *
 *      index:T:N  --embedder.h--> vectors:T:N  --follower--> numbers.h: which document is number n (in every scheduler)
 *      (documents)  (one writer)    (Redis)    --filler.h--> shards on nodes (one filler)
 *
 *      vectors_search: SCAN flights to the nodes that hold the shards --merged exactly--> ids of documents, with scores
 *
 * Vectors of index "index:T:N" are the collection "vectors:T:N": vector.h says what a record is, docs/redis.md what else stands
 * there. The nodes' shards are caches; whatever a node loses is sent again from Redis.
 *
 * Settings of indexes are told by indexes.h (indexes_options.told = vectors_told). Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_SEARCH_VECTORS_H
#define SCHEDULER_FEATURES_SEARCH_VECTORS_H

#include "wire/message.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct collections;
struct event_base;
struct fleet;
struct fleet_model;
struct flights;
struct lexicon;
struct metrics;
struct scribe;
struct vectors;
struct vectors_ticket;

enum {
    VECTORS_INDEXES_MAX = 256,
    VECTORS_TOP_MAX = WIRE_RESULT_IDS_MAX, // documents of one answer
    VECTORS_SEARCHES_MAX = 1024            // at once
};

/* Everything is borrowed for its life. */
struct vectors_options {
    struct event_base *base;
    struct collections *collections;
    struct fleet *fleet;
    struct flights *flights;
    struct lexicon *lexicon;
    struct scribe *scribe; // workers: texts to ids
    struct metrics *metrics;
    void *owner;
    /* Send to a node, and how much of what was sent still waits. */
    enum err (*send)(void *owner, uint64_t link, const struct wire_message *message, bool urgent);
    size_t (*backlog)(void *owner, uint64_t link);
};

struct vectors *vectors_new(const struct vectors_options *options);
/* Embed, fill and answer no more: before the flights and the workers are freed. Searches that are under way are ended with
 * ERR_CANCELED. */
void vectors_stop(struct vectors *vectors);
/* After scribe_free() and before the store is freed. */
void vectors_free(struct vectors *vectors);

/* What an index is told about itself, or NULL: there is no such index (any more). `vectors` is the owner. */
void vectors_told(void *vectors, const char *index, const char *settings, size_t size);

/* The model that a query of this index is to be embedded by, as the fleet serves it now: the very one that its vectors
 * were made by. Borrowed until the loop turns. ERR_NOT_FOUND: the index has no embedder; ERR_UNAVAILABLE: it has no vectors
 * yet, or no node serves that model. */
enum err vectors_model(const struct vectors *vectors, const char *index,
                       const struct fleet_model **model);

struct vectors_hit {
    const char *id; // of the document
    size_t id_size;
    float score; // cosine of what was quantised
};

/* Borrowed until the function returns. With an error there are no hits. */
struct vectors_answer {
    enum err err; // with its note in err_text()
    const struct vectors_hit *hits;
    size_t count; // best first; of equal scores the lower number
    bool partial; // some shards are on no node at present, or failed: their documents are missing
};

/* Once, from the loop, never from inside of vectors_search(). */
typedef void vectors_done_fn(void *argument, const struct vectors_answer *answer);

struct vectors_query {
    const char *index; // "index:TENANT:NAME"; copied
    const float *vector;
    size_t size;         // of the vector, which is copied
    uint32_t top_count;  // 1 to VECTORS_TOP_MAX
    bool filtered;       // only these documents; borrowed for the call
    const char *allowed; // their ids, as vectors_allow() wrote them
    size_t allowed_size;
    uint64_t tenant; // as flights have it
    uint32_t tenant_weight;
    enum wire_priority priority;
    uint64_t deadline_ns; // 0: none
    const uint64_t
        *regions; // of the nodes that may see it, as flights have them; lives as long as the ticket
    size_t region_count; // 0: any
    vectors_done_fn *done;
    void *argument;
};

/* Add a document to those that are allowed. Any thread. */
void vectors_allow(struct buf *allowed, const char *id, size_t id_size);

/* ERR_NOT_FOUND: the index has no embedder; ERR_INVALID: the vector has another size than the index' vectors; ERR_UNAVAILABLE:
 * the numbers are not whole yet, or no node holds any shard; ERR_BUSY: VECTORS_SEARCHES_MAX, or the nodes are full;
 * ERR_TIMEOUT. Then nothing was started, and there is no ticket. An index without a vector yet is answered, with no hits. */
enum err vectors_search(struct vectors *vectors, const struct vectors_query *query,
                        struct vectors_ticket **ticket);
/* done() is not called any more. */
void vectors_cancel(struct vectors_ticket *ticket);

struct vectors_status {
    const char *model; // the embedder's. Borrowed until the settings change
    bool is_served;    // a node makes vectors by it at present; else documents wait
    bool is_whole;     // this scheduler knows all vectors, and Redis has said so lately
    uint64_t
        vectors; // documents that have one. Those that wait for theirs are the rest of the index' documents
    uint64_t version;     // of the collection of vectors
    uint32_t size;        // numbers of a vector; 0: not known yet
    uint32_t shards;      // that hold a vector
    uint32_t shards_held; // of those: whole on some node
    uint32_t copies;      // nodes that hold the shard that the fewest do
    uint64_t
        shards_version; // a search sees all of the collection up to here; 0: a shard is on no node
};

/* ERR_NOT_FOUND: the index has no embedder. */
enum err vectors_status(const struct vectors *vectors, const char *index,
                        struct vectors_status *status);

#endif
