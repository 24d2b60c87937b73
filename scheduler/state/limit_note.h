/* scheduler/state/limit_note.h -- what a client is told of its limits: what is left, and of a request that is refused which
 * limit of whom it was, how much was asked, how much is left, when to come again. Thread: any. */
#ifndef SCHEDULER_STATE_LIMIT_NOTE_H
#define SCHEDULER_STATE_LIMIT_NOTE_H

#include "scheduler/state/meter.h"

enum limit_whose {
    LIMIT_KEY,
    LIMIT_USER
};

/* What a request needs at least. */
struct limit_sum {
    uint64_t tokens;
    uint32_t streams;
};

/* ERR_LIMITED, by `told`'s verdict. */
enum err limit_note_refused(enum limit_whose whose, const struct limit_rule *rule,
                            const struct limit_sum *sum, const struct meter_answer *told,
                            uint32_t retry_seconds);
/* ERR_TOO_LARGE: the sum is more than a whole limit, and no waiting helps. */
enum err limit_check_sum(enum limit_whose whose, const struct limit_rule *rule,
                         const struct limit_sum *sum);

/* Show the limits of `rule` where they are tighter than what the answer shows. `requests_here`, `tokens_here`: what this
 * scheduler holds besides what Redis has left. */
void limit_show(struct limit_answer *answer, const struct limit_rule *rule,
                const struct meter_answer *told, uint64_t requests_here, uint64_t tokens_here);

#endif
