#include "text/pinyin.h"

#include "text/utf8.h"

#include "base/mem.h"
#include "base/must.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unicode/utrans.h>

enum {
    HAN_FIRST = 0x4E00,
    HAN_COUNT = 0x5200,
    READING_ROOM = 32 // UTF-16 units of a reading with its tone, taken apart
};

struct pinyin {
    pthread_mutex_t lock;
    UTransliterator *latin; // opened by the first word: it takes a moment
    bool is_open;
    char readings[HAN_COUNT][PINYIN_SYLLABLE_MAX]; // "" until asked for; "-": has none
};

/* Characters whose other reading words use, and which. */
struct second {
    int32_t code;
    const char *reading;
};

static const struct second seconds[] = {
    {0x4E50, "yue"},                                      // 音乐
    {0x4E3A, "wei"},                                      // 华为
    {0x884C, "hang"},                                     // 银行
    {0x957F, "chang"},                                    // 长城
    {0x91CD, "chong"},                                    // 重庆
    {0x8FD8, "huan"},                                     // 还款
    {0x4F1A, "kuai"},                                     // 会计
    {0x89C9, "jiao"},                                     // 睡觉
    {0x85CF, "zang"},                                     // 西藏
    {0x5F39, "dan"},                                      // 子弹
    {0x5355, "shan"},                                     // 单于
    {0x964D, "xiang"},                                    // 投降
    {0x8C03, "diao"},                                     // 音调
    {0x4F20, "zhuan"},                                    // 传记
    {0x671D, "zhao"},                                     // 朝阳
    {0x4FBF, "pian"},                                     // 便宜
    {0x5DEE, "chai"},                                     // 出差
    {0x5927, "dai"},                                      // 大夫
    {0x5730, "de"},    {0x5F97, "dei"},   {0x90FD, "du"}, // 首都
    {0x89D2, "jue"},                                      // 角色
    {0x7387, "lv"},                                       // 效率
    {0x6A21, "mu"},                                       // 模样
    {0x7701, "xing"},  {0x8840, "xie"},   {0x66DD, "pu"},   {0x66F4, "jing"},
    {0x6570, "shu"},   {0x5185, "nei"},   {0x8BF4, "shuo"}, {0x53C2, "shen"}, // 人参
    {0x66FE, "zeng"},  {0x5C5E, "zhu"},   {0x5B93, "fu"},   {0x6DF7, "hun"},
    {0x7ED9, "ji"},    {0x5377, "juan"},  {0x82E5, "re"},   {0x6CCA, "po"},
    {0x79CD, "zhong"}, {0x4EC0, "shen"}, // 什么
    {0x90A3, "na"},    {0x5F3A, "qiang"}, {0x964C, "mo"},   {0x76DB, "cheng"},
    {0x6298, "zhe"},   {0x7684, "di"},    {0x559D, "he"},   {0x540E, "hou"},
    {0x4E86, "liao"},  {0x7740, "zhuo"},  {0x8272, "shai"}, {0x58F3, "ke"}, // 手机壳
};

struct pinyin *pinyin_new(void)
{
    struct pinyin *pinyin = mem_new(1, sizeof *pinyin);
    must(pthread_mutex_init(&pinyin->lock, NULL) == 0);
    return pinyin;
}

void pinyin_free(struct pinyin *pinyin)
{
    if (!pinyin) return;
    if (pinyin->latin) utrans_close(pinyin->latin);
    pthread_mutex_destroy(&pinyin->lock);
    mem_free(pinyin);
}

/* Letters of a reading that was taken apart: lü, with its tone, is typed lv. */
static void write_letters(char out[PINYIN_SYLLABLE_MAX], const UChar *text, int32_t size)
{
    size_t count = 0;
    for (int32_t i = 0; i < size; i++) {
        if (text[i] == 0x0308 && count > 0) out[count - 1] = 'v';
        bool is_letter = text[i] >= 'a' && text[i] <= 'z';
        if (is_letter && count + 1 < PINYIN_SYLLABLE_MAX) out[count++] = (char)text[i];
    }
    out[count] = '\0';
}

static void ask(struct pinyin *pinyin, int32_t code, char out[PINYIN_SYLLABLE_MAX])
{
    UErrorCode error = U_ZERO_ERROR;
    if (!pinyin->is_open) {
        static const UChar id[] = {'H', 'a', 'n', '-', 'L', 'a', 't', 'i', 'n', ';', 'N', 'F', 'D'};
        pinyin->is_open = true;
        pinyin->latin =
            utrans_openU(id, sizeof id / sizeof *id, UTRANS_FORWARD, NULL, 0, NULL, &error);
        if (U_FAILURE(error)) pinyin->latin = NULL; // without its data nothing has a sound
    }
    UChar text[READING_ROOM] = {(UChar)code};
    int32_t size = 1, limit = 1;
    out[0] = '\0';
    if (!pinyin->latin) return;
    error = U_ZERO_ERROR;
    utrans_transUChars(pinyin->latin, text, &size, READING_ROOM, 0, &limit, &error);
    if (!U_FAILURE(error)) write_letters(out, text, limit);
}

/* Borrowed for ever; "" when the character has none. */
static const char *reading_of(struct pinyin *pinyin, int32_t code)
{
    if (code < HAN_FIRST || code >= HAN_FIRST + HAN_COUNT) return "";
    char *reading = pinyin->readings[code - HAN_FIRST];
    if (!*reading) {
        ask(pinyin, code, reading);
        if (!*reading) memcpy(reading, "-", 2);
    }
    return *reading == '-' ? "" : reading;
}

static const char *second_of(int32_t code)
{
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++)
        if (seconds[i].code == code) return seconds[i].reading;
    return NULL;
}

/* Put `syllable` behind each of the first `count` spellings, into those from `target` on. */
static void append(char spellings[PINYIN_SPELLINGS_MAX][PINYIN_TEXT_MAX], size_t target,
                   size_t count, const char *syllable)
{
    for (size_t i = 0; i < count; i++) {
        char *out = spellings[target + i];
        if (target > 0) memcpy(out, spellings[i], PINYIN_TEXT_MAX);
        size_t size = strlen(out), more = strlen(syllable);
        must(size + more < PINYIN_TEXT_MAX);
        memcpy(out + size, syllable, more + 1);
    }
}

static size_t spell(struct pinyin *pinyin, const char *word, size_t size,
                    char spellings[PINYIN_SPELLINGS_MAX][PINYIN_TEXT_MAX])
{
    size_t count = 1, characters = 0;
    spellings[0][0] = '\0';
    for (size_t at = 0; at < size; characters++) {
        int32_t code;
        at += utf8_next(word + at, size - at, &code);
        const char *reading = reading_of(pinyin, code);
        const char *second = second_of(code);
        if (!*reading || characters == PINYIN_WORD_MAX) return 0;
        if (second && strcmp(second, reading) != 0 && 2 * count <= PINYIN_SPELLINGS_MAX) {
            append(spellings, count, count, second);
            append(spellings, 0, count, reading);
            count *= 2;
        } else {
            append(spellings, 0, count, reading);
        }
    }
    return characters ? count : 0;
}

size_t pinyin_spell(struct pinyin *pinyin, const char *word, size_t size,
                    char spellings[PINYIN_SPELLINGS_MAX][PINYIN_TEXT_MAX])
{
    pthread_mutex_lock(&pinyin->lock);
    size_t count = spell(pinyin, word, size, spellings);
    pthread_mutex_unlock(&pinyin->lock);
    return count;
}
