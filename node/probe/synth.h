/* node/probe/synth.h -- GGUF files of real models' shapes with random weights, for measurements.
 *
 * What a step costs depends on the shape and on the weights' format, not on what the weights say. A file made here has
 * the hyper-parameters of a published model, a tokenizer that any reader of GGUF accepts (byte-level pairs whose
 * merges make words of letters, the control pieces and the ChatML template of Qwen), and weights about normal with a
 * deviation of SYNTH_SPREAD. The K-quant mixes choose each tensor's type as published files do: more bits for some
 * layers' attn_v and ffn_down and for the embedding, and 32-block types where a row is no multiple of 256.
 *
 * Everything follows from the seed. A file is streamed: never more than one row block is held.
 * Thread: any; nothing is shared. */
#ifndef NODE_PROBE_SYNTH_H
#define NODE_PROBE_SYNTH_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gguf_writer;
struct rand;

enum {
    SYNTH_PIECES_LEAST = 512 // of a vocabulary: bytes, control pieces and a few words
};

#define SYNTH_SPREAD 0.02F

/* A decoder's shape; its head is its embedding. */
struct synth_shape {
    const char *name;         // as --shape says it
    const char *architecture; // "qwen2": biases of q, k and v; "qwen3": norms of q and k
    uint32_t layer_count;
    uint32_t dim;
    uint32_t head_count, kv_head_count, head_dim;
    uint32_t ffn_dim;
    uint32_t vocab_size; // at least SYNTH_PIECES_LEAST
    uint32_t context_length;
    float rope_base;
    float norm_epsilon;
};

/* Write the file at `path`, from its beginning. `type` is a name of synth_types(). ERR_INVALID names a type that is
 * none, ERR_FORMAT a width of no whole blocks, ERR_IO. A failure may leave a part of the file. */
enum err synth_write(const char *path, const struct synth_shape *shape, const char *type,
                     uint64_t seed);

/* Known shapes and types, ended by a NULL name and by NULL. */
const struct synth_shape *synth_shapes(void);
const char *const *synth_types(void);

/* Parts of synth_write(), each in a file of its own. */

/* The pairs "tokenizer.*" of a vocabulary of `size` pieces (synth_vocab.c). */
void synth_write_vocab(struct gguf_writer *writer, uint32_t size);

/* The layout of a type: values and bytes of one block (synth_blocks.c). false: a type that is not drawn. */
bool synth_block(uint32_t type, uint32_t *values, uint32_t *bytes);
/* Draw `count` blocks into `out`. */
void synth_draw(uint32_t type, struct rand *rand, void *out, size_t count);

#endif
