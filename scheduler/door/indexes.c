#include "scheduler/door/indexes.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/index_errand.h"
#include "scheduler/door/json.h"
#include "scheduler/features/search/vectors.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void refuse_path(struct index_errand *errand)
{
    json_param_clear();
    err_note(ERR_NOT_FOUND,
             "below an index there are: search, suggest (POST), documents (POST), documents/ID");
    index_errand_fail(errand, ERR_NOT_FOUND);
}

// ---- the list ----------------------------------------------------------------------------------

struct listing {
    struct door *door;
    struct http_request *request; // NULL: the client has gone
    char prefix[COLLECTION_NAME_MAX + 1];
};

static void on_listing_gone(void *argument)
{
    ((struct listing *)argument)->request = NULL;
}

static void on_list(void *argument, enum err err, const char *const *names, size_t count)
{
    struct listing *listing = argument;
    struct buf body = {0};
    size_t size = strlen(listing->prefix), told = 0;
    json_param_clear();
    buf_add_text(&body, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; !err && i < count; i++) {
        if (strncmp(names[i], listing->prefix, size) != 0) continue;
        buf_addf(&body, "%s{\"object\":\"index\",\"name\":\"%s\"}", told++ ? "," : "",
                 names[i] + size);
    }
    buf_add_text(&body, "]}");
    if (listing->request && err)
        door_refuse(listing->request, err);
    else if (listing->request)
        http_reply_json(listing->request, 200, body.data, body.size);
    buf_fini(&body);
    mem_free(listing);
}

void indexes_door_list(struct door *door, struct http_request *request)
{
    struct context context;
    if (!door_admit(door, request, false, &context)) return;
    struct listing *listing = mem_new(1, sizeof *listing);
    *listing = (struct listing){.door = door, .request = request};
    struct buf prefix = {0};
    buf_addf(&prefix, "index:%s:", context.key->tenant);
    memcpy(listing->prefix, prefix.data, prefix.size + 1);
    buf_fini(&prefix);
    http_set_gone(request, on_listing_gone, listing);
    collections_list(door->collections, on_list, listing);
}

// ---- look, set, delete -------------------------------------------------------------------------

static enum err describe(void *argument, struct corpus *corpus, uint64_t version)
{
    struct index_errand *errand = argument;
    buf_addf(&errand->answer,
             "{\"object\":\"index\",\"name\":\"%s\",\"index_version\":%" PRIu64
             ",\"documents\":%zu,\"bytes\":%zu,\"settings\":%s",
             errand->name, version, corpus_count(corpus), corpus_bytes(corpus),
             corpus_settings(corpus)->text);
    errand->count = corpus_count(corpus);
    return ERR_OK;
}

/* The rest of the description, on the loop: the vectors, where the index has an embedder. */
static void describe_vectors(struct index_errand *errand)
{
    struct vectors_status status;
    if (vectors_status(errand->door->vectors, errand->collection, &status) == ERR_OK) {
        buf_add_text(&errand->answer, ",\"vectors\":{\"model\":");
        json_write_string(&errand->answer, status.model);
        buf_addf(&errand->answer,
                 ",\"served\":%s,\"documents\":%" PRIu64 ",\"waiting\":%" PRIu64
                 ",\"version\":%" PRIu64
                 ",\"dimensions\":%u,\"shards\":%u,\"shards_held\":%u,\"copies\":%u,"
                 "\"shards_version\":%" PRIu64 ",\"whole\":%s}",
                 status.is_served ? "true" : "false", status.vectors,
                 errand->count > status.vectors ? errand->count - status.vectors : 0,
                 status.version, status.size, status.shards, status.shards_held, status.copies,
                 status.shards_version, status.is_whole ? "true" : "false");
    }
    buf_add_byte(&errand->answer, '}');
    errand->count = 0;
}

static void on_described(void *argument, enum err err, uint64_t version)
{
    (void)version;
    if (err) {
        index_errand_fail(argument, err);
        return;
    }
    describe_vectors(argument);
    index_errand_reply(argument);
}

void indexes_door_get(struct door *door, struct http_request *request)
{
    const char *rest;
    struct index_errand *errand = index_errand_new(door, request, false, &rest);
    if (!errand) return;
    if (strncmp(rest, "/documents/", 11) == 0)
        index_document_get(errand, rest + 11);
    else if (*rest)
        refuse_path(errand);
    else
        index_errand_ask(errand, 0, INDEX_WAIT_MS, describe, on_described);
}

