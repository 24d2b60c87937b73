/* scheduler/policy/gate_rules.h -- how a gate changes, and whom it lets in: both from a record and the region's rules.
 *
 * What is not there, does not verify, is over, or cannot be told lets nobody in. Signatures and evidence are looked at in every
 * decision's rules, not remembered from the day of the approval: an approver who leaves the policy takes his signature with him.
 *
 * Pure: time is an argument, chance comes with a command. Thread: any. */
#ifndef SCHEDULER_POLICY_GATE_RULES_H
#define SCHEDULER_POLICY_GATE_RULES_H

#include "scheduler/policy/gate_record.h"
#include "scheduler/policy/reason.h"
#include "scheduler/policy/rules.h"

#include "base/digest.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- changes -----------------------------------------------------------------------------------

enum gate_verb {
    GATE_VERB_DRAFT,    // begin, or write anew: systems, models
    GATE_VERB_EVIDENCE, // add, or replace what has its type
    GATE_VERB_SUBMIT,
    GATE_VERB_APPROVE,
    GATE_VERB_ROLL,
    GATE_VERB_PAUSE,
    GATE_VERB_LIVE,
    GATE_VERB_SUSPEND,
    GATE_VERB_RETIRE,
    GATE_VERB_COUNT
};

const char *gate_verb_name(enum gate_verb verb);
bool gate_verb_find(const char *name, enum gate_verb *out);

struct gate_command {
    enum gate_verb verb;
    struct approval content;           // DRAFT: its names, systems, models; else its names
    struct approval_evidence evidence; // EVIDENCE
    struct gate_signature signature;   // APPROVE
    uint64_t serial;                   // APPROVE: of what was signed
    uint32_t share;                    // ROLL
    char salt[GATE_SALT_SIZE + 1];     // DRAFT: random, for a gate that has none
};

/* Change the record (`exists` false: there is none yet, and it is zeroed). ERR_CONFLICT, ERR_INVALID, ERR_FORBIDDEN or ERR_NOT_FOUND say why
 * not and what would be right; the record is then as it was. */
enum err gate_apply(struct gate_record *record, bool exists, const struct gate_command *command,
                    const struct rules *rules, int64_t now_ms);

// ---- decisions ---------------------------------------------------------------------------------

enum {
    GATE_NOTE_MAX = 240 // bytes of a finding's text, the NUL included
};

/* What is asked for. */
struct gate_ask {
    const char *feature;        // its name
    const char *os, *user;      // "": not told; the user with the tenant before it
    const struct digest *model; // NULL: not chosen yet
};

enum gate_check {
    GATE_CHECK_RECORD,
    GATE_CHECK_STATE,
    GATE_CHECK_EVIDENCE,
    GATE_CHECK_SIGNATURES,
    GATE_CHECK_MODEL,
    GATE_CHECK_OS,
    GATE_CHECK_ROLLOUT,
    GATE_CHECK_COUNT
};

const char *gate_check_name(enum gate_check check);

struct gate_finding {
    enum reason reason;
    char note[GATE_NOTE_MAX]; // what was found, and what would be right; names no user
};

/* One check alone, as if all before it had passed; with a NULL record all but the first find the same. */
struct gate_finding gate_check(enum gate_check check, const struct gate_record *record,
                               const struct rules *rules, const struct gate_ask *ask,
                               int64_t now_ms);
/* All in their order, until one does not pass. */
struct gate_finding gate_judge(const struct gate_record *record, const struct rules *rules,
                               const struct gate_ask *ask, int64_t now_ms);
/* When its first evidence is over, in ms since 1970; INT64_MAX: none ever is. */
int64_t gate_until(const struct gate_record *record, const struct rules *rules);
/* What was approved, in 16 bytes: the signed text and whose signatures stand under it. */
struct digest gate_mark(const struct gate_record *record);

/* A user's place in a rollout, 0 to GATE_WHOLE - 1: the same for ever, and in while it is less than the share. */
uint32_t gate_bucket(const char *salt, const char *feature, const char *user);

#endif
