/* compliance: answers: their labels, their receipts, and what the redaction makes of questions. */
#include "client/ctl/answer.h"
#include "client/ctl/compliance.h"

#include "base/mem.h"
#include "base/receipt.h"

#include <stdio.h>
#include <string.h>

// ---- the visible label -------------------------------------------------------------------------

static bool place_is(const struct trial *trial, const char *end)
{
    const char *place = json_string_value(trial_rule(trial, "/labels/place"));
    return !place || strcmp(place, "both") == 0 || strcmp(place, end) == 0; // the preset is both
}

static const char *label_part(const struct answer *answer, const char *name)
{
    const char *text = json_string_value(json_object_get(answer->label, name));
    return text ? text : "";
}

/* Where the rules want the text, it stands in the label, and the label in the answer. */
static bool is_labelled(const struct trial *trial, const struct answer *answer, const char *text)
{
    const char *before = label_part(answer, "before"), *behind = label_part(answer, "behind");
    const char *content = buf_text(&answer->texts[0]);
    size_t size = strlen(content), tail = strlen(behind);
    if (place_is(trial, "start") &&
        (!strstr(before, text) || strncmp(content, before, strlen(before)) != 0))
        return false;
    return !place_is(trial, "end") ||
           (strstr(behind, text) && size >= tail && strcmp(content + size - tail, behind) == 0);
}

typedef bool judge_fn(const struct trial *trial, const struct answer *answer, const char *text);

/* A chat in the language, in one form. NULL: it has what it must have; else what is wrong. */
static const char *try_language(struct trial *trial, const char *language, const char *text,
                                bool stream, judge_fn *judge)
{
    struct answer *answer = mem_new(1, sizeof *answer);
    const char *wrong = NULL;
    qiao_set_language(trial->qiao, language);
    trial_new_user(trial, NULL);
    char *body = trial_chat(trial, "Hello", NULL, stream);
    if (!body)
        wrong = qiao_error(trial->qiao);
    else if (!answer_read(answer, body, strlen(body)) && answer->count == 0)
        wrong = "there is no answer in it";
    else if (!judge(trial, answer, text))
        wrong = "the text is not where the rules say";
    qiao_free_text(body);
    answer_fini(answer);
    mem_free(answer);
    return wrong;
}

/* Each language of `texts` that the feature may answer in. */
static enum verdict try_languages(struct trial *trial, const json_t *texts, judge_fn *judge,
                                  bool streams)
{
    const json_t *allowed = trial_feature_rule(trial, "assistant", "languages");
    enum verdict verdict = VERDICT_PASS;
    const char *language;
    json_t *text;
    int tried = 0;
    json_object_foreach((json_t *)(uintptr_t)texts, language, text)
    {
        if (json_is_array(allowed) && !json_has_text(allowed, language)) continue;
        for (int stream = 0; stream <= (int)streams; stream++) {
            const char *wrong =
                try_language(trial, language, json_string_value(text), stream, judge);
            tried++;
            if (wrong)
                verdict = trial_say(trial, VERDICT_FAIL, "%s, %s: %s", language,
                                    stream ? "streamed" : "plain", wrong);
        }
    }
    trial_count(trial, "answers", tried);
    if (tried == 0)
        return trial_say(trial, VERDICT_NOT_APPLICABLE,
                         "no language of it is one that the assistant may answer in");
    return verdict == VERDICT_PASS ? trial_say(trial, verdict, "%d answers", tried) : verdict;
}

enum verdict control_label_visible(struct trial *trial)
{
    const json_t *texts = trial_rule(trial, "/labels/visible");
    const char *place = json_string_value(trial_rule(trial, "/labels/place"));
    enum verdict verdict;
    if (!trial_has_answer(trial, &verdict)) return verdict;
    if (json_object_size(texts) == 0 || (place && strcmp(place, "none") == 0))
        return trial_say(trial, VERDICT_NOT_APPLICABLE, "the rules ask for no visible label");
    return try_languages(trial, texts, is_labelled, true);
}

static bool is_noticed(const struct trial *trial, const struct answer *answer, const char *text)
{
    const char *before = label_part(answer, "before");
    (void)trial;
    return strstr(before, text) &&
           strncmp(buf_text(&answer->texts[0]), before, strlen(before)) == 0;
}

enum verdict control_label_notice(struct trial *trial)
{
    const json_t *texts = trial_rule(trial, "/labels/notice");
    enum verdict verdict;
    if (!trial_has_answer(trial, &verdict)) return verdict;
    if (json_object_size(texts) == 0)
        return trial_say(trial, VERDICT_NOT_APPLICABLE, "the rules ask for no notice");
    return try_languages(trial, texts, is_noticed, false);
}

// ---- metadata ----------------------------------------------------------------------------------

