#include "scheduler/door/me_export.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/mark.h"
#include "scheduler/features/catalogue.h"
#include "scheduler/features/consent.h"
#include "scheduler/features/follower.h"
#include "scheduler/features/history.h"
#include "scheduler/features/tags.h"
#include "scheduler/policy/strikes.h"
#include "scheduler/policy/waivers.h"
#include "scheduler/state/session.h"
#include "scheduler/state/spent.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include <sodium.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* An export, until its last line is sent or the client is gone. One question is open at a time. */
struct export
{
    struct door *door;
    struct http_request *request;
    struct context context;
    struct consent_ticket *consents;
    struct spent_ticket *spent;
    struct strikes_ticket *strikes;
    struct waivers_ticket *waiver;
    struct history_ticket *history;
    struct session_ticket *session;
    char(*ids)[SESSION_ID_MAX + 1]; // [id_count] of the sessions
    size_t id_count, next, lines;
    struct buf part;
    bool begun, over;
    bool broken; // something does not open; the rest comes all the same
};

static void ask_spent(struct export *export);
static void ask_strikes(struct export *export);
static void ask_waiver(struct export *export);
static void ask_history(struct export *export);
static void ask_sessions(struct export *export);
static void ask_session(struct export *export);

static void free_export(struct export *export)
{
    export->door->exports--;
    if (export->part.data) sodium_memzero(export->part.data, export->part.capacity);
    buf_fini(&export->part);
    mem_free(export->ids);
    mem_free(export);
}

static void on_gone(void *argument)
{
    struct export *export = argument;
    if (export->consents) consent_drop(export->consents);
    if (export->spent) spent_drop(export->spent);
    if (export->strikes) strikes_drop(export->strikes);
    if (export->waiver) waivers_drop(export->waiver);
    if (export->history) history_drop(export->history);
    if (export->session) session_drop(export->session);
    free_export(export);
}

// ---- lines -------------------------------------------------------------------------------------

static void end_line(struct export *export)
{
    buf_add_text(&export->part, "}\n");
    export->lines++;
}

static void add_text(struct export *export, const char *name, const char *text)
{
    if (!text) return;
    buf_addf(&export->part, ",\"%s\":", name);
    json_write_string(&export->part, text);
}

static void add_time(struct export *export, const char *name, int64_t at_ms)
{
    buf_addf(&export->part, ",\"%s\":%" PRId64, name, at_ms / 1000);
}

static void add_consents(struct export *export, const struct consent_state *state)
{
    buf_addf(&export->part, "{\"object\":\"personalization\",\"enabled\":%s",
             state->personalization ? "true" : "false");
    end_line(export);
    for (int i = 0; i < CONSENT_PURPOSES; i++) {
        if (state->since_ms[i] == 0) continue;
        buf_addf(&export->part, "{\"object\":\"consent\",\"purpose\":\"%s\"",
                 consent_name((enum consent_purpose)i));
        add_time(export, "since", state->since_ms[i]);
        end_line(export);
    }
    for (size_t i = 0; i < state->partner_count; i++) {
        buf_addf(
            &export->part,
            "{\"object\":\"consent\",\"purpose\":\"partner:%s\",\"linked_as\":\"a keyed hash of "
            "what the partner calls the user\"",
            state->partners[i].source);
        add_time(export, "since", state->partners[i].since_ms);
        end_line(export);
    }
}

static void add_events(struct export *export, const struct history *history)
{
    for (size_t i = 0; i < history->count; i++) {
        const struct history_event *event = &history->events[i];
        buf_addf(&export->part, "{\"object\":\"event\",\"type\":\"%s\"",
                 event_type_name(event->type));
        add_time(export, "time", event->time_ms);
        add_text(export, "source", event->source);
        add_text(export, "region", event->region);
        add_text(export, "item", event->item);
        add_text(export, "session", event->session);
        if (event->properties) {
            char *text = json_dumps(event->properties, JSON_COMPACT);
            buf_addf(&export->part, ",\"properties\":%s", text ? text : "null");
            free(text); // jansson's
        }
        end_line(export);
    }
}

