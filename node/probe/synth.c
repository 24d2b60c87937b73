#include "node/probe/synth.h"

#include "base/buf.h"
#include "base/gguf.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    PART_BYTES = 1 << 20, // drawn and written at a time
    KEY_ROOM = 64,
    NO_TYPE = UINT32_MAX
};

/* Hyper-parameters as these models publish them. */
static const struct synth_shape shapes[] = {
    // clang-format off
    {"qwen2.5-0.5b", "qwen2", 24,  896, 14, 2,  64, 4864, 151936, 32768, 1e6F, 1e-6F},
    {"qwen2.5-1.5b", "qwen2", 28, 1536, 12, 2, 128, 8960, 151936, 32768, 1e6F, 1e-6F},
    {"qwen3-0.6b",   "qwen3", 28, 1024, 16, 8, 128, 3072, 151936, 40960, 1e6F, 1e-6F},
    {"tiny",         "qwen3",  4,  256,  4, 2,  64,  768,   8192, 32768, 1e6F, 1e-6F}, // of no model: to try tools
    {NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    // clang-format on
};

/* A file's mix: the type of most matrices, the one of those that get more bits, and the number that
 * general.file_type says. */
static const struct mix {
    const char *name;
    uint32_t type, more;
    uint32_t file_type;
} mixes[] = {
    {"F32", GGUF_TENSOR_F32, NO_TYPE, 0},
    {"F16", GGUF_TENSOR_F16, NO_TYPE, 1},
    {"BF16", GGUF_TENSOR_BF16, NO_TYPE, 32},
    {"Q8_0", GGUF_TENSOR_Q8_0, NO_TYPE, 7},
    {"Q4_0", GGUF_TENSOR_Q4_0, NO_TYPE, 2},
    {"Q4_1", GGUF_TENSOR_Q4_1, NO_TYPE, 3},
    {"Q5_0", GGUF_TENSOR_Q5_0, NO_TYPE, 8},
    {"Q5_1", GGUF_TENSOR_Q5_1, NO_TYPE, 9},
    {"Q4_K_M", GGUF_TENSOR_Q4_K, GGUF_TENSOR_Q6_K, 15},
    {"Q5_K_M", GGUF_TENSOR_Q5_K, GGUF_TENSOR_Q6_K, 17},
    {"Q6_K", GGUF_TENSOR_Q6_K, NO_TYPE, 18},
};

enum {
    MIXES = sizeof mixes / sizeof *mixes
};

const struct synth_shape *synth_shapes(void)
{
    return shapes;
}

const char *const *synth_types(void)
{
    static const char *names[MIXES + 1];
    for (size_t i = 0; i < MIXES; i++)
        names[i] = mixes[i].name;
    return names;
}

struct maker {
    const struct synth_shape *shape;
    const struct mix *mix;
    struct rand rand;
    FILE *file; // NULL: the tensors are announced
    struct gguf_writer *writer;
    enum err err;
    unsigned char *part; // [PART_BYTES]
};

/* A matrix with rows of no multiple of 256 takes the 32-block type of the next size. */
static uint32_t fitting(uint32_t type, uint64_t columns)
{
    if (columns % 256 == 0) return type;
    switch (type) {
    case GGUF_TENSOR_Q4_K: return GGUF_TENSOR_Q5_0;
    case GGUF_TENSOR_Q5_K: return GGUF_TENSOR_Q5_1;
    case GGUF_TENSOR_Q6_K: return GGUF_TENSOR_Q8_0;
    default: return type;
    }
}

/* The first and last eighth of the layers, and every third one between them, get more bits. */
static bool gets_more(uint32_t layer, uint32_t count)
{
    return layer < count / 8 || layer >= 7 * count / 8 || (layer - count / 8) % 3 == 2;
}

static uint32_t plain_type(const struct maker *maker)
{
    return maker->mix->type;
}

static uint32_t better_type(const struct maker *maker, uint32_t layer)
{
    bool more = maker->mix->more != NO_TYPE && gets_more(layer, maker->shape->layer_count);
    return more ? maker->mix->more : maker->mix->type;
}

/* An embedding that is the head too: Q6_K in any quantised file of fewer bits. */
static uint32_t embedding_type(const struct maker *maker)
{
    uint32_t type = maker->mix->type;
    bool kept = type == GGUF_TENSOR_F32 || type == GGUF_TENSOR_F16 || type == GGUF_TENSOR_BF16 ||
                type == GGUF_TENSOR_Q8_0;
    return kept ? type : GGUF_TENSOR_Q6_K;
}

static void put(struct maker *maker, const void *bytes, size_t size)
{
    if (maker->err || fwrite(bytes, 1, size, maker->file) == size) return;
    maker->err = err_note(ERR_IO, "synth: %s", strerror(errno));
}

static void pad(struct maker *maker, uint64_t size)
{
    static const unsigned char zeros[GGUF_WRITER_ALIGNMENT];
    uint64_t tail = size % GGUF_WRITER_ALIGNMENT;
    if (tail) put(maker, zeros, (size_t)(GGUF_WRITER_ALIGNMENT - tail));
}

static void add_matrix(struct maker *maker, const char *name, uint32_t wanted, uint64_t columns,
                       uint64_t rows)
{
    uint32_t type = fitting(wanted, columns);
    uint32_t values, bytes;
    must(synth_block(type, &values, &bytes));
    if (columns % values != 0) {
        if (!maker->err)
            maker->err = err_note(
                ERR_FORMAT, "synth: '%s' has rows of %" PRIu64 ", and %s's blocks hold %" PRIu32,
                name, columns, gguf_tensor_type_name(type), values);
        return;
    }
    uint64_t blocks = columns / values * rows;
    if (!maker->file) {
        gguf_announce_tensor(maker->writer, name, type, (uint64_t[]){columns, rows}, 2,
                             blocks * bytes);
        return;
    }
    uint64_t part_max = PART_BYTES / bytes;
    for (uint64_t done = 0; done < blocks && !maker->err;) {
        uint64_t part = blocks - done < part_max ? blocks - done : part_max;
        synth_draw(type, &maker->rand, maker->part, (size_t)part);
        put(maker, maker->part, (size_t)(part * bytes));
        done += part;
    }
    pad(maker, blocks * bytes);
}

/* A norm's weights are 1, a bias is random. */
static void add_vector(struct maker *maker, const char *name, uint64_t size, bool ones)
{
    if (!maker->file) {
        gguf_announce_tensor(maker->writer, name, GGUF_TENSOR_F32, &size, 1, size * sizeof(float));
        return;
    }
    must(size <= PART_BYTES / sizeof(float));
    if (!ones) synth_draw(GGUF_TENSOR_F32, &maker->rand, maker->part, (size_t)size);
    for (uint64_t i = 0; i < size && ones; i++)
        memcpy(maker->part + i * sizeof(float), &(float){1}, sizeof(float));
    put(maker, maker->part, (size_t)size * sizeof(float));
    pad(maker, size * sizeof(float));
}

static void add_layer(struct maker *maker, uint32_t layer)
{
    const struct synth_shape *shape = maker->shape;
    uint64_t q_dim = (uint64_t)shape->head_count * shape->head_dim;
    uint64_t kv_dim = (uint64_t)shape->kv_head_count * shape->head_dim;
    uint32_t plain = plain_type(maker);
    uint32_t better = better_type(maker, layer);
    char name[KEY_ROOM];
#define NAME(suffix) (snprintf(name, sizeof name, "blk.%" PRIu32 "." suffix, layer), name)
    add_vector(maker, NAME("attn_norm.weight"), shape->dim, true);
    add_matrix(maker, NAME("attn_q.weight"), plain, shape->dim, q_dim);
    add_matrix(maker, NAME("attn_k.weight"), plain, shape->dim, kv_dim);
    add_matrix(maker, NAME("attn_v.weight"), better, shape->dim, kv_dim);
    if (strcmp(shape->architecture, "qwen2") == 0) {
        add_vector(maker, NAME("attn_q.bias"), q_dim, false);
        add_vector(maker, NAME("attn_k.bias"), kv_dim, false);
        add_vector(maker, NAME("attn_v.bias"), kv_dim, false);
    } else {
        add_vector(maker, NAME("attn_q_norm.weight"), shape->head_dim, true);
        add_vector(maker, NAME("attn_k_norm.weight"), shape->head_dim, true);
    }
    add_matrix(maker, NAME("attn_output.weight"), plain, q_dim, shape->dim);
    add_vector(maker, NAME("ffn_norm.weight"), shape->dim, true);
    add_matrix(maker, NAME("ffn_gate.weight"), plain, shape->dim, shape->ffn_dim);
    add_matrix(maker, NAME("ffn_up.weight"), plain, shape->dim, shape->ffn_dim);
    add_matrix(maker, NAME("ffn_down.weight"), better, shape->ffn_dim, shape->dim);
#undef NAME
}

/* Twice the same walk: it announces the tensors, then it writes their data. */
static void add_tensors(struct maker *maker)
{
    const struct synth_shape *shape = maker->shape;
    add_matrix(maker, "token_embd.weight", embedding_type(maker), shape->dim, shape->vocab_size);
    for (uint32_t layer = 0; layer < shape->layer_count && !maker->err; layer++)
        add_layer(maker, layer);
    add_vector(maker, "output_norm.weight", shape->dim, true);
}

static void write_pairs(struct gguf_writer *writer, const struct synth_shape *shape,
                        const struct mix *mix)
{
    char key[KEY_ROOM];
    gguf_write_string(writer, "general.architecture", shape->architecture);
    snprintf(key, sizeof key, "%s-%s", shape->name, mix->name);
    gguf_write_string(writer, "general.name", key);
    gguf_write_u32(writer, "general.file_type", mix->file_type);
    gguf_write_u32(writer, "general.quantization_version", 2);
#define KEY(suffix) (snprintf(key, sizeof key, "%s." suffix, shape->architecture), key)
    gguf_write_u32(writer, KEY("context_length"), shape->context_length);
    gguf_write_u32(writer, KEY("embedding_length"), shape->dim);
    gguf_write_u32(writer, KEY("block_count"), shape->layer_count);
    gguf_write_u32(writer, KEY("feed_forward_length"), shape->ffn_dim);
    gguf_write_u32(writer, KEY("attention.head_count"), shape->head_count);
    gguf_write_u32(writer, KEY("attention.head_count_kv"), shape->kv_head_count);
    gguf_write_u32(writer, KEY("attention.key_length"), shape->head_dim);
    gguf_write_u32(writer, KEY("attention.value_length"), shape->head_dim);
    gguf_write_f32(writer, KEY("attention.layer_norm_rms_epsilon"), shape->norm_epsilon);
    gguf_write_f32(writer, KEY("rope.freq_base"), shape->rope_base);
#undef KEY
    synth_write_vocab(writer, shape->vocab_size);
}

static void write_file(struct maker *maker, const char *path)
{
    struct buf head = {0};
    write_pairs(maker->writer, maker->shape, maker->mix);
    add_tensors(maker);
    gguf_writer_finish(maker->writer, &head);
    if (!maker->err) {
        maker->file = fopen(path, "wb");
        if (!maker->file) {
            maker->err = err_note(ERR_IO, "%s: %s", path, strerror(errno));
        } else {
            put(maker, head.data, head.size);
            add_tensors(maker);
            if (fclose(maker->file) != 0 && !maker->err)
                maker->err = err_note(ERR_IO, "%s: %s", path, strerror(errno));
        }
    }
    buf_fini(&head);
}

static const struct mix *find_mix(const char *type)
{
    for (size_t i = 0; i < MIXES; i++)
        if (strcmp(mixes[i].name, type) == 0) return &mixes[i];
    return NULL;
}

enum err synth_write(const char *path, const struct synth_shape *shape, const char *type,
                     uint64_t seed)
{
    struct maker maker = {.shape = shape, .mix = find_mix(type)};
    if (!maker.mix) {
        return err_note(ERR_INVALID,
                        "--type '%.20s': not one of F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, "
                        "Q4_K_M, Q5_K_M, Q6_K",
                        type);
    }
    rand_init(&maker.rand, seed);
    maker.writer = gguf_writer_new();
    maker.part = mem_new(PART_BYTES, 1);
    write_file(&maker, path);
    mem_free(maker.part);
    gguf_writer_free(maker.writer);
    return maker.err;
}
