/* client/load/prompt.h -- prompts of a wanted length, made of common words, each about one token.
 *
 * The first words spell the prompt's number in base 64, so prompts of four words or more differ
 * from one another (up to 2^24 of them, then they repeat), and none finds more of another in a
 * prefix cache than its first words. What a word is in tokens depends on the model: take
 * usage.prompt_tokens for the truth. */
#ifndef CLIENT_LOAD_PROMPT_H
#define CLIENT_LOAD_PROMPT_H

#include <stdint.h>

struct buf;

enum prompt_language {
    PROMPT_ZH,
    PROMPT_EN,
    PROMPT_BOTH // even numbers zh, odd ones en
};

/* Append prompt `number` of `words` words; the same arguments give the same text. */
void prompt_write(struct buf *out, uint64_t seed, uint64_t number, uint64_t words,
                  enum prompt_language language);

#endif
