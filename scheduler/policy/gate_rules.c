#include "scheduler/policy/gate_rules.h"

#include "base/buf.h"
#include "base/murmur.h"
#include "base/sign.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    DAY_MS = 86400000
};

static struct gate_finding find(enum reason reason, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static struct gate_finding find(enum reason reason, const char *format, ...)
{
    struct gate_finding finding = {.reason = reason};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding.note, sizeof finding.note, format, arguments);
    va_end(arguments);
    return finding;
}

/* What a check is given. */
struct inquiry {
    const struct gate_record *record;
    const struct rules *rules;
    const struct gate_ask *ask;
    int64_t now_ms;
};

static struct gate_finding check_record(const struct inquiry *inquiry)
{
    if (!inquiry->record)
        return find(REASON_REGION_NOT_APPROVED,
                    "there is no gate for it: `qiaoctl gate draft` begins one");
    return find(REASON_NONE, "revision %" PRIu64 ", serial %" PRIu64, inquiry->record->revision,
                inquiry->record->content.serial);
}

static struct gate_finding check_state(const struct inquiry *inquiry)
{
    switch (inquiry->record->state) {
    case GATE_DRAFT: return find(REASON_PENDING, "its gate is a draft and was not submitted");
    case GATE_PENDING: return find(REASON_PENDING, "its gate is pending: it waits for approval");
    case GATE_APPROVED:
        return find(REASON_NOT_IN_ROLLOUT, "its gate is approved, and its rollout has not begun");
    case GATE_SUSPENDED: return find(REASON_SUSPENDED, "its gate is suspended");
    case GATE_RETIRED: return find(REASON_REGION_NOT_APPROVED, "its gate is retired");
    default: return find(REASON_NONE, "%s", gate_state_name(inquiry->record->state));
    }
}

// ---- evidence ----------------------------------------------------------------------------------

static const struct approval_evidence *evidence_of(const struct approval *content, const char *type)
{
    for (size_t i = 0; i < content->evidence_count; i++)
        if (strcmp(content->evidence[i].type, type) == 0) return &content->evidence[i];
    return NULL;
}

/* After which it does not count any more. */
static int64_t evidence_end(const struct approval_evidence *evidence, const struct rules *rules)
{
    int64_t end = evidence->until_ms > 0 ? evidence->until_ms : INT64_MAX;
    int64_t days = (int64_t)rules->gate.evidence_days * DAY_MS;
    if (days > 0 && evidence->from_ms < end - days) end = evidence->from_ms + days;
    return end;
}

int64_t gate_until(const struct gate_record *record, const struct rules *rules)
{
    int64_t until = INT64_MAX;
    for (size_t i = 0; i < rules->gate.evidence_count; i++) {
        const struct approval_evidence *one =
            evidence_of(&record->content, rules->gate.evidence[i]);
        int64_t end = one ? evidence_end(one, rules) : 0;
        if (end < until) until = end;
    }
    return until;
}

static struct gate_finding check_evidence(const struct inquiry *inquiry)
{
    const struct rules *rules = inquiry->rules;
    for (size_t i = 0; i < rules->gate.evidence_count; i++) {
        const char *type = rules->gate.evidence[i];
        const struct approval_evidence *one = evidence_of(&inquiry->record->content, type);
        if (!one) return find(REASON_PENDING, "the policy asks for evidence '%s'", type);
        if (inquiry->now_ms < one->from_ms)
            return find(REASON_PENDING, "evidence '%s' does not hold yet", type);
        if (inquiry->now_ms >= evidence_end(one, rules))
            return find(REASON_FILING_EXPIRED, "evidence '%s' is over: a new one is needed", type);
    }
    return find(REASON_NONE, "%zu of %zu types", rules->gate.evidence_count,
                rules->gate.evidence_count);
}

// ---- signatures --------------------------------------------------------------------------------

static const struct rules_approver *approver_of(const struct rules *rules, const char *id)
{
    for (size_t i = 0; i < rules->gate.approver_count; i++)
        if (strcmp(rules->gate.approvers[i].id, id) == 0) return &rules->gate.approvers[i];
    return NULL;
}

static bool is_valid(const struct gate_signature *signature, const struct rules *rules,
                     const struct buf *text)
{
    const struct rules_approver *approver = approver_of(rules, signature->approver);
    return approver &&
           sign_check(approver->key, APPROVAL_PURPOSE, text->data, text->size, signature->bytes);
}

/* An approver counts once, by name and by key. */
static bool is_repeated(const struct gate_record *record, size_t index, const struct rules *rules)
{
    const struct rules_approver *one = approver_of(rules, record->signatures[index].approver);
    for (size_t i = 0; one && i < index; i++) {
        const struct rules_approver *other = approver_of(rules, record->signatures[i].approver);
        if (other && memcmp(other->key, one->key, sizeof one->key) == 0) return true;
    }
    return false;
}

static struct gate_finding check_signatures(const struct inquiry *inquiry)
{
    const struct gate_record *record = inquiry->record;
    struct buf text = {0};
    size_t valid = 0;
    approval_write(&text, &record->content);
    for (size_t i = 0; i < record->signature_count; i++)
        valid += is_valid(&record->signatures[i], inquiry->rules, &text) &&
                 !is_repeated(record, i, inquiry->rules);
    buf_fini(&text);
    size_t needed = inquiry->rules->gate.signatures;
    return find(valid < needed ? REASON_REGION_NOT_APPROVED : REASON_NONE,
                "%zu of %zu approvers' signatures hold", valid, needed);
}

