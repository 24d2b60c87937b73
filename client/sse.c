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
    memcpy(sse->last_id, sse->coming_id, sizeof sse->last_id);
    if (sse->has_data) sse->event(sse->argument, buf_text(&sse->data), sse->data.size);
    sse->has_data = false;
    buf_clear(&sse->data);
}

/* Where the value of the line `name` begins, or NULL when it is another line. `name` ends in ':'. */
static const char *value_of(const struct buf *line, const char *name)
{
    size_t size = strlen(name);
    if (line->size < size || memcmp(line->data, name, size) != 0) return NULL;
    return line->data + size + (line->size > size && line->data[size] == ' ');
}

/* A NUL in an id makes it none (the standard says so); an id that we cannot keep is none either. */
static void take_id(struct sse *sse, const char *value, size_t size)
{
    if (size > SSE_ID_MAX || memchr(value, '\0', size)) return;
    memcpy(sse->coming_id, value, size);
    sse->coming_id[size] = '\0';
}

static void end_line(struct sse *sse)
{
    const struct buf *line = &sse->line;
    const char *value;
    if (line->size == 0) {
        end_event(sse);
    } else if ((value = value_of(line, "data:")) != NULL) {
        if (sse->has_data) buf_add_byte(&sse->data, '\n');
        buf_add(&sse->data, value, (size_t)(line->data + line->size - value));
        sse->has_data = true;
    } else if ((value = value_of(line, "id:")) != NULL) {
        take_id(sse, value, (size_t)(line->data + line->size - value));
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
