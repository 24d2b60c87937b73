#include "scheduler/door/door.h"

#include "scheduler/door/admin.h"
#include "scheduler/door/audit_admin.h"
#include "scheduler/door/completion.h"
#include "scheduler/door/context.h"
#include "scheduler/door/embeddings.h"
#include "scheduler/door/events.h"
#include "scheduler/door/export.h"
#include "scheduler/door/feeds.h"
#include "scheduler/door/gate_admin.h"
#include "scheduler/door/gorse.h"
#include "scheduler/door/http.h"
#include "scheduler/door/indexes.h"
#include "scheduler/door/items.h"
#include "scheduler/door/json.h"
#include "scheduler/door/labels.h"
#include "scheduler/door/links.h"
#include "scheduler/door/me.h"
#include "scheduler/door/me_erase.h"
#include "scheduler/door/me_export.h"
#include "scheduler/door/me_tags.h"
#include "scheduler/door/note.h"
#include "scheduler/door/ofrep.h"
#include "scheduler/door/policy_admin.h"
#include "scheduler/door/recommend.h"
#include "scheduler/door/rerank.h"
#include "scheduler/door/sessions.h"
#include "scheduler/door/status.h"
#include "scheduler/door/strikes_admin.h"
#include "scheduler/door/terms_admin.h"
#include "scheduler/door/waive.h"
#include "scheduler/settings.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct route {
    const char *method;
    const char *path; // one that ends with '/' takes what follows it
    const char *name; // in metrics and logs
    void (*handle)(struct door *door, struct http_request *request);
};

static const struct route routes[] = {
    {"POST", "/v1/chat/completions", "chat", completion_chat},
    {"POST", "/v1/completions", "completions", completion_text},
    {"POST", "/v1/embeddings", "embeddings", embeddings_post},
    {"POST", "/v1/rerank", "rerank", rerank_post},
    {"POST", "/v2/rerank", "rerank", rerank_post},
    {"POST", "/rerank", "rerank", rerank_post_texts},
    {"GET", "/v1/models", "models", status_models},
    {"GET", "/v1/models/", "models", status_model},
    {"GET", "/v1/sessions", "sessions", sessions_list},
    {"GET", "/v1/sessions/", "sessions", sessions_show},
    {"DELETE", "/v1/sessions/", "sessions", sessions_delete},
    {"POST", "/v1/sessions/", "sessions", sessions_prewarm},
    {"POST", "/v1/events", "events", events_post},
    {"PUT", "/v1/items", "items", items_put},
    {"POST", "/v1/items", "items", items_put},
    {"GET", "/v1/items", "items", items_count},
    {"GET", "/v1/items/", "items", items_show},
    {"DELETE", "/v1/items/", "items", items_delete},
    {"POST", "/v1/recommendations", "recommendations", recommend_post},
    {"DELETE", "/v1/me", "me", me_erase},
    {"GET", "/v1/me/erasures", "me", me_erasures},
    {"GET", "/v1/me/erasures/", "me", me_erasure},
    {"GET", "/v1/me/export", "me", me_export},
    {"GET", "/v1/me/tags", "me", me_tags},
    {"DELETE", "/v1/me/tags/", "me", me_delete_tag},
    {"PUT", "/v1/me/tags/", "me", me_put_tag},
    {"GET", "/v1/me/consents", "me", me_consents},
    {"PUT", "/v1/me/consents", "me", me_put_consents},
    {"GET", "/v1/me/events", "me", me_events},
    {"POST", "/v1/me/links", "me", links_post},
    {"DELETE", "/v1/me/links/", "me", links_delete},
    {"GET", "/v1/me/personalization", "me", me_personalization},
    {"PUT", "/v1/me/personalization", "me", me_put_personalization},
    {"POST", "/v1/labels/verify", "labels", labels_verify},
    {"GET", "/v1/labels/keys", "labels", labels_keys},
    {"GET", "/v1/indexes", "indexes", indexes_door_list},
    {"GET", "/v1/indexes/", "indexes", indexes_door_get},
    {"PUT", "/v1/indexes/", "indexes", indexes_door_put},
    {"DELETE", "/v1/indexes/", "indexes", indexes_door_delete},
    {"POST", "/v1/indexes/", "search", indexes_door_post},
    {"GET", "/api/", "gorse", gorse_handle},
    {"POST", "/api/", "gorse", gorse_handle},
    {"PUT", "/api/", "gorse", gorse_handle},
    {"PATCH", "/api/", "gorse", gorse_handle},
    {"DELETE", "/api/", "gorse", gorse_handle},
    {"GET", "/health", "health", status_health},
    {"GET", "/ready", "ready", status_ready},
    {"GET", "/metrics", "metrics", status_metrics},
    {"GET", "/admin/nodes", "admin", admin_nodes},
    {"GET", "/admin/schedulers", "admin", admin_schedulers},
    {"GET", "/admin/status", "admin", admin_status},
    {"GET", "/admin/gate", "admin", gate_admin_list},
    {"GET", "/admin/gate/", "admin", gate_admin_show},
    {"POST", "/admin/gate/", "admin", gate_admin_post},
    {"POST", "/ofrep/v1/evaluate/flags", "ofrep", ofrep_all},
    {"POST", "/ofrep/v1/evaluate/flags/", "ofrep", ofrep_one},
    {"POST", "/admin/drain", "admin", admin_drain},
    {"POST", "/admin/undrain", "admin", admin_undrain},
    {"POST", "/admin/reload", "admin", admin_reload},
    {"POST", "/admin/waivers", "admin", waive_post},
    {"GET", "/admin/policy", "admin", policy_admin_show},
    {"GET", "/admin/policy/explain", "admin", policy_admin_explain},
    {"POST", "/admin/policy/check", "admin", policy_admin_check},
    {"POST", "/admin/policy/reload", "admin", policy_admin_reload},
    {"POST", "/admin/strikes/forgive", "admin", strikes_admin_forgive},
    {"GET", "/admin/terms", "admin", terms_admin_show},
    {"POST", "/admin/terms/check", "admin", terms_admin_check},
    {"POST", "/admin/terms/reload", "admin", terms_admin_reload},
    {"GET", "/admin/audit", "admin", audit_admin_show},
    {"POST", "/admin/audit/seal", "admin", audit_admin_seal},
    {"GET", "/v1/transparency", "transparency", audit_admin_transparency},
    {"POST", "/admin/feeds", "admin", feeds_post},
    {"GET", "/admin/feeds/", "admin", feeds_show},
    {"POST", "/admin/feeds/", "admin", feeds_post_lines},
    {"POST", "/admin/forget", "admin", feeds_forget},
    {"POST", "/admin/histories", "admin", export_histories},
    {"POST", "/admin/catalogue", "admin", export_catalogue},
};

