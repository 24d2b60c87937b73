/* scheduler/features/search/strays.h -- shards on nodes that belong to no index any more.
 *
 * An index is deleted while nobody has its lock, or its vectors are made anew: then a node keeps what nobody asks for. A shard
 * that is unknown for STRAYS_MS on end, to a scheduler that knows the vectors of all indexes, is dropped. Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_SEARCH_STRAYS_H
#define SCHEDULER_FEATURES_SEARCH_STRAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strays;

enum {
    STRAYS_MAX = 1024, // that are watched at once
    STRAYS_MS = 60000
};

struct strays *strays_new(void);
void strays_free(struct strays *strays);
/* A round: begin, then every shard that is unknown. True: it is to be dropped. One that is not seen in a round is forgotten. */
void strays_begin(struct strays *strays);
bool strays_see(struct strays *strays, uint64_t link, uint64_t shard, uint64_t now_ns);

#endif
