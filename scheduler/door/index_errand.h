/* scheduler/door/index_errand.h -- one request to an index, until it is answered or its client has gone.
 *
 * What it has asked of Redis is answered all the same: an errand whose client has gone lives on without a request until then.
 * Thread: the loop's, but for what a worker is given of it. */
#ifndef SCHEDULER_DOOR_INDEX_ERRAND_H
#define SCHEDULER_DOOR_INDEX_ERRAND_H

#include "scheduler/door/context.h"
#include "scheduler/door/govern.h"
#include "scheduler/door/ndjson.h"
#include "scheduler/door/search_ask.h"
#include "scheduler/features/collection.h"
#include "scheduler/features/search/indexes.h"

#include "base/buf.h"

struct corpus;
struct corpus_ranking;
struct door;
struct http_request;
struct screen;
struct search_run;

enum {
    INDEX_WAIT_MS = 5000,    // that a write with ?wait=true waits for its version
    INDEX_LINES_MAX = 10000, // documents of one call
    INDEX_LINE_BYTES = 256 << 10,
    INDEX_SUGGEST_PRESET = 10
};

/* Who is answered in the place of a client. */
struct index_patron {
    /* In a worker: the search's list, in the place of an answer's text. */
    void (*take)(void *owner, struct corpus *corpus, const struct corpus_ranking *ranking);
    /* On the loop, once, perhaps from inside of index_search_run(); not after index_errand_leave(). */
    void (*done)(void *owner, enum err err);
    /* At the very end: no worker needs the owner any more. */
    void (*free)(void *owner);
    void *owner;
};

/* A document of a bulk write, and its line. */
struct index_line {
    size_t line, id_at, id_size, record_at, record_size; // in `texts`
};

struct index_errand {
    struct door *door;
    struct http_request *request; // NULL: the client has gone, or there is a patron
    struct index_patron patron;   // take NULL: there is none
    struct context context;       // who asks
    struct governed governed;     // a search
    struct screen *screen;        // NULL: nothing is filtered
    struct indexes_ticket *ticket;
    char collection[COLLECTION_NAME_MAX + 1];
    char name[INDEXES_NAME_MAX + 1];
    char id[COLLECTION_ID_MAX + 1];
    bool waits;       // ?wait=true
    bool suggests;    // completions of what is typed, not hits
    uint64_t version; // that was written
    int status;       // of the answer
    struct buf answer;
    char param[SEARCH_PARAM_MAX];
    const char *code;       // of a failure; NULL: its error's own
    uint32_t retry_seconds; // of a failure
    struct search_ask ask;  // a search
    struct search_run *run; // one beyond words; NULL: none
    uint64_t start_ns;
    char primary_key[SEARCH_NAME_MAX + 1]; // a bulk write
    size_t index_bytes;
    struct ndjson_report report;
    struct index_line *lines;
    struct collection_entry *entries;
    unsigned char *fates;
    size_t count, capacity;
    struct buf texts;
};

/* Who asks, and for which index; NULL after the refusal was sent. `rest` of the path, behind the name ("" or "/…"), is borrowed.
 * `writes`: the key must have `data`. */
struct index_errand *index_errand_new(struct door *door, struct http_request *request, bool writes,
                                      const char **rest);
/* A search for a patron, of the index whose collection is named; its `ask` is to be filled in, whose texts outlive it. */
struct index_errand *index_errand_new_for(struct door *door, const struct context *context,
                                          const char *collection,
                                          const struct index_patron *patron);
/* Its client has gone, or its patron wants no answer any more. */
void index_errand_leave(struct index_errand *errand);
/* Answer with the latest failure, or with what stands in `answer`; then it is freed. */
void index_errand_fail(struct index_errand *errand, enum err err);
void index_errand_reply(struct index_errand *errand);
void index_errand_free(struct index_errand *errand);
/* Ask the index; without `work` only wait for `version`. */
void index_errand_ask(struct index_errand *errand, uint64_t version, uint64_t wait_ms,
                      indexes_work_fn *work, indexes_done_fn *done);
/* A write has been done at errand->version: reply, or wait for it first. `done` gets what the waiting gave. */
void index_errand_written(struct index_errand *errand, indexes_done_fn *done);

/* In a worker: the answer of a search, but for the brace that closes it. */
void index_search_write(struct index_errand *errand, struct corpus *corpus,
                        const struct corpus_ranking *ranking, uint64_t version);

/* Search as `ask` says: `deadline_ms` from start_ns on. */
void index_search_run(struct index_errand *errand);

/* The rest of the routes, by what follows the name. */
void index_search(struct index_errand *errand);
void index_suggest(struct index_errand *errand);
void index_documents_put(struct index_errand *errand);
void index_document_get(struct index_errand *errand, const char *id);
void index_document_delete(struct index_errand *errand, const char *id);

#endif
