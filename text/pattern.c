#include "text/pattern.h"

#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

#define EVERY_CLASS (1U << FOLD_LETTER | 1U << FOLD_DIGIT | 1U << FOLD_IDEOGRAPH)

/* A pattern being read. */
struct reading {
    struct pattern *pattern;
    const struct disguise *disguise;
    const char *text;
    size_t size, at;
};

/* What may stand in one place. */
struct element {
    unsigned classes; // bits of enum fold_class
    int32_t codes[PATTERN_LITERALS_MAX];
    size_t count;
};

static enum err wrong(const struct reading *reading, const char *what)
{
    return err_note(ERR_INVALID, "the pattern is wrong at byte %zu: %s", reading->at, what);
}

static enum err next_character(struct reading *reading, int32_t *code)
{
    if (reading->at == reading->size) return wrong(reading, "it ends too early");
    size_t step = utf8_next(reading->text + reading->at, reading->size - reading->at, code);
    if (*code < 0) return wrong(reading, "that is not UTF-8");
    reading->at += step;
    return ERR_OK;
}

static enum err add_code(struct reading *reading, struct element *element, int32_t code)
{
    struct disguise_symbol symbols[FOLD_MAX];
    enum disguise_gap gap;
    if (disguise_read(reading->disguise, code, symbols, &gap) != 1)
        return wrong(reading, "a character there is no letter, digit or ideograph by itself");
    if (element->count == PATTERN_LITERALS_MAX)
        return wrong(reading, "more than 256 characters for one place");
    element->codes[element->count++] = symbols[0].code;
    return ERR_OK;
}

static enum err read_set(struct reading *reading, struct element *element)
{
    int32_t code, last;
    for (;;) {
        TRY(next_character(reading, &code));
        if (code == ']') break;
        last = code;
        if (reading->at + 1 < reading->size && reading->text[reading->at] == '-' &&
            reading->text[reading->at + 1] != ']') {
            reading->at++;
            TRY(next_character(reading, &last));
        }
        if (last < code) return wrong(reading, "a range that goes back");
        if (last - code >= PATTERN_LITERALS_MAX) return wrong(reading, "a range of more than 256");
        for (; code <= last; code++)
            TRY(add_code(reading, element, code));
    }
    return element->count ? ERR_OK : wrong(reading, "a set of nothing");
}

static enum err read_element(struct reading *reading, struct element *element)
{
    int32_t code;
    memset(element, 0, sizeof *element);
    TRY(next_character(reading, &code));
    if (code == '[') return read_set(reading, element);
    if (code != '\\') {
        if (code == '?' || code == '{' || code == '*' || code == '+')
            return wrong(reading, "there is nothing that it could be a count of, or it is a count "
                                  "without an end");
        return add_code(reading, element, code);
    }
    TRY(next_character(reading, &code));
    switch (code) {
    case 'd': element->classes = 1U << FOLD_DIGIT; return ERR_OK;
    case 'a': element->classes = 1U << FOLD_LETTER; return ERR_OK;
    case 'h': element->classes = 1U << FOLD_IDEOGRAPH; return ERR_OK;
    case 'w': element->classes = EVERY_CLASS; return ERR_OK;
    default: return wrong(reading, "behind \\ stands one of d, a, h, w");
    }
}

static bool read_number(struct reading *reading, unsigned *out)
{
    size_t begin = reading->at;
    *out = 0;
    while (reading->at < reading->size && reading->text[reading->at] >= '0' &&
           reading->text[reading->at] <= '9' && *out <= PATTERN_POSITIONS_MAX)
        *out = 10 * *out + (unsigned)(reading->text[reading->at++] - '0');
    return reading->at > begin && *out <= PATTERN_POSITIONS_MAX;
}

/* What follows an element: how often it stands there. */
static enum err read_count(struct reading *reading, unsigned *least, unsigned *most)
{
    *least = *most = 1;
    if (reading->at == reading->size) return ERR_OK;
    char sign = reading->text[reading->at];
    if (sign == '?') {
        reading->at++;
        *least = 0;
    }
    if (sign != '{') return ERR_OK;
    reading->at++;
    bool good = read_number(reading, least);
    *most = *least;
    if (good && reading->at < reading->size && reading->text[reading->at] == ',') {
        reading->at++;
        good = read_number(reading, most);
    }
    good = good && reading->at < reading->size && reading->text[reading->at] == '}';
    if (!good || *most < *least || *most == 0)
        return wrong(reading, "a count is {n} or {n,m}, at most 64, n not above m");
    reading->at++;
    return ERR_OK;
}

