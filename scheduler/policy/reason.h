/* scheduler/policy/reason.h -- why a request is denied.
 *
 * Each reason is a code of the API's error. Thread: any. */
#ifndef SCHEDULER_POLICY_REASON_H
#define SCHEDULER_POLICY_REASON_H

#include "base/err.h"

enum reason {
    REASON_NONE, // it is not denied
#define REASON(name, code, err, text) REASON_##name,
#include "scheduler/policy/reason.def"
#undef REASON
    REASON_COUNT
};

/* "region_not_approved"; "" of REASON_NONE. */
const char *reason_code(enum reason reason);
/* What a message says of it, without a full stop. */
const char *reason_text(enum reason reason);
enum err reason_err(enum reason reason);

#endif
