/* scheduler/door/summary.h -- the model is asked what the oldest turns of a conversation said: a flight of our own.
 *
 * What is summed up is at most SUMMARY_BYTES_MAX of text, its latest part, cut further until it fits the model's context. The
 * answer is greedy, of at most SUMMARY_TOKENS_MAX tokens: the same turns give the same summary.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_SUMMARY_H
#define SCHEDULER_DOOR_SUMMARY_H

#include "scheduler/door/prompt.h"

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct buf;
struct door;
struct flight_order;
struct screen;
struct summary;
struct template;
struct tokenizer;

enum {
    SUMMARY_BYTES_MAX = PROMPT_SHORT_MAX, // it is encoded on the loop
    SUMMARY_TOKENS_MAX = 256
};

struct summary_options {
    struct door *door;
    const struct tokenizer *tokenizer; // outlives the summary
    const struct template *template;
    int64_t wall_ms;
    uint32_t context_length;
    struct screen *screen; // what the model says goes through it; NULL: as it is
    /* It has ended; on failure the note is in err_text(). Called at most once, never from inside of summary_start(). */
    void (*ended)(void *owner, enum err err, uint32_t retry_ms);
    void *owner;
};

/* `order` says everything but the ids and the sampling. Failures are those of the template and of flight_start(): nothing
 * was made. */
enum err summary_start(struct summary **out, const struct summary_options *options,
                       const struct flight_order *order, const struct buf *transcript);
/* Cancels a flight that is still in the air. NULL is nothing. */
void summary_free(struct summary *summary);

/* Without space at its ends. */
const char *summary_text(const struct summary *summary, size_t *size);
/* Prompt and answer, so far. */
uint32_t summary_tokens(const struct summary *summary);

#endif
