#include "scheduler/policy/schema.h"

#include "scheduler/policy/schema_take.h"

#include "base/buf.h"

#include <stdio.h>
#include <string.h>

// ---- the table ---------------------------------------------------------------------------------

static const char *const places[] = {"none", "start", "end", "both", NULL};
static const char *const redactions[] = {"phone", "identity", "card", "email", "address", NULL};

enum group {
    GROUP_feature,
    GROUP_gate,
    GROUP_labels,
    GROUP_filter,
    GROUP_privacy,
    GROUP_audit,
    GROUP_limits
};

#define COUNT_AT(type, name) .count_at = offsetof(struct type, name)
#define ANY_AT(type, name)   .has_any = true, .any_at = offsetof(struct type, name)
#define BETWEEN(least, most) .min = (least), .max = (most)
#define NO_BOUNDS            .max = 0

static const struct schema_row rows[] = {
#define RULE(group, name, form, ...) \
    {GROUP_##group, #name, schema_take_##form, offsetof(struct rules_##group, name), __VA_ARGS__},
#include "scheduler/policy/schema.def"
#undef RULE
};

enum {
    ROW_COUNT = sizeof rows / sizeof *rows
};

/* The sections of "rules" by their paths, and where each goes. */
struct section {
    const char *name;
    enum group group;
    size_t at; // in struct rules
};

#define FEATURE_AT(feature) \
    (offsetof(struct rules, features) + (feature) * sizeof(struct rules_feature))

static const struct section sections[] = {
    {"features/assistant", GROUP_feature, FEATURE_AT(FEATURE_ASSISTANT)},
    {"features/grounding", GROUP_feature, FEATURE_AT(FEATURE_GROUNDING)},
    {"features/recommendations", GROUP_feature, FEATURE_AT(FEATURE_RECOMMENDATIONS)},
    {"features/search", GROUP_feature, FEATURE_AT(FEATURE_SEARCH)},
    {"features/embeddings", GROUP_feature, FEATURE_AT(FEATURE_EMBEDDINGS)},
    {"features/rerank", GROUP_feature, FEATURE_AT(FEATURE_RERANK)},
    {"gate", GROUP_gate, offsetof(struct rules, gate)},
    {"labels", GROUP_labels, offsetof(struct rules, labels)},
    {"filter", GROUP_filter, offsetof(struct rules, filter)},
    {"privacy", GROUP_privacy, offsetof(struct rules, privacy)},
    {"audit", GROUP_audit, offsetof(struct rules, audit)},
    {"limits", GROUP_limits, offsetof(struct rules, limits)},
};

enum {
    SECTION_COUNT = sizeof sections / sizeof *sections
};

// ---- reading -----------------------------------------------------------------------------------

static const struct section *find_section(const char *path)
{
    for (size_t i = 0; i < SECTION_COUNT; i++)
        if (strcmp(sections[i].name, path) == 0) return &sections[i];
    return NULL;
}

static bool is_group(const char *name)
{
    return strcmp(name, "features") == 0;
}

/* Refuse a name, with those that are known beside it: of the section, or else of `group`, or of all. */
static enum err refuse_name(const struct schema_place *place, const struct section *section,
                            const char *group)
{
    struct buf known = {0};
    size_t skipped = *group ? strlen(group) + 1 : 0;
    for (size_t i = 0; section && i < ROW_COUNT; i++)
        if (rows[i].group == section->group) buf_addf(&known, "%s, ", rows[i].name);
    for (size_t i = 0; !section && i < SECTION_COUNT; i++) {
        const char *name = sections[i].name;
        bool is_inside = strchr(name, '/') != NULL;
        if (is_inside == (skipped > 0)) buf_addf(&known, "%s, ", name + skipped);
    }
    if (!section && skipped == 0) buf_add_text(&known, "features, ");
    buf_add_text(&known, "provision");
    enum err err = schema_wrong(place, "there is no such rule; known are %s", buf_text(&known));
    buf_fini(&known);
    return err;
}

static enum err apply_section(const struct section *section, char *rules, const json_t *object)
{
    const char *name;
    json_t *value;
    struct schema_place place = {0};
    snprintf(place.path, sizeof place.path, "/%s", section->name);
    if (!json_is_object(object)) return schema_wrong(&place, "must be an object");
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const struct schema_row *row = NULL;
        snprintf(place.path, sizeof place.path, "/%s/%.40s", section->name, name);
        if (strcmp(name, "provision") == 0) {
            TRY(schema_check_provision(&place, value));
            continue;
        }
        for (size_t i = 0; i < ROW_COUNT && !row; i++)
            if (rows[i].group == section->group && strcmp(rows[i].name, name) == 0) row = &rows[i];
        if (!row) return refuse_name(&place, section, "");
        TRY(row->take(row, &place, value, rules + section->at));
    }
    return ERR_OK;
}

/* The members of a group ("features"), or of "rules" itself when `group` is "". */
static enum err apply_group(struct rules *rules, const json_t *object, const char *group)
{
    const char *name;
    json_t *value;
    struct schema_place place = {0};
    const char *slash = *group ? "/" : "";
    snprintf(place.path, sizeof place.path, "/%s", group);
    if (!json_is_object(object)) return schema_wrong(&place, "must be an object");
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        snprintf(place.path, sizeof place.path, "/%s%s%.40s", group, slash, name);
        const struct section *section = find_section(place.path + 1);
        if (strcmp(name, "provision") == 0)
            TRY(schema_check_provision(&place, value));
        else if (section)
            TRY(apply_section(section, (char *)rules, value));
        else if (!*group && is_group(name))
            continue; // by schema_apply()
        else
            return refuse_name(&place, NULL, group);
    }
    return ERR_OK;
}

enum err schema_apply(struct rules *rules, const json_t *object)
{
    TRY(apply_group(rules, object, ""));
    const json_t *grouped = json_object_get(object, "features");
    return grouped ? apply_group(rules, grouped, "features") : ERR_OK;
}

enum err schema_check(const struct rules *rules)
{
    const struct rules_gate *gate = &rules->gate;
    if (gate->approver_count > 0 && gate->signatures > gate->approver_count)
        return err_note(ERR_INVALID,
                        "/gate/signatures: asks for %zu, but /gate/approvers names only %zu",
                        gate->signatures, gate->approver_count);
    if (rules->filter.required && !rules->filter.bundle)
        return err_note(ERR_INVALID,
                        "/filter/bundle: must be given where /filter/required is true");
    return ERR_OK;
}

// ---- paths -------------------------------------------------------------------------------------

void schema_each(schema_path_fn *found, void *argument)
{
    char path[SCHEMA_PATH_MAX];
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        for (size_t j = 0; j < ROW_COUNT; j++) {
            if (rows[j].group != sections[i].group) continue;
            snprintf(path, sizeof path, "/%s/%s", sections[i].name, rows[j].name);
            found(argument, path);
        }
    }
}

const json_t *schema_find(const json_t *object, const char *path, const json_t **provision)
{
    *provision = NULL;
    while (object && *path == '/') {
        char name[SCHEMA_PATH_MAX];
        size_t size = strcspn(path + 1, "/");
        const json_t *own = json_object_get(object, "provision");
        if (own) *provision = own;
        snprintf(name, sizeof name, "%.*s", (int)size, path + 1);
        object = json_object_get(object, name);
        path += size + 1;
    }
    return object;
}
