#include "text/match_internal.h"
#include "text/utf8.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>
#include <string.h>

/* What is known of a match while it is built. */
struct builder {
    struct match *match;
    size_t meant_room, code_room;
    uint32_t *numbers; // symbol numbers of `meant`
};

static enum err too_short(void)
{
    return err_note(ERR_INVALID,
                    "has fewer than %d letters, digits or ideographs: it would be everywhere",
                    MATCH_SYMBOLS_LEAST);
}

static void *grow(void *old, size_t *room, size_t wanted, size_t size)
{
    if (wanted <= *room) return old;
    while (*room < wanted)
        *room = *room ? 2 * *room : 1024;
    return mem_resize(old, *room, size);
}

/* The term's symbols, and where it has gaps itself. */
static enum err read_term(struct builder *builder, const struct match_entry *entry,
                          struct match_term *term)
{
    struct match *match = builder->match;
    bool is_apart = false;
    size_t bytes = 0;
    term->symbols = (uint32_t)match->meant_count;
    for (size_t at = 0; at < entry->size;) {
        struct disguise_symbol symbols[FOLD_MAX];
        enum disguise_gap gap = DISGUISE_TOUCH;
        int32_t code;
        at += utf8_next(entry->text + at, entry->size - at, &code);
        if (code < 0) return err_note(ERR_INVALID, "is not UTF-8");
        size_t count = disguise_read(match->disguise, code, symbols, &gap);
        if (count == 0 && gap != DISGUISE_HIDDEN) is_apart = true;
        if (term->size + count > MATCH_SYMBOLS_MAX)
            return err_note(ERR_INVALID, "has more than %d letters, digits and ideographs",
                            MATCH_SYMBOLS_MAX);
        if (count > 0 && is_apart && term->size > 0) term->gaps |= UINT64_C(1) << term->size;
        if (count > 0) is_apart = false;
        match->meant = grow(match->meant, &builder->meant_room, match->meant_count + count,
                            sizeof *match->meant);
        for (size_t i = 0; i < count; i++) {
            char folded[UTF8_CHARACTER_MAX];
            bytes += utf8_write(folded, symbols[i].code);
            match->meant[match->meant_count++] = symbols[i];
        }
        term->size += (uint8_t)count;
    }
    if (term->size < MATCH_SYMBOLS_LEAST) return too_short();
    bool is_part = entry->kind == MATCH_PART;
    const struct disguise_symbol *meant = match->meant + term->symbols;
    term->left = !is_part && meant[0].class != FOLD_IDEOGRAPH;
    term->right = !is_part && meant[term->size - 1].class != FOLD_IDEOGRAPH;
    if (bytes > match->longest) match->longest = bytes;
    return ERR_OK;
}

static enum err read_entries(struct builder *builder, const struct match_entry *entries,
                             size_t count, size_t *wrong)
{
    struct match *match = builder->match;
    for (size_t i = 0; i < count; i++) {
        *wrong = i;
        if (entries[i].kind == MATCH_PATTERN) {
            if (match->pattern_count == MATCH_PATTERNS_MAX)
                return err_note(ERR_INVALID, "is one pattern too many: at most %d",
                                MATCH_PATTERNS_MAX);
            struct match_pattern *pattern = &match->patterns[match->pattern_count];
            TRY(pattern_read(&pattern->pattern, match->disguise, entries[i].text, entries[i].size));
            pattern->entry = (uint32_t)i;
            match->pattern_count++;
            size_t bytes = (size_t)UTF8_CHARACTER_MAX * pattern->pattern.size;
            if (bytes > match->longest) match->longest = bytes;
            continue;
        }
        if (match->term_count == MATCH_TERMS_MAX)
            return err_note(ERR_INVALID, "is one term too many: at most %d", MATCH_TERMS_MAX);
        struct match_term *term = &match->terms[match->term_count];
        *term = (struct match_term){.entry = (uint32_t)i};
        TRY(read_term(builder, &entries[i], term));
        match->term_count++;
    }
    return ERR_OK;
}

// ---- symbols -----------------------------------------------------------------------------------

static int compare_codes(const void *left, const void *right)
{
    int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;
    return (a > b) - (a < b);
}

static void number_shapes(struct builder *builder)
{
    struct match *match = builder->match;
    size_t count = match->meant_count, kept = 0;
    match->codes = mem_new(count ? count : 1, sizeof *match->codes);
    for (size_t i = 0; i < count; i++)
        match->codes[i] = match->meant[i].shape;
    qsort(match->codes, count, sizeof *match->codes, compare_codes);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || match->codes[kept - 1] != match->codes[i])
            match->codes[kept++] = match->codes[i];
    match->code_count = kept;
    for (size_t i = 0; i < kept && i < UINT16_MAX; i++)
        if (match->codes[i] < MATCH_PLANE) match->low[match->codes[i]] = (uint16_t)(i + 1);
    builder->numbers = mem_new(count ? count : 1, sizeof *builder->numbers);
    for (size_t i = 0; i < count; i++)
        builder->numbers[i] = match_symbol(match, match->meant[i].shape);
}

