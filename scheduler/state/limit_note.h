/* scheduler/state/limit_note.h -- what is said of a request that a limit refuses: which limit of whom, how much was asked,
 * how much is left, when to come again. Thread: any. */
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

#endif
