#include "scheduler/door/events.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/event_read.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/ndjson.h"
#include "scheduler/features/catalogue.h"
#include "scheduler/features/consent.h"
#include "scheduler/features/events.h"
#include "scheduler/features/follower.h"
#include "scheduler/features/popular.h"
#include "scheduler/settings.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/metric.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An event of the body that is right so far. */
struct taken {
    struct event event;
    size_t index; // in the body
    char owner[OWNER_TEXT_SIZE];
};

/* One call, until Redis has answered for each of its users; without a request once the client is gone. */
struct post {
    struct door *door;
    struct http_request *request; // NULL: nobody hears the end
    struct context context;
    json_t *root;
    struct taken *taken;  // [count], by owner, then time, then index
    struct event *events; // [count], the same order: what events_store() reads
    unsigned char *fates; // [count]
    size_t count, next;   // those before `next` are on their way, or through
    size_t flying, stored, repeated;
    struct ndjson_report report;
};

/* The events of one user on their way. */
struct batch {
    struct post *post;
    size_t first, count;
};

static void free_post(struct post *post)
{
    for (size_t i = 0; i < post->count; i++)
        mem_free((char *)(uintptr_t)post->taken[i].event.properties);
    ndjson_fini(&post->report);
    json_decref(post->root);
    mem_free(post->taken);
    mem_free(post->events);
    mem_free(post->fates);
    mem_free(post);
}

static void on_gone(void *argument)
{
    struct post *post = argument;
    post->request = NULL; // what was taken is stored all the same
}

// ---- the answer --------------------------------------------------------------------------------

static void reply(struct post *post)
{
    char head[128];
    struct metrics *metrics = post->door->metrics;
    metric_add(metrics, M_events_total, "stored", NULL, (double)post->stored);
    metric_add(metrics, M_events_total, "repeated", NULL, (double)post->repeated);
    metric_add(metrics, M_events_total, "refused", NULL, (double)post->report.error_count);
    snprintf(head, sizeof head, "\"object\":\"events.result\",\"stored\":%zu,\"repeated\":%zu",
             post->stored, post->repeated);
    if (post->request) ndjson_reply(post->request, &post->report, head);
    free_post(post);
}

static void judge(struct post *post, size_t at, enum err err)
{
    json_param_clear();
    switch ((enum event_fate)post->fates[at]) {
    case EVENT_STORED: post->stored++; return;
    case EVENT_REPEATED: post->repeated++; return;
    case EVENT_REFUSED:
        err = err_note(ERR_FORBIDDEN, "the user has not agreed that events are kept (consent "
                                      "'history'), or has personalization off; nothing was stored");
        break;
    default:
        if (err == ERR_TIMEOUT || err == ERR_STORE_AWAY)
            err = err_note(ERR_STORE_AWAY, "Redis is away: it may be stored or not; send it again, "
                                           "under its id it is stored once");
    }
    ndjson_fail(&post->report, post->taken[at].index, err);
}

static void count_popular(const struct post *post, size_t first, size_t count)
{
    const struct event **fresh = mem_new(count, sizeof *fresh);
    size_t found = 0;
    for (size_t i = first; i < first + count; i++)
        if (post->fates[i] == EVENT_STORED) fresh[found++] = &post->events[i];
    popular_add(post->door->popular, post->context.key->tenant, post->context.region, fresh, found);
    mem_free(fresh);
}

static void send_more(struct post *post);

static void on_stored(void *argument, enum err err)
{
    struct batch batch = *(struct batch *)argument;
    struct post *post = batch.post;
    mem_free(argument);
    char why[ERR_NOTE_MAX];
    snprintf(why, sizeof why, "%s", err ? err_text() : "");
    for (size_t i = batch.first; i < batch.first + batch.count; i++) {
        if (err) err_note(err, "%s", why);
        judge(post, i, err);
    }
    if (!err) count_popular(post, batch.first, batch.count);
    post->flying--;
    send_more(post);
}

