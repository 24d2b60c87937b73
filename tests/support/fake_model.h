/* tests/support/fake_model.h -- an engine backend that a test can reason about, on a real KV pool.
 *
 * Its "keys and values" are the ids themselves, written into the pool's blocks; the logits of a row are a hash of
 * all ids that it reads back through its table, from the first to its own. A block that is lost, shared by mistake
 * or written at the wrong place changes every id that follows. A vector is of the same hash; of a whole prompt, which has
 * no table, its slice's ids are hashed. It also checks what forward.h asks of a caller. */
#ifndef TESTS_SUPPORT_FAKE_MODEL_H
#define TESTS_SUPPORT_FAKE_MODEL_H

#include "node/engine/engine.h"

#include <stdint.h>

struct kv_pool;

enum {
    FAKE_MODEL_VOCAB = 200,
    FAKE_MODEL_VECTOR = 8
};

struct fake_model {
    struct kv_pool *pool;
    float *logits; // [rows_max][FAKE_MODEL_VOCAB]
    uint32_t rows_max;
    uint32_t tokens_max; // most rows of a step so far
    uint64_t steps;
    uint64_t rows;         // computed so far
    uint64_t drafts;       // rows of logits beyond one of a slice
    uint32_t memory;       // logits are of the last so many ids alone: answers repeat; 0: of all
    uint64_t *hashes;      // [rows_max] of the rows asked for
    uint32_t whole_slices; // that came without a table
    int32_t refuses;       // an id: what ends in it gets an error for an answer; -1: none
    int32_t broken_after;  // an id: rows that end in it have a NaN among their logits; -1: none
};

/* A pool of `block_count` blocks of its shape. */
struct kv_pool *fake_model_pool(uint32_t block_count);
void fake_model_init(struct fake_model *fake, struct kv_pool *pool, uint32_t rows_max);
void fake_model_fini(struct fake_model *fake);
struct engine_backend fake_model_backend(struct fake_model *fake);

#endif
