/* Gates under random histories: whatever operators, approvers, clocks and meddlers do, who is let in has an approval with every
 * piece of evidence and every key that the policy asks for; and who is not is told why. */
#include "scheduler/policy/gate_rules.h"
#include "tests/test.h"

#include "base/buf.h"
#include "base/rand.h"
#include "base/sign.h"

#include <sodium.h>

#include <stdio.h>
#include <string.h>

enum {
    HISTORIES = 60,
    STEPS = 100,
    KEYS = 4, // two are approvers of the policy, one comes and goes, one is a stranger's
    USERS = 6,
    MODELS = 3,
    DAY_MS = 86400000
};

static struct sign_secret secrets[KEYS];
static const unsigned char seal_key[GATE_KEY_SIZE] = "a key that schedulers share";
static struct rules rules;
static struct digest models[MODELS];

static int set_up(void **state)
{
    static const char *const names[KEYS] = {"ann", "bo", "cy", "mallory"};
    (void)state;
    if (sodium_init() < 0) return -1;
    for (size_t i = 0; i < KEYS; i++)
        if (sign_make_key(&secrets[i], names[i])) return -1;
    for (size_t i = 0; i < MODELS; i++)
        models[i] = digest_of(&i, sizeof i);
    return 0;
}

static void begin_rules(void)
{
    rules = (struct rules){.region = "cn",
                           .gate = {.evidence = {"filing", "assessment"},
                                    .evidence_count = 2,
                                    .evidence_days = 30,
                                    .signatures = 2,
                                    .approver_count = 3}};
    for (size_t i = 0; i < 3; i++) {
        struct rules_approver *approver = &rules.gate.approvers[i];
        struct sign_public key;
        sign_public_of(&key, &secrets[i]);
        snprintf(approver->id, sizeof approver->id, "%s", key.id);
        memcpy(approver->key, key.key, sizeof approver->key);
    }
}

static void sign(struct gate_command *command, const struct gate_record *record, size_t key)
{
    struct buf text = {0};
    approval_write(&text, &record->content);
    memcpy(command->signature.approver, secrets[key].id, sizeof secrets[key].id);
    sign_bytes(command->signature.bytes, &secrets[key], APPROVAL_PURPOSE, text.data, text.size);
    command->serial = record->content.serial;
    buf_fini(&text);
}

static struct gate_command make(enum gate_verb verb)
{
    struct gate_command command = {.verb = verb, .salt = "0123456789abcdef"};
    snprintf(command.content.feature, sizeof command.content.feature, "assistant");
    snprintf(command.content.region, sizeof command.content.region, "cn");
    return command;
}

static struct gate_command with_evidence(const char *type, int64_t from_ms, int64_t until_ms)
{
    struct gate_command command = make(GATE_VERB_EVIDENCE);
    command.evidence = (struct approval_evidence){
        .reference = "2026-42", .from_ms = from_ms, .until_ms = until_ms};
    snprintf(command.evidence.type, sizeof command.evidence.type, "%s", type);
    return command;
}

/* What somebody does next: mostly what makes sense, so that histories get somewhere. */
static struct gate_command chance(struct rand *rand, const struct gate_record *record,
                                  int64_t now_ms)
{
    enum gate_verb verb = (enum gate_verb)rand_below(rand, GATE_VERB_COUNT);
    struct gate_command command = make(verb);
    static const char *const types[] = {"filing", "assessment", "horoscope"};
    if (verb == GATE_VERB_DRAFT) {
        command.content.model_count = 1 + rand_below(rand, 2);
        for (size_t i = 0; i < command.content.model_count; i++)
            command.content.models[i] = models[rand_below(rand, MODELS)];
        command.content.system_count = rand_below(rand, 2);
        snprintf(command.content.systems[0], sizeof command.content.systems[0], "AcmeOS/18.4");
    } else if (verb == GATE_VERB_EVIDENCE) {
        command = with_evidence(
            types[rand_below(rand, 8) % 3], now_ms - (int64_t)rand_below(rand, DAY_MS),
            rand_below(rand, 2) ? now_ms + (int64_t)rand_below(rand, 20 * (uint64_t)DAY_MS) + 1
                                : 0);
    } else if (verb == GATE_VERB_APPROVE) {
        struct gate_record signed_one = *record;
        if (rand_below(rand, 6) == 0) signed_one.content.serial--; // an older content
        sign(&command, &signed_one, rand_below(rand, KEYS));
        if (rand_below(rand, 6) == 0) command.signature.bytes[5] ^= 1;
        if (rand_below(rand, 6) == 0) command.serial = record->content.serial;
        if (rand_below(rand, 8) == 0)
            snprintf(command.signature.approver, sizeof command.signature.approver, "ann");
    } else if (verb == GATE_VERB_ROLL) {
        command.share = (uint32_t)rand_below(rand, GATE_WHOLE + 2);
    }
    return command;
}

