#include "text/analyze.h"

#include "text/fold.h"
#include "text/utf8.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/wipe.h"

#include <libstemmer.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/ubrk.h>

enum {
    RUN_MAX = 256,  // ideographs that are looked at together; a longer run goes in pieces
    PARTS_MAX = 4,  // of a mixed word; one with more is a number or a name of no language
    ENTRY_MIN = 3,  // characters: a shorter word of the dictionary is a pair already
    ENTRY_MAX = 10, // characters
    STEM_MIN = 3
};

struct analyzer {
    struct fold *fold;
    UBreakIterator *breaks; // only ever cloned
};

/* Letters and digits that stand together. */
struct word {
    char text[ANALYZE_TERM_MAX];
    size_t size;
    size_t begin, end;
    size_t part[PARTS_MAX + 1]; // where each begins in `text`
    size_t part_begin[PARTS_MAX + 1], part_end[PARTS_MAX + 1];
    size_t part_count; // PARTS_MAX + 1: too many
    enum fold_class last;
    bool is_ascii;
};

/* Ideographs that stand together. */
struct run {
    UChar codes[2 * RUN_MAX]; // UTF-16, for ICU
    size_t unit[RUN_MAX + 1]; // where each character begins there
    char text[4 * RUN_MAX];   // the same in UTF-8
    size_t at[RUN_MAX + 1];   // where each character begins there
    size_t begin[RUN_MAX], end[RUN_MAX];
    uint8_t border[RUN_MAX + 1]; // a word begins here
    size_t count;
};

struct analyst {
    const struct analyzer *analyzer;
    struct sb_stemmer *stemmer;
    UBreakIterator *breaks;
    struct word word;
    struct run run;
    bool is_busy; // with a text
    struct analyst *
        inner; // for one that is analysed meanwhile, by who is told a term; NULL: there was none yet
};

/* One text on its way. */
struct pass {
    struct analyst *analyst;
    const struct analyze_options *options;
    analyze_fn *each;
    void *owner;
    uint32_t position;
    bool going;
};

// ---- stop words --------------------------------------------------------------------------------

struct stop {
    size_t size;
    char text[ANALYZE_TERM_MAX];
};

struct analyze_stops {
    struct stop *words; // sorted
    size_t count;
};

static int compare_stops(const void *left, const void *right)
{
    const struct stop *a = left, *b = right;
    if (a->size != b->size) return a->size < b->size ? -1 : 1;
    return memcmp(a->text, b->text, a->size);
}

