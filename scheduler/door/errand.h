/* scheduler/door/errand.h -- one request's many texts, each asked of a model by a flight of its own, with one end for all.
 *
 *      errand_start --> ids (long texts: a worker) --> limits --> flights, some at once --> done     (exactly one)
 *                                                                          \-- errand_free: canceled, nothing is said
 *
 * EMBED asks for a vector of each text, SCORE for the score of `query` and each text as a pair. Answers stand in the order of
 * the texts, and none depends on the others. The first text that fails ends them all, but one that meets full nodes
 * waits while others of the errands are in the air.
 *
 * Bounds: ERRAND_TEXTS_MAX texts and ERRAND_NUMBERS_MAX numbers of an errand (ERR_INVALID), ERRANDS_NUMBERS_MAX numbers of all
 * that are under way (ERR_BUSY). Of one tenant at most ERRAND_AIR_MAX flights for each node of the model are in the air, whatever the
 * number of its errands, and of all tenants twice as many; a free place goes to the tenant, and then to the errand, with the fewest.
 *
 * A text that is longer than `text_tokens` is cut there. What is then longer than the model takes is ERR_TOO_LONG, or
 * cut with `truncate`: a pair's longer text down to the shorter, then both, as the makers of cross-encoders do it.
 *
 * Callbacks never come from inside of an errand_ function. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_ERRAND_H
#define SCHEDULER_DOOR_ERRAND_H

#include "wire/message.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chosen;
struct context;
struct door;
struct errand;
struct errands;
struct http_error;
struct http_request;

enum {
    ERRAND_TEXTS_MAX = 2048,
    ERRAND_NUMBERS_MAX = 2 << 20,
    ERRANDS_NUMBERS_MAX = 16 << 20,
    ERRAND_AIR_MAX = 64
};

/* A text, or its ids where `text` is NULL: of the text alone, without the model's marks. */
struct errand_text {
    const char *text;
    size_t size;
    const int32_t *ids; // [id_count]
    size_t id_count;
};

/* Everything that is pointed to may go when errand_start() is back, but for door, request, context and owner. */
struct errand_options {
    struct door *door;
    struct http_request
        *request; // its answer's headers tell of limits; not touched after errand_free()
    const struct context *context;
    bool is_free;                // counts against no limits
    enum wire_kind kind;         // WIRE_EMBED or WIRE_SCORE
    const struct chosen *chosen; // choose.h
    enum wire_priority priority;
    uint64_t deadline_ns;
    struct errand_text query; // SCORE
    const struct errand_text *texts;
    size_t count;       // at least 1
    uint32_t width;     // numbers of each answer that are kept; SCORE: 1
    size_t text_tokens; // 0: as many as there are
    bool truncate;
    const char *query_name,
        *list_name;   // literals: how failures name the fields: "query", "documents"
    const char *cure; // of a text that is too long, a literal: "say \"truncate\": true"
    /* NULL: all answers are there; else why not, borrowed. errand_free() it in either case. */
    void (*done)(void *owner, const struct http_error *error);
    void *owner;
};

/* What all errands share; of the door, made before and freed after them. */
struct errands *errands_new(void);
void errands_free(struct errands *errands);

/* ERR_INVALID, ERR_BUSY: see Bounds. Nothing was started; json_param() names the field. */
enum err errand_start(struct errand **out, const struct errand_options *options);
/* At any time; what is in the air is canceled, what was reserved and not used goes back. */
void errand_free(struct errand *errand);

/* Once done came without an error. [width] numbers of a text; borrowed until errand_free(). */
const float *errand_numbers(const struct errand *errand, size_t index);
/* Of all texts, marks included. */
uint64_t errand_tokens(const struct errand *errand);

#endif
