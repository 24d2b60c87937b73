#include "scheduler/door/items.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/ndjson.h"
#include "scheduler/features/catalogue.h"
#include "scheduler/features/collection.h"
#include "scheduler/features/follower.h"

#include "base/buf.h"
#include "base/mem.h"

#include <event2/http.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One body on its way into Redis and then into this scheduler's copy; without a request once the client is gone. */
struct load {
    struct http_request *request; // NULL: nobody hears the end
    struct catalogue *catalogue;
    struct collection_entry *entries; // whose texts are in `texts`, by offsets until it is whole
    size_t *lines;                    // of the entries
    unsigned char *fates;
    size_t count, capacity;
    struct buf texts;
    struct ndjson_report report;
    struct follower_wait *wait;
    uint64_t version;
    bool bare; // one deletion: 204 or 404
    size_t counts[COLLECTION_FULL + 1];
};

static void free_load(struct load *load)
{
    ndjson_fini(&load->report);
    buf_fini(&load->texts);
    mem_free(load->entries);
    mem_free(load->lines);
    mem_free(load->fates);
    mem_free(load);
}

static void on_gone(void *argument)
{
    struct load *load = argument;
    load->request = NULL;
    if (!load->wait) return; // Redis has not answered: on_written() frees
    follower_leave(load->wait);
    free_load(load);
}

// ---- the body ----------------------------------------------------------------------------------

/* Texts move while they are collected: an entry has its offset, plus one, in place of its address. */
static const char *offset_as_text(size_t offset)
{
    return (const char *)(uintptr_t)(offset + 1);
}

static void settle_texts(struct load *load)
{
    for (size_t i = 0; i < load->count; i++) {
        struct collection_entry *entry = &load->entries[i];
        entry->id = load->texts.data + ((uintptr_t)entry->id - 1);
        if (entry->record) entry->record = load->texts.data + ((uintptr_t)entry->record - 1);
    }
}

static void add_entry(struct load *load, size_t line, const char *id, size_t record_begin)
{
    if (load->count == load->capacity) {
        load->capacity = load->capacity ? 2 * load->capacity : 64;
        load->entries = mem_resize(load->entries, load->capacity, sizeof *load->entries);
        load->lines = mem_resize(load->lines, load->capacity, sizeof *load->lines);
    }
    size_t record_size = load->texts.size - record_begin, id_begin = load->texts.size;
    buf_add_text(&load->texts, id);
    load->lines[load->count] = line;
    load->entries[load->count++] =
        (struct collection_entry){offset_as_text(id_begin), strlen(id),
                                  record_size ? offset_as_text(record_begin) : NULL, record_size};
}

static enum err take_line(void *argument, size_t line, json_t *object)
{
    struct load *load = argument;
    size_t begin = load->texts.size;
    bool deletes = false;
    const char *id = NULL;
    TRY(json_take_flag(object, "delete", NULL, &deletes));
    if (deletes) {
        TRY(json_take_text(object, "id", 1, CATALOGUE_ID_MAX, &id));
        if (!id) return json_wrong("id", "must be given");
        if (json_object_size(object) > 2)
            return json_wrong("delete", "must stand alone with the id");
    } else {
        char member[CATALOGUE_LABEL_MAX];
        json_object_del(object, "delete");
        enum err err = catalogue_check(object, &id, &load->texts, member);
        if (err == ERR_INVALID) json_set_param(member);
        if (err) return err;
    }
    add_entry(load, line, id, begin);
    return ERR_OK;
}

// ---- the answer --------------------------------------------------------------------------------

/* Of the entries that came to nothing, and why. */
static void judge(struct load *load, enum err err)
{
    char why[ERR_NOTE_MAX];
    snprintf(why, sizeof why, "%s", err ? err_text() : "");
    for (size_t i = 0; i < load->count; i++) {
        enum collection_fate fate = (enum collection_fate)load->fates[i];
        load->counts[fate]++;
        json_param_clear();
        if (fate == COLLECTION_FULL)
            err_note(ERR_TOO_LARGE, "the catalogue is full: it may have %" PRIu64 " items",
                     catalogue_items_max(load->catalogue));
        else if (fate == COLLECTION_UNSURE)
            err_note(ERR_STORE_AWAY, "it may be stored or not, send it again: %.300s", why);
        else if (fate == COLLECTION_UNSENT)
            err_note(ERR_STORE_AWAY, "it was not stored: %.300s", why);
        if (fate == COLLECTION_FULL)
            ndjson_fail(&load->report, load->lines[i], ERR_TOO_LARGE);
        else if (fate == COLLECTION_UNSURE || fate == COLLECTION_UNSENT)
            ndjson_fail(&load->report, load->lines[i], err ? err : ERR_INTERNAL);
    }
}

