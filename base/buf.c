#include "base/buf.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/wipe.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

void buf_fini(struct buf *buf)
{
    mem_free(buf->data);
    *buf = (struct buf){.limit = buf->limit};
}

void buf_clear(struct buf *buf)
{
    if (buf->data) wipe(buf->data, buf->size); // whatever it was, it is over
    buf->size = 0;
    buf->overflow = false;
}

void *buf_grow(struct buf *buf, size_t size)
{
    must(size < SIZE_MAX / 4 && buf->size < SIZE_MAX / 4);
    if (buf->overflow || (buf->limit && size > buf->limit - buf->size)) {
        buf->overflow = true;
        return NULL;
    }
    size_t want = buf->size + size + 1;
    if (want > buf->capacity) {
        size_t capacity = buf->capacity ? buf->capacity : 64;
        while (capacity < want)
            capacity *= 2;
        buf->data = mem_resize(buf->data, capacity, 1);
        buf->capacity = capacity;
    }
    void *room = buf->data + buf->size;
    buf->size += size;
    buf->data[buf->size] = '\0';
    return room;
}

void buf_add(struct buf *buf, const void *bytes, size_t size)
{
    void *room = buf_grow(buf, size);
    if (room && size) memcpy(room, bytes, size);
}

void buf_add_text(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_add_byte(struct buf *buf, unsigned char byte)
{
    buf_add(buf, &byte, 1);
}

void buf_addv(struct buf *buf, const char *format, va_list arguments)
{
    char small[256];
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(small, sizeof small, format, arguments);
    must(length >= 0);
    if ((size_t)length < sizeof small) {
        buf_add(buf, small, (size_t)length);
    } else {
        char *room = buf_grow(buf, (size_t)length); // a NUL's place is always kept behind
        if (room) vsnprintf(room, (size_t)length + 1, format, again);
    }
    va_end(again);
}

void buf_addf(struct buf *buf, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    buf_addv(buf, format, arguments);
    va_end(arguments);
}

void buf_consume(struct buf *buf, size_t size)
{
    must(size <= buf->size);
    if (!size) return;
    memmove(buf->data, buf->data + size, buf->size - size + 1);
    buf->size -= size;
    wipe(buf->data + buf->size, size); // behind the NUL, too, nothing is left
}

const char *buf_text(const struct buf *buf)
{
    return buf->data ? buf->data : "";
}

char *buf_take(struct buf *buf)
{
    if (!buf->data) (void)buf_grow(buf, 0);
    char *data = buf->data;
    *buf = (struct buf){.limit = buf->limit};
    return data;
}
