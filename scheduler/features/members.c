#include "scheduler/features/members.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

const char *members_unknown(const json_t *object, const char *const *known, size_t count)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        bool found = false;
        for (size_t i = 0; i < count && !found; i++)
            found = strcmp(known[i], name) == 0;
        if (!found) return name;
    }
    return NULL;
}

/* Equal but for case and underscores. */
static bool is_spelled(const char *a, const char *b)
{
    for (;; a++, b++) {
        a += strspn(a, "_");
        b += strspn(b, "_");
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) return false;
        if (!*a) return true;
    }
}

/* False: both names are there. */
static bool rename_member(json_t *object, const char *from, const char *to)
{
    json_t *value = json_object_get(object, from);
    if (!value || strcmp(from, to) == 0) return true;
    if (json_object_get(object, to)) return false;
    json_object_set(object, to, value);
    json_object_del(object, from);
    return true;
}

const char *members_respell(json_t *object, const char *const *known, size_t count)
{
    const char *name;
    json_t *value;
    void *next;
    if (!members_unknown(object, known, count)) return NULL; // as most are
    for (size_t i = 0; i < count; i++) {
        json_object_foreach_safe(object, next, name, value)
        {
            if (strcmp(name, known[i]) == 0 || !is_spelled(name, known[i])) continue;
            if (!rename_member(object, name, known[i])) return known[i];
            break;
        }
    }
    return NULL;
}

const char *members_rename(json_t *object, const struct member_name *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!rename_member(object, names[i].theirs, names[i].ours)) return names[i].ours;
    return NULL;
}

static json_t *text_of(const json_t *number)
{
    char text[24];
    snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(number));
    return json_string(text);
}

void members_name_number(json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (json_is_integer(value)) json_object_set_new(object, name, text_of(value));
}

void members_name_place(json_t *list, size_t at)
{
    const json_t *value = json_array_get(list, at);
    if (json_is_integer(value)) json_array_set_new(list, at, text_of(value));
}
