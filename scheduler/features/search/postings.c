#include "scheduler/features/search/postings.h"

#include "base/mem.h"
#include "base/must.h"

#include <string.h>

enum {
    BUCKETS_FIRST = 1 << 12,
    LETTERS = 1 << 12, // chains of terms by their first character
    RUN_FIRST = 2,     // room of a term's first run, then four times as much, up to POSTINGS_RUN
    TOKENS_FIRST = 256
};

#define NONE POSTINGS_NONE

struct term {
    char *text; // owned; NULL: the id is free
    uint32_t size;
    uint32_t next;          // in its bucket, or among the free ones
    uint32_t before, after; // by its first character
    uint32_t count;         // documents
    uint32_t run_count;     // 0 or 1: the run is `one`
    uint32_t run_capacity;  // of `runs`; 0: there is only `one`
    float fresh;            // of the document that is going in
    bool is_fresh, is_beside;

    union {
        struct postings_run one;
        struct postings_run *runs;
    };
};

/* What a document has. */
struct document {
    uint32_t count;
    uint32_t tokens[];
};

struct postings {
    struct term *terms;
    size_t end, capacity; // of the ids
    size_t used;          // terms
    uint32_t spare;       // the first id that is free
    uint32_t *buckets;
    size_t bucket_count; // a power of two
    uint32_t letters[LETTERS];
    struct document **documents; // [document_count], by number
    size_t document_count;
    uint32_t *tokens; // of the document that is going in
    size_t token_count, token_capacity;
    uint32_t *fresh; // its terms, each once
    size_t fresh_count, fresh_capacity;
};

struct postings *postings_new(void)
{
    struct postings *postings = mem_new(1, sizeof *postings);
    postings->bucket_count = BUCKETS_FIRST;
    postings->buckets = mem_new(BUCKETS_FIRST, sizeof *postings->buckets);
    memset(postings->buckets, 0xFF, BUCKETS_FIRST * sizeof *postings->buckets);
    memset(postings->letters, 0xFF, sizeof postings->letters);
    postings->spare = NONE;
    return postings;
}

static struct postings_run *runs_of(struct term *term)
{
    return term->run_capacity ? term->runs : &term->one;
}

static void free_runs(struct term *term)
{
    for (uint32_t i = 0; i < term->run_count; i++)
        mem_free(runs_of(term)[i].numbers);
    if (term->run_capacity) mem_free(term->runs);
    term->run_count = term->run_capacity = 0;
}

bool postings_shed(struct postings *postings, size_t count)
{
    for (; postings->document_count > 0 && count > 0; count--)
        mem_free(postings->documents[--postings->document_count]);
    for (; postings->end > 0 && count > 0; count--) {
        struct term *term = &postings->terms[--postings->end];
        if (!term->text) continue;
        free_runs(term);
        mem_free(term->text);
    }
    return postings->end > 0 || postings->document_count > 0;
}

void postings_free(struct postings *postings)
{
    if (!postings) return;
    while (postings_shed(postings, SIZE_MAX))
        continue;
    mem_free(postings->terms);
    mem_free(postings->buckets);
    mem_free(postings->documents);
    mem_free(postings->tokens);
    mem_free(postings->fresh);
    mem_free(postings);
}

// ---- the dictionary ----------------------------------------------------------------------------

static uint64_t hash_of(const char *text, size_t size)
{
    uint64_t hash = UINT64_C(14695981039346656037); // FNV-1a
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
    return hash ^ hash >> 29;
}

static uint32_t *bucket_of(const struct postings *postings, const char *text, size_t size)
{
    return &postings->buckets[hash_of(text, size) & (postings->bucket_count - 1)];
}

/* The chain of the terms whose first character this is, and of some others. */
static uint32_t *letter_of(const struct postings *postings, const char *text, size_t size)
{
    size_t end = 1;
    while (end < size && end < 4 && ((unsigned char)text[end] & 0xC0) == 0x80)
        end++;
    return (uint32_t *)(uintptr_t)&postings->letters[hash_of(text, end) % LETTERS];
}

uint32_t postings_find(const struct postings *postings, const char *text, size_t size)
{
    uint32_t at = *bucket_of(postings, text, size);
    for (; at != NONE; at = postings->terms[at].next) {
        const struct term *term = &postings->terms[at];
        if (term->size == size && memcmp(term->text, text, size) == 0) return at;
    }
    return NONE;
}

