#include "wire/reader.h"

#include "wire/frame.h"
#include "wire/link.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/wipe.h"

#include <inttypes.h>
#include <string.h>

void reader_fini(struct reader *reader)
{
    link_event_free(reader->event);
    reader->event = NULL;
}

uint8_t *reader_room(struct reader *reader, size_t *size)
{
    if (reader->event && reader->event->size - reader->filled >= READER_BUFFER_SIZE) {
        must(reader->at == reader->have); // reader_next() has moved all of the buffer into the body
        reader->direct = true;
        *size = reader->event->size - reader->filled;
        return reader->body + reader->filled;
    }
    reader->have -= reader->at;
    memmove(reader->buffer, reader->buffer + reader->at, reader->have);
    wipe(reader->buffer + reader->have, reader->at); // the rest of what was moved
    reader->at = 0;
    reader->direct = false;
    *size = READER_BUFFER_SIZE - reader->have;
    return reader->buffer + reader->have;
}

void reader_took(struct reader *reader, size_t size)
{
    if (reader->direct)
        reader->filled += size;
    else
        reader->have += size;
}

static enum err begin_frame(struct reader *reader)
{
    struct frame frame;
    TRY(frame_parse(&frame, reader->buffer + reader->at));
    if (frame.sequence != reader->sequence)
        return err_note(ERR_FORMAT, "a gap: frame %" PRIu64 " came where %" PRIu64 " was due",
                        frame.sequence, reader->sequence);
    reader->sequence++;
    reader->at += FRAME_HEADER_SIZE;
    // frame_parse() has bounded the size. Memory that the peer does not fill is never touched.
    struct link_event *event = mem_new(1, sizeof *event + frame.size);
    reader->body = (uint8_t *)(event + 1);
    reader->filled = 0;
    event->kind = LINK_FRAME;
    event->type = frame.type;
    event->body = reader->body;
    event->size = frame.size;
    reader->event = event;
    return ERR_OK;
}

enum err reader_next(struct reader *reader, struct link_event **event)
{
    *event = NULL;
    if (!reader->event) {
        if (reader->have - reader->at < FRAME_HEADER_SIZE) return ERR_OK;
        TRY(begin_frame(reader));
    }
    size_t missing = reader->event->size - reader->filled;
    size_t here = reader->have - reader->at;
    size_t count = missing < here ? missing : here;
    memcpy(reader->body + reader->filled, reader->buffer + reader->at, count);
    wipe(reader->buffer + reader->at, count); // ids of a prompt stay in the frame alone
    reader->filled += count;
    reader->at += count;
    if (count < missing) return ERR_OK;
    *event = reader->event;
    reader->event = NULL;
    return ERR_OK;
}

void link_event_free(struct link_event *event)
{
    mem_free(event);
}
