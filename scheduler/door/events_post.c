#include "scheduler/door/events_post.h"

#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/keys.h"
#include "scheduler/features/consent.h"
#include "scheduler/features/popular.h"
#include "scheduler/settings.h"

#include "base/mem.h"
#include "base/metric.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An event of the body that is right so far. */
struct events_taken {
    struct event event;
    size_t index; // in the body
    char owner[OWNER_TEXT_SIZE];
};

/* The events of one user on their way. */
struct batch {
    struct events_post *post;
    size_t first, count;
};

struct events_post *events_post_new(struct door *door, struct http_request *request,
                                    const struct context *context, events_reply_fn *reply)
{
    struct events_post *post = mem_new(1, sizeof *post);
    *post =
        (struct events_post){.door = door, .request = request, .context = *context, .reply = reply};
    post->report.unit = "index";
    return post;
}

void events_post_free(struct events_post *post)
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

void events_post_take(struct events_post *post, const struct context *context,
                      const struct event *event, size_t index)
{
    if (post->count == post->capacity) {
        post->capacity = post->capacity ? 2 * post->capacity : 8;
        post->taken = mem_resize(post->taken, post->capacity, sizeof *post->taken);
    }
    struct events_taken *taken = &post->taken[post->count++];
    *taken = (struct events_taken){.event = *event, .index = index};
    owner_write(taken->owner, consents_owner_key(post->door->consents), context->key->tenant,
                context->user);
}

static void on_gone(void *argument)
{
    struct events_post *post = argument;
    post->request = NULL; // what was taken is stored all the same
}

// ---- what became of them -----------------------------------------------------------------------

static void reply(struct events_post *post)
{
    struct metrics *metrics = post->door->metrics;
    metric_add(metrics, M_events_total, "stored", NULL, (double)post->stored);
    metric_add(metrics, M_events_total, "repeated", NULL, (double)post->repeated);
    metric_add(metrics, M_events_total, "refused", NULL, (double)post->report.error_count);
    if (post->request) post->reply(post->request, post);
    events_post_free(post);
}

static void judge(struct events_post *post, size_t at, enum err err)
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

static void count_popular(const struct events_post *post, size_t first, size_t count)
{
    const struct event **fresh = mem_new(count, sizeof *fresh);
    size_t found = 0;
    for (size_t i = first; i < first + count; i++)
        if (post->fates[i] == EVENT_STORED) fresh[found++] = &post->events[i];
    popular_add(post->door->popular, post->context.key->tenant, post->context.region, fresh, found);
    mem_free(fresh);
}

static void send_more(struct events_post *post);

static void on_stored(void *argument, enum err err)
{
    struct batch batch = *(struct batch *)argument;
    struct events_post *post = batch.post;
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

// ---- sending -----------------------------------------------------------------------------------

static void send_more(struct events_post *post)
{
    while (post->next < post->count && post->flying < EVENTS_FLYING_MAX) {
        const struct events_taken *first = &post->taken[post->next];
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

static int compare(const void *a, const void *b)
{
    const struct events_taken *left = a, *right = b;
    int order = strcmp(left->owner, right->owner);
    if (order != 0) return order;
    if (left->event.time_ms != right->event.time_ms)
        return left->event.time_ms < right->event.time_ms ? -1 : 1;
    return left->index < right->index ? -1 : 1;
}

void events_post_send(struct events_post *post)
{
    if (post->count > 0) qsort(post->taken, post->count, sizeof *post->taken, compare);
    post->events = mem_new(post->count + 1, sizeof *post->events);
    post->fates = mem_new(post->count + 1, 1);
    for (size_t i = 0; i < post->count; i++)
        post->events[i] = post->taken[i].event;
    http_set_gone(post->request, on_gone, post);
    send_more(post);
}
