/* scheduler/features/search/keeper.h -- what a worker does to one index: orders, in their order.
 *
 * The loop makes orders of what a follower tells and hands some to the worker; the worker carries them out until its slice is over,
 * and hands the rest back. Thread: one at a time, the loop or the worker; a job's border is between them. */
#ifndef SCHEDULER_FEATURES_SEARCH_KEEPER_H
#define SCHEDULER_FEATURES_SEARCH_KEEPER_H

#include "scheduler/features/search/corpus.h"

enum keeper_kind {
    KEEPER_RESET,    // all of it comes again
    KEEPER_SETTINGS, // text, or NULL: there is no index
    KEEPER_PUT,
    KEEPER_DROP,
    KEEPER_MARK // what came before is `version`; text: the token of its change, where documents were told
};

struct keeper_order {
    struct keeper_order *next;
    enum keeper_kind kind;
    uint64_t version;
    size_t id_size, text_size;
    char *text; // NULL: none
    char id[];  // then the text
};

struct keeper_orders {
    struct keeper_order *first, **last;
    size_t bytes;
};

struct keeper {
    struct corpus_tools tools;
    const struct redisearch_place *place; // NULL: there is none for this index
    struct corpus *corpus, *coming;       // coming: since a reset, until the next mark
    struct corpus *leaving;               // what it has replaced, until it is freed
    bool is_reset;
    uint64_t version; // of `corpus`; 0: there is no index, or nothing of it yet
    uint64_t refused; // records that could not be taken
    struct corpus_status
        status;    // of `corpus`, after keeper_work(): a question may change it meanwhile
    bool restless; // a change of settings is under way, or something is left to free
};

void keeper_orders_init(struct keeper_orders *orders);
void keeper_orders_add(struct keeper_orders *orders, enum keeper_kind kind, const char *id,
                       size_t id_size, const char *text, size_t text_size, uint64_t version);
void keeper_orders_free(struct keeper_orders *orders);

/* Until the orders are done, or about `slice_ns` have passed. */
void keeper_work(struct keeper *keeper, struct keeper_orders *orders, uint64_t slice_ns);
void keeper_fini(struct keeper *keeper);

#endif
