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

void filter_term_sign(const struct filter_term *term, struct digester *digester)
{
    const unsigned char head[] = {(unsigned char)term->test, term->negated,
                                  (unsigned char)(term->count >> 8), (unsigned char)term->count};
    digester_add(digester, head, sizeof head);
    digester_add(digester, term->field, strlen(term->field) + 1);
    for (size_t i = 0; i < term->count; i++)
        digester_add(digester, term->values[i].text, strlen(term->values[i].text) + 1);
}

// ---- one value ---------------------------------------------------------------------------------

int32_t filter_next_folded(const char **text)
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

bool filter_same_text(const char *a, const char *b)
{
    while (*a && *b)
        if (filter_next_folded(&a) != filter_next_folded(&b)) return false;
    return *a == *b;
}

static bool is_value(const json_t *leaf, const struct filter_value *value)
{
    if (json_is_string(leaf)) return filter_same_text(json_string_value(leaf), value->text);
    if (json_is_number(leaf)) return value->is_number && json_number_value(leaf) == value->number;
    if (json_is_boolean(leaf))
        return filter_same_text(json_is_true(leaf) ? "true" : "false", value->text);
    return false;
}

bool filter_number_holds(const struct filter_term *term, double number)
{
    double bound = term->count > 0 ? term->values[0].number : 0;
    if (term->count == 0) return false;
    switch (term->test) {
    case FILTER_FROM: return number >= bound;
    case FILTER_UNTIL: return number <= bound;
    case FILTER_ABOVE: return number > bound;
    case FILTER_BELOW: return number < bound;
    case FILTER_BETWEEN: return number >= bound && number <= term->values[1].number;
    default: return false;
    }
}

/* Of something that is no list. */
static bool leaf_holds(const struct filter_term *term, const json_t *leaf)
{
    if (term->test != FILTER_IN)
        return json_is_number(leaf) && filter_number_holds(term, json_number_value(leaf));
    for (size_t i = 0; i < term->count; i++)
        if (is_value(leaf, &term->values[i])) return true;
    return false;
}

bool filter_is_empty_value(const json_t *value)
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
    case FILTER_EMPTY: return filter_is_empty_value(value);
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

/* A walk: who looks at what it finds. */
struct walk {
    filter_see_fn *see;
    void *owner;
    struct list lists[LISTS_MAX];
    size_t depth;
};

/* Go down from `value` until it is a list, which is opened, or the field's value, which is shown. False: enough was seen. */
static bool descend(struct walk *walk, const json_t *value, const char *rest)
{
    while (rest && json_is_object(value))
        value = enter(value, &rest);
    if (!value) return true;
    if (!rest && !walk->see(walk->owner, value, true)) return false;
    if (json_is_array(value)) {
        if (walk->depth < LISTS_MAX) walk->lists[walk->depth++] = (struct list){value, 0, rest};
        return true;
    }
    return rest || walk->see(walk->owner, value, false);
}

void filter_walk(const char *field, const json_t *document, filter_see_fn *see, void *owner)
{
    struct walk walk;
    walk.see = see;
    walk.owner = owner;
    walk.depth = 0;
    if (!descend(&walk, document, field)) return;
    while (walk.depth > 0) {
        struct list *top = &walk.lists[walk.depth - 1];
        const json_t *element = json_array_get(top->array, top->next++);
        const char *rest = top->rest;
        if (!element) {
            walk.depth--;
            continue;
        }
        // An element of the field's own list: null and "" in it are not the field.
        bool is_leaf = !rest && !json_is_array(element);
        if (is_leaf ? !see(owner, element, false) : !descend(&walk, element, rest)) return;
    }
}

/* One term looked for in one document. */
struct looking {
    const struct filter_term *term;
    bool holds;
};

static bool look(void *owner, const json_t *value, bool is_whole)
{
    struct looking *looking = owner;
    looking->holds =
        is_whole ? whole_holds(looking->term, value) : leaf_holds(looking->term, value);
    return !looking->holds;
}

bool filter_term_holds(const struct filter_term *term, const json_t *document)
{
    struct looking looking = {term, false};
    filter_walk(term->field, document, look, &looking);
    return looking.holds != term->negated;
}
