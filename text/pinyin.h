/* text/pinyin.h -- how Chinese words sound, as people type it: 手机 shouji, 绿 lv, without tones.
 *
 * Readings are ICU's Han-Latin, one a character; characters of several readings that are common in words (行 xing, hang;
 * 长 chang, zhang; 乐 le, yue) have a second one here. What is read is kept.
 *
 * Thread: any. */
#ifndef TEXT_PINYIN_H
#define TEXT_PINYIN_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct pinyin;

enum {
    PINYIN_SYLLABLE_MAX = 8, // bytes, the NUL included
    PINYIN_WORD_MAX = 6,     // characters of a word that is spelled
    PINYIN_SPELLINGS_MAX = 4,
    PINYIN_TEXT_MAX = PINYIN_WORD_MAX * PINYIN_SYLLABLE_MAX
};

struct pinyin *pinyin_new(void);
void pinyin_free(struct pinyin *pinyin);

/* The spellings of a word of 1 to PINYIN_WORD_MAX Han characters, folded (text/fold.h); how many, 0 for any other word.
 * The first one is made of the characters' first readings. */
size_t pinyin_spell(struct pinyin *pinyin, const char *word, size_t size,
                    char spellings[PINYIN_SPELLINGS_MAX][PINYIN_TEXT_MAX]);

#endif
