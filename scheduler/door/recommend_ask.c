#include "scheduler/door/recommend_ask.h"

#include "scheduler/door/json.h"
#include "scheduler/door/recommend.h"
#include "scheduler/features/catalogue.h"

#include <stdio.h>
#include <string.h>

static enum err read_session(struct recommend_ask *out)
{
    const json_t *session = json_find(out->root, "session");
    if (!session) return ERR_OK;
    if (!json_is_array(session) || json_array_size(session) == 0 ||
        json_array_size(session) > RECOMMEND_SESSION_MAX)
        return json_wrong("session", "must be a list of 1 to %d item ids, the oldest first",
                          RECOMMEND_SESSION_MAX);
    for (size_t i = 0; i < json_array_size(session); i++) {
        const json_t *id = json_array_get(session, i);
        char name[32];
        snprintf(name, sizeof name, "session[%zu]", i);
        if (!json_is_string(id) || json_string_length(id) == 0 ||
            json_string_length(id) > CATALOGUE_ID_MAX)
            return json_wrong(name, "must be an item id of 1 to %d bytes", CATALOGUE_ID_MAX);
    }
    out->session = session;
    return ERR_OK;
}

static enum err read_members(struct recommend_ask *out)
{
    int64_t count = 10;
    out->exclude_seen = true;
    out->scenario = "";
    if (json_find(out->root, "filter"))
        return json_wrong("filter",
                          "is not served yet: what is not sold in the region is left out");
    TRY(json_take_integer(out->root, "count", 1, RECOMMEND_COUNT_MAX, &count));
    TRY(json_take_flag(out->root, "exclude_seen", NULL, &out->exclude_seen));
    TRY(json_take_flag(out->root, "explain", NULL, &out->explain));
    TRY(json_take_text(out->root, "scenario", 0, 64, &out->scenario));
    TRY(json_take_text(out->root, "model", 1, 256, &out->model));
    out->count = (uint32_t)count;
    return read_session(out);
}

enum err recommend_ask_parse(struct recommend_ask *out, const char *body, size_t size)
{
    *out = (struct recommend_ask){0};
    TRY(json_read(&out->root, body, size));
    enum err err = read_members(out);
    if (err) recommend_ask_fini(out);
    return err;
}

void recommend_ask_fini(struct recommend_ask *ask)
{
    json_decref(ask->root);
    *ask = (struct recommend_ask){0};
}
