#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/event_read.h"
#include "scheduler/door/event_send.h"
#include "scheduler/door/feeds.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/ndjson.h"
#include "scheduler/door/retention.h"
#include "scheduler/features/catalogue.h"
#include "scheduler/features/consent.h"
#include "scheduler/features/feed.h"
#include "scheduler/features/follower.h"
#include "scheduler/features/pseudonym.h"
#include "scheduler/settings.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/metric.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE_MAX = 8 << 10,
    MADE_ID_SIZE = 48
};

/* Where in which feed the lines are. */
struct place {
    char source[CONSENT_SOURCE_MAX + 1];
    int64_t number, first;
};

/* A line that is right so far. */
struct line {
    json_t *object; // owned: the event's texts are its
    struct event event;
    const char *pseudonym;
    size_t number; // in the feed, from 1
    char made_id[MADE_ID_SIZE];
};

/* Lines on their way; without a request once the client is gone. */
struct delivery {
    struct door *door;
    struct http_request *request; // NULL: nobody hears the end
    char tenant[CONTEXT_NAME_MAX + 1], region[FEED_REGION_MAX + 1];
    struct place place;
    int64_t from_ms, until_ms;
    struct event_rules rules;
    const struct catalogue *catalogue; // NULL: it does not say what there is
    char *body;
    size_t size, line_count;
    struct line *lines; // [count], in the end by pseudonym
    size_t count;
    struct event_parcel *parcels; // [sent]
    size_t sent;
    bool lost; // it is not known what became of some events
    struct feed_counts counts;
    struct ndjson_report report;
};

static void free_delivery(struct delivery *delivery)
{
    for (size_t i = 0; i < delivery->count; i++) {
        mem_free((char *)(uintptr_t)delivery->lines[i].event.properties);
        json_decref(delivery->lines[i].object);
    }
    ndjson_fini(&delivery->report);
    mem_free(delivery->parcels);
    mem_free(delivery->lines);
    mem_free(delivery->body);
    mem_free(delivery);
}

static void on_gone(void *argument)
{
    ((struct delivery *)argument)->request = NULL; // what was begun is brought to its end
}

static void refuse(struct delivery *delivery, enum err err)
{
    if (delivery->request) door_refuse(delivery->request, err);
    free_delivery(delivery);
}

// ---- the end -----------------------------------------------------------------------------------

static void on_advanced(void *argument, enum err err, const struct feed *feed)
{
    struct delivery *delivery = argument;
    struct metrics *metrics = delivery->door->metrics;
    struct buf body = {0};
    json_param_clear();
    if (err) {
        refuse(delivery, err);
        return;
    }
    metric_add(metrics, M_events_total, "stored", NULL, (double)delivery->counts.stored);
    metric_add(metrics, M_events_total, "repeated", NULL, (double)delivery->counts.repeated);
    metric_add(
        metrics, M_events_total, "refused", NULL,
        (double)(delivery->counts.refused + delivery->counts.unlinked + delivery->counts.wrong));
    // Wrong lines were taken as well: the feed goes on behind them, and that is no failure of the call.
    buf_add_byte(&body, '{');
    feeds_write(&body, delivery->place.source, feed);
    buf_add_text(&body, ",\"errors\":[");
    buf_add(&body, buf_text(&delivery->report.errors), delivery->report.errors.size);
    buf_add_text(&body, "]}");
    if (delivery->request) http_reply_json(delivery->request, 200, body.data, body.size);
    buf_fini(&body);
    free_delivery(delivery);
}

static void on_judged(void *argument, const struct event_parcel *parcels, size_t count,
                      enum err err)
{
    struct delivery *delivery = argument;
    struct feed_counts *counts = &delivery->counts;
    if (err) delivery->lost = true;
    for (size_t i = 0; i < count && !err; i++) {
        counts->stored += parcels[i].fate == EVENT_STORED;
        counts->repeated += parcels[i].fate == EVENT_REPEATED;
        counts->refused += parcels[i].fate == EVENT_REFUSED || parcels[i].fate == EVENT_CROWDED;
    }
}