static void link_term(struct postings *postings, uint32_t id)
{
    struct term *term = &postings->terms[id];
    uint32_t *bucket = bucket_of(postings, term->text, term->size);
    term->next = *bucket;
    *bucket = id;
}

static void grow(struct postings *postings)
{
    size_t count = 2 * postings->bucket_count;
    postings->buckets = mem_resize(postings->buckets, count, sizeof *postings->buckets);
    memset(postings->buckets, 0xFF, count * sizeof *postings->buckets);
    postings->bucket_count = count;
    for (size_t i = 0; i < postings->end; i++)
        if (postings->terms[i].text) link_term(postings, (uint32_t)i);
}

static uint32_t take_id(struct postings *postings)
{
    uint32_t id = postings->spare;
    if (id != NONE) {
        postings->spare = postings->terms[id].next;
        return id;
    }
    if (postings->end == postings->capacity) {
        postings->capacity = postings->capacity ? 2 * postings->capacity : BUCKETS_FIRST;
        postings->terms = mem_resize(postings->terms, postings->capacity, sizeof *postings->terms);
    }
    must(postings->end < POSTINGS_FIELD);
    return (uint32_t)postings->end++;
}

static uint32_t add_term(struct postings *postings, const char *text, size_t size)
{
    if (postings->used >= postings->bucket_count) grow(postings);
    uint32_t id = take_id(postings);
    struct term *term = &postings->terms[id];
    uint32_t *first = letter_of(postings, text, size);
    *term = (struct term){.text = mem_text(text, size),
                          .size = (uint32_t)size,
                          .before = NONE,
                          .after = *first,
                          .is_beside = true};
    if (*first != NONE) postings->terms[*first].before = id;
    *first = id;
    link_term(postings, id);
    postings->used++;
    return id;
}

static void forget_term(struct postings *postings, uint32_t id)
{
    struct term *term = &postings->terms[id];
    uint32_t *at = bucket_of(postings, term->text, term->size);
    while (*at != id)
        at = &postings->terms[*at].next;
    *at = term->next;
    if (term->after != NONE) postings->terms[term->after].before = term->before;
    if (term->before != NONE)
        postings->terms[term->before].after = term->after;
    else
        *letter_of(postings, term->text, term->size) = term->after;
    free_runs(term);
    mem_free(term->text);
    *term = (struct term){.next = postings->spare};
    postings->spare = id;
    postings->used--;
}

uint32_t postings_beginning(const struct postings *postings, const char *text, size_t size,
                            uint32_t after)
{
    uint32_t at = after == NONE ? *letter_of(postings, text, size) : postings->terms[after].after;
    for (; at != NONE; at = postings->terms[at].after) {
        const struct term *term = &postings->terms[at];
        if (term->size >= size && memcmp(term->text, text, size) == 0) return at;
    }
    return NONE;
}

// ---- runs --------------------------------------------------------------------------------------

static void set_capacity(struct postings_run *run, uint32_t capacity)
{
    uint32_t *numbers = mem_new(capacity, sizeof *numbers + sizeof *run->frequencies);
    float *frequencies = (float *)(void *)(numbers + capacity);
    if (run->count > 0) {
        memcpy(numbers, run->numbers, run->count * sizeof *numbers);
        memcpy(frequencies, run->frequencies, run->count * sizeof *frequencies);
    }
    mem_free(run->numbers);
    run->numbers = numbers;
    run->frequencies = frequencies;
    run->capacity = capacity;
}

/* Room for `count`, at most POSTINGS_RUN. */
static void grow_run(struct postings_run *run, uint32_t count)
{
    uint32_t capacity = run->capacity ? run->capacity : RUN_FIRST;
    while (capacity < count)
        capacity *= 4;
    if (capacity > POSTINGS_RUN) capacity = POSTINGS_RUN;
    if (capacity > run->capacity) set_capacity(run, capacity);
}

/* A new, empty run at `at`. */
static struct postings_run *insert_run(struct term *term, uint32_t at)
{
    if (term->run_count == 0) {
        must(term->run_capacity == 0);
        term->run_count = 1;
        term->one = (struct postings_run){.shortest = UINT32_MAX};
        return &term->one;
    }
    if (term->run_count >= term->run_capacity) {
        uint32_t capacity = term->run_capacity ? 2 * term->run_capacity : 4;
        struct postings_run *runs = term->run_capacity ? term->runs : NULL, one = term->one;
        runs = mem_resize(runs, capacity, sizeof *runs);
        if (term->run_capacity == 0) runs[0] = one;
        term->runs = runs;
        term->run_capacity = capacity;
    }
    struct postings_run *run = &term->runs[at];
    memmove(run + 1, run, (term->run_count - at) * sizeof *run);
    *run = (struct postings_run){.shortest = UINT32_MAX};
    term->run_count++;
    return run;
}

