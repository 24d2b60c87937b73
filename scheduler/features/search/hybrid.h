/* scheduler/features/search/hybrid.h -- a search beyond words, as steps: which part is out, which is there, which is missing.
 *
 *                    FINDING                          JUDGING                          ANSWERING
 *      start --> words, in a worker        --> pairs are scored (rerank)   --> all lists are fused, --> ended
 *                vectors, by nodes             a user's taste (personal)       hits are written
 *
 * A part that was asked for is out until it is settled: there, or missing. A step ends when its parts are settled, and
 * what is missing then has no say in the answer, which tells so (`degraded`). Only the words may not be missing: without
 * them there is no index.
 *
 * A worker's visits are costly (others stand in the index' line), so what can be done in one is: without vectors the
 * words are ranked and the documents for the judges gathered at once, without judges the answer follows at once.
 *
 * Pure: whatever works is called through seams, and tells its end. Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_SEARCH_HYBRID_H
#define SCHEDULER_FEATURES_SEARCH_HYBRID_H

#include "scheduler/features/search/ranking.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HYBRID_LIST_LEAST = 200, // documents of each list that is fused, where there are as many
    HYBRID_PERSONAL_MAX = 200,
    HYBRID_RERANK_MAX = 100,
    HYBRID_RERANK_PRESET = 20
};

/* Ranks fused halves and halves lose to words alone where the encoder is a small one (docs/status.md); at 0.3 they do not by much, and a
 * good encoder still helps nearly as much. */
#define HYBRID_RATIO_PRESET         0.3
#define HYBRID_RERANK_WEIGHT_PRESET 2.0
#define HYBRID_PERSONAL_PRESET      0.5
/* Of the words' list where there are no words: it is the order in which documents came, and gives way to any other. */
#define HYBRID_ARRIVAL_WEIGHT       1e-4

/* What a request asks for. Texts are borrowed from it. */
struct hybrid_wishes {
    bool hybrid, rerank;             // asked for at all
    double ratio;                    // of the vectors; the words have the rest
    const char *embedder, *reranker; // models by name; NULL: whichever there is
    uint32_t rerank_depth;
    double rerank_weight;
    double personal; // weight; 0: not asked for
};

bool hybrid_is_asked(const struct hybrid_wishes *wishes);

/* What a worker does at a visit, in this order. */
enum hybrid_work {
    HYBRID_RANK = 1,   // the words' list
    HYBRID_GATHER = 2, // fuse what there is; the first documents for the judges
    HYBRID_ANSWER = 4
};

struct hybrid_seams {
    void *owner;
    /* hybrid_worked() follows, never from inside. Or the owner ends it all, also from inside: it is the last that the machine
     * does. `work`: a set of enum hybrid_work. */
    void (*work)(void *owner, unsigned work);
    /* RANKING_VECTOR, _RERANK or _PERSONAL; hybrid_settle() follows, also from inside. */
    void (*begin)(void *owner, enum ranking_part part);
    /* It is not waited for any more, and does not settle. */
    void (*drop)(void *owner, enum ranking_part part);
};

enum hybrid_state {
    HYBRID_FINDING,
    HYBRID_JUDGING,
    HYBRID_ANSWERING,
    HYBRID_ENDED
};

enum hybrid_part {
    HYBRID_OFF, // not asked for
    HYBRID_ON,  // to begin
    HYBRID_OUT,
    HYBRID_THERE,
    HYBRID_MISSING
};

struct hybrid {
    struct hybrid_seams seams;
    struct hybrid_wishes wishes;
    enum hybrid_state state;
    enum hybrid_part parts[RANKING_PARTS];
    bool has_words;
    bool begins; // parts that settle from inside are looked at afterwards
};

/* `has_words`: there is something to compare documents with; without it vectors and pairs are off. */
void hybrid_init(struct hybrid *hybrid, const struct hybrid_wishes *wishes,
                 const struct hybrid_seams *seams, bool has_words);
void hybrid_start(struct hybrid *hybrid);
void hybrid_worked(struct hybrid *hybrid);
/* Instead of it: the vectors' list was found to be too short, and they are out again. */
void hybrid_again(struct hybrid *hybrid);
/* Ignored unless it is out. */
void hybrid_settle(struct hybrid *hybrid, enum ranking_part part, bool is_there);
/* There is no more time for the parts of this step; the worker's is its own. */
void hybrid_hurry(struct hybrid *hybrid);
/* Everything that is out is dropped, and nothing follows. */
void hybrid_end(struct hybrid *hybrid);

/* Of a part in the fusion; 0: it has no say. */
double hybrid_weight(const struct hybrid *hybrid, enum ranking_part part);
/* It was asked for, and is not there. */
bool hybrid_lacks(const struct hybrid *hybrid, enum ranking_part part);

#endif
