#include "scheduler/features/search/attribute.h"

#include "base/buf.h"

#include <stdint.h>
#include <string.h>

json_t *attribute_find(const json_t *document, const char *name)
{
    json_t *whole = json_object_get(document, name);
    if (whole) return whole;
    const json_t *at = document;
    for (int level = 0; level < ATTRIBUTE_LEVELS_MAX; level++) {
        const char *dot = strchr(name, '.');
        size_t size = dot ? (size_t)(dot - name) : strlen(name);
        json_t *next = json_object_getn(at, name, size);
        if (!next || !dot) return dot ? NULL : next;
        at = next;
        name = dot + 1;
    }
    return NULL;
}

static void write_scalar(struct buf *out, const json_t *value)
{
    if (out->size) buf_add_byte(out, '\n');
    if (json_is_string(value))
        buf_add(out, json_string_value(value), json_string_length(value));
    else if (json_is_integer(value))
        buf_addf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else
        buf_addf(out, "%.12g", json_real_value(value));
}

/* Level by level down, and back, without recursion: the way is kept here. */
struct level {
    const json_t *value;
    void *member; // of an object
    size_t at;    // of an array
};

static const json_t *next_of(struct level *level)
{
    if (json_is_array(level->value)) return json_array_get(level->value, level->at++);
    const json_t *value = level->member ? json_object_iter_value(level->member) : NULL;
    if (level->member)
        level->member = json_object_iter_next((json_t *)(uintptr_t)level->value, level->member);
    return value;
}

void attribute_write_text(struct buf *out, const json_t *value)
{
    struct level levels[ATTRIBUTE_LEVELS_MAX];
    size_t depth = 0;
    for (;;) {
        if (json_is_string(value) || json_is_number(value)) {
            write_scalar(out, value);
        } else if ((json_is_array(value) || json_is_object(value)) &&
                   depth < ATTRIBUTE_LEVELS_MAX) {
            levels[depth++] = (struct level){
                .value = value, .member = json_object_iter((json_t *)(uintptr_t)value)};
        }
        while (depth > 0 && !(value = next_of(&levels[depth - 1])))
            depth--;
        if (depth == 0) return;
    }
}
