/* node/engine/scans.h -- the searches among vectors (SCAN): who waits, and those that are walked for now.
 *
 *      waiting (queue.h) ── up to ENGINE_SCANS at once ──> walking ── a rest every ENGINE_SCAN_BYTES ──> answered
 *
 * A search has no ids and needs no blocks of the KV pool, so it does not wait behind prompts that do: the room has a queue
 * of its own, with the same classes, tenants, weights and bounds as batch.h's, in which a search costs by the rows that it
 * looks at. Between two steps the engine lets the walk go on for ENGINE_SCAN_BYTES of rows, a few milliseconds, so
 * that a search of millions of rows holds nobody's next id up for longer.
 *
 * What walks is a table of functions (node/scanner.h, a fake in tests). Thread: the engine's. */
#ifndef NODE_ENGINE_SCANS_H
#define NODE_ENGINE_SCANS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scans;
struct seq;

enum {
    ENGINE_SCANS = 8,
    ENGINE_SCAN_BYTES = 128 << 20,
    ENGINE_SCAN_ROWS = 1024 // that cost as much as an id of a prompt
};

/* Who compares queries with rows. Its owner keeps it alive while the engine runs. */
struct engine_scanner {
    void *self;
    /* Search for these, of which seq->scan and seq->list say what; no walk is under way. */
    void (*begin)(void *self, struct seq *const *seqs, size_t count);
    /* Go on for about `bytes` of rows. True: it is done. */
    bool (*go_on)(void *self, uint64_t bytes);
    /* seqs[index] goes away in the middle: nothing of it is touched again. */
    void (*leave)(void *self, size_t index);
    /* Of a walk that is done: fill seq->answer of seqs[index]. */
    void (*answer)(void *self, size_t index, struct seq *seq);
};

struct scans_limits {
    uint32_t waiting_max;
    uint32_t tenants_max; // 0: QUEUE_TENANTS
};

struct scans *scans_new(const struct scans_limits *limits, const struct engine_scanner *scanner);
/* Must be empty. */
void scans_free(struct scans *scans);

/* ERR_BUSY: the waiting room is full. */
enum err scans_add(struct scans *scans, struct seq *seq);
/* By ticket, waiting or walked for; NULL: there is none. */
struct seq *scans_find(const struct scans *scans, uint64_t ticket);
/* Take it out, wherever it is. */
void scans_remove(struct scans *scans, struct seq *seq);
/* A waiting one whose deadline has passed, taken out; NULL: no more. */
struct seq *scans_expire(struct scans *scans, uint64_t now_ns);
/* Any one, to empty it at the end; NULL: empty. */
struct seq *scans_any(const struct scans *scans);

/* Walk for a while. False: there is nothing to walk for. Those that it was done for are taken next. */
bool scans_turn(struct scans *scans);
/* One that is answered, taken out and in DECODE; NULL: no more. */
struct seq *scans_done(struct scans *scans);

uint32_t scans_running(const struct scans *scans);
uint32_t scans_waiting(const struct scans *scans);

#endif
