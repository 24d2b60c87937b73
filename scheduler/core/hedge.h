/* scheduler/core/hedge.h -- when a quiet attempt gets a second one beside it, and how much that may cost.
 *
 * An attempt is quiet when nothing has come of it for longer than is usual: HEDGE_SLOWNESS times the gap between its results
 * so far, or, before the first, twice what was predicted and its node looks stuck; and never before HEDGE_QUIET_NS. All second attempts together
 * may cost HEDGE_PERCENT of the tokens that were asked for and given: each costs what its node has to compute again, and
 * every id that had come already.
 *
 * Pure. Thread: the loop's. */
#ifndef SCHEDULER_CORE_HEDGE_H
#define SCHEDULER_CORE_HEDGE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    HEDGE_PERCENT = 5,
    HEDGE_SLOWNESS = 8
};

#define HEDGE_QUIET_NS (UINT64_C(400) * 1000000)
/* A node that has said nothing for so long, not even a heartbeat, looks stuck. */
#define HEDGE_SILENT_NS (UINT64_C(300) * 1000000)

/* Tokens, since the start. */
struct hedge_budget {
    uint64_t useful; // of prompts that were dispatched, and ids that were delivered
    uint64_t spent;  // by second attempts
};

/* What one attempt has shown. */
struct hedge_pulse {
    uint64_t heard_ns;     // its latest id, or its dispatch
    uint64_t gap_ns;       // between its results, smoothed; 0: fewer than two came
    uint64_t predicted_ns; // from dispatch to the first id
};

void hedge_heard(struct hedge_pulse *pulse, uint64_t now_ns, bool first);
bool hedge_is_quiet(const struct hedge_pulse *pulse, uint64_t now_ns);
bool hedge_may_spend(const struct hedge_budget *budget, uint64_t tokens);

#endif
