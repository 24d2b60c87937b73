#include "node/compute_parts.h"
#include "node/recommender.h"
#include "node/settings.h"

static void recommender_close(void *part)
{
    recommender_free(part);
}

enum err compute_open_recommender(struct compute *compute, const struct settings *settings)
{
    struct recommender *recommender;
    TRY(recommender_new(&recommender, settings->model, &compute->ops, compute->team));
    compute->part = recommender;
    compute->close = recommender_close;
    compute->facts = recommender_facts(recommender);
    if (settings->context > 0 && settings->context < compute->facts.context_length)
        compute->facts.context_length = (uint32_t)settings->context;
    // Nothing is kept from step to step: the smallest pool that an engine takes.
    struct kv_shape shape = {.layer_count = 1,
                             .kv_head_count = 1,
                             .head_dim = 8,
                             .block_count = 1,
                             .root = compute_root(&compute->facts.model)};
    TRY(kv_pool_new(&compute->pool, &shape));
    compute->pack = sasrec_pack(recommender_model(recommender));
    compute->backend = recommender_backend(recommender);
    compute->room = (struct compute_room){.batch_tokens = recommender_batch_tokens(recommender),
                                          .sequences = RECOMMENDER_SEQUENCES};
    return ERR_OK;
}
