/* node/service/flights.h -- every attempt that this node has taken and not ended: found by its link and key.
 *
 * Chained through the sequences themselves (seq->chain), so it allocates nothing and is bounded by what the
 * service lets in. Thread: the service's. */
#ifndef NODE_SERVICE_FLIGHTS_H
#define NODE_SERVICE_FLIGHTS_H

#include "wire/message.h"

#include <stddef.h>
#include <stdint.h>

struct seq;

enum {
    FLIGHTS_BUCKETS = 1024 // a power of 2
};

struct flights {
    struct seq *buckets[FLIGHTS_BUCKETS];
    size_t count;
};

void flights_add(struct flights *flights, struct seq *seq);
/* NULL: none. */
struct seq *flights_find(const struct flights *flights, uint64_t link, const struct wire_key *key);
void flights_remove(struct flights *flights, struct seq *seq);
/* How many are of this tenant: looks at each. */
size_t flights_of(const struct flights *flights, uint64_t tenant);
/* Calls fn for each; fn must not add or remove. */
void flights_each(const struct flights *flights, void (*fn)(void *argument, struct seq *seq),
                  void *argument);

#endif
