/* scheduler/features/search/indexes_parts.h -- what the files of the indexes share: indexes.c has the entries and their slices,
 * indexes_ask.c the questions. */
#ifndef SCHEDULER_FEATURES_SEARCH_INDEXES_PARTS_H
#define SCHEDULER_FEATURES_SEARCH_INDEXES_PARTS_H

#include "scheduler/features/collection.h"
#include "scheduler/features/search/indexes.h"
#include "scheduler/features/search/keeper.h"
#include "scheduler/features/search/writer.h"
#include "scheduler/scribe.h"

struct index_entry;

/* One question on its way. */
struct indexes_ticket {
    struct indexes_ticket *next, *previous; // of its entry's
    struct index_entry *entry;
    struct indexes_question question;
    bool at_work;
    void (*gone)(void *argument); // it was dropped
    bool dropped;
    // Of work():
    enum err err;
    uint64_t version;
    char note[ERR_NOTE_MAX];
};

/* After a deletion the copy is not believed before the follower has begun anew, and been carried out. */
enum doubt {
    DOUBT_NONE,
    DOUBT_UNTIL_RESET,
    DOUBT_UNTIL_MARK
};

struct index_entry {
    struct index_entry *next;
    struct indexes *indexes;
    char name[COLLECTION_NAME_MAX + 1];
    size_t lane;
    struct scribe *scribe; // whose worker has it
    size_t jobs;           // of it
    struct follower *follower;
    struct writer writer;
    struct corpus_status status;  // after the latest slice
    uint64_t look_ns;             // when one that is kept elsewhere is looked at again
    struct keeper keeper;         // the worker's while it is at work
    struct keeper_orders waiting; // the loop's
    struct keeper_orders orders;  // the worker's
    bool at_work;                 // a slice is
    bool is_known;                // a mark has been reached
    bool gone;                    // there is no such index
    bool removed;                 // it was deleted here, which the follower has yet to see
    enum doubt doubt;
    uint64_t written_ns; // here, last, and not deleted since
    uint64_t version;    // reached
    bool restless;
    struct indexes_ticket tickets; // head of a ring
    size_t ticket_count;
};

struct indexes {
    struct indexes_options options;
    struct index_entry *entries;
    size_t count, lanes;
    struct event *timer;
    uint64_t list_ns;
    bool listing, stopped;
    bool is_over; // freed, but for a list that is still to be answered
};

/* The entry of a collection, a new one where there is none; NULL: there are INDEXES_MAX. */
struct index_entry *indexes_open(struct indexes *indexes, const char *name);
/* A job for the worker that has the index, one of its `jobs` until it is done. False: not now. */
bool indexes_submit(struct index_entry *entry, scribe_fn *work, scribe_fn *done, void *argument);
/* Its version can be believed, and that there is none. */
bool indexes_is_sure(const struct index_entry *entry);
/* Answer whoever waits and can be answered; one with a failure. */
void indexes_serve(struct index_entry *entry);
void indexes_refuse(struct indexes_ticket *ticket, enum err err, const char *note);

#endif
