/* node/engine/draft.h -- pure: how many drafted ids are worth a row of the next step.
 *
 * A row for a draft is cheap while reading the weights is what a step waits for, and dear in a full batch. What it
 * brings is the chance that its id, and all before it, come true. Rows are taken in the order of that chance, and as
 * many as make the most ids per millisecond, by the step's prediction; none unless they make clearly more than the
 * plain step. Output bytes do not depend on it.
 *
 * Thread: any. */
#ifndef NODE_ENGINE_DRAFT_H
#define NODE_ENGINE_DRAFT_H

#include "node/engine/pace.h"

#include <stddef.h>
#include <stdint.h>

struct draft_offer {
    uint32_t count;    // drafts that there are
    uint32_t position; // of the first one
    float rate;        // chance that a draft comes true when the one before it did
    uint32_t taken;    // of them, what the step shall have: the answer
};

/* Set `taken` of each offer; their sum is at most `rows_max`. Without a pace (NULL) every draft is worth it. `plain` is the step without drafts, of which every
 * sequence makes one id (`sequences` of them). Returns the sum. */
uint32_t draft_choose(const struct pace *pace, const struct pace_step *plain, uint32_t sequences,
                      struct draft_offer *offers, size_t offer_count, uint32_t rows_max);

#endif
