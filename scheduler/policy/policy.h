/* scheduler/policy/policy.h -- the policy documents of a folder, and what holds by them for a region and a tenant.
 *
 *      folder: base.json, cn.json, …, each with its signatures in NAME.json.sig
 *            | read whole, checked, verified
 *      edition: all documents, and the resolved rules of each region, and of each tenant that has its own there
 *            | replaced whole, by one that is good
 *      policies: the edition in force, its predecessors as long as somebody holds rules of them
 *
 * A folder that has become wrong leaves the edition before in force: its documents end by their own `valid_until`. policies_look() finds
 * changes by names, sizes and times. Of a document that was in force since the start, one with a lower `serial` is refused: an old
 * text with a good signature does not come back.
 *
 * Time is an argument: seconds since 1970. Thread: the loop's. */
#ifndef SCHEDULER_POLICY_POLICY_H
#define SCHEDULER_POLICY_POLICY_H

#include "scheduler/policy/reason.h"
#include "scheduler/policy/rules.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct policies;

enum {
    POLICY_DOCUMENTS_MAX = 256,
    POLICY_DOCUMENT_BYTES = 256 << 10,
    POLICY_DEPTH_MAX = 8 // documents of a chain
};

/* Of the documents in `folder`, signed by keys of the file `keys`. ERR_INVALID, ERR_FORBIDDEN (a signature), ERR_IO: file, path in it, and
 * what is wrong. */
enum err policies_new(struct policies **out, const char *folder, const char *keys);
void policies_free(struct policies *policies);
/* Read the folder again. On a failure all stays as it is, and policies_failure() has the note. */
enum err policies_load(struct policies *policies);
/* The same, but only if something in the folder has changed. True: it was read (`err` says how that went). */
bool policies_look(struct policies *policies, enum err *err);
/* Why the latest reading failed; "": it did not. */
const char *policies_failure(const struct policies *policies);
/* Of all documents of the edition in force. */
struct digest policies_digest(const struct policies *policies);

/* The rules for a region and a tenant. REASON_REGION_REQUIRED: `region` is ""; REASON_REGION_NOT_APPROVED: no document is of it;
 * REASON_POLICY_EXPIRED: one of its documents is over, or has not begun. Borrowed until the loop turns: who keeps them holds them. */
enum reason policies_find(const struct policies *policies, const char *region, const char *tenant,
                          int64_t now_s, const struct rules **out);
const struct rules *rules_hold(const struct rules *rules);
/* NULL: nothing happens. */
void rules_drop(const struct rules *rules);

/* The resolved rules one after another, whatever their time; NULL behind the last. */
const struct rules *policies_at(const struct policies *policies, size_t index);

/* JSON for operators: documents with digests, signers, times and the failure; and of one region's rules each rule with its value, the document
 * that says so, and the provisions. */
void policies_show(const struct policies *policies, int64_t now_s, struct buf *out);
enum reason policies_explain(const struct policies *policies, const char *region,
                             const char *tenant, struct buf *out);

/* One document that is no part of the folder: whether it says anything wrong, with the path in it; what it extends is not looked
 * at. `name` stands in notes. */
enum err policy_check(const char *name, const char *text, size_t size);

#endif
