#include "scheduler/door/door.h"
#include "scheduler/door/gorse_internal.h"
#include "scheduler/door/http.h"
#include "scheduler/door/items.h"
#include "scheduler/door/items_load.h"
#include "scheduler/door/json.h"
#include "scheduler/features/catalogue.h"
#include "scheduler/features/follower.h"

#include "base/buf.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CATEGORIES_MAX = 64, // of one item
    ROWS_PRESET = 10
};

static const char no_time[] = "0001-01-01T00:00:00Z"; // as Go writes none

// ---- an item of theirs to one of ours ----------------------------------------------------------

static json_t *attributes_of(json_t *item)
{
    json_t *attributes = json_object_get(item, "attributes");
    if (attributes) return attributes;
    attributes = json_object();
    json_object_set_new(item, "attributes", attributes);
    return attributes;
}

/* The first is the category; a filter finds all of them. */
static void set_categories(json_t *item, json_t *categories)
{
    json_object_set(attributes_of(item), "categories", categories);
    if (json_array_size(categories) > 0)
        json_object_set(item, "category", json_array_get(categories, 0));
    else
        json_object_del(item, "category");
}

static enum err check_categories(const json_t *categories)
{
    bool good = json_is_array(categories) && json_array_size(categories) <= CATEGORIES_MAX;
    for (size_t i = 0; good && i < json_array_size(categories); i++)
        good = json_is_string(json_array_get(categories, i)) &&
               json_string_length(json_array_get(categories, i)) <= GORSE_PART_MAX;
    if (good) return ERR_OK;
    return json_wrong("Categories", "must be a list of at most %d texts of %d bytes",
                      CATEGORIES_MAX, GORSE_PART_MAX);
}

/* Change the item by the members that are given. */
static enum err apply(json_t *item, const json_t *change)
{
    json_t *categories = json_find(change, "Categories"), *labels = json_find(change, "Labels"),
           *timestamp = json_find(change, "Timestamp"), *comment = json_find(change, "Comment");
    bool hidden = json_is_false(json_object_get(item, "available"));
    const char *text = NULL;
    int64_t time_ms;
    TRY(json_take_flag(change, "IsHidden", NULL, &hidden));
    TRY(json_take_text(change, "Comment", 0, GORSE_COMMENT_MAX, &text));
    TRY(gorse_read_time(change, &time_ms));
    if (categories) TRY(check_categories(categories));
    json_object_set_new(item, "available", json_boolean(!hidden));
    if (categories) set_categories(item, categories);
    if (labels) json_object_set(attributes_of(item), "labels", labels);
    if (timestamp) json_object_set(attributes_of(item), "timestamp", timestamp);
    if (comment) json_object_set(attributes_of(item), "comment", comment);
    return ERR_OK;
}

// ---- and back ----------------------------------------------------------------------------------

static void write_json(struct buf *out, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    buf_add_text(out, text ? text : "null");
    free(text); // jansson's
}

static void write_item(struct buf *out, const struct catalogue_item *item)
{
    const json_t *attributes = json_object_get(item->document, "attributes"),
                 *categories = json_object_get(attributes, "categories"),
                 *category = json_object_get(item->document, "category");
    const char *timestamp = json_string_value(json_object_get(attributes, "timestamp")),
               *comment = json_string_value(json_object_get(attributes, "comment"));
    buf_add_text(out, "{\"ItemId\":");
    json_write_string(out, item->id);
    buf_addf(out, ",\"IsHidden\":%s,\"Categories\":", item->available ? "false" : "true");
    if (json_is_array(categories)) {
        write_json(out, categories);
    } else {
        buf_add_byte(out, '[');
        if (category) write_json(out, category);
        buf_add_byte(out, ']');
    }
    buf_add_text(out, ",\"Timestamp\":");
    json_write_string(out, timestamp ? timestamp : no_time);
    buf_add_text(out, ",\"Labels\":");
    write_json(out, json_object_get(attributes, "labels"));
    buf_add_text(out, ",\"Comment\":");
    json_write_string(out, comment ? comment : "");
    buf_add_byte(out, '}');
}

// ---- the catalogue -----------------------------------------------------------------------------

/* A call that waits until the catalogue is whole, and begins again then. */
struct waiting {
    struct gorse_call call;
    gorse_fn *handle;
    struct follower_wait *wait;
};

static void on_gone(void *argument)
{
    struct waiting *waiting = argument;
    follower_leave(waiting->wait);
    mem_free(waiting);
}

static void on_whole(void *argument, enum err err)
{
    struct waiting *waiting = argument;
    (void)err; // the call looks for itself
    waiting->call.has_waited = true;
    waiting->handle(&waiting->call);
    mem_free(waiting);
}

