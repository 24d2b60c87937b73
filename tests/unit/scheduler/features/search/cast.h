/* tests/unit/scheduler/features/search/cast.h -- two schedulers' vectors over one Redis, and nodes that the test plays for them.
 *
 * A node embeds by rote (a hash of the ids), keeps the shards that it is sent and scans them one by one. What it says comes a
 * millisecond later, from the loop. Both schedulers see all nodes. One cast at a time. */
#ifndef TESTS_UNIT_SCHEDULER_FEATURES_SEARCH_CAST_H
#define TESTS_UNIT_SCHEDULER_FEATURES_SEARCH_CAST_H

#include "scheduler/features/search/vectors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct collections;
struct event_base;
struct store;

enum {
    CAST_SIZE = 8, // numbers of a vector
    CAST_SCHEDULERS = 2,
    CAST_NODES = 4,
    CAST_TOP_MAX = 512
};

#define CAST_INDEX   "index:shop:goods"
#define CAST_VECTORS "vectors:shop:goods"
#define CAST_MODEL   "embedder"

extern struct event_base *cast_base;
extern struct store *cast_store;             // the test's own
extern struct collections *cast_collections; // the test's own

/* False: there is no redis-server. */
bool cast_start(void);
void cast_stop(void);

/* Up with an empty shelf, serving CAST_MODEL with weights of this name; or dead. */
void cast_node_up(size_t node, const char *weights);
void cast_node_down(size_t node);
/* It takes no shards: its memory is full. */
void cast_node_refuses(size_t node, bool on);
/* Shards that it has, whole. */
size_t cast_node_shards(size_t node);
/* Vectors of those. */
size_t cast_node_rows(size_t node);
/* Texts that were embedded, scans, and those of them that brought a filter's bits, by all nodes so far. */
size_t cast_embedded(void);
size_t cast_scanned(void);
size_t cast_bits(void);

/* Begin or end a scheduler. */
void cast_scheduler_up(size_t scheduler);
void cast_scheduler_down(size_t scheduler);
struct vectors *cast_vectors(size_t scheduler);
/* Tell all schedulers an index' settings; NULL: it is gone. */
void cast_tell(const char *settings);

/* Write a document of the index, {"text": …}; NULL: delete it. Waits until it is written. */
void cast_put(const char *id, const char *text);
void cast_run(unsigned milliseconds);
/* Until every scheduler that is up knows so many vectors, and every shard is held; it fails after 20 s. */
void cast_until(size_t vectors);

/* The vector of a text, as a node embeds it. */
void cast_embed(const char *text, float vector[CAST_SIZE]);

struct cast_answer {
    enum err err;
    char note[256];
    bool partial;
    size_t count;
    char ids[CAST_TOP_MAX][32];
    float scores[CAST_TOP_MAX];
};

/* Ask and wait. `allowed`: ids parted by spaces; NULL: no filter. */
void cast_search(size_t scheduler, const float *vector, uint32_t top_count, const char *allowed,
                 struct cast_answer *answer);

#endif
