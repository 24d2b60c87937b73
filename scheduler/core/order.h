/* scheduler/core/order.h -- what a flight is asked to do, and how it is said to a node.
 *
 * Pure: time is an argument. Thread: the loop's. */
#ifndef SCHEDULER_CORE_ORDER_H
#define SCHEDULER_CORE_ORDER_H

#include "wire/message.h"

#include "base/digest.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Its arrays belong to whoever made it; order_copy() makes another's own. */
struct flight_order {
    enum wire_kind kind; // 0: WIRE_GENERATE
    struct digest model, adapter, numerics;
    const int32_t *ids; // the prompt
    size_t id_count;
    uint32_t choice;
    uint32_t max_tokens; // 0 but for GENERATE
    uint32_t segment;    // SCORE: as in wire_submit, like these of RECOMMEND:
    uint32_t top_count, row_begin, row_end;
    const int32_t *excluded;
    size_t excluded_count;
    const int32_t *candidates;
    size_t candidate_count;
    struct digest filter;
    const uint8_t *filter_bits; // NULL, 0: the node is believed to have them
    size_t filter_size;
    bool explain, want_vector;
    const float *
        query; // SCAN: the vector that is looked for, and where. It has no ids, and any node that holds all of
    size_t query_size; // the shards may answer it; one that is lost is not waited for
    const uint64_t *shards;
    size_t shard_count;
    const int32_t *stop_ids;
    size_t stop_id_count;
    struct wire_sampling sampling; // its seed is resolved
    uint8_t trace[16];
    uint64_t tenant;
    uint32_t tenant_weight;
    enum wire_priority priority;
    /* Under which cached blocks are found: the first `common_blocks` under `salt`, those behind them under `own_salt`. */
    uint64_t salt;     // 0: share none
    uint64_t own_salt; // 0: `salt` for all
    uint32_t common_blocks;
    uint32_t cache_ms;       // as in wire_submit
    uint64_t deadline_ns;    // absolute; 0: none
    const uint64_t *regions; // digest_tag() of those whose nodes may have it
    size_t region_count;     // 0: any
};

/* ERR_TIMEOUT (the deadline has passed), ERR_INVALID (no ids, or no shards), ERR_TOO_LONG (prompt and answer together exceed
 * WIRE_IDS_MAX). */
enum err order_check(const struct flight_order *order, uint64_t now_ns);
/* With arrays of its own, but for the ids: the flight keeps those. */
void order_copy(struct flight_order *out, const struct flight_order *order);
void order_fini(struct flight_order *order);

/* Is it answered by one whole result, and not by ids? */
bool order_is_whole(const struct flight_order *order);
/* Does this id end the answer? */
bool order_stops(const struct flight_order *order, int32_t id);
bool order_is_late(const struct flight_order *order, uint64_t now_ns);

enum {
    ORDER_SALTS_MAX = 2
};

/* The SUBMIT of one attempt, which brings all ids that are known. Everything is borrowed until `salts` is gone. */
void order_submit(const struct flight_order *order, const struct wire_key *key, const int32_t *ids,
                  size_t id_count, uint64_t now_ns, struct wire_salt salts[ORDER_SALTS_MAX],
                  struct wire_message *out);

/* How many blocks of so many ids a node may have cached: without the one with the last id, which is always computed. */
size_t order_block_count(const struct flight_order *order, size_t id_count);
/* Their names (wire/block.h), from block `from` on, where those before it stand in `out` already. */
void order_name_blocks(const struct flight_order *order, const int32_t *ids, size_t from,
                       size_t count, uint64_t *out);

#endif
