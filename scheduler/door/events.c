#include "scheduler/door/events.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/event_read.h"
#include "scheduler/door/events_post.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/ndjson.h"
#include "scheduler/door/retention.h"
#include "scheduler/features/catalogue.h"
#include "scheduler/features/events.h"
#include "scheduler/features/follower.h"
#include "scheduler/settings.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>

static void reply(struct http_request *request, const struct events_post *post)
{
    char head[128];
    snprintf(head, sizeof head, "\"object\":\"events.result\",\"stored\":%zu,\"repeated\":%zu",
             post->stored, post->repeated);
    ndjson_reply(request, &post->report, head);
}

/* A tenant that has no catalogue may name what it likes; so may anyone while the copy is not whole. */
static enum err check_item(const struct catalogue *catalogue, const struct event *event)
{
    if (!catalogue || !event->item || catalogue_count(catalogue) == 0) return ERR_OK;
    if (catalogue_find(catalogue, event->item) != CATALOGUE_NONE) return ERR_OK;
    json_wrong("item", "is not in the catalogue");
    return ERR_INVALID;
}

static enum err read_user(struct context *context, const json_t *object, const char *user)
{
    const char *name = user;
    TRY(json_take_text(object, "user", 1, CONTEXT_USER_MAX, &name));
    return name ? context_set_user(context, "user", name) : ERR_OK;
}

/* What the call says for all of its events. */
struct common {
    const char *user, *session;
    struct event_rules rules;
    const struct catalogue *catalogue;
};

static enum err take_event(struct events_post *post, json_t *object, size_t index,
                           const struct common *common)
{
    struct context context = post->context;
    struct event event;
    if (!json_is_object(object)) return err_note(ERR_INVALID, "an event must be an object");
    TRY(event_name_members(object));
    TRY(read_user(&context, object, common->user));
    TRY(event_read(&event, object, &common->rules));
    enum err err = check_item(common->catalogue, &event);
    if (err) {
        mem_free((char *)(uintptr_t)event.properties);
        return err;
    }
    if (!event.session) event.session = common->session;
    events_post_take(post, &context, &event, index);
    return ERR_OK;
}

static enum err read_common(struct events_post *post, const json_t *list, struct common *common)
{
    uint32_t days =
        retention_history_days(post->door, post->context.key->tenant, post->context.region);
    struct catalogue *catalogue = catalogue_of(post->door->catalogues, post->context.key->tenant);
    *common =
        (struct common){.rules = {.now_ms = clock_wall_ms(), .age_ms = (int64_t)days * 86400000}};
    if (catalogue && follower_is_whole(catalogue_follower(catalogue)))
        common->catalogue = catalogue;
    TRY(json_take_text(post->root, "user", 1, CONTEXT_USER_MAX, &common->user));
    TRY(json_take_text(post->root, "session", 1, EVENT_SESSION_MAX, &common->session));
    if (!json_is_array(list) || json_array_size(list) == 0 ||
        json_array_size(list) > EVENTS_CALL_MAX)
        return json_wrong("events", "must be a list of 1 to %d events", EVENTS_CALL_MAX);
    return ERR_OK;
}

/* Each event is taken, or stands in the report. */
static enum err read_events(struct events_post *post)
{
    struct common common;
    json_t *one = NULL; // a body that is an event itself
    TRY(event_name_members(post->root));
    const json_t *list = json_find(post->root, "events");
    if (!list && json_find(post->root, "type")) {
        one = json_pack("[O]", post->root);
        list = one;
    }
    enum err whole = read_common(post, list, &common);
    size_t count = whole ? 0 : json_array_size(list);
    for (size_t i = 0; i < count; i++) {
        json_param_clear();
        enum err err = take_event(post, json_array_get(list, i), i, &common);
        if (err) ndjson_fail(&post->report, i, err);
    }
    post->report.line_count = count;
    json_decref(one);
    return whole;
}

void events_post(struct door *door, struct http_request *request)
{
    struct context context;
    size_t size;
    if (!door_admit(door, request, false, &context)) return;
    struct events_post *post = events_post_new(door, request, &context, reply);
    const char *body = http_body(request, &size);
    enum err err = json_read(&post->root, body, size);
    if (!err) err = read_events(post);
    if (!err) {
        events_post_send(post);
        return;
    }
    door_refuse(request, err);
    events_post_free(post);
}
