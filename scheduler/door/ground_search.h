/* scheduler/door/ground_search.h -- one search for an assistant: the best documents for a question, each as a title and a text.
 *
 * It is asked as every search is (index_errand.h), with a deadline: by words, and where the index has an embedder by the question's
 * vector, too. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_GROUND_SEARCH_H
#define SCHEDULER_DOOR_GROUND_SEARCH_H

#include "scheduler/features/ground.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct context;
struct door;
struct ground_search;

/* Borrowed until done() returns. */
struct ground_hit {
    const char *id, *title, *text;
};

/* Once, later, unless it was dropped. ERR_NOT_FOUND: there is no such index; ERR_UNAVAILABLE: it was not whole in time; ERR_TIMEOUT. */
typedef void ground_search_fn(void *argument, enum err err, const struct ground_hit *hits,
                              size_t count);

struct ground_question {
    struct door *door;
    const struct context *context; // who asks
    const char *collection;        // of the index; copied, as the question
    const char *question;
    size_t size;
    const char *language; // a literal: "en", "zh"
    bool words_alone;     // what is found then does not depend on which nodes are there
    uint64_t wait_ms;
    ground_search_fn *done;
    void *argument;
};

/* ERR_BUSY: too much waits. */
enum err ground_search_start(struct ground_search **out, const struct ground_question *question);
/* done() is not called; not from inside of it either. */
void ground_search_drop(struct ground_search *search);

#endif
