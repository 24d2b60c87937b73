#include "scheduler/door/items_load.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/keys.h"
#include "scheduler/features/catalogue.h"
#include "scheduler/features/follower.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct catalogue *items_catalogue(struct door *door, const struct context *context)
{
    struct catalogue *catalogue = catalogue_of(door->catalogues, context->key->tenant);
    if (catalogue) return catalogue;
    json_param_clear();
    err_note(ERR_BUSY, "this scheduler has the catalogues of %d tenants, and takes no more",
             CATALOGUE_TENANTS_MAX);
    return NULL;
}

struct items_load *items_load_new(struct door *door, struct http_request *request,
                                  struct catalogue *catalogue, items_reply_fn *reply)
{
    struct items_load *load = mem_new(1, sizeof *load);
    *load = (struct items_load){
        .door = door, .request = request, .catalogue = catalogue, .reply = reply};
    return load;
}

void items_load_free(struct items_load *load)
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
    struct items_load *load = argument;
    load->request = NULL;
    if (!load->wait) return; // Redis has not answered: on_written() frees
    follower_leave(load->wait);
    items_load_free(load);
}

// ---- items ------------------------------------------------------------------------------------

/* Texts move while they are collected: an entry has its offset, plus one, in place of its address. */
static const char *offset_as_text(size_t offset)
{
    return (const char *)(uintptr_t)(offset + 1);
}

static void settle_texts(struct items_load *load)
{
    for (size_t i = 0; i < load->count; i++) {
        struct collection_entry *entry = &load->entries[i];
        entry->id = load->texts.data + ((uintptr_t)entry->id - 1);
        if (entry->record) entry->record = load->texts.data + ((uintptr_t)entry->record - 1);
    }
}

static void add_entry(struct items_load *load, size_t line, const char *id, size_t record_begin)
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

enum err items_load_put(struct items_load *load, size_t line, const json_t *object)
{
    char member[CATALOGUE_LABEL_MAX];
    size_t begin = load->texts.size;
    const char *id = NULL;
    enum err err = catalogue_check(object, &id, &load->texts, member);
    if (err == ERR_INVALID) json_set_param(member);
    if (err) return err;
    add_entry(load, line, id, begin);
    return ERR_OK;
}

void items_load_delete(struct items_load *load, size_t line, const char *id)
{
    add_entry(load, line, id, load->texts.size);
}

// ---- the answer --------------------------------------------------------------------------------

/* Of the entries that came to nothing, and why. */
static void judge(struct items_load *load, enum err err)
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

static void reply(struct items_load *load, bool visible)
{
    load->visible = visible;
    if (load->request) load->reply(load->request, load);
    items_load_free(load);
}

static void on_visible(void *argument, enum err err)
{
    struct items_load *load = argument;
    load->wait = NULL;
    reply(load, err == ERR_OK);
}

static void on_written(void *argument, enum err err, uint64_t version)
{
    struct items_load *load = argument;
    struct follower *follower = catalogue_follower(load->catalogue);
    load->version = version;
    judge(load, err);
    bool is_there = follower_is_whole(follower) && follower_version(follower) >= version;
    if (!load->request || err || is_there)
        reply(load, !err && is_there);
    else
        load->wait = follower_await(follower, version, ITEMS_WAIT_MS, on_visible, load);
}

void items_load_send(struct items_load *load)
{
    if (load->count == 0) { // every line is wrong
        reply(load, false);
        return;
    }
    load->fates = mem_new(load->count, 1);
    settle_texts(load);
    struct collection_write write = {.name = catalogue_name(load->catalogue),
                                     .entries = load->entries,
                                     .count = load->count,
                                     .documents_max = catalogue_items_max(load->catalogue),
                                     .fates = load->fates};
    http_set_gone(load->request, on_gone, load);
    collection_write(load->door->collections, &write, on_written, load);
}
