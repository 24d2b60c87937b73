/* scheduler/policy/document.h -- one policy document: a JSON object in a file, and who signed it.
 *
 *      format       "qiao policy 1"
 *      kind         "base", "region" or "tenant"
 *      name         a region's is what X-Qiao-Region says, in lower case
 *      extends      the name of the document under it; a base may have none
 *      tenant       of a tenant: whose; its region is the one of the document under it
 *      serial       a whole number that grows with each edition
 *      valid_from, valid_until     "2026-01-01T00:00:00Z"
 *      note         for people
 *      final        paths of rules that documents above this one may not say
 *      rules        an object (schema.h)
 *
 * What is signed are the file's bytes, for the purpose DOCUMENT_PURPOSE (base/sign.h). Pure. Thread: any. */
#ifndef SCHEDULER_POLICY_DOCUMENT_H
#define SCHEDULER_POLICY_DOCUMENT_H

#include "scheduler/policy/rules.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/sign.h"

#include <jansson.h>

#include <stddef.h>
#include <stdint.h>

#define DOCUMENT_FORMAT  "qiao policy 1"
#define DOCUMENT_PURPOSE "qiao policy 1"

enum {
    DOCUMENT_FINALS_MAX = 64,
    DOCUMENT_SIGNERS_MAX = 16,
    DOCUMENT_FILE_MAX = 128 // bytes of a file's name
};

enum document_kind {
    DOCUMENT_BASE,
    DOCUMENT_REGION,
    DOCUMENT_TENANT
};

struct document {
    char file[DOCUMENT_FILE_MAX];
    json_t *root; // what the texts are borrowed from
    enum document_kind kind;
    const char *name, *extends, *tenant; // "" where not said
    int64_t serial;
    int64_t valid_from_s, valid_until_s;
    const char *finals[DOCUMENT_FINALS_MAX];
    size_t final_count;
    const json_t *rules;
    struct digest digest; // of the file's bytes
    char signers[DOCUMENT_SIGNERS_MAX][SIGN_ID_MAX + 1];
    size_t signer_count;
};

/* ERR_INVALID: "<file>: <path>: what must be there". On success document_fini() it; nobody has signed it yet. */
enum err document_parse(struct document *out, const char *file, const char *text, size_t size);
/* Note those who signed the bytes. ERR_FORBIDDEN: nobody that is known, or a known one's signature is of other bytes. */
enum err document_verify(struct document *document, const char *text, size_t size,
                         const struct sign_keys *keys, const struct sign_signatures *signatures);
void document_fini(struct document *document);
const char *document_kind_name(enum document_kind kind);
/* Whether a document above this one may say the rule at `path`. ERR_FORBIDDEN names both. */
enum err document_allows(const struct document *document, const struct document *above);

#endif
