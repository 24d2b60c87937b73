/* scheduler/scribe.h -- a small pool of threads for work that would hold the loop up: long texts
 * to ids, text packs to tokenizers.
 *
 *      loop --scribe_submit--> a worker: work(argument) --mailbox--> loop: done(argument)
 *
 * done() is called exactly once for every accepted job, on the loop; scribe_free() too calls it,
 * and then work() may not have run: a job's result says "not done" until its work ends. Between
 * submit and done the argument is the worker's. Jobs of one worker are done in their order.
 *
 * Thread: the loop's, but for work(). */
#ifndef SCHEDULER_SCRIBE_H
#define SCHEDULER_SCRIBE_H

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct scribe;

enum {
    SCRIBE_JOBS_MAX = 1024 // accepted and not done
};

typedef void scribe_fn(void *argument);

struct scribe *scribe_new(struct event_base *base, size_t workers);
void scribe_free(struct scribe *scribe);
/* False: SCRIBE_JOBS_MAX jobs are there. */
bool scribe_submit(struct scribe *scribe, scribe_fn *work, scribe_fn *done, void *argument);
/* The same, by one of the workers: jobs with equal `lane` are worked one after another, in their order, by the same one. So
 * what only they touch needs no lock. */
bool scribe_submit_to(struct scribe *scribe, size_t lane, scribe_fn *work, scribe_fn *done,
                      void *argument);

#endif
