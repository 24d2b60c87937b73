#include "tests/support/fake_model.h"

#include "node/engine/kv.h"
#include "node/engine/seq.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <math.h>

struct kv_pool *fake_model_pool(uint32_t block_count)
{
    struct kv_pool *pool = NULL;
    struct kv_shape shape = {
        .layer_count = 1, .kv_head_count = 1, .head_dim = 32, .block_count = block_count};
    must(kv_pool_new(&pool, &shape) == ERR_OK);
    return pool;
}

void fake_model_init(struct fake_model *fake, struct kv_pool *pool, uint32_t rows_max)
{
    *fake =
        (struct fake_model){.pool = pool, .rows_max = rows_max, .refuses = -1, .broken_after = -1};
    fake->hashes = mem_new(rows_max, sizeof *fake->hashes);
    fake->logits = mem_new((size_t)rows_max * FAKE_MODEL_VOCAB, sizeof *fake->logits);
}

void fake_model_fini(struct fake_model *fake)
{
    mem_free(fake->hashes);
    mem_free(fake->logits);
}

static int32_t *cell(const struct fake_model *fake, const struct kv_table *table, uint32_t position)
{
    uint32_t index = position / KV_BLOCK_TOKENS;
    must(position < table->token_count && index < table->block_count);
    int32_t *ids = kv_block_at(fake->pool, table->blocks[index], 0, 0);
    return &ids[position % KV_BLOCK_TOKENS];
}

static int32_t id_at(const struct fake_model *fake, const struct forward_slice *slice,
                     uint32_t position)
{
    return slice->table ? *cell(fake, slice->table, position) : slice->ids[position];
}

static uint64_t hash_row(const struct fake_model *fake, const struct forward_slice *slice,
                         uint32_t position)
{
    uint64_t hash = 1;
    bool all = fake->memory == 0 || fake->memory > position;
    for (uint32_t i = all ? 0 : position + 1 - fake->memory; i <= position; i++)
        hash = rand_at(hash, (uint32_t)id_at(fake, slice, i), fake->memory ? 0 : i);
    return hash;
}

static void fill_row(const struct fake_model *fake, const struct forward_slice *slice,
                     uint32_t position, uint64_t hash, float *logits)
{
    for (uint32_t id = 0; id < FAKE_MODEL_VOCAB; id++)
        logits[id] = (float)rand_unit(rand_at(hash, id, 0)) * 8;
    if (id_at(fake, slice, position) == fake->broken_after) logits[5] = NAN;
}

static uint32_t block_of(const struct forward_slice *slice, uint32_t position)
{
    return slice->table->blocks[position / KV_BLOCK_TOKENS];
}

/* No two slices write one block in one step. */
static void check_writers(const struct forward_slice *slices, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const struct forward_slice *a = &slices[i];
        for (size_t j = 0; j < i; j++) {
            const struct forward_slice *b = &slices[j];
            uint32_t from = a->position > b->position ? a->position : b->position;
            uint32_t a_end = a->position + a->count;
            uint32_t b_end = b->position + b->count;
            uint32_t end = a_end < b_end ? a_end : b_end;
            for (uint32_t at = from; a->table && b->table && at < end; at++)
                must(block_of(a, at) != block_of(b, at));
        }
    }
}

static void step(void *self, const struct forward_slice *slices, struct seq *const *seqs,
                 size_t count)
{
    struct fake_model *fake = self;
    uint32_t row = 0;
    uint32_t tokens = 0;
    check_writers(slices, count);
    for (size_t i = 0; i < count; i++) {
        const struct forward_slice *slice = &slices[i];
        must(slice->count > 0 && slice->logit_count <= slice->count);
        must(slice->hidden == (seqs[i]->kind != WIRE_GENERATE));
        if (slice->table)
            must(slice->table == &seqs[i]->table &&
                 slice->position + slice->count <= slice->table->token_count);
        else
            must(slice->position == 0 && slice->count == seqs[i]->id_count);
        fake->whole_slices += !slice->table;
        tokens += slice->count;
        fake->drafts += slice->logit_count > 1 ? slice->logit_count - 1 : 0;
        for (uint32_t at = 0; at < slice->count; at++) {
            must(slice->ids[at] >= 0 && slice->ids[at] < FAKE_MODEL_VOCAB);
            if (slice->table) *cell(fake, slice->table, slice->position + at) = slice->ids[at];
        }
        for (uint32_t at = slice->count - slice->logit_count; at < slice->count; at++) {
            must(row < fake->rows_max);
            fake->hashes[row] = hash_row(fake, slice, slice->position + at);
            fill_row(fake, slice, slice->position + at, fake->hashes[row],
                     fake->logits + (size_t)row * FAKE_MODEL_VOCAB);
            row++;
        }
    }
    if (tokens > fake->tokens_max) fake->tokens_max = tokens;
    fake->steps++;
    fake->rows += tokens;
}

static float *logits_of(void *self, size_t index)
{
    struct fake_model *fake = self;
    return fake->logits + index * FAKE_MODEL_VOCAB;
}

static enum err answer(void *self, size_t index, struct seq *seq)
{
    struct fake_model *fake = self;
    int32_t last = seq->ids[seq->id_count - 1];
    seq->answer.vector_size = seq->answer.vector_max;
    for (uint32_t i = 0; i < seq->answer.vector_max; i++)
        seq->answer.vector[i] = (float)rand_unit(rand_at(fake->hashes[index], i, 1));
    if (last == fake->broken_after) seq->answer.vector[0] = NAN;
    if (last != fake->refuses) return ERR_OK;
    seq->note = "the fake refuses";
    return ERR_UNSUPPORTED;
}

struct engine_backend fake_model_backend(struct fake_model *fake)
{
    return (struct engine_backend){.self = fake,
                                   .vocab_size = FAKE_MODEL_VOCAB,
                                   .step = step,
                                   .logits = logits_of,
                                   .answer = answer};
}
