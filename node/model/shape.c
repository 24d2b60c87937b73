#include "node/model/weights.h"

#include "kernels/attention.h"

#include "base/gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    KEY_MAX = 80
};

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

/* Reads "<architecture>.<name>"; the notes carry the whole key. */
struct reader {
    const struct gguf *gguf;
    const char *architecture;
    char key[KEY_MAX];
};

static const char *key_of(struct reader *reader, const char *name)
{
    snprintf(reader->key, sizeof reader->key, "%s.%s", reader->architecture, name);
    return reader->key;
}

static enum err check_range(const char *key, uint32_t value, uint32_t least, uint32_t most)
{
    if (value >= least && value <= most) return ERR_OK;
    return err_note(ERR_FORMAT, "model: %s is %" PRIu32 ", not in %" PRIu32 "..%" PRIu32, key,
                    value, least, most);
}

/* A whole number that the file must state. */
static enum err read_count(struct reader *reader, const char *name, uint32_t most, uint32_t *out)
{
    uint32_t value;
    const char *key = key_of(reader, name);
    TRY(gguf_get_u32(reader->gguf, key, &value));
    TRY(check_range(key, value, 1, most));
    *out = value;
    return ERR_OK;
}

/* One that the file may leave out; *out holds the default. */
static enum err read_count_or(struct reader *reader, const char *name, uint32_t most, uint32_t *out)
{
    if (!gguf_has(reader->gguf, key_of(reader, name))) return ERR_OK;
    return read_count(reader, name, most, out);
}

/* A number above `least` and at most `most`; *out holds the default where the file may leave it out. */
static enum err read_number(struct reader *reader, const char *name, float least, float most,
                            float *out)
{
    float value;
    const char *key = key_of(reader, name);
    TRY(gguf_get_f32(reader->gguf, key, &value));
    if (!(value > least && value <= most)) {
        return err_note(ERR_FORMAT, "model: %s is %g, not above %g and at most %g", key,
                        (double)value, (double)least, (double)most);
    }
    *out = value;
    return ERR_OK;
}

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

/* general.name where it is printable; empty otherwise (the loader then takes the file's stem). */
static void read_name(struct model_shape *shape, const struct gguf *gguf)
{
    struct gguf_string name;
    if (gguf_get_string(gguf, "general.name", &name) != ERR_OK) return;
    if (name.size == 0 || name.size >= sizeof shape->name) return;
    for (size_t i = 0; i < name.size; i++) {
        unsigned char byte = (unsigned char)name.text[i];
        if (byte < 0x20 || byte == 0x7F) return;
    }
    memcpy(shape->name, name.text, name.size);
    shape->name[name.size] = 0;
}

static enum err read_widths(struct reader *reader, struct model_shape *shape)
{
    TRY(read_count(reader, "block_count", MODEL_LAYERS_MAX, &shape->layer_count));
    TRY(read_count(reader, "embedding_length", MODEL_DIM_MAX, &shape->dim));
    TRY(read_count(reader, "feed_forward_length", MODEL_FFN_MAX, &shape->ffn_dim));
    return read_number(reader, "attention.layer_norm_rms_epsilon", 0, 1, &shape->norm_epsilon);
}

static enum err read_context(struct reader *reader, struct model_shape *shape, uint32_t context_max)
{
    TRY(read_count(reader, "context_length", MODEL_CONTEXT_MAX, &shape->context_length));
    if (context_max && context_max < shape->context_length) shape->context_length = context_max;
    return ERR_OK;
}

static enum err read_heads(struct reader *reader, struct model_shape *shape)
{
    TRY(read_count(reader, "attention.head_count", MODEL_HEADS_MAX, &shape->head_count));
    shape->kv_head_count = shape->head_count;
    TRY(read_count_or(reader, "attention.head_count_kv", shape->head_count, &shape->kv_head_count));
    if (shape->head_count % shape->kv_head_count != 0) {
        return err_note(
            ERR_FORMAT, "model: %s is %" PRIu32 ", which does not divide %" PRIu32 " heads",
            key_of(reader, "attention.head_count_kv"), shape->kv_head_count, shape->head_count);
    }
    if (shape->dim % shape->head_count == 0) {
        shape->head_dim = shape->dim / shape->head_count;
    } else if (!gguf_has(reader->gguf, key_of(reader, "attention.key_length"))) {
        return err_note(ERR_FORMAT,
                        "model: %s is missing, and %" PRIu32 " heads do not divide %" PRIu32,
                        reader->key, shape->head_count, shape->dim);
    }
    TRY(read_count_or(reader, "attention.key_length", ATTENTION_DIM_MAX, &shape->head_dim));
    uint32_t value_dim = shape->head_dim;
    TRY(read_count_or(reader, "attention.value_length", ATTENTION_DIM_MAX, &value_dim));
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
    return check_range("head_count x key_length", shape->head_count * shape->head_dim, 1,
                       MODEL_DIM_MAX);
}

