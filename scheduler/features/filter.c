#include "scheduler/features/filter_parts.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PENDING_MAX = 2 * FILTER_LEVELS_MAX + 8,
    QUOTED_MAX = 24 // bytes of the text in a note
};

/* One text on its way into the filter. */
struct reader {
    struct filter *filter;
    const char *begin, *at, *end;
    char place[64]; // before the byte in a note: "filter" or "filter[1][0]"
    unsigned char pending[PENDING_MAX];
    size_t pending_count;
};

static enum err wrong(const struct reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum err wrong(const struct reader *reader, const char *format, ...)
{
    char text[256], found[QUOTED_MAX + 8];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t left = (size_t)(reader->end - reader->at), size = left < QUOTED_MAX ? left : QUOTED_MAX;
    while (size > 0 && size < left && (reader->at[size] & 0xc0) == 0x80)
        size--; // not inside of a character
    snprintf(found, sizeof found, "%.*s", (int)size, reader->at);
    if (left == 0) return err_note(ERR_INVALID, "%s: at its end: %s", reader->place, text);
    return err_note(ERR_INVALID, "%s: at byte %zu, \"%s\": %s", reader->place,
                    (size_t)(reader->at - reader->begin), found, text);
}

// ---- words -------------------------------------------------------------------------------------

static void skip_spaces(struct reader *reader)
{
    while (reader->at < reader->end && isspace((unsigned char)*reader->at))
        reader->at++;
}

static bool is_word_byte(char byte)
{
    return isalnum((unsigned char)byte) || strchr("_-./:", byte) || (unsigned char)byte >= 0x80;
}

static size_t word_size(const struct reader *reader)
{
    const char *at = reader->at;
    while (at < reader->end && *at && is_word_byte(*at))
        at++;
    return (size_t)(at - reader->at);
}

/* The reserved word stands here; it is passed. */
static bool take_word(struct reader *reader, const char *word)
{
    skip_spaces(reader);
    size_t size = strlen(word);
    if (word_size(reader) != size || memcmp(reader->at, word, size) != 0) return false;
    reader->at += size;
    return true;
}

static bool take_sign(struct reader *reader, const char *sign)
{
    skip_spaces(reader);
    size_t size = strlen(sign);
    if ((size_t)(reader->end - reader->at) < size || memcmp(reader->at, sign, size) != 0)
        return false;
    reader->at += size;
    return true;
}

static bool is_reserved(const char *text, size_t size)
{
    static const char *const words[] = {"AND", "OR",   "NOT",   "TO",       "IN",     "EXISTS",
                                        "IS",  "NULL", "EMPTY", "CONTAINS", "STARTS", "WITH"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == size && memcmp(words[i], text, size) == 0) return true;
    return false;
}

static enum err take_quoted(struct reader *reader, struct buf *out)
{
    char quote = *reader->at;
    const char *at = reader->at + 1;
    while (at < reader->end && *at != quote) {
        if (*at == '\\' && at + 1 < reader->end && (at[1] == quote || at[1] == '\\')) at++;
        buf_add_byte(out, (unsigned char)*at++);
    }
    if (at == reader->end) return wrong(reader, "the quote has no end");
    reader->at = at + 1;
    return ERR_OK;
}

/* A field's name or a value, into memory of its own; NULL with *out untouched on failure. */
static enum err take_text(struct reader *reader, const char *what, char **out)
{
    struct buf text = {0};
    skip_spaces(reader);
    size_t size = word_size(reader);
    if (reader->at < reader->end && (*reader->at == '\'' || *reader->at == '"')) {
        enum err err = take_quoted(reader, &text);
        if (err) {
            buf_fini(&text);
            return err;
        }
    } else if (size == 0) {
        return wrong(reader, "%s is expected here", what);
    } else if (is_reserved(reader->at, size)) {
        return wrong(reader, "%s is expected here; a reserved word stands in quotes", what);
    } else {
        buf_add(&text, reader->at, size);
        reader->at += size;
    }
    *out = text.data ? buf_take(&text) : mem_copy_text("");
    return ERR_OK;
}

// ---- terms -------------------------------------------------------------------------------------

static enum err add_value(struct reader *reader, struct filter_term *term, bool number)
{
    char *text;
    const char *before = reader->at;
    if (reader->filter->value_count >= FILTER_VALUES_MAX)
        return wrong(reader, "a filter has at most %d values", FILTER_VALUES_MAX);
    TRY(take_text(reader, number ? "a number" : "a value", &text));
    filter_term_add(term, text);
    reader->filter->value_count++;
    if (!number || term->values[term->count - 1].is_number) return ERR_OK;
    reader->at = before;
    skip_spaces(reader);
    return wrong(reader, "a number is expected here");
}

static enum err read_list(struct reader *reader, struct filter_term *term)
{
    term->test = FILTER_IN;
    if (!take_sign(reader, "[")) return wrong(reader, "'[' is expected after IN");
    if (take_sign(reader, "]")) return ERR_OK;
    do {
        TRY(add_value(reader, term, false));
    } while (take_sign(reader, ","));
    if (!take_sign(reader, "]")) return wrong(reader, "',' or ']' is expected in the list");
    return ERR_OK;
}

static enum err read_sign(struct reader *reader, struct filter_term *term, bool *known)
{
    static const struct {
        const char *sign;
        enum filter_test test;
        bool negated;
    } rows[] = {
        {"!=", FILTER_IN, true}, {">=", FILTER_FROM, false}, {"<=", FILTER_UNTIL, false},
        {"=", FILTER_IN, false}, {">", FILTER_ABOVE, false}, {"<", FILTER_BELOW, false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!take_sign(reader, rows[i].sign)) continue;
        *known = true;
        term->test = rows[i].test;
        term->negated = rows[i].negated;
        return add_value(reader, term, rows[i].test != FILTER_IN);
    }
    return ERR_OK;
}

static enum err read_is(struct reader *reader, struct filter_term *term)
{
    term->negated = take_word(reader, "NOT");
    term->test = FILTER_NULL;
    if (take_word(reader, "NULL")) return ERR_OK;
    term->test = FILTER_EMPTY;
    if (take_word(reader, "EMPTY")) return ERR_OK;
    return wrong(reader, "NULL or EMPTY is expected after IS");
}

/* What comes after the field. */
static enum err read_test(struct reader *reader, struct filter_term *term)
{
    bool known = false;
    TRY(read_sign(reader, term, &known));
    if (known) return ERR_OK;
    if (take_word(reader, "IS")) return read_is(reader, term);
    bool negated = take_word(reader, "NOT");
    term->negated = negated;
    if (take_word(reader, "IN")) return read_list(reader, term);
    if (take_word(reader, "EXISTS")) {
        term->test = FILTER_EXISTS;
        return ERR_OK;
    }
    if (negated) return wrong(reader, "IN or EXISTS is expected after NOT");
    skip_spaces(reader);
    size_t size = word_size(reader);
    if (size > 0 && !is_reserved(reader->at, size)) {
        term->test = FILTER_BETWEEN;
        TRY(add_value(reader, term, true));
        if (!take_word(reader, "TO")) return wrong(reader, "TO is expected here");
        return add_value(reader, term, true);
    }
    if (reader->at < reader->end && *reader->at == '(')
        return wrong(reader, "there are no functions; '%s' would be a field", term->field);
    return wrong(reader,
                 "=, !=, >, >=, <, <=, IN, EXISTS, IS or NUMBER TO NUMBER is expected after "
                 "the field '%.64s'",
                 term->field);
}

// ---- expressions -------------------------------------------------------------------------------

static enum err add_step(struct reader *reader, enum filter_step step)
{
    struct filter *filter = reader->filter;
    if (filter->step_count >= FILTER_STEPS_MAX) return wrong(reader, "the filter is too long");
    filter->steps[filter->step_count++] = (unsigned char)step;
    return ERR_OK;
}

static enum err read_term(struct reader *reader)
{
    struct filter *filter = reader->filter;
    if (filter->term_count >= FILTER_TERMS_MAX)
        return wrong(reader, "a filter has at most %d conditions", FILTER_TERMS_MAX);
    char *field;
    TRY(take_text(reader, "a field", &field));
    struct filter_term *term = &filter->terms[filter->term_count++];
    term->field = field;
    if (!*field) return wrong(reader, "a field has a name");
    TRY(read_test(reader, term));
    return add_step(reader, FILTER_STEP_TERM);
}

static enum err push(struct reader *reader, enum filter_step step)
{
    if (reader->pending_count >= PENDING_MAX)
        return wrong(reader, "at most %d parentheses and NOTs may be open", FILTER_LEVELS_MAX);
    reader->pending[reader->pending_count++] = (unsigned char)step;
    return ERR_OK;
}

/* Emit what waits and binds at least as strongly as `step` (the lesser number binds more), down to an open parenthesis. */
static enum err settle(struct reader *reader, enum filter_step step)
{
    while (reader->pending_count > 0) {
        enum filter_step top = (enum filter_step)reader->pending[reader->pending_count - 1];
        if (top == FILTER_STEP_OPEN || top > step) return ERR_OK;
        reader->pending_count--;
        TRY(add_step(reader, top));
    }
    return ERR_OK;
}

/* NOTs and opening parentheses, then a term. */
static enum err read_operand(struct reader *reader)
{
    for (;;) {
        if (take_word(reader, "NOT"))
            TRY(push(reader, FILTER_STEP_NOT));
        else if (take_sign(reader, "("))
            TRY(push(reader, FILTER_STEP_OPEN));
        else
            return read_term(reader);
    }
}

static enum err read_closing(struct reader *reader)
{
    while (take_sign(reader, ")")) {
        TRY(settle(reader, FILTER_STEP_OR));
        if (reader->pending_count == 0) {
            reader->at--;
            return wrong(reader, "this parenthesis was never opened");
        }
        reader->pending_count--;
    }
    return ERR_OK;
}

static enum err read_expression(struct reader *reader)
{
    for (;;) {
        TRY(read_operand(reader));
        TRY(read_closing(reader));
        skip_spaces(reader);
        if (reader->at == reader->end) break;
        enum filter_step step = FILTER_STEP_AND;
        if (!take_word(reader, "AND")) {
            step = FILTER_STEP_OR;
            if (!take_word(reader, "OR")) return wrong(reader, "AND or OR is expected here");
        }
        TRY(settle(reader, step));
        TRY(push(reader, step));
    }
    TRY(settle(reader, FILTER_STEP_OR));
    if (reader->pending_count > 0) return wrong(reader, "a parenthesis is not closed");
    return ERR_OK;
}

static bool is_blank(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!isspace((unsigned char)text[i])) return false;
    return true;
}

