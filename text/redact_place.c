#include "text/redact_internal.h"

#include <string.h>

enum {
    NAME_MAX_CHARS = 40, // of what stands before a house's number
    NUMBER_MAX_CHARS = 8,
    WORDS_MAX = 4, // of an English street's name
    WORD_MAX_CHARS = 24
};

static bool is_in(const int32_t *list, int32_t code)
{
    for (; *list; list++)
        if (*list == code) return true;
    return false;
}

// ---- Chinese -----------------------------------------------------------------------------------

static const int32_t road_ends[] = {0x8DEF, 0x8857, 0x9053, 0x5DF7,
                                    0x5F04, 0x91CC, 0x6751, 0}; // 路街道巷弄里村
static const int32_t yard_ends[] = {0x533A, 0x56ED, 0x5BD3, 0x53A6, 0x82D1,
                                    0x6751, 0x5E84, 0x5E9C, 0x57CE, 0}; // 区园寓厦苑村庄府城
static const int32_t numerals[] = {0x96F6, 0x3007, 0x4E00, 0x4E8C, 0x4E09, 0x56DB,
                                   0x4E94, 0x516D, 0x4E03, 0x516B, 0x4E5D, 0x5341,
                                   0x767E, 0x5343, 0x4E24, 0}; // 零〇一二三四五六七八九十百千两
static const int32_t house_units[] = {0x53F7, 0x865F, 0x5F04, 0}; // 号號弄
static const int32_t part_units[] = {0x680B, 0x68DF, 0x5E62, 0x5EA7, 0x5355, 0x5BA4, 0x697C,
                                     0x6A13, 0x5C42, 0x623F, 0x6237, 0}; // 栋棟幢座单室楼樓层房户
/* What stands before an address and is none of it: 在住是到去来寄送于址从至我你他她家的了和与给把叫请有为 */
static const int32_t strangers[] = {0x5728, 0x4F4F, 0x662F, 0x5230, 0x53BB, 0x6765, 0x5BC4,
                                    0x9001, 0x4E8E, 0x5740, 0x4ECE, 0x81F3, 0x6211, 0x4F60,
                                    0x4ED6, 0x5979, 0x5BB6, 0x7684, 0x4E86, 0x548C, 0x4E0E,
                                    0x7ED9, 0x628A, 0x53EB, 0x8BF7, 0x6709, 0x4E3A, 0};

static bool is_han(int32_t code)
{
    return code >= 0x3400 && code <= 0x9FFF;
}

/* Digits, numerals, letters and hyphens behind the first: "3", "12-5", "3A", "十八"; where it ends. */
static size_t number_end(const struct redact_text *text, size_t at)
{
    size_t end = at;
    while (end - at < NUMBER_MAX_CHARS) {
        int32_t code = redact_at(text, end);
        bool first = redact_is_digit(code) || is_in(numerals, code);
        if (!first && !(end > at && (redact_is_letter(code) || code == '-'))) break;
        end++;
    }
    return end;
}

/* Behind the unit of a number's, 0: there is none. 号 alone is a house, 号楼 and 单元 are parts of one; a 号线 is a railway's. */
static size_t unit_end(const struct redact_text *text, size_t at, bool house)
{
    int32_t code = redact_at(text, at), next = redact_at(text, at + 1);
    bool is_house = is_in(house_units, code), tower = is_house && is_in(part_units, next);
    if (tower) return at + 2;
    if (is_in(part_units, code)) return at + 1 + (next == 0x5143); // 元
    return house && is_house && next != 0x7EBF ? at + 1 : 0;       // 线
}

/* "5号楼2单元301": what follows a house's number. */
static size_t parts_end(const struct redact_text *text, size_t at)
{
    for (;;) {
        size_t skip = redact_at(text, at) == ' ' || redact_at(text, at) == '-';
        size_t digits = at + skip;
        bool letter = redact_at(text, digits) >= 'A' && redact_at(text, digits) <= 'Z';
        size_t number = letter ? digits + 1 : number_end(text, digits);
        size_t end = number > digits ? unit_end(text, number, true) : 0;
        if (end == 0 && !letter && !is_han(redact_at(text, digits)) && number >= digits + 3)
            return number; // a door's number without a word for it
        if (end == 0) return at;
        at = end;
    }
}

