#include "scheduler/door/export.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/residence.h"
#include "scheduler/features/catalogue.h"
#include "scheduler/features/consent.h"
#include "scheduler/features/follower.h"
#include "scheduler/features/history.h"
#include "scheduler/features/walk.h"

#include "base/buf.h"
#include "base/mem.h"

#include <sodium.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SALT_MIN = crypto_generichash_KEYBYTES_MIN, // bytes, as a key of BLAKE2b
    SALT_MAX = crypto_generichash_KEYBYTES_MAX,
    TAG_SIZE = 16,
    ITEMS_BYTES = 1 << 20 // of a page of the catalogue, where the next one begins
};

/* A page of histories; without a request once the client is gone. */
struct page {
    struct door *door;
    struct http_request *request; // NULL: nobody hears the end
    char salt[SALT_MAX + 1], cursor[WALK_CURSOR_MAX + 1], tenant[CONTEXT_NAME_MAX + 1],
        region[CONTEXT_LABEL_MAX + 1];
    bool withheld; // of a history, what the region may not use (residence.h)
    struct buf data;
    size_t waits;
    enum err err;
    char why[ERR_NOTE_MAX]; // of the error
};

/* One of its histories. */
struct leaf {
    struct page *page;
    char owner[OWNER_TEXT_SIZE];
};

static void on_gone(void *argument)
{
    ((struct page *)argument)->request = NULL;
}

// ---- histories ---------------------------------------------------------------------------------

static void end_one(struct page *page)
{
    struct buf body = {0};
    if (--page->waits > 0) return;
    json_param_clear();
    if (page->request && page->err) {
        err_note(page->err, "%s", page->why);
        door_refuse(page->request, page->err);
    } else if (page->request) {
        buf_addf(&body, "{\"object\":\"histories\",\"cursor\":\"%s\",\"data\":[", page->cursor);
        buf_add(&body, buf_text(&page->data), page->data.size);
        buf_addf(&body, "]%s}", residence_member(page->withheld));
        http_reply_json(page->request, 200, body.data, body.size);
    }
    buf_fini(&body);
    buf_fini(&page->data);
    sodium_memzero(page->salt, sizeof page->salt);
    mem_free(page);
}

static void fail(struct page *page, enum err err)
{
    page->err = err;
    snprintf(page->why, sizeof page->why, "%s", err_text());
}

static void write_tag(struct buf *out, const struct leaf *leaf)
{
    unsigned char hash[TAG_SIZE];
    char hex[2 * TAG_SIZE + 1];
    const char *salt = leaf->page->salt;
    crypto_generichash(hash, sizeof hash, (const unsigned char *)leaf->owner, strlen(leaf->owner),
                       (const unsigned char *)salt, strlen(salt));
    buf_add_text(out, sodium_bin2hex(hex, sizeof hex, hash, sizeof hash));
}

static void write_history(struct buf *out, const struct leaf *leaf, const struct history *history)
{
    struct buf items = {0}, times = {0}, types = {0};
    for (size_t i = 0; i < history->count; i++) {
        const struct history_event *event = &history->events[i];
        const char *comma = items.size ? "," : "";
        if (!event->item) continue;
        buf_add_text(&items, comma);
        json_write_string(&items, event->item);
        buf_addf(&times, "%s%" PRId64, comma, event->time_ms);
        buf_addf(&types, "%s\"%s\"", comma, event_type_name(event->type));
    }
    if (items.size > 0) {
        buf_addf(out, "%s{\"tag\":\"", out->size ? "," : "");
        write_tag(out, leaf);
        buf_addf(out, "\",\"items\":[%s],\"times\":[%s],\"types\":[%s]}", buf_text(&items),
                 buf_text(&times), buf_text(&types));
    }
    buf_fini(&items);
    buf_fini(&times);
    buf_fini(&types);
}

static void on_history(void *argument, enum err err, const struct history *history)
{
    struct leaf *leaf = argument;
    struct page *page = leaf->page;
    if (err) {
        fail(page, err);
    } else if (history->allowed) {
        page->withheld |= history->withheld > 0;
        write_history(&page->data, leaf, history);
    }
    mem_free(leaf);
    end_one(page);
}

