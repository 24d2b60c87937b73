#include "tests/support/tiny_model.h"

#include "base/buf.h"
#include "base/gguf.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    HEADS = 4,
    KV_HEADS = 2,
    PIECE_SIZE_MAX = 32,
    BYTE_PIECES = 256
};

/* Pairs of the words below, as raw bytes; each makes one more piece. */
static const char *const merges[][2] = {
    {"h", "e"},       {"l", "l"},           {"he", "ll"},     {"hell", "o"},
    {" ", "t"},       {" t", "he"},         {"i", "n"},       {"e", "r"},
    {"\xE4", "\xBD"}, {"\xE4\xBD", "\xA0"}, {"\xE5", "\xA5"}, {"\xE5\xA5", "\xBD"},
};

static const char *const controls[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"};

static const char chat_template[] =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ "
    "'<|im_start|>assistant\n' "
    "}}{% endif %}";

enum {
    MERGES = sizeof merges / sizeof *merges,
    CONTROLS = sizeof controls / sizeof *controls,
    VOCAB = BYTE_PIECES + MERGES + CONTROLS
};

/* GPT-2's printable alphabet: a byte that prints stands for itself, the others for U+0100 and on. */
static unsigned alphabet(unsigned byte)
{
    unsigned hidden = 0;
    for (unsigned at = 0; at <= byte; at++) {
        bool prints = (at >= 33 && at <= 126) || (at >= 161 && at <= 172) || at >= 174;
        if (at == byte) return prints ? byte : 256 + hidden;
        if (!prints) hidden++;
    }
    return 0;
}

static void spell(char out[PIECE_SIZE_MAX], const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned code = alphabet((unsigned char)bytes[i]);
        if (code < 0x80) {
            *out++ = (char)code;
        } else {
            *out++ = (char)(0xC0 | code >> 6);
            *out++ = (char)(0x80 | (code & 0x3F));
        }
    }
    *out = 0;
}

static void write_vocab(struct gguf_writer *writer)
{
    static char pieces[VOCAB][PIECE_SIZE_MAX];
    static char lines[MERGES][2 * PIECE_SIZE_MAX + 1];
    const char *texts[VOCAB];
    const char *line_texts[MERGES];
    size_t sizes[VOCAB];
    size_t line_sizes[MERGES];
    int32_t types[VOCAB];
    for (size_t i = 0; i < BYTE_PIECES; i++) {
        char byte = (char)i;
        spell(pieces[i], &byte, 1);
    }
    for (size_t i = 0; i < MERGES; i++) {
        char left[PIECE_SIZE_MAX];
        char right[PIECE_SIZE_MAX];
        spell(left, merges[i][0], strlen(merges[i][0]));
        spell(right, merges[i][1], strlen(merges[i][1]));
        snprintf(pieces[BYTE_PIECES + i], PIECE_SIZE_MAX, "%.15s%.15s", left, right);
        snprintf(lines[i], sizeof lines[i], "%s %s", left, right);
        line_texts[i] = lines[i];
        line_sizes[i] = strlen(lines[i]);
    }
    for (size_t i = 0; i < CONTROLS; i++)
        snprintf(pieces[BYTE_PIECES + MERGES + i], PIECE_SIZE_MAX, "%s", controls[i]);
    for (size_t i = 0; i < VOCAB; i++) {
        texts[i] = pieces[i];
        sizes[i] = strlen(pieces[i]);
        types[i] = i < BYTE_PIECES + MERGES ? 1 : 3;
    }
    gguf_write_string(writer, "tokenizer.ggml.model", "gpt2");
    gguf_write_string(writer, "tokenizer.ggml.pre", "qwen2");
    gguf_write_strings(writer, "tokenizer.ggml.tokens", texts, sizes, VOCAB);
    gguf_write_ints(writer, "tokenizer.ggml.token_type", types, VOCAB);
    gguf_write_strings(writer, "tokenizer.ggml.merges", line_texts, line_sizes, MERGES);
    gguf_write_u32(writer, "tokenizer.ggml.eos_token_id", BYTE_PIECES + MERGES + 2);
    gguf_write_u32(writer, "tokenizer.ggml.bos_token_id", BYTE_PIECES + MERGES);
    gguf_write_u32(writer, "tokenizer.ggml.padding_token_id", BYTE_PIECES + MERGES + 3);
    gguf_write_bool(writer, "tokenizer.ggml.add_bos_token", false);
    gguf_write_string(writer, "tokenizer.chat_template", chat_template);
}

