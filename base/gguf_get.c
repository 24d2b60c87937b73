#include "base/buf.h"
#include "base/gguf.h"
#include "base/gguf_image.h"
#include "base/must.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

bool gguf_has(const struct gguf *gguf, const char *key)
{
    return gguf_find_pair(gguf, key) != NULL;
}

static enum err need_pair(const struct gguf *gguf, const char *key, const struct gguf_pair **out)
{
    const struct gguf_pair *pair = gguf_find_pair(gguf, key);
    if (!pair) return err_note(ERR_NOT_FOUND, "gguf: key '%s' is missing", key);
    *out = pair;
    return ERR_OK;
}

static bool is_integer(uint32_t type)
{
    return type <= GGUF_I32 || type == GGUF_U64 || type == GGUF_I64;
}

/* An integer of any width. One above INT64_MAX is answered as INT64_MAX, which fits nothing
 * that we ask for. */
static int64_t integer_at(const uint8_t *bytes, uint32_t type)
{
    uint64_t raw = 0;
    memcpy(&raw, bytes, gguf_value_size(type));
    switch (type) {
    case GGUF_I8: return (int8_t)raw;
    case GGUF_I16: return (int16_t)raw;
    case GGUF_I32: return (int32_t)raw;
    case GGUF_I64: return (int64_t)raw;
    default: return raw > INT64_MAX ? INT64_MAX : (int64_t)raw;
    }
}

static float float_at(const uint8_t *bytes, uint32_t type)
{
    if (type == GGUF_F32) {
        float value;
        memcpy(&value, bytes, sizeof value);
        return value;
    }
    double value;
    memcpy(&value, bytes, sizeof value);
    return (float)value;
}

enum err gguf_get_u32(const struct gguf *gguf, const char *key, uint32_t *out)
{
    const struct gguf_pair *pair = NULL;
    TRY(need_pair(gguf, key, &pair));
    if (!is_integer(pair->type))
        return err_note(ERR_FORMAT, "gguf: key '%s' is not an integer", key);
    int64_t value = integer_at(gguf->bytes + pair->value, pair->type);
    if (value < 0 || value > UINT32_MAX)
        return err_note(ERR_FORMAT, "gguf: key '%s' is %" PRId64 ", must be 0 to %" PRIu32, key,
                        value, UINT32_MAX);
    *out = (uint32_t)value;
    return ERR_OK;
}

enum err gguf_get_f32(const struct gguf *gguf, const char *key, float *out)
{
    const struct gguf_pair *pair = NULL;
    TRY(need_pair(gguf, key, &pair));
    if (pair->type != GGUF_F32 && pair->type != GGUF_F64)
        return err_note(ERR_FORMAT, "gguf: key '%s' is not a float", key);
    float value = float_at(gguf->bytes + pair->value, pair->type);
    if (!isfinite(value)) return err_note(ERR_FORMAT, "gguf: key '%s' is not finite", key);
    *out = value;
    return ERR_OK;
}

enum err gguf_get_bool(const struct gguf *gguf, const char *key, bool *out)
{
    const struct gguf_pair *pair = NULL;
    TRY(need_pair(gguf, key, &pair));
    if (pair->type != GGUF_BOOL)
        return err_note(ERR_FORMAT, "gguf: key '%s' is not a boolean", key);
    *out = gguf->bytes[pair->value] != 0;
    return ERR_OK;
}

/* The string at `*at`, which was checked when the image was read; moves `*at` behind it. */
static struct gguf_string string_at(const struct gguf *gguf, size_t *at)
{
    uint64_t size;
    memcpy(&size, gguf->bytes + *at, sizeof size);
    const char *text = (const char *)gguf->bytes + *at + sizeof size;
    *at += sizeof size + (size_t)size;
    return (struct gguf_string){.text = text, .size = (size_t)size};
}

enum err gguf_get_string(const struct gguf *gguf, const char *key, struct gguf_string *out)
{
    const struct gguf_pair *pair = NULL;
    TRY(need_pair(gguf, key, &pair));
    if (pair->type != GGUF_STRING)
        return err_note(ERR_FORMAT, "gguf: key '%s' is not a string", key);
    size_t at = pair->value;
    *out = string_at(gguf, &at);
    return ERR_OK;
}

static enum err need_array(const struct gguf *gguf, const char *key, const struct gguf_pair **out)
{
    TRY(need_pair(gguf, key, out));
    if ((*out)->type != GGUF_ARRAY)
        return err_note(ERR_FORMAT, "gguf: key '%s' is not an array", key);
    return ERR_OK;
}

