#include "scheduler/door/door.h"
#include "scheduler/door/events_post.h"
#include "scheduler/door/gorse_internal.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/residence.h"
#include "scheduler/door/retention.h"
#include "scheduler/features/catalogue.h"
#include "scheduler/features/events.h"
#include "scheduler/features/follower.h"
#include "scheduler/features/forget.h"
#include "scheduler/features/history.h"
#include "scheduler/settings.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TYPE_MAX = 64, // bytes of a feedback's type
    ID_HEAD = 6,   // "gorse-"
    ID_SIZE = ID_HEAD + DIGEST_TEXT_SIZE,
    DAY_MS = 86400000
};

static bool find_type(const char *name, enum event_type *out)
{
    static const struct {
        const char *name;
        enum event_type type;
    } rows[] = {{"read", EVENT_VIEW},      {"click", EVENT_VIEW},     {"favorite", EVENT_FAVOURITE},
                {"like", EVENT_FAVOURITE}, {"star", EVENT_FAVOURITE}, {"buy", EVENT_PURCHASE},
                {"order", EVENT_PURCHASE}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, name) != 0) continue;
        *out = rows[i].type;
        return true;
    }
    return event_type_find(name, out) && *out != EVENT_SEARCH;
}

// ---- feedback to events ------------------------------------------------------------------------

/* One feedback of a body. */
struct feedback {
    const char *type, *user, *item, *comment;
    enum event_type event_type;
    int64_t time_ms;
};

static enum err read_feedback(struct feedback *out, const json_t *object, int64_t now_ms,
                              int64_t age_ms)
{
    *out = (struct feedback){.time_ms = now_ms};
    if (!json_is_object(object)) return err_note(ERR_INVALID, "it must be an object");
    TRY(json_take_text(object, "FeedbackType", 1, TYPE_MAX, &out->type));
    TRY(json_take_text(object, "UserId", 1, CONTEXT_USER_MAX, &out->user));
    TRY(json_take_text(object, "ItemId", 1, CATALOGUE_ID_MAX, &out->item));
    TRY(json_take_text(object, "Comment", 0, GORSE_COMMENT_MAX, &out->comment));
    TRY(gorse_read_time(object, &out->time_ms));
    if (!out->type || !out->user || !out->item)
        return err_note(ERR_INVALID, "FeedbackType, UserId and ItemId must be given");
    if (!find_type(out->type, &out->event_type))
        return json_wrong("FeedbackType",
                          "must be view, read or click, cart, favourite, favorite, like or star, "
                          "purchase, buy or order");
    if (catalogue_check_id(out->item, strlen(out->item)))
        return json_wrong("ItemId", "must have no spaces and control characters");
    if (out->time_ms > now_ms + EVENT_FUTURE_MS) return json_wrong("Timestamp", "is in the future");
    if (out->time_ms < now_ms - age_ms)
        return json_wrong("Timestamp", "is too old: at most %" PRId64 " days are kept",
                          age_ms / DAY_MS);
    return ERR_OK;
}

/* Of one type and item, and with a time that is not negative of that time. */
static void write_id(char out[ID_SIZE], const char *type, const char *item, int64_t time_ms)
{
    struct buf text = {0};
    buf_addf(&text, "%s%c%s", type, 0, item);
    if (time_ms >= 0) buf_addf(&text, "%c%" PRId64, 0, time_ms);
    struct digest digest = digest_of(text.data, text.size);
    memcpy(out, "gorse-", ID_HEAD);
    digest_text(&digest, out + ID_HEAD);
    buf_fini(&text);
}

/* A feedback is one of its type and item, whenever it is sent; one that replaces it is another at its time. */
static const char *name_event(json_t *names, const struct feedback *feedback, bool replaces)
{
    char id[ID_SIZE];
    write_id(id, feedback->type, feedback->item, replaces ? feedback->time_ms : -1);
    json_t *name = json_string(id);
    json_array_append_new(names, name);
    return json_string_value(name);
}

/* What holds for all feedbacks of a body. */
struct taking {
    const struct catalogue *catalogue; // NULL: items may have any name
    int64_t now_ms, age_ms;
    bool replaces;
};

static char *write_properties(const struct feedback *feedback)
{
    struct buf out = {0};
    buf_add_text(&out, "{\"feedback_type\":");
    json_write_string(&out, feedback->type);
    if (feedback->comment && *feedback->comment) {
        buf_add_text(&out, ",\"comment\":");
        json_write_string(&out, feedback->comment);
    }
    buf_add_byte(&out, '}');
    return buf_take(&out);
}