/* Nearest half-precision number, ties to even; `value` is small and finite. */
static uint16_t to_half(float value)
{
    uint16_t sign = value < 0 ? 0x8000 : 0;
    float size = fabsf(value);
    if (size < 0x1p-24f) return sign;
    int exponent;
    frexpf(size, &exponent);                             // size in [2^(exponent-1), 2^exponent)
    int scale = exponent - 1 < -14 ? -14 : exponent - 1; // denormals share the lowest exponent
    unsigned units = (unsigned)rintf(ldexpf(size, 10 - scale));
    return (uint16_t)(sign | (unsigned)(((scale + 14) << 10) + (int)units));
}

static float from_half(uint16_t half)
{
    int exponent = half >> 10 & 31;
    unsigned units = (half & 1023) + (exponent ? 1024 : 0);
    float size = ldexpf((float)units, (exponent ? exponent : 1) - 25);
    return half & 0x8000 ? -size : size;
}

/* Blocks of 32: a half-precision scale, then 32 signed bytes. */
static void pack_q8(uint8_t *out, const float *values, size_t count)
{
    for (size_t block = 0; block < count / 32; block++, out += 34, values += 32) {
        float most = 0;
        for (size_t i = 0; i < 32; i++)
            most = fmaxf(most, fabsf(values[i]));
        uint16_t half = to_half(most / 127);
        float scale = from_half(half);
        memcpy(out, &half, sizeof half);
        for (size_t i = 0; i < 32; i++) {
            float units = scale > 0 ? rintf(values[i] / scale) : 0;
            out[2 + i] = (uint8_t)(int8_t)fmaxf(-127, fminf(127, units));
        }
    }
}

struct maker {
    struct gguf_writer *writer;
    struct rand rand;
    uint32_t type;
};

/* About normal: the sum of four uniform numbers, variance 1. */
static float draw(struct maker *maker)
{
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += rand_unit(rand_next(&maker->rand)) - 0.5;
    return (float)(sum * 1.7320508);
}

static void add_vector(struct maker *maker, const char *name, uint64_t size, float mean,
                       float spread)
{
    float *values = mem_new(size, sizeof *values);
    for (uint64_t i = 0; i < size; i++)
        values[i] = mean + spread * draw(maker);
    gguf_write_tensor(maker->writer, name, GGUF_TENSOR_F32, &size, 1, values,
                      size * sizeof *values);
    mem_free(values);
}

