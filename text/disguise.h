/* text/disguise.h -- characters as the eye takes them, so that a word is known however it is written.
 *
 * A character is folded first (text/fold.h: width, case, marks, variants). What it becomes is a symbol with a shape: characters that
 * look alike have the same.
 *
 *      other scripts      а (Cyrillic), α (Greek), ⴰ …    shape of a
 *      digits, signs      0 3 4 5 7 8 9 @ $               shape of o e a s t b g a s
 *      i, l, 1            shape of i
 *      Han                己 已 巳, 未 末, カ 力 …          shape of the first
 *
 * A shape alone says too much (fall is not fail, 101 is not lol): who compares judges by disguise_judge() what one stands for another.
 * What is no symbol stands between symbols, as a gap. The table of look-alikes is our own (disguise.def).
 *
 * A table of the first 65,536 characters is made once and never changes. Thread: any. */
#ifndef TEXT_DISGUISE_H
#define TEXT_DISGUISE_H

#include "text/fold.h"

#include <stddef.h>
#include <stdint.h>

struct disguise;

/* What stands between two symbols. Of several in a row the last of these names counts. */
enum disguise_gap {
    DISGUISE_TOUCH,  // nothing
    DISGUISE_HIDDEN, // what nobody sees: joiners, marks, variation selectors
    DISGUISE_WEAK,   // signs that part no words: - _ * ~ · and pictures
    DISGUISE_SPACE,  // but no line's end
    DISGUISE_DOT,    // . and its kind: a sign between ideographs, an end between words
    DISGUISE_STRONG  // what parts words or sentences
};

struct disguise_symbol {
    int32_t code;          // folded
    int32_t shape;         // of all that look like it
    enum fold_class class; // FOLD_APART: a sign that looks like a letter (@)
};

enum disguise_likeness {
    DISGUISE_OTHER,  // only the shape is alike
    DISGUISE_SAME,   // the same folded character
    DISGUISE_SCRIPT, // a letter of another script for a Latin one: however many, it can be read
    DISGUISE_HINT // a digit or sign for a letter, a neighbour in shape: in part alone it can be read
};

/* `fold` must outlive it. */
struct disguise *disguise_new(const struct fold *fold);
void disguise_free(struct disguise *disguise);

/* The symbols of `code`, a scalar value: their count in `out`; 0 for a gap, of the kind in `gap`. */
size_t disguise_read(const struct disguise *disguise, int32_t code,
                     struct disguise_symbol out[FOLD_MAX], enum disguise_gap *gap);
/* What `seen` is where `meant` is looked for; both have the same shape. */
enum disguise_likeness disguise_judge(const struct disguise_symbol *seen,
                                      const struct disguise_symbol *meant);

#endif
