#include "scheduler/features/search/value.h"

#include "scheduler/features/filter_term.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUCKETS_FIRST = 64
};

enum kind {
    FREE,
    NUMBER,
    TEXT,
    TRUTH
};

struct value {
    char *text; // owned; NULL: a number
    double number;
    uint32_t uses;
    uint32_t next; // in its bucket, or among the free ones
    uint32_t size; // of the text
    enum kind kind;
};

void values_init(struct values *values)
{
    *values = (struct values){.spare = VALUES_NONE, .bucket_count = BUCKETS_FIRST};
    values->buckets = mem_new(BUCKETS_FIRST, sizeof *values->buckets);
    memset(values->buckets, 0xFF, BUCKETS_FIRST * sizeof *values->buckets);
}

void values_fini(struct values *values)
{
    for (size_t i = 0; i < values->end; i++)
        mem_free(values->values[i].text);
    mem_free(values->values);
    mem_free(values->buckets);
    *values = (struct values){0};
}

size_t values_end(const struct values *values)
{
    return values->end;
}

// ---- the table ---------------------------------------------------------------------------------

static uint64_t mix(uint64_t hash)
{
    hash = (hash ^ hash >> 32) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 29;
}

/* Texts that filters hold for equal have one bucket. */
static uint64_t hash_text(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037); // FNV-1a
    while (*text)
        hash = (hash ^ (uint64_t)(uint32_t)filter_next_folded(&text)) * UINT64_C(1099511628211);
    return mix(hash);
}

static uint64_t hash_number(double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return mix(bits);
}

static uint64_t hash_of(const struct value *value)
{
    return value->kind == NUMBER ? hash_number(value->number) : hash_text(value->text);
}

static uint32_t *bucket_of(const struct values *values, uint64_t hash)
{
    return &values->buckets[hash & (values->bucket_count - 1)];
}

static bool is_same(const struct value *a, const struct value *b)
{
    if (a->kind != b->kind) return false;
    return a->kind == NUMBER ? a->number == b->number
                             : a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
}

static void grow(struct values *values)
{
    size_t count = 2 * values->bucket_count;
    values->buckets = mem_resize(values->buckets, count, sizeof *values->buckets);
    memset(values->buckets, 0xFF, count * sizeof *values->buckets);
    values->bucket_count = count;
    for (size_t i = 0; i < values->end; i++) {
        struct value *value = &values->values[i];
        if (value->kind == FREE) continue;
        uint32_t *bucket = bucket_of(values, hash_of(value));
        value->next = *bucket;
        *bucket = (uint32_t)i;
    }
}

static uint32_t take_id(struct values *values)
{
    uint32_t id = values->spare;
    if (id != VALUES_NONE) {
        values->spare = values->values[id].next;
        return id;
    }
    if (values->end == values->capacity) {
        values->capacity = values->capacity ? 2 * values->capacity : BUCKETS_FIRST;
        values->values = mem_resize(values->values, values->capacity, sizeof *values->values);
    }
    must(values->end < INT32_MAX);
    return (uint32_t)values->end++;
}

/* The leaf as a value whose text is borrowed. */
static struct value read_leaf(const json_t *leaf)
{
    struct value value = {.kind = FREE};
    if (json_is_number(leaf)) {
        value.kind = NUMBER;
        value.number = json_number_value(leaf) + 0.0; // no -0
    } else if (json_is_string(leaf) || json_is_boolean(leaf)) {
        const char *truth = json_is_true(leaf) ? "true" : "false";
        const char *text = json_is_string(leaf) ? json_string_value(leaf) : truth;
        value.kind = json_is_string(leaf) ? TEXT : TRUTH;
        value.text = (char *)(uintptr_t)text;
        value.size = (uint32_t)strlen(text);
    }
    return value;
}

uint32_t values_take(struct values *values, const json_t *leaf)
{
    struct value value = read_leaf(leaf);
    if (value.kind == FREE) return VALUES_NONE;
    uint64_t hash = hash_of(&value);
    for (uint32_t at = *bucket_of(values, hash); at != VALUES_NONE; at = values->values[at].next) {
        if (!is_same(&values->values[at], &value)) continue;
        values->values[at].uses++;
        return at;
    }
    if (values->used >= values->bucket_count) grow(values);
    uint32_t id = take_id(values), *bucket = bucket_of(values, hash);
    value.text = value.text ? mem_text(value.text, value.size) : NULL;
    value.uses = 1;
    value.next = *bucket;
    values->values[id] = value;
    *bucket = id;
    values->used++;
    return id;
}

void values_give(struct values *values, uint32_t id)
{
    struct value *value = &values->values[id];
    must(value->uses > 0);
    if (--value->uses > 0) return;
    uint32_t *at = bucket_of(values, hash_of(value));
    while (*at != id)
        at = &values->values[*at].next;
    *at = value->next;
    mem_free(value->text);
    *value = (struct value){.kind = FREE, .next = values->spare};
    values->spare = id;
    values->used--;
}

// ---- conditions --------------------------------------------------------------------------------

static bool judge_equal(const struct values *values, const struct filter_value *want,
                        uint8_t *truths)
{
    bool any = false;
    double number = want->number + 0.0;
    uint32_t at = want->is_number ? *bucket_of(values, hash_number(number)) : VALUES_NONE;
    for (; at != VALUES_NONE; at = values->values[at].next) {
        const struct value *value = &values->values[at];
        if (value->kind != NUMBER || value->number != number) continue;
        truths[at] = 1;
        any = true;
    }
    at = *bucket_of(values, hash_text(want->text));
    for (; at != VALUES_NONE; at = values->values[at].next) {
        const struct value *value = &values->values[at];
        if (value->kind == NUMBER || !filter_same_text(value->text, want->text)) continue;
        truths[at] = 1;
        any = true;
    }
    return any;
}

bool values_judge(const struct values *values, const struct filter_term *term, uint8_t *truths)
{
    bool any = false;
    if (term->test == FILTER_IN) {
        for (size_t i = 0; i < term->count; i++)
            any |= judge_equal(values, &term->values[i], truths);
        return any;
    }
    for (size_t i = 0; i < values->end; i++) {
        const struct value *value = &values->values[i];
        if (value->kind != NUMBER || !filter_number_holds(term, value->number)) continue;
        truths[i] = 1;
        any = true;
    }
    return any;
}

int values_compare(const struct values *values, uint32_t left, uint32_t right, bool descending)
{
    const struct value *a = &values->values[left], *b = &values->values[right];
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    int order = a->kind == NUMBER ? (a->number > b->number) - (a->number < b->number)
                                  : strcmp(a->text, b->text);
    return descending ? -order : order;
}

bool values_number(const struct values *values, uint32_t id, double *out)
{
    *out = values->values[id].number;
    return values->values[id].kind == NUMBER;
}

size_t values_text_size(const struct values *values, uint32_t id)
{
    return values->values[id].size;
}

void values_write_number(double number, char *out, size_t size)
{
    snprintf(out, size, "%.12g", number);
    // Two numbers are never one name.
    if (strtod(out, NULL) != number) snprintf(out, size, "%.17g", number);
}

void values_write(const struct values *values, uint32_t id, char *out, size_t size)
{
    const struct value *value = &values->values[id];
    if (value->kind == NUMBER)
        values_write_number(value->number, out, size);
    else
        snprintf(out, size, "%s", value->text);
}
