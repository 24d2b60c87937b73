#include "scheduler/door/gate_admin.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/gate_ask.h"
#include "scheduler/door/gate_explain.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/policy/audit.h"
#include "scheduler/policy/gate.h"
#include "scheduler/policy/policy.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PATH "/admin/gate/"

enum err gate_admin_governed(const struct door *door)
{
    json_param_clear();
    if (door->gate) return ERR_OK;
    return err_note(ERR_UNSUPPORTED,
                    "nothing is governed here, so there are no gates: start the scheduler with "
                    "--policy");
}

static void reply(struct http_request *request, struct buf *body)
{
    http_reply_json(request, 200, buf_text(body), body->size);
    buf_fini(body);
}

// ---- what there is -----------------------------------------------------------------------------

static void write_gate(struct buf *out, const char *name, const struct gate_record *record,
                       const char *note)
{
    if (record) {
        gate_record_write(out, record);
        return;
    }
    const char *slash = strchr(name, '/');
    buf_add_text(out, "{\"region\":");
    json_write_text(out, name, slash ? (size_t)(slash - name) : strlen(name));
    buf_add_text(out, ",\"feature\":");
    json_write_string(out, slash ? slash + 1 : "");
    buf_add_text(out, ",\"state\":\"unreadable\",\"note\":");
    json_write_string(out, note ? note : "");
    buf_add_byte(out, '}');
}

static void write_lease(struct buf *out, const struct door *door)
{
    const char *note = gate_lease_note(door->gate, clock_now_ns());
    buf_addf(out, "\"epoch\":%" PRIu64 ",\"lease\":%s", gate_epoch(door->gate),
             note ? "false" : "true");
    if (!note) return;
    buf_add_text(out, ",\"note\":");
    json_write_string(out, note);
}

void gate_admin_list(struct door *door, struct http_request *request)
{
    struct context context;
    struct buf body = {0};
    const char *name, *note;
    if (!door_admit(door, request, true, &context)) return;
    enum err err = gate_admin_governed(door);
    if (err) {
        door_refuse(request, err);
        return;
    }
    buf_add_byte(&body, '{');
    write_lease(&body, door);
    buf_add_text(&body, ",\"gates\":[");
    for (size_t i = 0; i < gate_count(door->gate); i++) {
        const struct gate_record *record = gate_at(door->gate, i, &name, &note);
        if (i) buf_add_byte(&body, ',');
        write_gate(&body, name, record, note);
    }
    buf_add_text(&body, "]}");
    reply(request, &body);
}

void gate_admin_show(struct door *door, struct http_request *request)
{
    struct context context;
    struct buf body = {0};
    const char *name = http_path(request) + strlen(PATH), *note;
    if (!door_admit(door, request, true, &context)) return;
    enum err err = gate_admin_governed(door);
    const struct gate_record *record = err ? NULL : gate_find(door->gate, name, &note);
    if (!err && !record)
        err = note ? err_note(ERR_CONFLICT, "%s", note)
                   : err_note(ERR_NOT_FOUND, "there is no such gate: GET /admin/gate lists them; a "
                                             "path is /admin/gate/REGION/FEATURE");
    if (err) {
        door_refuse(request, err);
        return;
    }
    write_gate(&body, name, record, NULL);
    reply(request, &body);
}

// ---- changes -----------------------------------------------------------------------------------

/* A change that is on its way; without a request once the client is gone. */
struct change {
    struct door *door;
    struct http_request *request;
    enum gate_verb verb;
    char key[CONTEXT_NAME_MAX + 1];
    char approver[APPROVAL_NAME_MAX + 1];
};

static void on_gone(void *argument)
{
    ((struct change *)argument)->request = NULL;
}

static void note_change(const struct change *change, const struct gate_change *what)
{
    const struct gate_record *after = &what->after;
    char epoch[24], serial[24], share[24];
    snprintf(epoch, sizeof epoch, "%" PRIu64, what->outcome.epoch);
    snprintf(serial, sizeof serial, "%" PRIu64, after->content.serial);
    snprintf(share, sizeof share, "%" PRIu32, after->share);
    const struct audit_field fields[] = {
        {"verb", gate_verb_name(change->verb)},
        {"region", after->content.region},
        {"feature", after->content.feature},
        {"before", what->existed ? gate_state_name(what->before.state) : "none"},
        {"after", gate_state_name(after->state)},
        {"serial", serial},
        {"share", share},
        {"epoch", epoch},
        {"key", change->key},
        {"approver", change->approver},
    };
    audit_note(change->door->audit, AUDIT_GATE, fields, sizeof fields / sizeof *fields);
    log_info("gate_changed", "verb=%s region=%s feature=%s state=%s epoch=%s ms=%" PRIu64,
             fields[0].value, fields[1].value, fields[2].value, fields[4].value, epoch,
             what->outcome.ms);
}

