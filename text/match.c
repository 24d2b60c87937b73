#include "text/match.h"

#include "text/match_internal.h"
#include "text/utf8.h"

#include "base/mem.h"
#include "base/must.h"

#include <string.h>

enum {
    RING = 2 * MATCH_SYMBOLS_MAX // symbols that are remembered; a power of two
};

/* A symbol of the text. */
struct seen {
    struct disguise_symbol symbol;
    uint64_t begin, end;
    enum disguise_gap gap; // before it; what counts, given its neighbour
    bool has_gap;          // one that is seen
    bool joins;            // a letter or digit stands right before it
};

struct match_run {
    const struct match *match;
    uint32_t state;
    uint64_t offset; // bytes so far
    uint64_t count;  // symbols so far
    enum disguise_gap gap;
    size_t gap_size; // signs that are seen
    bool after_word; // a letter or digit was last, gaps aside
    bool is_due;     // hits that end with the last symbol were not told yet
    struct seen ring[RING];
    uint64_t patterns[MATCH_PATTERNS_MAX];
    uint64_t begins[MATCH_PATTERNS_MAX]; // no symbol before is part of what is under way
};

uint32_t match_symbol(const struct match *match, int32_t shape)
{
    if (shape < MATCH_PLANE && (match->low[shape] || match->code_count < UINT16_MAX))
        return match->low[shape];
    size_t low = 0, high = match->code_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (match->codes[middle] == shape) return (uint32_t)middle + 1;
        if (match->codes[middle] < shape)
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

static uint32_t child_of(const struct match *match, uint32_t state, uint32_t symbol)
{
    if (state == 0) return match->root[symbol];
    uint32_t low = match->states[state].first, high = match->states[state + 1].first;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint32_t found = match->states[middle].symbol;
        if (found == symbol) return middle;
        if (found < symbol)
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

uint32_t match_next(const struct match *match, uint32_t state, uint32_t symbol)
{
    if (symbol == 0) return 0;
    for (;;) {
        uint32_t child = child_of(match, state, symbol);
        if (child || state == 0) return child;
        state = match->states[state].fail;
    }
}

/* `back` symbols before the one that is to come: 1 is the last. */
static const struct seen *look_back(const struct match_run *run, uint64_t back)
{
    return &run->ring[(run->count - back) & (RING - 1)];
}

// ---- judging -----------------------------------------------------------------------------------

/* Gaps within: those that part are let pass where all symbols are apart, as a word is spelled. */
static bool gaps_fit(const struct match_run *run, const struct match_term *term)
{
    bool has_strong = false, all = term->size >= 3;
    for (unsigned i = 1; i < term->size; i++) {
        const struct seen *seen = look_back(run, term->size - i);
        if (term->gaps >> i & 1) continue;
        all = all && seen->has_gap;
        has_strong = has_strong || seen->gap == DISGUISE_STRONG;
    }
    return all || !has_strong;
}

static bool term_fits(const struct match_run *run, const struct match_term *term)
{
    const struct disguise_symbol *meant = run->match->meant + term->symbols;
    unsigned hints = 0;
    for (unsigned i = 0; i < term->size; i++) {
        switch (disguise_judge(&look_back(run, term->size - i)->symbol, &meant[i])) {
        case DISGUISE_OTHER: return false;
        case DISGUISE_HINT: hints++; break;
        case DISGUISE_SAME:
        case DISGUISE_SCRIPT: break;
        }
    }
    return hints <= term->size / 2U && gaps_fit(run, term);
}

static void tell(const struct match_run *run, uint32_t entry, unsigned size, match_fn *hit,
                 void *owner)
{
    struct match_hit told = {
        .entry = entry, .begin = look_back(run, size)->begin, .end = look_back(run, 1)->end};
    hit(owner, &told);
}

static void tell_terms(const struct match_run *run, bool ends_word, match_fn *hit, void *owner)
{
    const struct match *match = run->match;
    const struct match_state *state = &match->states[run->state];
    uint32_t at = state->term_count ? run->state : state->next;
    for (; at; at = match->states[at].next) {
        for (uint32_t i = 0; i < match->states[at].term_count; i++) {
            const struct match_term *term = &match->terms[match->states[at].term + i];
            if (term->right && !ends_word) continue;
            if (term->left && look_back(run, term->size)->joins) continue;
            if (term_fits(run, term)) tell(run, term->entry, term->size, hit, owner);
        }
    }
}

/* Where the longest stretch begins that is the pattern and stands apart, in symbols back; 0: none does. */
static unsigned find_begin(const struct match_run *run, const struct pattern *pattern)
{
    for (unsigned size = pattern->size; size >= pattern->least; size--) {
        if (size > run->count || size > RING) continue;
        const struct seen *first = look_back(run, size);
        if (first->joins && first->symbol.class != FOLD_IDEOGRAPH) continue;
        uint64_t state = pattern_step(pattern, 0, &first->symbol);
        bool is_torn = false;
        for (unsigned back = size - 1; back > 0; back--) {
            is_torn = is_torn || look_back(run, back)->gap == DISGUISE_STRONG;
            state = pattern_go_on(pattern, state, &look_back(run, back)->symbol);
        }
        if (!is_torn && pattern_is_whole(pattern, state)) return size;
    }
    return 0;
}

static void tell_patterns(const struct match_run *run, bool ends_word, match_fn *hit, void *owner)
{
    if (!ends_word && look_back(run, 1)->symbol.class != FOLD_IDEOGRAPH) return;
    for (size_t i = 0; i < run->match->pattern_count; i++) {
        const struct match_pattern *pattern = &run->match->patterns[i];
        if (!pattern_is_whole(&pattern->pattern, run->patterns[i])) continue;
        unsigned size = find_begin(run, &pattern->pattern);
        if (size) tell(run, pattern->entry, size, hit, owner);
    }
}

/* What ends with the last symbol, now that it is known what stands behind it. */
static void settle(struct match_run *run, bool ends_word, match_fn *hit, void *owner)
{
    if (!run->is_due) return;
    run->is_due = false;
    tell_terms(run, ends_word, hit, owner);
    tell_patterns(run, ends_word, hit, owner);
}

// ---- the text ----------------------------------------------------------------------------------

static bool is_word(const struct disguise_symbol *symbol)
{
    return symbol->class == FOLD_LETTER || symbol->class == FOLD_DIGIT;
}

static void forget(struct match_run *run)
{
    run->state = 0;
    memset(run->patterns, 0, run->match->pattern_count * sizeof *run->patterns);
}

static void take_gap(struct match_run *run, enum disguise_gap gap, match_fn *hit, void *owner)
{
    if (gap > run->gap) run->gap = gap;
    if (gap == DISGUISE_HIDDEN) return;
    settle(run, true, hit, owner);
    run->after_word = false;
    if (++run->gap_size > MATCH_GAP_MAX) forget(run);
}

/* What the gap before `symbol` is, between its neighbours. */
static enum disguise_gap gap_before(const struct match_run *run,
                                    const struct disguise_symbol *symbol)
{
    if (run->gap < DISGUISE_SPACE || run->gap == DISGUISE_STRONG || run->count == 0)
        return run->gap;
    enum fold_class before = look_back(run, 1)->symbol.class;
    bool alike = before == symbol->class && before != FOLD_LETTER;
    return alike && (before == FOLD_IDEOGRAPH || run->gap == DISGUISE_SPACE) ? DISGUISE_WEAK
                                                                             : DISGUISE_STRONG;
}

static void take_symbol(struct match_run *run, const struct disguise_symbol *symbol, size_t size,
                        match_fn *hit, void *owner)
{
    settle(run, !is_word(symbol), hit, owner);
    struct seen seen = {.symbol = *symbol,
                        .begin = run->offset,
                        .end = run->offset + size,
                        .gap = run->gap_size > MATCH_GAP_MAX ? DISGUISE_STRONG
                                                             : gap_before(run, symbol),
                        .has_gap = run->gap > DISGUISE_HIDDEN,
                        .joins = run->after_word};
    run->ring[run->count++ & (RING - 1)] = seen;
    uint32_t number = match_symbol(run->match, symbol->shape);
    run->state = match_next(run->match, run->state, number);
    for (size_t i = 0; i < run->match->pattern_count; i++) {
        uint64_t before = seen.gap == DISGUISE_STRONG ? 0 : run->patterns[i];
        run->patterns[i] = pattern_step(&run->match->patterns[i].pattern, before, symbol);
        // The reach is too long where places were left out: what was ruled out once stays so.
        uint64_t reach = pattern_reach(run->patterns[i]);
        if (run->begins[i] + reach < run->count) run->begins[i] = run->count - reach;
    }
    run->gap = DISGUISE_TOUCH;
    run->gap_size = 0;
    run->after_word = is_word(symbol);
    run->is_due = true;
}

void match_push(struct match_run *run, const char *text, size_t size, match_fn *hit, void *owner)
{
    for (size_t at = 0; at < size;) {
        struct disguise_symbol symbols[FOLD_MAX];
        enum disguise_gap gap = DISGUISE_STRONG;
        int32_t code;
        size_t step = utf8_next(text + at, size - at, &code), count = 0;
        if (code >= 0) count = disguise_read(run->match->disguise, code, symbols, &gap);
        if (count == 0) take_gap(run, gap, hit, owner);
        for (size_t i = 0; i < count; i++)
            take_symbol(run, &symbols[i], step, hit, owner);
        at += step;
        run->offset += step;
    }
}

void match_end(struct match_run *run, match_fn *hit, void *owner)
{
    settle(run, true, hit, owner);
    forget(run);
}

uint64_t match_safe(const struct match_run *run)
{
    uint64_t back = run->match->states[run->state].depth;
    for (size_t i = 0; i < run->match->pattern_count; i++) {
        uint64_t reach = run->patterns[i] ? run->count - run->begins[i] : 0;
        if (reach > back) back = reach;
    }
    return back ? look_back(run, back)->begin : run->offset;
}

struct match_run *match_run_new(const struct match *match)
{
    struct match_run *run = mem_new(1, sizeof *run);
    run->match = match;
    return run;
}

void match_run_free(struct match_run *run)
{
    mem_free(run);
}
