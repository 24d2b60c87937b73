/* node/probe/sequences.h -- histories of users from a file: one a line, "user item item ...", items in the order of time,
 * as row numbers of a catalogue.
 *
 * Limits: SEQUENCES_FILE_MAX bytes; an item is a whole number below `items`. Empty lines are passed over. */
#ifndef NODE_PROBE_SEQUENCES_H
#define NODE_PROBE_SEQUENCES_H

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SEQUENCES_FILE_MAX = 1 << 30
};

struct sequence {
    const char *user; // not NUL-terminated
    size_t user_size;
    size_t first; // of `ids`
    uint32_t count;
};

struct sequences {
    struct buf text;
    int32_t *ids;
    struct sequence *users; // [count]
    size_t count;
};

/* ERR_IO, ERR_TOO_LARGE, ERR_FORMAT with the line's number; `out` is to be given to sequences_fini() in any case. */
enum err sequences_read(struct sequences *out, const char *path, uint32_t items);
void sequences_fini(struct sequences *sequences);

#endif
