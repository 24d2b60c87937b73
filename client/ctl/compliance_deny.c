/* compliance: what must be denied, and why it says it is. */
#include "client/ctl/compliance.h"

#include <stdio.h>
#include <string.h>

#define CHAT "/v1/chat/completions"

/* A refusal with a code and words; `wanted` NULL: any code. */
static enum verdict judge(struct trial *trial, bool refused, const char *wanted)
{
    const char *code = qiao_code(trial->qiao), *message = qiao_error(trial->qiao);
    if (!refused) return trial_say(trial, VERDICT_FAIL, "it was served");
    trial_count(trial, "status", qiao_http_status(trial->qiao));
    trial_text(trial, "code", code);
    if (qiao_http_status(trial->qiao) != 403 || !*code || !*message ||
        (wanted && strcmp(code, wanted) != 0))
        return trial_say(trial, VERDICT_FAIL, "denied with status %d and code '%s'%s%s: %s",
                         qiao_http_status(trial->qiao), code, wanted ? ", not " : "",
                         wanted ? wanted : "", message);
    return trial_say(trial, VERDICT_PASS, "%s: %s", code, message);
}

static bool ask(struct trial *trial)
{
    trial_new_user(trial, NULL);
    return trial_refused(trial, "POST", CHAT, trial_chat_body(trial, "Hello", NULL, false));
}

/* A key of one region brings its region along: then there is nothing to deny. */
enum verdict control_denied_without_region(struct trial *trial)
{
    qiao_set_region(trial->qiao, NULL);
    json_t *flag = trial_call(trial, "POST", "/ofrep/v1/evaluate/flags/assistant",
                              json_pack("{s:{}}", "context"));
    const char *region =
        json_string_value(json_object_get(json_object_get(flag, "metadata"), "region"));
    enum verdict verdict =
        region && *region ? trial_say(trial, VERDICT_NOT_APPLICABLE,
                                      "the key has one region, '%s', which it brings along", region)
                          : judge(trial, ask(trial), "region_required");
    json_decref(flag);
    return verdict;
}

enum verdict control_denied_unknown_region(struct trial *trial)
{
    qiao_set_region(trial->qiao, "compliance-nowhere");
    return judge(trial, ask(trial), NULL); // a key may not even be allowed to name it
}

enum verdict control_denied_old_system(struct trial *trial)
{
    char old[sizeof trial->system];
    enum verdict verdict;
    if (!*trial->system)
        return trial_say(trial, VERDICT_NOT_APPLICABLE,
                         "the approval of this region asks for no version of a system");
    if (!trial_has_answer(trial, &verdict)) return verdict; // others are denied for another reason
    snprintf(old, sizeof old, "%s", trial->system);
    char *slash = strchr(old, '/');
    if (!slash || !slash[1])
        return trial_say(trial, VERDICT_FAIL, "the gate's system '%s' has no version", old);
    slash[1] = '0';
    slash[2] = '\0';
    qiao_set_system(trial->qiao, old);
    bool refused = ask(trial);
    qiao_set_system(trial->qiao, trial->system);
    return judge(trial, refused, "os_too_old");
}

enum verdict control_denied_language(struct trial *trial)
{
    const json_t *languages = trial_feature_rule(trial, "assistant", "languages");
    const char *any = json_string_value(languages);
    if (any && strcmp(any, "any") == 0)
        return trial_say(trial, VERDICT_NOT_APPLICABLE, "the rules allow any language");
    if (!trial_flag(trial, "/features/assistant/allowed", false))
        return trial_say(trial, VERDICT_NOT_APPLICABLE, "the rules do not allow the assistant");
    qiao_set_language(trial->qiao, "tlh");
    return judge(trial, ask(trial), "language_not_allowed");
}
