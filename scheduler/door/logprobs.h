/* scheduler/door/logprobs.h -- log-probabilities of generated tokens, in the API's two shapes.
 *
 *      chat   {"content":[{"token","logprob","bytes","top_logprobs":[…]}],"refusal":null}
 *      text   {"tokens":[…],"token_logprobs":[…],"top_logprobs":[{…}],"text_offset":[…]}
 *
 * Ids that give no text (the end of a turn) are left out. A token's text may be a part of a
 * character: `bytes` is exact, `token` has U+FFFD there. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_LOGPROBS_H
#define SCHEDULER_DOOR_LOGPROBS_H

#include "scheduler/door/ask.h"

#include "base/buf.h"

#include <stddef.h>
#include <stdint.h>

struct tokenizer;
struct wire_top;

struct logprobs {
    enum ask_kind kind;
    const struct tokenizer *tokenizer;
    struct buf tokens, values, tops, offsets; // list items so far; of a chat `tokens` alone
    size_t offset;                            // bytes of text before the next token
};

void logprobs_init(struct logprobs *logprobs, enum ask_kind kind,
                   const struct tokenizer *tokenizer);
void logprobs_fini(struct logprobs *logprobs);
void logprobs_add(struct logprobs *logprobs, int32_t id, float logprob, const struct wire_top *tops,
                  size_t top_count);
/* Whether something was added since the last write. */
bool logprobs_waiting(const struct logprobs *logprobs);
/* Leave out what was added; offsets go on behind it. */
void logprobs_forget(struct logprobs *logprobs);
/* Append the object that holds what was added, and forget it. */
void logprobs_write(struct logprobs *logprobs, struct buf *out);

#endif
