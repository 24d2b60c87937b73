/* scheduler/state/store.h -- the connection to Redis: commands with deadlines, on the loop.
 *
 * Every command is answered exactly once: with its reply, or with ERR_STORE_AWAY (not connected, the connection broke, the
 * queue is full) or ERR_TIMEOUT -- never from inside of store_command(). The store reconnects for ever with a growing
 * pause (100 ms to 2 s). Its keys are listed in docs/redis.md.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_STATE_STORE_H
#define SCHEDULER_STATE_STORE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct redisReply;
struct store;

enum {
    STORE_PENDING_MAX = 4096 // commands that wait for their reply
};

struct store_options {
    const char *host; // or a path that begins with '/': a Unix socket
    uint16_t port;
    const char *password; // NULL or "": none
    uint32_t timeout_ms;  // of one command
};

/* `reply` is NULL with any error but ERR_OK; an error reply of Redis itself is ERR_INTERNAL with its text in err_text().
 * Borrowed until the function returns. */
typedef void store_reply_fn(void *argument, enum err err, const struct redisReply *reply);

struct store *store_new(struct event_base *base, const struct store_options *options);
/* Sends what the socket still takes, and answers what is pending with ERR_STORE_AWAY. */
void store_free(struct store *store);
bool store_is_up(const struct store *store);

/* Arguments are copied. `done` may be NULL. */
void store_command(struct store *store, store_reply_fn *done, void *argument, size_t count,
                   const char *const *words, const size_t *sizes);

/* Answer `done` with ERR_OK and no reply from the loop: for a question that needs no Redis but whose answer, like
 * every other, must not come from inside of the asking. */
void store_later(struct store *store, store_reply_fn *done, void *argument);

/* A Lua script, owned by the store. Redis loads it at each connect (SCRIPT LOAD tells its SHA-1); where Redis has
 * forgotten it since, it is sent whole. The same text gives the same script; `text` is borrowed for ever. */
struct store_script;
struct store_script *store_add_script(struct store *store, const char *text);

/* `words` are the keys, then the arguments. */
void store_eval(struct store *store, struct store_script *script, store_reply_fn *done,
                void *argument, size_t key_count, size_t count, const char *const *words,
                const size_t *sizes);

#endif