static void add_tags(struct export *export, const struct history *history)
{
    struct tag *tags = mem_new(TAGS_LIST_MAX, sizeof *tags);
    const struct catalogue *catalogue =
        catalogue_of(export->door->catalogues, export->context.key->tenant);
    size_t count = tags_derive(history, history->hidden, catalogue, tags);
    for (size_t i = 0; i < count; i++) {
        buf_addf(&export->part, "{\"object\":\"tag\",\"weight\":%.4f,\"events\":%zu",
                 tags[i].weight, tags[i].events);
        add_text(export, "tag", tags[i].text);
        end_line(export);
    }
    for (size_t i = 0; i < json_array_size(history->hidden); i++) {
        buf_add_text(&export->part, "{\"object\":\"tag\",\"deleted\":true");
        add_text(export, "tag", json_string_value(json_array_get(history->hidden, i)));
        end_line(export);
    }
    sodium_memzero(tags, TAGS_LIST_MAX * sizeof *tags);
    mem_free(tags);
}

static void add_session(struct export *export, const char *id, const struct session *session)
{
    buf_addf(&export->part,
             "{\"object\":\"session\",\"id\":\"%s\",\"version\":%" PRIu64 ",\"expires_in\":%" PRIu64
             ",\"turn_count\":%zu",
             id, session->version, session->ttl_ms / 1000, session->turn_count);
    end_line(export);
    const char *label = mark_of_turns(export->door, &export->context);
    for (size_t i = 0; i < session->turn_count; i++) {
        const struct session_turn *turn = &session->turns[i];
        buf_addf(&export->part, "{\"object\":\"turn\",\"session\":\"%s\",\"role\":\"%s\",", id,
                 turn->role);
        buf_addf(&export->part, "\"version\":%" PRIu64 ",\"content\":", turn->version);
        json_write_text(&export->part, turn->content, turn->content_size);
        mark_write_turn(&export->part, label, turn->role);
        end_line(export);
    }
}

// ---- parts -------------------------------------------------------------------------------------

/* What comes next, once the client has the last part. */
static void on_sent(void *argument)
{
    struct export *export = argument;
    if (export->over) {
        struct http_request *request = export->request;
        http_set_gone(request, NULL, NULL);
        free_export(export);
        http_file_end(request);
    } else {
        ask_session(export);
    }
}

static void send_part(struct export *export)
{
    if (!export->begun) http_file_begin(export->request, "application/x-ndjson");
    export->begun = true;
    http_file_add(export->request, export->part.data, export->part.size, on_sent, export);
    sodium_memzero(export->part.data, export->part.size);
    buf_clear(&export->part);
}

static void end_export(struct export *export, enum err err)
{
    if (err && !export->begun) {
        struct http_request *request = export->request;
        free_export(export);
        json_param_clear();
        door_refuse(request, err);
        return;
    }
    export->over = true;
    buf_addf(&export->part, "{\"object\":\"end\",\"complete\":%s,\"lines\":%zu",
             err || export->broken ? "false" : "true", export->lines);
    if (err) add_text(export, "error", err_text());
    end_line(export);
    send_part(export);
}

static void on_consents(void *argument, enum err err, const struct consent_state *state)
{
    struct export *export = argument;
    export->consents = NULL;
    if (err) {
        end_export(export, err);
        return;
    }
    buf_addf(&export->part, "{\"object\":\"export\",\"format\":1,\"created\":%" PRId64,
             (int64_t)clock_wall_ms() / 1000);
    end_line(export);
    add_consents(export, state);
    ask_spent(export);
}

static void on_spent(void *argument, enum err err, const struct spent *spent)
{
    struct export *export = argument;
    export->spent = NULL;
    if (err) {
        end_export(export, err);
        return;
    }
    buf_addf(&export->part,
             "{\"object\":\"limits\",\"requests_of_the_minute\":%" PRIu64
             ",\"tokens_of_the_minute\":%" PRIu64 ",\"tokens_of_the_day\":%" PRIu64,
             spent->requests, spent->tokens, spent->day_tokens);
    end_line(export);
    ask_strikes(export);
}

/* What a filter blocked; nothing where it blocked nothing. */
static void on_strikes(void *argument, enum err err, const struct strikes_kept *kept)
{
    struct export *export = argument;
    export->strikes = NULL;
    if (err) {
        end_export(export, err);
        return;
    }
    if (kept->count > 0 || kept->left_ms > 0) {
        buf_addf(&export->part,
                 "{\"object\":\"strikes\",\"count\":%" PRIu64 ",\"suspended_seconds\":%" PRIu64,
                 kept->count, (kept->left_ms + 999) / 1000);
        end_line(export);
    }
    ask_waiver(export);
}

/* That the user agreed to answers without the visible label. */
static void on_waiver(void *argument, enum err err, const char *agreement)
{
    struct export *export = argument;
    export->waiver = NULL;
    if (err) {
        end_export(export, err);
        return;
    }
    if (*agreement) {
        buf_addf(&export->part, "{\"object\":\"waiver\",\"agreement\":\"%s\"", agreement);
        end_line(export);
    }
    ask_history(export);
}

