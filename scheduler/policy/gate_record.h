/* scheduler/policy/gate_record.h -- the record of one gate: a feature in a region, its state, and what its approval is made of.
 *
 *      draft --submit--> pending --enough signatures--> approved --roll--> rolling <--> paused --live--> live
 *        ^                  ^                                 open gates --suspend--> suspended --submit--> pending
 *        |                  |                                                            |
 *      retired <--retire-- draft, pending, approved, suspended            a change of what is signed: pending anew
 *
 * In Redis a record is "MAC JSON": a BLAKE2b under a key that only the schedulers have, over the gate's name and the JSON. Whoever
 * can write to Redis alone opens no gate; and since the revision counts every change, an older record that is put back shows for as long
 * as a scheduler lives that has seen a newer one.
 *
 * Pure. Thread: any. */
#ifndef SCHEDULER_POLICY_GATE_RECORD_H
#define SCHEDULER_POLICY_GATE_RECORD_H

#include "base/approval.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct json_t;

enum gate_state {
#define GATE_STATE(name, text, open) GATE_##name,
#include "scheduler/policy/gate.def"
#undef GATE_STATE
    GATE_STATE_COUNT
};

enum {
    GATE_KEY_SIZE = 32,
    GATE_SIGNATURE_SIZE = 64,
    GATE_SIGNATURES_MAX = 16,
    GATE_WHOLE = 10000,                        // of a rollout: hundredths of a percent
    GATE_SALT_SIZE = 16,                       // hexadecimal digits
    GATE_NAME_MAX = 2 * APPROVAL_NAME_MAX + 1, // "region/feature"
    GATE_TEXT_MAX = 64 << 10                   // bytes of a record in Redis
};

struct gate_signature {
    char approver[APPROVAL_NAME_MAX + 1];
    unsigned char bytes[GATE_SIGNATURE_SIZE];
};

struct gate_record {
    struct approval content; // what is signed
    enum gate_state state;
    uint32_t share; // of users, of GATE_WHOLE; never less than it was since the approval
    char salt[GATE_SALT_SIZE + 1];
    uint64_t revision;
    struct gate_signature signatures[GATE_SIGNATURES_MAX];
    size_t signature_count;
    int64_t changed_ms;
};

const char *gate_state_name(enum gate_state state);
bool gate_state_is_open(enum gate_state state);
/* "region/feature" */
void gate_record_name(char out[GATE_NAME_MAX + 1], const char *region, const char *feature);

/* The record as a JSON object, without a newline. */
void gate_record_write(struct buf *out, const struct gate_record *record);
/* ERR_FORMAT says what is not right. */
enum err gate_record_read(struct gate_record *out, const char *text, size_t size);
/* What stands in Redis, and back: ERR_FORMAT also where the MAC is not of this text, this name and this key. */
void gate_record_seal(struct buf *out, const struct gate_record *record,
                      const unsigned char key[GATE_KEY_SIZE]);
enum err gate_record_open(struct gate_record *out, const char *name, const char *text, size_t size,
                          const unsigned char key[GATE_KEY_SIZE]);

#endif
