/* client/load/tally.h -- what a run measured. All times are nanoseconds. Thread: the driver's. */
#ifndef CLIENT_LOAD_TALLY_H
#define CLIENT_LOAD_TALLY_H

#include "client/load/histogram.h"

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TALLY_KIND_SIZE = 64, // of an error's name, with its NUL
    TALLY_KINDS_MAX = 32  // kinds beyond are counted as "other"
};

/* How one request went. */
struct outcome {
    char kind[TALLY_KIND_SIZE]; // "": it was answered; else the kind of error
    uint64_t intended_ns;       // when it should have begun
    uint64_t sent_ns;           // when it did
    uint64_t first_ns;          // the first content event; 0: none came
    uint64_t end_ns;
    char finish[16];      // the reason of its end, as the answer says it; "": it does not
    struct digest digest; // of its content, where it is wanted; zero: it has none
    bool has_usage;
    uint64_t prompt_tokens, cached_tokens, completion_tokens;
};

struct tally_error {
    char kind[TALLY_KIND_SIZE];
    uint64_t count;
};

/* Zeroed: empty. */
struct tally {
    uint64_t start_ns, end_ns; // of the run; the end is that of the last answer
    uint64_t started, answered,
        failed;              // requests; a failed one is in no histogram but `lag` and `gap`
    uint64_t in_flight;      // at the end: given up by SIGINT
    uint64_t content_events; // of all streams
    uint64_t without_usage;  // answers that told no token counts
    uint64_t reconnects;     // requests sent again: the kept connection was closed just then
    uint64_t retries;  // requests sent again elsewhere: no connection, or it broke without a byte
    uint64_t resumes;  // answers that broke and were gone on with
    uint64_t refusals; // requests sent again after 429 or 503 with Retry-After
    uint64_t prompt_tokens, cached_tokens, completion_tokens;
    struct histogram first; // intended start to first content event
    struct histogram gap;   // between content events of a stream
    struct histogram total; // intended start to the end of the answer
    struct histogram lag;   // intended start to send: how late this program was
    struct tally_error errors[TALLY_KINDS_MAX];
    size_t error_count;
};

void tally_outcome(struct tally *tally, const struct outcome *outcome);
void tally_error(struct tally *tally, const char *kind);
/* Seconds from the first request's start to the last answer's end; above zero. */
double tally_elapsed_s(const struct tally *tally);

#endif
