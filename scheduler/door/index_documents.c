#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/index_errand.h"
#include "scheduler/door/json.h"
#include "scheduler/features/search/documents.h"
#include "scheduler/settings.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static enum err check_id(const char *id, size_t size)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:";
    bool fits = size >= 1 && size <= COLLECTION_ID_MAX;
    for (size_t i = 0; fits && i < size; i++)
        fits = id[i] != '\0' && strchr(letters, id[i]);
    if (fits) return ERR_OK;
    return err_note(ERR_INVALID,
                    "a document's id is 1 to %d letters, digits, '-', '_', '.' and ':'",
                    COLLECTION_ID_MAX);
}

// ---- one document ------------------------------------------------------------------------------

static bool take_id(struct index_errand *errand, const char *id)
{
    json_param_clear();
    enum err err = check_id(id, strlen(id));
    if (err)
        index_errand_fail(errand, err);
    else
        snprintf(errand->id, sizeof errand->id, "%s", id);
    return !err;
}

static void on_read(void *argument, enum err err, const char *record, size_t size)
{
    struct index_errand *errand = argument;
    json_param_clear();
    if (err == ERR_NOT_FOUND) err_note(ERR_NOT_FOUND, "there is no such document");
    if (!err) buf_add(&errand->answer, record, size);
    if (err)
        index_errand_fail(errand, err);
    else
        index_errand_reply(errand);
}

void index_document_get(struct index_errand *errand, const char *id)
{
    if (!take_id(errand, id)) return;
    collection_read(errand->door->collections, errand->collection, errand->id, strlen(errand->id),
                    on_read, errand);
}

static void on_drop_seen(void *argument, enum err err, uint64_t version)
{
    struct index_errand *errand = argument;
    (void)version;
    if (err) {
        index_errand_fail(errand, err);
        return;
    }
    buf_addf(&errand->answer, "{\"deleted\":true,\"index_version\":%" PRIu64 "}", errand->version);
    index_errand_reply(errand);
}

static void on_dropped(void *argument, enum err err, uint64_t version)
{
    struct index_errand *errand = argument;
    errand->version = version;
    json_param_clear();
    if (!err && errand->fates[0] == COLLECTION_MISSING)
        err = err_note(ERR_NOT_FOUND, "there is no such document");
    else if (err == ERR_NOT_FOUND)
        err_note(ERR_NOT_FOUND, "there is no such index");
    if (err)
        index_errand_fail(errand, err);
    else
        index_errand_written(errand, on_drop_seen);
}

void index_document_delete(struct index_errand *errand, const char *id)
{
    if (!take_id(errand, id)) return;
    errand->entries = mem_new(1, sizeof *errand->entries);
    errand->fates = mem_new(1, 1);
    errand->entries[0] = (struct collection_entry){.id = errand->id, .id_size = strlen(errand->id)};
    struct collection_write write = {.name = errand->collection,
                                     .entries = errand->entries,
                                     .count = 1,
                                     .existing = true,
                                     .fates = errand->fates};
    collection_write(errand->door->collections, &write, on_dropped, errand);
}

// ---- many --------------------------------------------------------------------------------------

/* The member that is the id, as text. */
static enum err read_id(const struct index_errand *errand, const json_t *object, struct buf *out)
{
    const json_t *value = json_object_get(object, errand->primary_key);
    size_t at = out->size;
    if (json_is_integer(value))
        buf_addf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_string(value))
        buf_add(out, json_string_value(value), json_string_length(value));
    else
        return json_wrong(errand->primary_key,
                          "must be given, a string or a whole number: it is the document's id");
    if (check_id(out->data + at, out->size - at)) {
        out->size = at;
        return json_wrong(errand->primary_key,
                          "must be 1 to %d letters, digits, '-', '_', '.' and ':'",
                          COLLECTION_ID_MAX);
    }
    return ERR_OK;
}

static int add_bytes(const char *bytes, size_t size, void *out)
{
    buf_add(out, bytes, size);
    return 0;
}

static enum err take_document(void *argument, size_t line, json_t *object)
{
    struct index_errand *errand = argument;
    struct buf *texts = &errand->texts;
    struct index_line one = {.line = line, .id_at = texts->size};
    TRY(read_id(errand, object, texts));
    one.id_size = texts->size - one.id_at;
    one.record_at = texts->size;
    json_dump_callback(object, add_bytes, texts, JSON_COMPACT | JSON_REAL_PRECISION(15));
    one.record_size = texts->size - one.record_at;
    if (one.record_size > COLLECTION_RECORD_MAX) {
        texts->size = one.id_at;
        return err_note(ERR_TOO_LARGE, "the document is %zu bytes: at most %d", one.record_size,
                        COLLECTION_RECORD_MAX);
    }
    if (errand->count == errand->capacity) {
        errand->capacity = errand->capacity ? 2 * errand->capacity : 256;
        errand->lines = mem_resize(errand->lines, errand->capacity, sizeof *errand->lines);
    }
    errand->lines[errand->count++] = one;
    return ERR_OK;
}

