#include "client/sse.h"

#include <string.h>

void sse_init(struct sse *sse, void (*event)(void *argument, const char *data, size_t size),
              void *argument)
{
    *sse = (struct sse){.event = event, .argument = argument};
    sse->line.limit = SSE_EVENT_MAX;
    sse->data.limit = SSE_EVENT_MAX;
}

void sse_fini(struct sse *sse)
{
    buf_fini(&sse->line);
    buf_fini(&sse->data);
}

static void end_event(struct sse *sse)
{
    if (sse->has_data) sse->event(sse->argument, buf_text(&sse->data), sse->data.size);
    sse->has_data = false;
    buf_clear(&sse->data);
}

static void end_line(struct sse *sse)
{
    const char *line = buf_text(&sse->line);
    size_t size = sse->line.size;
    if (size == 0) {
        end_event(sse);
    } else if (size >= 5 && memcmp(line, "data:", 5) == 0) {
        size_t skip = size > 5 && line[5] == ' ' ? 6 : 5;
        if (sse->has_data) buf_add_byte(&sse->data, '\n');
        buf_add(&sse->data, line + skip, size - skip);
        sse->has_data = true;
    }
    buf_clear(&sse->line);
}

enum err sse_push(struct sse *sse, const char *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        if (sse->after_cr && bytes[at] == '\n') at++;
        sse->after_cr = false;
        size_t piece = 0;
        while (at + piece < size && bytes[at + piece] != '\n' && bytes[at + piece] != '\r')
            piece++;
        buf_add(&sse->line, bytes + at, piece);
        at += piece;
        if (at < size) {
            sse->after_cr = bytes[at] == '\r';
            at++;
            if (!sse->line.overflow) end_line(sse);
        }
        if (sse->line.overflow || sse->data.overflow)
            return err_note(ERR_FORMAT, "an event has more than %d bytes", SSE_EVENT_MAX);
    }
    return ERR_OK;
}
