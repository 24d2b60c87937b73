/* text/bpe.h -- byte-level byte pair encoding of a stretch of text without special pieces.
 * Thread: immutable after bpe_init(). */
#ifndef TEXT_BPE_H
#define TEXT_BPE_H

#include "text/merge.h"

#include <stddef.h>

struct token_ids;
struct vocab;

struct bpe {
    const struct vocab *vocab; // outlives this
    struct merge_table merges;
};

void bpe_init(struct bpe *bpe, const struct vocab *vocab);
void bpe_fini(struct bpe *bpe);
void bpe_encode(const struct bpe *bpe, struct merge_scratch *scratch, const char *text, size_t size,
                struct token_ids *out);

#endif
