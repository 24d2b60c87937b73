/* kernels/team.h -- the compute threads: one leader and n - 1 helpers, fork and join.
 *
 *      leader   team_run ==== part 0 === part 2 ===== part 4 === return
 *      helper        \------- part 1 ====== part 3 ==/
 *
 * A job is a number of parts, each run once by whichever thread comes first; team_run() returns when all are
 * done, and what they wrote is then visible to the leader. Parts are rows, tokens or lanes, never pieces of one
 * sum, so results do not depend on n. Between jobs a helper spins for some microseconds, then sleeps.
 *
 * Every compute thread has the contract's float environment; each checks it before its first part of a job.
 * Thread: one leader at a time; jobs do not nest. */
#ifndef KERNELS_TEAM_H
#define KERNELS_TEAM_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    TEAM_THREADS_MAX = 256,
    TEAM_PARTS_MAX = 1 << 24
};

struct team;

/* The cores that this process may use, at most TEAM_THREADS_MAX: the threads of a team when nobody says. */
uint32_t team_cores(void);

/* `lane` is the running thread's index below team_size(): for scratch. */
typedef void (*team_fn)(void *argument, size_t part, size_t lane);

/* A team of `threads` in 1..TEAM_THREADS_MAX, the caller's included (1: no thread is started). Sets the caller's
 * float environment; a leader that is another thread calls cpu_float_mode_set() first. ERR_INVALID, ERR_IO. */
enum err team_new(struct team **out, uint32_t threads);
/* Stops and joins the helpers. NULL is fine. */
void team_free(struct team *team);
uint32_t team_size(const struct team *team);

/* Call fn(argument, part, lane) for every part in [0, parts). parts < TEAM_PARTS_MAX. */
void team_run(struct team *team, size_t parts, team_fn fn, void *argument);

#endif
