#include "scheduler/features/filter_term.h"

#include "base/mem.h"

#include <utf8proc.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    LISTS_MAX = 32 // that are open: lists in lists, of objects with lists
};

void filter_term_add(struct filter_term *term, char *text)
{
    struct filter_value value = {.text = text};
    char *end;
    if (*text && strspn(text, "0123456789+-.eE") == strlen(text)) {
        value.number = strtod(text, &end);
        value.is_number = !*end && isfinite(value.number);
    }
    if (term->count == term->capacity) {
        term->capacity = term->capacity ? 2 * term->capacity : 1;
        term->values = mem_resize(term->values, term->capacity, sizeof *term->values);
    }
    term->values[term->count++] = value;
}

void filter_term_fini(struct filter_term *term)
{
    for (size_t i = 0; i < term->count; i++)
        mem_free(term->values[i].text);
    mem_free(term->values);
    mem_free(term->field);
}

// ---- one value ---------------------------------------------------------------------------------

/* The next character in lower case; a byte that is none stands for itself. */
static utf8proc_int32_t next_folded(const char **text)
{
    unsigned char byte = (unsigned char)**text;
    if (byte < 0x80) {
        (*text)++;
        return byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte;
    }
    utf8proc_int32_t code;
    utf8proc_ssize_t size = utf8proc_iterate((const utf8proc_uint8_t *)*text, -1, &code);
    if (size <= 0) {
        (*text)++;
        return byte;
    }
    *text += size;
    return utf8proc_tolower(code);
}

static bool same_text(const char *a, const char *b)
{
    while (*a && *b)
        if (next_folded(&a) != next_folded(&b)) return false;
    return *a == *b;
}

static bool is_value(const json_t *leaf, const struct filter_value *value)
{
    if (json_is_string(leaf)) return same_text(json_string_value(leaf), value->text);
    if (json_is_number(leaf)) return value->is_number && json_number_value(leaf) == value->number;
    if (json_is_boolean(leaf)) return same_text(json_is_true(leaf) ? "true" : "false", value->text);
    return false;
}

/* Of something that is no list. */
static bool leaf_holds(const struct filter_term *term, const json_t *leaf)
{
    if (term->test == FILTER_IN) {
        for (size_t i = 0; i < term->count; i++)
            if (is_value(leaf, &term->values[i])) return true;
        return false;
    }
    if (!json_is_number(leaf) || term->count == 0) return false;
    double number = json_number_value(leaf), bound = term->values[0].number;
    switch (term->test) {
    case FILTER_FROM: return number >= bound;
    case FILTER_UNTIL: return number <= bound;
    case FILTER_ABOVE: return number > bound;
    case FILTER_BELOW: return number < bound;
    case FILTER_BETWEEN: return number >= bound && number <= term->values[1].number;
    default: return false;
    }
}

static bool is_empty(const json_t *value)
{
    if (json_is_string(value)) return json_string_length(value) == 0;
    if (json_is_array(value)) return json_array_size(value) == 0;
    return json_is_object(value) && json_object_size(value) == 0;
}

/* Of the field as a whole: whether it is decided, and how. */
static bool whole_holds(const struct filter_term *term, const json_t *value)
{
    switch (term->test) {
    case FILTER_EXISTS: return true;
    case FILTER_NULL: return json_is_null(value);
    case FILTER_EMPTY: return is_empty(value);
    default: return false;
    }
}

// ---- the way to it -----------------------------------------------------------------------------

/* A list that is being walked through, for what is left of the field's name. */
struct list {
    const json_t *array;
    size_t next;
    const char *rest; // NULL: nothing, the elements are values
};

/* One step into an object: the member that the whole rest names, else the one before its first dot. */
static const json_t *enter(const json_t *object, const char **rest)
{
    const json_t *member = json_object_get(object, *rest);
    if (member) {
        *rest = NULL;
        return member;
    }
    const char *dot = strchr(*rest, '.');
    if (!dot) return NULL;
    member = json_object_getn(object, *rest, (size_t)(dot - *rest));
    *rest = dot + 1;
    return member;
}

/* Go down from `value` until it is a list, which is opened, or the field's value, which is judged. */
static bool descend(const struct filter_term *term, const json_t *value, const char *rest,
                    struct list *lists, size_t *depth)
{
    while (rest && json_is_object(value))
        value = enter(value, &rest);
    if (!value) return false;
    if (!rest && whole_holds(term, value)) return true;
    if (json_is_array(value)) {
        if (*depth < LISTS_MAX) lists[(*depth)++] = (struct list){value, 0, rest};
        return false;
    }
    return !rest && leaf_holds(term, value);
}

static bool some_holds(const struct filter_term *term, const json_t *document)
{
    struct list lists[LISTS_MAX];
    size_t depth = 0;
    if (descend(term, document, term->field, lists, &depth)) return true;
    while (depth > 0) {
        struct list *top = &lists[depth - 1];
        const json_t *element = json_array_get(top->array, top->next++);
        const char *rest = top->rest;
        if (!element) {
            depth--;
            continue;
        }
        bool values =
            !rest; // an element of the field's own list: null and "" in it are not the field
        if (values && !json_is_array(element)) {
            if (leaf_holds(term, element)) return true;
        } else if (descend(term, element, rest, lists, &depth)) {
            return true;
        }
    }
    return false;
}

bool filter_term_holds(const struct filter_term *term, const json_t *document)
{
    return some_holds(term, document) != term->negated;
}