static bool is_path_of(const struct route *route, const char *path)
{
    size_t size = strlen(route->path);
    if (route->path[size - 1] != '/') return strcmp(route->path, path) == 0;
    return strncmp(route->path, path, size) == 0 && path[size] != '\0';
}

static void refuse_method(struct http_request *request)
{
    struct buf allowed = {0};
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (is_path_of(&routes[i], http_path(request)))
            buf_addf(&allowed, "%s%s", allowed.size ? ", " : "", routes[i].method);
    }
    http_set_header(request, "Allow", buf_text(&allowed));
    json_param_clear();
    err_note(ERR_METHOD, "this path takes %s, not %s", buf_text(&allowed), http_method(request));
    door_refuse(request, ERR_METHOD);
    buf_fini(&allowed);
}

void door_handle(void *owner, struct http_request *request)
{
    struct door *door = owner;
    const char *path = http_path(request), *method = http_method(request);
    bool known = false;
    if (strcmp(method, "HEAD") == 0) method = "GET";
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (!is_path_of(&routes[i], path)) continue;
        known = true;
        http_set_route(request, routes[i].name);
        http_set_pattern(request, routes[i].path);
        if (strcmp(routes[i].method, method) != 0) continue;
        routes[i].handle(door, request);
        return;
    }
    if (known) {
        refuse_method(request);
        return;
    }
    json_param_clear();
    err_note(ERR_NOT_FOUND, "there is no such path; docs/api.md lists those that are");
    door_refuse(request, ERR_NOT_FOUND);
}

void door_ended(void *owner, const struct http_request *request, int status, uint64_t duration_ns)
{
    struct door *door = owner;
    char code[16];
    snprintf(code, sizeof code, "%d", status);
    metric_add(door->metrics, M_requests_total, http_route(request), code, 1);
    metric_observe(door->metrics, M_request_seconds, http_route(request), NULL,
                   (double)duration_ns / (double)CLOCK_SECOND);
    note_request(door, request, status);
    if (status >= 500 && strcmp(http_route(request), "ready") != 0) // polled while nodes start
        log_warn("request", "id=%s route=%s status=%d ms=%" PRIu64, http_id(request),
                 http_route(request), status, duration_ns / CLOCK_MS);
    else
        log_debug("request", "id=%s route=%s status=%d ms=%" PRIu64, http_id(request),
                  http_route(request), status, duration_ns / CLOCK_MS);
}

void door_refuse(struct http_request *request, enum err err)
{
    http_reply_error(
        request, &(struct http_error){.err = err, .message = err_text(), .param = json_param()});
}

bool door_admit(struct door *door, struct http_request *request, bool admin,
                struct context *context)
{
    enum err err = context_read(context, door->keys, request);
    if (!err && admin && !context->key->admin)
        err = err_note(ERR_FORBIDDEN, "this key may not operate the cluster");
    if (err)
        door_refuse(request, err);
    else
        http_set_asker(request, context->key->id);
    return !err;
}

bool door_admit_data(struct door *door, struct http_request *request, struct context *context)
{
    if (!door_admit(door, request, false, context)) return false;
    if (context->key->data) return true;
    json_param_clear();
    err_note(ERR_FORBIDDEN,
             "this key may not change catalogues and indexes: its entry in the keys' file "
             "needs \"data\": true");
    door_refuse(request, ERR_FORBIDDEN);
    return false;
}
