#include "node/model/hyper.h"
#include "node/model/weights.h"

#include "kernels/attention.h"

#include "base/gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct family {
    const char *name;
    bool rope_interleaved;
    bool qkv_bias;
    bool qk_norm;
} families[] = {
    {"llama", true, false, false},
    {"qwen2", false, true, false},
    {"qwen3", false, false, true},
};

static enum err read_family(struct model_shape *shape, const struct gguf *gguf)
{
    struct gguf_string name;
    TRY(gguf_get_string(gguf, "general.architecture", &name));
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        const struct family *family = &families[i];
        if (name.size != strlen(family->name) || memcmp(name.text, family->name, name.size) != 0)
            continue;
        snprintf(shape->architecture, sizeof shape->architecture, "%s", family->name);
        shape->rope_interleaved = family->rope_interleaved;
        shape->qkv_bias = family->qkv_bias;
        shape->qk_norm = family->qk_norm;
        return ERR_OK;
    }
    return err_note(ERR_UNSUPPORTED,
                    "model: general.architecture is '%.*s'; this build runs llama, qwen2, qwen3",
                    (int)(name.size < 64 ? name.size : 64), name.text);
}

static enum err read_widths(struct hyper *reader, struct model_shape *shape)
{
    TRY(hyper_count(reader, "block_count", MODEL_LAYERS_MAX, &shape->layer_count));
    TRY(hyper_count(reader, "embedding_length", MODEL_DIM_MAX, &shape->dim));
    TRY(hyper_count(reader, "feed_forward_length", MODEL_FFN_MAX, &shape->ffn_dim));
    return hyper_number(reader, "attention.layer_norm_rms_epsilon", 0, 1, &shape->norm_epsilon);
}

static enum err read_context(struct hyper *reader, struct model_shape *shape, uint32_t context_max)
{
    TRY(hyper_count(reader, "context_length", MODEL_CONTEXT_MAX, &shape->context_length));
    if (context_max && context_max < shape->context_length) shape->context_length = context_max;
    return ERR_OK;
}

static enum err read_heads(struct hyper *reader, struct model_shape *shape)
{
    TRY(hyper_count(reader, "attention.head_count", MODEL_HEADS_MAX, &shape->head_count));
    shape->kv_head_count = shape->head_count;
    TRY(hyper_count_or(reader, "attention.head_count_kv", shape->head_count,
                       &shape->kv_head_count));
    if (shape->head_count % shape->kv_head_count != 0) {
        return err_note(
            ERR_FORMAT, "model: %s is %" PRIu32 ", which does not divide %" PRIu32 " heads",
            hyper_key(reader, "attention.head_count_kv"), shape->kv_head_count, shape->head_count);
    }
    if (shape->dim % shape->head_count == 0) {
        shape->head_dim = shape->dim / shape->head_count;
    } else if (!gguf_has(reader->gguf, hyper_key(reader, "attention.key_length"))) {
        return err_note(ERR_FORMAT,
                        "model: %s is missing, and %" PRIu32 " heads do not divide %" PRIu32,
                        reader->key, shape->head_count, shape->dim);
    }
    TRY(hyper_count_or(reader, "attention.key_length", ATTENTION_DIM_MAX, &shape->head_dim));
    uint32_t value_dim = shape->head_dim;
    TRY(hyper_count_or(reader, "attention.value_length", ATTENTION_DIM_MAX, &value_dim));
    if (value_dim != shape->head_dim) {
        return err_note(ERR_UNSUPPORTED,
                        "model: %s is %" PRIu32 "; it must equal key_length, %" PRIu32, reader->key,
                        value_dim, shape->head_dim);
    }
    if (shape->head_dim % 8 != 0 || shape->head_dim == 0 || shape->head_dim > ATTENTION_DIM_MAX) {
        return err_note(ERR_UNSUPPORTED,
                        "model: heads of %" PRIu32
                        " dimensions; this build computes multiples of 8 up to %d",
                        shape->head_dim, ATTENTION_DIM_MAX);
    }
    return hyper_range("head_count x key_length", shape->head_count * shape->head_dim, 1,
                       MODEL_DIM_MAX);
}

/* Rope scaling changes every angle: a kind that we do not compute must not pass as none. */
static enum err refuse_rope_scaling(struct hyper *reader)
{
    const char *key = hyper_key(reader, "rope.scaling.type");
    struct gguf_string type;
    if (gguf_has(reader->gguf, key)) {
        TRY(gguf_get_string(reader->gguf, key, &type));
        if (type.size != 4 || memcmp(type.text, "none", 4) != 0) {
            return err_note(ERR_UNSUPPORTED, "model: %s is '%.*s'; this build computes only 'none'",
                            key, (int)(type.size < 64 ? type.size : 64), type.text);
        }
        return ERR_OK;
    }
    static const char *const factors[] = {"rope.scaling.factor", "rope.scale_linear"};
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
        key = hyper_key(reader, factors[i]);
        if (!gguf_has(reader->gguf, key)) continue;
        float factor;
        TRY(gguf_get_f32(reader->gguf, key, &factor));
        if (factor != 1 && factor != 0) {
            return err_note(ERR_UNSUPPORTED, "model: %s is %g; this build computes no rope scaling",
                            key, (double)factor);
        }
    }
    return ERR_OK;
}

static enum err read_rope(struct hyper *reader, struct model_shape *shape)
{
    TRY(refuse_rope_scaling(reader));
    shape->rope_dim = shape->head_dim;
    TRY(hyper_count_or(reader, "rope.dimension_count", shape->head_dim, &shape->rope_dim));
    if (shape->rope_dim % 2 != 0) {
        return err_note(ERR_FORMAT, "model: %s is %" PRIu32 ", not an even number", reader->key,
                        shape->rope_dim);
    }
    shape->rope_base = 10000;
    if (!gguf_has(reader->gguf, hyper_key(reader, "rope.freq_base"))) return ERR_OK;
    return hyper_number(reader, "rope.freq_base", 1, 1e12F, &shape->rope_base);
}

/* Parts of llama's family that we do not compute would otherwise be left out without a word. */
static enum err refuse_experts(struct hyper *reader)
{
    const char *key = hyper_key(reader, "expert_count");
    if (!gguf_has(reader->gguf, key)) return ERR_OK;
    uint32_t count;
    TRY(gguf_get_u32(reader->gguf, key, &count));
    if (count == 0) return ERR_OK;
    return err_note(ERR_UNSUPPORTED,
                    "model: %s is %" PRIu32 "; this build computes no mixture of experts", key,
                    count);
}

enum err model_read_shape(struct model_shape *out, const struct gguf *gguf, uint32_t context_max)
{
    struct model_shape shape = {0};
    TRY(read_family(&shape, gguf));
    struct hyper reader = {.gguf = gguf, .architecture = shape.architecture};
    hyper_name(shape.name, gguf);
    TRY(read_widths(&reader, &shape));
    TRY(read_context(&reader, &shape, context_max));
    TRY(read_heads(&reader, &shape));
    TRY(refuse_experts(&reader));
    TRY(read_rope(&reader, &shape));
    TRY(hyper_vocab(&reader, &shape.vocab_size));
    *out = shape;
    return ERR_OK;
}
