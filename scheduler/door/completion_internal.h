/* scheduler/door/completion_internal.h -- what the parts of a completion share; nobody else includes it.
 *
 *      completion.c       from the request to its prompt's messages: who asks, which model, which key, which session
 *          |
 *      completion_run.c   from the messages to the model's answer: ids, limits, a summary, the flights
 *          |
 *      completion_end.c   every end: the reply or its failure, the session's turn, what is given back
 *
 * Each part calls those below it and none above.
 *
 * Thread: the loop's, but for prompt_encode() of a long prompt. */
#ifndef SCHEDULER_DOOR_COMPLETION_INTERNAL_H
#define SCHEDULER_DOOR_COMPLETION_INTERNAL_H

#include "scheduler/core/fleet.h"
#include "scheduler/door/append.h"
#include "scheduler/door/ask.h"
#include "scheduler/door/context.h"
#include "scheduler/door/govern.h"
#include "scheduler/door/mark.h"
#include "scheduler/door/own.h"
#include "scheduler/door/prompt.h"
#include "scheduler/door/quota.h"
#include "scheduler/door/redaction.h"
#include "scheduler/door/urgency.h"
#include "scheduler/door/waive.h"

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct answer;
struct door;
struct grounding;
struct http_error;
struct http_request;
struct lexicon_pack;
struct resume;
struct screen;

enum completion_state {
    STARTING,
    WAIVING,    // Redis is asked whether the user has agreed to do without a label
    SCREENING,  // Redis is asked whether who asks is suspended
    CLAIMING,   // Redis looks the Idempotency-Key up
    LOADING,    // the session is on its way from Redis
    GROUNDING,  // the history is, and searches run
    ENCODING,   // a worker has the prompt
    RESERVING,  // Redis decides about the limits
    SUMMING_UP, // a node works on a summary of the session's oldest turns
    FLYING,     // a node works on it
    SAVING      // the session is on its way to Redis
};

struct completion {
    struct door *door;
    struct http_request *request; // NULL: the client is gone
    enum completion_state state;
    struct context context;
    struct governed governed;
    struct waive waive;    // its visible label
    struct screen *screen; // NULL: nothing is filtered
    bool refused;          // by it
    struct ask ask;
    struct redaction redaction; // of its texts
    struct urgency urgency;
    struct fleet_model model;    // as it was when the request came
    struct lexicon_pack *pack;   // held
    struct resume *resume;       // NULL: no Idempotency-Key
    struct append append;        // to the session, if there is one
    struct grounding *grounding; // NULL: no `context`
    struct prompt prompt;
    struct quota quota;
    bool admitted; // by it
    uint64_t encode_ns;
    struct own own;
    struct answer *answer; // from FLYING on
};

/* completion_run.c. What a template that says the date says: a retry's is the first attempt's. */
int64_t completion_wall_ms(const struct completion *c);
/* How its answer is to be labelled. */
struct mark_order completion_mark(const struct completion *c);
/* On to the answer, and to the end of it: `c` may be dead behind this. c->pack is held, and what a
 * session has to give is in c->append. */
void completion_encode(struct completion *c);

/* completion_end.c. All but completion_settle() leave `c` dead. */

/* Give back what was reserved and not used. */
void completion_settle(struct completion *c);
/* Nothing is said any more: it is freed. */
void completion_finish(struct completion *c);
/* End with a failure; its note and field are those of this thread's latest failure. */
void completion_fail_with(struct completion *c, const struct http_error *error);
void completion_fail(struct completion *c, enum err err);
void completion_fail_retry(struct completion *c, enum err err, uint32_t ms);
/* The end of a good answer. */
void completion_complete(struct completion *c);
/* The prompt is not answered, by the rules: their refusal is, and no session has a turn of it. */
void completion_refuse(struct completion *c);
/* A turn that was stored before is answered by what was stored. */
void completion_replay(struct completion *c);
/* An append_fn: the session's turn is in Redis, or is not. */
void completion_saved(void *argument, enum err err);
/* An http_gone_fn: the client went away, and whatever runs for it stops. While a worker still reads the prompt `c` lives
 * on, until the worker is done. */
void completion_gone(void *argument);
/* A newer request under the same Idempotency-Key has the answer; this thread's latest note says so. */
void completion_taken(void *argument);

#endif
