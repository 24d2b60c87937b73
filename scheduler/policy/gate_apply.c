#include "scheduler/policy/gate_rules.h"

#include <inttypes.h>
#include <string.h>

#define BIT(state) (1U << GATE_##state)

/* Which states a verb takes a gate from, and where it takes it. */
static const struct {
    const char *name;
    unsigned from;
    enum gate_state to;
} verbs[GATE_VERB_COUNT] = {
    [GATE_VERB_DRAFT] = {"draft", BIT(DRAFT) | BIT(PENDING) | BIT(RETIRED), GATE_DRAFT},
    [GATE_VERB_EVIDENCE] = {"evidence", BIT(DRAFT) | BIT(PENDING), GATE_STATE_COUNT},
    [GATE_VERB_SUBMIT] = {"submit", BIT(DRAFT) | BIT(SUSPENDED), GATE_PENDING},
    [GATE_VERB_APPROVE] = {"approve", BIT(PENDING), GATE_STATE_COUNT},
    [GATE_VERB_ROLL] = {"roll", BIT(APPROVED) | BIT(ROLLING) | BIT(PAUSED), GATE_ROLLING},
    [GATE_VERB_PAUSE] = {"pause", BIT(ROLLING), GATE_PAUSED},
    [GATE_VERB_LIVE] = {"live", BIT(ROLLING) | BIT(PAUSED), GATE_LIVE},
    [GATE_VERB_SUSPEND] = {"suspend", BIT(APPROVED) | BIT(ROLLING) | BIT(PAUSED) | BIT(LIVE),
                           GATE_SUSPENDED},
    [GATE_VERB_RETIRE] = {"retire", BIT(DRAFT) | BIT(PENDING) | BIT(APPROVED) | BIT(SUSPENDED),
                          GATE_RETIRED},
};

const char *gate_verb_name(enum gate_verb verb)
{
    return verbs[verb].name;
}

bool gate_verb_find(const char *name, enum gate_verb *out)
{
    for (size_t i = 0; i < GATE_VERB_COUNT; i++) {
        if (strcmp(verbs[i].name, name) != 0) continue;
        *out = (enum gate_verb)i;
        return true;
    }
    return false;
}

/* The verb that leads on from a state, for who has tried another. */
static const char *advice(enum gate_state state)
{
    switch (state) {
    case GATE_DRAFT: return "evidence and submit come next";
    case GATE_PENDING: return "evidence and approve come next";
    case GATE_APPROVED: return "roll comes next";
    case GATE_ROLLING: return "roll, pause, live or suspend come next";
    case GATE_PAUSED: return "roll, live or suspend come next";
    case GATE_LIVE: return "only suspend leads on";
    case GATE_SUSPENDED: return "submit or retire come next";
    default: return "only draft leads on";
    }
}

/* What is signed has changed: nobody has signed it. */
static void renew_content(struct gate_record *record, const struct rules *rules)
{
    record->content.serial++;
    record->content.policy = rules->digest;
    record->signature_count = 0;
}

/* `keeps`: the gate's evidence and its users' places stay; what was retired begins anew. */
static enum err begin(struct gate_record *record, bool keeps, const struct gate_command *command)
{
    struct approval *content = &record->content;
    uint64_t serial = content->serial;
    const struct approval before = *content;
    *content = command->content;
    content->serial = serial;
    content->evidence_count = keeps ? before.evidence_count : 0;
    if (keeps) memcpy(content->evidence, before.evidence, sizeof content->evidence);
    if (!keeps) memcpy(record->salt, command->salt, sizeof record->salt);
    record->share = 0;
    return approval_check(content);
}

static enum err add_evidence(struct gate_record *record, const struct gate_command *command,
                             const struct rules *rules)
{
    struct approval *content = &record->content;
    size_t at = 0;
    bool asked = false;
    for (size_t i = 0; i < rules->gate.evidence_count; i++)
        asked |= strcmp(rules->gate.evidence[i], command->evidence.type) == 0;
    if (!asked)
        return err_note(ERR_INVALID, "the policy of region '%s' knows no evidence '%s'",
                        content->region, command->evidence.type);
    while (at < content->evidence_count &&
           strcmp(content->evidence[at].type, command->evidence.type) != 0)
        at++;
    if (at == APPROVAL_EVIDENCE_MAX)
        return err_note(ERR_INVALID, "a gate has at most %d evidences", APPROVAL_EVIDENCE_MAX);
    content->evidence[at] = command->evidence;
    if (at == content->evidence_count) content->evidence_count++;
    return approval_check(content);
}

static struct gate_finding look(enum gate_check check, const struct gate_record *record,
                                const struct rules *rules, int64_t now_ms)
{
    static const struct gate_ask nobody = {.feature = "", .os = "", .user = ""};
    return gate_check(check, record, rules, &nobody, now_ms);
}

