/* scheduler/features/search/indexes.h -- the search indexes of this scheduler: copies of collections, kept by workers.
 *
 *      Redis --follower--> orders (a queue on the loop) --a slice at a time--> corpus, in a worker --> version, on the loop
 *                                                               ^
 *      searches, from the loop, stand in the same worker's line-+
 *
 * An index is the collection "index:TENANT:NAME". Every scheduler keeps all of them (INDEXES_MAX at most), found by looking at
 * Redis' list each second, or when one is asked for. A question waits until its index is caught up and has the version that
 * it wants; until then it is 503. What it is answered has at least the version that the answer says.
 *
 * An index with `backend: redisearch` is not copied: one scheduler writes it (writer.h), and the slices of all look which version is there.
 *
 * One worker has an index at a time (its lane): the corpus needs no lock. A slice of writing takes a few
 * milliseconds, so that searches get in between.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_SEARCH_INDEXES_H
#define SCHEDULER_FEATURES_SEARCH_INDEXES_H

#include "scheduler/features/search/corpus.h"
#include "scheduler/features/search/redisearch_link.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct collections;
struct event_base;
struct indexes;
struct indexes_ticket;
struct scribe;

enum {
    INDEXES_MAX = 256,
    INDEXES_NAME_MAX = 64,         // bytes of an index' name: letters, digits, '-', '_'
    INDEXES_WAITING_MAX = 256,     // questions of one index at once
    INDEXES_ORDERS_BYTES = 4 << 20 // that wait for the worker, before the follower is told to wait
};

/* Everything is borrowed for its life. */
struct indexes_options {
    struct event_base *base;
    struct collections *collections;
    struct scribe *scribe;  // the workers
    struct scribe *waiters; // those of indexes that are kept elsewhere: they wait for its answers
    struct redisearch_places places;
    struct corpus_tools tools;
    /* Told an index' settings, at first and whenever they change; NULL: there is none. NULL: nobody is. */
    void (*told)(void *owner, const char *collection, const char *settings, size_t size);
    void *owner;
};

struct indexes *indexes_new(const struct indexes_options *options);
/* After scribe_free(): nobody works any more. Who waits is told ERR_CANCELED. */
void indexes_free(struct indexes *indexes);
/* Look no more, and answer no more; before scribe_free(). */
void indexes_stop(struct indexes *indexes);

/* "index:TENANT:NAME" into `out`; ERR_INVALID: `name` (of `size` bytes) is none. */
enum err indexes_collection(char *out, size_t out_size, const char *tenant, const char *name,
                            size_t size);

/* In a worker: the corpus is its alone. Fails with a note. */
typedef enum err indexes_work_fn(void *argument, struct corpus *corpus, uint64_t version);
/* On the loop, once, never from inside of indexes_ask(): what work() gave, with its note in err_text(); or ERR_NOT_FOUND, ERR_UNAVAILABLE
 * (not caught up in time), ERR_BUSY. `version`: of the corpus then. */
typedef void indexes_done_fn(void *argument, enum err err, uint64_t version);

struct indexes_question {
    const char *collection; // copied
    uint64_t version;       // it must have this one, or a later one
    uint64_t deadline_ns;   // until when it waits for that
    indexes_work_fn *work;  // NULL: only wait
    indexes_done_fn *done;
    void *argument;
};

struct indexes_ticket *indexes_ask(struct indexes *indexes,
                                   const struct indexes_question *question);
/* The answer is not wanted any more: done() is not called. While its work() runs, its argument is still in use: `gone` is called
 * with the argument when it is not. */
void indexes_drop(struct indexes_ticket *ticket, void (*gone)(void *argument));
/* There may be news of this collection: it was just written. `indexes` may be NULL. */
void indexes_kick(struct indexes *indexes, const char *collection);
/* It was just deleted: it is asked no more, though the copy does not know yet. */
void indexes_forget(struct indexes *indexes, const char *collection);

/* Whether an index of this name may have `backend: redisearch`. */
bool indexes_have_place(const struct indexes *indexes, const char *collection);

/* For metrics and tests. */
size_t indexes_count(const struct indexes *indexes);

#endif
