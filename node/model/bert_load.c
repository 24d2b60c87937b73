#include "node/model/bert.h"
#include "node/model/bert_weights.h"
#include "node/model/bind.h"
#include "node/model/hyper.h"

#include "kernels/numerics.h"

#include "base/gguf.h"
#include "base/mem.h"
#include "base/must.h"

#include <inttypes.h>
#include <stdio.h>

/* No product of two of them leaves 40 bits. */
enum {
    LAYERS_MAX = 512,
    DIM_MAX = 1 << 14, // a result's vector holds it
    FFN_MAX = 1 << 18,
    HEADS_MAX = 1024,
    TYPES_MAX = 16
};

/* Lengths that a tensor may have. */
enum {
    NONE = BIND_VECTOR,
    DIM,
    FFN_DIM,
    VOCAB,
    POSITIONS,
    TYPES,
    ONE
};

enum {
    ALL = 1,
    TYPED = 2 // has token types
};

#define TOP(field) offsetof(struct bert, field)
#define PER(field) offsetof(struct bert_layer, field)
// clang-format off
static const struct bind_rule top_rules[] = {
    {"token_embd.weight",      ALL,   false, DIM, VOCAB,     TOP(embedding)},
    {"position_embd.weight",   ALL,   false, DIM, POSITIONS, TOP(positions)},
    {"token_types.weight",     TYPED, false, DIM, TYPES,     TOP(types)},
    {"token_embd_norm.weight", ALL,   false, DIM, NONE,      TOP(norm)},
    {"token_embd_norm.bias",   ALL,   false, DIM, NONE,      TOP(norm_bias)},
    {"cls.weight",             ALL,   true,  DIM, DIM,       TOP(cls)},
    {"cls.bias",               ALL,   true,  DIM, NONE,      TOP(cls_bias)},
    {"cls.output.weight",      ALL,   true,  DIM, ONE,       TOP(cls_output)},
    {"cls.output.bias",        ALL,   true,  ONE, NONE,      TOP(cls_output_bias)},
};

static const struct bind_rule layer_rules[] = {
    {"attn_q.weight",            ALL, false, DIM,     DIM,     PER(q)},
    {"attn_q.bias",              ALL, false, DIM,     NONE,    PER(q_bias)},
    {"attn_k.weight",            ALL, false, DIM,     DIM,     PER(k)},
    {"attn_k.bias",              ALL, false, DIM,     NONE,    PER(k_bias)},
    {"attn_v.weight",            ALL, false, DIM,     DIM,     PER(v)},
    {"attn_v.bias",              ALL, false, DIM,     NONE,    PER(v_bias)},
    {"attn_output.weight",       ALL, false, DIM,     DIM,     PER(output)},
    {"attn_output.bias",         ALL, false, DIM,     NONE,    PER(output_bias)},
    {"attn_output_norm.weight",  ALL, false, DIM,     NONE,    PER(mixed_norm)},
    {"attn_output_norm.bias",    ALL, false, DIM,     NONE,    PER(mixed_norm_bias)},
    {"ffn_up.weight",            ALL, false, DIM,     FFN_DIM, PER(up)},
    {"ffn_up.bias",              ALL, false, FFN_DIM, NONE,    PER(up_bias)},
    {"ffn_down.weight",          ALL, false, FFN_DIM, DIM,     PER(down)},
    {"ffn_down.bias",            ALL, false, DIM,     NONE,    PER(down_bias)},
    {"layer_output_norm.weight", ALL, false, DIM,     NONE,    PER(out_norm)},
    {"layer_output_norm.bias",   ALL, false, DIM,     NONE,    PER(out_norm_bias)},
};

// clang-format on

enum {
    TOP_RULES = sizeof top_rules / sizeof *top_rules,
    LAYER_RULES = sizeof layer_rules / sizeof *layer_rules
};

static enum err read_heads(struct hyper *hyper, struct bert_shape *shape)
{
    TRY(hyper_count(hyper, "attention.head_count", HEADS_MAX, &shape->head_count));
    shape->head_dim = shape->dim / shape->head_count;
    if (shape->dim % shape->head_count != 0 || shape->head_dim > BERT_HEAD_DIM_MAX) {
        return err_note(ERR_UNSUPPORTED,
                        "model: %s is %" PRIu32 ", which does not cut %" PRIu32
                        " into heads of at most %d",
                        hyper->key, shape->head_count, shape->dim, BERT_HEAD_DIM_MAX);
    }
    return ERR_OK;
}

static enum err read_pooling(struct hyper *hyper, struct bert_shape *shape)
{
    const char *key = hyper_key(hyper, "pooling_type");
    uint32_t type = BERT_POOL_MEAN;
    if (gguf_has(hyper->gguf, key)) TRY(gguf_get_u32(hyper->gguf, key, &type));
    if (type != BERT_POOL_MEAN && type != BERT_POOL_FIRST && type != BERT_POOL_RANK) {
        return err_note(ERR_UNSUPPORTED,
                        "model: %s is %" PRIu32 "; this build does 1 (mean), 2 (cls) and 4 (rank)",
                        key, type);
    }
    shape->pooling = (enum bert_pooling)type;
    shape->scores = gguf_find_tensor(hyper->gguf, "cls.output.weight") != NULL;
    if (type == BERT_POOL_RANK && !shape->scores) {
        return err_note(ERR_FORMAT,
                        "model: %s is 4 (rank), and tensor 'cls.output.weight' is missing", key);
    }
    return ERR_OK;
}

