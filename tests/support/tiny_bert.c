#include "tests/support/tiny_bert.h"

#include "kernels/quant.h"

#include "base/buf.h"
#include "base/gguf.h"
#include "base/mem.h"
#include "base/rand.h"

#include <stdio.h>
#include <string.h>

enum {
    LAYERS = 2,
    FFN = 128,
    HEADS = 4,
    MARKS = 4
};

struct writing {
    struct gguf_writer *writer;
    const struct tiny_bert *options;
    struct rand rand;
};

/* Values around `middle`; a matrix when rows > 0. */
static void add(struct writing *w, const char *name, uint64_t columns, uint64_t rows, float middle)
{
    size_t count = (size_t)(columns * (rows ? rows : 1));
    float *values = mem_new(count, sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = middle + (float)(rand_unit(rand_next(&w->rand)) - 0.5) * 0.5f;
    uint64_t dims[2] = {columns, rows};
    const char *without = w->options->without;
    bool quantised = rows > 0 && w->options->type == GGUF_TENSOR_Q8_0;
    unsigned char *packed = mem_new(count, sizeof(float));
    size_t size = quantised ? quant_row_size(GGUF_TENSOR_Q8_0, (size_t)columns) : 0;
    for (uint64_t row = 0; quantised && row < rows; row++)
        quant_row_to_q8_0(values + row * columns, packed + row * size, (size_t)columns);
    if (!without || strcmp(name, without) != 0)
        gguf_write_tensor(w->writer, name, quantised ? GGUF_TENSOR_Q8_0 : GGUF_TENSOR_F32, dims,
                          rows ? 2 : 1, quantised ? (void *)packed : values,
                          quantised ? size * (size_t)rows : count * sizeof *values);
    mem_free(packed);
    mem_free(values);
}

static void add_layer(struct writing *w, int layer)
{
    static const struct {
        const char *name;
        uint64_t columns, rows;
        float middle;
    } tensors[] = {
        {"attn_q.weight", TINY_BERT_DIM, TINY_BERT_DIM, 0},
        {"attn_q.bias", TINY_BERT_DIM, 0, 0},
        {"attn_k.weight", TINY_BERT_DIM, TINY_BERT_DIM, 0},
        {"attn_k.bias", TINY_BERT_DIM, 0, 0},
        {"attn_v.weight", TINY_BERT_DIM, TINY_BERT_DIM, 0},
        {"attn_v.bias", TINY_BERT_DIM, 0, 0},
        {"attn_output.weight", TINY_BERT_DIM, TINY_BERT_DIM, 0},
        {"attn_output.bias", TINY_BERT_DIM, 0, 0},
        {"attn_output_norm.weight", TINY_BERT_DIM, 0, 1},
        {"attn_output_norm.bias", TINY_BERT_DIM, 0, 0},
        {"ffn_up.weight", TINY_BERT_DIM, FFN, 0},
        {"ffn_up.bias", FFN, 0, 0},
        {"ffn_down.weight", FFN, TINY_BERT_DIM, 0},
        {"ffn_down.bias", TINY_BERT_DIM, 0, 0},
        {"layer_output_norm.weight", TINY_BERT_DIM, 0, 1},
        {"layer_output_norm.bias", TINY_BERT_DIM, 0, 0},
    };

    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%d.%s", layer, tensors[i].name);
        add(w, name, tensors[i].columns, tensors[i].rows, tensors[i].middle);
    }
}

static void write_vocab(struct gguf_writer *writer)
{
    static const char *const marks[MARKS] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]"};
    char pieces[TINY_BERT_VOCAB][16];
    const char *texts[TINY_BERT_VOCAB];
    size_t sizes[TINY_BERT_VOCAB];
    int32_t types[TINY_BERT_VOCAB];
    for (int i = 0; i < TINY_BERT_VOCAB; i++) {
        if (i < MARKS)
            snprintf(pieces[i], sizeof pieces[i], "%s", marks[i]);
        else
            snprintf(pieces[i], sizeof pieces[i], "\xE2\x96\x81%c", 'a' + (i - MARKS) % 26);
        texts[i] = pieces[i];
        sizes[i] = strlen(pieces[i]);
        types[i] = i < MARKS ? 3 : 1;
    }
    gguf_write_string(writer, "tokenizer.ggml.model", "bert");
    gguf_write_strings(writer, "tokenizer.ggml.tokens", texts, sizes, TINY_BERT_VOCAB);
    gguf_write_ints(writer, "tokenizer.ggml.token_type", types, TINY_BERT_VOCAB);
}

void tiny_bert_file(char path[TINY_MODEL_PATH_MAX], const struct tiny_bert *options)
{
    struct buf image = {0};
    struct writing w = {.writer = gguf_writer_new(), .options = options};
    rand_init(&w.rand, 11);
    gguf_write_string(w.writer, "general.architecture", "bert");
    gguf_write_string(w.writer, "general.name", "tiny-bert");
    gguf_write_u32(w.writer, "bert.block_count", LAYERS);
    gguf_write_u32(w.writer, "bert.embedding_length", TINY_BERT_DIM);
    gguf_write_u32(w.writer, "bert.feed_forward_length", FFN);
    gguf_write_u32(w.writer, "bert.attention.head_count", HEADS);
    gguf_write_f32(w.writer, "bert.attention.layer_norm_epsilon", 1e-12f);
    gguf_write_u32(w.writer, "bert.context_length", TINY_BERT_CONTEXT);
    gguf_write_u32(w.writer, "bert.pooling_type", options->pooling ? options->pooling : 1);
    write_vocab(w.writer);
    add(&w, "token_embd.weight", TINY_BERT_DIM, TINY_BERT_VOCAB, 0);
    add(&w, "position_embd.weight", TINY_BERT_DIM, TINY_BERT_CONTEXT, 0);
    add(&w, "token_types.weight", TINY_BERT_DIM, 2, 0);
    add(&w, "token_embd_norm.weight", TINY_BERT_DIM, 0, 1);
    add(&w, "token_embd_norm.bias", TINY_BERT_DIM, 0, 0);
    for (int layer = 0; layer < LAYERS; layer++)
        add_layer(&w, layer);
    if (options->head) {
        add(&w, "cls.weight", TINY_BERT_DIM, TINY_BERT_DIM, 0);
        add(&w, "cls.bias", TINY_BERT_DIM, 0, 0);
        add(&w, "cls.output.weight", TINY_BERT_DIM, 1, 0);
        add(&w, "cls.output.bias", 1, 0, 0);
    }
    gguf_writer_finish(w.writer, &image);
    gguf_writer_free(w.writer);
    tiny_model_file_bytes(path, image.data, image.size);
    buf_fini(&image);
}
