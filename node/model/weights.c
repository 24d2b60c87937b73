#include "node/model/weights.h"

#include "kernels/quant.h"

#include "base/gguf.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    TENSOR_NAME_MAX = 64
};

/* Lengths that a tensor may have. */
enum extent {
    NONE, // a vector has no rows
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

/* One tensor: who has it, its shape, and where it goes. A matrix has columns and rows. */
struct rule {
    const char *name;
    unsigned architectures;
    bool optional;
    enum extent columns, rows;
    size_t place; // offset of its struct packed, or of its const float *
};

#define TOP(field) offsetof(struct model, field)
#define PER(field) offsetof(struct layer, field)
// clang-format off
static const struct rule top_rules[] = {
    {"token_embd.weight",  ALL,   false, DIM,        VOCAB, TOP(embedding)},
    {"output_norm.weight", ALL,   false, DIM,        NONE,  TOP(output_norm)},
    {"output.weight",      ALL,   true,  DIM,        VOCAB, TOP(head)},
    {"rope_freqs.weight",  LLAMA, true,  ROPE_PAIRS, NONE,  TOP(rope_factors)},
};

static const struct rule layer_rules[] = {
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

struct binder {
    struct model *model;
    const struct gguf *gguf;
    unsigned architecture;
    struct binding *bindings;
    size_t count;
};

static uint32_t extent_of(const struct model_shape *shape, enum extent extent)
{
    switch (extent) {
    case DIM: return shape->dim;
    case Q_DIM: return shape->head_count * shape->head_dim;
    case KV_DIM: return shape->kv_head_count * shape->head_dim;
    case HEAD_DIM: return shape->head_dim;
    case FFN_DIM: return shape->ffn_dim;
    case VOCAB: return shape->vocab_size;
    case ROPE_PAIRS: return shape->rope_dim / 2;
    default: return 1;
    }
}

/* Dimensions as a person writes them, "64 x 2051", the contiguous one first. */
static void write_dims(char out[96], const struct gguf_tensor *tensor)
{
    size_t used = 0;
    for (uint32_t i = 0; i < tensor->dim_count && i < GGUF_DIMS_MAX; i++) {
        used +=
            (size_t)snprintf(out + used, 96 - used, "%s%" PRIu64, i ? " x " : "", tensor->dims[i]);
    }
    out[used] = 0;
}

static enum err check_type(const struct rule *rule, const char *name,
                           const struct gguf_tensor *tensor, uint32_t columns)
{
    const char *found = gguf_tensor_type_name(tensor->type);
    if (rule->rows == NONE) {
        if (tensor->type == GGUF_TENSOR_F32) return ERR_OK;
        return err_note(ERR_UNSUPPORTED, "tensor '%s' is %s; norms, biases and factors must be F32",
                        name, found);
    }
    enum err err = quant_check(tensor->type, columns);
    if (!err) return ERR_OK;
    if (err == ERR_UNSUPPORTED)
        return err_note(err, "tensor '%s' is %s; this build reads " QUANT_TYPES, name, found);
    return err_note(err, "tensor '%s' is %s with rows of %" PRIu32 ", which are no whole blocks",
                    name, found, columns);
}

static enum err check_tensor(const struct binder *binder, const struct rule *rule, const char *name,
                             const struct gguf_tensor *tensor)
{
    uint32_t columns = extent_of(&binder->model->shape, rule->columns);
    uint32_t rows = extent_of(&binder->model->shape, rule->rows);
    uint32_t dim_count = rule->rows == NONE ? 1 : 2;
    bool fits = tensor->dims[0] == columns && tensor->dims[1] == rows && tensor->dims[2] == 1 &&
                tensor->dims[3] == 1;
    if (!fits) {
        char found[96];
        char expected[96];
        struct gguf_tensor wanted = {.dim_count = dim_count, .dims = {columns, rows, 1, 1}};
        write_dims(found, tensor);
        write_dims(expected, &wanted);
        return err_note(ERR_FORMAT, "tensor '%s' is %s; its hyper-parameters say %s", name, found,
                        expected);
    }
    TRY(check_type(rule, name, tensor, columns));
    uint64_t size = (uint64_t)rows * quant_row_size(tensor->type, columns);
    if (tensor->size != size) {
        return err_note(ERR_FORMAT, "tensor '%s' has %" PRIu64 " bytes, not %" PRIu64, name,
                        tensor->size, size);
    }
    return ERR_OK;
}

/* `owner` is the struct that the rule's place lies in; `prefix` is "" or "blk.N.". */
static enum err bind_rule(struct binder *binder, const struct rule *rule, void *owner,
                          const char *prefix)
{
    if (!(rule->architectures & binder->architecture)) return ERR_OK;
    char name[TENSOR_NAME_MAX];
    snprintf(name, sizeof name, "%s%s", prefix, rule->name);
    const struct gguf_tensor *tensor = gguf_find_tensor(binder->gguf, name);
    if (!tensor) {
        if (rule->optional) return ERR_OK;
        return err_note(ERR_FORMAT, "tensor '%s' is missing; %s has it", name,
                        binder->model->shape.architecture);
    }
    TRY(check_tensor(binder, rule, name, tensor));
    struct binding *binding = &binder->bindings[binder->count++];
    void *place = (char *)owner + rule->place;
    *binding = (struct binding){.tensor = tensor};
    if (rule->rows == NONE)
        binding->vector = place;
    else
        binding->matrix = place;
    return ERR_OK;
}

/* A tensor that no rule takes would change what the model says if it were left out. */
static enum err refuse_others(const struct binder *binder)
{
    size_t count = gguf_tensor_count(binder->gguf);
    if (count == binder->count) return ERR_OK;
    for (size_t i = 0; i < count; i++) {
        const struct gguf_tensor *tensor = gguf_tensor_at(binder->gguf, i);
        size_t at = 0;
        while (at < binder->count && binder->bindings[at].tensor != tensor)
            at++;
        if (at == binder->count) {
            return err_note(ERR_UNSUPPORTED,
                            "tensor '%.*s' is unknown to %s with %" PRIu32 " layers",
                            (int)tensor->name.size, tensor->name.text,
                            binder->model->shape.architecture, binder->model->shape.layer_count);
        }
    }
    return ERR_OK;
}

static enum err bind_all(struct binder *binder)
{
    struct model *model = binder->model;
    for (size_t i = 0; i < TOP_RULES; i++)
        TRY(bind_rule(binder, &top_rules[i], model, ""));
    for (uint32_t layer = 0; layer < model->shape.layer_count; layer++) {
        char prefix[24];
        snprintf(prefix, sizeof prefix, "blk.%" PRIu32 ".", layer);
        for (size_t i = 0; i < LAYER_RULES; i++)
            TRY(bind_rule(binder, &layer_rules[i], &model->layers[layer], prefix));
    }
    return refuse_others(binder);
}

enum err model_bind(struct model *model, const struct gguf *gguf, struct binding **out,
                    size_t *count)
{
    struct model_shape *shape = &model->shape;
    size_t binding_max = TOP_RULES + (size_t)shape->layer_count * LAYER_RULES;
    model->layers = mem_new(shape->layer_count, sizeof *model->layers);
    struct binder binder = {
        .model = model,
        .gguf = gguf,
        .architecture = shape->qk_norm    ? QWEN3
                        : shape->qkv_bias ? QWEN2
                                          : LLAMA,
        .bindings = mem_new(binding_max, sizeof *binder.bindings),
    };
    enum err err = bind_all(&binder);
    if (err) {
        mem_free(binder.bindings);
        return err;
    }
    shape->tied = !gguf_find_tensor(gguf, "output.weight");
    *out = binder.bindings;
    *count = binder.count;
    return ERR_OK;
}
