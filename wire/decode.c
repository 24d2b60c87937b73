#include "wire/cursor.h"
#include "wire/layout.h"
#include "wire/message.h"

#include "base/arena.h"
#include "base/must.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* What is being read: for notes, and for where arrays go. */
struct reading {
    const struct layout *layout;
    char *record;
    struct arena *arena;
};

static enum err refuse(const struct reading *in, const struct field *field, const char *right)
{
    return err_note(ERR_FORMAT, "%s.%s is not %s", in->layout->name, field->name, right);
}

static enum err decode_integer(const struct reading *in, const struct field *field,
                               struct cursor *value)
{
    uint64_t integer;
    if (!cursor_uint(value, &integer)) return refuse(in, field, "a non-negative integer");
    if (integer < field->min || integer > field->max)
        return err_note(ERR_FORMAT, "%s.%s is %" PRIu64 "; allowed are %" PRIu64 " to %" PRIu64,
                        in->layout->name, field->name, integer, field->min, field->max);
    char *at = in->record + field->at;
    uint32_t narrow = (uint32_t)integer;
    size_t size = (size_t)integer;
    if (field->kind == FIELD_U64)
        memcpy(at, &integer, sizeof integer);
    else if (field->kind == FIELD_SIZE)
        memcpy(at, &size, sizeof size);
    else
        memcpy(at, &narrow, sizeof narrow);
    return ERR_OK;
}

static enum err decode_text(const struct reading *in, const struct field *field,
                            struct cursor *value, struct wire_text *out)
{
    const uint8_t *bytes;
    size_t size;
    size_t max = field->kind == FIELD_TEXTS ? WIRE_URL_MAX - 1 : (size_t)field->max;
    size_t min = field->kind == FIELD_TEXTS ? 1 : (size_t)field->min;
    if (!cursor_text(value, &bytes, &size)) return refuse(in, field, "a text");
    if (size < min || size > max)
        return err_note(ERR_FORMAT, "%s.%s has %zu bytes; allowed are %zu to %zu", in->layout->name,
                        field->name, size, min, max);
    if (memchr(bytes, 0, size)) return refuse(in, field, "free of NUL bytes");
    *out = (struct wire_text){(const char *)bytes, size};
    return ERR_OK;
}

static enum err decode_err(const struct reading *in, const struct field *field,
                           struct cursor *value)
{
    const uint8_t *bytes;
    size_t size;
    if (!cursor_text(value, &bytes, &size)) return refuse(in, field, "an error's name");
    enum err err = ERR_INTERNAL; // what an error that this side does not know yet amounts to
    for (enum err i = ERR_OK; i < ERR_COUNT; i++)
        if (strlen(err_name(i)) == size && memcmp(err_name(i), bytes, size) == 0) err = i;
    memcpy(in->record + field->at, &err, sizeof err);
    return ERR_OK;
}

static uint32_t get_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static uint64_t get_u64(const uint8_t *bytes)
{
    return get_u32(bytes) | (uint64_t)get_u32(bytes + 4) << 32;
}

static bool get_id(int32_t *id, const uint8_t *bytes)
{
    uint32_t raw = get_u32(bytes);
    *id = (int32_t)(raw & INT32_MAX);
    return raw <= INT32_MAX;
}

static bool get_float(float *value, const uint8_t *bytes)
{
    uint32_t bits = get_u32(bytes);
    memcpy(value, &bits, sizeof bits);
    return !isnan(*value);
}

/* The things of a bin: their width there, their size here. */
static const struct {
    uint8_t width;
    uint8_t size;
} packed[] = {
    [FIELD_BYTES] = {1, 1},
    [FIELD_IDS] = {4, sizeof(int32_t)},
    [FIELD_FLOATS] = {4, sizeof(float)},
    [FIELD_PAIRS] = {8, sizeof(struct wire_top)},
    [FIELD_U64S] = {8, sizeof(uint64_t)},
    [FIELD_SALTS] = {12, sizeof(struct wire_salt)},
};