static void on_set(void *argument, enum err err, uint64_t version)
{
    struct index_errand *errand = argument;
    (void)version;
    if (err) {
        index_errand_fail(errand, err);
        return;
    }
    buf_addf(&errand->answer,
             "{\"object\":\"index\",\"name\":\"%s\",\"index_version\":%" PRIu64 "}", errand->name,
             errand->version);
    index_errand_reply(errand);
}

static void on_configured(void *argument, enum err err, uint64_t version)
{
    struct index_errand *errand = argument;
    errand->version = version;
    json_param_clear();
    if (err)
        index_errand_fail(errand, err);
    else
        index_errand_written(errand, on_set);
}

static enum err check_backend(struct index_errand *errand, const struct search_settings *settings)
{
    if (!settings->is_remote || indexes_have_place(errand->door->indexes, errand->collection))
        return ERR_OK;
    snprintf(errand->param, sizeof errand->param, "backend");
    return err_note(ERR_INVALID,
                    "backend: there is no RediSearch for this index: the schedulers' setting "
                    "search_redisearch must have %s:%s=host:port",
                    errand->context.key->tenant, errand->name);
}

/* The settings, checked, into `texts`. */
static enum err read_settings(struct index_errand *errand)
{
    struct search_settings *settings;
    size_t size;
    const char *body = http_body(errand->request, &size);
    json_t *root;
    TRY(json_read(&root, body, size));
    enum err err = search_settings_read(&settings, root, errand->param);
    json_decref(root);
    if (err) return err;
    err = check_backend(errand, settings);
    buf_add_text(&errand->texts, settings->text);
    search_settings_free(settings);
    if (err) return err;
    if (errand->texts.size > COLLECTION_SETTINGS_MAX)
        return err_note(ERR_TOO_LARGE, "the settings are %zu bytes: at most %d", errand->texts.size,
                        COLLECTION_SETTINGS_MAX);
    if (indexes_count(errand->door->indexes) >= INDEXES_MAX)
        return err_note(ERR_BUSY, "there are %d indexes, the most", INDEXES_MAX);
    return ERR_OK;
}

void indexes_door_put(struct door *door, struct http_request *request)
{
    const char *rest;
    struct index_errand *errand = index_errand_new(door, request, true, &rest);
    if (!errand) return;
    if (*rest) {
        refuse_path(errand);
        return;
    }
    enum err err = read_settings(errand);
    if (err)
        index_errand_fail(errand, err);
    else
        collection_configure(door->collections, errand->collection, errand->texts.data,
                             errand->texts.size, on_configured, errand);
}

static void on_removed(void *argument, enum err err, uint64_t version)
{
    struct index_errand *errand = argument;
    (void)version;
    json_param_clear();
    if (err == ERR_NOT_FOUND) err_note(ERR_NOT_FOUND, "there is no such index");
    if (!err) indexes_forget(errand->door->indexes, errand->collection);
    errand->status = 204;
    if (err)
        index_errand_fail(errand, err);
    else
        index_errand_reply(errand);
}

void indexes_door_delete(struct door *door, struct http_request *request)
{
    const char *rest;
    struct index_errand *errand = index_errand_new(door, request, true, &rest);
    if (!errand) return;
    if (strncmp(rest, "/documents/", 11) == 0)
        index_document_delete(errand, rest + 11);
    else if (*rest)
        refuse_path(errand);
    else
        collection_remove(door->collections, errand->collection, on_removed, errand);
}

void indexes_door_post(struct door *door, struct http_request *request)
{
    const char *path = http_path(request) + strlen("/v1/indexes/");
    const char *rest = path + strcspn(path, "/");
    bool writes = strcmp(rest, "/documents") == 0;
    struct index_errand *errand = index_errand_new(door, request, writes, &rest);
    if (!errand) return;
    if (writes)
        index_documents_put(errand);
    else if (strcmp(rest, "/search") == 0)
        index_search(errand);
    else if (strcmp(rest, "/suggest") == 0)
        index_suggest(errand);
    else
        refuse_path(errand);
}
