/* scheduler/features/ground.h -- what an assistant is told besides the conversation: a user's recent items, what a search has
 * found, as numbered entries of one labelled part of the prompt.
 *
 *      ground_add_source, ground_add…      entries, source by source
 *      ground_fit                          so that they have no more tokens than there is room for
 *      ground_write                        the part, in the language of the question; its wording is fixed
 *      ground_tell                         what the answer says of it: "context": […]
 *
 *      [1] 2026-11-25 viewed: Bamboo phone 3       an item of the history
 *      [2] Returns: Within 30 days …               a document
 *
 * A source that gives nothing says why (`skipped`). Texts are others': they go through ground_clean(). Pure. Thread: one at a
 * time. */
#ifndef SCHEDULER_FEATURES_GROUND_H
#define SCHEDULER_FEATURES_GROUND_H

#include "scheduler/features/ground_text.h"

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct history;
struct tokenizer;

enum {
    GROUND_SOURCES_MAX = 4,
    GROUND_NAME_MAX = 80, // bytes of a source's name
    GROUND_ITEMS_MAX = 8, // of a history
    GROUND_HITS_MAX = 4,  // of an index
    GROUND_ENTRIES_MAX = GROUND_SOURCES_MAX * GROUND_ITEMS_MAX,
    GROUND_ID_MAX = 128,     // bytes, as of a collection's document
    GROUND_TITLE_MAX = 120,  // bytes
    GROUND_TEXT_MAX = 1200,  // bytes of a document
    GROUND_TOKENS_MAX = 1024 // of the whole part, and a quarter of the model's context
};

struct ground_entry {
    size_t source;
    char *id, *title, *text; // owned; text NULL: none
    size_t text_size;
};

struct ground_source {
    char name[GROUND_NAME_MAX + 1]; // "history", "search:INDEX"
    const char *skipped;            // why it gives nothing, a literal; NULL
};

/* A zeroed struct is empty, in English. */
struct ground {
    enum ground_language language;
    struct ground_source sources[GROUND_SOURCES_MAX];
    size_t source_count;
    struct ground_entry entries[GROUND_ENTRIES_MAX]; // by source
    size_t count;
};

void ground_fini(struct ground *ground);

/* The index that a source searches, in its name; NULL: it is the history. */
const char *ground_index(const struct ground *ground, size_t source);

/* `name` is of at most GROUND_NAME_MAX bytes; its number. */
size_t ground_add_source(struct ground *ground, const char *name);
/* An entry behind the others of its source; what is beyond a limit is cut or left out. `text` NULL: there is none. */
void ground_add(struct ground *ground, size_t source, const char *id, const char *title,
                const char *text);

/* The title of an item in the language, NULL: it has none; borrowed until the next call. */
typedef const char *ground_title_fn(void *argument, const char *item, const char *language);
/* What was done lately up to `until_ms`: the newest first, each item once. */
void ground_add_history(struct ground *ground, size_t source, const struct history *history,
                        int64_t until_ms, ground_title_fn *title, void *argument);

/* Cut texts, then leave out the last entries of whoever has most, until the part has at most `budget` tokens. Whoever had entries
 * and has none then is skipped for "no room". */
void ground_fit(struct ground *ground, const struct tokenizer *tokenizer, size_t budget);
/* Tokens that a part may have beside a model's context of `context_length`. */
size_t ground_budget(uint32_t context_length);

/* Nothing without entries. */
void ground_write(const struct ground *ground, struct buf *out);
/* Of the part and of what was skipped: equal ones make equal prompts. */
struct digest ground_digest(const struct ground *ground);

/* A choice of the answer. */
struct ground_answer {
    const char *text;
    size_t size;
};

/* "context":[{"n":1,"source":"history","id":"…","title":"…","used":true},{"source":"search:x","skipped":"…"}]; `used`: one of
 * the answers cites it. */
void ground_tell(const struct ground *ground, const struct ground_answer *answers, size_t count,
                 struct buf *out);

#endif