/* One thing; false when it is out of its range. */
static bool unpack(enum field_kind kind, void *thing, const uint8_t *bytes)
{
    if (kind == FIELD_IDS) return get_id(thing, bytes);
    if (kind == FIELD_FLOATS) return get_float(thing, bytes);
    if (kind == FIELD_PAIRS) {
        struct wire_top *pair = thing;
        return get_id(&pair->id, bytes) && get_float(&pair->logprob, bytes + 4);
    }
    if (kind == FIELD_SALTS) {
        struct wire_salt *salt = thing;
        *salt = (struct wire_salt){get_u32(bytes), get_u64(bytes + 4)};
        return true;
    }
    uint64_t number = get_u64(bytes);
    memcpy(thing, &number, sizeof number);
    return true;
}

/* An array of `count` things of `size` bytes, put into its field. An own count is stored, a shared
 * one must be met. */
static enum err take_array(const struct reading *in, const struct field *field, size_t count,
                           size_t size, char **things)
{
    if (field->count == COUNT_OWN) {
        if (count > field->max)
            return err_note(ERR_FORMAT, "%s.%s has %zu entries; at most %" PRIu64 " are allowed",
                            in->layout->name, field->name, count, field->max);
        memcpy(in->record + field->count_at, &count, sizeof count);
    } else if (count != layout_count(field, in->record)) {
        return err_note(ERR_FORMAT, "%s.%s has %zu entries; its message needs %zu",
                        in->layout->name, field->name, count, layout_count(field, in->record));
    }
    *things = NULL;
    if (count == 0) return ERR_OK;
    *things = arena_take(in->arena, count * size, _Alignof(max_align_t));
    if (!*things)
        return err_note(ERR_NO_MEMORY, "%s.%s: no room for %zu entries", in->layout->name,
                        field->name, count);
    memcpy(in->record + field->at, things, sizeof *things);
    return ERR_OK;
}

static enum err decode_packed(const struct reading *in, const struct field *field,
                              struct cursor *value)
{
    const uint8_t *bytes;
    size_t size;
    size_t width = packed[field->kind].width;
    if (!cursor_bytes(value, &bytes, &size)) return refuse(in, field, "a bin");
    if (size % width != 0) return refuse(in, field, "of whole entries");
    size_t count = size / width;
    if (field->kind == FIELD_BYTES) {
        if (count > field->max)
            return err_note(ERR_FORMAT, "%s.%s has %zu bytes; at most %" PRIu64 " are allowed",
                            in->layout->name, field->name, count, field->max);
        memcpy(in->record + field->count_at, &count, sizeof count);
        memcpy(in->record + field->at, &bytes, sizeof bytes);
        return ERR_OK;
    }
    char *things;
    TRY(take_array(in, field, count, packed[field->kind].size, &things));
    for (size_t i = 0; i < count; i++)
        if (!unpack(field->kind, things + i * packed[field->kind].size, bytes + i * width))
            return err_note(ERR_FORMAT, "%s.%s: entry %zu is out of range", in->layout->name,
                            field->name, i);
    return ERR_OK;
}

static enum err decode_map(const struct layout *layout, void *record, struct cursor *cursor,
                           struct arena *arena);

// NOLINTNEXTLINE(misc-no-recursion): as deep as the layouts nest, which is three.
static enum err decode_list(const struct reading *in, const struct field *field,
                            struct cursor *value)
{
    size_t count;
    bool is_texts = field->kind == FIELD_TEXTS;
    size_t size = is_texts ? sizeof(struct wire_text) : field->inner->size;
    if (!cursor_array(value, &count)) return refuse(in, field, "an array");
    char *things;
    TRY(take_array(in, field, count, size, &things));
    for (size_t i = 0; i < count; i++) {
        void *thing = things + i * size;
        if (is_texts)
            TRY(decode_text(in, field, value, thing));
        else
            TRY(decode_map(field->inner, thing, value, in->arena));
    }
    return ERR_OK;
}