static void reply_bare(struct load *load)
{
    json_param_clear();
    if (load->report.error_count > 0) {
        err_note(load->report.first, "the catalogue cannot be written: Redis is away");
        door_refuse(load->request, load->report.first);
    } else if (load->counts[COLLECTION_DELETED] == 0) {
        err_note(ERR_NOT_FOUND, "there is no such item");
        door_refuse(load->request, ERR_NOT_FOUND);
    } else {
        http_reply(load->request, 204, NULL, "", 0);
    }
}

static void reply(struct load *load, bool visible)
{
    struct buf head = {0};
    if (load->request && load->bare) {
        reply_bare(load);
    } else if (load->request) {
        buf_addf(&head,
                 "\"object\":\"items.result\",\"stored\":%zu,\"deleted\":%zu,\"missing\":%zu,"
                 "\"version\":%" PRIu64 ",\"visible\":%s",
                 load->counts[COLLECTION_CREATED] + load->counts[COLLECTION_REPLACED],
                 load->counts[COLLECTION_DELETED], load->counts[COLLECTION_MISSING], load->version,
                 visible ? "true" : "false");
        ndjson_reply(load->request, &load->report, buf_text(&head));
    }
    buf_fini(&head);
    free_load(load);
}

static void on_visible(void *argument, enum err err)
{
    struct load *load = argument;
    load->wait = NULL;
    reply(load, err == ERR_OK);
}

static void on_written(void *argument, enum err err, uint64_t version)
{
    struct load *load = argument;
    struct follower *follower = catalogue_follower(load->catalogue);
    load->version = version;
    judge(load, err);
    bool is_there = follower_is_whole(follower) && follower_version(follower) >= version;
    if (!load->request || err || is_there)
        reply(load, !err && is_there);
    else
        load->wait = follower_await(follower, version, ITEMS_WAIT_MS, on_visible, load);
}

static void send_load(struct door *door, struct load *load)
{
    load->fates = mem_new(load->count + 1, 1);
    settle_texts(load);
    struct collection_write write = {.name = catalogue_name(load->catalogue),
                                     .entries = load->entries,
                                     .count = load->count,
                                     .documents_max = catalogue_items_max(load->catalogue),
                                     .fates = load->fates};
    http_set_gone(load->request, on_gone, load);
    collection_write(door->collections, &write, on_written, load);
}

// ---- the doors ---------------------------------------------------------------------------------

static struct catalogue *find_catalogue(struct door *door, struct http_request *request,
                                        const struct context *context)
{
    struct catalogue *catalogue = catalogue_of(door->catalogues, context->key->tenant);
    if (catalogue) return catalogue;
    json_param_clear();
    err_note(ERR_BUSY, "this scheduler has the catalogues of %d tenants, and takes no more",
             CATALOGUE_TENANTS_MAX);
    door_refuse(request, ERR_BUSY);
    return NULL;
}

void items_put(struct door *door, struct http_request *request)
{
    static const struct ndjson_limits limits = {ITEMS_LINES_MAX, CATALOGUE_RECORD_MAX + 4096};
    struct context context;
    size_t size;
    if (!door_admit_data(door, request, &context)) return;
    struct catalogue *catalogue = find_catalogue(door, request, &context);
    if (!catalogue) return;
    struct load *load = mem_new(1, sizeof *load);
    *load = (struct load){.request = request, .catalogue = catalogue};
    const char *body = http_body(request, &size);
    enum err err = ndjson_read(body, size, &limits, take_line, load, &load->report);
    if (err) {
        door_refuse(request, err);
        free_load(load);
    } else if (load->count == 0) { // every line is wrong
        reply(load, false);
    } else {
        send_load(door, load);
    }
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
    struct load *load = mem_new(1, sizeof *load);
    *load = (struct load){.request = request, .catalogue = catalogue, .bare = true};
    add_entry(load, 1, id, 0);
    mem_free(id);
    send_load(door, load);
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
