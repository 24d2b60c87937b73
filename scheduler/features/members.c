#include "scheduler/features/members.h"

#include <stdbool.h>
#include <stdint.h>
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