// NOLINTNEXTLINE(misc-no-recursion)
static enum err decode_field(const struct reading *in, const struct field *field,
                             struct cursor *value)
{
    void *at = in->record + field->at;
    switch (field->kind) {
    case FIELD_U32:
    case FIELD_U64:
    case FIELD_SIZE:
    case FIELD_ENUM: return decode_integer(in, field, value);
    case FIELD_ERR: return decode_err(in, field, value);
    case FIELD_BOOL: return cursor_bool(value, at) ? ERR_OK : refuse(in, field, "true or false");
    case FIELD_F32:
        if (!cursor_float(value, at) || !isfinite(*(float *)at))
            return refuse(in, field, "a finite float32");
        return ERR_OK;
    case FIELD_TEXT:
    case FIELD_NOTE: return decode_text(in, field, value, at);
    case FIELD_FIXED: {
        const uint8_t *bytes;
        size_t size;
        if (!cursor_bytes(value, &bytes, &size) || size != LAYOUT_FIXED_SIZE)
            return refuse(in, field, "a bin of 16 bytes");
        memcpy(at, bytes, size);
        return ERR_OK;
    }
    case FIELD_INNER: return decode_map(field->inner, at, value, in->arena);
    case FIELD_INNERS:
    case FIELD_TEXTS: return decode_list(in, field, value);
    default: return decode_packed(in, field, value);
    }
}

/* Find where the value of each known field begins, in whatever order the keys come. */
static enum err find_fields(const struct layout *layout, struct cursor *cursor,
                            const uint8_t *values[LAYOUT_FIELDS_MAX])
{
    size_t entries;
    if (!cursor_map(cursor, &entries)) return err_note(ERR_FORMAT, "%s is not a map", layout->name);
    if (entries > LAYOUT_MAP_MAX)
        return err_note(ERR_FORMAT, "%s has %zu entries; at most %d are allowed", layout->name,
                        entries, LAYOUT_MAP_MAX);
    for (size_t i = 0; i < entries; i++) {
        uint64_t key;
        if (!cursor_uint(cursor, &key))
            return err_note(ERR_FORMAT, "%s: the key of entry %zu is no integer", layout->name, i);
        const uint8_t *value = cursor->at;
        if (!cursor_skip(cursor))
            return err_note(ERR_FORMAT, "%s: the value of key %" PRIu64 " is cut off or no msgpack",
                            layout->name, key);
        for (size_t f = 0; f < layout->field_count; f++) {
            if (layout->fields[f].key != key) continue;
            if (values[f])
                return err_note(ERR_FORMAT, "%s.%s stands there twice", layout->name,
                                layout->fields[f].name);
            values[f] = value;
        }
    }
    return ERR_OK;
}

// NOLINTNEXTLINE(misc-no-recursion)
static enum err decode_map(const struct layout *layout, void *record, struct cursor *cursor,
                           struct arena *arena)
{
    const uint8_t *values[LAYOUT_FIELDS_MAX] = {0};
    must(layout->field_count <= LAYOUT_FIELDS_MAX);
    TRY(find_fields(layout, cursor, values));
    memset(record, 0, layout->size);
    struct reading in = {layout, record, arena};
    for (size_t i = 0; i < layout->field_count; i++) {
        const struct field *field = &layout->fields[i];
        struct cursor value = {values[i], cursor->at};
        if (!values[i] && field->need)
            return err_note(ERR_FORMAT, "%s.%s is missing", layout->name, field->name);
        if (values[i]) TRY(decode_field(&in, field, &value));
    }
    return ERR_OK;
}

enum err layout_decode(const struct layout *layout, void *record, const uint8_t *bytes, size_t size,
                       struct arena *arena)
{
    struct cursor cursor = {bytes, bytes + size};
    TRY(decode_map(layout, record, &cursor, arena));
    if (cursor.at != cursor.end)
        return err_note(ERR_FORMAT, "%s: %zu bytes follow its map", layout->name,
                        (size_t)(cursor.end - cursor.at));
    return ERR_OK;
}
