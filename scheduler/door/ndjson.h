/* scheduler/door/ndjson.h -- a bulk body: one JSON object a line, each judged for itself.
 *
 *      ndjson_read --> take(line, object) for each line; what it refuses becomes that line's error
 *      (the good ones are stored) --> ndjson_fail() for those that could not be --> ndjson_reply()
 *
 * A bad line does not stop the good ones. The answer lists every line that was not taken, and no other: what it does not
 * list is done. So that this holds for every body, one with more than NDJSON_ERRORS_MAX bad lines is refused before
 * anything is done. Lines are counted from 1, empty ones too (they say nothing). A body that begins with '[' is a JSON list,
 * whose elements count as lines. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_NDJSON_H
#define SCHEDULER_DOOR_NDJSON_H

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>

#include <stddef.h>

struct http_request;

enum {
    NDJSON_ERRORS_MAX = 1000
};

struct ndjson_limits {
    size_t lines;      // that say something
    size_t line_bytes; // of one line; not looked at in a JSON list
};

/* `object` is borrowed, unless it is json_incref()ed. A failure's note and json_param() go into the line's error. */
typedef enum err ndjson_take_fn(void *argument, size_t line, json_t *object);

/* What became of the lines. A zeroed struct is an empty report; ndjson_fini() it. */
struct ndjson_report {
    struct buf errors; // {"line":…,"error":{…}} with commas between
    size_t error_count, line_count;
    enum err first;   // the first line's error
    const char *unit; // what the number of a line is called; NULL: "line"
    size_t before;    // lines that came before the body: errors count from there
};

/* ERR_INVALID, ERR_TOO_LARGE: of the body as a whole; then nothing shall be stored. */
enum err ndjson_read(const char *body, size_t size, const struct ndjson_limits *limits,
                     ndjson_take_fn *take, void *argument, struct ndjson_report *report);
/* A line's error, from the latest note and json_param(). */
void ndjson_fail(struct ndjson_report *report, size_t line, enum err err);
/* {<head>,"errors":[…]}: 200 when every line was taken, 207 when some were not, and when none was the first one's
 * status. `head` are members. */
void ndjson_reply(struct http_request *request, const struct ndjson_report *report,
                  const char *head);
void ndjson_fini(struct ndjson_report *report);

#endif