enum err gguf_get_array(const struct gguf *gguf, const char *key, enum gguf_value_type *type,
                        size_t *count)
{
    const struct gguf_pair *pair = NULL;
    TRY(need_array(gguf, key, &pair));
    *type = (enum gguf_value_type)pair->element;
    *count = (size_t)pair->count;
    return ERR_OK;
}

enum err gguf_get_strings(const struct gguf *gguf, const char *key, struct gguf_string *out,
                          size_t count)
{
    const struct gguf_pair *pair = NULL;
    TRY(need_array(gguf, key, &pair));
    if (pair->element != GGUF_STRING)
        return err_note(ERR_FORMAT, "gguf: key '%s' is not an array of strings", key);
    must(count == pair->count);
    size_t at = pair->value;
    for (size_t i = 0; i < count; i++)
        out[i] = string_at(gguf, &at);
    return ERR_OK;
}

enum err gguf_get_ints(const struct gguf *gguf, const char *key, int32_t *out, size_t count)
{
    const struct gguf_pair *pair = NULL;
    TRY(need_array(gguf, key, &pair));
    if (!is_integer(pair->element))
        return err_note(ERR_FORMAT, "gguf: key '%s' is not an array of integers", key);
    must(count == pair->count);
    size_t step = gguf_value_size(pair->element);
    for (size_t i = 0; i < count; i++) {
        int64_t value = integer_at(gguf->bytes + pair->value + i * step, pair->element);
        if (value < INT32_MIN || value > INT32_MAX)
            return err_note(ERR_FORMAT,
                            "gguf: key '%s': element %zu is %" PRId64
                            ", which does not fit 32 bits",
                            key, i, value);
        out[i] = (int32_t)value;
    }
    return ERR_OK;
}

enum err gguf_get_floats(const struct gguf *gguf, const char *key, float *out, size_t count)
{
    const struct gguf_pair *pair = NULL;
    TRY(need_array(gguf, key, &pair));
    if (pair->element != GGUF_F32 && pair->element != GGUF_F64)
        return err_note(ERR_FORMAT, "gguf: key '%s' is not an array of floats", key);
    must(count == pair->count);
    size_t step = gguf_value_size(pair->element);
    for (size_t i = 0; i < count; i++)
        out[i] = float_at(gguf->bytes + pair->value + i * step, pair->element);
    return ERR_OK;
}

static bool begins(struct gguf_string text, const char *with, size_t size)
{
    return text.size >= size && memcmp(text.text, with, size) == 0;
}

/* Is `key` "<architecture>.<one of the shapes that text needs>"? */
static bool is_shape_key(struct gguf_string key, struct gguf_string architecture)
{
    static const char *const tails[] = {".context_length", ".vocab_size", ".embedding_length",
                                        ".block_count", ".item_ids"};
    if (!begins(key, architecture.text, architecture.size)) return false;
    const char *tail = key.text + architecture.size;
    size_t size = key.size - architecture.size;
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
        if (size == strlen(tails[i]) && memcmp(tail, tails[i], size) == 0) return true;
    return false;
}

static bool is_packed(struct gguf_string key, struct gguf_string architecture)
{
    return begins(key, "tokenizer.", 10) || begins(key, "general.", 8) ||
           is_shape_key(key, architecture);
}

enum err gguf_write_pack(const struct gguf *gguf, struct buf *out)
{
    struct gguf_string architecture = {.text = "", .size = 0};
    if (gguf_has(gguf, "general.architecture"))
        TRY(gguf_get_string(gguf, "general.architecture", &architecture));

    const uint32_t version = GGUF_VERSION_MOST;
    const uint64_t tensors = 0;
    uint64_t kept = 0;
    uint64_t size = 4 + sizeof version + sizeof tensors + sizeof kept;
    for (size_t i = 0; i < gguf->pair_count; i++) {
        const struct gguf_pair *pair = &gguf->pairs[i];
        if (!is_packed(pair->key, architecture)) continue;
        kept++;
        size += pair->end - pair->start;
    }
    if (size > GGUF_PACK_MAX)
        return err_note(ERR_TOO_LARGE, "gguf: the text pack has %" PRIu64 " bytes, at most %d",
                        size, GGUF_PACK_MAX);

    buf_add(out, "GGUF", 4);
    buf_add(out, &version, sizeof version);
    buf_add(out, &tensors, sizeof tensors);
    buf_add(out, &kept, sizeof kept);
    for (size_t i = 0; i < gguf->pair_count; i++) {
        const struct gguf_pair *pair = &gguf->pairs[i];
        if (is_packed(pair->key, architecture))
            buf_add(out, gguf->bytes + pair->start, pair->end - pair->start);
    }
    return ERR_OK;
}
