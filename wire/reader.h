/* wire/reader.h -- a stream of a stranger's bytes, cut into frames.
 *
 *      reader_room() -> where the next bytes go -> reader_took() -> reader_next() until NULL
 *
 * Small frames are cut out of one buffer, so that many come with one read; the body of a large one
 * is read straight into its event. Thread: one at a time. */
#ifndef WIRE_READER_H
#define WIRE_READER_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct link_event;

enum {
    READER_BUFFER_SIZE = 16 << 10
};

struct reader {
    uint8_t buffer[READER_BUFFER_SIZE];
    size_t at;                // first byte not cut yet
    size_t have;              // end of the bytes in the buffer
    struct link_event *event; // whose body is not whole yet; NULL between frames
    uint8_t *body;            // of event
    size_t filled;            // bytes of it
    bool direct;              // the next bytes go into the body
    uint64_t sequence;        // the next frame's
};

/* A zeroed struct is a reader at a stream's beginning. */
void reader_fini(struct reader *reader);

/* Where to put bytes, and how many; never 0. Call it only after reader_next() gave NULL. */
uint8_t *reader_room(struct reader *reader, size_t *size);
void reader_took(struct reader *reader, size_t size);

/* The next whole frame, as an event of kind LINK_FRAME that the caller frees; NULL when more bytes
 * are needed. ERR_FORMAT: the stream is not what frame.h says, and worth no further byte. */
enum err reader_next(struct reader *reader, struct link_event **event);

#endif