static enum err read_text(struct filter *filter, const char *place, const char *text, size_t size)
{
    struct reader reader = {.filter = filter, .begin = text, .at = text, .end = text + size};
    snprintf(reader.place, sizeof reader.place, "%s", place);
    if (memchr(text, '\0', size)) return err_note(ERR_INVALID, "%s: it has a NUL", place);
    return read_expression(&reader);
}

// ---- lists -------------------------------------------------------------------------------------

static enum err read_element(struct filter *filter, const char *place, const json_t *value)
{
    if (!json_is_string(value))
        return err_note(ERR_INVALID, "%s: it must be a text such as \"price < 100\"", place);
    return read_text(filter, place, json_string_value(value), json_string_length(value));
}

/* One truth of the list's elements, joined by `step`. */
static enum err read_any(struct filter *filter, const char *place, const json_t *list)
{
    char inner[64];
    struct reader reader = {.filter = filter, .begin = "", .at = "", .end = ""};
    snprintf(reader.place, sizeof reader.place, "%s", place);
    if (json_array_size(list) == 0)
        return err_note(ERR_INVALID, "%s: an empty list holds for nothing; leave it out", place);
    for (size_t i = 0; i < json_array_size(list); i++) {
        snprintf(inner, sizeof inner, "%.30s[%zu]", place, i);
        TRY(read_element(filter, inner, json_array_get(list, i)));
        if (i > 0) TRY(add_step(&reader, FILTER_STEP_OR));
    }
    return ERR_OK;
}

