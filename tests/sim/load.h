/* tests/sim/load.h -- the clients: what they ask, when, what must come back, and how long it took.
 *
 * Requests arrive as a Poisson process. Of the shared trace each belongs to a conversation: a system prompt (Zipf over
 * SIM_SYSTEMS of them, 256 to 2048 ids), then turns that come back after a while with all that was said; of the plain one
 * prompts share nothing. Every id that is delivered is compared with the answer that is known beforehand. */
#ifndef TESTS_SIM_LOAD_H
#define TESTS_SIM_LOAD_H

#include "tests/sim/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What became of the requests. Each is counted once. */
struct load_report {
    uint64_t whole;      // answered, and right
    uint64_t refused;    // at once, with an error
    uint64_t failed;     // later, with one
    uint64_t canceled;   // by the client
    uint64_t lost;       // their scheduler died
    uint64_t longest_ns; // a request, from when it was asked until it was whole or failed
    uint64_t ids, longest_gap_ns;
    // Of those that were asked after the warm-up, and up to the last:
    uint64_t prompt_ids, cached_ids;
    uint64_t first_p50_ns, first_p99_ns, first_mean_ns; // of whole answers
    double offered;                                     // requests/s
    double goodput; // of these, whole answers whose first id came within a second
};

void load_begin(const struct plan *plan);
/* Have all requests been sent and ended? */
bool load_is_over(void);
/* The client of some running request leaves. */
void load_cancel_one(void);
/* The scheduler is about to die: its requests are lost. */
void load_lose(uint32_t sched);
struct load_report load_end(void);
/* What runs at each scheduler is what its clients wait for, no more and no less. */
void load_check(void);
/* When nothing can happen any more. */
void load_free(void);

#endif
