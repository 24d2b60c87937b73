/* scheduler/door/mark.h -- the label of a chat's or completion's answer, in the answer's shape.
 *
 *      mark_begin() --> the first chunk of each choice: the text before it, the metadata that is still open
 *      mark_add()   --> what each choice says, hashed as it comes
 *      mark_end()   --> the chunk that ends a choice, the body: the text behind it, the metadata that is sealed over all choices
 *
 * What the shape is told is borrowed from the mark. An answer that nothing governs costs nothing here.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_MARK_H
#define SCHEDULER_DOOR_MARK_H

#include "scheduler/door/ask.h"
#include "scheduler/door/shape.h"
#include "scheduler/policy/label.h"

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct digest;
struct context;
struct door;
struct governed;
struct http_request;

/* How an answer is to be marked. A zeroed one: not at all. */
struct mark_order {
    const struct governed *governed; // NULL, or without rules: nothing governs it
    bool first;                      // of its conversation
    const char *agreement;           // that waives the visible label; NULL: none does
    const struct digest *model;      // of the receipt
};

struct mark {
    struct label label;
    struct door *door;
    struct mark_order order;
    const char *region, *agreement; // borrowed from who ordered
    enum feature feature;
    char id[SHAPE_ID_SIZE]; // the answer's
    struct buf members;     // of chunks and the body
    struct aigc_hasher *texts[ASK_CHOICES_MAX];
};

/* Before anything of the answer is sent; the shape has its id. */
void mark_begin(struct mark *mark, struct door *door, const struct mark_order *order,
                struct shape *shape);
/* The header, as the label was signed last; once, when the answer begins: that is recorded. */
void mark_set_header(const struct mark *mark, struct http_request *request);
/* The next bytes of a choice. */
void mark_add(struct mark *mark, uint32_t choice, const void *bytes, size_t size);
/* All choices have said all; before the first chunk that ends one, or before the body. */
void mark_end(struct mark *mark, struct shape *shape, uint32_t choices);
void mark_fini(struct mark *mark);

/* What stands beside each stored answer that is shown or exported again: the label of the request's region or, where no rules are of that, of
 * the first that has one. NULL: none. Borrowed until the loop turns. */
const char *mark_of_turns(const struct door *door, const struct context *context);
/* `,"label":"…"`, of a turn that is an answer. */
void mark_write_turn(struct buf *out, const char *label, const char *role);

#endif
