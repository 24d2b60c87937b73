#include "scheduler/features/pack.h"

#include "base/buf.h"

#include <string.h>

static void pack_size(struct buf *out, unsigned char kind, size_t size)
{
    const unsigned char head[] = {kind, (unsigned char)(size >> 24), (unsigned char)(size >> 16),
                                  (unsigned char)(size >> 8), (unsigned char)size};
    buf_add(out, head, sizeof head);
}

void pack_list(struct buf *out, size_t count)
{
    pack_size(out, 0xdd, count); // array 32
}

void pack_bytes(struct buf *out, const void *bytes, size_t size)
{
    pack_size(out, 0xdb, size); // str 32
    buf_add(out, bytes, size);
}

void pack_text(struct buf *out, const char *text)
{
    pack_bytes(out, text, strlen(text));
}

void pack_flag(struct buf *out, bool flag)
{
    buf_add_byte(out, flag ? 0xc3 : 0xc2);
}