static void on_sent(void *argument)
{
    struct delivery *delivery = argument;
    struct feed_counts *counts = &delivery->counts;
    const struct place *place = &delivery->place;
    json_param_clear();
    if (delivery
            ->lost) { // the feed stays where it is: the same lines come again, and their ids make them one event each
        refuse(delivery, err_note(ERR_STORE_AWAY, "some events could not be stored: send the same "
                                                  "lines again, each is stored once"));
        return;
    }
    counts->wrong = delivery->report.error_count;
    feeds_advance(delivery->door->feeds, delivery->tenant, place->source, place->number,
                  place->first, place->first + (int64_t)delivery->line_count, counts, on_advanced,
                  delivery);
}

// ---- whose they are ----------------------------------------------------------------------------

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct line *)a)->pseudonym, ((const struct line *)b)->pseudonym);
}

/* Those of users that are linked; `owners` go with the different pseudonyms, in order. */
static void on_owners(void *argument, enum err err, char (*owners)[OWNER_TEXT_SIZE])
{
    struct delivery *delivery = argument;
    size_t name = 0;
    json_param_clear();
    if (err) {
        refuse(delivery, err);
        return;
    }
    delivery->parcels = mem_new(delivery->count + 1, sizeof *delivery->parcels);
    for (size_t i = 0; i < delivery->count; i++) {
        if (i > 0 && compare(&delivery->lines[i - 1], &delivery->lines[i]) != 0) name++;
        if (!owners[name][0]) {
            delivery->counts.unlinked++;
            continue;
        }
        struct event_parcel *parcel = &delivery->parcels[delivery->sent++];
        *parcel = (struct event_parcel){.event = delivery->lines[i].event,
                                        .index = delivery->lines[i].number};
        if (!parcel->event.id) parcel->event.id = delivery->lines[i].made_id;
        memcpy(parcel->owner, owners[name], OWNER_TEXT_SIZE);
    }
    event_send(delivery->door, &(struct event_sending){.tenant = delivery->tenant,
                                                       .region = delivery->region,
                                                       .source = delivery->place.source,
                                                       .parcels = delivery->parcels,
                                                       .count = delivery->sent,
                                                       .judged = on_judged,
                                                       .done = on_sent,
                                                       .argument = delivery});
}

static void find_owners(struct delivery *delivery)
{
    const char **names = mem_new(delivery->count + 1, sizeof *names);
    size_t count = 0;
    qsort(delivery->lines, delivery->count, sizeof *delivery->lines, compare);
    for (size_t i = 0; i < delivery->count; i++)
        if (i == 0 || compare(&delivery->lines[i - 1], &delivery->lines[i]) != 0)
            names[count++] = delivery->lines[i].pseudonym;
    if (count > 0)
        pseudonyms_find(delivery->door->pseudonyms, delivery->tenant, delivery->place.source, names,
                        count, on_owners, delivery);
    else
        on_sent(delivery);
    mem_free(names);
}

// ---- the lines ---------------------------------------------------------------------------------

static enum err check_event(const struct delivery *delivery, const struct event *event)
{
    const struct catalogue *catalogue = delivery->catalogue;
    if (event->time_ms < delivery->from_ms || event->time_ms > delivery->until_ms)
        return json_wrong("time", "is not between the manifest's 'from' and 'until'");
    if (event->item && catalogue && catalogue_count(catalogue) > 0 &&
        catalogue_find(catalogue, event->item) == CATALOGUE_NONE)
        return json_wrong("item", "is not in the catalogue");
    return ERR_OK;
}

static enum err take_line(void *argument, size_t number, json_t *object)
{
    struct delivery *delivery = argument;
    struct line *line = &delivery->lines[delivery->count];
    *line = (struct line){.number = number + delivery->report.before};
    TRY(json_take_text(object, "user", 1, CONSENT_PSEUDONYM_MAX, &line->pseudonym));
    if (!line->pseudonym) return json_wrong("user", "must be the partner's name of the user");
    if (!json_find(object, "time")) return json_wrong("time", "must be given");
    TRY(event_read(&line->event, object, &delivery->rules));
    enum err err = check_event(delivery, &line->event);
    if (err) {
        mem_free((char *)(uintptr_t)line->event.properties);
        return err;
    }
    // A line that comes twice is one event, also without an id; no partner can make this one.
    snprintf(line->made_id, sizeof line->made_id, "\x01%" PRId64 ":%zu", delivery->place.number,
             line->number);
    line->object = json_incref(object);
    delivery->count++;
    return ERR_OK;
}

static size_t count_lines(const char *body, size_t size)
{
    size_t count = size > 0 && body[size - 1] != '\n';
    for (size_t i = 0; i < size; i++)
        count += body[i] == '\n';
    return count;
}

