/* The fuzzer's corpus as a plain test: a byte-level, a SentencePiece and a WordPiece pack, whole, cut, and with
 * seeded mutations, through the same entry as libFuzzer's. With a directory as argument the
 * packs are written there instead, as seeds for libFuzzer. */
#include "tests/support/tiny_model.h"

#include "base/buf.h"
#include "base/gguf.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <stdio.h>
#include <string.h>

enum {
    MUTATIONS = 15000,
    WORDS = 8,
    PIECES = 3 + 256 + WORDS
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void bpe_pack(struct buf *out)
{
    struct buf image = {0};
    struct gguf *gguf;
    tiny_model_write(&image, &(struct tiny_model){.vocab_only = true});
    must(gguf_parse(&gguf, image.data, image.size) == ERR_OK);
    must(gguf_write_pack(gguf, out) == ERR_OK);
    gguf_close(gguf);
    buf_fini(&image);
}

static void spm_pack(struct buf *out)
{
    static const char *const words[WORDS] = {"a",
                                             "b",
                                             "ab",
                                             "\xE2\x96\x81",
                                             "\xE2\x96\x81"
                                             "a",
                                             "abab",
                                             "\xE4\xB8\xAD",
                                             "<|im_end|>"};
    static char names[256][8];
    const char *pieces[PIECES] = {"<unk>", "<s>", "</s>"};
    int32_t types[PIECES] = {2, 3, 3};
    float scores[PIECES] = {0};
    size_t sizes[PIECES];
    for (int i = 0; i < 256; i++) {
        snprintf(names[i], sizeof names[i], "<0x%02X>", i);
        pieces[3 + i] = names[i];
        types[3 + i] = 6;
    }
    for (int i = 0; i < WORDS; i++) {
        pieces[259 + i] = words[i];
        types[259 + i] = i == WORDS - 1 ? 4 : 1;
        scores[259 + i] = (float)-i;
    }
    for (size_t i = 0; i < PIECES; i++)
        sizes[i] = strlen(pieces[i]);
    struct gguf_writer *writer = gguf_writer_new();
    gguf_write_string(writer, "general.architecture", "llama");
    gguf_write_u32(writer, "llama.context_length", 64);
    gguf_write_string(writer, "tokenizer.ggml.model", "llama");
    gguf_write_strings(writer, "tokenizer.ggml.tokens", pieces, sizes, PIECES);
    gguf_write_ints(writer, "tokenizer.ggml.token_type", types, PIECES);
    gguf_write_floats(writer, "tokenizer.ggml.scores", scores, PIECES);
    gguf_write_u32(writer, "tokenizer.ggml.unknown_token_id", 0);
    gguf_write_u32(writer, "tokenizer.ggml.bos_token_id", 1);
    gguf_write_u32(writer, "tokenizer.ggml.eos_token_id", 2);
    gguf_write_string(writer, "tokenizer.chat_template", "[INST] <<SYS>>");
    gguf_writer_finish(writer, out);
    gguf_writer_free(writer);
}

static void wordpiece_pack(struct buf *out)
{
    static const char *const pieces[] = {
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "\xE2\x96\x81"
        "ab",
        "ab",
        "b",
        "\xE2\x96\x81",
        "\xE2\x96\x81\xE4\xB8\xAD",
        "\xE2\x96\x81it",
        "\xE2\x96\x81'",
    };

    enum {
        COUNT = sizeof pieces / sizeof *pieces
    };

    static const int32_t types[COUNT] = {3, 3, 3, 1, 1, 1, 1, 1, 1, 1};
    size_t sizes[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        sizes[i] = strlen(pieces[i]);
    struct gguf_writer *writer = gguf_writer_new();
    gguf_write_string(writer, "general.architecture", "bert");
    gguf_write_u32(writer, "bert.context_length", 64);
    gguf_write_string(writer, "tokenizer.ggml.model", "bert");
    gguf_write_strings(writer, "tokenizer.ggml.tokens", pieces, sizes, COUNT);
    gguf_write_ints(writer, "tokenizer.ggml.token_type", types, COUNT);
    gguf_write_u32(writer, "tokenizer.ggml.unknown_token_id", 0);
    gguf_write_u32(writer, "tokenizer.ggml.cls_token_id", 1);
    gguf_write_u32(writer, "tokenizer.ggml.seperator_token_id", 2);
    gguf_writer_finish(writer, out);
    gguf_writer_free(writer);
}

/* Inputs lie in memory of exactly their size, so that a sanitizer sees a step beyond. */
static void try_input(const char *bytes, size_t size)
{
    char *copy = mem_new(size > 0 ? size : 1, 1);
    memcpy(copy, bytes, size);
    LLVMFuzzerTestOneInput((const uint8_t *)copy, size);
    mem_free(copy);
}

static size_t try_pack(const struct buf *pack, struct rand *rand)
{
    try_input(pack->data, pack->size);
    char *input = mem_new(pack->size, 1);
    for (int i = 0; i < MUTATIONS; i++) {
        memcpy(input, pack->data, pack->size);
        for (uint64_t hits = 1 + rand_below(rand, 2); hits > 0; hits--) {
            // Few blows, or no pack would open; half of them where keys and counts are dense.
            size_t at = rand_below(rand, rand_below(rand, 2) ? 1024 : pack->size);
            input[at % pack->size] =
                rand_below(rand, 2) ? (char)rand_next(rand) : (char)(input[at % pack->size] ^ 1);
        }
        try_input(input, rand_below(rand, 10) ? pack->size : rand_below(rand, pack->size));
    }
    mem_free(input);
    return MUTATIONS + 1;
}

static int write_seed(const char *directory, const char *name, const struct buf *pack)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    if (!file) {
        perror(path);
        return 1;
    }
    bool whole = fwrite(pack->data, 1, pack->size, file) == pack->size;
    return fclose(file) == 0 && whole ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct buf bpe = {0}, spm = {0}, wordpiece = {0};
    bpe_pack(&bpe);
    spm_pack(&spm);
    wordpiece_pack(&wordpiece);
    int status = 0;
    if (argc > 1) {
        status = write_seed(argv[1], "bpe.gguf", &bpe) | write_seed(argv[1], "spm.gguf", &spm) |
                 write_seed(argv[1], "wordpiece.gguf", &wordpiece);
    } else {
        struct rand rand;
        rand_init(&rand, 42);
        size_t inputs = try_pack(&bpe, &rand);
        inputs += try_pack(&spm, &rand);
        inputs += try_pack(&wordpiece, &rand);
        printf("%zu inputs\n", inputs);
    }
    buf_fini(&bpe);
    buf_fini(&spm);
    buf_fini(&wordpiece);
    return status;
}
