#include "scheduler/door/me_tags.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/me.h"
#include "scheduler/door/residence.h"
#include "scheduler/features/catalogue.h"
#include "scheduler/features/follower.h"
#include "scheduler/features/history.h"
#include "scheduler/features/tags.h"

#include "base/buf.h"
#include "base/mem.h"

#include <event2/http.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A look or a change, until Redis has answered. */
struct errand {
    struct door *door;
    struct http_request *request; // NULL: nobody hears the end of a change
    struct history_ticket *ticket;
    struct catalogue *catalogue;
    char tag[TAGS_TEXT_MAX + 1];
    bool hide;
};

// ---- look --------------------------------------------------------------------------------------

static void on_look_gone(void *argument)
{
    struct errand *errand = argument;
    history_drop(errand->ticket);
    mem_free(errand);
}

static void write_tags(struct buf *out, const struct errand *errand, const struct history *history)
{
    struct tag *tags = mem_new(TAGS_LIST_MAX, sizeof *tags);
    size_t count = tags_derive(history, history->hidden, errand->catalogue, tags);
    buf_add_text(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < count; i++) {
        buf_addf(out, "%s{\"object\":\"tag\",\"tag\":", i ? "," : "");
        json_write_string(out, tags[i].text);
        buf_addf(out, ",\"weight\":%.4f,\"events\":%zu,\"last\":%" PRId64 "}", tags[i].weight,
                 tags[i].events, tags[i].last_ms / 1000);
    }
    buf_add_text(out, "],\"deleted\":[");
    for (size_t i = 0; i < json_array_size(history->hidden); i++) {
        if (i > 0) buf_add_byte(out, ',');
        json_write_string(out, json_string_value(json_array_get(history->hidden, i)));
    }
    buf_addf(out, "]%s}", residence_member(history->withheld > 0));
    mem_free(tags);
}

static void on_history(void *argument, enum err err, const struct history *history)
{
    struct errand errand = *(struct errand *)argument;
    struct buf body = {0};
    mem_free(argument);
    json_param_clear();
    if (!err) err = me_check_read(history);
    if (err) {
        door_refuse(errand.request, err);
        return;
    }
    write_tags(&body, &errand, history);
    http_reply_json(errand.request, 200, body.data, body.size);
    buf_fini(&body);
}

void me_tags(struct door *door, struct http_request *request)
{
    struct context context;
    if (!door_admit(door, request, false, &context)) return;
    json_param_clear();
    struct catalogue *catalogue = catalogue_of(door->catalogues, context.key->tenant);
    if (!catalogue || !follower_is_whole(catalogue_follower(catalogue))) {
        door_refuse(request, err_note(ERR_UNAVAILABLE, "the catalogue, which tags come from, is "
                                                       "being read"));
        return;
    }
    struct errand *errand = mem_new(1, sizeof *errand);
    *errand = (struct errand){.door = door, .request = request, .catalogue = catalogue};
    http_set_gone(request, on_look_gone, errand);
    struct history_scope scope;
    residence_complete(door, &context);
    residence_scope(&scope, door, context.key->tenant, context.region);
    errand->ticket = history_read(door->histories, context.key->tenant, context.user,
                                  CONSENT_HISTORY, &scope, on_history, errand);
}

// ---- change ------------------------------------------------------------------------------------

static void on_change_gone(void *argument)
{
    ((struct errand *)argument)->request = NULL;
}

static void on_changed(void *argument, enum err err)
{
    struct errand errand = *(struct errand *)argument;
    struct buf body = {0};
    mem_free(argument);
    if (!errand.request) return;
    json_param_clear();
    if (err) {
        door_refuse(errand.request, err);
        return;
    }
    buf_add_text(&body, "{\"object\":\"tag\",\"tag\":");
    json_write_string(&body, errand.tag);
    buf_addf(&body, ",\"deleted\":%s}", errand.hide ? "true" : "false");
    http_reply_json(errand.request, 200, body.data, body.size);
    buf_fini(&body);
}

/* The tag behind /v1/me/tags/, decoded. */
static enum err read_tag(const struct http_request *request, char out[TAGS_TEXT_MAX + 1])
{
    size_t size = 0;
    char *decoded = evhttp_uridecode(http_path(request) + strlen("/v1/me/tags/"), 0, &size);
    enum err err = tags_check(decoded ? decoded : "", decoded ? size : 0);
    if (!err) memcpy(out, decoded, size + 1);
    free(decoded); // libevent's
    return err;
}

static void change(struct door *door, struct http_request *request, bool hide)
{
    struct context context;
    struct errand errand = {.door = door, .request = request, .hide = hide};
    if (!door_admit(door, request, false, &context)) return;
    json_param_clear();
    enum err err = read_tag(request, errand.tag);
    if (err) {
        door_refuse(request, err);
        return;
    }
    struct errand *kept = mem_new(1, sizeof *kept);
    *kept = errand;
    http_set_gone(request, on_change_gone, kept);
    tags_change(door->tags, context.key->tenant, context.user, errand.tag, hide, on_changed, kept);
}

void me_delete_tag(struct door *door, struct http_request *request)
{
    change(door, request, true);
}

void me_put_tag(struct door *door, struct http_request *request)
{
    change(door, request, false);
}