bool analyze_is_stop(const struct analyze_stops *stops, const char *text, size_t size)
{
    if (!stops || stops->count == 0) return false;
    size_t low = 0, high = stops->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct stop *stop = &stops->words[middle];
        int order =
            stop->size != size ? (stop->size < size ? -1 : 1) : memcmp(stop->text, text, size);
        if (order == 0) return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* The folded word into `stop`, as far as it fits. */
static void fold_stop(const struct fold *fold, const char *word, struct stop *stop)
{
    size_t left = strlen(word);
    while (left > 0) {
        int32_t code, folded[FOLD_MAX];
        size_t size = utf8_next(word, left, &code);
        size_t count = code < 0 ? 0 : fold_character(fold, code, folded);
        for (size_t i = 0; i < count; i++) {
            if (stop->size + UTF8_CHARACTER_MAX > ANALYZE_TERM_MAX) return;
            stop->size += utf8_write(stop->text + stop->size, folded[i]);
        }
        word += size;
        left -= size;
    }
}

enum err analyze_stops_new(struct analyze_stops **out, const struct analyzer *analyzer,
                           const char *const *words, size_t count)
{
    if (count > ANALYZE_STOPS_MAX)
        return err_note(ERR_INVALID, "%zu stop words are too many: at most %d", count,
                        ANALYZE_STOPS_MAX);
    struct analyze_stops *stops = mem_new(1, sizeof *stops);
    stops->words = mem_new(count ? count : 1, sizeof *stops->words);
    stops->count = count;
    for (size_t i = 0; i < count; i++)
        fold_stop(analyzer->fold, words[i], &stops->words[i]);
    qsort(stops->words, count, sizeof *stops->words, compare_stops);
    *out = stops;
    return ERR_OK;
}

void analyze_stops_free(struct analyze_stops *stops)
{
    if (!stops) return;
    mem_free(stops->words);
    mem_free(stops);
}

// ---- words -------------------------------------------------------------------------------------

static void tell(struct pass *pass, const struct analyze_term *term)
{
    if (!pass->going || analyze_is_stop(pass->options->stops, term->surface, term->surface_size))
        return;
    pass->going = pass->each(pass->owner, term);
}

static void tell_word(struct pass *pass, struct analyze_term *term, bool may_stem)
{
    term->text = term->surface;
    term->size = term->surface_size;
    term->is_word = true;
    if (may_stem && pass->options->stem && term->size >= STEM_MIN) {
        struct sb_stemmer *stemmer = pass->analyst->stemmer;
        const sb_symbol *stem =
            sb_stemmer_stem(stemmer, (const sb_symbol *)term->surface, (int)term->size);
        if (stem && sb_stemmer_length(stemmer) > 0) {
            term->text = (const char *)stem;
            term->size = (size_t)sb_stemmer_length(stemmer);
        }
    }
    tell(pass, term);
}

static void tell_parts(struct pass *pass, const struct word *word)
{
    for (size_t i = 0; i < word->part_count; i++) {
        size_t end = i + 1 < word->part_count ? word->part[i + 1] : word->size;
        struct analyze_term term = {.kind = ANALYZE_WORD,
                                    .surface = word->text + word->part[i],
                                    .surface_size = end - word->part[i],
                                    .begin = word->part_begin[i],
                                    .end = word->part_end[i],
                                    .position = pass->position++};
        if (term.surface_size == 0) return; // the word was cut before it
        tell_word(pass, &term, word->is_ascii);
        if (i > 0) continue;
        struct analyze_term whole = {.kind = ANALYZE_WHOLE,
                                     .surface = word->text,
                                     .surface_size = word->size,
                                     .begin = word->begin,
                                     .end = word->end,
                                     .position = term.position,
                                     .beside = true};
        tell_word(pass, &whole, false);
    }
}

static void end_word(struct pass *pass)
{
    struct word *word = &pass->analyst->word;
    if (word->size == 0) return;
    if (word->part_count > 1 && word->part_count <= PARTS_MAX) {
        tell_parts(pass, word);
    } else {
        struct analyze_term term = {.kind = ANALYZE_WORD,
                                    .surface = word->text,
                                    .surface_size = word->size,
                                    .begin = word->begin,
                                    .end = word->end,
                                    .position = pass->position++};
        tell_word(pass, &term, word->is_ascii);
    }
    word->size = 0;
}

static void add_to_word(struct word *word, int32_t code, enum fold_class class, size_t begin,
                        size_t end)
{
    if (word->size == 0) {
        word->begin = begin;
        word->part_count = 0;
        word->is_ascii = true;
    }
    bool begins_part = word->part_count == 0 || class != word->last;
    if (begins_part && word->part_count <= PARTS_MAX) {
        word->part[word->part_count] = word->size;
        word->part_begin[word->part_count] = begin;
        word->part_count++;
    }
    word->last = class;
    word->end = end;
    word->part_end[word->part_count - 1] = end;
    word->is_ascii &= code < 0x80;
    if (word->size + UTF8_CHARACTER_MAX > ANALYZE_TERM_MAX) return; // cut
    word->size += utf8_write(word->text + word->size, code);
}

// ---- runs of ideographs ------------------------------------------------------------------------

static void find_borders(struct analyst *analyst)
{
    struct run *run = &analyst->run;
    UErrorCode error = U_ZERO_ERROR;
    memset(run->border, 0, run->count + 1);
    ubrk_setText(analyst->breaks, run->codes, (int32_t)run->unit[run->count], &error);
    size_t i = 0;
    int32_t at = ubrk_first(analyst->breaks);
    while (!U_FAILURE(error) && at != UBRK_DONE) {
        while (i < run->count && run->unit[i] < (size_t)at)
            i++;
        run->border[i] = 1;
        at = ubrk_next(analyst->breaks);
    }
}

static struct analyze_term term_of_run(const struct pass *pass, enum analyze_kind kind,
                                       size_t first, size_t count)
{
    const struct run *run = &pass->analyst->run;
    const char *text = run->text + run->at[first];
    size_t size = run->at[first + count] - run->at[first];
    return (struct analyze_term){.kind = kind,
                                 .text = text,
                                 .size = size,
                                 .surface = text,
                                 .surface_size = size,
                                 .begin = run->begin[first],
                                 .end = run->end[first + count - 1],
                                 .position = pass->position};
}

/* Where the word that begins at `first` ends, in characters. */
static size_t word_size(const struct run *run, size_t first)
{
    size_t next = first + 1;
    while (next < run->count && !run->border[next])
        next++;
    return next - first;
}

/* Tell the run's terms. `ends`: nothing follows; else its last character begins the next piece. */
static void end_run(struct pass *pass, bool ends)
{
    struct run *run = &pass->analyst->run;
    if (run->count == 0) return;
    find_borders(pass->analyst);
    for (size_t i = 0; i + 1 < run->count; i++, pass->position++) {
        size_t count = run->border[i] ? word_size(run, i) : 0;
        struct analyze_term pair = term_of_run(pass, ANALYZE_PAIR, i, 2);
        pair.is_word = count == 2;
        tell(pass, &pair);
        if (count < ENTRY_MIN || count > ENTRY_MAX) continue;
        struct analyze_term entry = term_of_run(pass, ANALYZE_ENTRY, i, count);
        if (entry.size > ANALYZE_TERM_MAX) continue;
        entry.beside = entry.is_word = true;
        tell(pass, &entry);
    }
    if (!ends) return;
    struct analyze_term last = term_of_run(pass, ANALYZE_CHARACTER, run->count - 1, 1);
    last.is_word = run->border[run->count - 1];
    tell(pass, &last);
    pass->position++;
    run->count = 0;
}

static void add_to_run(struct pass *pass, int32_t code, size_t begin, size_t end)
{
    struct run *run = &pass->analyst->run;
    if (run->count == RUN_MAX) {
        size_t last = RUN_MAX - 1;
        end_run(pass, false);
        int32_t kept;
        utf8_next(run->text + run->at[last], run->at[RUN_MAX] - run->at[last], &kept);
        size_t kept_begin = run->begin[last], kept_end = run->end[last];
        run->count = 0;
        add_to_run(pass, kept, kept_begin, kept_end);
    }
    size_t i = run->count++;
    size_t at = i ? run->at[i] : 0, unit = i ? run->unit[i] : 0;
    run->at[i] = at;
    run->unit[i] = unit;
    run->begin[i] = begin;
    run->end[i] = end;
    at += utf8_write(run->text + at, code);
    if (code > 0xFFFF) {
        run->codes[unit++] = (UChar)(0xD7C0 + (code >> 10));
        run->codes[unit++] = (UChar)(0xDC00 | (code & 0x3FF));
    } else {
        run->codes[unit++] = (UChar)code;
    }
    run->at[i + 1] = at;
    run->unit[i + 1] = unit;
}

// ---- the text ----------------------------------------------------------------------------------

static void take(struct pass *pass, int32_t code, size_t begin, size_t end)
{
    enum fold_class class = fold_class_of(pass->analyst->analyzer->fold, code);
    if (class == FOLD_IDEOGRAPH) {
        end_word(pass);
        add_to_run(pass, code, begin, end);
        return;
    }
    end_run(pass, true);
    if (class == FOLD_APART)
        end_word(pass);
    else
        add_to_word(&pass->analyst->word, code, class, begin, end);
}

/* How many bytes of the text's rest are the `'s` that ends a word. */
static size_t possessive(const char *text, size_t size)
{
    size_t mark = size > 1 && text[0] == '\''                        ? 1
                  : size > 3 && memcmp(text, "\xE2\x80\x99", 3) == 0 ? 3
                                                                     : 0;
    if (mark == 0 || (text[mark] != 's' && text[mark] != 'S')) return 0;
    if (size == mark + 1) return mark + 1;
    unsigned char next = (unsigned char)text[mark + 1];
    bool goes_on = next >= 0x80 || (next >= '0' && next <= '9') ||
                   ((next | 0x20) >= 'a' && (next | 0x20) <= 'z');
    return goes_on ? 0 : mark + 1;
}

static struct analyst *free_one(struct analyst *analyst)
{
    for (; analyst->is_busy; analyst = analyst->inner)
        if (!analyst->inner) analyst->inner = analyst_new(analyst->analyzer);
    return analyst;
}

/* A query is somebody's: no word of the latest text stays, nor in the stemmer, whose buffer is written over. */
static void forget_text(struct analyst *analyst)
{
    static const sb_symbol nothing[ANALYZE_TERM_MAX];
    (void)sb_stemmer_stem(analyst->stemmer, nothing, sizeof nothing);
    wipe(&analyst->word, sizeof analyst->word);
    wipe(&analyst->run, sizeof analyst->run);
}

void analyze(struct analyst *analyst, const struct analyze_options *options, const char *text,
             size_t size, analyze_fn *each, void *owner)
{
    analyst = free_one(analyst);
    struct pass pass = {
        .analyst = analyst, .options = options, .each = each, .owner = owner, .going = true};
    analyst->word.size = 0;
    analyst->run.count = 0;
    analyst->is_busy = true;
    for (size_t at = 0; at < size && pass.going;) {
        int32_t code, folded[FOLD_MAX];
        size_t skipped = analyst->word.size ? possessive(text + at, size - at) : 0;
        if (skipped) {
            end_word(&pass);
            at += skipped;
            continue;
        }
        size_t step = utf8_next(text + at, size - at, &code);
        if (code < 0) code = ' ';
        size_t count = fold_character(analyst->analyzer->fold, code, folded);
        for (size_t i = 0; i < count; i++)
            take(&pass, folded[i], at, at + step);
        at += step;
    }
    end_word(&pass);
    end_run(&pass, true);
    forget_text(analyst);
    analyst->is_busy = false;
}

// ---- life --------------------------------------------------------------------------------------

enum err analyzer_new(struct analyzer **out)
{
    struct fold *fold;
    UErrorCode error = U_ZERO_ERROR;
    TRY(fold_new(&fold));
    UBreakIterator *breaks = ubrk_open(UBRK_WORD, "zh", NULL, 0, &error);
    if (U_FAILURE(error)) {
        fold_free(fold);
        return err_note(ERR_IO, "ICU does not give word boundaries: %s", u_errorName(error));
    }
    struct analyzer *analyzer = mem_new(1, sizeof *analyzer);
    *analyzer = (struct analyzer){.fold = fold, .breaks = breaks};
    *out = analyzer;
    return ERR_OK;
}

void analyzer_free(struct analyzer *analyzer)
{
    if (!analyzer) return;
    ubrk_close(analyzer->breaks);
    fold_free(analyzer->fold);
    mem_free(analyzer);
}

struct analyst *analyst_new(const struct analyzer *analyzer)
{
    struct analyst *analyst = mem_new(1, sizeof *analyst);
    UErrorCode error = U_ZERO_ERROR;
    analyst->analyzer = analyzer;
    analyst->stemmer = sb_stemmer_new("porter", NULL);
    analyst->breaks = ubrk_clone(analyzer->breaks, &error);
    must(analyst->stemmer && analyst->breaks && !U_FAILURE(error));
    return analyst;
}

void analyst_free(struct analyst *analyst)
{
    while (analyst) {
        struct analyst *inner = analyst->inner;
        ubrk_close(analyst->breaks);
        sb_stemmer_delete(analyst->stemmer);
        mem_free(analyst);
        analyst = inner;
    }
}
