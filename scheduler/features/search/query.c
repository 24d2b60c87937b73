#include "scheduler/features/search/query.h"

#include "scheduler/features/search/standin.h"

#include "text/common.h"

#include "base/must.h"
#include "base/wipe.h"

#include <string.h>

/* What a word of the dictionary weighs beside its pairs, and each further time that a term stands in the query. Measured over
 * CMRC2018 and Vaswani (tests/conformance/search_test.c): more of either ranks worse. Pairs that cross the border of two words
 * say as much as others: with half their weight MRR falls from .975 to .960. */
static const double entry_weight = 0.2, again_weight = 0.25;

/* What a common word, or a pair of common ideographs, weighs beside others. Over CMRC2018 MRR is .9820 with it and .9754 with 1; over
 * Vaswani MAP .2975 and .2873; between 0 and 0.4 both are the same within .0005. */
static const double common_weight = 0.2;

/* The query while it is made. */
struct build {
    struct query *query;
    const struct query_options *options;
    uint32_t group; // of the next word
    size_t guesses; // words for which others were looked for
    size_t end;     // where the text ends, if the piece at hand is its last; else SIZE_MAX
    bool is_phrase, is_unwanted;
    struct lexical_term phrase; // its terms so far
    size_t phrase_count;
    bool after_pair; // the term before was a pair: a character behind it is its second half
    size_t half;     // bytes of such a character at the end of the phrase
};

// ---- terms -------------------------------------------------------------------------------------

static char *keep(struct query *query, const char *text, size_t size)
{
    if (query->used + size > sizeof query->room) return NULL;
    char *kept = query->room + query->used;
    memcpy(kept, text, size);
    query->used += size;
    return kept;
}

static bool is_same(const struct lexical_term *a, const struct lexical_term *b)
{
    return a->size == b->size && a->is_prefix == b->is_prefix && a->is_unwanted == b->is_unwanted &&
           memcmp(a->text, b->text, a->size) == 0;
}

bool query_add(struct query *query, struct lexical_term term)
{
    for (size_t i = 0; i < query->count; i++) {
        if (!is_same(&query->terms[i], &term)) continue;
        if (query->terms[i].is_extra && !term.is_extra) {
            query->terms[i].is_extra = false; // a common word and another one have one stem
            query->terms[i].weight = term.weight;
        } else if (query->terms[i].group != term.group) {
            query->terms[i].weight += again_weight * term.weight;
        }
        return false;
    }
    if (query->count == LEXICAL_TERMS_MAX || term.size == 0) return false;
    term.text = keep(query, term.text, term.size);
    if (!term.text) return false;
    query->terms[query->count++] = term;
    return true;
}

static struct lexical_term term_of(const struct build *build, const struct analyze_term *term,
                                   double weight)
{
    return (struct lexical_term){.text = term->text,
                                 .size = term->size,
                                 .weight = weight,
                                 .group = build->group,
                                 .is_unwanted = build->is_unwanted};
}

// ---- words and runs ----------------------------------------------------------------------------

static void add_word(struct build *build, const struct analyze_term *term)
{
    struct lexical_term word = term_of(build, term, 1);
    if (!build->is_unwanted &&
        analyze_is_stop(build->options->common, term->surface, term->surface_size)) {
        word.weight = common_weight;
        word.is_extra = true;
        query_add(build->query, word);
    } else if (query_add(build->query, word) && build->options->words && !build->is_unwanted &&
               build->guesses < QUERY_GUESSES_MAX &&
               !build->options->has(build->options->owner, &word)) {
        build->guesses++;
        build->group =
            standin_add(build->query, build->options, term, build->group, term->end == build->end);
    }
    build->group++;
}

static void add_run_term(struct build *build, const struct analyze_term *term, double weight)
{
    struct lexical_term one = term_of(build, term, weight);
    one.is_prefix = term->kind == ANALYZE_CHARACTER;
    if (term->kind == ANALYZE_PAIR && build->options->common && !build->is_unwanted &&
        common_pair(term->text, term->size)) {
        one.weight = common_weight;
        one.is_extra = true;
    }
    query_add(build->query, one);
    build->group++;
}

/* The phrase of the pairs that a dictionary word is made of. */
static void add_entry_phrase(struct build *build, const struct analyze_term *term)
{
    char text[2 * QUERY_PHRASE_MAX * 4 + QUERY_PHRASE_MAX];
    size_t size = 0, first = 0;
    for (size_t at = 0; at < term->size && size + 9 < sizeof text;) {
        size_t next = at + 1;
        while (next < term->size && (term->text[next] & 0xC0) == 0x80)
            next++;
        if (at > 0) {
            if (size > 0) text[size++] = LEXICAL_PHRASE_PART;
            memcpy(text + size, term->text + first, next - first);
            size += next - first;
            first = at;
        }
        at = next;
    }
    struct analyze_term phrase = *term;
    phrase.text = text;
    phrase.size = size;
    add_run_term(build, &phrase, 1);
}

static void take_run(struct build *build, const struct analyze_term *term)
{
    bool all = build->options->all;
    if (term->kind == ANALYZE_PAIR) {
        build->after_pair = true;
        if (!all || term->is_word) add_run_term(build, term, 1);
    } else if (term->kind == ANALYZE_ENTRY) {
        if (all)
            add_entry_phrase(build, term);
        else
            add_run_term(build, term, entry_weight);
    } else { // ANALYZE_CHARACTER
        if (!build->after_pair) add_run_term(build, term, 1);
        build->after_pair = false;
    }
}

// ---- phrases -----------------------------------------------------------------------------------