static void send_more(struct post *post)
{
    while (post->next < post->count && post->flying < EVENTS_FLYING_MAX) {
        const struct taken *first = &post->taken[post->next];
        struct batch *batch = mem_new(1, sizeof *batch);
        *batch = (struct batch){.post = post, .first = post->next};
        while (post->next < post->count && strcmp(post->taken[post->next].owner, first->owner) == 0)
            post->next++;
        batch->count = post->next - batch->first;
        post->flying++;
        struct event_batch store = {.tenant = post->context.key->tenant,
                                    .owner = first->owner,
                                    .source = "",
                                    .events = post->events + batch->first,
                                    .count = batch->count,
                                    .fates = post->fates + batch->first};
        events_store(post->door->events, &store, on_stored, batch);
    }
    if (post->flying == 0) reply(post);
}

// ---- the body ----------------------------------------------------------------------------------

/* A tenant that has no catalogue may name what it likes; so may anyone while the copy is not whole. */
static enum err check_item(const struct catalogue *catalogue, const struct event *event)
{
    if (!catalogue || !event->item || catalogue_count(catalogue) == 0) return ERR_OK;
    if (catalogue_find(catalogue, event->item) != CATALOGUE_NONE) return ERR_OK;
    json_wrong("item", "is not in the catalogue");
    return ERR_INVALID;
}

static enum err take_user(struct post *post, const json_t *object, const char *user,
                          char owner[OWNER_TEXT_SIZE])
{
    struct context context = post->context;
    const char *name = user;
    TRY(json_take_text(object, "user", 1, CONTEXT_USER_MAX, &name));
    if (name) TRY(context_set_user(&context, "user", name));
    owner_write(owner, consents_owner_key(post->door->consents), context.key->tenant, context.user);
    return ERR_OK;
}

/* What the call says for all of its events. */
struct common {
    const char *user, *session;
    struct event_rules rules;
    const struct catalogue *catalogue;
};

static enum err take_event(struct post *post, const json_t *object, size_t index,
                           const struct common *common)
{
    struct taken taken = {.index = index};
    if (!json_is_object(object)) return err_note(ERR_INVALID, "an event must be an object");
    TRY(take_user(post, object, common->user, taken.owner));
    TRY(event_read(&taken.event, object, &common->rules));
    enum err err = check_item(common->catalogue, &taken.event);
    if (err) {
        mem_free((char *)(uintptr_t)taken.event.properties);
        return err;
    }
    if (!taken.event.session) taken.event.session = common->session;
    post->taken[post->count++] = taken;
    return ERR_OK;
}

static int compare(const void *a, const void *b)
{
    const struct taken *left = a, *right = b;
    int order = strcmp(left->owner, right->owner);
    if (order != 0) return order;
    if (left->event.time_ms != right->event.time_ms)
        return left->event.time_ms < right->event.time_ms ? -1 : 1;
    return left->index < right->index ? -1 : 1;
}

static enum err read_common(struct post *post, const json_t *list, struct common *common)
{
    const struct settings *settings = post->door->settings;
    struct catalogue *catalogue = catalogue_of(post->door->catalogues, post->context.key->tenant);
    *common = (struct common){
        .rules = {.now_ms = clock_wall_ms(), .age_ms = (int64_t)settings->history_days * 86400000}};
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
static enum err read_events(struct post *post)
{
    const json_t *list = json_find(post->root, "events");
    struct common common;
    json_t *one = NULL; // a body that is an event itself
    if (!list && json_find(post->root, "type")) {
        one = json_pack("[O]", post->root);
        list = one;
    }
    enum err whole = read_common(post, list, &common);
    size_t count = whole ? 0 : json_array_size(list);
    post->taken = mem_new(count + 1, sizeof *post->taken);
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
    struct post *post = mem_new(1, sizeof *post);
    *post = (struct post){.door = door, .request = request, .context = context};
    post->report.unit = "index";
    const char *body = http_body(request, &size);
    enum err err = json_read(&post->root, body, size);
    if (!err) err = read_events(post);
    if (err) {
        door_refuse(request, err);
        free_post(post);
        return;
    }
    qsort(post->taken, post->count, sizeof *post->taken, compare);
    post->events = mem_new(post->count + 1, sizeof *post->events);
    post->fates = mem_new(post->count + 1, 1);
    for (size_t i = 0; i < post->count; i++)
        post->events[i] = post->taken[i].event;
    http_set_gone(request, on_gone, post);
    send_more(post);
}