/* NULL: it is not whole; `handle` is called again when it is, or the call is refused. */
static struct catalogue *open_catalogue(struct gorse_call *call, gorse_fn *handle)
{
    struct catalogue *catalogue = items_catalogue(call->door, &call->context);
    json_param_clear();
    if (!catalogue) {
        gorse_refuse(call->request, ERR_BUSY);
        return NULL;
    }
    struct follower *follower = catalogue_follower(catalogue);
    if (follower_is_whole(follower)) return catalogue;
    if (call->has_waited) {
        gorse_refuse(call->request, err_note(ERR_UNAVAILABLE, "the catalogue cannot be read now"));
        return NULL;
    }
    struct waiting *waiting = mem_new(1, sizeof *waiting);
    *waiting = (struct waiting){.call = *call, .handle = handle};
    http_set_gone(call->request, on_gone, waiting);
    waiting->wait = follower_await(follower, 0, ITEMS_WAIT_MS, on_whole, waiting);
    return NULL;
}

/* The same of a key that may write it. */
static struct catalogue *open_to_write(struct gorse_call *call, gorse_fn *handle)
{
    if (call->context.key->data) return open_catalogue(call, handle);
    gorse_refuse(call->request,
                 err_note(ERR_FORBIDDEN, "this key may not change the catalogue: its entry in the "
                                         "keys' file needs \"data\": true"));
    return NULL;
}

static bool find_item(const struct catalogue *catalogue, const char *id,
                      struct catalogue_item *item)
{
    uint32_t row = catalogue_find(catalogue, id);
    return row != CATALOGUE_NONE && catalogue_item(catalogue, row, item);
}

static void refuse_unknown(struct gorse_call *call)
{
    gorse_refuse(call->request, err_note(ERR_NOT_FOUND, "item not found"));
}

static void reply_written(struct http_request *request, const struct items_load *load)
{
    enum err err = load->report.first;
    if (load->report.error_count == 0)
        gorse_reply_rows(request, load->counts[COLLECTION_CREATED] +
                                      load->counts[COLLECTION_REPLACED] +
                                      load->counts[COLLECTION_DELETED]);
    else
        gorse_refuse(request,
                     err_note(err, "%zu of %zu items were not stored: %s", load->report.error_count,
                              load->count,
                              err == ERR_TOO_LARGE ? "the catalogue is full" : err_phrase(err)));
}

/* Write what was made, or refuse it all. */
static void finish(struct gorse_call *call, struct items_load *load, enum err err)
{
    if (!err) {
        items_load_send(load);
        return;
    }
    gorse_refuse(call->request, err);
    items_load_free(load);
}

// ---- writing -----------------------------------------------------------------------------------

static enum err put_one(struct items_load *load, size_t line, const json_t *object)
{
    if (!json_is_object(object)) return err_note(ERR_INVALID, "an item must be an object");
    json_t *id = json_find(object, "ItemId");
    if (!json_is_string(id)) return json_wrong("ItemId", "must be given");
    json_t *item = json_object();
    json_object_set(item, "id", id);
    enum err err = apply(item, object);
    if (!err) err = items_load_put(load, line, item);
    json_decref(item);
    return err;
}

static void put_items(struct gorse_call *call, bool is_list)
{
    struct catalogue *catalogue = open_to_write(call, is_list ? gorse_put_items : gorse_put_item);
    size_t size;
    json_t *root = NULL;
    if (!catalogue) return;
    const char *body = http_body(call->request, &size);
    struct items_load *load = items_load_new(call->door, call->request, catalogue, reply_written);
    enum err err = is_list ? json_read_list(&root, body, size) : json_read(&root, body, size);
    if (!err && !is_list) err = put_one(load, 0, root);
    if (!err && is_list && json_array_size(root) > ITEMS_LINES_MAX)
        err = err_note(ERR_TOO_LARGE, "at most %d items are taken at once", ITEMS_LINES_MAX);
    for (size_t i = 0; is_list && !err && i < json_array_size(root); i++)
        err = put_one(load, i, json_array_get(root, i));
    json_decref(root);
    finish(call, load, err);
}

void gorse_put_item(struct gorse_call *call)
{
    put_items(call, false);
}

void gorse_put_items(struct gorse_call *call)
{
    put_items(call, true);
}

