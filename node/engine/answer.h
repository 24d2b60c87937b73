/* node/engine/answer.h -- what a sequence that does not generate is answered with, all at once, when its prompt has been
 * computed.
 *
 *      EMBED       vector    the text's, unit length unless its model says otherwise
 *      SCORE       vector    one value: the model's own score of the pair, any number
 *      RECOMMEND   rows, scores (best first; of equal scores the lower row); vector, weights where asked for
 *      SCAN        rows, scores
 *
 * The room is born with the sequence (seq.h) and sized by what was asked for, so nothing is allocated while it runs;
 * a backend's `answer` fills it. Thread: its sequence's owner. */
#ifndef NODE_ENGINE_ANSWER_H
#define NODE_ENGINE_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct answer {
    float *vector; // [vector_max]
    uint32_t vector_size;
    uint32_t vector_max;
    int32_t *rows;  // [row_max]
    float *scores;  // [row_max]
    float *weights; // [weight_max], of the prompt's ids
    uint32_t row_count;
    uint32_t row_max;
    uint32_t weight_count;
    uint32_t weight_max;
};

/* Are all numbers of it finite? */
bool answer_is_finite(const struct answer *answer);

#endif