struct digest gate_mark(const struct gate_record *record)
{
    struct buf text = {0};
    approval_write(&text, &record->content);
    for (size_t i = 0; i < record->signature_count; i++) {
        buf_add_text(&text, record->signatures[i].approver);
        buf_add(&text, record->signatures[i].bytes, sizeof record->signatures[i].bytes);
    }
    struct digest mark = digest_of(text.data, text.size);
    buf_fini(&text);
    return mark;
}

// ---- model, system, rollout --------------------------------------------------------------------

static struct gate_finding check_model(const struct inquiry *inquiry)
{
    const struct approval *content = &inquiry->record->content;
    char hex[DIGEST_TEXT_SIZE];
    if (!inquiry->ask->model) return find(REASON_NONE, "no model is asked for");
    for (size_t i = 0; i < content->model_count; i++)
        if (digest_equal(&content->models[i], inquiry->ask->model))
            return find(REASON_NONE, "one of %zu that are approved", content->model_count);
    return find(
        REASON_MODEL_NOT_APPROVED,
        "the model %s is none of the %zu that are approved: with it the gate is pending again",
        digest_text(inquiry->ask->model, hex), content->model_count);
}

static struct gate_finding check_system(const struct inquiry *inquiry)
{
    const struct approval *content = &inquiry->record->content;
    const char *os = inquiry->ask->os;
    if (content->system_count == 0) return find(REASON_NONE, "any system");
    if (!*os)
        return find(REASON_OS_REQUIRED, "X-Qiao-OS must say the system, such as '%s'",
                    content->systems[0]);
    for (size_t i = 0; i < content->system_count; i++) {
        switch (approval_system(content->systems[i], os)) {
        case APPROVAL_SYSTEM_GOOD: return find(REASON_NONE, "at least %s", content->systems[i]);
        case APPROVAL_SYSTEM_OLD:
            return find(REASON_OS_TOO_OLD, "the system is too old: it needs at least %s",
                        content->systems[i]);
        default: break;
        }
    }
    return find(REASON_OS_TOO_OLD, "no version of this system is approved: it needs at least %s",
                content->systems[0]);
}

uint32_t gate_bucket(const char *salt, const char *feature, const char *user)
{
    struct buf text = {0};
    buf_addf(&text, "%s %s %s", salt, feature, user);
    uint32_t bucket = murmur3(text.data, text.size, 0) % GATE_WHOLE;
    buf_fini(&text);
    return bucket;
}

static struct gate_finding check_rollout(const struct inquiry *inquiry)
{
    const struct gate_record *record = inquiry->record;
    const char *user = inquiry->ask->user;
    if (record->state == GATE_LIVE) return find(REASON_NONE, "everybody");
    if (record->share == GATE_WHOLE) return find(REASON_NONE, "100%% of the users");
    unsigned percent = record->share / 100, rest = record->share % 100;
    if (!*user)
        return find(REASON_NOT_IN_ROLLOUT,
                    "it is open to %u.%02u%% of the users: X-Qiao-User must "
                    "say which user asks",
                    percent, rest);
    uint32_t bucket = gate_bucket(record->salt, record->content.feature, user);
    return find(bucket < record->share ? REASON_NONE : REASON_NOT_IN_ROLLOUT,
                "it is open to %u.%02u%% of the users, and the user's place is %u.%02u", percent,
                rest, bucket / 100, bucket % 100);
}

// ---- all of it ---------------------------------------------------------------------------------

static const struct {
    const char *name;
    struct gate_finding (*check)(const struct inquiry *inquiry);
} checks[GATE_CHECK_COUNT] = {
    [GATE_CHECK_RECORD] = {"record", check_record},
    [GATE_CHECK_STATE] = {"state", check_state},
    [GATE_CHECK_EVIDENCE] = {"evidence", check_evidence},
    [GATE_CHECK_SIGNATURES] = {"signatures", check_signatures},
    [GATE_CHECK_MODEL] = {"model", check_model},
    [GATE_CHECK_OS] = {"os", check_system},
    [GATE_CHECK_ROLLOUT] = {"rollout", check_rollout},
};

const char *gate_check_name(enum gate_check check)
{
    return checks[check].name;
}

struct gate_finding gate_check(enum gate_check check, const struct gate_record *record,
                               const struct rules *rules, const struct gate_ask *ask,
                               int64_t now_ms)
{
    struct inquiry inquiry = {record, rules, ask, now_ms};
    return record ? checks[check].check(&inquiry) : check_record(&inquiry);
}

struct gate_finding gate_judge(const struct gate_record *record, const struct rules *rules,
                               const struct gate_ask *ask, int64_t now_ms)
{
    struct gate_finding finding = {.reason = REASON_REGION_NOT_APPROVED};
    for (size_t i = 0; i < GATE_CHECK_COUNT; i++) {
        finding = gate_check((enum gate_check)i, record, rules, ask, now_ms);
        if (finding.reason != REASON_NONE) return finding;
    }
    return finding;
}
