/* scheduler/policy/sealer_parts.h -- what the sealer's three files share. */
#ifndef SCHEDULER_POLICY_SEALER_PARTS_H
#define SCHEDULER_POLICY_SEALER_PARTS_H

#include "scheduler/policy/sealer.h"
#include "scheduler/scribe.h"

#include "base/buf.h"
#include "base/ledger_file.h"

#include <stdbool.h>

struct lock;
struct redisReply;
struct store_script;

enum {
    SEALER_ENTRY_SIZE = 48 // of a stream's entry id, as text
};

/* What Redis knows, as one look tells it. */
struct sealer_facts {
    struct sealer_state state;
    char last[SEALER_ENTRY_SIZE];
    uint64_t asks, served;
    int64_t now_ms;
};

/* A chain whose scheduler was not heard of. */
struct sealer_lost {
    char chain[LEDGER_CHAIN_SIZE + 1];
    char seen[SEALER_ENTRY_SIZE]; // what Redis has of it, word by word
};

/* One file on its way. */
struct sealer_run {
    struct sealer_facts facts;
    struct sealer_lost *lost;
    size_t lost_count;
    struct buf lines; // records, and the stream's entry of the last
    size_t records;
    char last[SEALER_ENTRY_SIZE];
    bool partial;            // there are more records than one file takes
    struct ledger_seal seal; // of the file
    size_t removed;          // old files
    int64_t before_ms;       // that are older
    enum err err;            // of the worker's part, with its note
    char note[ERR_NOTE_MAX];
};

struct sealer {
    struct sealer_options options;
    struct lock *lock; // NULL: there is no folder
    struct store_script *look, *commit;
    struct event *timer;
    struct ledger_seal newest; // of the folder; known once it was read
    bool knows_newest;
    struct sealer_state seen;
    bool busy, stopped;
    uint64_t rest_until_ns; // after a failure
    uint32_t days;
    char failure[ERR_NOTE_MAX];
    struct sealer_run run;
    struct sealer_ticket *tickets;
};

/* Read an answer of the look; `chains` (or NULL) gets the reply's list of them. False: it is none. */
bool sealer_read_facts(const struct redisReply *reply, struct sealer_facts *out,
                       const struct redisReply **chains);
/* Ask for it; with the chains or without. */
typedef void sealer_reply_fn(void *argument, enum err err, const struct redisReply *reply);
void sealer_send_look(struct sealer *sealer, bool chains, sealer_reply_fn *done, void *argument);
extern const char sealer_commit_text[];

/* The run ends: as it should; or with a note of what went wrong. What was done stays, and the next run goes on from there: here, or where
 * another scheduler's folder is right. */
void sealer_end_run(struct sealer *sealer);
void sealer_fail(struct sealer *sealer, enum err err, const char *note);
/* A worker's part begins; it says by sealer_keep_err() what came of it. False: it did not begin, and the run has ended. */
bool sealer_submit(struct sealer *sealer, scribe_fn *work, scribe_fn *done);
void sealer_keep_err(struct sealer *sealer, enum err err);
/* What a step gave, if the sealer still is what it was; false: the run has ended. */
bool sealer_goes_on(struct sealer *sealer, enum err err, const char *note);
/* From the run's records to the file, and the run's end. */
void sealer_make_file(struct sealer *sealer);
/* The tickets that are open, at each tick. */
void sealer_tick_tickets(struct sealer *sealer);
void sealer_end_tickets(struct sealer *sealer);

#endif