static void on_changed(void *argument, enum err err, const struct gate_change *what)
{
    struct change change = *(struct change *)argument;
    struct buf body = {0};
    mem_free(argument);
    json_param_clear();
    if (!err || err == ERR_NOT_REPLICATED) note_change(&change, what);
    if (!change.request) return;
    if (err) {
        door_refuse(change.request, err);
        return;
    }
    buf_add_text(&body, "{\"gate\":");
    gate_record_write(&body, &what->after);
    buf_addf(&body, ",\"epoch\":%" PRIu64 ",\"holders\":%u,\"acknowledged\":%u,\"ms\":%" PRIu64 "}",
             what->outcome.epoch, what->outcome.holders, what->outcome.acknowledged,
             what->outcome.ms);
    reply(change.request, &body);
}

/* The rules that a gate is judged by: the region's own. */
static enum err find_rules(const struct door *door, const struct approval *names,
                           const struct rules **out)
{
    enum feature feature = FEATURE_ASSISTANT;
    enum reason reason =
        policies_find(door->policies, names->region, "", clock_wall_ms() / 1000, out);
    if (reason)
        return err_note(reason == REASON_POLICY_EXPIRED ? ERR_CONFLICT : ERR_NOT_FOUND,
                        "region '%s': %s", names->region, reason_text(reason));
    (void)feature_find(names->feature, &feature); // gate_ask_names() knew it
    if ((*out)->features[feature].allowed && (*out)->features[feature].gated) return ERR_OK;
    return err_note(ERR_CONFLICT, "the policy of region '%s' %s", names->region,
                    (*out)->features[feature].allowed ? "asks for no approval of this feature"
                                                      : "does not allow this feature");
}

/* What only shuts a gate is judged by no rules: least of all where they are over, or do not allow the feature any more, and what was let
 * in before still runs. */
static bool only_shuts(enum gate_verb verb)
{
    return verb == GATE_VERB_PAUSE || verb == GATE_VERB_SUSPEND || verb == GATE_VERB_RETIRE;
}

static enum err change_gate(struct door *door, struct http_request *request,
                            const struct context *context, enum gate_verb verb, const json_t *root)
{
    struct gate_command command;
    const struct rules *rules = NULL;
    int64_t now_ms = clock_wall_ms();
    TRY(gate_ask_read(&command, verb, root, door->fleet, now_ms));
    if (!only_shuts(verb)) TRY(find_rules(door, &command.content, &rules));
    struct change *change = mem_new(1, sizeof *change);
    *change = (struct change){.door = door, .request = request, .verb = verb};
    snprintf(change->key, sizeof change->key, "%s", context->key->id);
    memcpy(change->approver, command.signature.approver, sizeof change->approver);
    http_set_gone(request, on_gone, change);
    enum err err = gate_order(door->gate, &command, rules, now_ms, on_changed, change);
    if (!err) return ERR_OK;
    http_set_gone(request, NULL, NULL);
    mem_free(change);
    return err;
}

// ---- all posts ---------------------------------------------------------------------------------

static enum err obey(struct door *door, struct http_request *request, const struct context *context)
{
    const char *word = http_path(request) + strlen(PATH), *text;
    enum gate_verb verb = GATE_VERB_COUNT;
    json_t *root;
    size_t size;
    TRY(gate_admin_governed(door));
    if (!gate_verb_find(word, &verb))
        return err_note(ERR_NOT_FOUND, "a gate's verbs are draft, evidence, submit, approve, roll, "
                                       "pause, live, suspend, retire, explain");
    text = http_body(request, &size);
    TRY(json_read(&root, text, size));
    enum err err = change_gate(door, request, context, verb, root);
    json_decref(root);
    return err;
}

void gate_admin_post(struct door *door, struct http_request *request)
{
    struct context context;
    if (!door_admit(door, request, true, &context)) return;
    enum err err = strcmp(http_path(request), PATH "explain") == 0
                       ? gate_explain(door, request, &context)
                       : obey(door, request, &context);
    if (err) door_refuse(request, err);
}
