#include "base/gguf.h"

#include "base/gguf_image.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/private.h"

#include <sodium.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ALIGNMENT_DEFAULT = 32,
    ALIGNMENT_LEAST = 8, // the format's own rule; no value of a tensor is ever misaligned
    ALIGNMENT_MAX = 1 << 16,
    NOTE_NAME_MAX = 96 // bytes of a stranger's name that a note repeats
};

/* A place in the image. Every read checks what is left first. */
struct cursor {
    const uint8_t *bytes;
    size_t size;
    size_t at;
};

/* Blocks of a tensor type: `elements` values in `bytes` bytes. */
struct type_row {
    uint32_t type;
    const char *name;
    uint32_t elements;
    uint32_t bytes;
};

static const struct type_row type_rows[] = {
    {GGUF_TENSOR_F32, "F32", 1, 4},       {GGUF_TENSOR_F16, "F16", 1, 2},
    {GGUF_TENSOR_Q4_0, "Q4_0", 32, 18},   {GGUF_TENSOR_Q4_1, "Q4_1", 32, 20},
    {GGUF_TENSOR_Q5_0, "Q5_0", 32, 22},   {GGUF_TENSOR_Q5_1, "Q5_1", 32, 24},
    {GGUF_TENSOR_Q8_0, "Q8_0", 32, 34},   {GGUF_TENSOR_Q8_1, "Q8_1", 32, 36},
    {GGUF_TENSOR_Q2_K, "Q2_K", 256, 84},  {GGUF_TENSOR_Q3_K, "Q3_K", 256, 110},
    {GGUF_TENSOR_Q4_K, "Q4_K", 256, 144}, {GGUF_TENSOR_Q5_K, "Q5_K", 256, 176},
    {GGUF_TENSOR_Q6_K, "Q6_K", 256, 210}, {GGUF_TENSOR_Q8_K, "Q8_K", 256, 292},
    {GGUF_TENSOR_BF16, "BF16", 1, 2},
};

