/* scheduler/features/pack.h -- MessagePack for the arguments of a Lua function: cmsgpack.unpack() reads it there.
 *
 * A list is its size, then so many values. Thread: any. */
#ifndef SCHEDULER_FEATURES_PACK_H
#define SCHEDULER_FEATURES_PACK_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

void pack_list(struct buf *out, size_t count);
void pack_bytes(struct buf *out, const void *bytes, size_t size);
void pack_text(struct buf *out, const char *text);
void pack_flag(struct buf *out, bool flag);

#endif
