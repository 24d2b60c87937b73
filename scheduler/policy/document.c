#include "scheduler/policy/document.h"

#include "scheduler/policy/schema.h"

#include "text/utf8.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    NOTE_MAX = 4096
};

static const char *const kinds[] = {"base", "region", "tenant"};
static const char *const members[] = {"format", "kind",   "name",       "extends",
                                      "tenant", "serial", "valid_from", "valid_until",
                                      "note",   "final",  "rules"};

const char *document_kind_name(enum document_kind kind)
{
    return kinds[kind];
}

static enum err wrong(const char *path, const char *must)
{
    return err_note(ERR_INVALID, "%s: %s", path, must);
}

static enum err read_time(const json_t *root, const char *name, int64_t *out)
{
    char path[SCHEMA_PATH_MAX], again[32];
    struct tm parts = {0};
    const char *text = json_string_value(json_object_get(root, name));
    const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%SZ", &parts) : NULL;
    snprintf(path, sizeof path, "/%s", name);
    if (!end || *end) return wrong(path, "must be a time such as \"2026-01-01T00:00:00Z\"");
    time_t seconds = timegm(&parts);
    struct tm back;
    gmtime_r(&seconds, &back);
    strftime(again, sizeof again, "%Y-%m-%dT%H:%M:%SZ", &back);
    if (strcmp(again, text) != 0) return wrong(path, "must be a day that the calendar has");
    *out = (int64_t)seconds;
    return ERR_OK;
}

/* A name, or "" when it is not there. */
static enum err read_name(const json_t *root, const char *name, const char **out)
{
    char path[SCHEMA_PATH_MAX];
    const json_t *value = json_object_get(root, name);
    const char *text = json_string_value(value);
    snprintf(path, sizeof path, "/%s", name);
    *out = text ? text : "";
    if (!value || (text && sign_is_id(text))) return ERR_OK;
    return wrong(path, "must be a name of 1 to 64 letters, digits, '-', '_' or '.'");
}

static bool is_lower(const char *text)
{
    for (; *text; text++)
        if (*text >= 'A' && *text <= 'Z') return false;
    return true;
}

static enum err read_kind(struct document *document)
{
    const char *text = json_string_value(json_object_get(document->root, "kind"));
    for (size_t i = 0; text && i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i], text) != 0) continue;
        document->kind = (enum document_kind)i;
        return ERR_OK;
    }
    return wrong("/kind", "must be one of base, region, tenant");
}

static enum err read_names(struct document *document)
{
    TRY(read_kind(document));
    TRY(read_name(document->root, "name", &document->name));
    TRY(read_name(document->root, "extends", &document->extends));
    TRY(read_name(document->root, "tenant", &document->tenant));
    bool is_tenant = document->kind == DOCUMENT_TENANT;
    if (!*document->name) return wrong("/name", "must be given");
    if (!is_lower(document->name)) return wrong("/name", "must be in lower case");
    if (document->kind != DOCUMENT_BASE && !*document->extends)
        return wrong("/extends", "must name the document under it, such as \"base\"");
    if (is_tenant && !*document->tenant) return wrong("/tenant", "must name the tenant");
    if (!is_tenant && *document->tenant)
        return wrong("/tenant", "must not be given where kind is not tenant");
    return ERR_OK;
}

static enum err read_finals(struct document *document)
{
    const json_t *list = json_object_get(document->root, "final");
    if (!list) return ERR_OK;
    if (!json_is_array(list) || json_array_size(list) > DOCUMENT_FINALS_MAX)
        return wrong("/final", "must be a list of at most 64 paths, such as \"/gate/signatures\"");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *path = json_string_value(json_array_get(list, i));
        if (!path || *path != '/' || strlen(path) >= SCHEMA_PATH_MAX)
            return wrong("/final", "must hold paths, such as \"/gate/signatures\"");
        document->finals[document->final_count++] = path;
    }
    return ERR_OK;
}

static enum err check_members(const json_t *root)
{
    const char *name;
    json_t *value;
    char path[SCHEMA_PATH_MAX];
    json_object_foreach((json_t *)(uintptr_t)root, name, value)
    {
        bool known = false;
        for (size_t i = 0; i < sizeof members / sizeof *members; i++)
            known |= strcmp(members[i], name) == 0;
        snprintf(path, sizeof path, "/%.40s", name);
        if (!known)
            return wrong(path, "there is no such member; known are format, kind, name, extends, "
                               "tenant, serial, valid_from, valid_until, note, final, rules");
    }
    return ERR_OK;
}

