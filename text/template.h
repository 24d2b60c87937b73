/* text/template.h -- chat messages -> the prompt that the model was trained on.
 *
 * Three families are spoken: ChatML, Llama-3, Llama-2, recognised by their marks in the model's own
 * template text (tokenizer.chat_template). Details in which members of a family differ are read
 * from that text too: a default system prompt (Qwen2.5), the dated header (Llama-3.1, -3.2),
 * trimming, what becomes of reasoning in the history (Qwen3). Tools are not rendered here.
 *
 * A user's text cannot forge a control token: template_encode() parses them in the template's own
 * words only.
 *
 * Thread: a struct template is a value, immutable after template_read(); any may use it. */
#ifndef TEXT_TEMPLATE_H
#define TEXT_TEMPLATE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct token_ids;
struct tokenizer;

enum {
    TEMPLATE_SYSTEM_MAX = 512, // bytes of a default system prompt, the NUL included
    TEMPLATE_MESSAGES_MAX = 4096
};

enum template_kind {
    TEMPLATE_NONE, // no template: chat is refused, completions work
    TEMPLATE_CHATML,
    TEMPLATE_LLAMA3,
    TEMPLATE_LLAMA2
};

struct template
{
    enum template_kind kind;
    bool trims;        // content loses white space at both ends
    bool dated;        // Llama-3.1 and later: the system header carries dates
    bool dated_today;  // ... today's date; otherwise the fixed one
    bool strips_think; // Qwen3: reasoning of earlier turns is dropped from the history
    bool opens_bos;    // ChatML: the BOS stands before the first turn (the Llamas always have it)
    char system
        [TEMPLATE_SYSTEM_MAX]; // ChatML: stands in where no system message comes first; "" none
};

/* Views: not NUL-terminated, the caller's. */
struct chat_message {
    const char *role;
    size_t role_size;
    const char *content;
    size_t content_size;
};

struct template_options {
    bool add_generation_prompt; // end with the opening of the assistant's turn
    bool thinking_off;          // Qwen3: an empty thought instead of a real one
    int64_t wall_ms;            // now (clock_wall_ms), for templates that state the date
};

/* Recognise a model's template text. ERR_UNSUPPORTED, with a note that names the override flag,
 * when it is absent (size 0), of no family that we speak, or of one but with words of its own that
 * we would leave out. */
enum err template_read(struct template *out, const char *text, size_t size);
/* The argument of --chat-template: "chatml", "llama3", "llama2". ERR_INVALID lists them. */
enum err template_parse_name(struct template *out, const char *name);
const char *template_name(const struct template *template);

/* Append the prompt as text; `bos` and `eos` are the model's texts of those tokens (NUL-terminated,
 * "" where it has none). ERR_INVALID, naming index and role, for a role that is not system, user or
 * assistant, or an order that the family has no form for; ERR_UNSUPPORTED for TEMPLATE_NONE. */
enum err template_render(const struct template *template, const struct chat_message *messages,
                         size_t count, const struct template_options *options, const char *bos,
                         const char *eos, struct buf *out);

/* Append the prompt as ids, with the BOS where the model or the template wants one (once). Equal to
 * encoding the rendered text with control pieces parsed, when no message holds the text of one. */
enum err template_encode(const struct template *template, const struct tokenizer *tokenizer,
                         const struct chat_message *messages, size_t count,
                         const struct template_options *options, struct token_ids *out);

#endif
