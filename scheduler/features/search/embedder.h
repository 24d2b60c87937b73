/* scheduler/features/search/embedder.h -- who gives the documents of one index their vectors: in the one scheduler that has
 * its writer's lock.
 *
 *      documents (a follower) --digest of the text differs from the vector's--> queue
 *      queue --EMBEDDER_BATCH--> READ (Redis) --> ENCODE (a worker: text, ids) --> FLY (EMBED, priority batch)
 *            --> NUMBER (Redis: numbers of new ones) --> WRITE (Redis) --> the follower of the vectors has them
 *      vectors whose document is gone --> deleted
 *
 * Nothing of it is kept: what is to be done follows from documents and vectors, whoever begins and whenever. What was told is
 * looked through again and again, a slice at a time, so that a write that was lost is made up for.
 *
 * Numbers are taken from a counter in Redis before they are used, and never given back: two that embed at once (the lock was
 * lost with a failover) do work twice, and no number is two documents'. Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_SEARCH_EMBEDDER_H
#define SCHEDULER_FEATURES_SEARCH_EMBEDDER_H

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct collections;
struct embedder;
struct flights;
struct fleet;
struct lexicon;
struct numbers;
struct scribe;

enum {
    EMBEDDER_BATCH = 32,      // documents that go together
    EMBEDDER_BATCHES_MAX = 3, // at once
    EMBEDDER_ASKED_MS =
        40, // that a text may take while others ask: with fewer at once a node's steps are shorter
    EMBEDDER_QUIET_MS = 400,     // and while nobody does
    EMBEDDER_DEADLINE_MS = 60000 // of one text
};

/* What is borrowed outlives it; texts are copied. */
struct embedder_options {
    struct collections *collections;
    struct fleet *fleet;
    struct flights *flights;
    struct lexicon *lexicon;
    struct scribe *scribe;
    const char *index;             // the collection of documents
    const char *collection;        // and that of vectors
    const char *description;       // the settings that this one has
    const char *settings;          // of the index, JSON
    const struct numbers *numbers; // borrowed
    struct digest model, adapter;  // that make the vectors
    uint32_t size;                 // numbers of a vector
    /* Vectors were written: `version` will have them. */
    void (*wrote)(void *owner, uint64_t version);
    void *owner;
};

struct embedder_stats {
    uint64_t embedded, deleted;
    uint64_t failed; // texts that the model does not take: they wait for another text
    size_t waiting;  // documents that are known to have no vector of their text, those among them
    bool full;       // the numbers are used up: the vectors must be made anew
};

struct embedder *embedder_new(const struct embedder_options *options);
/* What is under way comes to nothing. */
void embedder_free(struct embedder *embedder);
/* Every 100 ms or so. `version`: of the vectors that `numbers` knows, whole; `asked`: there were searches lately. Under the lock. */
void embedder_tick(struct embedder *embedder, uint64_t version, bool asked, uint64_t now_ns);
const struct embedder_stats *embedder_stats(const struct embedder *embedder);

#endif
