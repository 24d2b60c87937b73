#include "scheduler/door/me.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/residence.h"
#include "scheduler/features/consent.h"
#include "scheduler/features/history.h"

#include "base/buf.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* One look or change, until Redis has answered or the client is gone. */
struct errand {
    struct http_request *request;
    struct consent_ticket *ticket;
    bool shows_switch;
};

static const char partner_head[] = "partner:";

static void on_gone(void *argument)
{
    struct errand *errand = argument;
    consent_drop(errand->ticket);
    mem_free(errand);
}

static void write_consents(struct buf *out, const struct consent_state *state)
{
    buf_addf(out, "{\"object\":\"consents\",\"personalization\":%s,\"consents\":{",
             state->personalization ? "true" : "false");
    for (int i = 0; i < CONSENT_PURPOSES; i++)
        buf_addf(out, "%s\"%s\":%s", i ? "," : "", consent_name((enum consent_purpose)i),
                 state->since_ms[i] > 0 ? "true" : "false");
    for (size_t i = 0; i < state->partner_count; i++)
        buf_addf(out, ",\"%s%s\":true", partner_head, state->partners[i].source);
    buf_add_text(out, "},\"since\":{");
    bool first = true;
    for (int i = 0; i < CONSENT_PURPOSES; i++) {
        if (state->since_ms[i] == 0) continue;
        buf_addf(out, "%s\"%s\":%" PRId64, first ? "" : ",", consent_name((enum consent_purpose)i),
                 state->since_ms[i] / 1000);
        first = false;
    }
    for (size_t i = 0; i < state->partner_count; i++, first = false)
        buf_addf(out, "%s\"%s%s\":%" PRId64, first ? "" : ",", partner_head,
                 state->partners[i].source, state->partners[i].since_ms / 1000);
    buf_add_text(out, "}}");
}

static void on_told(void *argument, enum err err, const struct consent_state *state)
{
    struct errand errand = *(struct errand *)argument;
    struct buf body = {0};
    mem_free(argument);
    json_param_clear();
    if (err) {
        door_refuse(errand.request, err);
        return;
    }
    if (errand.shows_switch)
        buf_addf(&body, "{\"object\":\"personalization\",\"enabled\":%s}",
                 state->personalization ? "true" : "false");
    else
        write_consents(&body, state);
    http_reply_json(errand.request, 200, body.data, body.size);
    buf_fini(&body);
}

static struct errand *new_errand(struct http_request *request, bool shows_switch)
{
    struct errand *errand = mem_new(1, sizeof *errand);
    *errand = (struct errand){.request = request, .shows_switch = shows_switch};
    http_set_gone(request, on_gone, errand);
    return errand;
}

static void look(struct door *door, struct http_request *request, bool shows_switch)
{
    struct context context;
    if (!door_admit(door, request, false, &context)) return;
    struct errand *errand = new_errand(request, shows_switch);
    errand->ticket =
        consent_read(door->consents, context.key->tenant, context.user, on_told, errand);
}

void me_consents(struct door *door, struct http_request *request)
{
    look(door, request, false);
}

void me_personalization(struct door *door, struct http_request *request)
{
    look(door, request, true);
}

// ---- changes -----------------------------------------------------------------------------------

static enum err read_partner(struct consent_change *change, const json_t *pseudonyms,
                             const char *source, enum consent_wish wish)
{
    char param[JSON_PARAM_MAX];
    const char *pseudonym = NULL;
    if (!consent_is_source(source))
        return json_wrong("consents",
                          "has 'partner:' with a wrong name: 1 to %d lower-case letters, "
                          "digits, '-' or '_'",
                          CONSENT_SOURCE_MAX);
    if (change->partner_count == CONSENT_PARTNERS_MAX)
        return json_wrong("consents", "may name at most %d partners", CONSENT_PARTNERS_MAX);
    if (wish == CONSENT_GIVE) {
        snprintf(param, sizeof param, "pseudonyms.%s", source);
        pseudonym = json_string_value(json_object_get(pseudonyms, source));
        if (!pseudonym || !*pseudonym || strlen(pseudonym) > CONSENT_PSEUDONYM_MAX)
            return json_wrong(param, "must say what the partner calls this user, 1 to %d bytes",
                              CONSENT_PSEUDONYM_MAX);
    }
    change->partners[change->partner_count].source = source;
    change->partners[change->partner_count].wish = wish;
    change->partners[change->partner_count++].pseudonym = pseudonym;
    return ERR_OK;
}

static enum err read_change(struct consent_change *change, const json_t *root)
{
    const json_t *consents = json_find(root, "consents"),
                 *pseudonyms = json_find(root, "pseudonyms");
    const char *name;
    json_t *value;
    size_t head = sizeof partner_head - 1;
    if (!json_is_object(consents))
        return json_wrong("consents", "must be an object such as {\"history\": true}");
    if (pseudonyms && !json_is_object(pseudonyms))
        return json_wrong("pseudonyms", "must be an object such as {\"SOURCE\": \"name\"}");
    json_object_foreach((json_t *)(uintptr_t)consents, name, value)
    {
        char param[JSON_PARAM_MAX];
        enum consent_purpose purpose;
        enum consent_wish wish = json_is_true(value) ? CONSENT_GIVE : CONSENT_WITHDRAW;
        snprintf(param, sizeof param, "consents.%s", name);
        if (!json_is_boolean(value)) return json_wrong(param, "must be true or false");
        if (strncmp(name, partner_head, head) == 0)
            TRY(read_partner(change, pseudonyms, name + head, wish));
        else if (consent_find(name, &purpose))
            change->purposes[purpose] = wish;
        else
            return json_wrong(param, "is no purpose: they are history, recommendations, search, "
                                     "assistant and partner:SOURCE");
    }
    return ERR_OK;
}

