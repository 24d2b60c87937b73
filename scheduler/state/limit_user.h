/* scheduler/state/limit_user.h -- users whose streams have a limit and who have some in the air here.
 *
 * Redis counts the streams of each scheduler (meter.h). A call that is lost, or done and not heard of, leaves a wrong count
 * there, and calls that only add and take away would carry it on for as long as the user comes back. So whenever no other call
 * for the user is under way, and then we know what Redis ought to have, a call says how many there are:
 *
 *      known ---- a call fails ----> UNTOLD ---- no call is under way, Redis is there: told ----> known
 *
 * A user who is untold is remembered without streams, too, for as long as the wrong count can live. Streams that were
 * admitted without Redis (limit.h, `open`) are in the air as well.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_STATE_LIMIT_USER_H
#define SCHEDULER_STATE_LIMIT_USER_H

#include "scheduler/state/meter.h"

#include "base/err.h"

#include <stdint.h>

struct limit_user;
struct limit_users;
struct store;

struct limit_users *limit_users_new(struct store *store, struct meter *meter, uint32_t stream_ms);
/* After the store: no call is under way. */
void limit_users_free(struct limit_users *users);
/* Ten times a second: renew what runs, mend what was lost. */
void limit_users_tick(struct limit_users *users, uint64_t now_ns);

/* Carry a call about the user; `done` as meter_call() has it. */
void limit_users_call(struct limit_users *users, const char *owner, const struct meter_call *call,
                      meter_fn *done, void *argument);

/* The user, until the call that must follow has ended, and as long as it has streams. */
struct limit_user *limit_user_begin(struct limit_users *users, const char *owner,
                                    const struct limit_rule *rule);
/* Before a call: fills in what it says of the streams. */
void limit_user_call(struct limit_user *user, struct meter_call *call);
/* After it, and after limit_user_add(). */
void limit_user_called(struct limit_user *user, enum err err);
/* So many more are in the air. */
void limit_user_add(struct limit_user *user, uint32_t streams);
/* So many have ended: the call says so, too. Streams that are given up are not the user's any more when this returns. */
void limit_user_return(struct limit_user *user, uint32_t streams, struct meter_call *call);

#endif