// ---- what must hold, said once more in another way -----------------------------------------------

static size_t honest_signatures(const struct gate_record *record)
{
    struct buf text = {0};
    size_t count = 0;
    approval_write(&text, &record->content);
    for (size_t a = 0; a < rules.gate.approver_count; a++) {
        bool signed_it = false;
        for (size_t i = 0; i < record->signature_count; i++)
            signed_it |= strcmp(record->signatures[i].approver, rules.gate.approvers[a].id) == 0 &&
                         sign_check(rules.gate.approvers[a].key, APPROVAL_PURPOSE, text.data,
                                    text.size, record->signatures[i].bytes);
        count += signed_it;
    }
    buf_fini(&text);
    return count;
}

static bool has_evidence(const struct gate_record *record, const char *type, int64_t now_ms)
{
    for (size_t i = 0; i < record->content.evidence_count; i++) {
        const struct approval_evidence *one = &record->content.evidence[i];
        if (strcmp(one->type, type) == 0)
            return now_ms >= one->from_ms && (!one->until_ms || now_ms < one->until_ms) &&
                   now_ms < one->from_ms + (int64_t)rules.gate.evidence_days * DAY_MS;
    }
    return false;
}

static void look_at_decision(const struct gate_record *record, const struct gate_ask *ask,
                             int64_t now_ms)
{
    struct gate_finding finding = gate_judge(record, &rules, ask, now_ms);
    assert_true(strlen(finding.note) > 0);
    assert_null(strstr(finding.note, ask->user)); // nothing personal
    if (finding.reason != REASON_NONE) {
        assert_true(strlen(reason_code(finding.reason)) > 0);
        return;
    }
    assert_non_null(record);
    assert_true(record->state == GATE_ROLLING || record->state == GATE_PAUSED ||
                record->state == GATE_LIVE);
    for (size_t i = 0; i < rules.gate.evidence_count; i++)
        assert_true(has_evidence(record, rules.gate.evidence[i], now_ms));
    assert_true(honest_signatures(record) >= rules.gate.signatures);
    assert_true(now_ms < gate_until(record, &rules));
    bool approved = false;
    for (size_t i = 0; i < record->content.model_count; i++)
        approved |= digest_equal(&record->content.models[i], ask->model);
    assert_true(approved);
    if (record->content.system_count > 0)
        assert_int_equal(approval_system("AcmeOS/18.4", ask->os), APPROVAL_SYSTEM_GOOD);
    if (record->state != GATE_LIVE)
        assert_true(record->share == GATE_WHOLE ||
                    gate_bucket(record->salt, "assistant", ask->user) < record->share);
}

/* A scheduler that starts now reads the same, and decides the same. */
static void look_at_restart(const struct gate_record *record)
{
    struct buf sealed = {0};
    struct gate_record again;
    struct digest mark = gate_mark(record), other;
    gate_record_seal(&sealed, record, seal_key);
    assert_int_equal(gate_record_open(&again, "cn/assistant", sealed.data, sealed.size, seal_key),
                     ERR_OK);
    other = gate_mark(&again);
    assert_true(digest_equal(&mark, &other));
    assert_int_equal(again.state, record->state);
    assert_int_equal(again.share, record->share);
    assert_int_equal(again.revision, record->revision);
    assert_string_equal(again.salt, record->salt);
    buf_fini(&sealed);
}

/* One more hand in the record than the key: nothing opens. */
static void look_at_meddling(const struct gate_record *record, struct rand *rand)
{
    struct buf sealed = {0};
    struct gate_record out;
    gate_record_seal(&sealed, record, seal_key);
    sealed.data[rand_below(rand, sealed.size)] ^= (char)(1 + rand_below(rand, 127));
    assert_int_equal(gate_record_open(&out, "cn/assistant", sealed.data, sealed.size, seal_key),
                     ERR_FORMAT);
    buf_clear(&sealed);
    gate_record_seal(&sealed, record, seal_key);
    assert_int_equal(gate_record_open(&out, "eu/assistant", sealed.data, sealed.size, seal_key),
                     ERR_FORMAT);
    buf_fini(&sealed);
}

