/* node/model/bert.h -- an encoder: texts in, one vector or one score each; loaded and checked once, then immutable.
 *
 * GGUF's architecture `bert` as llama.cpp writes it: learned positions, post-norm blocks with biases, attention over the
 * whole text, gelu. `bert.pooling_type` says what a text's vector is: 1 the mean of its tokens' states, 2 the state of
 * its first token, 4 (rank) none. A file with `cls.output` scores pairs: first token, through `cls` and
 * tanh where it is there, to one value. Matrices may have any type of kernels/quant.h; quantised ones take
 * quantised activations, as in a decoder.
 *
 * The numbers of a text depend on that text alone: not on its company in the step, nor on the threads, nor on the rung,
 * for all products go through the exact kernels (docs/numerics.md).
 *
 * Thread: load in one thread; read by any. */
#ifndef NODE_MODEL_BERT_H
#define NODE_MODEL_BERT_H

#include "kernels/pack.h"

#include "base/digest.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bert;
struct buf;
struct ops;
struct team;

enum {
    BERT_HEAD_DIM_MAX = 256,
    BERT_CONTEXT_MAX = 1 << 14
};

/* bert.pooling_type */
enum bert_pooling {
    BERT_POOL_MEAN = 1,
    BERT_POOL_FIRST = 2,
    BERT_POOL_RANK = 4
};

struct bert_shape {
    char name[128]; // general.name, or the file's stem
    uint32_t layer_count;
    uint32_t context_length; // as trained, or less by bert_options.context_max
    uint32_t position_count; // as trained
    uint32_t vocab_size;
    uint32_t type_count; // of token types; 0: the file has none
    uint32_t dim;
    uint32_t ffn_dim;
    uint32_t head_count;
    uint32_t head_dim; // dim / head_count
    float norm_epsilon;
    enum bert_pooling pooling;
    bool scores; // has a classification head
};

struct bert_options {
    const struct ops *ops; // the rung; outlives the model
    struct team *team;     // for packing in parallel
    enum float_gemm float_gemm;
    uint32_t context_max; // limits shape.context_length; 0: as trained
    /* NULL, or told now and then, by the loading thread, how many of the file's bytes are done. */
    void (*progress)(void *argument, uint64_t done, uint64_t total);
    void *progress_argument;
};

/* ERR_IO, ERR_FORMAT, ERR_UNSUPPORTED, ERR_NO_MEMORY, each with the field, tensor or size by name. */
enum err bert_load(struct bert **out, const char *path, const struct bert_options *options);
void bert_free(struct bert *bert);

const struct bert_shape *bert_shape(const struct bert *bert);
/* Of the whole file's bytes. */
const struct digest *bert_digest(const struct bert *bert);
/* Of the numerics contract as this model is run. */
const struct digest *bert_numerics(const struct bert *bert);
/* The text pack's bytes (base/gguf.h: gguf_write_pack), kept from load. */
const struct buf *bert_pack(const struct bert *bert);

/* The encoder at work: scratch for steps of many texts. One owner, the team's leader. */
struct bert_run;

struct bert_text {
    const int32_t *ids; // [count], each in [0, vocab_size); count in 1..context_length
    uint32_t count;
    uint32_t segment; // from this place on the tokens are of type 1; 0: all are of type 0
    bool scores;      // wants its score; else its vector
};

struct bert_limits {
    uint32_t rows_max;  // tokens of one step
    uint32_t texts_max; // of one step
};

/* ERR_NO_MEMORY. */
enum err bert_run_new(struct bert_run **out, const struct bert *bert, struct team *team,
                      const struct bert_limits *limits);
void bert_run_free(struct bert_run *run);

/* Limits are the caller's promise. */
void bert_step(struct bert_run *run, const struct bert_text *texts, size_t count);
/* Of text `index` of the step, valid until the next: its vector, [dim], of unit length (0 where all of it is 0); or
 * its score, [1]. */
const float *bert_answer(const struct bert_run *run, size_t index);

#endif
