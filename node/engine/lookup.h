/* node/engine/lookup.h -- pure: prompt lookup. What came after the last few ids when they came before?
 *
 *      ids    ... the cat sat on the mat . then the cat sat [?]
 *                  ^^^^^^^^^^^ ----> on  the mat             the drafts: what followed the same last ids
 *
 * Two indexes, of the last LOOKUP_LONG and the last LOOKUP_SHORT ids, each a table of fixed size from a hash of the
 * ids to the place behind their latest occurrence. A hit is compared with the ids themselves, so two ids that share
 * a slot only cost a proposal. The index grows by the new ids alone, whatever the context; nothing is allocated after
 * lookup_init(). A proposal that reaches the end of the ids goes on with itself: a loop is followed round and round.
 *
 * Rates: what share of such drafts came true lately, smoothed, for each index. lookup_judge() is told of every
 * proposal, computed or not: an id that was drawn plainly is compared with the draft that would have been its.
 *
 * Thread: one owner. One lookup serves one sequence at a time. */
#ifndef NODE_ENGINE_LOOKUP_H
#define NODE_ENGINE_LOOKUP_H

#include <stddef.h>
#include <stdint.h>

enum {
    LOOKUP_LONG = 3,
    LOOKUP_SHORT = 2,
    LOOKUP_LEVELS = 2,
    LOOKUP_SLOTS = 1 << 13, // of each level
    LOOKUP_DRAFTS_MAX = 16
};

struct lookup {
    uint32_t *slots[LOOKUP_LEVELS]; // [LOOKUP_SLOTS] index of the id behind the occurrence; 0: none
    uint32_t indexed;               // ids whose occurrences are in, but for the last ones
    float rate[LOOKUP_LEVELS];      // of drafts that come true, each after the one before it did
};

/* Which ids are proposed to follow, and by which index. */
struct lookup_draft {
    int32_t ids[LOOKUP_DRAFTS_MAX];
    uint32_t count;
    uint32_t level;
};

void lookup_init(struct lookup *lookup);
void lookup_fini(struct lookup *lookup);
/* Begin with another sequence. */
void lookup_reset(struct lookup *lookup);

/* Propose at most `count` <= LOOKUP_DRAFTS_MAX ids that follow ids [0, id_count); 0 of them when the last ones have
 * not come before. Between two calls ids are only appended. */
void lookup_propose(struct lookup *lookup, const int32_t *ids, uint32_t id_count, uint32_t count,
                    struct lookup_draft *out);
/* `right` of `tried` drafts of a proposal came true, in order; those after the first wrong one were not tried. */
void lookup_judge(struct lookup *lookup, uint32_t level, uint32_t right, uint32_t tried);

#endif
