/* node/model/sasrec.h -- a sequential recommender (SASRec): what comes after these items?
 *
 *      ids of a user, oldest first -> [ item + position, norm ] -> blocks -> the newest row h -> score = h . item
 *
 * A history has 1 to context_length ids; of a longer one the newest count. The newest id takes the last position, so a
 * short history has no padding. Blocks are post-norm: causal attention, then a two-layer net with exact-erf GELU. Every row
 * of `item_embd` is scored, by one exact top-k (node/model/catalogue.h), row 0 (padding, by custom) as any other: who
 * does not want it excludes it.
 *
 * The file (GGUF architecture "sasrec"): context_length, embedding_length, block_count, feed_forward_length,
 * attention.head_count, attention.layer_norm_epsilon; tensors item_embd, position_embd, embd_norm and per block attn_q,
 * attn_k, attn_v, attn_output, attn_output_norm, ffn_up, ffn_down, layer_output_norm, all but the first two with bias.
 * `sasrec.item_ids`, an array of strings, names the rows: the text pack carries it, the node does not read it but for
 * its length. Tensors of any type of kernels/quant.h are widened to float at load.
 *
 * Arithmetic: float throughout, one chain per output (docs/numerics.md), so lists, scores and vectors are the same
 * bits at any batch size, on any number of threads, on every rung.
 *
 * Thread: a model is immutable after load; a runner has one owner, who leads the team, and allocates nothing after
 * sasrec_runner_new(). */
#ifndef NODE_MODEL_SASREC_H
#define NODE_MODEL_SASREC_H

#include "node/model/catalogue.h"

#include "base/digest.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct ops;
struct sasrec;
struct sasrec_runner;
struct team;

enum {
    SASREC_CONTEXT_MAX = 4096,
    SASREC_BLOCKS_MAX = 64,
    SASREC_FFN_MAX = 1 << 16
};

struct sasrec_shape {
    char name[128]; // general.name, or the file's stem
    uint32_t item_count;
    uint32_t dim;
    uint32_t context_length;
    uint32_t block_count;
    uint32_t ffn_dim;
    uint32_t head_count; // divides dim
    float norm_epsilon;
};

/* Is it this kind of file? False too where it cannot be read: the loader then says why. */
bool sasrec_is(const char *path);
/* ERR_IO, ERR_FORMAT, ERR_UNSUPPORTED, ERR_NO_MEMORY, each with the field, tensor or size by name. `ops` and `team`
 * outlive the model. */
enum err sasrec_load(struct sasrec **out, const char *path, const struct ops *ops,
                     struct team *team);
void sasrec_free(struct sasrec *model);

const struct sasrec_shape *sasrec_shape(const struct sasrec *model);
/* Of the whole file's bytes. */
const struct digest *sasrec_digest(const struct sasrec *model);
/* Of the numerics contract. */
const struct digest *sasrec_numerics(const struct sasrec *model);
/* The text pack's bytes. */
const struct buf *sasrec_pack(const struct sasrec *model);

struct sasrec_request {
    const int32_t *ids;           // [id_count], oldest first, each in [0, item_count)
    uint32_t id_count;            // > 0
    struct catalogue_query query; // all but its vector, which is made of the ids
    bool explain;
};

struct sasrec_answer {
    const struct best_hit *hits; // [hit_count], best first
    uint32_t hit_count;
    const float *vector; // [dim], of the user: not of unit length
    /* With explain [id_count], else NULL. weights[i] is what the list would lose without id i: the mean of the hits'
     * scores, minus their mean with the vector of the history that lacks that one id (of an only id: minus 0). Above 0:
     * it speaks for the list; below: against it. 0 for ids before the newest context_length. */
    const float *weights;
    bool broken; // the vector is not finite: no hits
};

struct sasrec_limits {
    uint32_t requests_max; // of one run, at most CATALOGUE_QUERIES_MAX
    uint32_t top_max;      // at most CATALOGUE_TOP_MAX
    uint32_t ids_max;      // of one request
};

enum err sasrec_runner_new(struct sasrec_runner **out, const struct sasrec *model,
                           struct team *team, const struct sasrec_limits *limits);
void sasrec_runner_free(struct sasrec_runner *runner);

void sasrec_run(struct sasrec_runner *runner, const struct sasrec_request *requests, size_t count);
/* Of request `index`; valid until the next run. */
const struct sasrec_answer *sasrec_answer(const struct sasrec_runner *runner, size_t index);
/* For benches: rows whose score was taken in float. */
uint64_t sasrec_scored(const struct sasrec_runner *runner);

#endif
