/* base/approval.h -- what an approver signs: one feature in one region, with all that the approval is bound to.
 *
 *      feature assistant
 *      region cn
 *      serial 3
 *      policy HEX                       the digest of the region's rules when it was written
 *      os AcmeOS/18.4                   one line for each system; none: any
 *      model HEX                        one for each model
 *      evidence filing SHA256 FROM UNTIL REFERENCE
 *
 * Every line ends with a newline, numbers are decimal, times are ms since 1970 (0: no end). The scheduler and qiaoctl write this text from
 * the same fields, each for itself: an approver signs what the own program has shown, never a text that a server gave. The serial counts
 * the changes of the content, so that a signature is of one content alone.
 *
 * Pure. Thread: any. */
#ifndef BASE_APPROVAL_H
#define BASE_APPROVAL_H

#include "base/digest.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct buf;

#define APPROVAL_PURPOSE "qiao gate approval 1" // of its signature (base/sign.h)

enum {
    APPROVAL_NAME_MAX =
        64, // of a feature, a region, an evidence type: letters, digits, '-', '_', '.'
    APPROVAL_REFERENCE_MAX = 128, // bytes of a filing number or a document's name
    APPROVAL_HASH_SIZE = 32,      // SHA-256 of a document
    APPROVAL_SYSTEMS_MAX = 8,
    APPROVAL_MODELS_MAX = 64,
    APPROVAL_EVIDENCE_MAX = 16
};

struct approval_evidence {
    char type[APPROVAL_NAME_MAX + 1];
    char reference[APPROVAL_REFERENCE_MAX + 1];
    unsigned char hash[APPROVAL_HASH_SIZE];
    int64_t from_ms, until_ms;
};

struct approval {
    char feature[APPROVAL_NAME_MAX + 1];
    char region[APPROVAL_NAME_MAX + 1];
    uint64_t serial;
    struct digest policy;
    char systems[APPROVAL_SYSTEMS_MAX][APPROVAL_NAME_MAX + 1]; // "AcmeOS/18.4"
    size_t system_count;
    struct digest models[APPROVAL_MODELS_MAX];
    size_t model_count;
    struct approval_evidence evidence[APPROVAL_EVIDENCE_MAX];
    size_t evidence_count;
};

/* Each field is what its line can hold. ERR_INVALID names the field and what would be right. */
enum err approval_check(const struct approval *approval);
/* The text that is signed, of an approval that approval_check() takes. */
void approval_write(struct buf *out, const struct approval *approval);

/* A system's minimum, "NAME/1.2.3", against what a client says it is: the same name (case does not count) and a version
 * that is not lower, number by number. */
enum approval_system {
    APPROVAL_SYSTEM_GOOD,
    APPROVAL_SYSTEM_OLD,
    APPROVAL_SYSTEM_OTHER // another name, or none that can be read
};

enum approval_system approval_system(const char *minimum, const char *told);

#endif