struct history {
    struct rand rand;
    struct gate_record record;
    bool exists;
    int64_t now_ms;
    bool in[USERS]; // who was let in since the approval
    uint64_t serial;
    unsigned opened;
};

static void look_at_users(struct history *history)
{
    struct gate_record *record = history->exists ? &history->record : NULL;
    bool anew = history->serial != history->record.content.serial ||
                !gate_state_is_open(history->record.state);
    history->serial = history->record.content.serial;
    for (size_t i = 0; i < USERS; i++) {
        char user[16];
        snprintf(user, sizeof user, "acme/user-%zu", i);
        struct gate_ask ask = {.feature = "assistant",
                               .os = i % 4   ? "AcmeOS/18.5"
                                     : i % 8 ? "AcmeOS/17"
                                             : "",
                               .user = user,
                               .model = &models[i % MODELS]};
        look_at_decision(record, &ask, history->now_ms);
        struct gate_ask any = ask;
        any.os = "AcmeOS/18.5", any.model = NULL;
        bool in = gate_judge(record, &rules, &any, history->now_ms).reason == REASON_NONE;
        if (!anew && history->in[i] && !in) // only time, or an approver who left, ends it
            assert_true(honest_signatures(record) < rules.gate.signatures ||
                        history->now_ms >= gate_until(record, &rules));
        if (anew || in) history->in[i] = in;
        history->opened += in;
    }
}

/* Operators know what comes next more often than chance does. */
static struct gate_command sensible(struct history *history)
{
    static const char *const types[] = {"filing", "assessment"};
    const struct gate_record *record = &history->record;
    struct gate_command command = make(GATE_VERB_SUBMIT);
    if (record->state == GATE_DRAFT && record->content.evidence_count < 2)
        return with_evidence(types[record->content.evidence_count], history->now_ms, 0);
    if (record->state == GATE_PENDING) {
        command = make(GATE_VERB_APPROVE);
        sign(&command, record, record->signature_count % KEYS);
    } else if (record->state != GATE_DRAFT && record->state != GATE_SUSPENDED) {
        command = make(record->share < 6000 ? GATE_VERB_ROLL : GATE_VERB_LIVE);
        command.share = record->share + 1500;
    }
    return command;
}

static void step(struct history *history)
{
    struct gate_record before = history->record;
    struct gate_command command = chance(&history->rand, &history->record, history->now_ms);
    if (rand_below(&history->rand, 4)) command = sensible(history);
    enum err err = gate_apply(&history->record, history->exists, &command, &rules, history->now_ms);
    if (err) {
        assert_true(strlen(err_text()) > 0);
        assert_memory_equal(&before, &history->record, sizeof before);
    } else {
        history->exists = true;
        assert_int_equal(history->record.revision, before.revision + 1);
        assert_true(history->record.content.serial >= before.content.serial);
        if (gate_state_is_open(before.state) && gate_state_is_open(history->record.state))
            assert_true(history->record.share >= before.share);
    }
    if (history->exists) look_at_restart(&history->record);
    if (history->exists && rand_below(&history->rand, 8) == 0)
        look_at_meddling(&history->record, &history->rand);
    look_at_users(history);
    history->now_ms += (int64_t)rand_below(&history->rand, 3600000);
}

static void no_history_lets_anybody_in_without_evidence_and_keys(void **state)
{
    unsigned opened = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
        struct history history = {.now_ms = 40 * (int64_t)DAY_MS};
        rand_init(&history.rand, seed);
        begin_rules();
        for (size_t i = 0; i < STEPS; i++) {
            if (rand_below(&history.rand, 40) == 0) // cy leaves the policy, or comes back
                rules.gate.approver_count = rules.gate.approver_count == 3 ? 2 : 3;
            step(&history);
        }
        opened += history.opened > 0;
    }
    assert_true(opened > HISTORIES / 4); // the histories get somewhere
}

// ---- what single steps say -----------------------------------------------------------------------

static enum err go(struct gate_record *record, struct gate_command command)
{
    return gate_apply(record, record->revision > 0, &command, &rules, 1000);
}

