/* scheduler/features/search/redisearch_code.h -- any bytes as words that RediSearch neither splits nor reads as its own.
 *
 *      a-z 0-9          themselves
 *      another byte     _ and its two digits: "5g 手" is 5g_20_e6_89_8b
 *      a character of a folded text that is not ASCII      _u and six digits of its code
 *      a number         16 digits that are in the order of the numbers
 *
 * Words that are coded so begin alike where the bytes do. Pure. Thread: any. */
#ifndef SCHEDULER_FEATURES_SEARCH_REDISEARCH_CODE_H
#define SCHEDULER_FEATURES_SEARCH_REDISEARCH_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
    CODE_FOLDED_MAX = 128, // bytes of a text that is coded; a longer one is its digest
    CODE_DIGITS = 16       // of a number
};

void code_bytes(struct buf *out, const char *bytes, size_t size);
/* Back; false: it is no code. */
bool code_read(struct buf *out, const char *text, size_t size);
/* A text as filters compare it: equal texts have equal codes. */
void code_folded(struct buf *out, const char *text);
/* As a whole number in the order of the numbers; -0 is 0. */
uint64_t code_order(double number);

#endif
