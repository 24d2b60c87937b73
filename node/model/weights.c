#include "node/model/weights.h"

#include "base/gguf.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

/* Lengths that a tensor may have. */
enum {
    NONE = BIND_VECTOR,
    DIM,
    Q_DIM,
    KV_DIM,
    HEAD_DIM,
    FFN_DIM,
    VOCAB,
    ROPE_PAIRS
};

enum {
    LLAMA = 1,
    QWEN2 = 2,
    QWEN3 = 4,
    ALL = LLAMA | QWEN2 | QWEN3
};

#define TOP(field) offsetof(struct model, field)
#define PER(field) offsetof(struct layer, field)
// clang-format off
static const struct bind_rule top_rules[] = {
    {"token_embd.weight",  ALL,   false, DIM,        VOCAB, TOP(embedding)},
    {"output_norm.weight", ALL,   false, DIM,        NONE,  TOP(output_norm)},
    {"output.weight",      ALL,   true,  DIM,        VOCAB, TOP(head)},
    {"rope_freqs.weight",  LLAMA, true,  ROPE_PAIRS, NONE,  TOP(rope_factors)},
};

static const struct bind_rule layer_rules[] = {
    {"attn_norm.weight",   ALL,   false, DIM,      NONE,    PER(attention_norm)},
    {"attn_q.weight",      ALL,   false, DIM,      Q_DIM,   PER(q)},
    {"attn_k.weight",      ALL,   false, DIM,      KV_DIM,  PER(k)},
    {"attn_v.weight",      ALL,   false, DIM,      KV_DIM,  PER(v)},
    {"attn_q.bias",        QWEN2, false, Q_DIM,    NONE,    PER(q_bias)},
    {"attn_k.bias",        QWEN2, false, KV_DIM,   NONE,    PER(k_bias)},
    {"attn_v.bias",        QWEN2, false, KV_DIM,   NONE,    PER(v_bias)},
    {"attn_q_norm.weight", QWEN3, false, HEAD_DIM, NONE,    PER(q_norm)},
    {"attn_k_norm.weight", QWEN3, false, HEAD_DIM, NONE,    PER(k_norm)},
    {"attn_output.weight", ALL,   false, Q_DIM,    DIM,     PER(output)},
    {"ffn_norm.weight",    ALL,   false, DIM,      NONE,    PER(ffn_norm)},
    {"ffn_gate.weight",    ALL,   false, DIM,      FFN_DIM, PER(gate)},
    {"ffn_up.weight",      ALL,   false, DIM,      FFN_DIM, PER(up)},
    {"ffn_down.weight",    ALL,   false, FFN_DIM,  DIM,     PER(down)},
};

// clang-format on

enum {
    TOP_RULES = sizeof top_rules / sizeof *top_rules,
    LAYER_RULES = sizeof layer_rules / sizeof *layer_rules
};

static void set_extents(struct binder *binder, const struct model_shape *shape)
{
    binder->extents[NONE] = 1;
    binder->extents[DIM] = shape->dim;
    binder->extents[Q_DIM] = shape->head_count * shape->head_dim;
    binder->extents[KV_DIM] = shape->kv_head_count * shape->head_dim;
    binder->extents[HEAD_DIM] = shape->head_dim;
    binder->extents[FFN_DIM] = shape->ffn_dim;
    binder->extents[VOCAB] = shape->vocab_size;
    binder->extents[ROPE_PAIRS] = shape->rope_dim / 2;
}

static enum err bind_all(struct binder *binder, struct model *model)
{
    TRY(bind_rules(binder, top_rules, TOP_RULES, model, ""));
    for (uint32_t layer = 0; layer < model->shape.layer_count; layer++) {
        char prefix[24];
        snprintf(prefix, sizeof prefix, "blk.%" PRIu32 ".", layer);
        TRY(bind_rules(binder, layer_rules, LAYER_RULES, &model->layers[layer], prefix));
    }
    return bind_refuse_others(binder);
}

enum err model_bind(struct model *model, const struct gguf *gguf, struct binding **out,
                    size_t *count)
{
    struct model_shape *shape = &model->shape;
    size_t binding_max = TOP_RULES + (size_t)shape->layer_count * LAYER_RULES;
    model->layers = mem_new(shape->layer_count, sizeof *model->layers);
    struct binder binder = {
        .gguf = gguf,
        .architecture = shape->architecture,
        .group = shape->qk_norm    ? QWEN3
                 : shape->qkv_bias ? QWEN2
                                   : LLAMA,
        .layers = shape->layer_count,
        .bindings = mem_new(binding_max, sizeof *binder.bindings),
    };
    set_extents(&binder, shape);
    enum err err = bind_all(&binder, model);
    if (err) {
        mem_free(binder.bindings);
        return err;
    }
    shape->tied = !gguf_find_tensor(gguf, "output.weight");
    *out = binder.bindings;
    *count = binder.count;
    return ERR_OK;
}
