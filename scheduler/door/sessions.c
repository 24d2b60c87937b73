#include "scheduler/door/sessions.h"

#include "scheduler/door/append.h"
#include "scheduler/door/ask.h"
#include "scheduler/door/completion.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/govern.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/mark.h"
#include "scheduler/door/screen.h"
#include "scheduler/door/shape.h"
#include "scheduler/door/talk.h"
#include "scheduler/settings.h"
#include "scheduler/state/session.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/metric.h"

#include <inttypes.h>
#include <string.h>

/* One look or one deletion, until Redis has answered or the client is gone. */
struct errand {
    struct door *door;
    struct http_request *request;
    struct session_ticket *ticket;
    struct context context; // who asks
    struct governed governed;
    struct screen *screen; // NULL: turns are shown as they are
    char id[SESSION_ID_MAX + 1];
    bool exports;
};

static void free_errand(struct errand *errand)
{
    screen_free(errand->screen);
    govern_drop(&errand->governed);
    mem_free(errand);
}

static void on_gone(void *argument)
{
    struct errand *errand = argument;
    session_drop(errand->ticket);
    free_errand(errand);
}

static void reply_missing(struct http_request *request)
{
    json_param_clear();
    err_note(ERR_NOT_FOUND, "there is no such session");
    door_refuse(request, ERR_NOT_FOUND);
}

/* Where a session lives: with the tenant and user of the context. Borrows both. */
static struct session_name name_of(const struct context *context, const char *id)
{
    return (struct session_name){.tenant = context->key->tenant, .user = context->user, .id = id};
}

/* The id in the path, copied into `id`, when it is followed by `rest`. */
static bool read_id(const struct http_request *request, const char *rest,
                    char id[SESSION_ID_MAX + 1])
{
    const char *path = http_path(request) + strlen("/v1/sessions/");
    size_t size = strlen(path), rest_size = strlen(rest);
    if (size < rest_size || strcmp(path + size - rest_size, rest) != 0) return false;
    size -= rest_size;
    if (session_check_id(path, size)) return false;
    memcpy(id, path, size);
    id[size] = '\0';
    return true;
}

static struct errand *new_errand(struct door *door, struct http_request *request)
{
    struct errand *errand = mem_new(1, sizeof *errand);
    *errand = (struct errand){.door = door, .request = request};
    http_set_gone(request, on_gone, errand);
    return errand;
}

// ---- show and export ---------------------------------------------------------------------------

static uint64_t seconds_of(uint64_t ms)
{
    return (ms + 999) / 1000;
}

static void write_head(struct buf *out, const char *id, const struct session *session)
{
    buf_addf(out,
             "{\"object\":\"session\",\"id\":\"%s\",\"version\":%" PRIu64
             ",\"expires_in\":%" PRIu64,
             id, session->version, seconds_of(session->ttl_ms));
}

/* What the model said is told once more: by the rules of who asks, now. */
static void write_turn(struct buf *out, const struct session_turn *turn, const char *label,
                       struct screen *screen)
{
    const char *text = turn->content;
    size_t size = turn->content_size;
    if (turn->summary || strcmp(turn->role, "assistant") == 0)
        (void)screen_stored(screen, &text, &size);
    buf_addf(out, "{\"role\":\"%s\",\"content\":", turn->role);
    json_write_text(out, text, size);
    mark_write_turn(out, label, turn->role);
    buf_addf(out, ",\"version\":%" PRIu64 "}", turn->version);
}

static void reply_session(const struct errand *errand, const struct session *session)
{
    const char *label = mark_of_turns(errand->door, &errand->context);
    struct buf body = {0};
    write_head(&body, errand->id, session);
    buf_add_text(&body, ",\"turns\":[");
    for (size_t i = 0; i < session->turn_count; i++) {
        if (i > 0) buf_add_byte(&body, ',');
        write_turn(&body, &session->turns[i], label, errand->screen);
    }
    buf_add_text(&body, "]}");
    http_reply_json(errand->request, 200, body.data, body.size);
    buf_fini(&body);
}

/* A line for the session, then one for each turn. */
static void reply_export(const struct errand *errand, const struct session *session)
{
    const char *label = mark_of_turns(errand->door, &errand->context);
    struct buf body = {0};
    write_head(&body, errand->id, session);
    buf_addf(&body, ",\"turn_count\":%zu}\n", session->turn_count);
    for (size_t i = 0; i < session->turn_count; i++) {
        write_turn(&body, &session->turns[i], label, errand->screen);
        buf_add_byte(&body, '\n');
    }
    http_reply(errand->request, 200, "application/x-ndjson", body.data, body.size);
    buf_fini(&body);
}

