/* scheduler/door/json.h -- a stranger's JSON, read with limits, and ours, written.
 *
 * Reading is jansson's. Before it sees a byte, depth and count of values are bounded here, so that
 * no body can cost much more memory than its own size. Duplicate keys, invalid UTF-8 and NUL
 * characters are refused.
 *
 * The take functions leave *out as it is when the field is absent or null. Their failures are
 * ERR_INVALID with a note such as "messages[2].content must be a string", and json_param() then
 * names the field ("messages[2].content") for the API's error. Thread: any. */
#ifndef SCHEDULER_DOOR_JSON_H
#define SCHEDULER_DOOR_JSON_H

#include "base/err.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
    JSON_LEVELS_MAX = 32,
    JSON_VALUES_MAX = 300000, // a prompt of ids is the largest thing that is asked
    JSON_PARAM_MAX = 96
};

/* The document's root, an object; json_decref() it. */
enum err json_read(json_t **out, const char *text, size_t size);
/* The same of a piece of a body, which notes call `what` ("the line"); and of a body that is a list. */
enum err json_read_part(json_t **out, const char *what, const char *text, size_t size);
enum err json_read_list(json_t **out, const char *text, size_t size);

/* A failure of a field: ERR_INVALID, "<param> <format>". */
enum err json_wrong(const char *param, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The field of this thread's latest json_wrong(); "" when json_param_clear() came after it. */
const char *json_param(void);
void json_param_clear(void);
/* For a failure whose note names the field already. */
void json_set_param(const char *param);

/* `param` names the field in failures; NULL: `key` does. */
enum err json_take_flag(const json_t *object, const char *key, const char *param, bool *out);
enum err json_take_integer(const json_t *object, const char *key, int64_t min, int64_t max,
                           int64_t *out);
enum err json_take_real(const json_t *object, const char *key, double min, double max, double *out);
/* Borrowed from the document; of min to max bytes. */
enum err json_take_text(const json_t *object, const char *key, size_t min, size_t max,
                        const char **out);
/* The field if it is there and not null; NULL otherwise. */
json_t *json_find(const json_t *object, const char *key);

/* A JSON string with its quotes; what is not UTF-8 becomes U+FFFD. */
void json_write_text(struct buf *out, const char *text, size_t size);
void json_write_string(struct buf *out, const char *text);

#endif
