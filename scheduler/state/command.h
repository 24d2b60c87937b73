/* scheduler/state/command.h -- one question to Redis, kept with its words until it is answered.
 *
 * A command stands in one list at a time: those that a connection has sent (store_link.h), those that wait for a
 * better moment of the Cluster (store_cluster.h), or those whose failure waits to be told from the loop (store.c).
 * Whoever takes it from there answers it or puts it into another.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_STATE_COMMAND_H
#define SCHEDULER_STATE_COMMAND_H

#include "scheduler/state/store.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    COMMAND_WORDS_MAX = 64
};

struct store_script {
    const char *text;
    char sha1[41]; // "" until a Redis has told it
    struct store_script *next;
};

struct command {
    struct command *next, *previous;
    struct store_link *link; // it was sent there last
    store_reply_fn *done;    // may be NULL
    void *argument;
    uint64_t deadline_ns; // it is not sent again after that
    uint64_t late_ns;     // its reply is late then
    enum err failure;     // when there is no reply
    unsigned redirects;
    bool settles;                // a WAIT: its end settles the link (store_link_settle())
    int slot;                    // of its keys; -1: it has none
    struct store_script *script; // NULL: the words are the command
    bool whole;                  // send the script's text, not its SHA-1
    size_t key_count, count;
    const char **words; // `count` of them, each with a NUL behind it; owned, as `sizes` is
    size_t *sizes;
};

/* `sizes` may be NULL: the words are texts. No deadline, script or slot yet. */
struct command *command_new(store_reply_fn *done, void *argument, size_t count,
                            const char *const *words, const size_t *sizes);
void command_free(struct command *command);
/* Free it and tell who asked. */
void command_answer(struct command *command, enum err err, const struct redisReply *reply);

/* What goes to Redis: its words, or EVALSHA (EVAL), what to evaluate, the count of keys, its words. `words` and `sizes`
 * have COMMAND_WIRE_MAX places, `number` keeps one of the words. The count of words. */
enum {
    COMMAND_WIRE_MAX = COMMAND_WORDS_MAX + 3,
    COMMAND_NUMBER_SIZE = 24
};

size_t command_wire(const struct command *command, const char **words, size_t *sizes,
                    char number[COMMAND_NUMBER_SIZE]);

/* Lists: the head is a command whose other fields are not used. */
void command_list_init(struct command *head);
void command_list_add(struct command *head, struct command *command);
void command_list_remove(struct command *command);
/* Take the first one; NULL when there is none. */
struct command *command_list_take(struct command *head);
bool command_list_is_empty(const struct command *head);

#endif
