/* scheduler/door/choice_text.h -- the text of one choice: what its ids say, as far as it counts.
 *
 *      ids --text/stream--> whole characters, until a stop string --policy/sieve--> `fresh`, what may be told
 *          --> `whole`, where the answer is kept; the label's hash, where it streams
 *
 * Where the rules filter, what may become part of a term is held back before anything counts it, and a choice that is refused ends with the
 * refusal: a streamed one behind what was sent before, another with the refusal alone.
 *
 * A reader that came back has some of it: `told`. That much comes anew and is left out of `fresh` and the log-probabilities,
 * but not of `whole` and the label.
 *
 * Owns what it holds; what the options name is borrowed. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_CHOICE_TEXT_H
#define SCHEDULER_DOOR_CHOICE_TEXT_H

#include "scheduler/door/logprobs.h"
#include "scheduler/door/position.h"

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ask;
struct flight_ids;
struct mark;
struct screen;
struct sieve;
struct stream;
struct tokenizer;

struct choice_text_options {
    const struct ask *ask;
    const struct tokenizer *tokenizer;
    struct screen *screen; // NULL: nothing is filtered
    struct mark *mark;     // hashes what is streamed
    uint32_t index;        // of the choice
    bool keeps;            // `whole`
    struct position_place told;
};

struct choice_text {
    struct choice_text_options options;
    struct stream *stream;
    struct sieve *sieve;      // NULL: what comes goes
    struct buf raw;           // what comes, before the sieve
    struct buf fresh;         // what the latest call brought and a stream has to send
    struct buf whole;         // for plain replies and sessions
    struct logprobs logprobs; // of what `fresh` or `whole` holds
    uint32_t tokens;
    uint32_t bytes;      // of all that counts
    uint32_t told_bytes; // of the tokens that the reader has
    const char *finish;  // NULL while it goes on; "stop", "length", or what the filter says
};

/* stream_new()'s failures. Either way the caller ends it with choice_text_fini(). */
enum err choice_text_init(struct choice_text *text, const struct choice_text_options *options);
/* The filter's findings are told to the screen. */
void choice_text_fini(struct choice_text *text);

/* More ids; those behind the one that ends it do not count. ERR_INVALID: its reader has what it does not say. */
enum err choice_text_add(struct choice_text *text, const struct flight_ids *ids);
/* No more ids will come: the rest of what was held back. */
void choice_text_end(struct choice_text *text, const char *finish);
/* It is over, and ended before it came to where its reader is. */
bool choice_text_falls_short(const struct choice_text *text);

#endif
