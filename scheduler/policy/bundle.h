/* scheduler/policy/bundle.h -- the bundles of terms that filters look for: signed files of a folder.
 *
 *      folder: NAME.terms, with its signatures in NAME.terms.sig
 *            | read, signature checked (purpose TERMS_PURPOSE), parsed (base/terms.h), compiled (text/match.h)
 *      bundle: immutable; replaced by a good one with a higher serial, held by who filters a text
 *
 * A file that has become wrong, or whose serial is not higher while its bytes are others, leaves the edition before in force until that is
 * too old by the rules of who asks. What was once loaded stays when its file goes.
 *
 * Reading a folder is three steps, so that compiling (a second, for the most terms that there may be) holds nobody up:
 *
 *      bundles_begin (loop) --> bundles_work (any thread: files, signatures, automata) --> bundles_end (loop: what is good is in force)
 *
 * Time is an argument: seconds since 1970. Thread: the loop's, but for bundles_work(); a held bundle is any thread's to read. */
#ifndef SCHEDULER_POLICY_BUNDLE_H
#define SCHEDULER_POLICY_BUNDLE_H

#include "scheduler/policy/rules.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/terms.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct bundles;
struct bundles_reading;
struct match;

enum {
    BUNDLES_MAX = 64
};

struct bundle {
    const struct terms *terms; // its names and categories
    const struct match *match; // entry i is terms->entries[i]
    struct digest digest;      // of the file
    char signer[RULES_NAME_MAX + 1];
};

/* `folder` "": there are none. `keys`: the file of public keys whose signatures count. ERR_INVALID, ERR_FORMAT, ERR_FORBIDDEN (a
 * signature), ERR_IO: the file, and what is wrong. */
enum err bundles_new(struct bundles **out, const char *folder, const char *keys);
void bundles_free(struct bundles *bundles);
/* Read the folder again, in one go. On a failure what could not be read stays as it is, and bundles_failure() has the first note. */
enum err bundles_load(struct bundles *bundles);
/* Whether something in the folder has changed since it was read last, and it is not being read. */
bool bundles_changed(const struct bundles *bundles);
/* The same in steps. The reading ends before the bundles do. */
struct bundles_reading *bundles_begin(struct bundles *bundles);
void bundles_work(struct bundles_reading *reading);
enum err bundles_end(struct bundles *bundles, struct bundles_reading *reading);
/* Why the latest reading failed; "": it did not. */
const char *bundles_failure(const struct bundles *bundles);
/* JSON for operators: an array of name, serial, date, digest, signer, terms, bytes. */
void bundles_show(const struct bundles *bundles, struct buf *out);

/* What is wrong with a bundle's text that is no part of the folder: its lines, or a term. ERR_FORMAT, ERR_INVALID. */
enum err bundles_check(const struct bundles *bundles, const char *name, const char *text,
                       size_t size);

/* What the rules ask for, held. ERR_UNAVAILABLE: there is none of that name, it is too old, or its terms are longer than the window. */
enum err bundles_find(const struct bundles *bundles, const struct rules_filter *rules,
                      int64_t now_s, const struct bundle **out);
const struct bundle *bundle_hold(const struct bundle *bundle);
/* NULL: nothing happens. */
void bundle_drop(const struct bundle *bundle);

/* Compile terms without a folder, for tests and tools: `terms` becomes the bundle's; freed on a failure, too. ERR_INVALID: the term that is
 * wrong, in words. */
struct disguise;
enum err bundle_new(const struct bundle **out, const struct disguise *disguise,
                    struct terms *terms);

#endif
