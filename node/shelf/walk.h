/* node/shelf/walk.h -- a search of several queries among the rows of shards, all of them, exactly.
 *
 *      score(row) = (float)dot * (query's scale * row's scale)        kernels/scan.h
 *
 * Each query is rounded to bytes by one scale, then compared with every row of its shards; a list keeps the best, of equal
 * scores the lower number. A shard that several queries want is read once for all of them. An answer depends on nothing
 * but its query and its rows: not on its company, on the threads, on the rung, or on how often the walk rests.
 *
 *      walk_begin(queries) ── walk_on(bytes) … walk_on(bytes): true ── walk_hits(0) … walk_hits(n - 1)
 *
 * A walk goes on for about so many bytes of rows, then rests, so that whoever leads the team has something else to do in
 * between. A part of a walk is one block; each thread has a list of its own for each query, and the leader merges them.
 *
 * Thread: one owner, who leads the team; nothing is allocated after walk_new(). */
#ifndef NODE_SHELF_WALK_H
#define NODE_SHELF_WALK_H

#include "node/best.h"

#include "kernels/scan.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ops;
struct shelf_shard;
struct team;
struct walk;

enum {
    WALK_QUERIES_MAX = SCAN_QUERIES_MAX,
    WALK_SHARDS_MAX = 64, // of one query
    WALK_TOP_MAX = 4096   // of one list
};

struct walk_query {
    const float *vector; // [size], within +-1e12
    size_t size;         // the dims of its shards
    const struct shelf_shard *const
        *shards; // [shard_count], held until the walk is done or the query left it
    size_t shard_count;
    uint32_t top_count;      // 1..WALK_TOP_MAX
    const int32_t *excluded; // [excluded_count], ascending: numbers that are not to be found
    size_t excluded_count;
    const uint8_t *allowed; // bit i of byte i / 8 is number i; NULL: all. Numbers beyond it are not
    size_t allowed_size;
};

/* `team` may be NULL: one thread. ERR_NO_MEMORY. */
enum err walk_new(struct walk **out, const struct ops *ops, struct team *team);
void walk_free(struct walk *walk);

/* What queries[i] points to stays until it is done or has left; `queries` itself is copied. Of an earlier walk nothing
 * remains. */
void walk_begin(struct walk *walk, const struct walk_query *queries, size_t count);
/* Go on for `bytes` of rows, or a little more. True: it is done. */
bool walk_on(struct walk *walk, uint64_t bytes);
/* Query `index` is not looked for any more, and nothing of it is touched again. */
void walk_leave(struct walk *walk, size_t index);
/* Of a walk that is done: the list of a query, best first. Valid until the next begins. */
const struct best_hit *walk_hits(const struct walk *walk, size_t index, uint32_t *count);

#endif