/* Rope scaling changes every angle: a kind that we do not compute must not pass as none. */
static enum err refuse_rope_scaling(struct reader *reader)
{
    const char *key = key_of(reader, "rope.scaling.type");
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
        key = key_of(reader, factors[i]);
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

static enum err read_rope(struct reader *reader, struct model_shape *shape)
{
    TRY(refuse_rope_scaling(reader));
    shape->rope_dim = shape->head_dim;
    TRY(read_count_or(reader, "rope.dimension_count", shape->head_dim, &shape->rope_dim));
    if (shape->rope_dim % 2 != 0) {
        return err_note(ERR_FORMAT, "model: %s is %" PRIu32 ", not an even number", reader->key,
                        shape->rope_dim);
    }
    shape->rope_base = 10000;
    if (!gguf_has(reader->gguf, key_of(reader, "rope.freq_base"))) return ERR_OK;
    return read_number(reader, "rope.freq_base", 1, 1e12F, &shape->rope_base);
}

/* Parts of llama's family that we do not compute would otherwise be left out without a word. */
static enum err refuse_experts(struct reader *reader)
{
    const char *key = key_of(reader, "expert_count");
    if (!gguf_has(reader->gguf, key)) return ERR_OK;
    uint32_t count;
    TRY(gguf_get_u32(reader->gguf, key, &count));
    if (count == 0) return ERR_OK;
    return err_note(ERR_UNSUPPORTED,
                    "model: %s is %" PRIu32 "; this build computes no mixture of experts", key,
                    count);
}

/* Rows of the embedding; the vocabulary's length and vocab_size must agree where they are there. */
static enum err read_vocab(struct reader *reader, struct model_shape *shape)
{
    const struct gguf_tensor *embedding = gguf_find_tensor(reader->gguf, "token_embd.weight");
    if (!embedding) {
        return err_note(ERR_FORMAT, "model: tensor 'token_embd.weight' is missing%s",
                        gguf_tensor_count(reader->gguf) ? "" : " (a vocabulary without weights?)");
    }
    uint64_t rows = embedding->dims[1];
    if (rows < 1 || rows > MODEL_VOCAB_MAX) {
        return err_note(ERR_FORMAT,
                        "model: tensor 'token_embd.weight' has %" PRIu64 " rows, not 1..%d", rows,
                        MODEL_VOCAB_MAX);
    }
    shape->vocab_size = (uint32_t)rows;
    static const char *const tokens = "tokenizer.ggml.tokens";
    if (gguf_has(reader->gguf, tokens)) {
        enum gguf_value_type type;
        size_t count;
        TRY(gguf_get_array(reader->gguf, tokens, &type, &count));
        if (count != rows) {
            return err_note(ERR_FORMAT,
                            "model: %s has %zu entries, token_embd.weight %" PRIu64 " rows", tokens,
                            count, rows);
        }
    }
    uint32_t stated = shape->vocab_size;
    TRY(read_count_or(reader, "vocab_size", MODEL_VOCAB_MAX, &stated));
    if (stated != shape->vocab_size) {
        return err_note(ERR_FORMAT,
                        "model: %s is %" PRIu32 ", token_embd.weight has %" PRIu64 " rows",
                        reader->key, stated, rows);
    }
    return ERR_OK;
}

enum err model_read_shape(struct model_shape *out, const struct gguf *gguf, uint32_t context_max)
{
    struct model_shape shape = {0};
    TRY(read_family(&shape, gguf));
    struct reader reader = {.gguf = gguf, .architecture = shape.architecture};
    read_name(&shape, gguf);
    TRY(read_widths(&reader, &shape));
    TRY(read_context(&reader, &shape, context_max));
    TRY(read_heads(&reader, &shape));
    TRY(refuse_experts(&reader));
    TRY(read_rope(&reader, &shape));
    TRY(read_vocab(&reader, &shape));
    *out = shape;
    return ERR_OK;
}