static bool on_phrase_term(void *owner, const struct analyze_term *term)
{
    struct build *build = owner;
    struct query *query = build->query;
    static const char part = LEXICAL_PHRASE_PART;
    if (term->beside) return true;
    if (build->phrase_count == QUERY_PHRASE_MAX) return false;
    if (query->used + term->size + 1 > sizeof query->room) return false;
    if (build->phrase_count++ == 0)
        build->phrase.text = query->room + query->used;
    else
        keep(query, &part, 1);
    keep(query, term->text, term->size);
    build->phrase.size = (size_t)(query->room + query->used - build->phrase.text);
    bool is_half = term->kind == ANALYZE_CHARACTER && build->after_pair;
    build->half = is_half ? term->size + 1 : 0;
    build->after_pair = term->kind == ANALYZE_PAIR;
    return true;
}

/* At the end the second half of a pair says nothing new, and would want the document's run to end there too. */
static void end_phrase(struct build *build)
{
    struct query *query = build->query;
    if (build->phrase_count == 0 || query->count == LEXICAL_TERMS_MAX) return;
    build->phrase.size -= build->half;
    build->phrase.weight = (double)build->phrase_count;
    build->phrase.group = build->group++;
    build->phrase.is_unwanted = build->is_unwanted;
    query->terms[query->count++] = build->phrase;
}

static bool on_term(void *owner, const struct analyze_term *term)
{
    struct build *build = owner;
    if (term->kind == ANALYZE_WORD || term->kind == ANALYZE_WHOLE) {
        build->after_pair = false;
        // Where every group must be there, the parts say it: a document may have them apart.
        if (term->kind == ANALYZE_WORD || !build->options->all) add_word(build, term);
    } else {
        take_run(build, term);
    }
    return build->query->count < LEXICAL_TERMS_MAX;
}

static void read_piece(struct build *build, const char *text, size_t size)
{
    build->after_pair = false;
    if (!build->is_phrase) {
        analyze(build->options->analyst, build->options->analyze, text, size, on_term, build);
        return;
    }
    build->phrase = (struct lexical_term){0};
    build->phrase_count = build->half = 0;
    analyze(build->options->analyst, build->options->analyze, text, size, on_phrase_term, build);
    end_phrase(build);
}

// ---- the text ----------------------------------------------------------------------------------

struct piece {
    size_t begin, end, next; // of the text without its marks; where the piece behind it begins
    bool is_phrase, is_unwanted;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The piece at `at`: a word with a '-', something in quotes, or what stands before one of them. */
static struct piece cut_piece(const char *text, size_t size, size_t at)
{
    struct piece piece = {.begin = at};
    bool begins = at == 0 || is_blank(text[at - 1]);
    if (text[at] == '-' && begins && at + 1 < size && !is_blank(text[at + 1]) &&
        text[at + 1] != '-') {
        piece.is_unwanted = true;
        piece.begin = ++at;
    }
    if (text[at] == '"') {
        const char *end = memchr(text + at + 1, '"', size - at - 1);
        piece.is_phrase = true;
        piece.begin = at + 1;
        piece.end = end ? (size_t)(end - text) : size;
        piece.next = end ? piece.end + 1 : size;
        return piece;
    }
    for (at++; at < size; at++) {
        if (text[at] == '"' || (piece.is_unwanted && is_blank(text[at]))) break;
        if (text[at] == '-' && is_blank(text[at - 1])) break;
    }
    piece.end = piece.next = at;
    return piece;
}

/* Where every word that is wanted is a common one, they are what was meant. */
static void judge_common(struct query *query)
{
    size_t count = 0;
    for (; count < query->count && !query->terms[count].is_unwanted; count++)
        if (!query->terms[count].is_extra) return;
    for (size_t i = 0; i < count; i++) {
        query->terms[i].weight /= common_weight;
        query->terms[i].is_extra = false;
    }
}

void query_build(struct query *query, const struct query_options *options, const char *text,
                 size_t size)
{
    struct build build = {.query = query, .options = options};
    query->count = query->used = 0;
    if (size > QUERY_BYTES_MAX) size = QUERY_BYTES_MAX;
    // The wanted ones first: lexical.h wants it so.
    for (int unwanted = 0; unwanted < 2; unwanted++) {
        for (size_t at = 0; at < size;) {
            struct piece piece = cut_piece(text, size, at);
            build.is_phrase = piece.is_phrase;
            build.is_unwanted = piece.is_unwanted;
            build.end = piece.next == size ? piece.end - piece.begin : SIZE_MAX;
            if (piece.is_unwanted == (unwanted == 1))
                read_piece(&build, text + piece.begin, piece.end - piece.begin);
            must(piece.next > at);
            at = piece.next;
        }
        if (unwanted == 0) judge_common(query);
    }
}

static bool has_part(const struct lexical_term *term, const char *text, size_t size)
{
    const char *at = term->text, *end = term->text + term->size;
    while (at < end) {
        const char *mark = memchr(at, LEXICAL_PHRASE_PART, (size_t)(end - at));
        size_t part = (size_t)((mark ? mark : end) - at);
        if (part == size && memcmp(at, text, size) == 0) return true;
        at += part + 1;
    }
    return false;
}

bool query_wants(const struct query *query, const char *text, size_t size)
{
    for (size_t i = 0; i < query->count && !query->terms[i].is_unwanted; i++) {
        const struct lexical_term *term = &query->terms[i];
        if (term->is_extra) continue;
        if (term->is_prefix ? size >= term->size && memcmp(term->text, text, term->size) == 0
                            : has_part(term, text, size))
            return true;
    }
    return false;
}

void query_forget(struct query *query)
{
    wipe(query->room, query->used);
    wipe(query->terms, query->count * sizeof *query->terms);
    query->used = query->count = 0;
}
