/* tests/sim/node.h -- a node in virtual time: the real service, engine, batch and KV pool around a model that is a hash.
 *
 * The next id of a sequence is a function of its seed, its last ids and its position (sim_next_id()), so the answer to every
 * request is known beforehand. A step takes as long as the cost model says, by its rows and depth and the node's speed; what
 * came of it is told when it has ended. */
#ifndef TESTS_SIM_NODE_H
#define TESTS_SIM_NODE_H

#include "tests/sim/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int32_t sim_next_id(uint64_t seed, const int32_t *ids, size_t count);

void sim_nodes_begin(const struct plan *plan);
/* Checks that nothing is left in the air, held, or waiting. */
void sim_nodes_end(void);
/* Something lies in the node's mailbox. */
void sim_node_wake(uint32_t node);

/* The engine that is at work has no report left: what it has reported so far is told. */
void sim_node_starves(void);

/* What can happen to a node. It comes back by itself. */
void sim_node_crash(uint32_t node, bool silently);
void sim_node_hang(uint32_t node, uint64_t for_ns);
void sim_node_slow(uint32_t node, double speed);
bool sim_node_is_up(uint32_t node);
/* Start those that are down, and let all be as fast as they can. */
void sim_nodes_heal(void);
const char *sim_node_name(uint32_t node);

#endif