static enum err needs(enum gate_check check, const struct gate_record *record,
                      const struct rules *rules, int64_t now_ms)
{
    struct gate_finding finding = look(check, record, rules, now_ms);
    if (finding.reason == REASON_NONE) return ERR_OK;
    return err_note(ERR_CONFLICT, "%s", finding.note);
}

static enum err approve(struct gate_record *record, const struct gate_command *command,
                        const struct rules *rules, int64_t now_ms)
{
    const struct gate_signature *signature = &command->signature;
    struct rules alone = *rules; // one signature, of this approver
    struct gate_record tried = *record;
    if (command->serial != record->content.serial)
        return err_note(ERR_CONFLICT,
                        "serial %" PRIu64 " was signed, but the gate's content is at %" PRIu64
                        " by now: look at it and sign again",
                        command->serial, record->content.serial);
    for (size_t i = 0; i < record->signature_count; i++)
        if (strcmp(record->signatures[i].approver, signature->approver) == 0)
            return err_note(ERR_CONFLICT, "approver '%s' has signed", signature->approver);
    if (record->signature_count == GATE_SIGNATURES_MAX)
        return err_note(ERR_CONFLICT, "a gate has at most %d signatures", GATE_SIGNATURES_MAX);
    tried.signatures[0] = *signature;
    tried.signature_count = 1;
    alone.gate.signatures = 1;
    if (look(GATE_CHECK_SIGNATURES, &tried, &alone, now_ms).reason != REASON_NONE)
        return err_note(ERR_FORBIDDEN,
                        "the signature is not one of this content by '%s', or the policy of region "
                        "'%s' names no such approver",
                        signature->approver, record->content.region);
    TRY(needs(GATE_CHECK_EVIDENCE, record, rules, now_ms));
    record->signatures[record->signature_count++] = *signature;
    if (look(GATE_CHECK_SIGNATURES, record, rules, now_ms).reason == REASON_NONE)
        record->state = GATE_APPROVED;
    return ERR_OK;
}

static enum err roll(struct gate_record *record, const struct gate_command *command)
{
    if (command->share == 0 || command->share > GATE_WHOLE)
        return err_note(ERR_INVALID, "percent must be more than 0 and at most 100");
    if (command->share < record->share)
        return err_note(ERR_CONFLICT,
                        "a rollout only grows, and it is at %u.%02u%%: pause it, or suspend it",
                        record->share / 100, record->share % 100);
    record->share = command->share;
    return ERR_OK;
}

/* It takes requests from now on, or more of them. */
static enum err open_up(struct gate_record *record, const struct gate_command *command,
                        const struct rules *rules, int64_t now_ms)
{
    TRY(needs(GATE_CHECK_EVIDENCE, record, rules, now_ms));
    TRY(needs(GATE_CHECK_SIGNATURES, record, rules, now_ms));
    return command->verb == GATE_VERB_ROLL ? roll(record, command) : ERR_OK;
}

static enum err submit(struct gate_record *record, const struct rules *rules, int64_t now_ms)
{
    record->share = 0;
    if (rules->gate.signatures > 0) return ERR_OK;
    TRY(needs(GATE_CHECK_EVIDENCE, record, rules, now_ms));
    record->state = GATE_APPROVED; // the policy asks for nobody's signature
    return ERR_OK;
}

static enum err change(struct gate_record *record, bool keeps, const struct gate_command *command,
                       const struct rules *rules, int64_t now_ms)
{
    switch (command->verb) {
    case GATE_VERB_DRAFT: TRY(begin(record, keeps, command)); break;
    case GATE_VERB_EVIDENCE: TRY(add_evidence(record, command, rules)); break;
    case GATE_VERB_APPROVE: return approve(record, command, rules, now_ms);
    case GATE_VERB_ROLL:
    case GATE_VERB_LIVE: return open_up(record, command, rules, now_ms);
    case GATE_VERB_SUBMIT: renew_content(record, rules); return submit(record, rules, now_ms);
    default: return ERR_OK;
    }
    renew_content(record, rules);
    return ERR_OK;
}

enum err gate_apply(struct gate_record *record, bool exists, const struct gate_command *command,
                    const struct rules *rules, int64_t now_ms)
{
    const char *name = verbs[command->verb].name;
    struct gate_record next = *record;
    if (!exists && command->verb != GATE_VERB_DRAFT)
        return err_note(ERR_NOT_FOUND, "there is no gate of '%s' in region '%s': draft begins one",
                        command->content.feature, command->content.region);
    if (exists && !(verbs[command->verb].from & 1U << record->state))
        return err_note(ERR_CONFLICT, "the gate is %s, and %s does not lead on from there: %s",
                        gate_state_name(record->state), name, advice(record->state));
    if (verbs[command->verb].to != GATE_STATE_COUNT) next.state = verbs[command->verb].to;
    bool keeps = exists && record->state != GATE_RETIRED;
    TRY(change(&next, keeps, command, rules, now_ms));
    next.revision++;
    next.changed_ms = now_ms;
    *record = next;
    return ERR_OK;
}
