/* scheduler/policy/audit.h -- what happened, without what was said: records in one chain for each life of a scheduler.
 *
 * A record has no content and no name of a user: a class, the time, and a few short fields (ids, digests, counts, reasons). Records are
 * chained by BLAKE2b, so that one that is changed, moved or taken out shows, and go to a stream in Redis, from where they are sealed into
 * files (docs/audit.md).
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_POLICY_AUDIT_H
#define SCHEDULER_POLICY_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct audit;

/* AUDIT(NAME, text): the classes. */
enum audit_class {
#define AUDIT(name, text) AUDIT_##name,
#include "scheduler/policy/audit.def"
#undef AUDIT
    AUDIT_COUNT
};

enum {
    AUDIT_FIELDS_MAX = 16,
    AUDIT_NAME_MAX = 32,  // bytes of a field's name: lower-case letters, digits, '_'
    AUDIT_VALUE_MAX = 256 // bytes of its value
};

struct audit_field {
    const char *name;
    const char *value;
};

/* Note a record; `audit` NULL: nothing is governed, and nothing noted. Values are copied. Never fails from the caller's view: what could not
 * be written waits, in bounds, and audit_stands() says when serving has to stop. */
void audit_note(struct audit *audit, enum audit_class class, const struct audit_field *fields,
                size_t count);
/* Whether serving may go on for rules that say `stops` (bits of classes that must be written; struct rules_audit): none of these is lost
 * or has waited too long. */
bool audit_stands(const struct audit *audit, uint32_t stops);

#endif
