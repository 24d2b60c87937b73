/* scheduler/door/recommend_answer.h -- a list of recommendations, before it is said in a client's words.
 *
 * Ids and titles are borrowed from the model's names and the catalogue: an answer is filled and written in one turn of the
 * loop. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_RECOMMEND_ANSWER_H
#define SCHEDULER_DOOR_RECOMMEND_ANSWER_H

#include "text/rows.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* An item, or a reason with its weight for a score. */
struct recommend_item {
    const char *id; // NULL: it stands in `number`
    size_t size;
    char number[ROWS_NUMBER_SIZE];
    const char *title; // NULL: none is known
    float score;
    bool is_scored;
};

struct recommend_answer {
    const char *basis; // "history", "session", "item", "popular"
    const char *scenario, *model;
    const char *label; // of the list; NULL: none
    bool personalized;
    bool withheld; // there are events that the request's region may not use (residence.h)
    struct recommend_item *items; // [count], best first
    size_t count, capacity;
    struct recommend_item *reasons; // [reason_count]; NULL: nobody asked for them
    size_t reason_count;
};

/* A further item, of `id` or, where that is NULL, of a row that has no name. */
struct recommend_item *recommend_answer_add(struct recommend_answer *answer, const char *id,
                                            size_t size);
void recommend_answer_fini(struct recommend_answer *answer);
const char *recommend_item_id(const struct recommend_item *item);
/* The id of a row, as the model's names have it. */
void recommend_item_name(struct recommend_item *item, const struct rows *rows, int32_t row);

/* As POST /v1/recommendations answers. */
void recommend_answer_write(struct buf *out, const struct recommend_answer *answer);

#endif
