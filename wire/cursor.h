/* wire/cursor.h -- read msgpack out of a stranger's bytes, allocating nothing.
 *
 * msgpack-c packs what we send. It does not unpack what we receive: its unpacker makes an object
 * tree and takes memory for a container from the count in its header, which here a stranger chose.
 * A cursor walks over the one whole body that a frame has delimited; it never reads past `end`,
 * never recurses, and takes nothing from the heap.
 *
 * Every function returns false, and leaves the cursor where it was, when the next value is of
 * another type, out of range, or cut off. Any width of an integer or of a length is taken, as the
 * msgpack specification (github.com/msgpack/msgpack/blob/master/spec.md) allows. Thread: one
 * owner. */
#ifndef WIRE_CURSOR_H
#define WIRE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
};

bool cursor_uint(struct cursor *cursor, uint64_t *value);
/* Only the bytes of true and false: no integer is taken for one. */
bool cursor_bool(struct cursor *cursor, bool *value);
/* A float32; a double is another type. */
bool cursor_float(struct cursor *cursor, float *value);
/* Lends `size` bytes of the body. */
bool cursor_text(struct cursor *cursor, const uint8_t **bytes, size_t *size);
bool cursor_bytes(struct cursor *cursor, const uint8_t **bytes, size_t *size);
/* The header of a container; its values (of a map: key, value, key, value…) follow. `count` is at
 * most the bytes that are left: every value takes at least one. */
bool cursor_array(struct cursor *cursor, size_t *count);
bool cursor_map(struct cursor *cursor, size_t *count);
/* Pass over one value with all that is nested in it; false when it is cut off or no msgpack. */
bool cursor_skip(struct cursor *cursor);

#endif
