#include "scheduler/door/events_post.h"

#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/keys.h"
#include "scheduler/door/residence.h"
#include "scheduler/features/consent.h"
#include "scheduler/features/home.h"
#include "scheduler/settings.h"

#include "base/mem.h"
#include "base/metric.h"

#include <stdint.h>
#include <stdio.h>

struct events_post *events_post_new(struct door *door, struct http_request *request,
                                    const struct context *context, events_reply_fn *reply)
{
    struct events_post *post = mem_new(1, sizeof *post);
    *post =
        (struct events_post){.door = door, .request = request, .context = *context, .reply = reply};
    post->report.unit = "index";
    residence_complete(door, &post->context);
    return post;
}

void events_post_free(struct events_post *post)
{
    for (size_t i = 0; i < post->count; i++)
        mem_free((char *)(uintptr_t)post->taken[i].event.properties);
    ndjson_fini(&post->report);
    json_decref(post->root);
    mem_free(post->taken);
    mem_free(post);
}

void events_post_take(struct events_post *post, const struct context *context,
                      const struct event *event, size_t index)
{
    if (post->count == post->capacity) {
        post->capacity = post->capacity ? 2 * post->capacity : 8;
        post->taken = mem_resize(post->taken, post->capacity, sizeof *post->taken);
    }
    struct event_parcel *taken = &post->taken[post->count++];
    *taken = (struct event_parcel){.event = *event, .index = index};
    owner_write(taken->owner, consents_owner_key(post->door->consents), context->key->tenant,
                context->user);
}

static void on_gone(void *argument)
{
    struct events_post *post = argument;
    post->request = NULL; // what was taken is stored all the same
}

// ---- what became of them -----------------------------------------------------------------------

static void reply(void *argument)
{
    struct events_post *post = argument;
    struct metrics *metrics = post->door->metrics;
    metric_add(metrics, M_events_total, "stored", NULL, (double)post->stored);
    metric_add(metrics, M_events_total, "repeated", NULL, (double)post->repeated);
    metric_add(metrics, M_events_total, "refused", NULL, (double)post->report.error_count);
    if (post->request) post->reply(post->request, post);
    events_post_free(post);
}

static void judge(struct events_post *post, const struct event_parcel *parcel, enum err err)
{
    json_param_clear();
    switch (parcel->fate) {
    case EVENT_STORED: post->stored++; return;
    case EVENT_REPEATED: post->repeated++; return;
    case EVENT_REFUSED:
        err = err_note(ERR_FORBIDDEN, "the user has not agreed that events are kept (consent "
                                      "'history'), or has personalization off; nothing was stored");
        break;
    case EVENT_CROWDED:
        err = err_note(ERR_TOO_LARGE,
                       "a user has events of at most %d pairs of a region and a source at a time; "
                       "nothing was stored",
                       HOMES_MAX);
        break;
    default:
        if (err == ERR_TIMEOUT || err == ERR_STORE_AWAY)
            err = err_note(ERR_STORE_AWAY, "Redis is away: it may be stored or not; send it again, "
                                           "under its id it is stored once");
    }
    ndjson_fail(&post->report, parcel->index, err);
}

static void on_judged(void *argument, const struct event_parcel *parcels, size_t count,
                      enum err err)
{
    char why[ERR_NOTE_MAX];
    snprintf(why, sizeof why, "%s", err ? err_text() : "");
    for (size_t i = 0; i < count; i++) {
        if (err) err_note(err, "%s", why);
        judge(argument, &parcels[i], err);
    }
}

void events_post_send(struct events_post *post)
{
    http_set_gone(post->request, on_gone, post);
    event_send(post->door, &(struct event_sending){.tenant = post->context.key->tenant,
                                                   .region = post->context.region,
                                                   .source = "",
                                                   .parcels = post->taken,
                                                   .count = post->count,
                                                   .judged = on_judged,
                                                   .done = reply,
                                                   .argument = post});
}
