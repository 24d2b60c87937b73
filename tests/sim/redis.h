/* tests/sim/redis.h -- one Redis in virtual time, as far as limits need it, and the stores that speak with it.
 *
 * redis.c stands in for scheduler/state/store.h; tally.h does what the one script does that there is. A call travels, is done by
 * Redis' own clock, and its answer travels back, in order on each connection. A connection that breaks answers what is pending
 * with ERR_STORE_AWAY, done or not; a slow call is answered with ERR_TIMEOUT.
 *
 *      store_eval ----way----> done, at done_ns ----way----> the answer is told */
#ifndef TESTS_SIM_REDIS_H
#define TESTS_SIM_REDIS_H

#include <stdbool.h>
#include <stdint.h>

struct store;

/* `swift`: no call takes longer than some 20 ms. */
void redis_begin(bool swift);
/* After its stores have gone. */
void redis_end(void);

struct store *redis_link(void);
/* What is pending is answered with ERR_STORE_AWAY, as store_free() does; Redis does what was sent all the same. */
void redis_unlink(struct store *store);
/* The connection breaks, and is back after a while. */
void redis_break(struct store *store, uint64_t for_ns);

/* While an answer is told: when Redis did what it answers. */
uint64_t redis_done_ns(void);
/* And when that was asked for; if it was while another answer was told: when Redis did that. */
uint64_t redis_cause_ns(void);

/* Under a name that a call has used: whether the slot in which a time lies is still counted, and the tokens of all that are, of a minute
 * and of a day. */
bool redis_counts_minute(const char *key, uint64_t at_ns);
bool redis_counts_day(const char *key, uint64_t at_ns);
uint64_t redis_minute_tokens(const char *key);
uint64_t redis_day_tokens(const char *key);

#endif
