/* scheduler/door/manifest.h -- what a partner signs of a feed: which one it is, and what its file must be.
 *
 *      format    "qiao-feed-1"
 *      source    the partner
 *      number    of the feed: higher than all before it
 *      file      the file's name, for people
 *      lines     of the file; bytes; sha256: hexadecimal
 *      created   when it was made, RFC 3339; not in the future
 *      from, until   between these all events are
 *
 * All members are needed, others are refused. Thread: any. */
#ifndef SCHEDULER_DOOR_MANIFEST_H
#define SCHEDULER_DOOR_MANIFEST_H

#include "scheduler/features/consent.h"
#include "scheduler/features/feed.h"

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    MANIFEST_MAX = 4096, // bytes
    MANIFEST_FILE_MAX = 255
};

struct manifest {
    char source[CONSENT_SOURCE_MAX + 1];
    struct feed feed; // number, digest, lines, from_ms, until_ms
};

/* ERR_INVALID, with the member's name in the note and json_param(). */
enum err manifest_read(struct manifest *out, const char *text, size_t size, int64_t now_ms);

#endif
