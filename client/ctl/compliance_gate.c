/* compliance: what the rules say, what was approved, and whether both are what people meet. */
#include "client/ctl/answer.h"
#include "client/ctl/call.h"
#include "client/ctl/compliance.h"

#include "base/approval.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>

// ---- documents ---------------------------------------------------------------------------------

static const json_t *find_document(const struct trial *trial, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(trial->policy, "documents"), i, one)
    {
        const char *text = json_string_value(json_object_get(one, "name"));
        if (text && strcmp(text, name) == 0) return one;
    }
    return NULL;
}

enum verdict control_policy_signed(struct trial *trial)
{
    const char *failure = json_string_value(json_object_get(trial->policy, "failure"));
    const char *name = trial->conf->region;
    enum verdict verdict = VERDICT_PASS;
    int documents = 0;
    trial_text(trial, "digest", json_string_value(json_object_get(trial->policy, "digest")));
    if (failure)
        verdict = trial_say(trial, VERDICT_FAIL, "a newer folder was refused: %s", failure);
    while (name && documents < 16) { // a chain has at most eight
        const json_t *document = find_document(trial, name);
        if (!document) return trial_say(trial, VERDICT_FAIL, "there is no document '%s'", name);
        documents++;
        if (json_array_size(json_object_get(document, "signers")) == 0)
            verdict = trial_say(trial, VERDICT_FAIL, "nobody signed '%s'", name);
        if (!json_is_true(json_object_get(document, "valid")))
            verdict = trial_say(trial, VERDICT_FAIL, "'%s' is not valid today", name);
        name = json_string_value(json_object_get(document, "extends"));
    }
    trial_count(trial, "documents", documents);
    return verdict == VERDICT_PASS
               ? trial_say(trial, verdict, "%d documents, each signed and valid", documents)
               : verdict;
}

// ---- approvals ---------------------------------------------------------------------------------

static const char *key_of(const struct trial *trial, const char *approver)
{
    size_t i;
    const json_t *list = trial_rule(trial, "/gate/approvers");
    for (i = 0; approver && i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *id = json_string_value(json_object_get(one, "id"));
        if (id && strcmp(id, approver) == 0) return json_string_value(json_object_get(one, "key"));
    }
    return NULL;
}

/* How many different approvers of the rules signed this content. */
static size_t count_signatures(const struct trial *trial, const json_t *gate,
                               const struct approval *content)
{
    const json_t *list = json_object_get(gate, "signatures");
    const char *counted[16];
    struct buf text = {0};
    size_t good = 0;
    approval_write(&text, content);
    for (size_t i = 0; i < json_array_size(list) && good < 16; i++) {
        unsigned char key[SIGN_KEY_SIZE], signature[SIGN_SIZE];
        const json_t *one = json_array_get(list, i);
        const char *approver = json_string_value(json_object_get(one, "approver")),
                   *bytes = json_string_value(json_object_get(one, "signature")),
                   *public = key_of(trial, approver);
        bool again = false;
        for (size_t j = 0; j < good; j++)
            again |= strcmp(counted[j], approver) == 0;
        if (again || !public || !bytes || !sign_decode(public, key, sizeof key) ||
            !sign_decode(bytes, signature, sizeof signature) ||
            !sign_check(key, APPROVAL_PURPOSE, text.data, text.size, signature))
            continue;
        counted[good++] = approver;
    }
    buf_fini(&text);
    return good;
}

/* Each type that the rules ask for is there, and holds today. */
static enum verdict check_evidence(struct trial *trial, const struct approval *content)
{
    const json_t *types = trial_rule(trial, "/gate/evidence");
    int64_t now_ms = clock_wall_ms();
    enum verdict verdict = VERDICT_PASS;
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        const struct approval_evidence *found = NULL;
        for (size_t j = 0; type && j < content->evidence_count; j++)
            if (strcmp(content->evidence[j].type, type) == 0) found = &content->evidence[j];
        if (!found)
            verdict = trial_say(trial, VERDICT_FAIL, "%s: no evidence of type %s", content->feature,
                                type ? type : "");
        else if (found->until_ms > 0 && found->until_ms <= now_ms)
            verdict = trial_say(trial, VERDICT_FAIL, "%s: %s '%s' is over", content->feature, type,
                                found->reference);
    }
    return verdict;
}

static json_t *explain(struct trial *trial, const char *feature)
{
    json_t *ask = json_pack("{s:s, s:s}", "region", trial->conf->region, "feature", feature);
    if (*trial->system) json_object_set_new(ask, "os", json_string(trial->system));
    return trial_call(trial, "POST", "/admin/gate/explain", ask);
}

/* The first of the gate's own checks that does not pass; NULL: none. What else denies a request is another control's. */
static const char *closed_by(const json_t *finding)
{
    static const char *const own[] = {"lease",      "record", "state", "evidence",
                                      "signatures", "model",  "os",    "rollout"};
    const json_t *checks = json_object_get(finding, "checks");
    for (size_t i = 0; i < json_array_size(checks); i++) {
        const json_t *one = json_array_get(checks, i);
        const char *name = json_string_value(json_object_get(one, "check"));
        for (size_t k = 0; name && k < sizeof own / sizeof *own; k++)
            if (strcmp(name, own[k]) == 0 && !json_is_true(json_object_get(one, "passed")))
                return json_string_value(json_object_get(one, "reason"));
    }
    return finding ? NULL : "it cannot be explained";
}

