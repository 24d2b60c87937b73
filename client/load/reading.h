/* client/load/reading.h -- what the answer to one request says, over all the connections that brought it.
 *
 *      reading_start --> reading_begin --bytes--> END: reading_judge
 *                              ^          |
 *                              +-- break -+   another connection goes on behind last_id, or from the start
 *
 * Content events and the gaps between them are counted as they come; a gap in which a connection broke is
 * as long as it was for the reader. Thread: one owner. */
#ifndef CLIENT_LOAD_READING_H
#define CLIENT_LOAD_READING_H

#include "client/load/tally.h"
#include "client/response.h"
#include "client/sse.h"

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct digester;

enum {
    READING_BODY_MAX = 16 << 20 // of an answer that is not a stream
};

/* Zeroed: nothing was read. It stays where it is between reading_begin() and reading_fini(). */
struct reading {
    bool stream;   // an event stream is what was asked for
    bool digested; // outcome.digest is wanted
    struct tally *tally;
    struct response response; // of this connection
    struct sse sse;
    struct buf body;
    char last_id[SSE_ID_MAX + 1]; // what to resume behind; "": nothing can be
    bool ended;                   // "[DONE]" came
    enum err failure;             // of a body callback
    uint64_t now_ns;              // when the bytes at hand came
    uint64_t previous_ns;         // the content event before
    struct digester *digester;    // of the content so far; NULL: none came
    struct outcome outcome;
};

/* A new request; its outcome has no kind yet. */
void reading_start(struct reading *reading, uint64_t intended_ns, uint64_t sent_ns);
/* A connection begins to bring the answer, or goes on with it. */
void reading_begin(struct reading *reading);
void reading_fini(struct reading *reading);

/* Bytes that came at `now_ns`; *used tells how many belong to the answer. ERR_*: it is none. */
enum err reading_push(struct reading *reading, const char *bytes, size_t size, uint64_t now_ns,
                      size_t *used);
/* No byte came on this connection. */
bool reading_is_blank(const struct reading *reading);
/* Whether another connection can bring what this one did not: from the start while no content was seen,
 * else behind last_id. */
bool reading_can_go_on(const struct reading *reading);
/* The response is whole: "" for a good answer or one whose kind stands in the outcome, else its kind. */
const char *reading_judge(struct reading *reading);

#endif