/* Rows of the token types, as the file has them. */
static enum err read_types(const struct gguf *gguf, struct bert_shape *shape)
{
    const struct gguf_tensor *types = gguf_find_tensor(gguf, "token_types.weight");
    if (!types) return ERR_OK;
    if (types->dims[1] < 1 || types->dims[1] > TYPES_MAX) {
        return err_note(ERR_FORMAT,
                        "model: tensor 'token_types.weight' has %" PRIu64 " rows, not 1..%d",
                        types->dims[1], TYPES_MAX);
    }
    shape->type_count = (uint32_t)types->dims[1];
    return ERR_OK;
}

static enum err read_shape(struct bert_shape *shape, const struct gguf *gguf, uint32_t context_max)
{
    struct hyper hyper = {.gguf = gguf, .architecture = "bert"};
    hyper_name(shape->name, gguf);
    TRY(hyper_count(&hyper, "block_count", LAYERS_MAX, &shape->layer_count));
    TRY(hyper_count(&hyper, "embedding_length", DIM_MAX, &shape->dim));
    TRY(hyper_count(&hyper, "feed_forward_length", FFN_MAX, &shape->ffn_dim));
    TRY(hyper_number(&hyper, "attention.layer_norm_epsilon", 0, 1, &shape->norm_epsilon));
    TRY(hyper_count(&hyper, "context_length", BERT_CONTEXT_MAX, &shape->position_count));
    shape->context_length = shape->position_count;
    if (context_max > 0 && context_max < shape->context_length) shape->context_length = context_max;
    TRY(read_heads(&hyper, shape));
    TRY(read_pooling(&hyper, shape));
    TRY(read_types(gguf, shape));
    return hyper_vocab(&hyper, &shape->vocab_size);
}

static enum err bind_all(struct binder *binder, struct bert *bert)
{
    TRY(bind_rules(binder, top_rules, TOP_RULES, bert, ""));
    for (uint32_t layer = 0; layer < bert->shape.layer_count; layer++) {
        char prefix[24];
        snprintf(prefix, sizeof prefix, "blk.%" PRIu32 ".", layer);
        TRY(bind_rules(binder, layer_rules, LAYER_RULES, &bert->layers[layer], prefix));
    }
    TRY(bind_refuse_others(binder));
    bool dense = gguf_find_tensor(binder->gguf, "cls.weight") != NULL;
    if (dense == (gguf_find_tensor(binder->gguf, "cls.bias") != NULL)) return ERR_OK;
    return err_note(ERR_FORMAT, "model: of 'cls.weight' and 'cls.bias' one is missing");
}

static enum err load(struct bert *bert, const struct gguf *gguf, const char *path,
                     const struct bert_options *options)
{
    struct bert_shape *shape = &bert->shape;
    TRY(read_shape(shape, gguf, options->context_max));
    hyper_name_by_path(shape->name, path);
    bert->layers = mem_new(shape->layer_count, sizeof *bert->layers);
    struct binder binder = {
        .gguf = gguf,
        .architecture = "bert",
        .group = shape->type_count > 0 ? ALL | TYPED : ALL,
        .layers = shape->layer_count,
        .extents = {[NONE] = 1,
                    [DIM] = shape->dim,
                    [FFN_DIM] = shape->ffn_dim,
                    [VOCAB] = shape->vocab_size,
                    [POSITIONS] = shape->position_count,
                    [TYPES] = shape->type_count,
                    [ONE] = 1},
        .bindings =
            mem_new(TOP_RULES + (size_t)shape->layer_count * LAYER_RULES, sizeof *binder.bindings),
    };
    struct packing_options packing = {.team = options->team,
                                      .float_gemm = options->float_gemm,
                                      .progress = options->progress,
                                      .progress_argument = options->progress_argument};
    enum err err = bind_all(&binder, bert);
    if (!err) err = gguf_write_pack(gguf, &bert->pack);
    if (!err) err = packed_file_new(&bert->file, gguf, binder.bindings, binder.count, &packing);
    mem_free(binder.bindings);
    return err;
}

static struct digest digest_numerics(enum float_gemm float_gemm)
{
    char text[96];
    int size = snprintf(text, sizeof text, "qiao numerics version=%d float_gemm=%s encoder",
                        NUMERICS_VERSION, float_gemm == FLOAT_GEMM_BLAS ? "blas" : "exact");
    return digest_of(text, (size_t)size);
}

enum err bert_load(struct bert **out, const char *path, const struct bert_options *options)
{
    must(options->ops && options->team);
    struct gguf *gguf;
    TRY(gguf_open(&gguf, path));
    struct bert *bert = mem_new(1, sizeof *bert);
    bert->ops = options->ops;
    bert->numerics = digest_numerics(options->float_gemm);
    enum err err = load(bert, gguf, path, options);
    gguf_close(gguf);
    if (err) {
        bert_free(bert);
        return err;
    }
    *out = bert;
    return ERR_OK;
}

void bert_free(struct bert *bert)
{
    if (!bert) return;
    packed_file_free(&bert->file);
    mem_free(bert->layers);
    buf_fini(&bert->pack);
    mem_free(bert);
}

const struct bert_shape *bert_shape(const struct bert *bert)
{
    return &bert->shape;
}

const struct digest *bert_digest(const struct bert *bert)
{
    return &bert->file.digest;
}

const struct digest *bert_numerics(const struct bert *bert)
{
    return &bert->numerics;
}

const struct buf *bert_pack(const struct bert *bert)
{
    return &bert->pack;
}