static void remove_run(struct term *term, uint32_t at)
{
    struct postings_run *run = &runs_of(term)[at];
    mem_free(run->numbers);
    memmove(run, run + 1, (term->run_count - at - 1) * sizeof *run);
    term->run_count--;
    if (term->run_count > 0 || term->run_capacity == 0) return;
    mem_free(term->runs);
    term->run_capacity = 0;
}

/* The last run that does not begin behind the number; the first one where all do. */
static uint32_t find_run(struct term *term, uint32_t number)
{
    const struct postings_run *runs = runs_of(term);
    uint32_t low = 0, high = term->run_count;
    while (low + 1 < high) {
        uint32_t middle = (low + high) / 2;
        if (runs[middle].numbers[0] <= number)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The first place in the run that is not before the number. */
static uint32_t find_place(const struct postings_run *run, uint32_t number)
{
    uint32_t low = 0, high = run->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (run->numbers[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The run is full: the upper half goes into one of its own, its bounds with it. */
static void split_run(struct term *term, uint32_t at)
{
    struct postings_run *upper = insert_run(term, at + 1), *lower = &runs_of(term)[at];
    uint32_t half = lower->count / 2, count = lower->count - half;
    grow_run(upper, count);
    memcpy(upper->numbers, lower->numbers + half, count * sizeof *upper->numbers);
    memcpy(upper->frequencies, lower->frequencies + half, count * sizeof *upper->frequencies);
    upper->count = count;
    upper->most = lower->most;
    upper->shortest = lower->shortest;
    lower->count = half;
}

static void insert(struct term *term, uint32_t number, float frequency, uint32_t length)
{
    if (term->run_count == 0) insert_run(term, 0);
    uint32_t at = find_run(term, number);
    struct postings_run *run = &runs_of(term)[at];
    uint32_t place = find_place(run, number);
    if (run->count == POSTINGS_RUN && place == run->count && at + 1 == term->run_count) {
        run = insert_run(term, ++at); // at the list's end, as most: runs stay full
        place = 0;
    } else if (run->count == POSTINGS_RUN) {
        split_run(term, at);
        at = find_run(term, number);
        run = &runs_of(term)[at];
        place = find_place(run, number);
    }
    grow_run(run, run->count + 1);
    uint32_t behind = run->count - place;
    memmove(run->numbers + place + 1, run->numbers + place, behind * sizeof *run->numbers);
    memmove(run->frequencies + place + 1, run->frequencies + place,
            behind * sizeof *run->frequencies);
    run->numbers[place] = number;
    run->frequencies[place] = frequency;
    run->count++;
    if (frequency > run->most) run->most = frequency;
    if (length < run->shortest) run->shortest = length;
    term->count++;
}

/* A run that has lost most of what it had: join it with the one behind it where both are few, or give room back. */
static void shrink(struct term *term, uint32_t at)
{
    struct postings_run *run = &runs_of(term)[at], *next = run + 1;
    if (at + 1 < term->run_count && run->count + next->count <= POSTINGS_RUN / 2) {
        grow_run(run, run->count + next->count);
        memcpy(run->numbers + run->count, next->numbers, next->count * sizeof *run->numbers);
        memcpy(run->frequencies + run->count, next->frequencies,
               next->count * sizeof *run->frequencies);
        run->count += next->count;
        if (next->most > run->most) run->most = next->most;
        if (next->shortest < run->shortest) run->shortest = next->shortest;
        remove_run(term, at + 1);
    } else if (run->capacity > RUN_FIRST && 8 * run->count <= run->capacity) {
        set_capacity(run, run->capacity / 4);
    }
}

/* Its bounds stay: they hold for fewer, too. */
static void take_out(struct postings *postings, uint32_t id, uint32_t number)
{
    struct term *term = &postings->terms[id];
    if (term->run_count == 0) return; // it stood there more than once, and has gone
    uint32_t at = find_run(term, number);
    struct postings_run *run = &runs_of(term)[at];
    uint32_t place = find_place(run, number);
    if (place == run->count || run->numbers[place] != number) return;
    uint32_t behind = run->count - place - 1;
    memmove(run->numbers + place, run->numbers + place + 1, behind * sizeof *run->numbers);
    memmove(run->frequencies + place, run->frequencies + place + 1,
            behind * sizeof *run->frequencies);
    if (--run->count == 0)
        remove_run(term, at);
    else
        shrink(term, at);
    if (--term->count == 0) forget_term(postings, id);
}

// ---- documents ---------------------------------------------------------------------------------

static void add_token(struct postings *postings, uint32_t token)
{
    if (postings->token_count == postings->token_capacity) {
        postings->token_capacity =
            postings->token_capacity ? 2 * postings->token_capacity : TOKENS_FIRST;
        postings->tokens =
            mem_resize(postings->tokens, postings->token_capacity, sizeof *postings->tokens);
    }
    postings->tokens[postings->token_count++] = token;
}

void postings_begin(struct postings *postings)
{
    postings->token_count = postings->fresh_count = 0;
}

void postings_field(struct postings *postings)
{
    add_token(postings, POSTINGS_FIELD);
}

void postings_add(struct postings *postings, const char *text, size_t size, float frequency,
                  bool beside)
{
    uint32_t id = postings_find(postings, text, size);
    if (id == NONE) id = add_term(postings, text, size);
    struct term *term = &postings->terms[id];
    if (!beside) term->is_beside = false;
    add_token(postings, id | (beside ? POSTINGS_BESIDE : 0));
    term->fresh += frequency;
    if (term->is_fresh) return;
    term->is_fresh = true;
    if (postings->fresh_count == postings->fresh_capacity) {
        postings->fresh_capacity =
            postings->fresh_capacity ? 2 * postings->fresh_capacity : TOKENS_FIRST;
        postings->fresh =
            mem_resize(postings->fresh, postings->fresh_capacity, sizeof *postings->fresh);
    }
    postings->fresh[postings->fresh_count++] = id;
}

static void make_room(struct postings *postings, uint32_t number)
{
    if (number < postings->document_count) return;
    size_t before = postings->document_count, count = before ? before : 1024;
    while (count <= number)
        count *= 2;
    postings->documents = mem_resize(postings->documents, count, sizeof *postings->documents);
    memset(postings->documents + before, 0, (count - before) * sizeof *postings->documents);
    postings->document_count = count;
}

void postings_end(struct postings *postings, uint32_t number, uint32_t length)
{
    make_room(postings, number);
    must(!postings->documents[number]);
    size_t bytes = postings->token_count * sizeof *postings->tokens;
    struct document *document = mem_new(1, sizeof *document + bytes);
    document->count = (uint32_t)postings->token_count;
    if (bytes > 0) memcpy(document->tokens, postings->tokens, bytes);
    postings->documents[number] = document;
    for (size_t i = 0; i < postings->fresh_count; i++) {
        struct term *term = &postings->terms[postings->fresh[i]];
        insert(term, number, term->fresh, length);
        term->fresh = 0;
        term->is_fresh = false;
    }
}

void postings_drop(struct postings *postings, uint32_t number)
{
    if (number >= postings->document_count || !postings->documents[number]) return;
    struct document *document = postings->documents[number];
    for (uint32_t i = 0; i < document->count; i++) {
        uint32_t id = document->tokens[i] & ~POSTINGS_BESIDE;
        if (id != POSTINGS_FIELD) take_out(postings, id, number);
    }
    mem_free(document);
    postings->documents[number] = NULL;
}

// ---- questions ---------------------------------------------------------------------------------

uint32_t postings_count(const struct postings *postings, uint32_t term)
{
    return term == NONE ? 0 : postings->terms[term].count;
}

bool postings_is_beside(const struct postings *postings, uint32_t term)
{
    return postings->terms[term].is_beside;
}

const struct postings_run *postings_runs(const struct postings *postings, uint32_t term,
                                         size_t *count)
{
    *count = term == NONE ? 0 : postings->terms[term].run_count;
    return term == NONE ? NULL : runs_of(&postings->terms[term]);
}

const uint32_t *postings_document(const struct postings *postings, uint32_t number, size_t *count)
{
    const struct document *document =
        number < postings->document_count ? postings->documents[number] : NULL;
    *count = document ? document->count : 0;
    return document ? document->tokens : NULL;
}
