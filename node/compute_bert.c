#include "node/compute_parts.h"
#include "node/engine/seq.h"
#include "node/model/bert.h"
#include "node/settings.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include <string.h>

enum {
    TEXTS_LEAST = 64 // of a step: short texts are many
};

struct encoder {
    struct bert *bert;
    struct bert_run *run;
    struct bert_text *texts; // [sequences] of a step
};

static void encoder_close(void *part)
{
    struct encoder *encoder = part;
    bert_run_free(encoder->run);
    bert_free(encoder->bert);
    mem_free(encoder->texts);
    mem_free(encoder);
}

static void encoder_step(void *self, const struct forward_slice *slices, struct seq *const *seqs,
                         size_t count)
{
    struct encoder *encoder = self;
    for (size_t i = 0; i < count; i++)
        encoder->texts[i] = (struct bert_text){.ids = slices[i].ids,
                                               .count = slices[i].count,
                                               .segment = seqs[i]->segment,
                                               .scores = seqs[i]->kind == WIRE_SCORE};
    bert_step(encoder->run, encoder->texts, count);
}

static enum err encoder_answer(void *self, size_t index, struct seq *seq)
{
    const struct encoder *encoder = self;
    struct answer *answer = &seq->answer;
    memcpy(answer->vector, bert_answer(encoder->run, index),
           answer->vector_max * sizeof *answer->vector);
    answer->vector_size = answer->vector_max;
    return ERR_OK;
}

/* Whole texts need a step that holds one; and steps of few short texts would be small. */
static void set_room(struct compute_room *room, uint32_t context)
{
    if (room->batch_tokens < context) room->batch_tokens = context;
    if (room->sequences < TEXTS_LEAST) room->sequences = TEXTS_LEAST;
    if (room->sequences > room->batch_tokens) room->sequences = room->batch_tokens;
}

static enum err load(struct compute *compute, struct encoder *encoder,
                     const struct settings *settings)
{
    uint64_t said_ns = clock_now_ns();
    struct bert_options options = {
        .ops = &compute->ops,
        .team = compute->team,
        .float_gemm =
            strcmp(settings->float_gemm, "blas") == 0 ? FLOAT_GEMM_BLAS : FLOAT_GEMM_EXACT,
        .context_max = (uint32_t)settings->context,
        .progress = compute_say_progress,
        .progress_argument = &said_ns,
    };
    return bert_load(&encoder->bert, settings->model, &options);
}

enum err compute_open_bert(struct compute *compute, const struct settings *settings)
{
    struct encoder *encoder = mem_new(1, sizeof *encoder);
    compute->part = encoder;
    compute->close = encoder_close;
    TRY(load(compute, encoder, settings));
    const struct bert_shape *shape = bert_shape(encoder->bert);
    set_room(&compute->room, shape->context_length);
    TRY(compute_open_no_pool(compute));
    struct bert_limits limits = {.rows_max = compute->room.batch_tokens,
                                 .texts_max = compute->room.sequences};
    TRY(bert_run_new(&encoder->run, encoder->bert, compute->team, &limits));
    encoder->texts = mem_new(limits.texts_max, sizeof *encoder->texts);
    bool embeds = shape->pooling != BERT_POOL_RANK;
    compute->pack = bert_pack(encoder->bert);
    compute->backend = (struct engine_backend){.self = encoder,
                                               .vocab_size = shape->vocab_size,
                                               .whole = true,
                                               .step = encoder_step,
                                               .answer = encoder_answer};
    compute->facts = (struct wire_model){
        .name = {shape->name, strlen(shape->name)},
        .kinds = (uint32_t)embeds << WIRE_EMBED | (uint32_t)shape->scores << WIRE_SCORE,
        .pack = digest_of(compute->pack->data, compute->pack->size),
        .model = *bert_digest(encoder->bert),
        .numerics = *bert_numerics(encoder->bert),
        .context_length = shape->context_length,
        .vocab_size = shape->vocab_size,
        .vector_size = embeds ? shape->dim : 0,
    };
    return ERR_OK;
}
