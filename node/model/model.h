/* node/model/model.h -- a decoder: its shape and its weights, bound and checked once, then immutable.
 *
 * model_load() reads a GGUF file, checks every hyper-parameter and every tensor (presence, dimensions,
 * type) against one table per architecture, and reads the file once: digests it and packs the matrices for the
 * machine's widest kernel, window by window, each window's pages let go when it is done. So the peak of the resident
 * memory is the packed model and one window. After a successful load the forward pass needs no checks.
 *
 * Architectures: llama, qwen2, qwen3 (GGUF's general.architecture). Formats: those of
 * kernels/quant.h; any other tensor type, and any rope scaling but none (or llama's rope_freqs tensor, which is honoured), is refused by name.
 *
 * Thread: load in one thread; read by any. */
#ifndef NODE_MODEL_MODEL_H
#define NODE_MODEL_MODEL_H

#include "kernels/attention.h"

#include "base/digest.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct ops;
struct team;

struct model_shape {
    char architecture[16];
    char name[128]; // general.name, or the file's stem
    uint32_t layer_count;
    uint32_t context_length; // as trained, or less by model_options.context_max
    uint32_t vocab_size;
    uint32_t dim; // embedding_length
    uint32_t ffn_dim;
    uint32_t head_count;
    uint32_t kv_head_count;
    uint32_t head_dim; // of keys and values; head_count * head_dim may differ from dim
    uint32_t rope_dim; // rotated part of a head
    float rope_base;
    float norm_epsilon;
    bool rope_interleaved; // llama: pairs (2i, 2i+1); the qwens: (i, i + rope_dim/2)
    bool qkv_bias;         // qwen2
    bool qk_norm;          // qwen3
    bool tied;             // the output head is the embedding
};

struct model;

enum model_float_gemm {
    MODEL_FLOAT_EXACT, // our kernels: promise 1 holds
    MODEL_FLOAT_BLAS // OpenBLAS: faster at many rows, gives promise 1 up, changes the numerics digest
};

struct model_options {
    const struct ops *ops; // the rung; outlives the model
    struct team *team;     // for packing in parallel
    enum model_float_gemm float_gemm;
    enum kv_kind kv;      // what keys and values are rounded to; in the numerics digest
    uint32_t context_max; // limits shape.context_length; 0: as trained
    /* NULL, or told now and then, by the loading thread, how many of the file's bytes are done. */
    void (*progress)(void *argument, uint64_t done, uint64_t total);
    void *progress_argument;
};

/* ERR_IO, ERR_FORMAT, ERR_UNSUPPORTED, ERR_NO_MEMORY, each with the field, tensor or size by name. */
enum err model_load(struct model **out, const char *path, const struct model_options *options);
void model_free(struct model *model);

const struct model_shape *model_shape(const struct model *model);
/* That the model was loaded for; its pool has the same. */
enum kv_kind model_kv(const struct model *model);
/* Of the whole file's bytes. */
const struct digest *model_digest(const struct model *model);
/* Of the numerics contract as this model is run (version, float_gemm, kv). */
const struct digest *model_numerics(const struct model *model);
/* The text pack's bytes (base/gguf.h: gguf_write_pack), kept from load. */
const struct buf *model_pack(const struct model *model);

#endif
