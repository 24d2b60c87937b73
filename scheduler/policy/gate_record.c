#include "scheduler/policy/gate_record.h"

#include "base/buf.h"
#include "base/hex.h"
#include "base/must.h"
#include "base/sign.h"

#include <jansson.h>
#include <sodium.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    FORMAT = 1,
    MAC_SIZE = 32,
    MAC_TEXT_SIZE = 2 * MAC_SIZE
};

static const struct {
    const char *name;
    bool open;
} states[GATE_STATE_COUNT] = {

#define GATE_STATE(name, text, open) [GATE_##name] = {text, open},
#include "scheduler/policy/gate.def"
#undef GATE_STATE
};

const char *gate_state_name(enum gate_state state)
{
    return states[state].name;
}

bool gate_state_is_open(enum gate_state state)
{
    return states[state].open;
}

void gate_record_name(char out[GATE_NAME_MAX + 1], const char *region, const char *feature)
{
    snprintf(out, GATE_NAME_MAX + 1, "%s/%s", region, feature);
}

// ---- writing -----------------------------------------------------------------------------------

static json_t *write_evidence(const struct approval *content)
{
    char hash[2 * APPROVAL_HASH_SIZE + 1];
    json_t *list = json_array();
    for (size_t i = 0; i < content->evidence_count; i++) {
        const struct approval_evidence *one = &content->evidence[i];
        sodium_bin2hex(hash, sizeof hash, one->hash, sizeof one->hash);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I, s:I}", "type", one->type,
                                              "reference", one->reference, "sha256", hash, "from",
                                              (json_int_t)one->from_ms, "until",
                                              (json_int_t)one->until_ms));
    }
    return list;
}

static json_t *write_signatures(const struct gate_record *record)
{
    char text[SIGN_TEXT_SIZE];
    json_t *list = json_array();
    for (size_t i = 0; i < record->signature_count; i++) {
        const struct gate_signature *one = &record->signatures[i];
        json_array_append_new(list, json_pack("{s:s, s:s}", "approver", one->approver, "signature",
                                              sign_text(text, one->bytes)));
    }
    return list;
}

void gate_record_write(struct buf *out, const struct gate_record *record)
{
    const struct approval *content = &record->content;
    char hex[DIGEST_TEXT_SIZE];
    json_t *systems = json_array(), *models = json_array();
    for (size_t i = 0; i < content->system_count; i++)
        json_array_append_new(systems, json_string(content->systems[i]));
    for (size_t i = 0; i < content->model_count; i++)
        json_array_append_new(models, json_string(digest_text(&content->models[i], hex)));
    json_t *root =
        json_pack("{s:i, s:s, s:s, s:s, s:i, s:s, s:I, s:I, s:s, s:o, s:o, s:o, s:o, s:I}", "v",
                  FORMAT, "feature", content->feature, "region", content->region, "state",
                  gate_state_name(record->state), "share", (int)record->share, "salt", record->salt,
                  "revision", (json_int_t)record->revision, "serial", (json_int_t)content->serial,
                  "policy", digest_text(&content->policy, hex), "os", systems, "models", models,
                  "evidence", write_evidence(content), "signatures", write_signatures(record),
                  "changed", (json_int_t)record->changed_ms);
    must(root != NULL); // all of it has been checked to be UTF-8
    char *text = json_dumps(root, JSON_COMPACT);
    must(text != NULL);
    buf_add_text(out, text);
    free(text); // jansson's
    json_decref(root);
}

// ---- reading -----------------------------------------------------------------------------------

static enum err wrong(const char *field)
{
    return err_note(ERR_FORMAT, "the gate's record: %s is not right", field);
}

static enum err take_text(const json_t *root, const char *field, char *out, size_t size)
{
    const json_t *value = json_object_get(root, field);
    if (!json_is_string(value) || json_string_length(value) >= size) return wrong(field);
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    return ERR_OK;
}

static enum err take_count(const json_t *root, const char *field, int64_t most, int64_t *out)
{
    const json_t *value = json_object_get(root, field);
    *out = json_integer_value(value);
    return json_is_integer(value) && *out >= 0 && *out <= most ? ERR_OK : wrong(field);
}

static enum err take_list(const json_t *root, const char *field, size_t most, json_t **out)
{
    *out = json_object_get(root, field);
    return json_is_array(*out) && json_array_size(*out) <= most ? ERR_OK : wrong(field);
}

static enum err take_evidence(struct approval_evidence *out, const json_t *one)
{
    char hex[2 * APPROVAL_HASH_SIZE + 1];
    TRY(take_text(one, "type", out->type, sizeof out->type));
    TRY(take_text(one, "reference", out->reference, sizeof out->reference));
    TRY(take_text(one, "sha256", hex, sizeof hex));
    TRY(take_count(one, "from", INT64_MAX, &out->from_ms));
    TRY(take_count(one, "until", INT64_MAX, &out->until_ms));
    return hex_read(out->hash, sizeof out->hash, hex) ? ERR_OK : wrong("sha256");
}

static enum err take_signature(struct gate_signature *out, const json_t *one)
{
    const char *text = json_string_value(json_object_get(one, "signature"));
    TRY(take_text(one, "approver", out->approver, sizeof out->approver));
    return text && sign_decode(text, out->bytes, sizeof out->bytes) ? ERR_OK : wrong("signature");
}

