/* scheduler/door/search_run.h -- one search beyond words, from its body to its answer.
 *
 *      index_search --> search_run_start --> features/search/hybrid.h says what comes next:
 *          work in the index' worker      search_run.c        the words' list; documents for the judges; fusion and answer
 *          RANKING_VECTOR                 search_vector.c     the question's vector, then the vectors of the index
 *          RANKING_RERANK                 search_rerank.c     an errand (errand.h) scores the question with each of the first documents
 *          RANKING_PERSONAL               search_personal.c   history (consent `search`) --> a recommender scores the hits
 *
 * The vectors are waited for half of the deadline, the judges until an eighth of it is left. A part that is not there then
 * is missing: the answer's `degraded` names it. What was asked for by name and is not served is an error instead, before
 * anything starts; so is a limit that is spent.
 *
 * An index' documents may change between the worker's visits: what has gone is left out of the answer.
 *
 * Thread: the loop's, but for what the worker is given: while it works, the loop only settles parts that it does not read. */
#ifndef SCHEDULER_DOOR_SEARCH_RUN_H
#define SCHEDULER_DOOR_SEARCH_RUN_H

#include "scheduler/door/choose.h"
#include "scheduler/features/search/hybrid.h"

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct corpus;
struct corpus_ranking;
struct digest;
struct door;
struct errand;
struct event;
struct history_ticket;
struct http_error;
struct index_errand;
struct vectors_ticket;

/* Texts one behind the other. */
struct search_texts {
    struct buf text;
    size_t *ends; // [count]
    size_t count;
};

/* The vectors' likeness. */
struct search_vector {
    struct chosen chosen;          // the model that the index' vectors are made by
    struct errand *errand;         // NULL: the question is not being embedded
    float *query;                  // its vector
    struct vectors_ticket *ticket; // NULL: they are not being searched
    uint64_t scan_ns;              // when that began
    struct buf allowed;            // what passes the filter, as the worker has written it
    bool is_filtered;              // it knows, or has
    bool is_wide;                  // of many, what passes is taken in the worker
    bool is_short;                 // and that was too few
    struct search_texts ids;       // of what was found, best first
    float *scores;
    bool is_partial; // not all of them could be looked at
};

/* A cross-encoder's reading. */
struct search_rerank {
    struct chosen chosen;
    struct errand *errand;              // NULL: none is under way
    uint32_t places[HYBRID_RERANK_MAX]; // [count] of its texts, in run->first
    size_t count;
};

/* The user's taste. */
struct search_personal {
    struct chosen chosen;           // the recommender
    struct history_ticket *history; // NULL: it is not being read
    bool is_read;
    int32_t *seen; // [seen_count] rows, the oldest first
    size_t seen_count;
    int32_t rows[HYBRID_PERSONAL_MAX];    // [row_count] of hits that the recommender knows
    uint32_t places[HYBRID_PERSONAL_MAX]; // and their places in run->first
    size_t row_count;
    uint64_t flight;
    bool in_air;
};

struct search_run {
    struct door *door;
    struct index_errand *errand; // whose it is
    struct hybrid hybrid;
    struct event *timer;
    uint64_t until_ns;                // for the parts of the step at hand
    uint64_t since_ns[RANKING_PARTS]; // when they began
    // The worker's, at its visits:
    unsigned work;
    double weights[RANKING_PARTS]; // as they are then
    struct corpus_ranking *ranking;
    struct ranked *first; // [first_count] what was fused before the judges
    size_t first_count;
    struct search_texts texts; // of the first that are to be reranked, "" of one that has gone
    struct search_texts ids;   // of the first HYBRID_PERSONAL_MAX of those, "" of one that has gone
    // Each part's, once it is there:
    struct ranked *lists[RANKING_PARTS]; // [counts], best first; the words' stand in `ranking`
    size_t counts[RANKING_PARTS];
    struct search_vector vector;
    struct search_rerank rerank;
    struct search_personal personal;
};

/* A search whose wishes were read. It is the errand's from now on. */
void search_run_start(struct index_errand *errand);
/* The client has gone: true when it has seen to the end of its errand. */
bool search_run_gone(struct search_run *run);
/* NULL is fine. */
void search_run_free(struct search_run *run);
/* Of an answer, the model that had the most say in its order: the cross-encoder, else the vectors' model, else the recommender. NULL: none
 * had a part in it; NULL has none. */
const struct digest *search_run_model(const struct search_run *run);

/* For its parts. The failure ends the search. */
void search_run_refuse(struct search_run *run, const struct http_error *error);
/* Put the scores of run->first's documents at `places` into the part's list, best first; equal ones as they were. */
void search_run_judge(struct search_run *run, enum ranking_part part, const uint32_t *places,
                      const double *scores, size_t count);
/* It took so long since `since_ns`. */
void search_run_observe(const struct search_run *run, const char *part, uint64_t since_ns);
/* Nothing is touched after it. */
void search_run_settle(struct search_run *run, enum ranking_part part, bool is_there);
void search_texts_init(struct search_texts *texts, size_t most);
const char *search_texts_at(const struct search_texts *texts, size_t index, size_t *size);
void search_texts_end(struct search_texts *texts); // what was added to `text` is one
void search_texts_fini(struct search_texts *texts);

/* search_vector.c. The failure where its model is named and not there. */
enum err search_vector_prepare(struct search_run *run);
void search_vector_begin(struct search_run *run);
/* In the worker, with the words: write down what passes the search's filter; then, on the loop, it has. */
enum err search_vector_filter(struct search_run *run, struct corpus *corpus);
void search_vector_filtered(struct search_run *run);
/* In the worker: the list, of the documents that are still there. Or vector.is_short: search them again. */
enum err search_vector_list(struct search_run *run, struct corpus *corpus);
void search_vector_drop(struct search_run *run);
void search_vector_fini(struct search_run *run);
/* search_rerank.c. The failure where its model is named and not there. */
enum err search_rerank_prepare(struct search_run *run, const char **code);
void search_rerank_begin(struct search_run *run);
void search_rerank_drop(struct search_run *run);
void search_rerank_fini(struct search_run *run);
/* search_personal.c: read the history, early; then begin once there are hits. */
void search_personal_prepare(struct search_run *run);
void search_personal_begin(struct search_run *run);
void search_personal_drop(struct search_run *run);
void search_personal_fini(struct search_run *run);

#endif