/* The cluster's own word. */
static bool server_says(struct trial *trial, const struct answer *answer, const char *text,
                        bool *valid, char wrong[32])
{
    json_t *aigc = json_object();
    for (size_t i = 0; i < AIGC_FIELDS; i++)
        json_object_set_new(aigc, aigc_fields[i].name,
                            json_string((const char *)&answer->aigc + aigc_fields[i].offset));
    json_t *ask = json_pack("{s:s, s:o}", "content", text, "AIGC", aigc);
    if (ask && answer->label) json_object_set(ask, "label", answer->label);
    json_t *reply = ask ? trial_call(trial, "POST", "/v1/labels/verify", ask) : NULL;
    const char *part = json_string_value(json_object_get(reply, "wrong"));
    *valid = json_is_true(json_object_get(reply, "valid"));
    snprintf(wrong, 32, "%s", part ? part : "");
    json_decref(reply);
    return reply != NULL;
}

/* The lowest bit of the first character's last byte, behind the label: the text stays UTF-8. */
static bool flip(struct answer *answer)
{
    struct buf *text = &answer->texts[0];
    size_t at = strlen(label_part(answer, "before"));
    size_t end = text->size - strlen(label_part(answer, "behind"));
    if (at >= end || end > text->size) return false;
    while (at + 1 < end && ((unsigned char)text->data[at + 1] & 0xc0) == 0x80)
        at++;
    text->data[at] = (char)(text->data[at] ^ 1);
    return true;
}

static enum verdict check_metadata(struct trial *trial, struct answer *answer, const char *form)
{
    struct aigc_code code = {0};
    char wrong[32];
    bool valid = false;
    enum aigc_wrong found = answer_check(answer, &trial->keys, &code);
    if (found) return trial_say(trial, VERDICT_FAIL, "%s: %s", form, aigc_wrong_text(found, &code));
    if (!server_says(trial, answer, buf_text(&answer->texts[0]), &valid, wrong) || !valid)
        return trial_say(trial, VERDICT_FAIL, "%s: the cluster says that it is not valid: %s", form,
                         *wrong ? wrong : qiao_error(trial->qiao));
    if (!flip(answer)) return trial_say(trial, VERDICT_FAIL, "%s: the answer is empty", form);
    found = answer_check(answer, &trial->keys, &code);
    if (found != AIGC_WRONG_CONTENT ||
        !server_says(trial, answer, buf_text(&answer->texts[0]), &valid, wrong) || valid ||
        strcmp(wrong, "content") != 0)
        return trial_say(trial, VERDICT_FAIL, "%s: a flipped bit was not found", form);
    trial_text(trial, "producer", answer->aigc.producer);
    trial_text(trial, "key", code.key);
    return VERDICT_PASS;
}

enum verdict control_label_metadata(struct trial *trial)
{
    enum verdict verdict;
    if (!trial_has_answer(trial, &verdict)) return verdict;
    if (!trial_flag(trial, "/labels/implicit", true))
        return trial_say(trial, VERDICT_NOT_APPLICABLE, "the rules ask for no metadata");
    verdict = VERDICT_PASS;
    for (int stream = 0; stream < 2; stream++) {
        const char *body = stream ? trial->stream : trial->plain,
                   *form = stream ? "stream" : "body";
        struct answer *answer = mem_new(1, sizeof *answer);
        if (!answer_read(answer, body, strlen(body)))
            verdict = trial_say(trial, VERDICT_FAIL, "%s: there is no metadata in it", form);
        else if (check_metadata(trial, answer, form) != VERDICT_PASS)
            verdict = VERDICT_FAIL;
        answer_fini(answer);
        mem_free(answer);
    }
    return verdict == VERDICT_PASS
               ? trial_say(trial, verdict, "both valid, a flipped bit is found in both; keys %s",
                           trial->own_keys ? "of the operator's file" : "as the cluster tells them")
               : verdict;
}

// ---- receipts ----------------------------------------------------------------------------------

static bool model_is_served(const struct trial *trial, const char *digest)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(trial->transparency, "models"), i, one)
    {
        const char *text = json_string_value(json_object_get(one, "digest"));
        if (text && strcmp(text, digest) == 0) return true;
    }
    return false;
}

static const char *rules_digest(const struct trial *trial)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(trial->transparency, "regions"), i, one)
    {
        const char *name = json_string_value(json_object_get(one, "region"));
        if (name && strcmp(name, trial->conf->region) == 0)
            return json_string_value(json_object_get(one, "policy"));
    }
    return NULL;
}

