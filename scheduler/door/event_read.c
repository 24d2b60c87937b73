#include "scheduler/door/event_read.h"

#include "scheduler/door/json.h"
#include "scheduler/features/catalogue.h"
#include "scheduler/features/members.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum err event_name_members(json_t *object)
{
    static const char *const theirs[] = {"event_id",   "event_type", "item_id",    "user_id",
                                         "session_id", "sent_at",    "event_list", "timestamp"};
    static const struct member_name names[] = {{"event_id", "id"},        {"event_type", "type"},
                                               {"item_id", "item"},       {"user_id", "user"},
                                               {"sent_at", "time"},       {"timestamp", "time"},
                                               {"session_id", "session"}, {"event_list", "events"}};
    const char *twice = members_respell(object, theirs, sizeof theirs / sizeof *theirs);
    if (!twice) twice = members_rename(object, names, sizeof names / sizeof *names);
    if (twice) return json_wrong(twice, "is there twice, in two spellings");
    members_name_number(object, "id");
    members_name_number(object, "item");
    return ERR_OK;
}

static enum err check_names(const json_t *object)
{
    static const char *const known[] = {"id",      "type",       "item", "time",
                                        "session", "properties", "user"};
    const char *name = members_unknown(object, known, sizeof known / sizeof *known);
    if (name)
        return json_wrong(name, "is no member of an event (id, user, session, type, item, time, "
                                "properties)");
    return ERR_OK;
}

/* Digits at `at`, exactly `count` of them. */
static bool take_digits(const char **at, int count, int *out)
{
    *out = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9') return false;
        *out = *out * 10 + (**at - '0');
    }
    return true;
}

static bool take_byte(const char **at, const char *set)
{
    if (!**at || !strchr(set, **at)) return false;
    (*at)++;
    return true;
}

/* "Z", or "+08:00": minutes. */
static bool take_zone(const char **at, int *minutes)
{
    int hour, minute, sign = **at == '-' ? -1 : 1;
    *minutes = 0;
    if (take_byte(at, "Zz")) return true;
    if (!take_byte(at, "+-") || !take_digits(at, 2, &hour) || !take_byte(at, ":") ||
        !take_digits(at, 2, &minute) || hour > 23 || minute > 59)
        return false;
    *minutes = sign * (hour * 60 + minute);
    return true;
}

bool event_read_time(const char *text, int64_t *out)
{
    int year, month, day, hour, minute, second, zone, ms = 0;
    if (!take_digits(&text, 4, &year) || !take_byte(&text, "-") || !take_digits(&text, 2, &month) ||
        !take_byte(&text, "-") || !take_digits(&text, 2, &day) || !take_byte(&text, "Tt ") ||
        !take_digits(&text, 2, &hour) || !take_byte(&text, ":") ||
        !take_digits(&text, 2, &minute) || !take_byte(&text, ":") ||
        !take_digits(&text, 2, &second))
        return false;
    if (take_byte(&text, ".")) {
        int scale = 100;
        if (*text < '0' || *text > '9') return false;
        for (; *text >= '0' && *text <= '9'; text++, scale /= 10)
            ms += scale * (*text - '0');
    }
    if (!take_zone(&text, &zone) || *text || month < 1 || month > 12 || day < 1 || day > 31 ||
        hour > 23 || minute > 59 || second > 60)
        return false;
    struct tm parts = {.tm_year = year - 1900,
                       .tm_mon = month - 1,
                       .tm_mday = day,
                       .tm_hour = hour,
                       .tm_min = minute,
                       .tm_sec = second};
    int64_t seconds = (int64_t)timegm(&parts);
    if (parts.tm_mon != month - 1) return false; // the 31st of a shorter month
    *out = (seconds - (int64_t)zone * 60) * 1000 + ms;
    return true;
}

static enum err read_time(struct event *event, const json_t *object,
                          const struct event_rules *rules)
{
    const json_t *value = json_find(object, "time");
    event->time_ms = rules->now_ms;
    if (!value) return ERR_OK;
    if (json_is_number(value)) {
        double seconds = json_number_value(value);
        if (!(seconds >= 0 && seconds < 1e11))
            return json_wrong("time", "must be seconds since 1970; this looks like another unit");
        event->time_ms = (int64_t)(seconds * 1000);
    } else if (!json_is_string(value) ||
               !event_read_time(json_string_value(value), &event->time_ms)) {
        return json_wrong("time",
                          "must be seconds since 1970 or a text such as 2026-11-26T05:06:03Z");
    }
    if (event->time_ms > rules->now_ms + EVENT_FUTURE_MS)
        return json_wrong("time", "is in the future: %" PRId64 " s from now, at most %d are taken",
                          (event->time_ms - rules->now_ms) / 1000, EVENT_FUTURE_MS / 1000);
    if (event->time_ms < rules->now_ms - rules->age_ms)
        return json_wrong("time", "is too old: %" PRId64 " days, at most %" PRId64 " are kept",
                          (rules->now_ms - event->time_ms) / 86400000, rules->age_ms / 86400000);
    return ERR_OK;
}

/* PutEvents has them as JSON within a text. */
static enum err open_properties(const json_t *value, json_t **out)
{
    if (json_is_string(value)) {
        enum err err =
            json_read_part(out, "properties", json_string_value(value), json_string_length(value));
        if (err) json_set_param("properties");
        return err;
    }
    if (!json_is_object(value))
        return json_wrong("properties", "must be an object, or its JSON as a text");
    *out = json_incref((json_t *)(uintptr_t)value);
    return ERR_OK;
}

static enum err read_properties(struct event *event, const json_t *object)
{
    const json_t *value = json_find(object, "properties");
    json_t *properties;
    if (!value) return ERR_OK;
    TRY(open_properties(value, &properties));
    char *text = json_dumps(properties, JSON_COMPACT);
    json_decref(properties);
    if (text && strlen(text) <= EVENT_PROPERTIES_MAX) event->properties = mem_copy_text(text);
    free(text); // jansson's
    if (event->properties) return ERR_OK;
    return json_wrong("properties", "must have at most %d bytes as JSON", EVENT_PROPERTIES_MAX);
}

enum err event_read(struct event *out, const json_t *object, const struct event_rules *rules)
{
    struct event event = {0};
    const char *type = NULL;
    json_param_clear();
    TRY(check_names(object));
    TRY(json_take_text(object, "id", 1, EVENT_ID_MAX, &event.id));
    TRY(json_take_text(object, "type", 1, 32, &type));
    if (type && strcmp(type, "favorite") == 0) type = "favourite";
    if (!type || !event_type_find(type, &event.type))
        return json_wrong("type", "must be view, cart, favourite, purchase or search");
    TRY(json_take_text(object, "item", 1, CATALOGUE_ID_MAX, &event.item));
    if (event.item && catalogue_check_id(event.item, strlen(event.item)))
        return json_wrong("item", "must have no spaces and control characters");
    if (!event.item && event.type != EVENT_SEARCH)
        return json_wrong("item", "must be given: what the %s is of", type);
    TRY(json_take_text(object, "session", 1, EVENT_SESSION_MAX, &event.session));
    TRY(read_time(&event, object, rules));
    TRY(read_properties(&event, object));
    *out = event;
    return ERR_OK;
}
