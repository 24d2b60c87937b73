#include "scheduler/door/recommend_ask.h"

#include "scheduler/door/context.h"
#include "scheduler/door/json.h"
#include "scheduler/door/recommend.h"
#include "scheduler/features/catalogue.h"
#include "scheduler/features/filter.h"
#include "scheduler/features/members.h"

#include "base/buf.h"

#include <stdio.h>
#include <string.h>

static const char *const scenarios[RECOMMEND_SCENARIOS] = {
    [RECOMMEND_HOME] = "home",
    [RECOMMEND_ALSO_BOUGHT] = "also-bought",
    [RECOMMEND_SIMILAR] = "similar",
    [RECOMMEND_POPULAR] = "popular",
};

const char *recommend_scenario_name(enum recommend_scenario scenario)
{
    return scenarios[scenario];
}

static enum err read_session(struct recommend_ask *out)
{
    json_t *session = json_find(out->root, "session");
    if (!session) return ERR_OK;
    if (!json_is_array(session) || json_array_size(session) == 0 ||
        json_array_size(session) > RECOMMEND_SESSION_MAX)
        return json_wrong("session", "must be a list of 1 to %d item ids, the oldest first",
                          RECOMMEND_SESSION_MAX);
    for (size_t i = 0; i < json_array_size(session); i++) {
        members_name_place(session, i);
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

/* The scenario, and what it is about. */
static enum err read_scenario(struct recommend_ask *out)
{
    const char *name = NULL;
    int found = -1;
    TRY(json_take_text(out->root, "scenario", 0, 64, &name));
    for (int i = 0; i < RECOMMEND_SCENARIOS && name; i++)
        if (strcmp(scenarios[i], name) == 0) found = i;
    if (!name || !*name) found = RECOMMEND_HOME;
    if (found < 0) return json_wrong("scenario", "must be home, also-bought, similar or popular");
    out->scenario = (enum recommend_scenario)found;
    members_name_number(out->root, "item");
    TRY(json_take_text(out->root, "item", 1, CATALOGUE_ID_MAX, &out->item));
    TRY(read_session(out));
    bool wants_item = found == RECOMMEND_ALSO_BOUGHT || found == RECOMMEND_SIMILAR;
    if (wants_item && !out->item)
        return json_wrong("item", "must be given: what the scenario '%s' is about",
                          scenarios[found]);
    if (!wants_item && out->item)
        return json_wrong("item", "is of the scenarios also-bought and similar");
    if (found != RECOMMEND_HOME && out->session)
        return json_wrong("session", "is of the scenario home");
    return ERR_OK;
}

static enum err read_filter(struct recommend_ask *out)
{
    const json_t *value = json_find(out->root, "filter");
    if (!value) return ERR_OK;
    enum err err = filter_parse(&out->filter, value);
    if (err) {
        json_set_param("filter");
        return err;
    }
    if (!filter_is_empty(out->filter)) return ERR_OK;
    filter_free(out->filter);
    out->filter = NULL;
    return ERR_OK;
}

static enum err name_members(json_t *root)
{
    static const char *const known[] = {"user",    "session", "scenario", "item",
                                        "filter",  "filters", "count",    "exclude_seen",
                                        "explain", "model",   "user_id"};
    static const struct member_name others[] = {{"filters", "filter"}, {"user_id", "user"}};
    const char *twice = members_respell(root, known, sizeof known / sizeof *known);
    if (!twice) twice = members_rename(root, others, sizeof others / sizeof *others);
    return twice ? json_wrong(twice, "is there twice, in two spellings") : ERR_OK;
}

static enum err read_members(struct recommend_ask *out)
{
    int64_t count = 10;
    out->exclude_seen = true;
    TRY(name_members(out->root));
    TRY(json_take_text(out->root, "user", 1, CONTEXT_USER_MAX, &out->user));
    TRY(json_take_integer(out->root, "count", 1, RECOMMEND_COUNT_MAX, &count));
    TRY(json_take_flag(out->root, "exclude_seen", NULL, &out->exclude_seen));
    TRY(json_take_flag(out->root, "explain", NULL, &out->explain));
    TRY(json_take_text(out->root, "model", 1, 256, &out->model));
    out->count = (uint32_t)count;
    TRY(read_scenario(out));
    return read_filter(out);
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
    filter_free(ask->filter);
    *ask = (struct recommend_ask){0};
}

static json_t *condition(const char *field, const char *value)
{
    struct buf text = {0};
    buf_addf(&text, "%s = \"", field);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\') buf_add_byte(&text, '\\');
        buf_add_byte(&text, (unsigned char)*value);
    }
    buf_add_byte(&text, '"');
    json_t *out = json_stringn(text.data, text.size);
    buf_fini(&text);
    return out;
}

enum err recommend_ask_within(struct recommend_ask *ask, const char *category)
{
    json_t *own = json_find(ask->root, "filter"), *all = json_array(), *either = json_array();
    struct filter *filter;
    json_array_append_new(either, condition("category", category));
    json_array_append_new(either, condition("attributes.categories", category));
    json_array_append_new(all, either);
    if (json_is_array(own))
        json_array_extend(all, own);
    else if (ask->filter)
        json_array_append(all, own);
    enum err err = filter_parse(&filter, all);
    json_decref(all);
    if (err) return err;
    filter_free(ask->filter);
    ask->filter = filter;
    return ERR_OK;
}