static enum err place_code(struct reading *reading, int32_t code, uint64_t place)
{
    struct pattern *pattern = reading->pattern;
    if (code < 128) {
        pattern->ascii[code] |= place;
        return ERR_OK;
    }
    size_t at = 0;
    while (at < pattern->literal_count && pattern->literals[at].code < code)
        at++;
    if (at == pattern->literal_count || pattern->literals[at].code != code) {
        if (pattern->literal_count == PATTERN_LITERALS_MAX)
            return wrong(reading, "more than 256 different characters");
        memmove(&pattern->literals[at + 1], &pattern->literals[at],
                (pattern->literal_count - at) * sizeof *pattern->literals);
        pattern->literals[at] = (struct pattern_literal){.code = code};
        pattern->literal_count++;
    }
    pattern->literals[at].places |= place;
    return ERR_OK;
}

static enum err place(struct reading *reading, const struct element *element, bool is_optional)
{
    struct pattern *pattern = reading->pattern;
    if (pattern->size == PATTERN_POSITIONS_MAX) return wrong(reading, "more than 64 places");
    uint64_t bit = UINT64_C(1) << pattern->size++;
    for (unsigned class = 0; class < 4; class ++)
        if (element->classes >> class & 1) pattern->classes[class] |= bit;
    for (size_t i = 0; i < element->count; i++)
        TRY(place_code(reading, element->codes[i], bit));
    if (is_optional)
        pattern->optional |= bit;
    else
        pattern->least++;
    return ERR_OK;
}

/* The tables say what may stand in a place with one look: classes go into each row. */
static void close_tables(struct reading *reading)
{
    struct pattern *pattern = reading->pattern;
    struct disguise_symbol symbols[FOLD_MAX];
    enum disguise_gap gap;
    for (int32_t code = 0; code < 128; code++)
        if (disguise_read(reading->disguise, code, symbols, &gap) == 1 && symbols[0].code == code)
            pattern->ascii[code] |= pattern->classes[symbols[0].class];
    for (size_t i = 0; i < pattern->literal_count; i++)
        if (disguise_read(reading->disguise, pattern->literals[i].code, symbols, &gap) == 1)
            pattern->literals[i].places |= pattern->classes[symbols[0].class];
}

enum err pattern_read(struct pattern *out, const struct disguise *disguise, const char *text,
                      size_t size)
{
    struct reading reading = {.pattern = out, .disguise = disguise, .text = text, .size = size};
    struct element element;
    unsigned least, most;
    *out = (struct pattern){0};
    while (reading.at < size) {
        TRY(read_element(&reading, &element));
        TRY(read_count(&reading, &least, &most));
        for (unsigned i = 0; i < most; i++)
            TRY(place(&reading, &element, i >= least));
    }
    if (out->least < PATTERN_LEAST)
        return wrong(&reading, "at least 3 symbols must be there whatever is missing");
    if ((out->optional & 1) || (out->optional >> (out->size - 1) & 1))
        return wrong(&reading, "the first and the last place must be there");
    close_tables(&reading);
    return ERR_OK;
}

static uint64_t places_of(const struct pattern *pattern, const struct disguise_symbol *symbol)
{
    if (symbol->code < 128) return pattern->ascii[symbol->code];
    size_t low = 0, high = pattern->literal_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (pattern->literals[middle].code == symbol->code) return pattern->literals[middle].places;
        if (pattern->literals[middle].code < symbol->code)
            low = middle + 1;
        else
            high = middle;
    }
    return pattern->classes[symbol->class];
}

static uint64_t step(const struct pattern *pattern, uint64_t run, uint64_t begin,
                     const struct disguise_symbol *symbol)
{
    run = (run << 1 | begin) & places_of(pattern, symbol);
    for (uint64_t skipped; (skipped = run << 1 & pattern->optional & ~run) != 0;)
        run |= skipped;
    return run;
}

uint64_t pattern_step(const struct pattern *pattern, uint64_t run,
                      const struct disguise_symbol *symbol)
{
    return step(pattern, run, 1, symbol);
}

uint64_t pattern_go_on(const struct pattern *pattern, uint64_t run,
                       const struct disguise_symbol *symbol)
{
    return step(pattern, run, 0, symbol);
}
