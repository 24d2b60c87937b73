/* tests/sim/world.h -- virtual time: what happens next, and chance. One world a process.
 *
 * Everything that the simulator runs asks this clock (clock_now_ns() is its), draws from this generator and waits in this
 * queue, so one seed is one history. Events of the same time happen in the order in which they were set. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "base/rand.h"

#include <stdbool.h>
#include <stdint.h>

typedef void world_fn(void *argument, uint64_t number);

void world_begin(uint64_t seed);
/* Events that are left are dropped, with the arguments that they own. */
void world_end(void);
uint64_t world_now_ns(void);
/* Something came about. The digest is of all that did, and of all events and their times: two histories of one seed have
 * the same one. */
void world_note(uint64_t what);
uint64_t world_digest(void);
struct rand *world_rand(void);
/* True once in `one_in`. */
bool world_chance(uint64_t one_in);
/* Uniform in [least, most]. */
uint64_t world_between(uint64_t least, uint64_t most);

void world_at(uint64_t at_ns, world_fn *fn, void *argument, uint64_t number);
/* The same, for an argument that `fn` takes over: freed by mem_free() if it never comes to that. */
void world_send(uint64_t at_ns, world_fn *fn, void *argument, uint64_t number);
/* Let the next event happen, if it is not later than `until_ns`; false: it is, and it is `until_ns` now. */
bool world_step(uint64_t until_ns);

#endif
