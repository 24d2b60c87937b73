/* scheduler/door/ask.h -- what a client asks: the body of a chat or text completion, checked.
 *
 * OpenAI's parameters and the common extensions (top_k, min_p, repetition_penalty, session).
 * Unknown ones are ignored; those that would change the answer's meaning and that we do not serve
 * are refused by name. Every failure names its field in the note and through json_param(). Thread:
 * the loop's. */
#ifndef SCHEDULER_DOOR_ASK_H
#define SCHEDULER_DOOR_ASK_H

#include "scheduler/door/ask_context.h"
#include "scheduler/door/ask_session.h"

#include "text/stream.h"
#include "text/template.h"
#include "wire/message.h"

#include "base/err.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ASK_CHOICES_MAX = 8
};

enum ask_kind {
    ASK_CHAT,
    ASK_TEXT
};

struct ask {
    enum ask_kind kind;
    const char *model;             // NULL: not said
    struct chat_message *messages; // of a chat; [message_count]
    size_t message_count;
    const char *prompt; // of a text completion: text or ids
    size_t prompt_size;
    int32_t *ids;
    size_t id_count;
    uint32_t max_tokens;   // 0: not said
    uint32_t choice_count; // `n`, 1 to ASK_CHOICES_MAX
    struct wire_sampling sampling;
    bool has_seed;
    struct stream_stop stops[STREAM_STOPS_MAX];
    size_t stop_count;
    bool stream, include_usage, thinking_off;
    struct ask_session session;
    struct ask_context context;
    bool prewarm; // compute the session's prompt, answer with counts
    struct wire_bias *bias;
    json_t *root; // what the texts above are borrowed from
};

/* ERR_INVALID, ERR_TOO_LARGE, ERR_UNSUPPORTED is never used: a refused parameter is ERR_INVALID
 * (400). On success ask_fini() it; the body's bytes may go. A seed that is missing is left to the
 * caller (has_seed). */
enum err ask_parse(struct ask *out, enum ask_kind kind, const char *body, size_t size);
void ask_fini(struct ask *ask);
/* What only the model can say: ids and biased ids below its vocabulary's size. */
enum err ask_check_vocab(const struct ask *ask, uint32_t vocab_size);

#endif
