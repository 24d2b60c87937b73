/* base/aigc.h -- the metadata of generated content: the AIGC object of GB 45438-2025, and what makes it a proof.
 *
 *      "AIGC" fields, in the standard's order        what stands there
 *      Label                                         "1": generated
 *      ContentProducer, ProduceID                    the service provider's code, the answer's id
 *      ReservedCode1                                 qiao1:KEY:CONTENT:LABEL:SIGNATURE
 *      ContentPropagator, PropagateID                the same of who passes it on; "" where nobody does
 *      ReservedCode2                                 ""
 *
 *      KEY        id of the signing key (base/sign.h)
 *      CONTENT    hash of the content, or "open": the content was not there yet, as in a stream's first event
 *      LABEL      hash of the visible label, or "none": there is none
 *      SIGNATURE  Ed25519 over aigc_text() with the purpose "qiao aigc 1"
 *
 * Content is a list of texts (the choices of an answer, the ids of a list), without the visible label. Its hash is BLAKE2b-256 of the
 * BLAKE2b-256 of each text, in order; the label's is the same of two texts, before and behind the content. Hashes and the signature are
 * base64 of the URL alphabet without padding.
 *
 * Thread: any, after sodium_init(). */
#ifndef BASE_AIGC_H
#define BASE_AIGC_H

#include "base/err.h"
#include "base/sign.h"

#include <stdbool.h>
#include <stddef.h>

struct buf;

enum {
    AIGC_FIELD_MAX =
        96, // bytes of a field that is not signed over by itself: printable ASCII but '"' and '\'
    AIGC_CODE_MAX = 320, // of ReservedCode1
    AIGC_HASH_SIZE = 32
};

/* In the standard's order. */
struct aigc {
    char label[AIGC_FIELD_MAX + 1];
    char producer[AIGC_FIELD_MAX + 1];
    char produce_id[AIGC_FIELD_MAX + 1];
    char reserved1[AIGC_CODE_MAX + 1];
    char propagator[AIGC_FIELD_MAX + 1];
    char propagate_id[AIGC_FIELD_MAX + 1];
    char reserved2[AIGC_FIELD_MAX + 1];
};

/* The names of the fields and where they are, for who reads or writes one. */
enum {
    AIGC_FIELDS = 7
};

struct aigc_field {
    const char *name;
    size_t offset, max; // in struct aigc; without the NUL
};

extern const struct aigc_field aigc_fields[AIGC_FIELDS];

/* Why an object proves nothing. */
enum aigc_wrong {
    AIGC_VALID,
    AIGC_WRONG_CODE,      // ReservedCode1 is none of ours
    AIGC_WRONG_KEY,       // of no key that is known
    AIGC_WRONG_SIGNATURE, // a field, or the signature, is not as it was signed
    AIGC_WRONG_CONTENT,
    AIGC_WRONG_LABEL
};

struct aigc_hash {
    unsigned char bytes[AIGC_HASH_SIZE];
};

/* ReservedCode1, read. */
struct aigc_code {
    char key[SIGN_ID_MAX + 1];
    bool has_content, has_label; // else "open", "none"
    struct aigc_hash content, label;
    unsigned char signature[SIGN_SIZE];
};

/* The hash of one text that comes piece by piece. aigc_text_hash() may be asked at any time, for what came so far. */
struct aigc_hasher;
struct aigc_hasher *aigc_hasher_new(void);
void aigc_hasher_add(struct aigc_hasher *hasher, const void *bytes, size_t size);
struct aigc_hash aigc_hasher_hash(const struct aigc_hasher *hasher);
void aigc_hasher_free(struct aigc_hasher *hasher);
struct aigc_hash aigc_hash_text(const void *bytes, size_t size);
/* The hash of a list, from those of its texts. */
struct aigc_hash aigc_hash_list(const struct aigc_hash *texts, size_t count);
struct aigc_hash aigc_hash_label(const char *before, const char *behind);

/* Whether a text may stand in a field. */
bool aigc_is_field(const char *text);
/* What is signed: each field but ReservedCode1 as "NAME VALUE\n" in order, then "Content …\n", "VisibleLabel …\n", "Key …\n". */
void aigc_text(struct buf *out, const struct aigc *aigc, const struct aigc_code *code);
/* Fill ReservedCode1. `content` NULL: open; `label` NULL: none. */
void aigc_sign(struct aigc *aigc, const struct sign_secret *secret, const struct aigc_hash *content,
               const struct aigc_hash *label);
/* False: it is none of ours. */
bool aigc_read_code(struct aigc_code *out, const char *text);
/* Fields and signature. `out` (or NULL) has what ReservedCode1 says, if it is AIGC_VALID. */
enum aigc_wrong aigc_check(const struct aigc *aigc, const struct sign_keys *keys,
                           struct aigc_code *out);

/* Content as somebody has it. */
struct aigc_content {
    const char *const *texts; // [count]
    const size_t *sizes;
    size_t count;
    bool has_label; // around each of the texts; then it is left out of what is hashed
    const char *before, *behind;
    // Without it the texts are what was signed, or have paragraphs around them that are the label which was.
};

/* Whether it is the content of a signed object. */
enum aigc_wrong aigc_check_content(const struct aigc_code *code,
                                   const struct aigc_content *content);
/* One word for the part that is wrong, NULL for AIGC_VALID; and a sentence about it. `code` of what aigc_check() took. */
const char *aigc_wrong_part(enum aigc_wrong wrong);
const char *aigc_wrong_text(enum aigc_wrong wrong, const struct aigc_code *code);
/* The object as JSON, in order. */
void aigc_write(struct buf *out, const struct aigc *aigc);

#endif
