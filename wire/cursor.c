#include "wire/cursor.h"

#include <string.h>

/* What the first byte of a value says. */
enum shape {
    SHAPE_BAD,   // 0xc1, the one byte that is never used
    SHAPE_PLAIN, // number, nil, boolean: `size` bytes follow
    SHAPE_TEXT,  // `size` bytes follow
    SHAPE_BYTES,
    SHAPE_EXT,
    SHAPE_ARRAY, // `size` values follow
    SHAPE_MAP    // `size` pairs of values follow
};

struct head {
    enum shape shape;
    uint8_t first;
    uint64_t size;
    const uint8_t *body; // behind the header and its length
};

static uint64_t big_endian(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* The values 0xc0 to 0xdf: what they are, how many bytes of length follow the first byte, and what
 * is added to that length (the type byte of an ext; the width of a number). */
static const struct {
    enum shape shape;
    uint8_t length_size;
    uint8_t more;
} heads[32] = {
    {SHAPE_PLAIN, 0, 0}, {SHAPE_BAD, 0, 0},   {SHAPE_PLAIN, 0, 0}, {SHAPE_PLAIN, 0, 0},
    {SHAPE_BYTES, 1, 0}, {SHAPE_BYTES, 2, 0}, {SHAPE_BYTES, 4, 0}, {SHAPE_EXT, 1, 1},
    {SHAPE_EXT, 2, 1},   {SHAPE_EXT, 4, 1},   {SHAPE_PLAIN, 0, 4}, {SHAPE_PLAIN, 0, 8},
    {SHAPE_PLAIN, 0, 1}, {SHAPE_PLAIN, 0, 2}, {SHAPE_PLAIN, 0, 4}, {SHAPE_PLAIN, 0, 8},
    {SHAPE_PLAIN, 0, 1}, {SHAPE_PLAIN, 0, 2}, {SHAPE_PLAIN, 0, 4}, {SHAPE_PLAIN, 0, 8},
    {SHAPE_EXT, 0, 2},   {SHAPE_EXT, 0, 3},   {SHAPE_EXT, 0, 5},   {SHAPE_EXT, 0, 9},
    {SHAPE_EXT, 0, 17},  {SHAPE_TEXT, 1, 0},  {SHAPE_TEXT, 2, 0},  {SHAPE_TEXT, 4, 0},
    {SHAPE_ARRAY, 2, 0}, {SHAPE_ARRAY, 4, 0}, {SHAPE_MAP, 2, 0},   {SHAPE_MAP, 4, 0},
};

static bool read_head(struct head *head, const struct cursor *cursor)
{
    if (cursor->at == cursor->end) return false;
    uint8_t first = *cursor->at;
    *head = (struct head){.shape = SHAPE_PLAIN, .first = first, .body = cursor->at + 1};
    if (first <= 0x7f || first >= 0xe0) return true;
    if (first <= 0x8f) {
        head->shape = SHAPE_MAP;
        head->size = first & 0x0f;
    } else if (first <= 0x9f) {
        head->shape = SHAPE_ARRAY;
        head->size = first & 0x0f;
    } else if (first <= 0xbf) {
        head->shape = SHAPE_TEXT;
        head->size = first & 0x1f;
    } else {
        size_t length_size = heads[first - 0xc0].length_size;
        if ((size_t)(cursor->end - head->body) < length_size) return false;
        head->shape = heads[first - 0xc0].shape;
        head->size = big_endian(head->body, length_size) + heads[first - 0xc0].more;
        head->body += length_size;
    }
    uint64_t left = (uint64_t)(cursor->end - head->body);
    uint64_t bytes = head->shape == SHAPE_MAP ? 2 * head->size : head->size;
    return head->shape != SHAPE_BAD && bytes <= left;
}

bool cursor_uint(struct cursor *cursor, uint64_t *value)
{
    struct head head;
    if (!read_head(&head, cursor) || head.shape != SHAPE_PLAIN) return false;
    if (head.first <= 0x7f) {
        *value = head.first;
    } else if (head.first >= 0xcc && head.first <= 0xcf) {
        *value = big_endian(head.body, (size_t)head.size);
    } else if (head.first >= 0xd0 && head.first <= 0xd3) {
        if (head.body[0] & 0x80) return false; // negative
        *value = big_endian(head.body, (size_t)head.size);
    } else {
        return false;
    }
    cursor->at = head.body + head.size;
    return true;
}

bool cursor_bool(struct cursor *cursor, bool *value)
{
    if (cursor->at == cursor->end) return false;
    if (*cursor->at != 0xc2 && *cursor->at != 0xc3) return false;
    *value = *cursor->at == 0xc3;
    cursor->at++;
    return true;
}

bool cursor_float(struct cursor *cursor, float *value)
{
    struct head head;
    if (!read_head(&head, cursor) || head.first != 0xca) return false;
    uint32_t bits = (uint32_t)big_endian(head.body, 4);
    memcpy(value, &bits, sizeof bits);
    cursor->at = head.body + 4;
    return true;
}

static bool lend(struct cursor *cursor, enum shape shape, const uint8_t **bytes, size_t *size)
{
    struct head head;
    if (!read_head(&head, cursor) || head.shape != shape) return false;
    *bytes = head.body;
    *size = (size_t)head.size;
    cursor->at = head.body + head.size;
    return true;
}

bool cursor_text(struct cursor *cursor, const uint8_t **bytes, size_t *size)
{
    return lend(cursor, SHAPE_TEXT, bytes, size);
}

bool cursor_bytes(struct cursor *cursor, const uint8_t **bytes, size_t *size)
{
    return lend(cursor, SHAPE_BYTES, bytes, size);
}

static bool enter(struct cursor *cursor, enum shape shape, size_t *count)
{
    struct head head;
    if (!read_head(&head, cursor) || head.shape != shape) return false;
    *count = (size_t)head.size;
    cursor->at = head.body;
    return true;
}

bool cursor_array(struct cursor *cursor, size_t *count)
{
    return enter(cursor, SHAPE_ARRAY, count);
}

bool cursor_map(struct cursor *cursor, size_t *count)
{
    return enter(cursor, SHAPE_MAP, count);
}

bool cursor_skip(struct cursor *cursor)
{
    // Nesting needs no stack: a container only adds its values to those still to be passed. A sum
    // that exceeds the bytes left can never be met, so it stays small.
    struct cursor walk = *cursor;
    for (uint64_t pending = 1; pending > 0; pending--) {
        struct head head;
        if (!read_head(&head, &walk)) return false;
        walk.at = head.body;
        if (head.shape == SHAPE_ARRAY)
            pending += head.size;
        else if (head.shape == SHAPE_MAP)
            pending += 2 * head.size;
        else
            walk.at += head.size;
        if (pending - 1 > (uint64_t)(walk.end - walk.at)) return false;
    }
    *cursor = walk;
    return true;
}
