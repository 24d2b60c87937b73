#include "scheduler/features/search/column.h"

#include "scheduler/features/filter_term.h"
#include "scheduler/features/search/value.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>
#include <string.h>

#define NONE VALUES_NONE
#define LIST (UINT32_C(1) << 31) // the code is a list's, not a value's

/* The values of a document that has several, each once. */
struct list {
    uint32_t *ids; // owned; NULL: free
    uint32_t count;
    uint32_t next; // of the free ones
};

struct column {
    char *field;
    struct values values;
    uint32_t *codes; // [code_count], by number; NONE: no value
    size_t code_count;
    struct list *lists;
    size_t list_end, list_capacity;
    uint32_t spare_list;
    struct bitmap exists, null, empty;
    struct bitmap plain; // the field is one number or text
    uint32_t *fresh;     // values of the document at hand
    size_t fresh_count, fresh_capacity;
};

struct column *column_new(const char *field)
{
    struct column *column = mem_new(1, sizeof *column);
    column->field = mem_copy_text(field);
    column->spare_list = NONE;
    values_init(&column->values);
    return column;
}

void column_free(struct column *column)
{
    if (!column) return;
    for (size_t i = 0; i < column->list_end; i++)
        mem_free(column->lists[i].ids);
    values_fini(&column->values);
    bitmap_fini(&column->exists);
    bitmap_fini(&column->null);
    bitmap_fini(&column->empty);
    bitmap_fini(&column->plain);
    mem_free(column->lists);
    mem_free(column->codes);
    mem_free(column->fresh);
    mem_free(column->field);
    mem_free(column);
}

const char *column_field(const struct column *column)
{
    return column->field;
}

// ---- writing -----------------------------------------------------------------------------------

static void make_room(struct column *column, uint32_t number)
{
    if (number < column->code_count) return;
    size_t before = column->code_count, count = before ? before : 1024;
    while (count <= number)
        count *= 2;
    column->codes = mem_resize(column->codes, count, sizeof *column->codes);
    memset(column->codes + before, 0xFF, (count - before) * sizeof *column->codes);
    column->code_count = count;
    bitmap_reserve(&column->exists, count);
    bitmap_reserve(&column->null, count);
    bitmap_reserve(&column->empty, count);
    bitmap_reserve(&column->plain, count);
}

/* A document on its way in. */
struct putting {
    struct column *column;
    uint32_t number;
};

static void see_whole(struct putting *putting, const json_t *value)
{
    struct column *column = putting->column;
    bitmap_set(&column->exists, putting->number);
    if (json_is_null(value)) bitmap_set(&column->null, putting->number);
    if (filter_is_empty_value(value)) bitmap_set(&column->empty, putting->number);
}

static bool see(void *owner, const json_t *value, bool is_whole)
{
    struct putting *putting = owner;
    struct column *column = putting->column;
    if (is_whole) {
        see_whole(putting, value);
        return true;
    }
    uint32_t id = values_take(&column->values, value);
    if (id == NONE) return true;
    if (column->fresh_count == column->fresh_capacity) {
        column->fresh_capacity = column->fresh_capacity ? 2 * column->fresh_capacity : 16;
        column->fresh = mem_resize(column->fresh, column->fresh_capacity, sizeof *column->fresh);
    }
    column->fresh[column->fresh_count++] = id;
    return true;
}

