/* node/engine/step.h -- one step, as it is planned: rows of many sequences, and what they will cost.
 *
 * Slice i is of seqs[i]. Its `logit_count` is 1 where an id is to be sampled, and 1 more for each draft: rows for
 * guessed ids behind the sequence's last one, which count only when what is drawn before them is what was guessed. */
#ifndef NODE_ENGINE_STEP_H
#define NODE_ENGINE_STEP_H

#include "node/engine/pace.h"
#include "node/model/forward.h"

#include <stddef.h>
#include <stdint.h>

struct seq;

struct batch_step {
    struct forward_slice *slices; // [count], room for as many as can run
    struct seq **seqs;            // [count]
    size_t count;
    uint32_t rows;
    uint32_t drafts;       // of the rows
    uint32_t preempted;    // sequences that lost their blocks for this step
    struct pace_step cost; // what its time depends on
};

#endif