static enum err take(struct events_post *post, const json_t *object, json_t *names,
                     const struct taking *taking, size_t index)
{
    struct context context = post->context;
    struct feedback feedback;
    TRY(read_feedback(&feedback, object, taking->now_ms, taking->age_ms));
    TRY(context_set_user(&context, "UserId", feedback.user));
    if (taking->catalogue && catalogue_find(taking->catalogue, feedback.item) == CATALOGUE_NONE)
        return json_wrong("ItemId", "is not in the catalogue");
    struct event event = {.id = name_event(names, &feedback, taking->replaces),
                          .type = feedback.event_type,
                          .item = feedback.item,
                          .time_ms = feedback.time_ms,
                          .properties = write_properties(&feedback)};
    events_post_take(post, &context, &event, index);
    return ERR_OK;
}

/* Nothing is taken unless everything is right, as there is one answer for all. */
static enum err take_all(struct events_post *post, json_t *list, bool replaces)
{
    struct catalogue *catalogue = catalogue_of(post->door->catalogues, post->context.key->tenant);
    struct taking taking = {
        .replaces = replaces,
        .now_ms = clock_wall_ms(),
        .age_ms = DAY_MS * (int64_t)retention_history_days(post->door, post->context.key->tenant,
                                                           post->context.region)};
    if (catalogue && follower_is_whole(catalogue_follower(catalogue)) &&
        catalogue_count(catalogue) > 0)
        taking.catalogue = catalogue;
    size_t count = json_array_size(list);
    json_t *names = json_array();
    json_array_append_new(list, names); // they live as long as what else is borrowed from it
    for (size_t i = 0; i < count; i++) {
        enum err err = take(post, json_array_get(list, i), names, &taking, i);
        if (!err) continue;
        char why[ERR_NOTE_MAX];
        snprintf(why, sizeof why, "%s", err_text());
        return err_note(err, "feedback %zu: %.400s; nothing was stored", i, why);
    }
    return ERR_OK;
}

static void reply_stored(struct http_request *request, const struct events_post *post)
{
    size_t refused = post->report.error_count;
    if (refused == 0) {
        gorse_reply_rows(request, post->stored);
        return;
    }
    enum err err = post->report.first;
    err_note(err,
             "%zu of %zu feedbacks were not stored: %s. A user agrees with PUT /v1/me/consents "
             "{\"consents\":{\"history\":true}}",
             refused, post->report.line_count,
             err == ERR_FORBIDDEN ? "their users have not agreed that events are kept, or have "
                                    "personalization off"
                                  : err_phrase(err));
    gorse_refuse(request, err);
}

void gorse_put_feedback(struct gorse_call *call)
{
    size_t size;
    const char *body = http_body(call->request, &size);
    struct events_post *post =
        events_post_new(call->door, call->request, &call->context, reply_stored);
    json_param_clear();
    enum err err = json_read_list(&post->root, body, size);
    size_t count = err ? 0 : json_array_size(post->root);
    if (!err && (count == 0 || count > EVENTS_CALL_MAX))
        err =
            err_note(ERR_INVALID, "the body must be a list of 1 to %d feedbacks", EVENTS_CALL_MAX);
    if (!err) err = take_all(post, post->root, strcmp(http_method(call->request), "PUT") == 0);
    post->report.line_count = count;
    if (!err) {
        events_post_send(post);
        return;
    }
    gorse_refuse(call->request, err);
    events_post_free(post);
}

// ---- events to feedback ------------------------------------------------------------------------

/* One look into a user's history, until Redis has answered or the client is gone. */
struct look {
    struct http_request *request;
    struct history_ticket *ticket;
    char user[CONTEXT_USER_MAX + 1];
    char type[GORSE_PART_MAX + 1], item[GORSE_PART_MAX + 1]; // "": any
    bool single;                                             // one object, not a list
};

static void on_gone(void *argument)
{
    struct look *look = argument;
    history_drop(look->ticket);
    mem_free(look);
}

static const char *type_of(const struct history_event *event)
{
    const char *type = json_string_value(json_object_get(event->properties, "feedback_type"));
    return type ? type : event_type_name(event->type);
}

static bool is_asked_for(const struct look *look, const struct history_event *event)
{
    return event->item && (!*look->item || strcmp(look->item, event->item) == 0) &&
           (!*look->type || strcmp(look->type, type_of(event)) == 0);
}

/* Of one type and item the latest stands for all. */
static bool is_latest(const struct history *history, size_t index)
{
    const struct history_event *event = &history->events[index];
    for (size_t i = index + 1; i < history->count; i++) {
        const struct history_event *later = &history->events[i];
        if (later->item && strcmp(later->item, event->item) == 0 &&
            strcmp(type_of(later), type_of(event)) == 0)
            return false;
    }
    return true;
}