static enum err read_switch(struct consent_change *change, const json_t *root)
{
    const json_t *enabled = json_find(root, "enabled");
    if (!json_is_boolean(enabled)) return json_wrong("enabled", "must be true or false");
    change->personalization = json_is_true(enabled) ? CONSENT_GIVE : CONSENT_WITHDRAW;
    return ERR_OK;
}

/* What a partner calls the user is taken from a back end's word; anyone else could name anybody. */
static enum err check_word(const struct context *context, const struct consent_change *change)
{
    for (size_t i = 0; i < change->partner_count; i++) {
        if (change->partners[i].wish != CONSENT_GIVE || context->key->may_assert_user) continue;
        json_set_param("pseudonyms");
        return err_note(ERR_FORBIDDEN, "pseudonyms: this key may not say what a partner calls the "
                                       "user; POST /v1/me/links takes the partner's signed token");
    }
    return ERR_OK;
}

/* "+history -search -partner:acme": what is given and withdrawn, for the audit. */
static void say_change(struct http_request *request, const struct consent_change *change)
{
    static const char marks[] = {[CONSENT_GIVE] = '+', [CONSENT_WITHDRAW] = '-'};
    struct buf text = {0};
    for (int i = 0; i < CONSENT_PURPOSES; i++)
        if (change->purposes[i] != CONSENT_KEEP)
            buf_addf(&text, "%c%s ", marks[change->purposes[i]],
                     consent_name((enum consent_purpose)i));
    for (size_t i = 0; i < change->partner_count; i++)
        buf_addf(&text, "%c%s%s ", marks[change->partners[i].wish], partner_head,
                 change->partners[i].source);
    if (change->personalization != CONSENT_KEEP)
        buf_addf(&text, "%cpersonalization ", marks[change->personalization]);
    if (text.size > 0) text.data[text.size - 1] = '\0';
    http_set_subject(request, buf_text(&text));
    buf_fini(&text);
}

static void put(struct door *door, struct http_request *request, bool is_switch)
{
    struct context context;
    struct consent_change change = {0};
    size_t size;
    json_t *root = NULL;
    if (!door_admit(door, request, false, &context)) return;
    const char *body = http_body(request, &size);
    enum err err = json_read(&root, body, size);
    if (!err) err = is_switch ? read_switch(&change, root) : read_change(&change, root);
    if (!err) err = check_word(&context, &change);
    if (err) {
        door_refuse(request, err);
    } else {
        struct errand *errand = new_errand(request, is_switch);
        say_change(request, &change);
        errand->ticket = consent_change(door->consents, context.key->tenant, context.user, &change,
                                        on_told, errand);
    }
    json_decref(root);
}

void me_put_consents(struct door *door, struct http_request *request)
{
    put(door, request, false);
}

void me_put_personalization(struct door *door, struct http_request *request)
{
    put(door, request, true);
}

// ---- what is kept ------------------------------------------------------------------------------

/* One look at the user's events, until Redis has answered or the client is gone. */
struct memory {
    struct http_request *request;
    struct history_ticket *ticket;
};

static void on_memory_gone(void *argument)
{
    struct memory *memory = argument;
    history_drop(memory->ticket);
    mem_free(memory);
}

static void write_member(struct buf *out, const char *name, const char *text)
{
    if (!text) return;
    buf_addf(out, ",\"%s\":", name);
    json_write_string(out, text);
}

static void write_event(struct buf *out, const struct history_event *event)
{
    buf_addf(out, "{\"type\":\"%s\"", event_type_name(event->type));
    write_member(out, "item", event->item);
    buf_addf(out, ",\"time\":%" PRId64, event->time_ms / 1000);
    write_member(out, "session", event->session);
    write_member(out, "query", event->query);
    write_member(out, "region", event->region);
    buf_add_text(out, "}");
}

enum err me_check_read(const struct history *history)
{
    if (history->allowed) return ERR_OK;
    return err_note(ERR_FORBIDDEN, "the user has not agreed that events are kept (consent "
                                   "'history'), or has personalization off; nothing was read");
}

static void on_remembered(void *argument, enum err err, const struct history *history)
{
    struct http_request *request = ((struct memory *)argument)->request;
    struct buf body = {0};
    mem_free(argument);
    json_param_clear();
    if (!err) err = me_check_read(history);
    if (err) {
        door_refuse(request, err);
        return;
    }
    buf_add_text(&body, "{\"object\":\"list\",\"data\":[");
    for (size_t i = history->count; i-- > 0;) {
        write_event(&body, &history->events[i]);
        if (i > 0) buf_add_text(&body, ",");
    }
    buf_addf(&body, "]%s}", residence_member(history->withheld > 0));
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}

void me_events(struct door *door, struct http_request *request)
{
    struct context context;
    if (!door_admit(door, request, false, &context)) return;
    struct memory *memory = mem_new(1, sizeof *memory);
    memory->request = request;
    http_set_gone(request, on_memory_gone, memory);
    struct history_scope scope;
    residence_complete(door, &context);
    residence_scope(&scope, door, context.key->tenant, context.region);
    memory->ticket = history_read(door->histories, context.key->tenant, context.user,
                                  CONSENT_HISTORY, &scope, on_remembered, memory);
}
