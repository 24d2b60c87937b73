/* text/rows.h -- the names of a recommender's rows: item id <-> row of its matrix.
 *
 * From `sasrec.item_ids` of a pack (an array of strings, one a row; node/model/sasrec.h), and then only they are ids.
 * Without it a row's number in decimal is its id, and how many rows there are is what the node says (wire_model's
 * vocab_size). The array is a stranger's: counted, bounded, each id 1 to ROWS_ID_MAX bytes of UTF-8 without control
 * characters, none twice but for row 0, which is padding.
 *
 * Thread: immutable after rows_read(). */
#ifndef TEXT_ROWS_H
#define TEXT_ROWS_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct gguf;
struct rows;

enum {
    ROWS_ID_MAX = 128,     // bytes of an item's id
    ROWS_NUMBER_SIZE = 12, // a row's number as text
    ROWS_NONE = -1
};

/* *out is NULL where the pack names no rows. ERR_FORMAT names the row and what is wrong with it. */
enum err rows_read(struct rows **out, const struct gguf *gguf);
void rows_free(struct rows *rows);

/* Of `count` rows (what the node announced), the one with this id; ROWS_NONE. `rows` may be NULL. */
int32_t rows_find(const struct rows *rows, const char *id, size_t size, uint32_t count);
/* The id of a row, not NUL-terminated, borrowed from `rows`, or written into `number` where that is NULL. */
const char *rows_id(const struct rows *rows, int32_t row, char number[ROWS_NUMBER_SIZE],
                    size_t *size);

#endif
