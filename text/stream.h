/* text/stream.h -- ids -> text as it may be sent.
 *
 * What comes out is always valid UTF-8 in whole characters. Held back are: the bytes of a character
 * that is not whole yet, and a tail that may be the beginning of a stop string. Invalid bytes
 * become U+FFFD (maximal subparts, text/utf8.h). Control tokens give no text.
 *
 * A stop string ends the text: what stands before it is sent, it is not, and nothing after it ever
 * is. It may begin and end in the middle of tokens. Where several are there, the one that is whole
 * first wins; of those that end together, the longest.
 *
 * Thread: one owner; the tokenizer is shared and must outlive the stream. */
#ifndef TEXT_STREAM_H
#define TEXT_STREAM_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct stream;
struct tokenizer;

enum {
    STREAM_STOPS_MAX = 16,
    STREAM_STOP_SIZE_MAX = 256 // bytes of one stop string
};

struct stream_stop {
    const char *text; // view; copied
    size_t size;
};

enum stream_state {
    STREAM_GO_ON,
    STREAM_STOPPED // a stop string was met: ids that follow give nothing
};

/* `at_begin`: the first id opens a text (rather than going on from a prompt), so the space that a
 * SentencePiece encoding puts before a text is dropped. ERR_INVALID for too many stop strings, an
 * empty or over-long one, or one that is not UTF-8. */
enum err stream_new(struct stream **out, const struct tokenizer *tokenizer,
                    const struct stream_stop *stops, size_t stop_count, bool at_begin);
void stream_free(struct stream *stream);

/* Append to `out` what may be sent now that `id` has come. */
enum stream_state stream_push(struct stream *stream, int32_t id, struct buf *out);
/* No id will follow: append all that was held back, a cut-off character as U+FFFD. After a stop
 * string there is nothing to append. */
void stream_finish(struct stream *stream, struct buf *out);

/* Which stop string was met, as an index into those given; -1 while none. */
int stream_stop_index(const struct stream *stream);

#endif