static enum err read_root(struct document *document)
{
    const json_t *root = document->root;
    const char *format = json_string_value(json_object_get(root, "format"));
    const json_t *serial = json_object_get(root, "serial"), *note = json_object_get(root, "note");
    if (!json_is_object(root)) return wrong("/", "must be an object");
    if (!format || strcmp(format, DOCUMENT_FORMAT) != 0)
        return wrong("/format", "must be \"" DOCUMENT_FORMAT "\"");
    TRY(check_members(root));
    TRY(read_names(document));
    document->serial = json_integer_value(serial);
    if (!json_is_integer(serial) || document->serial < 1)
        return wrong("/serial", "must be a whole number from 1 on, that grows with each edition");
    TRY(read_time(root, "valid_from", &document->valid_from_s));
    TRY(read_time(root, "valid_until", &document->valid_until_s));
    if (document->valid_until_s <= document->valid_from_s)
        return wrong("/valid_until", "must be after valid_from");
    if (note && (!json_is_string(note) || json_string_length(note) > NOTE_MAX))
        return wrong("/note", "must be a text of at most 4096 bytes");
    TRY(read_finals(document));
    document->rules = json_object_get(root, "rules");
    return document->rules ? ERR_OK : wrong("/rules", "must be given");
}

/* The rules are read into strict ones that nobody uses: for what is wrong. */
static enum err check_rules(const struct document *document)
{
    struct rules *rules = mem_new(1, sizeof *rules);
    rules_preset(rules);
    enum err err = schema_apply(rules, document->rules);
    mem_free(rules);
    if (!err) return ERR_OK;
    char note[ERR_NOTE_MAX];
    snprintf(note, sizeof note, "%s", err_text());
    return err_note(err, "/rules%s", note);
}

enum err document_parse(struct document *out, const char *file, const char *text, size_t size)
{
    json_error_t error;
    struct document document = {0};
    snprintf(document.file, sizeof document.file, "%s", file);
    if (!utf8_valid(text, size)) return err_note(ERR_INVALID, "%s: not valid UTF-8", file);
    document.root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!document.root)
        return err_note(ERR_INVALID, "%s: not valid JSON at line %d, column %d: %s", file,
                        error.line, error.column, error.text);
    enum err err = read_root(&document);
    if (!err) err = check_rules(&document);
    if (err) {
        char note[ERR_NOTE_MAX];
        snprintf(note, sizeof note, "%s", err_text());
        document_fini(&document);
        return err_note(err, "%s: %s", file, note);
    }
    document.digest = digest_of(text, size);
    *out = document;
    return ERR_OK;
}

void document_fini(struct document *document)
{
    json_decref(document->root);
    *document = (struct document){0};
}

static bool has_signed(const struct document *document, const char *id)
{
    for (size_t i = 0; i < document->signer_count; i++)
        if (strcmp(document->signers[i], id) == 0) return true;
    return false;
}

enum err document_verify(struct document *document, const char *text, size_t size,
                         const struct sign_keys *keys, const struct sign_signatures *signatures)
{
    document->signer_count = 0;
    for (size_t i = 0; i < signatures->count; i++) {
        const struct sign_signature *signature = &signatures->list[i];
        const struct sign_public *key = sign_find(keys, signature->id);
        if (!key) continue;
        if (!sign_check(key->key, DOCUMENT_PURPOSE, text, size, signature->bytes))
            return err_note(ERR_FORBIDDEN,
                            "%s: the signature of '%s' is not one of these bytes: sign it again",
                            document->file, key->id);
        if (document->signer_count < DOCUMENT_SIGNERS_MAX && !has_signed(document, key->id))
            snprintf(document->signers[document->signer_count++], SIGN_ID_MAX + 1, "%s", key->id);
    }
    if (document->signer_count > 0) return ERR_OK;
    return err_note(ERR_FORBIDDEN, "%s: nobody whose key is in the file of policy_keys signed it",
                    document->file);
}

enum err document_allows(const struct document *document, const struct document *above)
{
    const json_t *provision;
    for (size_t i = 0; i < document->final_count; i++) {
        if (!schema_find(above->rules, document->finals[i], &provision)) continue;
        return err_note(ERR_FORBIDDEN, "%s: /rules%s: is final in %s", above->file,
                        document->finals[i], document->file);
    }
    return ERR_OK;
}
