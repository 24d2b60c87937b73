#include "node/compute_parts.h"
#include "node/engine/seq.h"
#include "node/model/forward.h"
#include "node/model/model.h"
#include "node/settings.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

struct decoder {
    struct model *model;
    struct forward *forward;
};

static void decoder_close(void *part)
{
    struct decoder *decoder = part;
    forward_free(decoder->forward);
    model_free(decoder->model);
    mem_free(decoder);
}

static void decoder_step(void *self, const struct forward_slice *slices, struct seq *const *seqs,
                         size_t count)
{
    (void)seqs; // ids, positions and tables are all that a transformer reads
    struct decoder *decoder = self;
    forward_step(decoder->forward, slices, count);
}

static float *decoder_logits(void *self, size_t index)
{
    struct decoder *decoder = self;
    return forward_logits(decoder->forward, index);
}

/* EMBED: the last token's state, of unit length. One chain in double; zeros stay zeros. */
static enum err decoder_answer(void *self, size_t index, struct seq *seq)
{
    struct decoder *decoder = self;
    const float *hidden = forward_hidden(decoder->forward, index);
    struct answer *answer = &seq->answer;
    double squares = 0;
    for (uint32_t i = 0; i < answer->vector_max; i++)
        squares += (double)hidden[i] * (double)hidden[i];
    double factor = squares > 0 ? 1 / sqrt(squares) : 0;
    for (uint32_t i = 0; i < answer->vector_max; i++)
        answer->vector[i] = (float)((double)hidden[i] * factor);
    answer->vector_size = answer->vector_max;
    return ERR_OK;
}

static enum err load_model(struct compute *compute, struct decoder *decoder,
                           const struct settings *settings)
{
    uint64_t said_ns = clock_now_ns();
    struct model_options options = {
        .ops = &compute->ops,
        .team = compute->team,
        .float_gemm =
            strcmp(settings->float_gemm, "blas") == 0 ? MODEL_FLOAT_BLAS : MODEL_FLOAT_EXACT,
        .kv = strcmp(settings->kv, "int8") == 0 ? KV_INT8 : KV_F16,
        .context_max = (uint32_t)settings->context,
        .progress = compute_say_progress,
        .progress_argument = &said_ns,
    };
    return model_load(&decoder->model, settings->model, &options);
}

enum err compute_open_decoder(struct compute *compute, const struct settings *settings)
{
    struct decoder *decoder = mem_new(1, sizeof *decoder);
    compute->part = decoder;
    compute->close = decoder_close;
    TRY(load_model(compute, decoder, settings));
    const struct model_shape *shape = model_shape(decoder->model);
    const struct digest *digest = model_digest(decoder->model);
    struct kv_shape kv_shape = {.layer_count = shape->layer_count,
                                .kv_head_count = shape->kv_head_count,
                                .head_dim = shape->head_dim,
                                .root = compute_root(digest),
                                .kind = model_kv(decoder->model)};
    uint32_t context = shape->context_length;
    TRY(compute_open_pool(compute, &kv_shape, settings, &context));
    struct forward_limits limits = {.rows_max = compute->room.batch_tokens,
                                    .logits_max = settings_logits(settings),
                                    .context_max = context};
    TRY(forward_new(&decoder->forward, decoder->model, compute->pool, compute->team, &limits));
    bool embeds = shape->dim <= WIRE_VECTOR_MAX;
    compute->pack = model_pack(decoder->model);
    compute->paced = true;
    compute->backend = (struct engine_backend){.self = decoder,
                                               .vocab_size = shape->vocab_size,
                                               .step = decoder_step,
                                               .logits = decoder_logits,
                                               .answer = decoder_answer};
    compute->facts = (struct wire_model){
        .name = {shape->name, strlen(shape->name)},
        .kinds = UINT32_C(1) << WIRE_GENERATE | (uint32_t)embeds << WIRE_EMBED,
        .pack = digest_of(compute->pack->data, compute->pack->size),
        .model = *digest,
        .numerics = *model_numerics(decoder->model),
        .context_length = context,
        .vocab_size = shape->vocab_size,
        .vector_size = embeds ? shape->dim : 0,
    };
    return ERR_OK;
}