static struct gate_record approved_record(void)
{
    struct gate_record record = {0};
    struct gate_command draft = make(GATE_VERB_DRAFT), approve = make(GATE_VERB_APPROVE);
    begin_rules();
    draft.content.models[0] = models[0];
    draft.content.model_count = 1;
    assert_int_equal(go(&record, draft), ERR_OK);
    assert_int_equal(go(&record, with_evidence("filing", 0, 0)), ERR_OK);
    assert_int_equal(go(&record, with_evidence("assessment", 0, 5000)), ERR_OK);
    assert_int_equal(go(&record, make(GATE_VERB_SUBMIT)), ERR_OK);
    for (size_t i = 0; i < 2; i++) {
        sign(&approve, &record, i);
        assert_int_equal(record.state, GATE_PENDING);
        assert_int_equal(go(&record, approve), ERR_OK);
    }
    assert_int_equal(record.state, GATE_APPROVED);
    return record;
}

static enum reason ask(const struct gate_record *record, const char *user, const char *os,
                       const struct digest *model, int64_t now_ms)
{
    struct gate_ask ask = {.feature = "assistant", .os = os, .user = user, .model = model};
    return gate_judge(record, &rules, &ask, now_ms).reason;
}

static void an_approval_needs_each_piece_of_evidence_and_each_key(void **state)
{
    (void)state;
    static const char *const types[] = {"filing", "assessment"};
    for (size_t left_out = 0; left_out < 2; left_out++) {
        struct gate_record record = {0};
        struct gate_command approve = make(GATE_VERB_APPROVE);
        begin_rules();
        assert_int_equal(go(&record, make(GATE_VERB_DRAFT)), ERR_OK);
        assert_int_equal(go(&record, with_evidence(types[1 - left_out], 0, 0)), ERR_OK);
        assert_int_equal(go(&record, make(GATE_VERB_SUBMIT)), ERR_OK);
        sign(&approve, &record, 0);
        assert_int_equal(go(&record, approve), ERR_CONFLICT);
        assert_non_null(strstr(err_text(), types[left_out]));
    }
    struct gate_record record = approved_record();
    record.state = GATE_LIVE; // whoever wrote that
    assert_int_equal(ask(&record, "u", "", &models[0], 1000), REASON_NONE);
    record.signature_count = 1;
    assert_int_equal(ask(&record, "u", "", &models[0], 1000), REASON_REGION_NOT_APPROVED);
    record.signatures[1] = record.signatures[0]; // one key signs twice
    record.signature_count = 2;
    assert_int_equal(ask(&record, "u", "", &models[0], 1000), REASON_REGION_NOT_APPROVED);
}

static void each_denial_has_its_reason(void **state)
{
    (void)state;
    struct gate_record record = approved_record();
    struct gate_command roll = make(GATE_VERB_ROLL);
    assert_int_equal(ask(NULL, "u", "", NULL, 1000), REASON_REGION_NOT_APPROVED);
    assert_int_equal(ask(&record, "u", "", &models[0], 1000), REASON_NOT_IN_ROLLOUT);
    roll.share = 1;
    assert_int_equal(go(&record, roll), ERR_OK);
    assert_int_equal(ask(&record, "", "", &models[0], 1000), REASON_NOT_IN_ROLLOUT);
    roll.share = GATE_WHOLE;
    assert_int_equal(go(&record, roll), ERR_OK);
    assert_int_equal(ask(&record, "u", "", &models[0], 1000), REASON_NONE);
    assert_int_equal(ask(&record, "", "", &models[0], 1000), REASON_NONE);
    assert_int_equal(ask(&record, "u", "", &models[1], 1000), REASON_MODEL_NOT_APPROVED);
    assert_int_equal(ask(&record, "u", "", &models[0], 5000), REASON_FILING_EXPIRED);
    struct gate_record old = record;
    snprintf(old.content.systems[0], sizeof old.content.systems[0], "AcmeOS/18.4");
    old.content.system_count = 1;
    assert_int_equal(ask(&old, "u", "", &models[0], 1000), REASON_REGION_NOT_APPROVED); // unsigned
    rules.gate.signatures = 0;
    assert_int_equal(ask(&old, "u", "", &models[0], 1000), REASON_OS_REQUIRED);
    assert_int_equal(ask(&old, "u", "AcmeOS/18.3", &models[0], 1000), REASON_OS_TOO_OLD);
    assert_int_equal(ask(&old, "u", "AcmeOS/18.4", &models[0], 1000), REASON_NONE);
    begin_rules();
    assert_int_equal(go(&record, make(GATE_VERB_SUSPEND)), ERR_OK);
    assert_int_equal(ask(&record, "u", "", &models[0], 1000), REASON_SUSPENDED);
    assert_int_equal(go(&record, make(GATE_VERB_LIVE)), ERR_CONFLICT);
    assert_int_equal(go(&record, make(GATE_VERB_SUBMIT)), ERR_OK);
    assert_int_equal(record.signature_count, 0); // approved anew, or not at all
    assert_int_equal(ask(&record, "u", "", &models[0], 1000), REASON_PENDING);
}

