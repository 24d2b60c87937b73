#include "scheduler/door/talk.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/settings.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/metric.h"

#include <inttypes.h>
#include <string.h>

static const char *literal_of(const char *role)
{
    if (strncmp(role, "assistant", 9) == 0) return "assistant";
    return strncmp(role, "system", 6) == 0 ? "system" : "user";
}

void talk_add(struct talk *talk, const char *role, const char *content, size_t size)
{
    if (talk->count == talk->capacity) {
        talk->capacity = talk->capacity ? 2 * talk->capacity : 8;
        talk->turns = mem_resize(talk->turns, talk->capacity, sizeof *talk->turns);
    }
    talk->turns[talk->count++] =
        (struct session_turn){.role = literal_of(role),
                              .content = mem_text(size ? content : "", size),
                              .content_size = size};
    talk->bytes += size;
}

void talk_load(struct talk *talk, const struct session *session)
{
    talk->version = session->version;
    for (size_t i = 0; i < session->turn_count; i++) {
        const struct session_turn *turn = &session->turns[i];
        talk_add(talk, turn->role, turn->content, turn->content_size);
    }
}

void talk_fini(struct talk *talk)
{
    for (size_t i = 0; i < talk->count; i++)
        mem_free((void *)(uintptr_t)talk->turns[i].content);
    mem_free(talk->turns);
    *talk = (struct talk){0};
}

struct session_name talk_name(const struct context *context, const char *id)
{
    return (struct session_name){.tenant = context->key->tenant, .user = context->user, .id = id};
}

/* One look or one deletion, until Redis has answered or the client is gone. */
struct errand {
    struct door *door;
    struct http_request *request;
    struct session_ticket *ticket;
};

static void on_gone(void *argument)
{
    struct errand *errand = argument;
    session_drop(errand->ticket);
    mem_free(errand);
}

static void reply_missing(struct http_request *request)
{
    json_param_clear();
    err_note(ERR_NOT_FOUND, "there is no such session");
    door_refuse(request, ERR_NOT_FOUND);
}

static void on_loaded(void *argument, enum err err, const struct session *session)
{
    struct errand *errand = argument;
    struct http_request *request = errand->request;
    mem_free(errand);
    json_param_clear();
    if (err) {
        door_refuse(request, err);
        return;
    }
    if (session->version == 0) {
        reply_missing(request);
        return;
    }
    struct buf body = {0};
    buf_addf(&body, "{\"object\":\"session\",\"version\":%" PRIu64 ",\"turns\":[",
             session->version);
    for (size_t i = 0; i < session->turn_count; i++) {
        buf_addf(&body, "%s{\"role\":\"%s\",\"content\":", i ? "," : "",
                 literal_of(session->turns[i].role));
        json_write_text(&body, session->turns[i].content, session->turns[i].content_size);
        buf_add_byte(&body, '}');
    }
    buf_add_text(&body, "]}");
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}

static void on_deleted(void *argument, enum err err, uint64_t version)
{
    struct errand *errand = argument;
    struct http_request *request = errand->request;
    struct door *door = errand->door;
    (void)version;
    mem_free(errand);
    json_param_clear();
    if (err == ERR_NOT_FOUND) {
        reply_missing(request);
    } else if (err) {
        door_refuse(request, err);
    } else {
        metric_add(door->metrics, M_sessions_total, "deleted", NULL, 1);
        http_reply(request, 204, NULL, "", 0);
    }
}

/* The session's id when the client may ask for it; NULL when the refusal was sent. */
static const char *admit(struct door *door, struct http_request *request, struct context *context)
{
    const char *id = http_path(request) + strlen("/v1/sessions/");
    if (!door_admit(door, request, false, context)) return NULL;
    if (session_check_id(id, strlen(id)) == ERR_OK) return id;
    door_refuse(request, ERR_INVALID);
    return NULL;
}

static struct errand *new_errand(struct door *door, struct http_request *request)
{
    struct errand *errand = mem_new(1, sizeof *errand);
    *errand = (struct errand){.door = door, .request = request};
    http_set_gone(request, on_gone, errand);
    return errand;
}

void talk_show(struct door *door, struct http_request *request)
{
    struct context context;
    const char *id = admit(door, request, &context);
    if (!id) return;
    struct session_name name = talk_name(&context, id);
    struct errand *errand = new_errand(door, request);
    errand->ticket = session_load(door->sessions, &name, on_loaded, errand);
}

void talk_delete(struct door *door, struct http_request *request)
{
    struct context context;
    const char *id = admit(door, request, &context);
    if (!id) return;
    struct session_name name = talk_name(&context, id);
    struct errand *errand = new_errand(door, request);
    errand->ticket = session_delete(door->sessions, &name, on_deleted, errand);
}
