/* scheduler/door/shape.h -- answers in OpenAI's shapes: bodies and the chunks of streams, as JSON
 * text.
 *
 * Field for field what the reference API sends; system_fingerprint names the model's digest. Pure.
 * Thread: any. */
#ifndef SCHEDULER_DOOR_SHAPE_H
#define SCHEDULER_DOOR_SHAPE_H

#include "scheduler/door/ask.h"

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
    SHAPE_ID_SIZE = 48 // of an answer's id, the NUL included
};

struct shape {
    enum ask_kind kind;
    char id[SHAPE_ID_SIZE];
    const char *model; // borrowed
    int64_t created;   // seconds since 1970
    char fingerprint[16];
    bool include_usage; // chunks say "usage": null until the last
    const char *
        session; // "session":{…} for a body and for the chunk that ends a choice; NULL or "": none. Borrowed
    const char *context;         // "context":[…], in the same places
    const char *before, *behind; // label of each content (mark.h); NULL or "": none. Borrowed
    const char *
        opening; // members of the first chunk of each choice; NULL: nothing governs the answer. Borrowed
    const char *marks; // members where `session` stands, and of the usage chunk
};

struct shape_usage {
    uint32_t prompt_tokens, cached_tokens, completion_tokens;
};

/* An id that no other answer has. */
void shape_new_id(enum ask_kind kind, char id[SHAPE_ID_SIZE]);
void shape_init(struct shape *shape, enum ask_kind kind, const char *model,
                const struct digest *digest);

/* A piece of the answer. */
struct shape_piece {
    uint32_t index; // of the choice
    const char *text;
    size_t size;
    const char *logprobs; // as JSON; NULL: null
};

/* A chunk with text. The first one of a choice (`first`) says the label that stands before it, and of a chat the role. */
void shape_text_chunk(struct buf *out, const struct shape *shape, const struct shape_piece *piece,
                      bool first);
void shape_final_chunk(struct buf *out, const struct shape *shape, uint32_t index,
                       const char *finish);
void shape_usage_chunk(struct buf *out, const struct shape *shape, const struct shape_usage *usage);
/* A plain reply: begin, each choice, end. */
void shape_body_begin(struct buf *out, const struct shape *shape);
void shape_body_choice(struct buf *out, const struct shape *shape, const struct shape_piece *piece,
                       const char *finish);
void shape_body_end(struct buf *out, const struct shape *shape, const struct shape_usage *usage);

#endif
