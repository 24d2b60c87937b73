/* scheduler/policy/edition.h -- all documents of a folder at one time, and what follows from them (policy.h). Immutable once it is made. */
#ifndef SCHEDULER_POLICY_EDITION_H
#define SCHEDULER_POLICY_EDITION_H

#include "scheduler/policy/document.h"
#include "scheduler/policy/policy.h"
#include "scheduler/policy/rules.h"

#include <stddef.h>

struct resolved {
    struct rules rules;
    size_t chain[POLICY_DEPTH_MAX]; // of documents, the lowest first
    size_t chain_count;
};

struct policy_edition {
    size_t holds;
    struct document *documents; // by their names
    size_t document_count;
    struct resolved *resolved;
    size_t resolved_count;
    struct digest digest; // of all documents, by their names
};

/* Read, check, verify, resolve. As policies_new(). One hold is the caller's. */
enum err edition_read(struct policy_edition **out, const char *folder, const char *keys);
void edition_drop(struct policy_edition *edition);
/* The document of this name; NULL: there is none. */
const struct document *edition_find(const struct policy_edition *edition, const char *name);
/* What changes when a file of the folder does. ERR_IO. */
enum err edition_look(const char *folder, struct digest *out);

/* policy.c, for those who show it: the edition in force; what is resolved for a region and a tenant, NULL: nothing is. */
const struct policy_edition *policies_edition(const struct policies *policies);
const struct resolved *policies_resolved(const struct policies *policies, const char *region,
                                         const char *tenant);

#endif