static enum err take_lists(struct gate_record *out, const json_t *root)
{
    struct approval *content = &out->content;
    json_t *list;
    TRY(take_list(root, "os", APPROVAL_SYSTEMS_MAX, &list));
    for (; content->system_count < json_array_size(list); content->system_count++) {
        const char *text = json_string_value(json_array_get(list, content->system_count));
        if (!text || strlen(text) > APPROVAL_NAME_MAX) return wrong("os");
        memcpy(content->systems[content->system_count], text, strlen(text) + 1);
    }
    TRY(take_list(root, "models", APPROVAL_MODELS_MAX, &list));
    for (; content->model_count < json_array_size(list); content->model_count++) {
        const char *text = json_string_value(json_array_get(list, content->model_count));
        struct digest *model = &content->models[content->model_count];
        if (!hex_read(model->bytes, sizeof model->bytes, text)) return wrong("models");
    }
    TRY(take_list(root, "evidence", APPROVAL_EVIDENCE_MAX, &list));
    for (; content->evidence_count < json_array_size(list); content->evidence_count++)
        TRY(take_evidence(&content->evidence[content->evidence_count],
                          json_array_get(list, content->evidence_count)));
    TRY(take_list(root, "signatures", GATE_SIGNATURES_MAX, &list));
    for (; out->signature_count < json_array_size(list); out->signature_count++)
        TRY(take_signature(&out->signatures[out->signature_count],
                           json_array_get(list, out->signature_count)));
    return ERR_OK;
}

static enum err take_state(enum gate_state *out, const json_t *root)
{
    const char *text = json_string_value(json_object_get(root, "state"));
    for (size_t i = 0; text && i < GATE_STATE_COUNT; i++) {
        if (strcmp(states[i].name, text) != 0) continue;
        *out = (enum gate_state)i;
        return ERR_OK;
    }
    return wrong("state");
}

static enum err take_record(struct gate_record *out, const json_t *root)
{
    struct approval *content = &out->content;
    char hex[DIGEST_TEXT_SIZE];
    int64_t format, share, revision, serial;
    TRY(take_count(root, "v", FORMAT, &format));
    if (format != FORMAT) return wrong("v");
    TRY(take_text(root, "feature", content->feature, sizeof content->feature));
    TRY(take_text(root, "region", content->region, sizeof content->region));
    TRY(take_state(&out->state, root));
    TRY(take_count(root, "share", GATE_WHOLE, &share));
    TRY(take_text(root, "salt", out->salt, sizeof out->salt));
    TRY(take_count(root, "revision", INT64_MAX, &revision));
    TRY(take_count(root, "serial", INT64_MAX, &serial));
    TRY(take_count(root, "changed", INT64_MAX, &out->changed_ms));
    TRY(take_text(root, "policy", hex, sizeof hex));
    if (!hex_read(content->policy.bytes, sizeof content->policy.bytes, hex)) return wrong("policy");
    out->share = (uint32_t)share;
    out->revision = (uint64_t)revision;
    content->serial = (uint64_t)serial;
    TRY(take_lists(out, root));
    return approval_check(content);
}

enum err gate_record_read(struct gate_record *out, const char *text, size_t size)
{
    json_error_t error;
    if (size > GATE_TEXT_MAX) return err_note(ERR_FORMAT, "the gate's record is too large");
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    *out = (struct gate_record){0};
    enum err err = json_is_object(root)
                       ? take_record(out, root)
                       : err_note(ERR_FORMAT, "the gate's record is no JSON object");
    json_decref(root);
    return err ? ERR_FORMAT : ERR_OK;
}

// ---- the seal ----------------------------------------------------------------------------------

static void write_mac(char out[MAC_TEXT_SIZE + 1], const char *name, const char *text, size_t size,
                      const unsigned char key[GATE_KEY_SIZE])
{
    crypto_generichash_state state;
    unsigned char mac[MAC_SIZE];
    crypto_generichash_init(&state, key, GATE_KEY_SIZE, sizeof mac);
    crypto_generichash_update(&state, (const unsigned char *)name, strlen(name) + 1);
    crypto_generichash_update(&state, (const unsigned char *)text, size);
    crypto_generichash_final(&state, mac, sizeof mac);
    sodium_bin2hex(out, MAC_TEXT_SIZE + 1, mac, sizeof mac);
}

void gate_record_seal(struct buf *out, const struct gate_record *record,
                      const unsigned char key[GATE_KEY_SIZE])
{
    char name[GATE_NAME_MAX + 1], mac[MAC_TEXT_SIZE + 1];
    struct buf text = {0};
    gate_record_name(name, record->content.region, record->content.feature);
    gate_record_write(&text, record);
    write_mac(mac, name, text.data, text.size, key);
    buf_addf(out, "%s %s", mac, text.data);
    buf_fini(&text);
}

enum err gate_record_open(struct gate_record *out, const char *name, const char *text, size_t size,
                          const unsigned char key[GATE_KEY_SIZE])
{
    char mac[MAC_TEXT_SIZE + 1], own[GATE_NAME_MAX + 1];
    *out = (struct gate_record){0};
    if (size <= MAC_TEXT_SIZE || text[MAC_TEXT_SIZE] != ' ')
        return err_note(ERR_FORMAT, "the gate's record has no seal");
    write_mac(mac, name, text + MAC_TEXT_SIZE + 1, size - MAC_TEXT_SIZE - 1, key);
    if (sodium_memcmp(mac, text, MAC_TEXT_SIZE) != 0)
        return err_note(ERR_FORMAT, "the gate's record was not written by a scheduler with this "
                                    "session key, or was changed since");
    TRY(gate_record_read(out, text + MAC_TEXT_SIZE + 1, size - MAC_TEXT_SIZE - 1));
    gate_record_name(own, out->content.region, out->content.feature);
    return strcmp(own, name) == 0 ? ERR_OK : wrong("region or feature");
}