/* Spring 2026: features went live in a region before its approval. Each step that could have done it. */
static void spring_2026_a_feature_cannot_go_live_before_its_approval(void **state)
{
    static const enum gate_verb openers[] = {GATE_VERB_ROLL, GATE_VERB_LIVE, GATE_VERB_PAUSE};

    (void)state;
    struct gate_record record = {0};
    begin_rules();
    for (size_t i = 0; i < 3; i++) // no draft even
        assert_int_equal(go(&record, make(openers[i])), ERR_NOT_FOUND);
    assert_int_equal(go(&record, make(GATE_VERB_DRAFT)), ERR_OK);
    for (size_t pending = 0; pending < 2; pending++) {
        for (size_t i = 0; i < 3; i++) {
            struct gate_command command = make(openers[i]);
            command.share = GATE_WHOLE;
            assert_int_equal(go(&record, command), ERR_CONFLICT);
            assert_int_not_equal(ask(&record, "u", "", NULL, 1000), REASON_NONE);
        }
        if (!pending) assert_int_equal(go(&record, make(GATE_VERB_SUBMIT)), ERR_OK);
    }
    for (int state_written = 0; state_written < GATE_STATE_COUNT; state_written++) {
        record.state =
            (enum gate_state)state_written; // by hand, in Redis, with the schedulers' key
        record.share = GATE_WHOLE;
        assert_int_not_equal(ask(&record, "u", "", NULL, 1000), REASON_NONE);
    }
}

/* Evidence of an approval that was given up is none for another one, and users get other places. */
static void what_was_retired_begins_anew(void **state)
{
    (void)state;
    struct gate_record record = {0};
    begin_rules();
    assert_int_equal(go(&record, make(GATE_VERB_DRAFT)), ERR_OK);
    assert_int_equal(go(&record, with_evidence("filing", 1000, 0)), ERR_OK);
    assert_int_equal(go(&record, make(GATE_VERB_DRAFT)), ERR_OK);
    assert_int_equal(record.content.evidence_count, 1); // another draft of the same gate
    assert_int_equal(go(&record, make(GATE_VERB_RETIRE)), ERR_OK);
    struct gate_command again = make(GATE_VERB_DRAFT);
    snprintf(again.salt, sizeof again.salt, "fedcba9876543210");
    assert_int_equal(go(&record, again), ERR_OK);
    assert_int_equal(record.content.evidence_count, 0);
    assert_memory_equal(record.salt, again.salt, sizeof record.salt);
}

static void buckets_spread_users_evenly_and_never_change(void **state)
{
    unsigned in = 0;
    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        char user[32];
        snprintf(user, sizeof user, "acme/%u", i);
        uint32_t bucket = gate_bucket("0123456789abcdef", "assistant", user);
        assert_true(bucket < GATE_WHOLE);
        in += bucket < 2500;
    }
    assert_in_range(in, 4700, 5300);
    // The places of these two are written down: another version of the program must not move them.
    assert_int_equal(gate_bucket("0123456789abcdef", "assistant", "acme/ann"), 3978);
    assert_int_equal(gate_bucket("0123456789abcdef", "search", "acme/ann"), 8492);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_approval_needs_each_piece_of_evidence_and_each_key),
        cmocka_unit_test(each_denial_has_its_reason),
        cmocka_unit_test(spring_2026_a_feature_cannot_go_live_before_its_approval),
        cmocka_unit_test(what_was_retired_begins_anew),
        cmocka_unit_test(buckets_spread_users_evenly_and_never_change),
        cmocka_unit_test(no_history_lets_anybody_in_without_evidence_and_keys),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
