/* text/spm.h -- SentencePiece's BPE: characters merge into pieces, the best score first.
 *
 * A pair merges when what both stand for together is a piece; its rank is the place of that piece's
 * score in descending order. All pairs that can occur are listed at the start (every cut of every
 * piece), so the work on a text is that of text/merge.h. A character without a piece becomes its
 * bytes, or the unknown piece. Thread: immutable after spm_init(). */
#ifndef TEXT_SPM_H
#define TEXT_SPM_H

#include "text/merge.h"
#include "text/piece_map.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct token_ids;
struct vocab;

enum {
    SPM_PIECE_MAX = 256,   // bytes of a piece that characters can merge into
    SPM_CUTS_MAX = 1 << 23 // pairs of symbols that make a piece
};

struct spm {
    const struct vocab *vocab; // outlives this
    struct merge_table merges;
    /* Characters: one that is a piece has its id; one that only occurs inside of pieces has a
     * number of its own, from vocab->size up, whose character stands in `inner`. */
    struct piece_map characters;
    int32_t *inner; // [inner_count] codes
    size_t inner_count;
    int32_t ascii[128]; // as `characters`; negative: none
    /* No piece has a space behind another character, so nothing merges across the begin of a word,
     * and words can be merged one by one. */
    bool words_part;
};

/* ERR_TOO_LARGE beyond the maxima; nothing is held then. */
enum err spm_init(struct spm *out, const struct vocab *vocab);
void spm_fini(struct spm *spm);
/* `add_space`: as if a space stood before the text. */
void spm_encode(const struct spm *spm, struct merge_scratch *scratch, const char *text, size_t size,
                bool add_space, struct token_ids *out);

#endif
