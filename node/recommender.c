#include "node/recommender.h"

#include "node/engine/seq.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <string.h>

struct recommender {
    struct sasrec *model;
    struct sasrec_runner *runner;
    struct sasrec_request requests[RECOMMENDER_SEQUENCES];
};

enum err recommender_new(struct recommender **out, const char *path, const struct ops *ops,
                         struct team *team)
{
    struct recommender *recommender = mem_new(1, sizeof *recommender);
    enum err err = sasrec_load(&recommender->model, path, ops, team);
    if (!err) {
        uint32_t context = sasrec_shape(recommender->model)->context_length;
        struct sasrec_limits limits = {.requests_max = RECOMMENDER_SEQUENCES,
                                       .top_max = WIRE_RESULT_IDS_MAX,
                                       .ids_max = context};
        err = sasrec_runner_new(&recommender->runner, recommender->model, team, &limits);
    }
    if (err) {
        recommender_free(recommender);
        return err;
    }
    *out = recommender;
    return ERR_OK;
}

void recommender_free(struct recommender *recommender)
{
    if (!recommender) return;
    sasrec_runner_free(recommender->runner);
    sasrec_free(recommender->model);
    mem_free(recommender);
}

static void step(void *self, const struct forward_slice *slices, struct seq *const *seqs,
                 size_t count)
{
    struct recommender *recommender = self;
    must(count <= RECOMMENDER_SEQUENCES);
    for (size_t i = 0; i < count; i++) {
        const struct seq *seq = seqs[i];
        must(seq->kind == WIRE_RECOMMEND && slices[i].count == seq->prompt_length);
        recommender->requests[i] = (struct sasrec_request){
            .ids = slices[i].ids,
            .id_count = slices[i].count,
            .query = {.top_count = seq->list.top_count,
                      .excluded = seq->list.excluded,
                      .excluded_count = seq->list.excluded_count,
                      .candidates = seq->list.candidates,
                      .candidate_count = seq->list.candidate_count,
                      .allowed = seq->list.allowed,
                      .allowed_size = seq->list.allowed_size,
                      .row_begin = seq->list.row_begin,
                      .row_end = seq->list.row_end},
            .explain = seq->answer.weight_max > 0,
        };
    }
    sasrec_run(recommender->runner, recommender->requests, count);
}

static enum err answer(void *self, size_t index, struct seq *seq)
{
    const struct recommender *recommender = self;
    const struct sasrec_answer *made = sasrec_answer(recommender->runner, index);
    struct answer *out = &seq->answer;
    if (made->broken) {
        seq->note = "the user's vector is not of finite numbers";
        return ERR_INTERNAL;
    }
    out->row_count = made->hit_count;
    for (uint32_t i = 0; i < made->hit_count; i++) {
        out->rows[i] = made->hits[i].row;
        out->scores[i] = made->hits[i].score;
    }
    out->vector_size = out->vector_max;
    memcpy(out->vector, made->vector, out->vector_size * sizeof *out->vector);
    out->weight_count = out->weight_max;
    if (out->weight_count > 0)
        memcpy(out->weights, made->weights, out->weight_count * sizeof *out->weights);
    return ERR_OK;
}

struct engine_backend recommender_backend(struct recommender *recommender)
{
    return (struct engine_backend){.self = recommender,
                                   .vocab_size = sasrec_shape(recommender->model)->item_count,
                                   .whole = true,
                                   .step = step,
                                   .answer = answer};
}

const struct sasrec *recommender_model(const struct recommender *recommender)
{
    return recommender->model;
}

struct wire_model recommender_facts(const struct recommender *recommender)
{
    const struct sasrec_shape *shape = sasrec_shape(recommender->model);
    const struct buf *pack = sasrec_pack(recommender->model);
    return (struct wire_model){
        .name = {shape->name, strlen(shape->name)},
        .kinds = UINT32_C(1) << WIRE_RECOMMEND,
        .pack = digest_of(pack->data, pack->size),
        .model = *sasrec_digest(recommender->model),
        .numerics = *sasrec_numerics(recommender->model),
        .context_length = shape->context_length,
        .vocab_size = shape->item_count,
        .vector_size = shape->dim,
    };
}

uint32_t recommender_batch_tokens(const struct recommender *recommender)
{
    return RECOMMENDER_SEQUENCES * sasrec_shape(recommender->model)->context_length;
}