static void on_loaded(void *argument, enum err err, const struct session *session)
{
    struct errand *errand = argument;
    json_param_clear();
    if (err)
        door_refuse(errand->request, err);
    else if (session->version == 0)
        reply_missing(errand->request);
    else if (errand->exports)
        reply_export(errand, session);
    else
        reply_session(errand, session);
    free_errand(errand);
}

/* What the assistant has said is its content, whenever it leaves. */
static enum err admit(struct errand *errand, const char **code)
{
    struct context *context = &errand->context;
    TRY(govern_admit(errand->door, context, FEATURE_ASSISTANT, &errand->governed, code));
    return screen_new(&errand->screen, errand->door, context, FEATURE_ASSISTANT, code);
}

void sessions_show(struct door *door, struct http_request *request)
{
    struct context context;
    char id[SESSION_ID_MAX + 1];
    if (!door_admit(door, request, false, &context)) return;
    json_param_clear();
    bool exports = read_id(request, "/export", id);
    if (!exports && !read_id(request, "", id)) {
        door_refuse(request, ERR_INVALID);
        return;
    }
    struct errand *errand = new_errand(door, request);
    const char *code = NULL;
    memcpy(errand->id, id, sizeof id);
    errand->exports = exports;
    errand->context = context;
    enum err err = admit(errand, &code);
    if (err) {
        http_set_gone(request, NULL, NULL);
        free_errand(errand);
        http_reply_error(
            request, &(struct http_error){
                         .err = err, .message = err_text(), .param = json_param(), .code = code});
        return;
    }
    struct session_name name = name_of(&errand->context, id);
    errand->ticket = session_load(door->sessions, &name, on_loaded, errand);
}

// ---- list --------------------------------------------------------------------------------------

static void on_listed(void *argument, enum err err, const struct session_entry *entries,
                      size_t count, size_t total)
{
    struct errand errand = *(struct errand *)argument;
    struct buf body = {0};
    mem_free(argument);
    json_param_clear();
    if (err) {
        door_refuse(errand.request, err);
        return;
    }
    buf_add_text(&body, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < count; i++)
        buf_addf(&body,
                 "%s{\"object\":\"session\",\"id\":\"%s\",\"version\":%" PRIu64
                 ",\"expires_in\":%" PRIu64 "}",
                 i ? "," : "", entries[i].id, entries[i].version, seconds_of(entries[i].ttl_ms));
    buf_addf(&body, "],\"has_more\":%s}", total > SESSION_LIST_MAX ? "true" : "false");
    http_reply_json(errand.request, 200, body.data, body.size);
    buf_fini(&body);
}

void sessions_list(struct door *door, struct http_request *request)
{
    struct context context;
    if (!door_admit(door, request, false, &context)) return;
    struct session_name name = name_of(&context, NULL);
    struct errand *errand = new_errand(door, request);
    errand->ticket = session_list(door->sessions, &name, SESSION_LIST_MAX, on_listed, errand);
}

// ---- delete and prewarm ------------------------------------------------------------------------

static void on_deleted(void *argument, enum err err, uint64_t version, bool repeated)
{
    struct errand errand = *(struct errand *)argument;
    (void)version, (void)repeated;
    mem_free(argument);
    json_param_clear();
    if (err == ERR_NOT_FOUND) {
        reply_missing(errand.request);
    } else if (err) {
        door_refuse(errand.request, err);
    } else {
        metric_add(errand.door->metrics, M_sessions_total, "deleted", NULL, 1);
        http_reply(errand.request, 204, NULL, "", 0);
    }
}

void sessions_delete(struct door *door, struct http_request *request)
{
    struct context context;
    char id[SESSION_ID_MAX + 1];
    if (!door_admit(door, request, false, &context)) return;
    json_param_clear();
    if (!read_id(request, "", id)) {
        door_refuse(request, ERR_INVALID);
        return;
    }
    struct session_name name = name_of(&context, id);
    struct errand *errand = new_errand(door, request);
    errand->ticket = session_delete(door->sessions, &name, on_deleted, errand);
}

void sessions_prewarm(struct door *door, struct http_request *request)
{
    char id[SESSION_ID_MAX + 1];
    if (read_id(request, "/prewarm", id)) {
        completion_prewarm(door, request, id);
        return;
    }
    json_param_clear();
    err_note(ERR_NOT_FOUND, "only /v1/sessions/ID/prewarm takes POST");
    door_refuse(request, ERR_NOT_FOUND);
}

void sessions_reply_prewarmed(struct http_request *request, const struct append *append,
                              const char *model, const struct shape_usage *usage)
{
    struct buf body = {0};
    buf_addf(&body,
             "{\"object\":\"session.prewarm\",\"id\":\"%s\",\"version\":%" PRIu64 ",\"model\":",
             append->ask->session.id, append->talk.version);
    json_write_string(&body, model);
    buf_addf(&body, ",\"prompt_tokens\":%u,\"cached_tokens\":%u}", usage->prompt_tokens,
             usage->cached_tokens);
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}
