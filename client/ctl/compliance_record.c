/* compliance: the audit: whether its files hold, are what is published, and are kept. */
#include "client/ctl/call.h"
#include "client/ctl/compliance.h"

#include <stdio.h>
#include <string.h>

enum verdict control_audit_chain(struct trial *trial)
{
    struct audit_found found;
    bool refused = trial_refused(trial, "POST", "/admin/audit/seal", json_object());
    if (refused) return trial_say(trial, VERDICT_FAIL, "sealing: %s", qiao_error(trial->qiao));
    if (!*trial->conf->audit_files)
        return trial_say(trial, VERDICT_NOT_APPLICABLE,
                         "sealed; the files are not here: --audit-files was not given");
    err_note(ERR_IO, "the folder's files are not what they should be");
    if (audit_check(trial->conf, trial->conf->audit_files, &trial->keys, &found))
        return trial_say(trial, VERDICT_FAIL, "%s", err_text());
    memcpy(trial->root, found.root, sizeof trial->root);
    trial_count(trial, "files", (long long)found.files);
    trial_count(trial, "records", (long long)found.records);
    trial_count(trial, "gaps", (long long)found.gaps);
    trial_text(trial, "root", found.root);
    return trial_say(
        trial, VERDICT_PASS,
        "%llu files, %llu records, %llu gaps (a gap is told, and is a scheduler that was killed)",
        (unsigned long long)found.files, (unsigned long long)found.records,
        (unsigned long long)found.gaps);
}

enum verdict control_audit_published(struct trial *trial)
{
    json_t *told = trial_call(trial, "GET", "/v1/transparency", NULL);
    const char *root = json_string_value(json_object_get(json_object_get(told, "audit"), "root"));
    char copy[sizeof trial->root] = "";
    if (!told) return trial_say(trial, VERDICT_FAIL, "%s", qiao_error(trial->qiao));
    if (root) snprintf(copy, sizeof copy, "%s", root);
    json_decref(told);
    trial_text(trial, "root", copy);
    if (!*copy)
        return trial_say(
            trial, VERDICT_FAIL,
            "no root is published: nothing was sealed (--audit-dir of the schedulers)");
    if (!*trial->root)
        return *trial->conf->audit_files
                   ? trial_say(trial, VERDICT_BLOCKED, "the sealed files do not hold")
                   : trial_say(trial, VERDICT_NOT_APPLICABLE,
                               "a root is published; the files are not here: --audit-files was not "
                               "given");
    if (strcmp(copy, trial->root) != 0)
        return trial_say(trial, VERDICT_FAIL, "the published root %s is not %s, the newest file's",
                         copy, trial->root);
    return trial_say(trial, VERDICT_PASS, "the published root is the newest file's");
}

enum verdict control_retention(struct trial *trial)
{
    const json_t *rule = trial_rule(trial, "/audit/retention_days");
    long long wanted = rule ? json_integer_value(rule) : 1096; // the preset
    json_t *audit = trial_call(trial, "GET", "/admin/audit", NULL);
    const json_t *days = json_object_get(audit, "retention_days");
    long long kept = json_integer_value(days), lost = call_count(audit, "lost");
    bool told = json_is_integer(days);
    json_decref(audit);
    if (!audit) return trial_say(trial, VERDICT_FAIL, "%s", qiao_error(trial->qiao));
    if (!told)
        return trial_say(trial, VERDICT_FAIL,
                         "nothing is sealed into files (--audit-dir of the schedulers)");
    trial_count(trial, "asked_days", wanted);
    trial_count(trial, "kept_days", kept);
    trial_count(trial, "lost", lost);
    if (kept > 0 && kept < wanted)
        return trial_say(trial, VERDICT_FAIL, "kept for %lld days; %lld are asked for", kept,
                         wanted);
    if (lost > 0) return trial_say(trial, VERDICT_FAIL, "%lld records were lost", lost);
    return kept ? trial_say(trial, VERDICT_PASS, "%lld days; %lld are asked for", kept, wanted)
                : trial_say(trial, VERDICT_PASS, "for ever; %lld days are asked for", wanted);
}
