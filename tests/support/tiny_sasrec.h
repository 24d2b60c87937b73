/* tests/support/tiny_sasrec.h -- a seeded recommender of random weights as a GGUF file, of any size that a bench wants. Equal
 * options give equal bytes; what it recommends is noise. */
#ifndef TESTS_SUPPORT_TINY_SASREC_H
#define TESTS_SUPPORT_TINY_SASREC_H

#include "tests/support/tiny_model.h"

#include <stdbool.h>
#include <stdint.h>

struct tiny_sasrec {
    uint32_t items, dim, context, blocks, ffn, heads;
    uint64_t seed;
    bool item_ids; // name the rows "item-0", "item-1", ...
};

/* Write it as a new file below $TMPDIR (or /tmp); `path` is filled with its name, which the caller unlinks. */
void tiny_sasrec_file(char path[TINY_MODEL_PATH_MAX], const struct tiny_sasrec *options);

#endif