static int compare_ids(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

/* Each once: the others are given back. */
static void sort_fresh(struct column *column)
{
    size_t count = 0;
    qsort(column->fresh, column->fresh_count, sizeof *column->fresh, compare_ids);
    for (size_t i = 0; i < column->fresh_count; i++) {
        if (count > 0 && column->fresh[count - 1] == column->fresh[i])
            values_give(&column->values, column->fresh[i]);
        else
            column->fresh[count++] = column->fresh[i];
    }
    column->fresh_count = count;
}

static uint32_t keep_list(struct column *column)
{
    uint32_t slot = column->spare_list;
    if (slot != NONE) {
        column->spare_list = column->lists[slot].next;
    } else {
        if (column->list_end == column->list_capacity) {
            column->list_capacity = column->list_capacity ? 2 * column->list_capacity : 64;
            column->lists = mem_resize(column->lists, column->list_capacity, sizeof *column->lists);
        }
        slot = (uint32_t)column->list_end++;
    }
    struct list *list = &column->lists[slot];
    list->ids = mem_new(column->fresh_count, sizeof *list->ids);
    list->count = (uint32_t)column->fresh_count;
    memcpy(list->ids, column->fresh, column->fresh_count * sizeof *list->ids);
    return slot | LIST;
}

void column_put(struct column *column, uint32_t number, const json_t *facts)
{
    struct putting putting = {.column = column, .number = number};
    make_room(column, number);
    must(column->codes[number] == NONE);
    column->fresh_count = 0;
    filter_walk(column->field, facts, see, &putting);
    const json_t *own = json_object_get(facts, column->field);
    if (json_is_number(own) || json_is_string(own)) bitmap_set(&column->plain, number);
    if (column->fresh_count > 1) sort_fresh(column);
    if (column->fresh_count == 1)
        column->codes[number] = column->fresh[0];
    else if (column->fresh_count > 1)
        column->codes[number] = keep_list(column);
}

void column_drop(struct column *column, uint32_t number)
{
    if (number >= column->code_count) return;
    uint32_t code = column->codes[number];
    column->codes[number] = NONE;
    bitmap_clear(&column->exists, number);
    bitmap_clear(&column->null, number);
    bitmap_clear(&column->empty, number);
    bitmap_clear(&column->plain, number);
    if (code == NONE) return;
    if (!(code & LIST)) {
        values_give(&column->values, code);
        return;
    }
    struct list *list = &column->lists[code & ~LIST];
    for (uint32_t i = 0; i < list->count; i++)
        values_give(&column->values, list->ids[i]);
    mem_free(list->ids);
    *list = (struct list){.next = column->spare_list};
    column->spare_list = code & ~LIST;
}

/* The document's values; `code` is room for one. */
static const uint32_t *ids_of(const struct column *column, size_t number, uint32_t *code,
                              uint32_t *count)
{
    *code = column->codes[number];
    if (*code != NONE && (*code & LIST)) {
        const struct list *list = &column->lists[*code & ~LIST];
        *count = list->count;
        return list->ids;
    }
    *count = *code != NONE;
    return code;
}

// ---- conditions --------------------------------------------------------------------------------

/* Documents that have a value whose truth is 1. */
static void look_up(const struct column *column, const uint8_t *truths, struct bitmap *out)
{
    size_t end = 64 * out->count < column->code_count ? 64 * out->count : column->code_count;
    for (size_t begin = 0; begin < end; begin += 64) {
        uint64_t word = 0;
        for (size_t i = 0; i < 64; i++) {
            uint32_t code, count;
            const uint32_t *ids = ids_of(column, begin + i, &code, &count);
            uint64_t truth = 0;
            for (uint32_t j = 0; j < count; j++)
                truth |= truths[ids[j]];
            word |= truth << i;
        }
        out->words[begin / 64] = word;
    }
}

void column_select(const struct column *column, const struct filter_term *term, struct bitmap *out)
{
    bitmap_zero(out);
    switch (term->test) {
    case FILTER_EXISTS: bitmap_or(out, &column->exists); break;
    case FILTER_NULL: bitmap_or(out, &column->null); break;
    case FILTER_EMPTY: bitmap_or(out, &column->empty); break;
    default: {
        uint8_t *truths = mem_new(values_end(&column->values) + 1, sizeof *truths);
        if (values_judge(&column->values, term, truths)) look_up(column, truths, out);
        mem_free(truths);
    }
    }
    if (term->negated) bitmap_not(out);
}

// ---- orders ------------------------------------------------------------------------------------

/* NONE: it has no value that an order knows. */
static uint32_t plain_of(const struct column *column, uint32_t number)
{
    return bitmap_has(&column->plain, number) ? column->codes[number] : NONE;
}

int column_compare(const struct column *column, uint32_t left, uint32_t right, bool descending)
{
    uint32_t a = plain_of(column, left), b = plain_of(column, right);
    if (a == b) return 0;
    if (a == NONE || b == NONE) return a == NONE ? 1 : -1;
    return values_compare(&column->values, a, b, descending);
}

// ---- counts ------------------------------------------------------------------------------------

static void count_values(const struct column *column, const struct bitmap *documents,
                         uint32_t *counts)
{
    size_t words = (column->code_count + 63) / 64;
    if (words > documents->count) words = documents->count;
    for (size_t i = 0; i < words; i++) {
        for (uint64_t left = documents->words[i]; left; left &= left - 1) {
            uint32_t code, count;
            size_t number = 64 * i + (size_t)__builtin_ctzll(left);
            const uint32_t *ids = ids_of(column, number, &code, &count);
            for (uint32_t j = 0; j < count; j++)
                counts[ids[j]]++;
        }
    }
}

/* Put the value among the best, which are sorted. */
static size_t offer(const struct values *values, const uint32_t *counts, uint32_t id,
                    uint32_t *best, size_t count, size_t max)
{
    size_t at = count;
    for (; at > 0; at--) {
        uint32_t other = best[at - 1];
        if (counts[other] > counts[id] ||
            (counts[other] == counts[id] && values_compare(values, other, id, false) < 0))
            break;
        if (at < max) best[at] = other;
    }
    if (at < max) best[at] = id;
    return count < max ? count + 1 : max;
}

void column_count(const struct column *column, const struct bitmap *documents, size_t max,
                  struct column_facet *out)
{
    const struct values *values = &column->values;
    size_t end = values_end(values), kept = 0;
    uint32_t *counts = mem_new(end + 1, sizeof *counts), *best = mem_new(max + 1, sizeof *best);
    *out = (struct column_facet){.counts = json_object()};
    must(out->counts != NULL);
    count_values(column, documents, counts);
    for (uint32_t id = 0; id < end; id++) {
        double number;
        if (counts[id] == 0) continue;
        if (values_number(values, id, &number)) {
            if (!out->has_numbers || number < out->least) out->least = number;
            if (!out->has_numbers || number > out->most) out->most = number;
            out->has_numbers = true;
        } else if (values_text_size(values, id) > COLUMN_TEXT_MAX) {
            continue;
        }
        kept = offer(values, counts, id, best, kept, max);
    }
    for (size_t i = 0; i < kept; i++) {
        char text[COLUMN_TEXT_MAX + 1];
        values_write(values, best[i], text, sizeof text);
        // 5 and "5" are one name.
        json_int_t before = json_integer_value(json_object_get(out->counts, text));
        json_object_set_new(out->counts, text, json_integer(before + counts[best[i]]));
    }
    mem_free(counts);
    mem_free(best);
}
