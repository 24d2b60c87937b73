#include "scheduler/features/search/redisearch_tags.h"

#include "scheduler/features/filter_parts.h"
#include "scheduler/features/search/column.h"
#include "scheduler/features/search/columns.h"
#include "scheduler/features/search/redisearch_code.h"
#include "scheduler/features/search/value.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ORDER_BYTES = 256, // of a text that an order compares
    NAME_SIZE = 32
};

// ---- words that stand once ---------------------------------------------------------------------

/* Words of one document: gathered, then each once. */
struct words_list {
    char **items;
    size_t count, capacity;
};

static void list_add(struct words_list *list, struct buf *word)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 32;
        list->items = mem_resize(list->items, list->capacity, sizeof *list->items);
    }
    list->items[list->count++] = buf_take(word);
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static void list_end(struct words_list *list, struct buf *out)
{
    const char *last = "";
    if (list->count > 0) qsort(list->items, list->count, sizeof *list->items, by_text);
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(last, list->items[i]) != 0) {
            if (i > 0) buf_add_byte(out, ',');
            buf_add_text(out, list->items[i]);
        }
        last = list->items[i];
    }
    for (size_t i = 0; i < list->count; i++)
        mem_free(list->items[i]);
    mem_free(list->items);
}

// ---- a document's tags -------------------------------------------------------------------------

struct tagging {
    const char *field;
    struct words_list list;
};

/* The kind and the field; what is behind them begins with "__". */
static struct buf tag_of(char kind, const char *field)
{
    struct buf tag = {0};
    buf_add_byte(&tag, (unsigned char)kind);
    code_bytes(&tag, field, strlen(field));
    return tag;
}

static void add_kind(struct tagging *tagging, char kind)
{
    struct buf tag = tag_of(kind, tagging->field);
    list_add(&tagging->list, &tag);
}

static void write_digits(struct buf *out, uint64_t order, size_t digits)
{
    char text[CODE_DIGITS + 1];
    snprintf(text, sizeof text, "%016" PRIx64, order);
    buf_add(out, text, digits);
}

static void add_number(struct tagging *tagging, double number)
{
    for (size_t digits = 1; digits <= CODE_DIGITS; digits++) {
        struct buf tag = tag_of('d', tagging->field);
        buf_add_text(&tag, "__");
        write_digits(&tag, code_order(number), digits);
        list_add(&tagging->list, &tag);
    }
}

static const char *text_of(const json_t *leaf)
{
    if (json_is_string(leaf)) return json_string_value(leaf);
    return json_is_true(leaf) ? "true" : "false";
}

static bool see(void *owner, const json_t *value, bool is_whole)
{
    struct tagging *tagging = owner;
    if (is_whole) {
        add_kind(tagging, 'e');
        if (json_is_null(value)) add_kind(tagging, 'n');
        if (filter_is_empty_value(value)) add_kind(tagging, 'm');
    } else if (json_is_number(value)) {
        add_number(tagging, json_number_value(value));
    } else if (json_is_string(value) || json_is_boolean(value)) {
        struct buf tag = tag_of('t', tagging->field);
        buf_add_text(&tag, "__");
        code_folded(&tag, text_of(value));
        list_add(&tagging->list, &tag);
    }
    return true;
}

static void tag_way(void *owner, const char *way, const json_t *facts)
{
    struct tagging *tagging = owner;
    tagging->field = way;
    filter_walk(way, facts, see, tagging);
}

void tags_write(struct buf *out, const struct search_names *names, const json_t *facts)
{
    struct tagging tagging = {0};
    struct buf every = {0};
    buf_add_byte(&every, 'u');
    list_add(&tagging.list, &every);
    columns_each_way(names, facts, tag_way, &tagging);
    list_end(&tagging.list, out);
}

// ---- conditions --------------------------------------------------------------------------------

/* Tags of a union. */
struct asking {
    struct buf *out;
    const struct filter_term *term;
    size_t count;
};

static void ask_tag(struct asking *asking, struct buf *tag)
{
    if (asking->count++ > 0) buf_add_byte(asking->out, '|');
    buf_add(asking->out, buf_text(tag), tag->size);
    buf_fini(tag);
}

/* All beginnings of `CODE_DIGITS - shift / 4` digits from one number to another. */
static void ask_beginnings(struct asking *asking, uint64_t from, uint64_t to, unsigned shift)
{
    for (uint64_t at = from >> shift;; at++) {
        struct buf tag = tag_of('d', asking->term->field);
        buf_add_text(&tag, "__");
        write_digits(&tag, at << shift, CODE_DIGITS - shift / 4);
        ask_tag(asking, &tag);
        if (at == to >> shift) return;
    }
}

/* The numbers [from, to] as beginnings, the longest ones at both ends. */
static void ask_range(struct asking *asking, uint64_t from, uint64_t to)
{
    for (unsigned shift = 0; from <= to; shift += 4) {
        uint64_t mask = UINT64_C(15) << shift, step = shift < 60 ? UINT64_C(16) << shift : 0;
        bool ragged_from = (from & mask) != 0, ragged_to = (to & mask) != mask;
        uint64_t next_from = (ragged_from ? from + step : from) & ~mask;
        uint64_t next_to = (ragged_to ? to - step : to) | mask;
        if (shift == 60 || next_from > next_to || next_from < from || next_to > (to | mask)) {
            ask_beginnings(asking, from, to, shift);
            return;
        }
        if (ragged_from) ask_beginnings(asking, from, from | mask, shift);
        if (ragged_to) ask_beginnings(asking, to & ~mask, to, shift);
        from = next_from;
        to = next_to;
    }
}

