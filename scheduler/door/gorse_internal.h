/* scheduler/door/gorse_internal.h -- what the parts of gorse.h share; nobody else includes it.
 *
 *      gorse.c             the paths, who asks, errors and numbers
 *      gorse_feedback.c    feedback <-> events
 *      gorse_items.c       items <-> the catalogue
 *      gorse_recommend.c   lists
 *      gorse_users.c       users
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_GORSE_INTERNAL_H
#define SCHEDULER_DOOR_GORSE_INTERNAL_H

#include "scheduler/door/context.h"

#include "base/err.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct door;
struct http_error;
struct http_request;

enum {
    GORSE_PARTS_MAX = 5,
    GORSE_PART_MAX = 128,    // bytes of one, decoded
    GORSE_ROWS_MAX = 1000,   // of a list that is asked for
    GORSE_COMMENT_MAX = 1024 // bytes
};

/* A request whose path is known and whose key is good; lives until its handler returns. */
struct gorse_call {
    struct door *door;
    struct http_request *request;
    struct context context;
    char parts[GORSE_PARTS_MAX][GORSE_PART_MAX + 1]; // of the path behind /api/
    size_t part_count;
    bool has_waited; // for the catalogue
};

typedef void gorse_fn(struct gorse_call *call);

gorse_fn gorse_put_feedback, gorse_pair_feedback, gorse_typed_pair_feedback, gorse_user_feedback;
gorse_fn gorse_refuse_all_feedback;
gorse_fn gorse_put_item, gorse_put_items, gorse_patch_item, gorse_get_item, gorse_list_items,
    gorse_delete_item, gorse_put_category, gorse_delete_category;
gorse_fn gorse_recommend, gorse_session, gorse_popular, gorse_neighbours;
gorse_fn gorse_put_user, gorse_put_users, gorse_patch_user, gorse_get_user, gorse_delete_user,
    gorse_refuse_users;

/* The note as plain text, with the error's status. */
void gorse_refuse(struct http_request *request, enum err err);
void gorse_refuse_error(struct http_request *request, const struct http_error *error);
/* {"RowAffected": count} */
void gorse_reply_rows(struct http_request *request, uint64_t count);

/* ?name=NUMBER of the query; `preset` when it is absent. */
enum err gorse_read_count(const struct gorse_call *call, const char *name, uint32_t most,
                          uint32_t *out);
/* "2022-02-24", "2022-02-24 10:00:00", "2022-02-24T10:00:00Z": ms since 1970. Absent, empty or Go's zero time: *out is left alone. */
enum err gorse_read_time(const json_t *object, int64_t *out);
/* "2022-02-24T10:00:00Z", quoted. */
void gorse_write_time(struct buf *out, int64_t time_ms);

#endif