static void add_matrix(struct maker *maker, const char *name, uint64_t columns, uint64_t rows,
                       float spread)
{
    uint64_t dims[2] = {columns, rows};
    size_t count = (size_t)(columns * rows);
    float *values = mem_new(count, sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = spread * draw(maker);
    if (maker->type == GGUF_TENSOR_F32) {
        gguf_write_tensor(maker->writer, name, maker->type, dims, 2, values,
                          count * sizeof *values);
    } else if (maker->type == GGUF_TENSOR_F16) {
        uint16_t *halves = mem_new(count, sizeof *halves);
        for (size_t i = 0; i < count; i++)
            halves[i] = to_half(values[i]);
        gguf_write_tensor(maker->writer, name, maker->type, dims, 2, halves,
                          count * sizeof *halves);
        mem_free(halves);
    } else {
        must(maker->type == GGUF_TENSOR_Q8_0 && columns % 32 == 0);
        uint8_t *blocks = mem_new(count / 32, 34);
        pack_q8(blocks, values, count);
        gguf_write_tensor(maker->writer, name, maker->type, dims, 2, blocks, count / 32 * 34);
        mem_free(blocks);
    }
    mem_free(values);
}

static void add_layer(struct maker *maker, const char *architecture, unsigned layer,
                      uint32_t head_dim, uint32_t ffn_dim)
{
    char name[64];
    uint32_t q_dim = HEADS * head_dim;
    uint32_t kv_dim = KV_HEADS * head_dim;
#define NAME(suffix) (snprintf(name, sizeof name, "blk.%u." suffix, layer), name)
    add_vector(maker, NAME("attn_norm.weight"), TINY_MODEL_DIM, 1, 0.1F);
    add_matrix(maker, NAME("attn_q.weight"), TINY_MODEL_DIM, q_dim, 0.2F);
    add_matrix(maker, NAME("attn_k.weight"), TINY_MODEL_DIM, kv_dim, 0.2F);
    add_matrix(maker, NAME("attn_v.weight"), TINY_MODEL_DIM, kv_dim, 0.2F);
    add_matrix(maker, NAME("attn_output.weight"), q_dim, TINY_MODEL_DIM, 0.2F);
    if (strcmp(architecture, "qwen2") == 0) {
        add_vector(maker, NAME("attn_q.bias"), q_dim, 0, 0.5F);
        add_vector(maker, NAME("attn_k.bias"), kv_dim, 0, 0.5F);
        add_vector(maker, NAME("attn_v.bias"), kv_dim, 0, 0.5F);
    }
    if (strcmp(architecture, "qwen3") == 0) {
        add_vector(maker, NAME("attn_q_norm.weight"), head_dim, 1.5F, 0.2F);
        add_vector(maker, NAME("attn_k_norm.weight"), head_dim, 1.5F, 0.2F);
    }
    add_vector(maker, NAME("ffn_norm.weight"), TINY_MODEL_DIM, 1, 0.1F);
    add_matrix(maker, NAME("ffn_gate.weight"), TINY_MODEL_DIM, ffn_dim, 0.2F);
    add_matrix(maker, NAME("ffn_up.weight"), TINY_MODEL_DIM, ffn_dim, 0.2F);
    add_matrix(maker, NAME("ffn_down.weight"), ffn_dim, TINY_MODEL_DIM, 0.2F);
#undef NAME
}

static void write_shape(struct gguf_writer *writer, const char *architecture, uint32_t head_dim,
                        uint32_t ffn_dim)
{
    char key[64];
#define KEY(suffix) (snprintf(key, sizeof key, "%s." suffix, architecture), key)
    gguf_write_u32(writer, KEY("context_length"), TINY_MODEL_CONTEXT);
    gguf_write_u32(writer, KEY("embedding_length"), TINY_MODEL_DIM);
    gguf_write_u32(writer, KEY("block_count"), TINY_MODEL_LAYERS);
    gguf_write_u32(writer, KEY("feed_forward_length"), ffn_dim);
    gguf_write_u32(writer, KEY("attention.head_count"), HEADS);
    gguf_write_u32(writer, KEY("attention.head_count_kv"), KV_HEADS);
    gguf_write_u32(writer, KEY("attention.key_length"), head_dim);
    gguf_write_u32(writer, KEY("attention.value_length"), head_dim);
    gguf_write_f32(writer, KEY("attention.layer_norm_rms_epsilon"), 1e-6F);
    gguf_write_f32(writer, KEY("rope.freq_base"), 10000);
    gguf_write_u32(writer, KEY("vocab_size"), VOCAB);
#undef KEY
}

void tiny_model_write(struct buf *out, const struct tiny_model *options)
{
    const char *architecture = options->architecture ? options->architecture : "qwen3";
    bool llama = strcmp(architecture, "llama") == 0;
    // qwen3 has heads x head_dim != dim; a float model has a row length of no multiple of 32.
    uint32_t head_dim = strcmp(architecture, "qwen3") == 0 ? 32 : 16;
    uint32_t ffn_dim = options->type == GGUF_TENSOR_Q8_0 ? 96 : 92;

    struct maker maker = {.writer = gguf_writer_new(), .type = options->type};
    rand_init(&maker.rand, options->seed);
    gguf_write_string(maker.writer, "general.architecture", architecture);
    gguf_write_string(maker.writer, "general.name", options->name ? options->name : "tiny");
    write_shape(maker.writer, architecture, head_dim, ffn_dim);
    write_vocab(maker.writer);
    if (options->extend) options->extend(maker.writer);
    if (!options->vocab_only) {
        add_matrix(&maker, "token_embd.weight", TINY_MODEL_DIM, VOCAB, 0.5F);
        add_vector(&maker, "output_norm.weight", TINY_MODEL_DIM, 1, 0.1F);
        if (llama) add_matrix(&maker, "output.weight", TINY_MODEL_DIM, VOCAB, 0.3F);
        if (options->rope_freqs) add_vector(&maker, "rope_freqs.weight", head_dim / 2, 4, 1);
        for (unsigned layer = 0; layer < TINY_MODEL_LAYERS; layer++)
            add_layer(&maker, architecture, layer, head_dim, ffn_dim);
    }
    gguf_writer_finish(maker.writer, out);
    gguf_writer_free(maker.writer);
}

void tiny_model_file_bytes(char path[TINY_MODEL_PATH_MAX], const void *bytes, size_t size)
{
    const char *folder = getenv("TMPDIR");
    snprintf(path, TINY_MODEL_PATH_MAX, "%s/qiao-tiny-XXXXXX", folder && *folder ? folder : "/tmp");
    int file = mkstemp(path);
    must(file >= 0);
    FILE *stream = fdopen(file, "wb");
    must(stream && fwrite(bytes, 1, size, stream) == size);
    must(fclose(stream) == 0);
}

void tiny_model_file(char path[TINY_MODEL_PATH_MAX], const struct tiny_model *options)
{
    struct buf image = {0};
    tiny_model_write(&image, options);
    tiny_model_file_bytes(path, image.data, image.size);
    buf_fini(&image);
}
