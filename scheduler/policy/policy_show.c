#include "scheduler/policy/edition.h"
#include "scheduler/policy/schema.h"

#include "base/buf.h"
#include "base/must.h"

#include <jansson.h>

#include <inttypes.h>
#include <string.h>
#include <time.h>

static json_t *time_of(int64_t seconds)
{
    char text[32];
    time_t when = (time_t)seconds;
    struct tm parts;
    gmtime_r(&when, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return json_string(text);
}

static json_t *digest_json(const struct digest *digest)
{
    char text[DIGEST_TEXT_SIZE];
    return json_string(digest_text(digest, text));
}

static json_t *show_document(const struct document *document, int64_t now_s)
{
    json_t *signers = json_array(), *out = json_object();
    for (size_t i = 0; i < document->signer_count; i++)
        json_array_append_new(signers, json_string(document->signers[i]));
    json_object_set_new(out, "file", json_string(document->file));
    json_object_set_new(out, "kind", json_string(document_kind_name(document->kind)));
    json_object_set_new(out, "name", json_string(document->name));
    if (*document->extends) json_object_set_new(out, "extends", json_string(document->extends));
    if (*document->tenant) json_object_set_new(out, "tenant", json_string(document->tenant));
    json_object_set_new(out, "serial", json_integer(document->serial));
    json_object_set_new(out, "valid_from", time_of(document->valid_from_s));
    json_object_set_new(out, "valid_until", time_of(document->valid_until_s));
    json_object_set_new(
        out, "valid",
        json_boolean(now_s >= document->valid_from_s && now_s < document->valid_until_s));
    json_object_set_new(out, "digest", digest_json(&document->digest));
    json_object_set_new(out, "signers", signers);
    return out;
}

static json_t *show_rules(const struct rules *rules, int64_t now_s)
{
    json_t *out = json_object();
    json_object_set_new(out, "region", json_string(rules->region));
    if (*rules->tenant) json_object_set_new(out, "tenant", json_string(rules->tenant));
    json_object_set_new(out, "digest", digest_json(&rules->digest));
    json_object_set_new(out, "valid",
                        json_boolean(now_s >= rules->valid_from_s && now_s < rules->valid_until_s));
    json_object_set_new(out, "valid_until", time_of(rules->valid_until_s));
    return out;
}

/* Append an object's text, and give it back. */
static void write_json(struct buf *out, json_t *object)
{
    size_t size = json_dumpb(object, NULL, 0, JSON_COMPACT);
    char *room = buf_grow(out, size);
    must(room && json_dumpb(object, room, size, JSON_COMPACT) == size);
    json_decref(object);
}

void policies_show(const struct policies *policies, int64_t now_s, struct buf *out)
{
    const struct policy_edition *edition = policies_edition(policies);
    const char *failure = policies_failure(policies);
    json_t *root = json_object(), *documents = json_array(), *regions = json_array();
    for (size_t i = 0; i < edition->document_count; i++)
        json_array_append_new(documents, show_document(&edition->documents[i], now_s));
    for (size_t i = 0; i < edition->resolved_count; i++)
        json_array_append_new(regions, show_rules(&edition->resolved[i].rules, now_s));
    json_object_set_new(root, "digest", digest_json(&edition->digest));
    json_object_set_new(root, "failure", *failure ? json_string(failure) : json_null());
    json_object_set_new(root, "regions", regions);
    json_object_set_new(root, "documents", documents);
    write_json(out, root);
}

// ---- rule by rule ------------------------------------------------------------------------------

struct explaining {
    const struct policy_edition *edition;
    const struct resolved *resolved;
    json_t *rules;
};

/* The highest document that says it gives the value; without one it is the preset. */
static void explain_path(void *argument, const char *path)
{
    struct explaining *explaining = argument;
    const struct resolved *resolved = explaining->resolved;
    const json_t *value = NULL, *provision = NULL;
    const struct document *from = NULL;
    for (size_t i = resolved->chain_count; i > 0 && (!value || !provision); i--) {
        const struct document *document = &explaining->edition->documents[resolved->chain[i - 1]];
        const json_t *near, *own = schema_find(document->rules, path, &near);
        if (own && !value) from = document;
        if (own && !value) value = own;
        if (near && !provision) provision = near;
    }
    json_t *rule = json_object();
    json_object_set_new(rule, "rule", json_string(path));
    json_object_set_new(rule, "value",
                        value ? json_deep_copy(value) : json_string("preset: the strictest"));
    json_object_set_new(rule, "document", from ? json_string(from->name) : json_null());
    json_object_set_new(rule, "provision", provision ? json_deep_copy(provision) : json_array());
    json_array_append_new(explaining->rules, rule);
}

enum reason policies_explain(const struct policies *policies, const char *region,
                             const char *tenant, struct buf *out)
{
    const struct resolved *resolved = policies_resolved(policies, region, tenant);
    if (!*region) return REASON_REGION_REQUIRED;
    if (!resolved) return REASON_REGION_NOT_APPROVED;
    json_t *root = json_object();
    struct explaining explaining = {policies_edition(policies), resolved, json_array()};
    schema_each(explain_path, &explaining);
    json_object_set_new(root, "region", json_string(resolved->rules.region));
    json_object_set_new(root, "tenant", json_string(resolved->rules.tenant));
    json_object_set_new(root, "digest", digest_json(&resolved->rules.digest));
    json_object_set_new(root, "valid_until", time_of(resolved->rules.valid_until_s));
    json_object_set_new(root, "rules", explaining.rules);
    write_json(out, root);
    return REASON_NONE;
}