/* A gate that somebody opened. */
static enum verdict check_gate(struct trial *trial, const json_t *gate)
{
    struct approval content = {0};
    const json_t *wanted = trial_rule(trial, "/gate/signatures");
    size_t least = wanted ? (size_t)json_integer_value(wanted) : 2;
    const char *state = json_string_value(json_object_get(gate, "state"));
    if (!answer_read_approval(&content, gate))
        return trial_say(trial, VERDICT_FAIL, "a record cannot be read");
    size_t signatures = count_signatures(trial, gate, &content);
    enum verdict verdict = check_evidence(trial, &content);
    if (signatures < least)
        verdict = trial_say(trial, VERDICT_FAIL, "%s: %zu of %zu signatures hold", content.feature,
                            signatures, least);
    json_t *finding = explain(trial, content.feature);
    const char *reason = closed_by(finding);
    if (reason && state && strcmp(state, "live") == 0)
        verdict =
            trial_say(trial, VERDICT_FAIL, "%s is live, and closed: %s", content.feature, reason);
    json_decref(finding);
    if (verdict == VERDICT_PASS)
        trial_say(trial, verdict, "%s %s, %zu documents, %zu signatures", content.feature, state,
                  content.evidence_count, signatures);
    return verdict;
}

static bool was_opened(const char *state)
{
    return state && (strcmp(state, "live") == 0 || strcmp(state, "rolling") == 0 ||
                     strcmp(state, "paused") == 0);
}

enum verdict control_gate_evidence(struct trial *trial)
{
    enum verdict verdict = VERDICT_PASS;
    json_t *answer = trial_call(trial, "GET", "/admin/gate", NULL), *gate;
    int opened = 0, failed = 0;
    size_t i;
    if (!answer) return trial_say(trial, VERDICT_FAIL, "%s", qiao_error(trial->qiao));
    json_array_foreach(json_object_get(answer, "gates"), i, gate)
    {
        const char *region = json_string_value(json_object_get(gate, "region")),
                   *feature = json_string_value(json_object_get(gate, "feature"));
        const json_t *gated = feature ? trial_feature_rule(trial, feature, "gated") : NULL;
        if (!region || strcmp(region, trial->conf->region) != 0 || json_is_false(gated) ||
            !was_opened(json_string_value(json_object_get(gate, "state"))))
            continue;
        opened++;
        failed += check_gate(trial, gate) != VERDICT_PASS;
    }
    trial_count(trial, "opened", opened);
    trial_count(trial, "failed", failed);
    trial_count(trial, "epoch", call_count(answer, "epoch"));
    json_decref(answer);
    if (failed > 0) verdict = VERDICT_FAIL;
    return opened ? verdict
                  : trial_say(trial, VERDICT_NOT_APPLICABLE, "no gate of this region was opened");
}

// ---- what is told ------------------------------------------------------------------------------

/* The door's own word, for the feature that a plain question tries. */
static enum verdict check_served(struct trial *trial, bool open)
{
    trial_new_user(trial, NULL);
    char *answer = trial_chat(trial, "Hello", NULL, false);
    const char *code = qiao_code(trial->qiao);
    bool served = answer != NULL,
         other = !served && open && *code && qiao_http_status(trial->qiao) != 403;
    qiao_free_text(answer);
    if (served == open || other) return VERDICT_PASS; // what is not the gate's is another control's
    return trial_say(trial, VERDICT_FAIL, "assistant is told to be %s, and a chat is %s%s%s",
                     open ? "open" : "closed", served ? "served" : "denied: ", served ? "" : code,
                     "");
}

static enum verdict compare(struct trial *trial, const char *feature, const json_t *flag)
{
    bool told = json_is_true(json_object_get(flag, "value"));
    const char *code =
        json_string_value(json_object_get(json_object_get(flag, "metadata"), "code"));
    json_t *finding = explain(trial, feature);
    const char *text = json_string_value(json_object_get(finding, "reason"));
    bool decided = json_is_true(json_object_get(finding, "open"));
    char reason[64];
    snprintf(reason, sizeof reason, "%s", text ? text : qiao_error(trial->qiao));
    json_decref(finding);
    if (told == decided && code && strcmp(code, reason) == 0)
        return strcmp(feature, "assistant") == 0 ? check_served(trial, told) : VERDICT_PASS;
    return trial_say(trial, VERDICT_FAIL, "%s: told %s (%s), decided %s (%s)", feature,
                     told ? "open" : "closed", code ? code : "", decided ? "open" : "closed",
                     reason);
}

enum verdict control_gate_told(struct trial *trial)
{
    json_t *context = json_pack("{s:{s:s}}", "context", "region", trial->conf->region), *flag;
    enum verdict verdict = VERDICT_PASS;
    size_t i, open = 0, count = 0;
    if (*trial->system)
        json_object_set_new(json_object_get(context, "context"), "os", json_string(trial->system));
    qiao_set_user(trial->qiao, NULL);
    json_t *answer = trial_call(trial, "POST", "/ofrep/v1/evaluate/flags", context);
    if (!answer) return trial_say(trial, VERDICT_FAIL, "%s", qiao_error(trial->qiao));
    json_array_foreach(json_object_get(answer, "flags"), i, flag)
    {
        const char *feature = json_string_value(json_object_get(flag, "key"));
        count++;
        open += json_is_true(json_object_get(flag, "value"));
        if (feature && compare(trial, feature, flag) != VERDICT_PASS) verdict = VERDICT_FAIL;
    }
    json_decref(answer);
    trial_count(trial, "features", (long long)count);
    trial_count(trial, "open", (long long)open);
    if (count == 0) return trial_say(trial, VERDICT_FAIL, "no feature is told of");
    return verdict == VERDICT_PASS
               ? trial_say(trial, verdict, "%zu features, %zu of them open, told as decided", count,
                           open)
               : verdict;
}
