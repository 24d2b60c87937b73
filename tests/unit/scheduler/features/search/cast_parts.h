/* tests/unit/scheduler/features/search/cast_parts.h -- what the files of a cast share: cast.c has the schedulers, cast_nodes.c
 * plays the nodes. */
#ifndef TESTS_UNIT_SCHEDULER_FEATURES_SEARCH_CAST_PARTS_H
#define TESTS_UNIT_SCHEDULER_FEATURES_SEARCH_CAST_PARTS_H

#include "tests/unit/scheduler/features/search/cast.h"

#include "wire/message.h"

#include "base/err.h"

struct fleet;
struct flights;
struct lexicon;
struct metrics;
struct scribe;

struct cast_scheduler {
    size_t index;
    bool up;
    struct store *store;
    struct collections *collections;
    struct fleet *fleet;
    struct flights *flights;
    struct scribe *scribe;
    struct lexicon *lexicon;
    struct metrics *metrics;
    struct vectors *vectors;
};

extern struct cast_scheduler cast_schedulers[CAST_SCHEDULERS];

/* All nodes are down; the text pack is read. */
void cast_nodes_begin(void);
void cast_nodes_end(void);
/* The seam of schedulers. */
enum err cast_send(void *scheduler, uint64_t link, const struct wire_message *message, bool urgent);
/* What nodes have to say is heard. */
void cast_nodes_turn(void);
/* A scheduler hears of all nodes that are up. */
void cast_introduce(struct cast_scheduler *scheduler);

#endif
