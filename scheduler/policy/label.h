/* scheduler/policy/label.h -- what an answer says of itself: that it was generated, for people and for programs.
 *
 *      rules, language --> label_init()    the texts before and behind each of its contents
 *                              |
 *                          label_open()    the metadata of a stream's first event: the content is not there yet
 *                              |
 *                          label_seal()    the same of all that was said, signed (base/aigc.h)
 *
 * The visible label and the notice are no part of the content: an answer's text, usage and session do not have them.
 *
 * Of labellers there is one in a scheduler. Thread: the loop's. */
#ifndef SCHEDULER_POLICY_LABEL_H
#define SCHEDULER_POLICY_LABEL_H

#include "scheduler/policy/rules.h"

#include "base/aigc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/sign.h"

#include <stdbool.h>
#include <stddef.h>

/* The key that signs, and those whose signatures count. */
struct labeller;

/* `secret` "": nothing can be signed. `keys` "": no other scheduler's signatures count. Failures are those of sign_read_secret() and
 * sign_read_keys(); ERR_INVALID: two keys have one id. */
enum err labeller_new(struct labeller **out, const char *secret, const char *keys);
void labeller_free(struct labeller *labeller);
/* NULL: nothing can be signed. */
const struct sign_secret *labeller_secret(const struct labeller *labeller);
/* Its own first. */
const struct sign_keys *labeller_keys(const struct labeller *labeller);
/* Why the labels that these rules ask for cannot be made, and what would help; NULL: they can. Metadata is for what `generates` content. */
const char *labeller_lacks(const struct labeller *labeller, const struct rules_labels *rules,
                           bool generates);
/* What stands beside a list, of items or of hits; NULL: nothing. Borrowed from the rules. */
const char *label_of_list(const struct rules_labels *rules, const char *language);

struct label_order {
    const struct labeller *labeller;
    const struct rules_labels *rules; // NULL: nothing is governed, and there is no label
    const char *language;             // "": the first of each text
    const char *id;                   // the answer's
    bool first;                       // of its conversation: the notice is given
    bool waived;                      // no visible label, by an agreement that is on record
};

/* Of one answer. A zeroed one is no label. */
struct label {
    const struct labeller *labeller;
    bool is_there;             // something governs the answer
    bool implicit;             // its metadata is asked for
    bool is_waived;            // the visible label
    enum rules_place place;    // where that stands; the notice is none
    struct buf before, behind; // each content, with their line breaks; may be empty
    struct aigc aigc;
};

/* What the order says is copied, but for the labeller. labeller_lacks() was NULL. */
void label_init(struct label *label, const struct label_order *order);
void label_fini(struct label *label);

/* Sign: of a content that is not there yet, or of texts with these hashes. Then aigc is there, if metadata is asked for. */
void label_open(struct label *label);
void label_seal(struct label *label, const struct aigc_hash *texts, size_t count);
/* `"label":{"before":…,"behind":…},"AIGC":{…}`, as much of it as there is. */
void label_write(struct buf *out, const struct label *label);
/* The AIGC object alone; nothing where there is none. */
void label_write_aigc(struct buf *out, const struct label *label);

#endif
