/* scheduler/features/ground_text.h -- strangers' texts on their way into a prompt, and what an answer says of them.
 *
 * A title or a document must stay data: one line, in which nothing looks like a place where our own words begin. No
 * vocabulary has a piece for what comes out: '<', '>', '[', ']', control and invisible characters do not. Pure. Thread: any. */
#ifndef SCHEDULER_FEATURES_GROUND_TEXT_H
#define SCHEDULER_FEATURES_GROUND_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum ground_language {
    GROUND_ENGLISH,
    GROUND_CHINESE
};

/* Chinese where a Han character stands in the text. */
enum ground_language ground_language_of(const char *text, size_t size);
/* Its tag: "en", "zh". */
const char *ground_language_tag(enum ground_language language);

/* Append at most `most` bytes of the text, cut between characters: controls, line ends and runs of spaces become one space, what
 * is invisible or no UTF-8 goes, '<' '>' '[' ']' (and their wide forms) become other brackets. None at its ends. */
void ground_clean(struct buf *out, const char *text, size_t size, size_t most);
/* The longest part of the text, from its beginning, of at most `most` bytes and whole characters. */
size_t ground_cut(const char *text, size_t size, size_t most);

/* Whether the text cites entry `number`: [1], [1, 2], also in wide brackets. */
bool ground_cites(const char *text, size_t size, uint32_t number);

#endif
