/* Writes the GGUF fuzzer's corpus into a directory: `gguf_seeds DIRECTORY`. The files are
 * committed; this is how they were made, and how new ones are added. */
#include "base/buf.h"
#include "base/gguf.h"
#include "base/must.h"

#include <stdio.h>
#include <string.h>

static const char *directory;

/* `err` is what the reader must say: a seed that is refused where it should open teaches
 * the fuzzer little. */
static void save(const char *name, struct buf *image, enum err err)
{
    struct gguf *gguf = NULL;
    must(gguf_parse(&gguf, image->data, image->size) == err);
    gguf_close(gguf);
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.gguf", directory, name);
    FILE *file = fopen(path, "wb");
    must(file);
    must(fwrite(image->data, 1, image->size, file) == image->size);
    must(fclose(file) == 0);
    buf_fini(image);
}

static void finish(const char *name, struct gguf_writer *writer, enum err err)
{
    struct buf image = {0};
    gguf_writer_finish(writer, &image);
    gguf_writer_free(writer);
    save(name, &image, err);
}

static void write_model(void)
{
    static const char *const words[] = {"<s>", "", "a", "桥", "\xE6\xA1"};
    static const int32_t kinds[] = {3, 1, 1, 1, 6};
    static const float scores[] = {0, -1, -2.5f, 1e-40f, -3.0e38f};
    struct gguf_writer *writer = gguf_writer_new();
    gguf_write_string(writer, "general.architecture", "llama");
    gguf_write_string(writer, "general.name", "seed");
    gguf_write_u32(writer, "general.alignment", 32);
    gguf_write_u32(writer, "llama.context_length", 128);
    gguf_write_u32(writer, "llama.embedding_length", 32);
    gguf_write_f32(writer, "llama.rope.freq_base", 10000.0f);
    gguf_write_strings(writer, "tokenizer.ggml.tokens", words, NULL, 5);
    gguf_write_ints(writer, "tokenizer.ggml.token_type", kinds, 5);
    gguf_write_floats(writer, "tokenizer.ggml.scores", scores, 5);
    gguf_write_bool(writer, "tokenizer.ggml.add_bos_token", true);
    gguf_write_i32(writer, "tokenizer.ggml.eos_token_id", -1);
    unsigned char data[128] = {1, 2, 3};
    gguf_write_tensor(writer, "token_embd.weight", GGUF_TENSOR_Q8_0, (uint64_t[]){32, 2}, 2, data,
                      68);
    gguf_write_tensor(writer, "output_norm.weight", GGUF_TENSOR_F32, (uint64_t[]){32}, 1, data,
                      128);
    finish("model", writer, ERR_OK);
}

/* One block of every tensor type, with one, two, three and four dimensions in turn. */
static void write_types(void)
{
    static const struct {
        uint32_t type, elements, size;
    } rows[] = {{GGUF_TENSOR_F32, 1, 4},      {GGUF_TENSOR_F16, 1, 2},
                {GGUF_TENSOR_BF16, 1, 2},     {GGUF_TENSOR_Q4_0, 32, 18},
                {GGUF_TENSOR_Q4_1, 32, 20},   {GGUF_TENSOR_Q5_0, 32, 22},
                {GGUF_TENSOR_Q5_1, 32, 24},   {GGUF_TENSOR_Q8_0, 32, 34},
                {GGUF_TENSOR_Q8_1, 32, 36},   {GGUF_TENSOR_Q2_K, 256, 84},
                {GGUF_TENSOR_Q3_K, 256, 110}, {GGUF_TENSOR_Q4_K, 256, 144},
                {GGUF_TENSOR_Q5_K, 256, 176}, {GGUF_TENSOR_Q6_K, 256, 210},
                {GGUF_TENSOR_Q8_K, 256, 292}, {77, 1, 4}};

    unsigned char data[292] = {0};
    struct gguf_writer *writer = gguf_writer_new();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%zu", i);
        gguf_write_tensor(writer, name, rows[i].type, (uint64_t[]){rows[i].elements, 1, 1, 1},
                          (uint32_t)(1 + i % 4), data, rows[i].size);
    }
    finish("types", writer, ERR_OK);
}

static void add_pair(struct buf *image, const char *key, uint32_t type)
{
    uint64_t size = strlen(key);
    buf_add(image, &size, sizeof size);
    buf_add_text(image, key);
    buf_add(image, &type, sizeof type);
}

/* Every value type, alone and as an array of two, in both versions: the writer knows only some. */
static void write_values(uint32_t version)
{
    static const uint32_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    static const unsigned char bytes[24] = {1, 1, 0, 0x80};
    struct buf image = {0};
    const uint64_t tensors = 0, pairs = 24, two = 2;
    buf_add(&image, "GGUF", 4);
    buf_add(&image, &version, sizeof version);
    buf_add(&image, &tensors, sizeof tensors);
    buf_add(&image, &pairs, sizeof pairs);
    for (uint32_t type = GGUF_U8; type <= GGUF_F64; type++) {
        if (type == GGUF_ARRAY) continue;
        char key[32];
        snprintf(key, sizeof key, "general.v%u", type);
        add_pair(&image, key, type);
        const uint64_t text_size = 1;
        if (type == GGUF_STRING) buf_add(&image, &text_size, sizeof text_size);
        buf_add(&image, bytes, type == GGUF_STRING ? 1 : sizes[type]);

        snprintf(key, sizeof key, "tokenizer.a%u", type);
        add_pair(&image, key, GGUF_ARRAY);
        buf_add(&image, &type, sizeof type);
        buf_add(&image, &two, sizeof two);
        // Two strings of no bytes are sixteen zeros.
        static const unsigned char zeros[16];
        buf_add(&image, type == GGUF_STRING ? zeros : bytes,
                type == GGUF_STRING ? sizeof zeros : 2 * sizes[type]);
    }
    save(version == 2 ? "values-v2" : "values-v3", &image, ERR_OK);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    directory = argv[1];
    write_model();
    write_types();
    write_values(2);
    write_values(3);
    finish("empty", gguf_writer_new(), ERR_OK);

    struct gguf_writer *writer = gguf_writer_new();
    gguf_write_u32(writer, "twin", 1);
    gguf_write_u32(writer, "twin", 2);
    finish("twins", writer, ERR_FORMAT);

    writer = gguf_writer_new();
    gguf_write_u32(writer, "general.alignment", 4096);
    gguf_write_tensor(writer, "a", GGUF_TENSOR_F32, (uint64_t[]){1}, 1, "1234", 4);
    finish("short-4096", writer, ERR_FORMAT);
    return 0;
}