/* A record that its key does not open is no reason to keep the others back. */
static void add_broken(struct export *export, const char *object, const char *id)
{
    export->broken = true;
    buf_addf(&export->part, "{\"object\":\"%s\"", object);
    add_text(export, "id", id);
    add_text(export, "error", err_text());
    end_line(export);
}

static void on_history(void *argument, enum err err, const struct history *history)
{
    struct export *export = argument;
    export->history = NULL;
    if (err && err != ERR_INTERNAL) {
        end_export(export, err);
        return;
    }
    if (err) {
        add_broken(export, "events", NULL);
    } else {
        add_tags(export, history);
        add_events(export, history);
    }
    ask_sessions(export);
}

static void on_listed(void *argument, enum err err, const struct session_entry *entries,
                      size_t count, size_t total)
{
    struct export *export = argument;
    (void)total;
    export->session = NULL;
    if (err) {
        end_export(export, err);
        return;
    }
    export->ids = mem_new(count + 1, sizeof *export->ids);
    for (size_t i = 0; i < count; i++)
        if (!session_check_id(entries[i].id, strlen(entries[i].id)))
            memcpy(export->ids[export->id_count++], entries[i].id, strlen(entries[i].id) + 1);
    send_part(export);
}

static void on_session(void *argument, enum err err, const struct session *session)
{
    struct export *export = argument;
    const char *id = export->ids[export->next++];
    export->session = NULL;
    if (err && err != ERR_INTERNAL) {
        end_export(export, err);
    } else if (!err && session->version == 0) {
        ask_session(export); // it ended meanwhile
    } else {
        if (err)
            add_broken(export, "session", id);
        else
            add_session(export, id, session);
        send_part(export);
    }
}

// ---- questions ---------------------------------------------------------------------------------

static void ask_spent(struct export *export)
{
    char owner[OWNER_TEXT_SIZE];
    owner_write(owner, consents_owner_key(export->door->consents), export->context.key->tenant,
                export->context.user);
    export->spent = spent_read(export->door->store, owner, on_spent, export);
}

static void ask_strikes(struct export *export)
{
    const struct strikes_who who = {.tenant = export->context.key->tenant,
                                    .user = export->context.user,
                                    .key = export->context.key->id};
    export->strikes = strikes_read(export->door->strikes, &who, on_strikes, export);
}

static void ask_waiver(struct export *export)
{
    export->waiver = waivers_ask(export->door->waivers, export->context.key->tenant,
                                 export->context.user, on_waiver, export);
}

static void ask_history(struct export *export)
{
    export->history = history_read_all(export->door->histories, export->context.key->tenant,
                                       export->context.user, on_history, export);
}

static void ask_sessions(struct export *export)
{
    struct session_name name = {.tenant = export->context.key->tenant,
                                .user = export->context.user};
    export->session =
        session_list(export->door->sessions, &name, SESSION_INDEX_MAX, on_listed, export);
}

static void ask_session(struct export *export)
{
    if (export->next == export->id_count) {
        end_export(export, ERR_OK);
        return;
    }
    struct session_name name = {.tenant = export->context.key->tenant,
                                .user = export->context.user,
                                .id = export->ids[export->next]};
    export->session = session_load(export->door->sessions, &name, on_session, export);
}

void me_export(struct door *door, struct http_request *request)
{
    struct context context;
    if (!door_admit(door, request, false, &context)) return;
    json_param_clear();
    if (strcmp(http_method(request), "HEAD") == 0) {
        http_reply(request, 200, "application/x-ndjson", "", 0);
        return;
    }
    struct catalogue *catalogue = catalogue_of(door->catalogues, context.key->tenant);
    if (catalogue && !follower_is_whole(catalogue_follower(catalogue))) {
        door_refuse(request, err_note(ERR_UNAVAILABLE, "the catalogue, which interests come from, "
                                                       "is being read; try again in a moment"));
        return;
    }
    if (door->exports == ME_EXPORTS_MAX) {
        door_refuse(request, err_note(ERR_BUSY,
                                      "%d exports are under way at this scheduler; try "
                                      "again in a moment",
                                      ME_EXPORTS_MAX));
        return;
    }
    struct export *export = mem_new(1, sizeof *export);
    *export = (struct export){.door = door, .request = request, .context = context};
    door->exports++;
    http_set_gone(request, on_gone, export);
    export->consents =
        consent_read(door->consents, context.key->tenant, context.user, on_consents, export);
}
