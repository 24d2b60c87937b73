/* tests/sim/check.h -- what must hold inside of a node at every step of a history in which things go wrong.
 *
 * - Each block stands in as many tables as it has holders, and those who wait hold none.
 * - No more newcomers wait, in requests and in ids, than the waiting room has places for.
 * - The fair queue's bound (node/engine/queue.h): while two tenants both have somebody waiting in a class, what they are served,
 *   by weight, comes apart by at most U / weight + U / weight. Who was looked at twice and is the same has waited in between. */
#ifndef TESTS_SIM_CHECK_H
#define TESTS_SIM_CHECK_H

#include "node/engine/batch.h"

#include <stdint.h>

struct check;
struct engine;

/* Over all nodes and lives since check_begin(). */
struct check_report {
    uint64_t pairs;      // looks at two who both waited on since the look before
    double worst;        // how far two came apart, of the bound
    uint64_t full_rooms; // steps at which a waiting room had no place left
};

void check_begin(void);
struct check_report check_report(void);

/* Of one life of a node; engine and pool outlive it. */
struct check *check_new(const struct engine *engine, const struct kv_pool *pool,
                        const struct batch_limits *limits);
void check_free(struct check *check);
/* In the midst of a step, when it was planned. */
void check_step(struct check *check);
/* Between two turns. */
void check_blocks(struct check *check);

/* 1 to SIM_TENANTS. */
uint32_t sim_weight(uint64_t tenant);

#endif