static void ask_numbers(struct asking *asking)
{
    const struct filter_value *values = asking->term->values;
    uint64_t from = code_order(-INFINITY), to = code_order(INFINITY);
    if (asking->term->count == 0) return;
    uint64_t bound = code_order(values[0].number);
    switch (asking->term->test) {
    case FILTER_FROM: from = bound; break;
    case FILTER_UNTIL: to = bound; break;
    case FILTER_ABOVE: from = bound + 1; break;
    case FILTER_BELOW: to = bound - 1; break;
    case FILTER_BETWEEN:
        from = bound;
        to = code_order(values[1].number);
        break;
    default: must(false);
    }
    ask_range(asking, from, to);
}

static void ask_values(struct asking *asking)
{
    for (size_t i = 0; i < asking->term->count; i++) {
        const struct filter_value *value = &asking->term->values[i];
        struct buf tag = tag_of('t', asking->term->field);
        buf_add_text(&tag, "__");
        code_folded(&tag, value->text);
        ask_tag(asking, &tag);
        if (value->is_number)
            ask_beginnings(asking, code_order(value->number), code_order(value->number), 0);
    }
}

static void ask_kind(struct asking *asking, char kind)
{
    struct buf tag = tag_of(kind, asking->term->field);
    ask_tag(asking, &tag);
}

static void ask_term(struct buf *out, const struct filter_term *term)
{
    struct asking asking = {out, term, 0};
    if (term->negated) buf_add_text(out, "(" TAGS_EVERY " -");
    buf_add_text(out, "(@f:{");
    switch (term->test) {
    case FILTER_IN: ask_values(&asking); break;
    case FILTER_EXISTS: ask_kind(&asking, 'e'); break;
    case FILTER_NULL: ask_kind(&asking, 'n'); break;
    case FILTER_EMPTY: ask_kind(&asking, 'm'); break;
    default: ask_numbers(&asking);
    }
    if (asking.count == 0) buf_add_text(out, "none"); // no document has this tag
    buf_add_text(out, "})");
    if (term->negated) buf_add_byte(out, ')');
}

/* The two topmost of the stack become one. */
static void join(struct buf *stack, size_t *count, const char *between)
{
    struct buf *left = &stack[*count - 2], *right = &stack[*count - 1], both = {0};
    buf_addf(&both, "(%s%s%s)", buf_text(left), between, buf_text(right));
    buf_fini(left);
    buf_fini(right);
    *left = both;
    *right = (struct buf){0};
    --*count;
}

static void negate(struct buf *top)
{
    struct buf all_but = {0};
    buf_addf(&all_but, "(" TAGS_EVERY " -%s)", buf_text(top));
    buf_fini(top);
    *top = all_but;
}

void tags_filter(struct buf *out, const struct filter *filter)
{
    struct buf *stack = mem_new(FILTER_TERMS_MAX, sizeof *stack);
    size_t count = 0, term = 0;
    for (size_t i = 0; i < filter->step_count; i++) {
        switch ((enum filter_step)filter->steps[i]) {
        case FILTER_STEP_TERM: ask_term(&stack[count++], &filter->terms[term++]); break;
        case FILTER_STEP_NOT: negate(&stack[count - 1]); break;
        case FILTER_STEP_AND: join(stack, &count, " "); break;
        case FILTER_STEP_OR: join(stack, &count, "|"); break;
        default: must(false);
        }
    }
    buf_add_text(out, count == 0 ? "(" TAGS_EVERY ")" : buf_text(&stack[0]));
    buf_fini(&stack[0]);
    mem_free(stack);
}

// ---- counts and orders -------------------------------------------------------------------------

struct counting {
    struct words_list list;
    double least, most;
    bool has_numbers;
};

static bool see_value(void *owner, const json_t *value, bool is_whole)
{
    struct counting *counting = owner;
    struct buf word = {0};
    char text[NAME_SIZE];
    const char *name = text;
    if (is_whole) return true;
    if (json_is_number(value)) {
        double number = json_number_value(value) + 0.0;
        counting->least = counting->has_numbers ? fmin(counting->least, number) : number;
        counting->most = counting->has_numbers ? fmax(counting->most, number) : number;
        counting->has_numbers = true;
        values_write_number(number, text, sizeof text);
    } else if (json_is_string(value) || json_is_boolean(value)) {
        name = text_of(value);
        if (strlen(name) > COLUMN_TEXT_MAX) return true;
    } else {
        return true;
    }
    buf_add_byte(&word, 'v');
    code_bytes(&word, name, strlen(name));
    list_add(&counting->list, &word);
    return true;
}

bool tags_values(struct buf *out, const char *name, const json_t *facts, double *least,
                 double *most)
{
    struct counting counting = {0};
    filter_walk(name, facts, see_value, &counting);
    list_end(&counting.list, out);
    *least = counting.least;
    *most = counting.most;
    return counting.has_numbers;
}

void tags_order(struct buf *out, const char *name, const json_t *facts, bool descending)
{
    const json_t *value = json_object_get(facts, name);
    if (json_is_number(value)) {
        buf_addf(out, "%c%016" PRIx64, descending ? '3' : '1',
                 code_order(json_number_value(value)));
    } else if (json_is_string(value)) {
        const char *text = json_string_value(value);
        size_t size = strlen(text);
        buf_add_byte(out, '2');
        for (size_t i = 0; i < size && i < ORDER_BYTES; i++)
            buf_addf(out, "%02x", (unsigned char)text[i]);
    } else {
        buf_add_byte(out, descending ? '1' : '3');
    }
}
