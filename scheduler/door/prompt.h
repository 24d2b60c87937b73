/* scheduler/door/prompt.h -- messages or text -> prompt ids, on the loop or on a worker.
 *
 * Thread: whoever runs prompt_encode(); everything that it borrows stays as it is meanwhile. */
#ifndef SCHEDULER_DOOR_PROMPT_H
#define SCHEDULER_DOOR_PROMPT_H

#include "text/template.h"
#include "text/tokenizer.h"

#include "base/err.h"

#include <stddef.h>

enum {
    PROMPT_SHORT_MAX = 16 << 10 // bytes that may be encoded on the loop
};

struct prompt {
    const struct tokenizer *tokenizer;
    const struct template *template; // of a chat; NULL: `text` is encoded
    const struct chat_message *messages;
    size_t message_count;
    struct template_options options;
    const char *text;
    size_t text_size;
    /* What a tenant says to all of its users: the words of the first message, before anything was added to them. NULL: nothing. */
    const char *opening;
    size_t opening_size;

    struct token_ids ids; // the result, owned
    size_t opening_ids;   // of them, those that the opening alone decides
    enum err err;
    char note[ERR_NOTE_MAX];
};

/* How many bytes there are to encode. */
size_t prompt_size(const struct prompt *prompt);
/* Fills ids, or err and note. */
void prompt_encode(struct prompt *prompt);

#endif
