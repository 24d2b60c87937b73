/* scheduler/state/facts.h -- what an answer is made of besides its request, as one line of text in Redis.
 *
 *      "SEED WALL-MS ID SET NAME"     decimal, decimal, no spaces, 4 digests of 32 hexadecimal digits, the rest
 *
 * Pure. Thread: any. */
#ifndef SCHEDULER_STATE_FACTS_H
#define SCHEDULER_STATE_FACTS_H

#include "base/digest.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    FACTS_ID_MAX = 47,     // bytes of a completion's id
    FACTS_MODEL_MAX = 128, // of a model's name
    FACTS_SET = 4,         // digests of a model: pack, model, adapter, numerics
    FACTS_TEXT_MAX = 512   // the NUL included
};

struct facts {
    uint64_t seed;
    int64_t wall_ms; // when it was first asked for
    char id[FACTS_ID_MAX + 1];
    char model[FACTS_MODEL_MAX + 1];
    struct digest set[FACTS_SET];
};

void facts_write(const struct facts *facts, char text[FACTS_TEXT_MAX]);
/* `text` has a NUL behind its `size` bytes. ERR_FORMAT for anything but what facts_write() makes. */
enum err facts_read(struct facts *out, const char *text, size_t size);

#endif
