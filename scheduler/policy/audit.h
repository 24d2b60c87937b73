/* scheduler/policy/audit.h -- what happened, without what was said: records in one chain for each life of a scheduler.
 *
 * A record has no content and no name of a user: a class, the time, and a few short fields (ids, digests, counts, reasons). Records are
 * chained by BLAKE2b, so that one that is changed, moved or taken out shows, and go to a stream in Redis, from where they are sealed into
 * files (sealer.h, docs/audit.md). The form of records and chains is base/ledger.h's.
 *
 *      qiao:{audit}:records   stream   r LINE, of all chains
 *      qiao:{audit}:chains    hash     CHAIN -> "SEQ SEEN": how far it is, and when its scheduler was last heard of, ms by Redis' clock
 *
 * A record waits here until Redis has it, and the latest AUDIT_KEPT after that too: a failover that loses them gets them again. Where a
 * record cannot even wait it is counted, and a LOST record says so in its chain. A chain ends with END; one that does not is given up when
 * its scheduler has not been heard of for AUDIT_GIVEN_UP_MS, and its file says so.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_POLICY_AUDIT_H
#define SCHEDULER_POLICY_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct audit;
struct event_base;
struct metrics;
struct store;

/* AUDIT(NAME, text): the classes. */
enum audit_class {
#define AUDIT(name, text) AUDIT_##name,
#include "scheduler/policy/audit.def"
#undef AUDIT
    AUDIT_COUNT
};

enum {
    AUDIT_FIELDS_MAX = 16,
    AUDIT_NAME_MAX = 32,      // bytes of a field's name: lower-case letters, digits, '_'
    AUDIT_VALUE_MAX = 256,    // bytes of its value
    AUDIT_WAITING_MAX = 8192, // records that Redis does not have yet
    AUDIT_KEPT = 1024,
    AUDIT_BATCH = 48,       // records of one call
    AUDIT_LATE_MS = 5000,   // that a record may wait before what it is of has to stop
    AUDIT_PULSE_MS = 10000, // between signs of life of a scheduler that has nothing to note
    AUDIT_GIVEN_UP_MS = 60000,
    AUDIT_OFTEN_MS = 10000 // in which equal records are counted (often.h)
};

#define AUDIT_RECORDS_KEY "qiao:{audit}:records"
#define AUDIT_CHAINS_KEY  "qiao:{audit}:chains"

struct audit_field {
    const char *name;
    const char *value;
};

/* Note a record; `audit` NULL: nothing is governed, and nothing noted. Values are copied. Never fails from the caller's view: what could not
 * be written waits, in bounds, and audit_stands() says when serving has to stop. */
void audit_note(struct audit *audit, enum audit_class class, const struct audit_field *fields,
                size_t count);
/* The same of what a stranger can make happen as often as he likes: the first one is noted, equal ones that come within AUDIT_OFTEN_MS are
 * counted, and told in one record with their count in `times` when that is over. */
void audit_note_often(struct audit *audit, enum audit_class class, const struct audit_field *fields,
                      size_t count);
/* Whether serving may go on for rules that say `stops` (bits of classes that must be written; struct rules_audit): none of these is lost
 * or has waited too long. */
bool audit_stands(const struct audit *audit, uint32_t stops);

struct audit_options {
    struct event_base *base;
    struct store *store;
    struct metrics *metrics; // may be NULL
    uint64_t records_max;    // in Redis, of all schedulers: what is not sealed yet
    uint64_t given_up_ms;    // 0: AUDIT_GIVEN_UP_MS
};

struct audit *audit_new(const struct audit_options *options);
/* Say END, and give Redis what waits, as far as one call goes: before the store is freed. Nothing is noted after it. */
void audit_leave(struct audit *audit);
/* After the store is freed, which answers the last call. */
void audit_free(struct audit *audit);

/* For operators. */
struct audit_facts {
    char chain[17];
    uint64_t written; // records of the chain that Redis has
    size_t waiting;
    uint64_t lost; // since the start
    bool full;     // Redis has records_max
    char head[65]; // the hash of the latest record that Redis has, in hexadecimal
};

void audit_read_facts(const struct audit *audit, struct audit_facts *out);
/* "START", …. */
const char *audit_class_name(enum audit_class class);
/* The bit of a class of this name, in lower case or upper; 0: there is none. */
uint32_t audit_class_bit(const char *name);

#endif
