/* loader_seeds DIRECTORY: the heads of small encoders and recommenders, as seeds of loader_fuzz. */
#include "tests/support/tiny_bert.h"
#include "tests/support/tiny_sasrec.h"

#include "base/gguf.h"
#include "base/must.h"

#include <stdio.h>
#include <unistd.h>

/* All of the file that stands before its numbers. */
static void write_head(const char *directory, const char *name, const char *path)
{
    struct gguf *gguf;
    char out[512];
    size_t size;
    must(gguf_open(&gguf, path) == ERR_OK);
    const char *bytes = gguf_bytes(gguf, &size);
    for (size_t i = 0; i < gguf_tensor_count(gguf); i++) {
        const char *data = gguf_tensor_at(gguf, i)->data;
        if (data && (size_t)(data - bytes) < size) size = (size_t)(data - bytes);
    }
    snprintf(out, sizeof out, "%s/%s.gguf", directory, name);
    FILE *file = fopen(out, "wb");
    must(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
    gguf_close(gguf);
    unlink(path);
}

int main(int argc, char **argv)
{
    static const struct tiny_bert berts[] = {
        {.pooling = 1}, {.pooling = 2, .type = GGUF_TENSOR_Q8_0}, {.pooling = 4, .head = true}};
    char path[TINY_MODEL_PATH_MAX], name[32];
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    for (size_t i = 0; i < sizeof berts / sizeof *berts; i++) {
        tiny_bert_file(path, &berts[i]);
        snprintf(name, sizeof name, "bert-%zu", i);
        write_head(argv[1], name, path);
    }
    for (int named = 0; named < 2; named++) {
        tiny_sasrec_file(path, &(struct tiny_sasrec){.items = 9,
                                                     .dim = 16,
                                                     .context = 8,
                                                     .blocks = 1,
                                                     .ffn = 32,
                                                     .heads = 2,
                                                     .item_ids = named});
        write_head(argv[1], named ? "sasrec-named" : "sasrec", path);
    }
    return 0;
}
