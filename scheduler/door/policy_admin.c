#include "scheduler/door/policy_admin.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/note.h"
#include "scheduler/policy/audit.h"
#include "scheduler/policy/policy.h"
#include "scheduler/settings.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"

#include <string.h>

// ---- reading the folder ------------------------------------------------------------------------

static void tell(struct door *door, enum err err)
{
    char digest[DIGEST_TEXT_SIZE];
    struct digest all = policies_digest(door->policies);
    digest_text(&all, digest);
    const struct audit_field fields[] = {{"outcome", err ? "refused" : "taken"},
                                         {"in_force", digest},
                                         {"note", policies_failure(door->policies)}};
    audit_note(door->audit, AUDIT_POLICY, fields, err ? 3 : 2);
    note_retention(door);
    metric_add(door->metrics, M_policy_loads_total, err ? "refused" : "taken", NULL, 1);
    if (err)
        log_error("policy_refused", "in_force=%s note=\"%s\"", digest,
                  policies_failure(door->policies));
    else
        log_info("policy_taken", "digest=%s", digest);
}

enum err policy_reload(struct door *door)
{
    if (!door->policies)
        return err_note(ERR_UNSUPPORTED,
                        "nothing is governed here: start the scheduler with --policy");
    enum err err = policies_load(door->policies);
    tell(door, err);
    return err ? err_note(err, "%s", policies_failure(door->policies)) : ERR_OK;
}

void policy_look(struct door *door)
{
    enum err err;
    if (door->policies && policies_look(door->policies, &err)) tell(door, err);
}

void policy_begin(struct door *door)
{
    if (door->policies) tell(door, ERR_OK);
}

// ---- what operators ask ------------------------------------------------------------------------

static void reply(struct http_request *request, struct buf *body)
{
    http_reply_json(request, 200, buf_text(body), body->size);
    buf_fini(body);
}

void policy_admin_show(struct door *door, struct http_request *request)
{
    struct context context;
    struct buf body = {0};
    if (!door_admit(door, request, true, &context)) return;
    if (door->policies)
        policies_show(door->policies, clock_wall_ms() / 1000, &body);
    else
        buf_add_text(&body, "{\"digest\":null,\"failure\":null,\"regions\":[],\"documents\":[]}");
    reply(request, &body);
}

static enum err explain(const struct door *door, struct http_request *request, struct buf *body)
{
    char region[CONTEXT_LABEL_MAX + 1], tenant[CONTEXT_NAME_MAX + 1];
    json_param_clear();
    if (!door->policies)
        return err_note(ERR_NOT_FOUND, "nothing is governed here, so no region has rules");
    TRY(http_query_text(request, "region", region, sizeof region));
    TRY(http_query_text(request, "tenant", tenant, sizeof tenant));
    if (!policies_explain(door->policies, region, tenant, body)) return ERR_OK;
    return err_note(ERR_NOT_FOUND,
                    "?region= must name a region that has a policy: GET /admin/policy lists them");
}

void policy_admin_explain(struct door *door, struct http_request *request)
{
    struct context context;
    struct buf body = {0};
    if (!door_admit(door, request, true, &context)) return;
    enum err err = explain(door, request, &body);
    if (err)
        door_refuse(request, err);
    else
        reply(request, &body);
}

static enum err check(struct http_request *request)
{
    size_t size;
    json_t *root;
    const char *name = "the document", *text = NULL, *body = http_body(request, &size);
    TRY(json_read(&root, body, size));
    enum err err = json_take_text(root, "name", 1, CONTEXT_NAME_MAX, &name);
    if (!err) err = json_take_text(root, "text", 1, POLICY_DOCUMENT_BYTES, &text);
    if (!err && !text) err = json_wrong("text", "must be given: the document");
    if (!err) {
        err = policy_check(name, text, strlen(text));
        if (err) json_set_param("text");
    }
    json_decref(root);
    return err;
}

void policy_admin_check(struct door *door, struct http_request *request)
{
    static const char good[] = "{\"good\":true}";
    struct context context;
    if (!door_admit(door, request, true, &context)) return;
    enum err err = check(request);
    if (err)
        door_refuse(request, err);
    else
        http_reply_json(request, 200, good, sizeof good - 1);
}

void policy_admin_reload(struct door *door, struct http_request *request)
{
    struct context context;
    if (!door_admit(door, request, true, &context)) return;
    json_param_clear();
    enum err err = policy_reload(door);
    if (err)
        door_refuse(request, err);
    else
        policy_admin_show(door, request);
}