static void on_bulk_seen(void *argument, enum err err, uint64_t version)
{
    struct index_errand *errand = argument;
    char head[128];
    (void)version;
    if (err) {
        index_errand_fail(errand, err);
        return;
    }
    size_t stored = 0;
    for (size_t i = 0; i < errand->count; i++)
        stored += errand->fates[i] == COLLECTION_CREATED || errand->fates[i] == COLLECTION_REPLACED;
    snprintf(head, sizeof head, "\"stored\":%zu,\"index_version\":%" PRIu64, stored,
             errand->version);
    if (errand->request) ndjson_reply(errand->request, &errand->report, head);
    index_errand_free(errand);
}

static void on_bulk_written(void *argument, enum err err, uint64_t version)
{
    struct index_errand *errand = argument;
    errand->version = version;
    json_param_clear();
    if (err && version == 0) {
        if (err == ERR_NOT_FOUND) err_note(ERR_NOT_FOUND, "there is no such index");
        index_errand_fail(errand, err);
        return;
    }
    for (size_t i = 0; i < errand->count; i++) {
        if (errand->fates[i] == COLLECTION_UNSENT || errand->fates[i] == COLLECTION_UNSURE) {
            err_note(ERR_STORE_AWAY, errand->fates[i] == COLLECTION_UNSENT
                                         ? "it was not stored: Redis went away before"
                                         : "it may be stored, or not: Redis went away");
            ndjson_fail(&errand->report, errand->lines[i].line, ERR_STORE_AWAY);
        } else if (errand->fates[i] == COLLECTION_FULL) {
            err_note(ERR_TOO_LARGE, "the index holds its most documents, %" PRIu64,
                     errand->door->settings->index_documents);
            ndjson_fail(&errand->report, errand->lines[i].line, ERR_TOO_LARGE);
        }
    }
    index_errand_written(errand, on_bulk_seen);
}

static enum err prepare(void *argument, struct corpus *corpus, uint64_t version)
{
    struct index_errand *errand = argument;
    (void)version;
    snprintf(errand->primary_key, sizeof errand->primary_key, "%s",
             corpus_settings(corpus)->primary_key);
    errand->index_bytes = corpus_bytes(corpus);
    return ERR_OK;
}

static enum err read_bulk(struct index_errand *errand)
{
    struct ndjson_limits limits = {.lines = INDEX_LINES_MAX, .line_bytes = INDEX_LINE_BYTES};
    size_t size;
    const char *body = http_body(errand->request, &size);
    if (errand->index_bytes + size > errand->door->settings->index_bytes)
        return err_note(ERR_TOO_LARGE, "the index holds %zu bytes of at most %" PRIu64,
                        errand->index_bytes, errand->door->settings->index_bytes);
    return ndjson_read(body, size, &limits, take_document, errand, &errand->report);
}

static void on_prepared(void *argument, enum err err, uint64_t version)
{
    struct index_errand *errand = argument;
    (void)version;
    errand->ticket = NULL;
    json_param_clear();
    if (!err) err = read_bulk(errand);
    if (err) {
        index_errand_fail(errand, err);
        return;
    }
    errand->entries = mem_new(errand->count + 1, sizeof *errand->entries);
    errand->fates = mem_new(errand->count + 1, 1);
    for (size_t i = 0; i < errand->count; i++) {
        const struct index_line *line = &errand->lines[i];
        errand->entries[i] =
            (struct collection_entry){.id = errand->texts.data + line->id_at,
                                      .id_size = line->id_size,
                                      .record = errand->texts.data + line->record_at,
                                      .record_size = line->record_size};
    }
    struct collection_write write = {.name = errand->collection,
                                     .entries = errand->entries,
                                     .count = errand->count,
                                     .documents_max = errand->door->settings->index_documents,
                                     .existing = true,
                                     .fates = errand->fates};
    collection_write(errand->door->collections, &write, on_bulk_written, errand);
}

void index_documents_put(struct index_errand *errand)
{
    index_errand_ask(errand, 0, INDEX_WAIT_MS, prepare, on_prepared);
}
