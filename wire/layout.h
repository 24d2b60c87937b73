/* wire/layout.h -- how the table of wire/message.def looks to the code that walks over it.
 *
 * A layout describes one struct wire_x as a msgpack map from small keys to fields. encode.c and
 * decode.c know kinds of fields and no message; message.c knows messages and no bytes. */
#ifndef WIRE_LAYOUT_H
#define WIRE_LAYOUT_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct buf;

enum {
    LAYOUT_FIELDS_MAX = 40,
    LAYOUT_MAP_MAX = 256, // entries of a map that is read, unknown keys included
    LAYOUT_FIXED_SIZE = 16
};

enum field_kind {
    FIELD_U32,
    FIELD_U64,
    FIELD_SIZE,
    FIELD_ENUM,
    FIELD_ERR,
    FIELD_BOOL,
    FIELD_F32,
    FIELD_TEXT,
    FIELD_NOTE,
    FIELD_FIXED,
    FIELD_BYTES,
    FIELD_IDS,
    FIELD_U64S,
    FIELD_FLOATS,
    FIELD_PAIRS,
    FIELD_SALTS,
    FIELD_TEXTS,
    FIELD_INNER,
    FIELD_INNERS
};

/* Whose is the count of an array? */
enum field_count {
    COUNT_OWN,  // written by reading this array
    COUNT_SAME, // an earlier array's; this one matches it
    COUNT_TIMES // an earlier array's, times an earlier number
};

struct field {
    uint8_t key;
    enum field_kind kind;
    bool need;
    enum field_count count;
    size_t at;        // offset of the value or of the array's pointer
    size_t count_at;  // offset of the size_t that counts the array
    size_t factor_at; // of COUNT_TIMES: offset of the size_t factor
    uint64_t min;     // of integers
    uint64_t max;     // of integers; most bytes of a text; most things of an array
    const struct layout *inner;
    const char *name;
};

struct layout {
    const char *name;
    const struct field *fields;
    size_t field_count;
    size_t size; // of the struct
};

/* How many things `record`'s array field has: what its count, and its factor, say. */
size_t layout_count(const struct field *field, const void *record);

/* Append `record` as a map. Fields beyond their limits are our own mistake: must(). */
void layout_encode(const struct layout *layout, const void *record, struct buf *out);

/* Read one map that fills `size` bytes into `record` (zeroed by this). Texts and bytes are lent
 * from the map, arrays are taken from `arena`. */
enum err layout_decode(const struct layout *layout, void *record, const uint8_t *bytes, size_t size,
                       struct arena *arena);

#endif