/* Bytes of one value of each metadata type; 0 for strings and arrays. */
static const size_t value_sizes[] = {
    [GGUF_U8] = 1,  [GGUF_I8] = 1,  [GGUF_U16] = 2,  [GGUF_I16] = 2,    [GGUF_U32] = 4,
    [GGUF_I32] = 4, [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_STRING] = 0, [GGUF_ARRAY] = 0,
    [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
};

enum {
    VALUE_TYPE_COUNT = sizeof value_sizes / sizeof *value_sizes
};

size_t gguf_value_size(uint32_t type)
{
    must(type < VALUE_TYPE_COUNT);
    return value_sizes[type];
}

static const struct type_row *find_type(uint32_t type)
{
    for (size_t i = 0; i < sizeof type_rows / sizeof *type_rows; i++)
        if (type_rows[i].type == type) return &type_rows[i];
    return NULL;
}

const char *gguf_tensor_type_name(uint32_t type)
{
    static _Thread_local char unknown[24];
    const struct type_row *row = find_type(type);
    if (row) return row->name;
    snprintf(unknown, sizeof unknown, "type %" PRIu32, type);
    return unknown;
}

/* A stranger's name for a note: cut, and with unprintable bytes as '?'. */
static const char *shown(struct gguf_string name)
{
    static _Thread_local char text[NOTE_NAME_MAX + 1];
    size_t size = name.size < NOTE_NAME_MAX ? name.size : NOTE_NAME_MAX;
    for (size_t i = 0; i < size; i++)
        text[i] = (name.text[i] >= 0x20 && name.text[i] < 0x7F) ? name.text[i] : '?';
    text[size] = '\0';
    return text;
}

/* SipHash-2-4 under the image's own key. */
static uint64_t hash_name(const struct gguf *gguf, const char *text, size_t size)
{
    static_assert(GGUF_HASH_KEY_SIZE == crypto_shorthash_KEYBYTES, "the key fits the hash");
    uint64_t hash;
    static_assert(sizeof hash == crypto_shorthash_BYTES, "the hash is 64 bits");
    crypto_shorthash((unsigned char *)&hash, (const unsigned char *)text, size, gguf->hash_key);
    return hash;
}

static void names_init(struct gguf_names *names, size_t count)
{
    size_t capacity = 16;
    while (capacity < count * 2)
        capacity *= 2;
    names->slots = mem_new(capacity, sizeof *names->slots);
    names->mask = capacity - 1;
}

static bool same_name(struct gguf_string a, const char *text, size_t size)
{
    return a.size == size && memcmp(a.text, text, size) == 0;
}

static struct gguf_string name_at(const struct gguf *gguf, const struct gguf_names *names,
                                  uint32_t slot)
{
    return names == &gguf->pair_names ? gguf->pairs[slot - 1].key : gguf->tensors[slot - 1].name;
}

/* The slot that holds the name, or the free one where it would go. */
static uint32_t *names_slot(const struct gguf *gguf, const struct gguf_names *names,
                            const char *text, size_t size)
{
    size_t at = hash_name(gguf, text, size) & names->mask;
    while (names->slots[at] && !same_name(name_at(gguf, names, names->slots[at]), text, size))
        at = (at + 1) & names->mask;
    return &names->slots[at];
}

static enum err take(struct cursor *cursor, const char *field, size_t size, const uint8_t **out)
{
    if (size > cursor->size - cursor->at)
        return err_note(ERR_FORMAT,
                        "gguf: %s at byte %zu needs %zu bytes, but the file ends after %zu", field,
                        cursor->at, size, cursor->size);
    *out = cursor->bytes + cursor->at;
    cursor->at += size;
    return ERR_OK;
}

static enum err take_u32(struct cursor *cursor, const char *field, uint32_t *out)
{
    const uint8_t *bytes;
    TRY(take(cursor, field, sizeof *out, &bytes));
    memcpy(out, bytes, sizeof *out); // GGUF is little-endian, and so are the machines we run on
    return ERR_OK;
}

static enum err take_u64(struct cursor *cursor, const char *field, uint64_t *out)
{
    const uint8_t *bytes;
    TRY(take(cursor, field, sizeof *out, &bytes));
    memcpy(out, bytes, sizeof *out);
    return ERR_OK;
}

static enum err take_string(struct cursor *cursor, const char *field, struct gguf_string *out)
{
    uint64_t size;
    const uint8_t *bytes;
    TRY(take_u64(cursor, field, &size));
    if (size > cursor->size - cursor->at)
        return err_note(ERR_FORMAT,
                        "gguf: %s at byte %zu has length %" PRIu64 ", but only %zu bytes are left",
                        field, cursor->at - 8, size, cursor->size - cursor->at);
    TRY(take(cursor, field, (size_t)size, &bytes));
    *out = (struct gguf_string){.text = (const char *)bytes, .size = (size_t)size};
    return ERR_OK;
}

static enum err take_name(struct cursor *cursor, const char *field, struct gguf_string *out)
{
    TRY(take_string(cursor, field, out));
    if (out->size == 0 || out->size > GGUF_NAME_MAX)
        return err_note(ERR_FORMAT, "gguf: %s at byte %zu has %zu bytes, must have 1 to %d", field,
                        cursor->at - out->size, out->size, GGUF_NAME_MAX);
    return ERR_OK;
}

static enum err skip_array(struct cursor *cursor, struct gguf_pair *pair)
{
    TRY(take_u32(cursor, "an array's element type", &pair->element));
    TRY(take_u64(cursor, "an array's count", &pair->count));
    if (pair->element >= VALUE_TYPE_COUNT || pair->element == GGUF_ARRAY)
        return err_note(ERR_FORMAT,
                        "gguf: key '%s': element type %" PRIu32 " is not one of 0 to 12 "
                        "but 9 (arrays of arrays are not read)",
                        shown(pair->key), pair->element);
    if (pair->count > GGUF_ARRAY_MAX)
        return err_note(ERR_FORMAT, "gguf: key '%s': an array of %" PRIu64 " elements, at most %d",
                        shown(pair->key), pair->count, GGUF_ARRAY_MAX);
    pair->value = cursor->at;
    if (pair->element == GGUF_STRING) {
        struct gguf_string ignored;
        for (uint64_t i = 0; i < pair->count; i++)
            TRY(take_string(cursor, shown(pair->key), &ignored));
        return ERR_OK;
    }
    const uint8_t *elements;
    size_t size = (size_t)pair->count * value_sizes[pair->element];
    return take(cursor, shown(pair->key), size, &elements);
}

static enum err take_pair(struct cursor *cursor, struct gguf_pair *pair)
{
    pair->start = cursor->at;
    TRY(take_name(cursor, "a metadata key", &pair->key));
    TRY(take_u32(cursor, "a value's type", &pair->type));
    if (pair->type >= VALUE_TYPE_COUNT)
        return err_note(ERR_FORMAT, "gguf: key '%s': value type %" PRIu32 " is not one of 0 to 12",
                        shown(pair->key), pair->type);
    pair->count = 1;
    pair->value = cursor->at;
    if (pair->type == GGUF_ARRAY) {
        TRY(skip_array(cursor, pair));
    } else if (pair->type == GGUF_STRING) {
        struct gguf_string ignored;
        TRY(take_string(cursor, shown(pair->key), &ignored));
    } else {
        const uint8_t *value;
        TRY(take(cursor, shown(pair->key), value_sizes[pair->type], &value));
        if (pair->type == GGUF_BOOL && *value > 1)
            return err_note(ERR_FORMAT, "gguf: key '%s': the boolean %d is not 0 or 1",
                            shown(pair->key), *value);
    }
    pair->end = cursor->at;
    return ERR_OK;
}

static enum err take_pairs(struct gguf *gguf, struct cursor *cursor)
{
    names_init(&gguf->pair_names, gguf->pair_count);
    gguf->pairs = mem_new(gguf->pair_count, sizeof *gguf->pairs);
    for (size_t i = 0; i < gguf->pair_count; i++) {
        struct gguf_pair *pair = &gguf->pairs[i];
        TRY(take_pair(cursor, pair));
        uint32_t *slot = names_slot(gguf, &gguf->pair_names, pair->key.text, pair->key.size);
        if (*slot) return err_note(ERR_FORMAT, "gguf: key '%s' stands twice", shown(pair->key));
        *slot = (uint32_t)i + 1;
    }
    return ERR_OK;
}

/* The bytes of a tensor, with every product checked. */
static enum err size_tensor(struct gguf_tensor *tensor)
{
    uint64_t elements = 1;
    for (uint32_t d = 0; d < tensor->dim_count; d++) {
        uint64_t dim = tensor->dims[d];
        if (dim == 0 || dim > INT64_MAX / elements)
            return err_note(ERR_FORMAT,
                            "gguf: tensor '%s': dimension %" PRIu32 " is %" PRIu64
                            ", which makes it empty or too large",
                            shown(tensor->name), d, dim);
        elements *= dim;
    }
    const struct type_row *row = find_type(tensor->type);
    if (!row) return ERR_OK; // size 0: nobody can read it, and the reader of the model says so
    if (tensor->dims[0] % row->elements != 0)
        return err_note(ERR_FORMAT,
                        "gguf: tensor '%s': rows of %" PRIu64
                        " values are no multiple of %s's blocks of %" PRIu32,
                        shown(tensor->name), tensor->dims[0], row->name, row->elements);
    uint64_t blocks = elements / row->elements;
    if (blocks > INT64_MAX / row->bytes)
        return err_note(ERR_FORMAT, "gguf: tensor '%s': %" PRIu64 " blocks are too many",
                        shown(tensor->name), blocks);
    tensor->size = blocks * row->bytes;
    return ERR_OK;
}

/* One row of the directory; the offset is kept in *offset until the data's start is known. */
static enum err take_tensor(struct cursor *cursor, struct gguf_tensor *tensor, uint64_t *offset)
{
    TRY(take_name(cursor, "a tensor's name", &tensor->name));
    TRY(take_u32(cursor, "a tensor's dimension count", &tensor->dim_count));
    if (tensor->dim_count == 0 || tensor->dim_count > GGUF_DIMS_MAX)
        return err_note(ERR_FORMAT, "gguf: tensor '%s': %" PRIu32 " dimensions, must be 1 to %d",
                        shown(tensor->name), tensor->dim_count, GGUF_DIMS_MAX);
    for (uint32_t d = 0; d < GGUF_DIMS_MAX; d++)
        tensor->dims[d] = 1;
    for (uint32_t d = 0; d < tensor->dim_count; d++)
        TRY(take_u64(cursor, "a tensor's dimension", &tensor->dims[d]));
    TRY(take_u32(cursor, "a tensor's type", &tensor->type));
    TRY(take_u64(cursor, "a tensor's offset", offset));
    return size_tensor(tensor);
}

static enum err place_tensor(const struct gguf *gguf, struct gguf_tensor *tensor, uint64_t start,
                             uint64_t offset)
{
    if (offset % gguf->alignment != 0)
        return err_note(ERR_FORMAT,
                        "gguf: tensor '%s': offset %" PRIu64
                        " is no multiple of the alignment %" PRIu64,
                        shown(tensor->name), offset, gguf->alignment);
    uint64_t room = start <= gguf->size ? gguf->size - start : 0;
    if (offset > room || tensor->size > room - offset)
        return err_note(ERR_FORMAT,
                        "gguf: tensor '%s': offset %" PRIu64 " + %" PRIu64
                        " bytes is past the end of the file (%" PRIu64 " bytes of tensors)",
                        shown(tensor->name), offset, tensor->size, room);
    if (tensor->size) tensor->data = gguf->bytes + start + offset;
    return ERR_OK;
}

static enum err take_tensors(struct gguf *gguf, struct cursor *cursor)
{
    names_init(&gguf->tensor_names, gguf->tensor_count);
    gguf->tensors = mem_new(gguf->tensor_count, sizeof *gguf->tensors);
    uint64_t *offsets = mem_new(gguf->tensor_count, sizeof *offsets);
    enum err err = ERR_OK;
    for (size_t i = 0; i < gguf->tensor_count && !err; i++) {
        struct gguf_tensor *tensor = &gguf->tensors[i];
        err = take_tensor(cursor, tensor, &offsets[i]);
        if (err) break;
        uint32_t *slot =
            names_slot(gguf, &gguf->tensor_names, tensor->name.text, tensor->name.size);
        if (*slot) {
            err = err_note(ERR_FORMAT, "gguf: tensor '%s' stands twice", shown(tensor->name));
        }
        *slot = (uint32_t)i + 1;
    }
    uint64_t start = (cursor->at + gguf->alignment - 1) / gguf->alignment * gguf->alignment;
    for (size_t i = 0; i < gguf->tensor_count && !err; i++)
        err = place_tensor(gguf, &gguf->tensors[i], start, offsets[i]);
    mem_free(offsets);
    return err;
}

static enum err take_head(struct gguf *gguf, struct cursor *cursor)
{
    const uint8_t *magic;
    uint32_t version;
    uint64_t tensors, pairs;
    TRY(take(cursor, "the magic", 4, &magic));
    if (memcmp(magic, "GGUF", 4) != 0)
        return err_note(ERR_FORMAT,
                        "gguf: the file begins with %02x %02x %02x %02x, not with "
                        "'GGUF'",
                        magic[0], magic[1], magic[2], magic[3]);
    TRY(take_u32(cursor, "the version", &version));
    if (version < GGUF_VERSION_LEAST || version > GGUF_VERSION_MOST)
        return err_note(ERR_FORMAT, "gguf: version %" PRIu32 ", must be %d or %d", version,
                        GGUF_VERSION_LEAST, GGUF_VERSION_MOST);
    TRY(take_u64(cursor, "the tensor count", &tensors));
    TRY(take_u64(cursor, "the pair count", &pairs));
    if (tensors > GGUF_TENSORS_MAX)
        return err_note(ERR_FORMAT, "gguf: %" PRIu64 " tensors, at most %d", tensors,
                        GGUF_TENSORS_MAX);
    if (pairs > GGUF_PAIRS_MAX)
        return err_note(ERR_FORMAT, "gguf: %" PRIu64 " metadata pairs, at most %d", pairs,
                        GGUF_PAIRS_MAX);
    gguf->tensor_count = (size_t)tensors;
    gguf->pair_count = (size_t)pairs;
    return ERR_OK;
}

static enum err read_alignment(struct gguf *gguf)
{
    uint32_t alignment = ALIGNMENT_DEFAULT;
    if (gguf_has(gguf, "general.alignment"))
        TRY(gguf_get_u32(gguf, "general.alignment", &alignment));
    if (alignment < ALIGNMENT_LEAST || alignment > ALIGNMENT_MAX ||
        (alignment & (alignment - 1)) != 0)
        return err_note(ERR_FORMAT,
                        "gguf: general.alignment is %" PRIu32
                        ", must be a power of two from %d to %d",
                        alignment, ALIGNMENT_LEAST, ALIGNMENT_MAX);
    gguf->alignment = alignment;
    return ERR_OK;
}

static enum err read_image(struct gguf *gguf)
{
    struct cursor cursor = {.bytes = gguf->bytes, .size = gguf->size};
    TRY(take_head(gguf, &cursor));
    TRY(take_pairs(gguf, &cursor));
    TRY(read_alignment(gguf));
    return take_tensors(gguf, &cursor);
}

static enum err finish_open(struct gguf **out, struct gguf *gguf)
{
    must(sodium_init() >= 0);
    crypto_shorthash_keygen(gguf->hash_key);
    enum err err = read_image(gguf);
    if (err) {
        gguf_close(gguf);
        return err;
    }
    *out = gguf;
    return ERR_OK;
}

enum err gguf_parse(struct gguf **out, const void *bytes, size_t size)
{
    struct gguf *gguf = mem_new(1, sizeof *gguf);
    gguf->bytes = bytes;
    gguf->size = size;
    return finish_open(out, gguf);
}

static enum err map_file(struct gguf *gguf, int file, const char *path)
{
    struct stat status;
    if (fstat(file, &status) != 0)
        return err_note(ERR_IO, "%s: cannot be examined: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode)) return err_note(ERR_IO, "%s: not a regular file", path);
    if (status.st_size == 0) return err_note(ERR_FORMAT, "%s: the file is empty", path);
    gguf->size = (size_t)status.st_size;
    void *bytes = mmap(NULL, gguf->size, PROT_READ, MAP_PRIVATE, file, 0);
    if (bytes == MAP_FAILED)
        return err_note(ERR_IO, "%s: cannot be mapped: %s", path, strerror(errno));
    private_unlock(bytes, gguf->size); // pages of a file that anyone may read are given back as ever
    gguf->bytes = bytes;
    gguf->mapped = true;
    return ERR_OK;
}

enum err gguf_open(struct gguf **out, const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return err_note(ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    struct gguf *gguf = mem_new(1, sizeof *gguf);
    enum err err = map_file(gguf, file, path);
    close(file); // the mapping stays
    if (err) {
        gguf_close(gguf);
        return err;
    }
    return finish_open(out, gguf);
}

void gguf_close(struct gguf *gguf)
{
    if (!gguf) return;
    if (gguf->mapped) munmap((void *)(uintptr_t)gguf->bytes, gguf->size);
    mem_free(gguf->pairs);
    mem_free(gguf->tensors);
    mem_free(gguf->pair_names.slots);
    mem_free(gguf->tensor_names.slots);
    mem_free(gguf);
}

const void *gguf_bytes(const struct gguf *gguf, size_t *size)
{
    *size = gguf->size;
    return gguf->bytes;
}

size_t gguf_tensor_count(const struct gguf *gguf)
{
    return gguf->tensor_count;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *gguf, size_t index)
{
    must(index < gguf->tensor_count);
    return &gguf->tensors[index];
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf *gguf, const char *name)
{
    uint32_t slot = *names_slot(gguf, &gguf->tensor_names, name, strlen(name));
    return slot ? &gguf->tensors[slot - 1] : NULL;
}

const struct gguf_pair *gguf_find_pair(const struct gguf *gguf, const char *key)
{
    uint32_t slot = *names_slot(gguf, &gguf->pair_names, key, strlen(key));
    return slot ? &gguf->pairs[slot - 1] : NULL;
}