// ---- states ------------------------------------------------------------------------------------

/* What qsort() compares by; set while it runs, in this thread alone. */
static _Thread_local const uint32_t *sorted_by;

static int compare_terms(const void *left, const void *right)
{
    const struct match_term *a = left, *b = right;
    size_t shorter = a->size < b->size ? a->size : b->size;
    for (size_t i = 0; i < shorter; i++) {
        uint32_t x = sorted_by[a->symbols + i], y = sorted_by[b->symbols + i];
        if (x != y) return x < y ? -1 : 1;
    }
    if (a->size != b->size) return a->size < b->size ? -1 : 1;
    return (a->entry > b->entry) - (a->entry < b->entry);
}

/* The terms of a state, by number, while states are made. */
struct span {
    uint32_t from, to;
};

/* The states below `state`, whose terms are `span`: one for each symbol that follows. */
static void add_children(struct builder *builder, struct span *spans, uint32_t state)
{
    struct match *match = builder->match;
    struct match_state *here = &match->states[state];
    uint32_t at = spans[state].from, to = spans[state].to;
    here->first = (uint32_t)match->state_count;
    here->term = at;
    while (at < to && match->terms[at].size == here->depth)
        at++;
    here->term_count = at - here->term;
    while (at < to) {
        uint32_t symbol = builder->numbers[match->terms[at].symbols + here->depth];
        uint32_t child = (uint32_t)match->state_count++, from = at;
        while (at < to && builder->numbers[match->terms[at].symbols + here->depth] == symbol)
            at++;
        match->states[child] = (struct match_state){.symbol = symbol, .depth = here->depth + 1};
        spans[child] = (struct span){from, at};
    }
}

static void link_child(struct match *match, uint32_t parent, uint32_t child)
{
    struct match_state *state = &match->states[child];
    if (parent != 0) state->fail = match_next(match, match->states[parent].fail, state->symbol);
    const struct match_state *fail = &match->states[state->fail];
    state->next = fail->term_count ? state->fail : fail->next;
}

static void make_states(struct builder *builder)
{
    struct match *match = builder->match;
    sorted_by = builder->numbers;
    qsort(match->terms, match->term_count, sizeof *match->terms, compare_terms);
    size_t room = match->meant_count + 2; // each symbol makes one state at most
    struct span *spans = mem_new(room, sizeof *spans);
    match->states = mem_new(room, sizeof *match->states);
    match->state_count = 1;
    spans[0] = (struct span){0, (uint32_t)match->term_count};
    for (uint32_t state = 0; state < match->state_count; state++)
        add_children(builder, spans, state);
    mem_free(spans);
    must(match->state_count < room);
    match->states = mem_resize(match->states, match->state_count + 1, sizeof *match->states);
    match->states[match->state_count] = (struct match_state){.first = (uint32_t)match->state_count};
    match->root = mem_new(match->code_count + 1, sizeof *match->root);
    for (uint32_t child = match->states[0].first; child < match->states[1].first; child++)
        match->root[match->states[child].symbol] = child;
    // Breadth first: where a state fails to is linked before it.
    for (uint32_t state = 0; state < match->state_count; state++)
        for (uint32_t child = match->states[state].first; child < match->states[state + 1].first;
             child++)
            link_child(match, state, child);
}

// ---- life --------------------------------------------------------------------------------------

enum err match_new(struct match **out, const struct disguise *disguise,
                   const struct match_entry *entries, size_t count, size_t *wrong)
{
    struct builder builder = {.match = mem_new(1, sizeof(struct match))};
    struct match *match = builder.match;
    match->disguise = disguise;
    match->terms = mem_new(count ? count : 1, sizeof *match->terms);
    match->patterns = mem_new(MATCH_PATTERNS_MAX, sizeof *match->patterns);
    enum err err = read_entries(&builder, entries, count, wrong);
    if (err) {
        match_free(match);
        return err;
    }
    number_shapes(&builder);
    make_states(&builder);
    mem_free(builder.numbers);
    *out = match;
    return ERR_OK;
}

void match_free(struct match *match)
{
    if (!match) return;
    mem_free(match->codes);
    mem_free(match->root);
    mem_free(match->states);
    mem_free(match->terms);
    mem_free(match->meant);
    mem_free(match->patterns);
    mem_free(match);
}

size_t match_longest(const struct match *match)
{
    return match->longest;
}

size_t match_bytes(const struct match *match)
{
    return sizeof *match + match->code_count * sizeof *match->codes +
           (match->code_count + 1) * sizeof *match->root +
           (match->state_count + 1) * sizeof *match->states +
           match->term_count * sizeof *match->terms + match->meant_count * sizeof *match->meant +
           MATCH_PATTERNS_MAX * sizeof *match->patterns;
}