void gorse_delete_item(struct gorse_call *call)
{
    struct catalogue *catalogue = open_to_write(call, gorse_delete_item);
    if (!catalogue) return;
    enum err err = catalogue_check_id(call->parts[1], strlen(call->parts[1]));
    struct items_load *load = items_load_new(call->door, call->request, catalogue, reply_written);
    if (!err) items_load_delete(load, 0, call->parts[1]);
    finish(call, load, err);
}

/* A copy of the item that the path names, to be changed; refused when it is not there. */
static json_t *copy_item(struct gorse_call *call, const struct catalogue *catalogue)
{
    struct catalogue_item item;
    if (find_item(catalogue, call->parts[1], &item)) return json_deep_copy(item.document);
    refuse_unknown(call);
    return NULL;
}

static void write_back(struct gorse_call *call, struct catalogue *catalogue, json_t *item)
{
    struct items_load *load = items_load_new(call->door, call->request, catalogue, reply_written);
    enum err err = items_load_put(load, 0, item);
    json_decref(item);
    finish(call, load, err);
}

void gorse_patch_item(struct gorse_call *call)
{
    struct catalogue *catalogue = open_to_write(call, gorse_patch_item);
    json_t *item = catalogue ? copy_item(call, catalogue) : NULL, *change = NULL;
    size_t size;
    if (!item) return;
    const char *body = http_body(call->request, &size);
    enum err err = json_read(&change, body, size);
    if (!err) err = apply(item, change);
    json_decref(change);
    if (!err) {
        write_back(call, catalogue, item);
        return;
    }
    json_decref(item);
    gorse_refuse(call->request, err);
}

/* Whatever stands in an item's attributes: what is no text is no category. */
static void add_category(json_t *categories, const json_t *category, const char *unwanted)
{
    const char *name = json_string_value(category);
    if (name && strcmp(name, unwanted) != 0) json_array_append_new(categories, json_string(name));
}

/* The item's categories without this one, and with it at the end when it is to be there. */
static void change_category(struct gorse_call *call, bool is_there)
{
    struct catalogue *catalogue =
        open_to_write(call, is_there ? gorse_put_category : gorse_delete_category);
    json_t *item = catalogue ? copy_item(call, catalogue) : NULL;
    if (!item) return;
    const json_t *before = json_object_get(attributes_of(item), "categories"),
                 *category = json_object_get(item, "category");
    json_t *after = json_array();
    if (!before) add_category(after, category, call->parts[3]);
    for (size_t i = 0; i < json_array_size(before); i++)
        add_category(after, json_array_get(before, i), call->parts[3]);
    if (is_there) json_array_append_new(after, json_string(call->parts[3]));
    enum err err = check_categories(after);
    if (!err) set_categories(item, after);
    json_decref(after);
    if (!err) {
        write_back(call, catalogue, item);
        return;
    }
    json_decref(item);
    gorse_refuse(call->request, err);
}

void gorse_put_category(struct gorse_call *call)
{
    change_category(call, true);
}

void gorse_delete_category(struct gorse_call *call)
{
    change_category(call, false);
}

// ---- reading -----------------------------------------------------------------------------------

void gorse_get_item(struct gorse_call *call)
{
    const struct catalogue *catalogue = open_catalogue(call, gorse_get_item);
    struct catalogue_item item;
    struct buf body = {0};
    if (!catalogue) return;
    if (!find_item(catalogue, call->parts[1], &item)) {
        refuse_unknown(call);
        return;
    }
    write_item(&body, &item);
    http_reply_json(call->request, 200, body.data, body.size);
    buf_fini(&body);
}

/* The cursor is the row to go on from. */
void gorse_list_items(struct gorse_call *call)
{
    const struct catalogue *catalogue = open_catalogue(call, gorse_list_items);
    uint32_t most = ROWS_PRESET, row = 0, count = 0;
    struct catalogue_item item;
    struct buf items = {0}, body = {0};
    if (!catalogue) return;
    enum err err = gorse_read_count(call, "n", GORSE_ROWS_MAX, &most);
    if (!err) err = gorse_read_count(call, "cursor", UINT32_MAX, &row);
    if (err) {
        gorse_refuse(call->request, err);
        return;
    }
    for (; row < catalogue_rows(catalogue) && count < most; row++) {
        if (!catalogue_item(catalogue, row, &item)) continue;
        if (count++ > 0) buf_add_byte(&items, ',');
        write_item(&items, &item);
    }
    buf_add_text(&body, "{\"Cursor\":\"");
    if (row < catalogue_rows(catalogue)) buf_addf(&body, "%" PRIu32, row);
    buf_addf(&body, "\",\"Items\":[%s]}", buf_text(&items));
    http_reply_json(call->request, 200, body.data, body.size);
    buf_fini(&items);
    buf_fini(&body);
}