static enum err read_all(struct filter *filter, const json_t *list)
{
    char place[64];
    struct reader reader = {.filter = filter, .begin = "", .at = "", .end = "", .place = "filter"};
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *element = json_array_get(list, i);
        snprintf(place, sizeof place, "filter[%zu]", i);
        TRY(json_is_array(element) ? read_any(filter, place, element)
                                   : read_element(filter, place, element));
        if (i > 0) TRY(add_step(&reader, FILTER_STEP_AND));
    }
    return ERR_OK;
}

/* Bytes of all texts; a list with more elements than terms is as good as too long. */
static size_t bytes_of(const json_t *value)
{
    size_t bytes = 0;
    if (json_is_string(value)) return json_string_length(value);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *element = json_array_get(value, i);
        bytes += 1 + json_string_length(element);
        for (size_t j = 0; j < json_array_size(element); j++)
            bytes += 1 + json_string_length(json_array_get(element, j));
    }
    return bytes;
}

static void sign(struct filter *filter)
{
    struct digester *digester = digester_new();
    digester_add(digester, filter->steps, filter->step_count);
    for (size_t i = 0; i < filter->term_count; i++)
        filter_term_sign(&filter->terms[i], digester);
    filter->digest = digester_end(digester);
}

enum err filter_parse(struct filter **out, const json_t *value)
{
    enum err err = ERR_OK;
    struct filter *filter = mem_new(1, sizeof *filter);
    if (bytes_of(value) > FILTER_BYTES_MAX)
        err = err_note(ERR_INVALID, "filter: it has more than %d bytes", FILTER_BYTES_MAX);
    else if (json_is_array(value))
        err = read_all(filter, value);
    else if (json_is_string(value)) {
        if (!is_blank(json_string_value(value), json_string_length(value)))
            err = read_text(filter, "filter", json_string_value(value), json_string_length(value));
    } else if (value && !json_is_null(value))
        err = err_note(ERR_INVALID, "filter: it must be a text or a list of texts");
    if (err) {
        filter_free(filter);
        return err;
    }
    sign(filter);
    *out = filter;
    return ERR_OK;
}

enum err filter_parse_text(struct filter **out, const char *text, size_t size)
{
    json_t *value = json_stringn(text, size);
    if (!value) return err_note(ERR_INVALID, "filter: it is not valid UTF-8");
    enum err err = filter_parse(out, value);
    json_decref(value);
    return err;
}

struct filter *filter_hold(struct filter *filter)
{
    filter->more_holders++;
    return filter;
}

void filter_free(struct filter *filter)
{
    if (!filter) return;
    if (filter->more_holders > 0) {
        filter->more_holders--;
        return;
    }
    for (size_t i = 0; i < filter->term_count; i++)
        filter_term_fini(&filter->terms[i]);
    mem_free(filter);
}
