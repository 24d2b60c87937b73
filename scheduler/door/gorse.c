#include "scheduler/door/gorse.h"

#include "scheduler/core/fleet.h"
#include "scheduler/door/door.h"
#include "scheduler/door/event_read.h"
#include "scheduler/door/gorse_internal.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/state/store.h"

#include "base/buf.h"

#include <event2/http.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    KEY_MAX = 512 // bytes of an X-API-Key
};

/* Redis is both of Gorse's stores. */
static void tell_health(struct gorse_call *call)
{
    const struct door *door = call->door;
    bool up = store_is_up(door->store), ready = up && fleet_node_count(door->fleet) > 0;
    bool asks_live = strcmp(call->parts[1], "live") == 0;
    struct buf body = {0};
    buf_addf(&body, "{\"Ready\":%s,\"DataStoreConnected\":%s,\"CacheStoreConnected\":%s}",
             ready ? "true" : "false", up ? "true" : "false", up ? "true" : "false");
    http_reply_json(call->request, ready || asks_live ? 200 : 503, body.data, body.size);
    buf_fini(&body);
}

/* '*' is any part. Of those that fit the first is meant, and stands for the path in records. */
static const struct route {
    const char *method, *path;
    gorse_fn *handle;
} routes[] = {
    {"GET", "/api/health/live", tell_health},
    {"GET", "/api/health/ready", tell_health},
    {"POST", "/api/feedback", gorse_put_feedback},
    {"PUT", "/api/feedback", gorse_put_feedback},
    {"GET", "/api/feedback", gorse_refuse_all_feedback},
    {"GET", "/api/feedback/*", gorse_refuse_all_feedback},
    {"GET", "/api/feedback/*/*", gorse_pair_feedback},
    {"DELETE", "/api/feedback/*/*", gorse_pair_feedback},
    {"GET", "/api/feedback/*/*/*", gorse_typed_pair_feedback},
    {"DELETE", "/api/feedback/*/*/*", gorse_typed_pair_feedback},
    {"GET", "/api/user/*/feedback", gorse_user_feedback},
    {"GET", "/api/user/*/feedback/*", gorse_user_feedback},
    {"GET", "/api/item/*/feedback", gorse_refuse_all_feedback},
    {"GET", "/api/item/*/feedback/*", gorse_refuse_all_feedback},
    {"GET", "/api/recommend/*", gorse_recommend},
    {"GET", "/api/recommend/*/*", gorse_recommend},
    {"POST", "/api/session/recommend", gorse_session},
    {"POST", "/api/session/recommend/*", gorse_session},
    {"GET", "/api/popular", gorse_popular},
    {"GET", "/api/popular/*", gorse_popular},
    {"GET", "/api/item/*/neighbors", gorse_neighbours},
    {"GET", "/api/item/*/neighbors/*", gorse_neighbours},
    {"POST", "/api/item", gorse_put_item},
    {"POST", "/api/items", gorse_put_items},
    {"GET", "/api/items", gorse_list_items},
    {"GET", "/api/item/*", gorse_get_item},
    {"PATCH", "/api/item/*", gorse_patch_item},
    {"DELETE", "/api/item/*", gorse_delete_item},
    {"PUT", "/api/item/*/category/*", gorse_put_category},
    {"DELETE", "/api/item/*/category/*", gorse_delete_category},
    {"POST", "/api/user", gorse_put_user},
    {"POST", "/api/users", gorse_put_users},
    {"GET", "/api/users", gorse_refuse_users},
    {"GET", "/api/user/*", gorse_get_user},
    {"PATCH", "/api/user/*", gorse_patch_user},
    {"DELETE", "/api/user/*", gorse_delete_user},
};

// ---- words -------------------------------------------------------------------------------------

void gorse_refuse_error(struct http_request *request, const struct http_error *error)
{
    const char *text = error->message && *error->message ? error->message : err_phrase(error->err);
    int status = err_http_status(error->err);
    if (status == 429 || status == 503) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%u", error->retry_seconds ? error->retry_seconds : 1);
        http_set_header(request, "Retry-After", seconds);
    }
    http_reply(request, status, "text/plain; charset=utf-8", text, strlen(text));
}

void gorse_refuse(struct http_request *request, enum err err)
{
    gorse_refuse_error(request, &(struct http_error){.err = err, .message = err_text()});
}

void gorse_reply_rows(struct http_request *request, uint64_t count)
{
    char body[48];
    int size = snprintf(body, sizeof body, "{\"RowAffected\":%" PRIu64 "}", count);
    http_reply_json(request, 200, body, (size_t)size);
}

enum err gorse_read_count(const struct gorse_call *call, const char *name, uint32_t most,
                          uint32_t *out)
{
    char text[16], *end;
    TRY(http_query_text(call->request, name, text, sizeof text));
    if (!*text) return ERR_OK;
    unsigned long value = strtoul(text, &end, 10);
    if (*end || *text < '0' || *text > '9' || value > most)
        return err_note(ERR_INVALID, "%s must be a number, at most %" PRIu32, name, most);
    *out = (uint32_t)value;
    return ERR_OK;
}

