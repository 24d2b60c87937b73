#include "scheduler/door/ask_context.h"

#include "scheduler/door/json.h"

#include <stdio.h>
#include <string.h>

static enum err check_name(const struct ask_context *context, const json_t *entry,
                           const char *param)
{
    static const char search[] = "search:";
    const char *name = json_string_value(entry);
    size_t size = json_string_length(entry);
    bool is_search = name && strncmp(name, search, sizeof search - 1) == 0;
    if (!name || (strcmp(name, "history") != 0 && !is_search))
        return json_wrong(param, "must be \"history\" or \"search:INDEX\"%s%.40s%s",
                          name ? ", not \"" : "", name ? name : "", name ? "\"" : "");
    if (size > ASK_CONTEXT_NAME_MAX || (is_search && size == sizeof search - 1))
        return json_wrong(param, "must name an index behind \"search:\", in at most %d bytes",
                          ASK_CONTEXT_NAME_MAX);
    for (size_t i = 0; i < context->count; i++)
        if (strcmp(context->names[i], name) == 0)
            return json_wrong(param, "must not be given twice: \"%.80s\"", name);
    return ERR_OK;
}

enum err ask_context_read(struct ask_context *out, const json_t *root)
{
    struct ask_context read = {0};
    const json_t *list = json_find(root, "context");
    if (!list) return ERR_OK;
    if (!json_is_array(list) || json_array_size(list) > ASK_CONTEXT_MAX)
        return json_wrong("context", "must be a list of at most %d sources", ASK_CONTEXT_MAX);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        char param[JSON_PARAM_MAX];
        snprintf(param, sizeof param, "context[%zu]", i);
        TRY(check_name(&read, entry, param));
        read.names[read.count++] = json_string_value(entry);
    }
    *out = read;
    return ERR_OK;
}
