/* scheduler/features/search/filler.h -- one index' shards, brought to the nodes that are to hold them, and kept up.
 *
 *      which node is to hold what: core/shards.h, looked at with every tick
 *      a node comes, or has lost a shard    all vectors are read once more from Redis (a follower of the filler's own), and
 *                                           sent to all nodes that wait for any
 *      a vector changes                     filler_put(), filler_drop() of the follower that everybody has, then filler_mark()
 *      a node has too much                  SHARD_DROP, once those that are to hold it instead do
 *
 * Redis' answers come in the order in which it read, whoever asked: so a vector that filler_put() brings is never older than one
 * that the own follower has told.
 *
 * It works in the one scheduler that holds the index' lock; what two of them do at once is harmless, as both send the same.
 * Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_SEARCH_FILLER_H
#define SCHEDULER_FEATURES_SEARCH_FILLER_H

#include "scheduler/features/search/cargo.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct collections;
struct filler;
struct fleet;
struct numbers;
struct vector;

enum {
    FILLER_BACKLOG_MAX = 4 << 20, // bytes that wait on the way to a node, before more is read
    FILLER_CONFIRM_MS = 5000
};

/* Borrowed for its life. */
struct filler_options {
    struct collections *collections;
    struct fleet *fleet;
    const char *collection;        // of the vectors
    const struct numbers *numbers; // as the follower that everybody has fills them
    uint64_t epoch;
    uint32_t size; // numbers of a vector
    struct cargo_road road;
    size_t (*backlog)(void *owner, uint64_t link); // the road's owner
};

struct filler_stats {
    uint64_t fills;   // shards that were brought to a node whole
    uint64_t bytes;   // of rows
    uint64_t unheard; // shards that a node did not say it had in time
    size_t waiting;   // shards of nodes that are not filled
};

struct filler *filler_new(const struct filler_options *options);
/* `drops`: the nodes are to forget the shards. */
void filler_free(struct filler *filler, bool drops);

/* Every 100 ms or so. */
void filler_tick(struct filler *filler, uint64_t now_ns);
void filler_put(struct filler *filler, const struct vector *vector);
void filler_drop(struct filler *filler, uint32_t number);
/* What came before is `version`. */
void filler_mark(struct filler *filler, uint64_t version);
/* Everything that was told may be wrong. */
void filler_reset(struct filler *filler);
/* Too much waits on the way to a node. */
bool filler_is_full(const struct filler *filler);
const struct filler_stats *filler_stats(const struct filler *filler);

#endif
