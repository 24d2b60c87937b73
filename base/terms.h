/* base/terms.h -- the file of a bundle of terms: what a filter looks for, by category.
 *
 *      qiao terms 1
 *      name NAME                           letters, digits, '-', '_', '.'
 *      serial NUMBER                       grows with each edition
 *      made YYYY-MM-DD                     the age that a policy limits counts from here
 *      category NAME INPUT OUTPUT          what is done in prompts and in answers: pass, review, mask, refuse, block
 *      term CATEGORY TEXT                  a word where it ends in letters or digits, else anywhere
 *      part CATEGORY TEXT                  anywhere
 *      pattern CATEGORY TEXT               text/pattern.h
 *
 * One space parts fields; a TEXT goes to the end of its line. Empty lines and lines that begin with '#' say nothing. A category stands before
 * what is of it. terms_write() gives the one canonical text: comments gone, entries in order and once each; that is what is signed, with
 * the purpose TERMS_PURPOSE (base/sign.h).
 *
 * Failures name the file and the line. Thread: immutable when it is read. */
#ifndef BASE_TERMS_H
#define BASE_TERMS_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct buf;

#define TERMS_PURPOSE "qiao terms 1"

enum {
    TERMS_NAME_MAX = 64,
    TERMS_CATEGORIES_MAX = 32,
    TERMS_COUNT_MAX = 1 << 18,
    TERMS_TEXT_MAX = 256, // bytes of one
    TERMS_FILE_MAX = 32 << 20
};

/* From the mildest on. */
enum terms_action {
    TERMS_PASS,
    TERMS_REVIEW,
    TERMS_MASK,
    TERMS_REFUSE,
    TERMS_BLOCK,
    TERMS_ACTION_COUNT
};

enum terms_kind {
    TERMS_TERM,
    TERMS_PART,
    TERMS_PATTERN
};

struct terms_category {
    char name[TERMS_NAME_MAX + 1];
    enum terms_action input, output;
};

struct terms_entry {
    enum terms_kind kind;
    uint32_t category;
    const char *text; // UTF-8, not terminated
    size_t size;
};

struct terms {
    char name[TERMS_NAME_MAX + 1];
    uint64_t serial;
    int64_t made_s; // the day's first second since 1970, UTC
    struct terms_category categories[TERMS_CATEGORIES_MAX];
    size_t category_count;
    struct terms_entry *entries; // in the canonical order
    size_t count;
    char *bytes; // that they lie in
};

/* ERR_FORMAT. `name` stands in notes. */
enum err terms_parse(struct terms **out, const char *name, const char *text, size_t size);
/* NULL: nothing happens. */
void terms_free(struct terms *terms);
void terms_write(struct buf *out, const struct terms *terms);

const char *terms_action_name(enum terms_action action);

#endif
