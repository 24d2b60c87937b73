/* scheduler/state/pulse.h -- a scheduler's sign of life in Redis, and what other schedulers ask of it by the way.
 *
 *      here:  begin --SET alive, every PULSE_MS--> … --end--> gone after PULSE_ALIVE_MS
 *      there: look --> how long the sign has left; while it has any, a word is laid beside it
 *      here:  the next pulse takes all words: `asked` is told each
 *
 * A scheduler that was killed or stands still gives no sign. A word is taken within PULSE_MS or so, and forgotten PULSE_WORD_MS
 * after it was said last: who still wants it goes on looking. Both keys stand in docs/redis.md.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_STATE_PULSE_H
#define SCHEDULER_STATE_PULSE_H

#include "scheduler/state/store.h"

struct event_base;
struct pulse;

enum {
    PULSE_MS = 250, // between two signs of life
    PULSE_ALIVE_MS = 1000,
    PULSE_WORD_MS = 2 * PULSE_MS,
    PULSE_INSTANCE_SIZE = 16 // hexadecimal digits: the name of a scheduler's process
};

typedef void pulse_asked_fn(void *argument, const char *word);

/* A new instance, which gives no sign yet. */
struct pulse *pulse_new(struct event_base *base, struct store *store, pulse_asked_fn *asked,
                        void *argument);
/* After the store: every command has been answered by then. */
void pulse_free(struct pulse *pulse);
const char *pulse_instance(const struct pulse *pulse);

/* Give signs from now on, or no more. */
void pulse_begin(struct pulse *pulse);
void pulse_end(struct pulse *pulse);

/* Look whether `instance` (PULSE_INSTANCE_SIZE digits, then whatever) lives, and ask `word` of it. The reply is an integer: the ms that its sign has
 * left; 0 or less: it is dead. */
void pulse_look(struct pulse *pulse, const char *instance, const char *word, store_reply_fn *done,
                void *argument);

#endif
