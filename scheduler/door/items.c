#include "scheduler/door/items.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/items_load.h"
#include "scheduler/door/json.h"
#include "scheduler/door/ndjson.h"
#include "scheduler/features/catalogue.h"
#include "scheduler/features/collection.h"
#include "scheduler/features/follower.h"
#include "scheduler/features/members.h"

#include "base/buf.h"
#include "base/mem.h"

#include <event2/http.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void reply(struct http_request *request, const struct items_load *load)
{
    struct buf head = {0};
    buf_addf(&head,
             "\"object\":\"items.result\",\"stored\":%zu,\"deleted\":%zu,\"missing\":%zu,"
             "\"version\":%" PRIu64 ",\"visible\":%s",
             load->counts[COLLECTION_CREATED] + load->counts[COLLECTION_REPLACED],
             load->counts[COLLECTION_DELETED], load->counts[COLLECTION_MISSING], load->version,
             load->visible ? "true" : "false");
    ndjson_reply(request, &load->report, buf_text(&head));
    buf_fini(&head);
}

/* Of one deletion: 204 or 404. */
static void reply_bare(struct http_request *request, const struct items_load *load)
{
    json_param_clear();
    if (load->report.error_count > 0) {
        err_note(load->report.first, "the catalogue cannot be written: Redis is away");
        door_refuse(request, load->report.first);
    } else if (load->counts[COLLECTION_DELETED] == 0) {
        err_note(ERR_NOT_FOUND, "there is no such item");
        door_refuse(request, ERR_NOT_FOUND);
    } else {
        http_reply(request, 204, NULL, "", 0);
    }
}

static enum err take_line(void *argument, size_t line, json_t *object)
{
    struct items_load *load = argument;
    static const struct member_name names[] = {{"availability", "available"}};
    bool deletes = false;
    const char *id = NULL;
    members_name_number(object, "id");
    if (members_rename(object, names, 1))
        return json_wrong("available", "is there twice, in two spellings");
    TRY(json_take_flag(object, "delete", NULL, &deletes));
    if (!deletes) {
        json_object_del(object, "delete");
        return items_load_put(load, line, object);
    }
    TRY(json_take_text(object, "id", 1, CATALOGUE_ID_MAX, &id));
    if (!id) return json_wrong("id", "must be given");
    if (json_object_size(object) > 2) return json_wrong("delete", "must stand alone with the id");
    items_load_delete(load, line, id);
    return ERR_OK;
}

static struct catalogue *find_catalogue(struct door *door, struct http_request *request,
                                        const struct context *context)
{
    struct catalogue *catalogue = items_catalogue(door, context);
    if (!catalogue) door_refuse(request, ERR_BUSY);
    return catalogue;
}

void items_put(struct door *door, struct http_request *request)
{
    static const struct ndjson_limits limits = {ITEMS_LINES_MAX, CATALOGUE_RECORD_MAX + 4096};
    struct context context;
    size_t size;
    if (!door_admit_data(door, request, &context)) return;
    struct catalogue *catalogue = find_catalogue(door, request, &context);
    if (!catalogue) return;
    struct items_load *load = items_load_new(door, request, catalogue, reply);
    const char *body = http_body(request, &size);
    enum err err = ndjson_read(body, size, &limits, take_line, load, &load->report);
    if (!err) {
        items_load_send(load);
        return;
    }
    door_refuse(request, err);
    items_load_free(load);
}

/* The id behind /v1/items/, decoded; mem_free() it. NULL after a refusal. */
static char *read_id(struct http_request *request)
{
    size_t size = 0;
    char *decoded = evhttp_uridecode(http_path(request) + strlen("/v1/items/"), 0, &size);
    char *id = decoded ? mem_text(decoded, size) : NULL;
    free(decoded); // libevent's
    json_param_clear();
    enum err err = catalogue_check_id(id ? id : "", id ? size : 0);
    if (!err) return id;
    mem_free(id);
    door_refuse(request, err);
    return NULL;
}

void items_delete(struct door *door, struct http_request *request)
{
    struct context context;
    if (!door_admit_data(door, request, &context)) return;
    struct catalogue *catalogue = find_catalogue(door, request, &context);
    char *id = catalogue ? read_id(request) : NULL;
    if (!id) return;
    struct items_load *load = items_load_new(door, request, catalogue, reply_bare);
    items_load_delete(load, 1, id);
    mem_free(id);
    items_load_send(load);
}

/* One look into Redis, whose word it is that holds. */
struct look {
    struct http_request *request; // NULL: the client is gone
};

static void on_looker_gone(void *argument)
{
    struct look *look = argument;
    look->request = NULL;
}

static void on_record(void *argument, enum err err, const char *record, size_t size)
{
    struct look look = *(struct look *)argument;
    mem_free(argument);
    if (!look.request) return;
    json_param_clear();
    if (err == ERR_NOT_FOUND) err_note(ERR_NOT_FOUND, "there is no such item");
    if (err)
        door_refuse(look.request, err);
    else
        http_reply_json(look.request, 200, record, size);
}

void items_show(struct door *door, struct http_request *request)
{
    struct context context;
    if (!door_admit(door, request, false, &context)) return;
    struct catalogue *catalogue = find_catalogue(door, request, &context);
    char *id = catalogue ? read_id(request) : NULL;
    if (!id) return;
    struct look *look = mem_new(1, sizeof *look);
    look->request = request;
    http_set_gone(request, on_looker_gone, look);
    collection_read(door->collections, catalogue_name(catalogue), id, strlen(id), on_record, look);
    mem_free(id);
}

void items_count(struct door *door, struct http_request *request)
{
    struct context context;
    if (!door_admit(door, request, false, &context)) return;
    struct catalogue *catalogue = find_catalogue(door, request, &context);
    if (!catalogue) return;
    const struct follower *follower = catalogue_follower(catalogue);
    struct buf body = {0};
    buf_addf(&body,
             "{\"object\":\"items\",\"count\":%zu,\"version\":%" PRIu64
             ",\"complete\":%s,\"age_ms\":%" PRIu64 "}",
             catalogue_count(catalogue), follower_version(follower),
             follower_is_whole(follower) ? "true" : "false", follower_age_ms(follower));
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}