/* The place's name, backwards from its last character. */
static size_t name_begin(const struct redact_text *text, size_t last, size_t least)
{
    size_t begin = last;
    while (begin > least && last - begin < NAME_MAX_CHARS) {
        int32_t code = redact_at(text, begin - 1);
        bool good = (is_han(code) && !is_in(strangers, code)) || redact_is_letter(code) ||
                    redact_is_digit(code);
        if (!good) break;
        begin--;
    }
    return begin;
}

static bool find_chinese(const struct redact_text *text, size_t at, size_t least,
                         struct redact_span *out)
{
    int32_t code = redact_at(text, at);
    bool road = is_in(road_ends, code), yard = is_in(yard_ends, code);
    if (!road && !yard) return false;
    size_t from = at + 1 + (redact_at(text, at + 1) == ' '), number = number_end(text, from);
    size_t end = number > from ? unit_end(text, number, road) : 0;
    size_t begin = name_begin(text, at, least);
    if (end == 0 || begin == at) return false;
    *out = (struct redact_span){begin, parts_end(text, end), REDACT_ADDRESS};
    return true;
}

// ---- English -----------------------------------------------------------------------------------

static const char *const streets[] = {
    "street", "st", "avenue", "ave", "road",      "rd",   "lane", "ln",     "drive", "dr",
    "court",  "ct", "place",  "pl",  "boulevard", "blvd", "way",  "square", "sq",    "terrace"};
static const char *const doors[] = {"apt", "apartment", "suite", "unit", "flat", "room"};

/* A word of letters and digits, in lower case; where it ends, `at` itself for none or one that is too long. */
static size_t read_word(const struct redact_text *text, size_t at, char word[WORD_MAX_CHARS + 1])
{
    size_t end = at;
    for (; redact_is_letter(redact_at(text, end)) || redact_is_digit(redact_at(text, end)); end++) {
        if (end - at == WORD_MAX_CHARS) return at;
        int32_t code = redact_at(text, end);
        word[end - at] = (char)(code >= 'A' && code <= 'Z' ? code - 'A' + 'a' : code);
    }
    word[end - at] = '\0';
    return end;
}

static bool is_word_of(const char *const *list, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], word) == 0) return true;
    return false;
}

/* ", Apt. 5B", " #12" behind a street. */
static size_t door_end(const struct redact_text *text, size_t at)
{
    char word[WORD_MAX_CHARS + 1];
    size_t i = at;
    if (redact_at(text, i) == ',') i++;
    if (redact_at(text, i) == ' ') i++;
    if (redact_at(text, i) != '#') {
        size_t end = read_word(text, i, word);
        if (end == i || !is_word_of(doors, sizeof doors / sizeof *doors, word)) return at;
        i = end + (redact_at(text, end) == '.');
        if (redact_at(text, i) != ' ') return at;
    }
    size_t end = read_word(text, i + 1, word);
    return end > i + 1 && end - i <= NUMBER_MAX_CHARS ? end : at;
}

/* A number, up to four words of which the first has a capital or is "5th", and what a street is called. */
static bool find_english(const struct redact_text *text, size_t at, struct redact_span *out)
{
    char word[WORD_MAX_CHARS + 1];
    int32_t before = at > 0 ? redact_at(text, at - 1) : 0;
    if (!redact_is_digit(redact_at(text, at)) || redact_is_digit(before) || before == '.')
        return false;
    size_t end = read_word(text, at, word);
    if (end == at || end - at > NUMBER_MAX_CHARS) return false;
    for (size_t words = 0; words <= WORDS_MAX; words++) {
        size_t from = end + (redact_at(text, end) == '.') + 1;
        if (redact_at(text, from - 1) != ' ') return false;
        int32_t first = redact_at(text, from);
        end = read_word(text, from, word);
        if (end == from || !(redact_is_digit(first) || (first >= 'A' && first <= 'Z')))
            return false;
        if (words == 0 || !is_word_of(streets, sizeof streets / sizeof *streets, word)) continue;
        *out = (struct redact_span){at, door_end(text, end), REDACT_ADDRESS};
        return true;
    }
    return false;
}

bool redact_place(const struct redact_text *text, size_t at, size_t least, struct redact_span *out)
{
    return find_chinese(text, at, least, out) || find_english(text, at, out);
}
