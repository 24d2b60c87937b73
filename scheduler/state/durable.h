/* scheduler/state/durable.h -- writes that wait for replicas (WAIT), on a connection of their own.
 *
 *      IDLE --writes that queued--> WRITING --all answered--> WAITING --WAIT answered--> IDLE, or the next ones
 *
 * WAIT counts the replicas that have what its own connection wrote, and blocks that connection. So these writes do not share
 * the common one; those that come while a WAIT is pending go together as the next group, with one WAIT after them.
 *
 * Thread: the loop's. Every write is answered later, never from inside of durable_eval(). */
#ifndef SCHEDULER_STATE_DURABLE_H
#define SCHEDULER_STATE_DURABLE_H

#include "scheduler/state/store.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DURABLE_GROUP_MAX = 256, // writes of one group
    DURABLE_QUEUE_MAX = 1024 // that wait for their group
};

struct durable_options {
    struct store *store; // owned from now on; its timeout must be longer than wait_ms
    uint32_t replicas;   // that must have a write
    uint32_t wait_ms;    // for them
};

struct durables;

struct durables *durables_new(const struct durable_options *options);
/* Pending writes are answered with ERR_STORE_AWAY. */
void durables_free(struct durables *durables);

/* The script's reply, as a store_reply_fn; whether replicas are to be waited for. False: it is the last call. */
typedef bool durable_written_fn(void *argument, enum err err, const struct redisReply *reply);
/* ERR_OK, or ERR_NOT_REPLICATED with a note that says how many of how many have it. */
typedef void durable_waited_fn(void *argument, enum err err);

/* `text` is borrowed for ever, words are copied; ERR_STORE_AWAY to `written` when the queue is full. */
void durable_eval(struct durables *durables, const char *text, durable_written_fn *written,
                  durable_waited_fn *waited, void *argument, size_t key_count, size_t count,
                  const char *const *words, const size_t *sizes);

#endif
