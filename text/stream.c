#include "text/stream.h"

#include "text/tokenizer.h"
#include "text/utf8.h"

#include "base/buf.h"
#include "base/mem.h"

#include <string.h>

/* One stop string, matched byte by byte (Knuth, Morris, Pratt 1977): `borders[i]` is the length of
 * the longest proper prefix that is also a suffix of its first i + 1 bytes. */
struct stop {
    char text[STREAM_STOP_SIZE_MAX];
    uint16_t borders[STREAM_STOP_SIZE_MAX];
    size_t size;
    size_t matched; // bytes of it that the text so far ends with
};

struct stream {
    const struct tokenizer *tokenizer;
    bool strip_space; // the next piece opens the text
    char partial[UTF8_CHARACTER_MAX];
    size_t partial_size;
    char held[STREAM_STOP_SIZE_MAX + UTF8_CHARACTER_MAX]; // whole characters, not sent yet
    size_t held_size;
    int stopped; // index of the stop string that was met; -1
    size_t stop_count;
    struct stop stops[];
};

static void find_borders(struct stop *stop)
{
    size_t length = 0;
    stop->borders[0] = 0;
    for (size_t i = 1; i < stop->size; i++) {
        while (length > 0 && stop->text[i] != stop->text[length])
            length = stop->borders[length - 1];
        if (stop->text[i] == stop->text[length]) length++;
        stop->borders[i] = (uint16_t)length;
    }
}

static enum err check_stops(const struct stream_stop *stops, size_t count)
{
    if (count > STREAM_STOPS_MAX)
        return err_note(ERR_INVALID, "there are %zu stop strings; at most %d are taken", count,
                        STREAM_STOPS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (stops[i].size == 0 || stops[i].size > STREAM_STOP_SIZE_MAX)
            return err_note(ERR_INVALID, "stop[%zu] has %zu bytes; a stop string has 1 to %d", i,
                            stops[i].size, STREAM_STOP_SIZE_MAX);
        if (!utf8_valid(stops[i].text, stops[i].size))
            return err_note(ERR_INVALID, "stop[%zu] is not valid UTF-8", i);
    }
    return ERR_OK;
}

enum err stream_new(struct stream **out, const struct tokenizer *tokenizer,
                    const struct stream_stop *stops, size_t stop_count, bool at_begin)
{
    TRY(check_stops(stops, stop_count));
    struct stream *stream = mem_new(1, sizeof *stream + stop_count * sizeof stream->stops[0]);
    stream->tokenizer = tokenizer;
    stream->strip_space = at_begin && tokenizer_adds_space(tokenizer);
    stream->stopped = -1;
    stream->stop_count = stop_count;
    for (size_t i = 0; i < stop_count; i++) {
        struct stop *stop = &stream->stops[i];
        memcpy(stop->text, stops[i].text, stops[i].size);
        stop->size = stops[i].size;
        find_borders(stop);
    }
    *out = stream;
    return ERR_OK;
}

void stream_free(struct stream *stream)
{
    mem_free(stream);
}

/* True when `byte` makes the stop string whole. */
static bool stop_advance(struct stop *stop, char byte)
{
    while (stop->matched > 0 && stop->text[stop->matched] != byte)
        stop->matched = stop->borders[stop->matched - 1];
    if (stop->text[stop->matched] == byte) stop->matched++;
    return stop->matched == stop->size;
}

/* One byte of valid text, already in `held`: what is the longest tail that may begin a stop string?
 * When one is whole, that is the longest of those, and the stream stops. */
static size_t advance_all(struct stream *stream, char byte)
{
    size_t longest = 0, longest_whole = 0;
    for (size_t i = 0; i < stream->stop_count; i++) {
        struct stop *stop = &stream->stops[i];
        bool whole = stop_advance(stop, byte);
        if (whole && stop->size > longest_whole) {
            longest_whole = stop->size;
            stream->stopped = (int)i;
        }
        if (stop->matched > longest) longest = stop->matched;
    }
    return stream->stopped >= 0 ? longest_whole : longest;
}

/* A whole character: into what is held, and out with all that no stop string can reach any more. A
 * stop string is whole characters, so neither border parts one. */
static void take_character(struct stream *stream, const char *text, size_t size, struct buf *out)
{
    size_t keep = 0;
    for (size_t i = 0; i < size; i++) {
        stream->held[stream->held_size++] = text[i];
        keep = advance_all(stream, text[i]);
    }
    size_t send = stream->held_size - keep;
    buf_add(out, stream->held, send);
    memmove(stream->held, stream->held + send, keep);
    stream->held_size = keep;
}

static void take_byte(struct stream *stream, char byte, struct buf *out)
{
    stream->partial[stream->partial_size++] = byte;
    while (stream->partial_size > 0 && stream->stopped < 0) {
        int32_t code;
        size_t step = utf8_next(stream->partial, stream->partial_size, &code);
        if (code == UTF8_INCOMPLETE) return;
        if (code >= 0)
            take_character(stream, stream->partial, step, out);
        else
            take_character(stream, UTF8_REPLACEMENT, strlen(UTF8_REPLACEMENT), out);
        stream->partial_size -= step;
        memmove(stream->partial, stream->partial + step, stream->partial_size);
    }
}

enum stream_state stream_push(struct stream *stream, int32_t id, struct buf *out)
{
    if (stream->stopped >= 0) return STREAM_STOPPED;
    if (tokenizer_is_control(stream->tokenizer, id)) return STREAM_GO_ON;
    size_t size;
    const char *piece = tokenizer_piece(stream->tokenizer, id, &size);
    size_t skip = stream->strip_space && size > 0 && piece[0] == ' ' ? 1 : 0;
    stream->strip_space = false;
    for (size_t i = skip; i < size && stream->stopped < 0; i++)
        take_byte(stream, piece[i], out);
    return stream->stopped >= 0 ? STREAM_STOPPED : STREAM_GO_ON;
}

void stream_finish(struct stream *stream, struct buf *out)
{
    if (stream->stopped >= 0) return;
    if (stream->partial_size > 0) {
        stream->partial_size = 0;
        take_character(stream, UTF8_REPLACEMENT, strlen(UTF8_REPLACEMENT), out);
    }
    if (stream->stopped >= 0) return;
    buf_add(out, stream->held, stream->held_size);
    stream->held_size = 0;
}

int stream_stop_index(const struct stream *stream)
{
    return stream->stopped;
}
