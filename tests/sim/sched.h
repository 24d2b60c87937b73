/* tests/sim/sched.h -- a scheduler in virtual time: the real fleet, routes and flights, and glue as scheduler/uplink.c is. */
#ifndef TESTS_SIM_SCHED_H
#define TESTS_SIM_SCHED_H

#include "scheduler/core/flight.h"
#include "tests/sim/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void sim_scheds_begin(const struct plan *plan);
/* Checks that nothing is charged to any node any more. */
void sim_scheds_end(void);
/* Something lies in its mailbox; `at_rest`: it takes it now, else in a moment. */
void sim_sched_wake(uint32_t sched, bool at_rest);

bool sim_sched_is_up(uint32_t sched);
/* Its flights end without a word; it comes back by itself. `lost` is called for each of them, by its argument. */
void sim_sched_crash(uint32_t sched);
void sim_scheds_heal(void);
void sim_sched_drain(uint32_t sched, const char *node, bool on);

enum err sim_sched_start(uint32_t sched, const struct flight_order *order,
                         const struct flight_events *events, void *argument, uint64_t *flight);
void sim_sched_cancel(uint32_t sched, uint64_t flight);
/* Nodes that it is linked with. */
size_t sim_sched_nodes(uint32_t sched);
size_t sim_sched_flights(uint32_t sched);
/* Summed over all schedulers and their lives. */
struct flights_stats sim_scheds_stats(void);

#endif