static void on_owners(void *argument, enum err err, const char *cursor, const char *const *owners,
                      size_t count)
{
    struct page *page = argument;
    struct history_scope scope;
    residence_scope(&scope, page->door, page->tenant, page->region);
    if (err) fail(page, err);
    snprintf(page->cursor, sizeof page->cursor, "%s", cursor);
    for (size_t i = 0; i < count; i++) {
        struct leaf *leaf = mem_new(1, sizeof *leaf);
        leaf->page = page;
        snprintf(leaf->owner, sizeof leaf->owner, "%s", owners[i]);
        page->waits++;
        (void)history_read_owner(page->door->histories, page->tenant, owners[i],
                                 CONSENT_RECOMMENDATIONS, &scope, on_history, leaf);
    }
    end_one(page);
}

void export_histories(struct door *door, struct http_request *request)
{
    struct context context;
    const char *cursor = "0", *salt = NULL;
    json_t *root = NULL;
    size_t size;
    if (!door_admit(door, request, true, &context)) return;
    json_param_clear();
    const char *body = http_body(request, &size);
    enum err err = json_read(&root, body, size);
    if (!err) err = json_take_text(root, "cursor", 1, WALK_CURSOR_MAX, &cursor);
    if (!err) err = json_take_text(root, "salt", SALT_MIN, SALT_MAX, &salt);
    if (!err && !walk_is_cursor(cursor))
        err = json_wrong("cursor", "must be one that an answer had");
    if (!err && !salt)
        err = json_wrong("salt", "must be given: %d to %d bytes", SALT_MIN, SALT_MAX);
    if (err) {
        door_refuse(request, err);
    } else {
        struct page *page = mem_new(1, sizeof *page);
        *page = (struct page){.door = door, .request = request, .waits = 1};
        snprintf(page->salt, sizeof page->salt, "%s", salt);
        residence_complete(door, &context);
        snprintf(page->tenant, sizeof page->tenant, "%s", context.key->tenant);
        snprintf(page->region, sizeof page->region, "%s", context.region);
        http_set_gone(request, on_gone, page);
        walk_owners(door->store, context.key->tenant, cursor, on_owners, page);
    }
    json_decref(root);
}

// ---- the catalogue -----------------------------------------------------------------------------

static void write_items(struct buf *out, const struct catalogue *catalogue, int64_t from)
{
    struct catalogue_item item;
    uint32_t rows = catalogue_rows(catalogue), row = from < rows ? (uint32_t)from : rows;
    struct buf data = {0};
    for (; row < rows && data.size < ITEMS_BYTES; row++) {
        if (!catalogue_item(catalogue, row, &item)) continue;
        char *text = json_dumps(item.document, JSON_COMPACT);
        if (text) buf_addf(&data, "%s%s", data.size ? "," : "", text);
        free(text); // jansson's
    }
    if (row < rows)
        buf_addf(out, "{\"object\":\"items\",\"next\":%u,", row);
    else
        buf_add_text(out, "{\"object\":\"items\",\"next\":null,");
    buf_addf(out, "\"changes\":%" PRIu64 ",\"count\":%zu,\"data\":[", catalogue_changes(catalogue),
             catalogue_count(catalogue));
    buf_add(out, buf_text(&data), data.size);
    buf_add_text(out, "]}");
    buf_fini(&data);
}

void export_catalogue(struct door *door, struct http_request *request)
{
    struct context context;
    struct buf out = {0};
    json_t *root = NULL;
    size_t size;
    int64_t from = 0;
    if (!door_admit(door, request, true, &context)) return;
    json_param_clear();
    const char *body = http_body(request, &size);
    enum err err = json_read(&root, body, size);
    if (!err) err = json_take_integer(root, "from", 0, UINT32_MAX, &from);
    json_decref(root);
    struct catalogue *catalogue = catalogue_of(door->catalogues, context.key->tenant);
    if (!err && !catalogue)
        err = err_note(ERR_UNAVAILABLE, "this scheduler follows %d catalogues already",
                       CATALOGUE_TENANTS_MAX);
    if (!err && !follower_is_whole(catalogue_follower(catalogue)))
        err = err_note(ERR_UNAVAILABLE, "the catalogue is being read");
    if (err) {
        door_refuse(request, err);
        return;
    }
    write_items(&out, catalogue, from);
    http_reply_json(request, 200, out.data, out.size);
    buf_fini(&out);
}
