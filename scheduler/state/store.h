/* scheduler/state/store.h -- the way to Redis: commands with deadlines, on the loop.
 *
 * Behind it stands one Redis, or the master that a group of Sentinels names, or a Redis Cluster; who asks does not
 * notice:
 *
 *      one Redis   host                    one connection
 *      Sentinel    sentinels, master       one connection, to the master of the moment (store_sentinel.h)
 *      Cluster     seeds                   one connection a master, chosen by the key's slot (store_cluster.h)
 *
 * Every command is answered exactly once: with its reply, or with ERR_STORE_AWAY (not connected, the connection broke,
 * Redis does not take it at present, the queue is full) or ERR_TIMEOUT -- never from inside of store_command(). With
 * these two, a command that was sent may have been done all the same. The store reconnects for ever with a growing
 * pause (100 ms to 1 s). Its keys are listed in docs/redis.md.
 *
 * For a Cluster, all keys of one call must be in one slot: their hash tags (the part in braces) are equal. The store
 * asserts it for scripts, whose keys it knows.
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
    STORE_PENDING_MAX = 4096, // commands that wait for their reply, over all connections
    STORE_ADDRESSES_MAX = 16, // Sentinels, or seeds of a Cluster
    STORE_HOST_MAX = 256      // bytes of a host, the NUL included
};

struct store_address {
    char host[STORE_HOST_MAX]; // or a path that begins with '/': a Unix socket
    uint16_t port;
};

/* Everything is copied. */
struct store_options {
    const char
        *host; // or a path that begins with '/': a Unix socket; not used with sentinels or seeds
    uint16_t port;
    const char
        *password; // NULL or "": none; for every Redis, and for the Sentinels that ask for one
    uint32_t
        timeout_ms; // of one command; one that a Cluster sends elsewhere is repeated no later than that
    const struct store_address *sentinels;
    size_t sentinel_count; // 0: no Sentinel
    const char *master;    // the name under which the Sentinels know it
    const struct store_address *seeds;
    size_t seed_count; // 0: no Cluster
};

/* `reply` is NULL with any error but ERR_OK; an error reply of Redis itself is ERR_INTERNAL with its text in
 * err_text(). Borrowed until the function returns. */
typedef void store_reply_fn(void *argument, enum err err, const struct redisReply *reply);

struct store *store_new(struct event_base *base, const struct store_options *options);
/* Sends what the sockets still take, and answers what is pending with ERR_STORE_AWAY. */
void store_free(struct store *store);
/* Of a Cluster: some master is. */
bool store_is_up(const struct store *store);
/* How often a connection has come up: when it grows, it may be another Redis that answers. */
uint64_t store_times_up(const struct store *store);

/* Arguments are copied; words[1] is the key. `done` may be NULL.
 *
 * WAIT counts the replicas that have what its own connection wrote. Here it counts for everything that this store has
 * answered with ERR_OK since the last WAIT, on whatever connections: the reply is the least of their counts, and it is
 * ERR_STORE_AWAY when one of the connections has been replaced since, as nobody can tell any more. */
void store_command(struct store *store, store_reply_fn *done, void *argument, size_t count,
                   const char *const *words, const size_t *sizes);

/* Answer `done` with ERR_OK and no reply from the loop: for a question that needs no Redis but whose answer, like
 * every other, must not come from inside of the asking. */
void store_later(struct store *store, store_reply_fn *done, void *argument);

/* A Lua script, owned by the store. Redis loads it at each connect (SCRIPT LOAD tells its SHA-1); where Redis has
 * forgotten it since, it is sent whole. The same text gives the same script; `text` is borrowed for ever. */
struct store_script;
struct store_script *store_add_script(struct store *store, const char *text);

/* `words` are the keys, at least one and all in one slot, then the arguments. */
void store_eval(struct store *store, struct store_script *script, store_reply_fn *done,
                void *argument, size_t key_count, size_t count, const char *const *words,
                const size_t *sizes);

#endif