static enum err read_lines(struct delivery *delivery, const struct feed *feed)
{
    const struct ndjson_limits limits = {EVENTS_CALL_MAX, LINE_MAX};
    const struct place *place = &delivery->place;
    struct catalogue *catalogue = catalogue_of(delivery->door->catalogues, delivery->tenant);
    int64_t count = (int64_t)delivery->line_count;
    if (feed->number != place->number || feed->done != place->first)
        return err_note(ERR_CONFLICT,
                        "line %" PRId64 " of feed %" PRId64 " is not the next one: feed %" PRId64
                        " is at line %" PRId64,
                        place->first, place->number, feed->number, feed->done);
    if (count == 0 || count > EVENTS_CALL_MAX || place->first + count > feed->lines)
        return err_note(ERR_INVALID,
                        "the body has %" PRId64 " lines: 1 to %d are taken at once, and the feed "
                        "has %" PRId64 " more",
                        count, EVENTS_CALL_MAX, feed->lines - feed->done);
    if (delivery->body[0] == '[')
        return err_note(ERR_INVALID, "the body must be NDJSON: an object a line, not a list");
    if (catalogue && follower_is_whole(catalogue_follower(catalogue)))
        delivery->catalogue = catalogue;
    snprintf(delivery->region, sizeof delivery->region, "%s", feed->region);
    delivery->from_ms = feed->from_ms;
    delivery->until_ms = feed->until_ms;
    delivery->report.before = (size_t)place->first;
    delivery->rules =
        (struct event_rules){.now_ms = clock_wall_ms(),
                             .age_ms = (int64_t)retention_history_days(
                                           delivery->door, delivery->tenant, delivery->region) *
                                       86400000};
    delivery->lines = mem_new(delivery->line_count, sizeof *delivery->lines);
    if (strspn(delivery->body, " \t\r\n") == delivery->size)
        return ERR_OK; // nothing but empty lines
    return ndjson_read(delivery->body, delivery->size, &limits, take_line, delivery,
                       &delivery->report);
}

static void on_place(void *argument, enum err err, const struct feed *feed)
{
    struct delivery *delivery = argument;
    json_param_clear();
    if (!err) err = read_lines(delivery, feed);
    if (err)
        refuse(delivery, err);
    else
        find_owners(delivery);
}

// ---- the call ----------------------------------------------------------------------------------

static bool read_number(const char **at, char end, int64_t *out)
{
    char *rest;
    if (**at < '0' || **at > '9') return false;
    *out = strtoll(*at, &rest, 10);
    if (*rest != end || *out > FEED_NUMBER_MAX) return false;
    *at = rest + (end != '\0');
    return true;
}

/* "SOURCE/NUMBER/FIRST" */
static enum err read_place(struct place *out, const char *text)
{
    const char *slash = strchr(text, '/');
    size_t size = slash ? (size_t)(slash - text) : 0;
    if (size > 0 && size < sizeof out->source) {
        memcpy(out->source, text, size);
        out->source[size] = '\0';
        text = slash + 1;
        if (consent_is_source(out->source) && read_number(&text, '/', &out->number) &&
            read_number(&text, '\0', &out->first))
            return ERR_OK;
    }
    return err_note(ERR_NOT_FOUND, "lines of a feed go to /admin/feeds/SOURCE/NUMBER/FIRST");
}

void feeds_post_lines(struct door *door, struct http_request *request)
{
    struct context context;
    struct place place;
    if (!door_admit(door, request, true, &context)) return;
    json_param_clear();
    enum err err = read_place(&place, http_path(request) + strlen("/admin/feeds/"));
    if (err) {
        door_refuse(request, err);
        return;
    }
    struct delivery *delivery = mem_new(1, sizeof *delivery);
    *delivery = (struct delivery){.door = door, .request = request, .place = place};
    snprintf(delivery->tenant, sizeof delivery->tenant, "%s", context.key->tenant);
    const char *body = http_body(request, &delivery->size);
    delivery->body = mem_new(delivery->size + 1, 1); // the request's own is gone when its client is
    if (delivery->size > 0) memcpy(delivery->body, body, delivery->size);
    delivery->line_count = count_lines(delivery->body, delivery->size);
    http_set_gone(request, on_gone, delivery);
    feeds_look(door->feeds, delivery->tenant, place.source, on_place, delivery);
}