enum err gorse_read_time(const json_t *object, int64_t *out)
{
    const char *text = NULL;
    char whole[64];
    TRY(json_take_text(object, "Timestamp", 0, 40, &text));
    if (!text || !*text || strncmp(text, "0001-01-01", 10) == 0) return ERR_OK;
    snprintf(whole, sizeof whole, "%s", text);
    if (event_read_time(whole, out)) return ERR_OK;
    snprintf(whole, sizeof whole, "%s%s", text, strlen(text) == 10 ? "T00:00:00Z" : "Z");
    if (event_read_time(whole, out)) return ERR_OK;
    return json_wrong("Timestamp", "must be a time such as 2022-02-24 or 2022-02-24T10:00:00Z");
}

void gorse_write_time(struct buf *out, int64_t time_ms)
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm parts;
    char text[40];
    gmtime_r(&seconds, &parts);
    strftime(text, sizeof text, "\"%Y-%m-%dT%H:%M:%SZ\"", &parts);
    buf_add_text(out, text);
}

// ---- paths -------------------------------------------------------------------------------------

/* The path behind /api/, cut at '/' and decoded; a last '/' says nothing. */
static enum err read_parts(struct gorse_call *call)
{
    const char *at = http_path(call->request) + strlen("/api/");
    while (*at) {
        char raw[3 * GORSE_PART_MAX + 1];
        size_t size = strcspn(at, "/"), decoded_size = 0;
        if (call->part_count == GORSE_PARTS_MAX || size >= sizeof raw)
            return err_note(ERR_NOT_FOUND, "there is no such path");
        memcpy(raw, at, size);
        raw[size] = '\0';
        char *decoded = evhttp_uridecode(raw, 0, &decoded_size);
        bool good = decoded && decoded_size > 0 && decoded_size <= GORSE_PART_MAX &&
                    strlen(decoded) == decoded_size;
        if (good) memcpy(call->parts[call->part_count++], decoded, decoded_size + 1);
        free(decoded); // libevent's
        if (!good)
            return err_note(ERR_INVALID, "a part of the path must be 1 to %d bytes",
                            GORSE_PART_MAX);
        at += size;
        if (*at == '/') at++;
    }
    return ERR_OK;
}

static bool fits(const struct gorse_call *call, const char *path)
{
    size_t part = 0;
    path += strlen("/api/");
    while (*path) {
        size_t size = strcspn(path, "/");
        if (part == call->part_count) return false;
        bool any = size == 1 && *path == '*';
        if (!any &&
            (strlen(call->parts[part]) != size || memcmp(call->parts[part], path, size) != 0))
            return false;
        part++;
        path += size;
        if (*path == '/') path++;
    }
    return part == call->part_count;
}

/* Gorse's clients send X-API-Key; what else may be said stands in the usual headers. */
static enum err read_context(struct gorse_call *call)
{
    struct http_request *request = call->request;
    const char *key = http_header(request, "X-API-Key");
    char authorization[KEY_MAX + 16];
    if (http_header_count(request, "X-API-Key") > 1)
        return err_note(ERR_INVALID, "X-API-Key must not be given twice");
    if (!key || !*key) return context_read(&call->context, call->door->keys, request);
    if (strlen(key) > KEY_MAX) return err_note(ERR_UNAUTHORIZED, "the API key is not known");
    snprintf(authorization, sizeof authorization, "Bearer %s", key);
    struct context_headers headers = {
        .authorization = authorization,
        .user = http_header(request, "X-Qiao-User"),
        .region = http_header(request, "X-Qiao-Region"),
        .os = http_header(request, "X-Qiao-OS"),
        .language = http_header(request, "Accept-Language"),
    };
    TRY(context_build(&call->context, call->door->keys, &headers));
    call->context.request = request;
    return ERR_OK;
}

void gorse_handle(struct door *door, struct http_request *request)
{
    struct gorse_call call = {.door = door, .request = request};
    const char *method = http_method(request);
    bool known = false;
    enum err err = read_parts(&call);
    for (size_t i = 0; !err && i < sizeof routes / sizeof *routes; i++) {
        if (!fits(&call, routes[i].path)) continue;
        known = true;
        if (strcmp(routes[i].method, method) != 0) continue;
        http_set_pattern(request, routes[i].path);
        if (strncmp(routes[i].path, "/api/health/", 12) != 0) {
            err = read_context(&call);
            if (!err) http_set_asker(request, call.context.key->id);
        }
        if (err) break;
        routes[i].handle(&call);
        return;
    }
    if (!err && known)
        err = err_note(ERR_METHOD, "this path does not take %s", method);
    else if (!err)
        err = err_note(ERR_NOT_FOUND, "there is no such path; docs/api.md lists those that are");
    gorse_refuse(request, err);
}