/* A tenant's document above the region's has rules with another digest, so a policy that is not the region's is said, and no failure. */
static enum verdict check_receipt(struct trial *trial, const char *form, const char *body)
{
    struct receipt receipt;
    char model[DIGEST_TEXT_SIZE], policy[DIGEST_TEXT_SIZE];
    json_t *object = answer_find_receipt(body, strlen(body));
    bool read = object && answer_read_receipt(&receipt, object);
    json_decref(object);
    if (!read) return trial_say(trial, VERDICT_FAIL, "%s: there is no receipt in it", form);
    if (receipt_check(&receipt, &trial->keys))
        return trial_say(trial, VERDICT_FAIL, "%s: %s", form, err_text());
    digest_text(&receipt.model, model);
    digest_text(&receipt.policy, policy);
    if (strcmp(receipt.region, trial->conf->region) != 0)
        return trial_say(trial, VERDICT_FAIL, "%s: it is of region '%s'", form, receipt.region);
    if (!model_is_served(trial, model))
        return trial_say(trial, VERDICT_FAIL, "%s: no node serves its model %s", form, model);
    const char *rules = rules_digest(trial);
    if (rules && strcmp(rules, policy) != 0)
        trial_say(trial, VERDICT_PASS, "%s: by rules of a tenant's own, %s", form, policy);
    trial_text(trial, "model", model);
    trial_text(trial, "policy", policy);
    trial_text(trial, "build", receipt.build);
    trial_count(trial, "epoch", (long long)receipt.epoch);
    return VERDICT_PASS;
}

enum verdict control_receipts(struct trial *trial)
{
    enum verdict verdict;
    if (!trial_has_answer(trial, &verdict)) return verdict;
    verdict = check_receipt(trial, "body", trial->plain);
    if (check_receipt(trial, "stream", trial->stream) != VERDICT_PASS) verdict = VERDICT_FAIL;
    return verdict == VERDICT_PASS ? trial_say(trial, verdict, "both are signed and hold")
                                   : verdict;
}

// ---- redaction ---------------------------------------------------------------------------------

/* Invented, or the standards' own examples; nobody's. */
static const struct {
    const char *kind, *text, *placeholder;
} identifiers[] = {
    {"phone", "13800138000", "[PHONE]"},           {"identity", "11010519491231002X", "[ID]"},
    {"card", "4111111111111111", "[CARD]"},        {"email", "nobody@example.com", "[EMAIL]"},
    {"address", "221B Baker Street", "[ADDRESS]"},
};

static void name_identifiers(const struct trial *trial, struct buf *text, bool asked[5])
{
    const json_t *kinds = trial_rule(trial, "/privacy/redact"); // NULL: all of them
    for (size_t i = 0; i < 5; i++) {
        asked[i] = !kinds || json_has_text(kinds, identifiers[i].kind);
        if (asked[i]) buf_addf(text, "%s: %s, ", identifiers[i].kind, identifiers[i].text);
    }
}

/* The turn as it is kept: the same text that went to the template. */
static json_t *stored_turn(struct trial *trial, const char *session)
{
    char path[128];
    snprintf(path, sizeof path, "/v1/sessions/%s", session);
    json_t *stored = trial_call(trial, "GET", path, NULL);
    json_t *turns = json_object_get(stored, "turns"), *found = NULL, *one;
    size_t i;
    json_array_foreach(turns, i, one)
    {
        const char *role = json_string_value(json_object_get(one, "role"));
        if (!found && role && strcmp(role, "user") == 0)
            found = json_incref(json_object_get(one, "content"));
    }
    json_decref(stored);
    return found;
}

enum verdict control_redaction(struct trial *trial)
{
    enum verdict verdict;
    char user[TRIAL_USER_SIZE];
    bool asked[5];
    struct buf text = {0};
    int kinds = 0;
    if (!trial_has_answer(trial, &verdict)) return verdict;
    name_identifiers(trial, &text, asked);
    trial_new_user(trial, user);
    char *answer = text.size > 0 ? trial_chat(trial, buf_text(&text), user, false) : NULL;
    json_t *turn = answer ? stored_turn(trial, user) : NULL;
    const char *kept = json_string_value(turn);
    verdict = VERDICT_PASS;
    for (size_t i = 0; kept && i < 5; i++) {
        if (!asked[i]) continue;
        kinds++;
        if (strstr(kept, identifiers[i].text) || strstr(answer, identifiers[i].text) ||
            !strstr(kept, identifiers[i].placeholder))
            verdict =
                trial_say(trial, VERDICT_FAIL, "%s: it was not taken out", identifiers[i].kind);
    }
    if (text.size == 0)
        verdict = trial_say(trial, VERDICT_NOT_APPLICABLE, "the rules ask for none");
    else if (!kept)
        verdict = trial_say(trial, VERDICT_FAIL, "the turn cannot be read back: %s",
                            qiao_error(trial->qiao));
    else if (verdict == VERDICT_PASS)
        trial_say(trial, verdict, "%d kinds; what a node has in memory cannot be seen from outside",
                  kinds);
    trial_count(trial, "kinds", kinds);
    trial_refused(trial, "DELETE", "/v1/me", NULL);
    json_decref(turn);
    qiao_free_text(answer);
    buf_fini(&text);
    return verdict;
}
