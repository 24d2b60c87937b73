#include "node/model/hyper.h"

#include "base/gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *hyper_key(struct hyper *hyper, const char *name)
{
    snprintf(hyper->key, sizeof hyper->key, "%s.%s", hyper->architecture, name);
    return hyper->key;
}

enum err hyper_range(const char *key, uint32_t value, uint32_t least, uint32_t most)
{
    if (value >= least && value <= most) return ERR_OK;
    return err_note(ERR_FORMAT, "model: %s is %" PRIu32 ", not in %" PRIu32 "..%" PRIu32, key,
                    value, least, most);
}

enum err hyper_count(struct hyper *hyper, const char *name, uint32_t most, uint32_t *out)
{
    uint32_t value;
    const char *key = hyper_key(hyper, name);
    TRY(gguf_get_u32(hyper->gguf, key, &value));
    TRY(hyper_range(key, value, 1, most));
    *out = value;
    return ERR_OK;
}

enum err hyper_count_or(struct hyper *hyper, const char *name, uint32_t most, uint32_t *out)
{
    if (!gguf_has(hyper->gguf, hyper_key(hyper, name))) return ERR_OK;
    return hyper_count(hyper, name, most, out);
}

enum err hyper_number(struct hyper *hyper, const char *name, float least, float most, float *out)
{
    float value;
    const char *key = hyper_key(hyper, name);
    TRY(gguf_get_f32(hyper->gguf, key, &value));
    if (!(value > least && value <= most)) {
        return err_note(ERR_FORMAT, "model: %s is %g, not above %g and at most %g", key,
                        (double)value, (double)least, (double)most);
    }
    *out = value;
    return ERR_OK;
}

void hyper_name(char out[HYPER_NAME_MAX], const struct gguf *gguf)
{
    struct gguf_string name;
    if (gguf_get_string(gguf, "general.name", &name) != ERR_OK) return;
    if (name.size == 0 || name.size >= HYPER_NAME_MAX) return;
    for (size_t i = 0; i < name.size; i++) {
        unsigned char byte = (unsigned char)name.text[i];
        if (byte < 0x20 || byte == 0x7F) return;
    }
    memcpy(out, name.text, name.size);
    out[name.size] = 0;
}

void hyper_name_by_path(char name[HYPER_NAME_MAX], const char *path)
{
    if (name[0]) return;
    const char *slash = strrchr(path, '/');
    const char *stem = slash ? slash + 1 : path;
    size_t size = strlen(stem);
    if (size > 5 && strcmp(stem + size - 5, ".gguf") == 0) size -= 5;
    if (size >= HYPER_NAME_MAX) size = HYPER_NAME_MAX - 1;
    memcpy(name, stem, size);
}

enum err hyper_vocab(struct hyper *hyper, uint32_t *out)
{
    const struct gguf_tensor *embedding = gguf_find_tensor(hyper->gguf, "token_embd.weight");
    if (!embedding) {
        return err_note(ERR_FORMAT, "model: tensor 'token_embd.weight' is missing%s",
                        gguf_tensor_count(hyper->gguf) ? "" : " (a vocabulary without weights?)");
    }
    uint64_t rows = embedding->dims[1];
    if (rows < 1 || rows > HYPER_VOCAB_MAX) {
        return err_note(ERR_FORMAT,
                        "model: tensor 'token_embd.weight' has %" PRIu64 " rows, not 1..%d", rows,
                        HYPER_VOCAB_MAX);
    }
    *out = (uint32_t)rows;
    static const char *const tokens = "tokenizer.ggml.tokens";
    if (gguf_has(hyper->gguf, tokens)) {
        enum gguf_value_type type;
        size_t count;
        TRY(gguf_get_array(hyper->gguf, tokens, &type, &count));
        if (count != rows) {
            return err_note(ERR_FORMAT,
                            "model: %s has %zu entries, token_embd.weight %" PRIu64 " rows", tokens,
                            count, rows);
        }
    }
    uint32_t stated = *out;
    TRY(hyper_count_or(hyper, "vocab_size", HYPER_VOCAB_MAX, &stated));
    if (stated != *out) {
        return err_note(ERR_FORMAT,
                        "model: %s is %" PRIu32 ", token_embd.weight has %" PRIu64 " rows",
                        hyper->key, stated, rows);
    }
    return ERR_OK;
}
