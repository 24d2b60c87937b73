/* scheduler/features/search/redisearch_link.h -- the way to the Redis that holds one index (RediSearch), for a worker.
 *
 * A worker waits for its answers, each at most as long as redisearch_link_open() says. What has failed is closed, and not tried again for
 * REDISEARCH_PAUSE_MS: who asks meanwhile is told so at once, so that an absent server costs nobody's time.
 *
 * Thread: one at a time. */
#ifndef SCHEDULER_FEATURES_SEARCH_REDISEARCH_LINK_H
#define SCHEDULER_FEATURES_SEARCH_REDISEARCH_LINK_H

#include "scheduler/state/store.h"

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct redisReply;
struct redisearch_link;

enum {
    REDISEARCH_PAUSE_MS = 500,
    REDISEARCH_CONNECT_MS = 300
};

/* Where an index is: one Redis for each. */
struct redisearch_place {
    const char *collection; // "index:TENANT:NAME"
    struct store_address address;
    const char *password; // NULL or "": none
};

enum {
    REDISEARCH_PLACES_MAX = 32
};

struct redisearch_places {
    const struct redisearch_place *items; // borrowed
    size_t count;
};

/* NULL: there is none for this collection. */
const struct redisearch_place *redisearch_find(const struct redisearch_places *places,
                                               const char *collection);

/* The place is borrowed for its life; NULL: this scheduler knows of none. Nothing is connected yet. */
struct redisearch_link *redisearch_link_new(const struct redisearch_place *place);
void redisearch_link_free(struct redisearch_link *link);

/* What was sent is answered no more. */
void redisearch_link_reset(struct redisearch_link *link);
/* Connected, or ERR_STORE_AWAY; an answer may take so long from now on. */
enum err redisearch_link_open(struct redisearch_link *link, uint64_t timeout_ms);
/* A command behind those that were added; `sizes` NULL: the words are texts. Nothing is sent before redisearch_link_take(). */
void redisearch_link_add(struct redisearch_link *link, size_t count, const char *const *words,
                         const size_t *sizes);
/* The answer to the oldest one, freeReplyObject() it. ERR_STORE_AWAY, ERR_TIMEOUT: the link is closed, and none of the others is answered;
 * ERR_INTERNAL: the command was refused, with what Redis says in the note. */
enum err redisearch_link_take(struct redisearch_link *link, struct redisReply **out);
/* Both for one command. */
enum err redisearch_link_call(struct redisearch_link *link, struct redisReply **out, size_t count,
                              const char *const *words, const size_t *sizes);

/* A command on its way, word by word; zeroed: empty, and so it is again once it was sent. */
struct redisearch_command {
    struct buf *words;
    size_t count, capacity;
};

/* One more word, to be written; borrowed until the next one. */
struct buf *redisearch_word(struct redisearch_command *command);
void redisearch_say(struct redisearch_command *command, const char *text);
/* Some, up to a NULL. */
void redisearch_say_all(struct redisearch_command *command, const char *const *texts);

#define REDISEARCH_SAY(command, ...) \
    redisearch_say_all((command), (const char *const[]){__VA_ARGS__, NULL})

/* redisearch_link_add() it; the same and redisearch_link_take(). */
void redisearch_send(struct redisearch_link *link, struct redisearch_command *command);
enum err redisearch_ask(struct redisearch_link *link, struct redisearch_command *command,
                        struct redisReply **out);

#endif
