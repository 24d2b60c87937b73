#include "scheduler/door/json.h"

#include "text/utf8.h"

#include "base/buf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char last_param[JSON_PARAM_MAX];

const char *json_param(void)
{
    return last_param;
}

void json_param_clear(void)
{
    last_param[0] = '\0';
}

void json_set_param(const char *param)
{
    if (param != last_param) snprintf(last_param, sizeof last_param, "%s", param);
}

enum err json_wrong(const char *param, const char *format, ...)
{
    char text[ERR_NOTE_MAX / 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (param != last_param) snprintf(last_param, sizeof last_param, "%s", param);
    return err_note(ERR_INVALID, "%s %s", last_param, text);
}

/* Levels and values are counted by their punctuation, outside of strings; grammar is jansson's to
 * judge. */
static enum err check_size(const char *what, const char *text, size_t size)
{
    size_t levels = 0, values = 1;
    bool inside = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (inside) {
            if (c == '\\')
                i++;
            else if (c == '"')
                inside = false;
            continue;
        }
        if (c == '"') inside = true;
        if (c == ',' || c == '[' || c == '{') values++;
        if (c == '[' || c == '{') levels++;
        if ((c == ']' || c == '}') && levels > 0) levels--;
        if (levels > JSON_LEVELS_MAX)
            return err_note(ERR_INVALID, "%s nests deeper than %d levels", what, JSON_LEVELS_MAX);
        if (values > JSON_VALUES_MAX)
            return err_note(ERR_TOO_LARGE, "%s holds more than %d values", what, JSON_VALUES_MAX);
    }
    return ERR_OK;
}

static enum err read_value(json_t **out, const char *what, const char *text, size_t size)
{
    json_param_clear();
    if (size == 0) return err_note(ERR_INVALID, "%s is empty: a JSON object was expected", what);
    size_t valid = utf8_valid_size(text, size);
    if (valid < size)
        return err_note(ERR_INVALID, "%s is not valid UTF-8: see byte %zu", what, valid);
    TRY(check_size(what, text, size));
    json_error_t error;
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!*out)
        return err_note(ERR_INVALID, "%s is not valid JSON: line %d, column %d: %s", what,
                        error.line, error.column, error.text);
    return ERR_OK;
}

enum err json_read_part(json_t **out, const char *what, const char *text, size_t size)
{
    json_t *root;
    TRY(read_value(&root, what, text, size));
    if (!json_is_object(root)) {
        json_decref(root);
        return err_note(ERR_INVALID, "%s must be a JSON object", what);
    }
    *out = root;
    return ERR_OK;
}

enum err json_read(json_t **out, const char *text, size_t size)
{
    return json_read_part(out, "the body", text, size);
}

enum err json_read_list(json_t **out, const char *text, size_t size)
{
    json_t *root;
    TRY(read_value(&root, "the body", text, size));
    if (!json_is_array(root)) {
        json_decref(root);
        return err_note(ERR_INVALID, "the body must be a JSON list");
    }
    *out = root;
    return ERR_OK;
}

json_t *json_find(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

enum err json_take_flag(const json_t *object, const char *key, const char *param, bool *out)
{
    const json_t *value = json_find(object, key);
    if (!value) return ERR_OK;
    if (!json_is_boolean(value)) return json_wrong(param ? param : key, "must be true or false");
    *out = json_is_true(value);
    return ERR_OK;
}

enum err json_take_integer(const json_t *object, const char *key, int64_t min, int64_t max,
                           int64_t *out)
{
    const json_t *value = json_find(object, key);
    if (!value) return ERR_OK;
    if (!json_is_integer(value) || json_integer_value(value) < min ||
        json_integer_value(value) > max)
        return json_wrong(key, "must be a whole number from %" PRId64 " to %" PRId64, min, max);
    *out = json_integer_value(value);
    return ERR_OK;
}

enum err json_take_real(const json_t *object, const char *key, double min, double max, double *out)
{
    const json_t *value = json_find(object, key);
    if (!value) return ERR_OK;
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= min && number <= max))
        return json_wrong(key, "must be a number from %g to %g", min, max);
    *out = number;
    return ERR_OK;
}

enum err json_take_text(const json_t *object, const char *key, size_t min, size_t max,
                        const char **out)
{
    const json_t *value = json_find(object, key);
    if (!value) return ERR_OK;
    if (!json_is_string(value)) return json_wrong(key, "must be a string");
    size_t size = json_string_length(value);
    if (size < min || size > max)
        return json_wrong(key, "must be a string of %zu to %zu bytes", min, max);
    *out = json_string_value(value);
    return ERR_OK;
}

static void write_escaped(struct buf *out, const char *text, size_t size)
{
    static const char short_forms[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    size_t plain = 0; // where the bytes that go as they are begin
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) continue;
        buf_add(out, text + plain, i - plain);
        plain = i + 1;
        if (c == '"' || c == '\\') {
            buf_add_byte(out, '\\');
            buf_add_byte(out, c);
        } else if (c < sizeof short_forms && short_forms[c]) {
            buf_add_byte(out, '\\');
            buf_add_byte(out, (unsigned char)short_forms[c]);
        } else {
            buf_addf(out, "\\u%04x", c);
        }
    }
    buf_add(out, text + plain, size - plain);
}

void json_write_text(struct buf *out, const char *text, size_t size)
{
    buf_add_byte(out, '"');
    if (utf8_valid(text, size)) {
        write_escaped(out, text, size);
    } else {
        struct buf repaired = {0};
        utf8_repair(&repaired, text, size);
        write_escaped(out, buf_text(&repaired), repaired.size);
        buf_fini(&repaired);
    }
    buf_add_byte(out, '"');
}

void json_write_string(struct buf *out, const char *text)
{
    json_write_text(out, text, strlen(text));
}
