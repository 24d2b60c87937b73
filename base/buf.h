/* base/buf.h -- growable bytes; the one string builder.
 *
 * A zeroed struct is an empty buffer. `data` always has a NUL behind its last byte once anything
 * was added, so it can be read as a C string when no NUL was put into it. A buffer that may hold a
 * stranger's bytes gets a `limit`: an append beyond it adds nothing, sets `overflow`, and every
 * later append is refused until buf_clear(). Thread: one owner. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data;
    size_t size;
    size_t capacity;
    size_t limit;  // most bytes; 0 means no limit
    bool overflow; // an append was refused
};

void buf_fini(struct buf *buf);
/* Empty it, keep its memory, and nothing in it. */
void buf_clear(struct buf *buf);
void buf_add(struct buf *buf, const void *bytes, size_t size);
void buf_add_text(struct buf *buf, const char *text);
void buf_add_byte(struct buf *buf, unsigned char byte);
void buf_addf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_addv(struct buf *buf, const char *format, va_list arguments);
/* Room for `size` more bytes at the end; the caller fills them. NULL when over the limit. */
void *buf_grow(struct buf *buf, size_t size);
/* Drop the first `size` bytes. */
void buf_consume(struct buf *buf, size_t size);
/* The bytes as a C string; "" when nothing was added. */
const char *buf_text(const struct buf *buf);
/* Give the bytes (NUL-terminated) to the caller, who frees them with mem_free(); the buffer is
 * empty after. */
char *buf_take(struct buf *buf);

#endif
