#include "node/probe/decoder.h"

#include "node/engine/kv.h"

#include "kernels/cpu.h"
#include "kernels/select.h"
#include "kernels/team.h"

#include "base/mem.h"

#include <inttypes.h>

enum {
    ROWS_PRESET = 512
};

static enum err choose_ops(struct ops *ops, const char *rung)
{
    uint32_t features;
    if (rung && *rung)
        TRY(cpu_choose(rung, &features));
    else
        TRY(cpu_choose_env(&features));
    ops_select(ops, features);
    return ERR_OK;
}

static enum err build(struct decoder *d, const struct decoder_options *options)
{
    TRY(choose_ops(&d->ops, options->rung));
    TRY(team_new(&d->team, options->threads ? options->threads : team_cores()));
    struct model_options model_options = {
        .ops = &d->ops,
        .team = d->team,
        .float_gemm = options->float_gemm,
        .kv = options->kv,
        .context_max = options->context_max,
        .progress = options->progress,
    };
    TRY(model_load(&d->model, options->model, &model_options));
    const struct model_shape *shape = model_shape(d->model);
    uint32_t sequences = options->sequences_max ? options->sequences_max : 1;
    uint32_t blocks = kv_blocks_for(shape->context_length);
    if (blocks > UINT32_MAX / sequences)
        return err_note(ERR_NO_MEMORY, "%" PRIu32 " sequences of %" PRIu32 " blocks", sequences,
                        blocks);
    struct kv_shape kv_shape = {
        .layer_count = shape->layer_count,
        .kv_head_count = shape->kv_head_count,
        .head_dim = shape->head_dim,
        .block_count = blocks * sequences,
        .kind = options->kv,
    };
    TRY(kv_pool_new(&d->pool, &kv_shape));
    uint32_t rows = options->rows_max ? options->rows_max : ROWS_PRESET;
    d->limits = (struct forward_limits){
        .rows_max = rows,
        .logits_max = sequences < rows ? sequences : rows,
        .context_max = shape->context_length,
    };
    return forward_new(&d->forward, d->model, d->pool, d->team, &d->limits);
}

enum err decoder_new(struct decoder **out, const struct decoder_options *options)
{
    struct decoder *decoder = mem_new(1, sizeof *decoder);
    enum err err = build(decoder, options);
    if (err) {
        decoder_free(decoder);
        return err;
    }
    *out = decoder;
    return ERR_OK;
}

void decoder_free(struct decoder *decoder)
{
    if (!decoder) return;
    forward_free(decoder->forward);
    kv_pool_free(decoder->pool);
    model_free(decoder->model);
    team_free(decoder->team);
    mem_free(decoder);
}

static enum err check_ids(const struct decoder *decoder, const int32_t *ids, uint32_t count)
{
    uint32_t vocab_size = model_shape(decoder->model)->vocab_size;
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= vocab_size) {
            return err_note(ERR_INVALID, "id %" PRId32 " is not in 0..%" PRIu32, ids[i],
                            vocab_size - 1);
        }
    }
    return ERR_OK;
}

enum err decoder_extend(struct decoder *decoder, struct kv_table *table, const int32_t *ids,
                        uint32_t count, uint32_t chunk)
{
    uint32_t context = decoder->limits.context_max;
    if (count > context - table->token_count) {
        return err_note(ERR_TOO_LONG, "%" PRIu32 " tokens, and the context holds %" PRIu32,
                        table->token_count + count, context);
    }
    TRY(check_ids(decoder, ids, count));
    if (chunk == 0 || chunk > decoder->limits.rows_max) chunk = decoder->limits.rows_max;
    for (uint32_t at = 0; at < count;) {
        uint32_t rows = count - at < chunk ? count - at : chunk;
        struct forward_slice slice = {
            .ids = ids + at,
            .count = rows,
            .position = table->token_count,
            .table = table,
            .logit_count = at + rows == count,
        };
        TRY(kv_extend(decoder->pool, table, rows));
        forward_step(decoder->forward, &slice, 1);
        at += rows;
    }
    return ERR_OK;
}
