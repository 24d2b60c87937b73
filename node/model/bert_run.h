/* node/model/bert_run.h -- what a step of an encoder works on, for bert.c and bert_attend.c alone.
 *
 * R = rows_max and T = texts_max of the limits. */
#ifndef NODE_MODEL_BERT_RUN_H
#define NODE_MODEL_BERT_RUN_H

#include "node/model/bert.h"

#include "kernels/matmul.h"

/* A text of the step. */
struct bert_place {
    struct bert_text text;
    uint32_t row; // of its first token
};

/* Some queries of a text: with a head, what a thread takes at once of attention. */
struct bert_span {
    uint32_t place; // index of the text
    uint32_t first; // of its tokens
    uint32_t count;
};

/* What a thread works on: a head of a text. N = context_length, H = head_dim, padded to 16, Q = BERT_QUERIES. */
struct bert_lane {
    float *keys;   // [N / 16][H][16] packed, padded with zeros
    float *values; // [H / 16][N][16] packed
    float *q;      // [Q][head_dim], scaled
    float *scores; // [Q][N]
    float *sums;   // [Q] of a row of scores, inverted
    float *mix;    // [Q][head_dim]
    float *row;    // [dim]
};

enum {
    BERT_QUERIES = 128
};

struct bert_run {
    const struct bert *bert;
    const struct ops *ops;
    struct team *team;
    struct bert_limits limits;
    struct bert_place *places; // [T]
    struct bert_span *spans;   // [R / BERT_QUERIES + T]
    size_t text_count, row_count, span_count;

    struct matmul_acts acts;
    float *x;                // [R, dim] the stream
    float *y;                // [R, dim] what is added to it
    float *q;                // [R, dim]
    float *k;                // [R, dim]
    float *v;                // [R, dim]
    float *mixed;            // [R, dim]
    float *up;               // [R, ffn_dim]
    float *answers;          // [T, dim]
    struct bert_lane *lanes; // [threads]

    void *memory;
    size_t memory_size;
};

/* Cut the texts of the step into spans. */
void bert_cut_spans(struct bert_run *run);
/* Attention of every text over itself: q, k, v into mixed. */
void bert_attend(struct bert_run *run);

#endif