static void write_feedback(struct buf *out, const struct look *look,
                           const struct history_event *event)
{
    const char *comment = json_string_value(json_object_get(event->properties, "comment"));
    buf_add_text(out, "{\"FeedbackType\":");
    json_write_string(out, type_of(event));
    buf_add_text(out, ",\"UserId\":");
    json_write_string(out, look->user);
    buf_add_text(out, ",\"ItemId\":");
    json_write_string(out, event->item);
    buf_add_text(out, ",\"Timestamp\":");
    gorse_write_time(out, event->time_ms);
    buf_add_text(out, ",\"Comment\":");
    json_write_string(out, comment ? comment : "");
    buf_add_byte(out, '}');
}

static void tell(const struct look *look, const struct history *history)
{
    struct buf body = {0};
    size_t count = 0;
    if (!look->single) buf_add_byte(&body, '[');
    for (size_t i = history->count; i-- > 0;) {
        if (!is_asked_for(look, &history->events[i]) || !is_latest(history, i)) continue;
        if (count > 0 && look->single) break;
        if (count++ > 0) buf_add_byte(&body, ',');
        write_feedback(&body, look, &history->events[i]);
    }
    if (!look->single) buf_add_byte(&body, ']');
    if (look->single && count == 0)
        gorse_refuse(look->request, err_note(ERR_NOT_FOUND, "feedback not found"));
    else
        http_reply_json(look->request, 200, body.data, body.size);
    buf_fini(&body);
}

static void on_history(void *argument, enum err err, const struct history *history)
{
    struct look *look = argument;
    if (!err && !history->allowed)
        err = err_note(ERR_FORBIDDEN, "the user has not agreed that events are kept (consent "
                                      "'history'), or has personalization off; nothing was read");
    if (err)
        gorse_refuse(look->request, err);
    else
        tell(look, history);
    mem_free(look);
}

// ---- taking back -------------------------------------------------------------------------------

/* It is deleted all the same. */
static void on_deleter_gone(void *argument)
{
    struct look *look = argument;
    look->request = NULL;
}

static bool pick(void *argument, const struct history_event *event, char id[EVENT_ID_MAX + 1])
{
    if (!is_asked_for(argument, event)) return false;
    write_id(id, type_of(event), event->item, -1);
    return true;
}

static void on_forgotten(void *argument, enum err err, uint64_t count)
{
    struct look *look = argument;
    if (look->request && err)
        gorse_refuse(look->request, err);
    else if (look->request)
        gorse_reply_rows(look->request, count);
    mem_free(look);
}

/* What the user (part `user`) did, of a type and an item where these parts are not 0: told, or deleted. */
static void look_at(struct gorse_call *call, size_t user, size_t type, size_t item)
{
    json_param_clear();
    enum err err = context_set_user(&call->context, "the user", call->parts[user]);
    if (err) {
        gorse_refuse(call->request, err);
        return;
    }
    struct look *look = mem_new(1, sizeof *look);
    look->request = call->request;
    look->single = type > 0 && item > 0;
    snprintf(look->user, sizeof look->user, "%s", call->context.user);
    if (type > 0) snprintf(look->type, sizeof look->type, "%s", call->parts[type]);
    if (item > 0) snprintf(look->item, sizeof look->item, "%s", call->parts[item]);
    if (strcmp(http_method(call->request), "DELETE") == 0) {
        http_set_gone(call->request, on_deleter_gone, look);
        forget_events(call->door->forgets, call->context.key->tenant, call->context.user, pick,
                      on_forgotten, look);
        return;
    }
    http_set_gone(call->request, on_gone, look);
    struct history_scope scope;
    residence_complete(call->door, &call->context);
    residence_scope(&scope, call->door, call->context.key->tenant, call->context.region);
    look->ticket = history_read(call->door->histories, call->context.key->tenant,
                                call->context.user, CONSENT_HISTORY, &scope, on_history, look);
}

void gorse_pair_feedback(struct gorse_call *call)
{
    look_at(call, 1, 0, 2);
}

void gorse_typed_pair_feedback(struct gorse_call *call)
{
    look_at(call, 2, 1, 3);
}

void gorse_user_feedback(struct gorse_call *call)
{
    look_at(call, 1, call->part_count > 3 ? 3 : 0, 0);
}

void gorse_refuse_all_feedback(struct gorse_call *call)
{
    gorse_refuse(call->request,
                 err_note(ERR_FORBIDDEN, "what all users did is told to nobody; one user's is "
                                         "GET /api/user/{user-id}/feedback"));
}
