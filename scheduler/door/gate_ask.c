#include "scheduler/door/gate_ask.h"

#include "scheduler/core/fleet.h"

#include "base/buf.h"
#include "base/hex.h"
#include "base/rand.h"
#include "base/sign.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A text of 1 to APPROVAL_NAME_MAX bytes, say. */
static enum err take(const json_t *root, const char *field, char *out, size_t size)
{
    const char *text = NULL;
    TRY(json_take_text(root, field, 1, size - 1, &text));
    if (!text) return json_wrong(field, "must be given");
    memcpy(out, text, strlen(text) + 1);
    return ERR_OK;
}

enum err gate_ask_names(struct approval *out, const json_t *root)
{
    enum feature feature;
    TRY(take(root, "region", out->region, sizeof out->region));
    TRY(take(root, "feature", out->feature, sizeof out->feature));
    if (feature_find(out->feature, &feature)) return ERR_OK;
    struct buf names = {0};
    feature_list(&names);
    enum err err = json_wrong("feature", "must be one of %s", buf_text(&names));
    buf_fini(&names);
    return err;
}

static enum err add_model(struct approval *out, const struct digest *digest)
{
    for (size_t i = 0; i < out->model_count; i++)
        if (digest_equal(&out->models[i], digest)) return ERR_OK;
    if (out->model_count == APPROVAL_MODELS_MAX)
        return json_wrong("models", "must be at most %d", APPROVAL_MODELS_MAX);
    out->models[out->model_count++] = *digest;
    return ERR_OK;
}

/* What is served under a name now: the model, and its adapter. */
static enum err add_served(struct approval *out, const char *name, const struct fleet *fleet)
{
    bool found = false;
    for (size_t i = 0; i < fleet_model_count(fleet); i++) {
        const struct fleet_model *model = fleet_model_at(fleet, i);
        if (strcmp(model->name, name) != 0 || !model->current) continue;
        found = true;
        TRY(add_model(out, &model->model));
        if (!digest_is_zero(&model->adapter)) TRY(add_model(out, &model->adapter));
    }
    return found ? ERR_OK
                 : json_wrong("models",
                              "must be digests of 32 hexadecimal digits, or names of "
                              "models that nodes serve now: '%.64s' is neither",
                              name);
}

static enum err take_list(const json_t *root, const char *field, size_t most, json_t **out)
{
    *out = json_find(root, field);
    if (!*out) return ERR_OK;
    if (!json_is_array(*out) || json_array_size(*out) > most)
        return json_wrong(field, "must be a list of at most %zu texts", most);
    for (size_t i = 0; i < json_array_size(*out); i++)
        if (!json_is_string(json_array_get(*out, i)))
            return json_wrong(field, "must be a list of texts");
    return ERR_OK;
}

static enum err read_draft(struct gate_command *out, const json_t *root, const struct fleet *fleet)
{
    struct approval *content = &out->content;
    json_t *list;
    TRY(take_list(root, "os", APPROVAL_SYSTEMS_MAX, &list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (strlen(text) > APPROVAL_NAME_MAX)
            return json_wrong("os", "must be names and versions of at most %d bytes",
                              APPROVAL_NAME_MAX);
        memcpy(content->systems[content->system_count++], text, strlen(text) + 1);
    }
    TRY(take_list(root, "models", APPROVAL_MODELS_MAX, &list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        struct digest digest;
        TRY(hex_read(digest.bytes, sizeof digest.bytes, text) ? add_model(content, &digest)
                                                              : add_served(content, text, fleet));
    }
    snprintf(out->salt, sizeof out->salt, "%016" PRIx64, rand_entropy());
    return ERR_OK;
}

static enum err read_evidence(struct gate_command *out, const json_t *root, int64_t now_ms)
{
    struct approval_evidence *evidence = &out->evidence;
    char hex[2 * APPROVAL_HASH_SIZE + 1];
    TRY(take(root, "type", evidence->type, sizeof evidence->type));
    TRY(take(root, "reference", evidence->reference, sizeof evidence->reference));
    TRY(take(root, "sha256", hex, sizeof hex));
    if (!hex_read(evidence->hash, sizeof evidence->hash, hex))
        return json_wrong("sha256", "must be the document's SHA-256, 64 hexadecimal digits");
    evidence->from_ms = now_ms;
    TRY(json_take_integer(root, "from", 0, INT64_MAX, &evidence->from_ms));
    return json_take_integer(root, "until", 0, INT64_MAX, &evidence->until_ms);
}

static enum err read_signature(struct gate_command *out, const json_t *root)
{
    char text[SIGN_TEXT_SIZE];
    int64_t serial = 0;
    TRY(take(root, "approver", out->signature.approver, sizeof out->signature.approver));
    TRY(take(root, "signature", text, sizeof text));
    if (!sign_decode(text, out->signature.bytes, sizeof out->signature.bytes))
        return json_wrong("signature", "must be base64 of %d bytes", GATE_SIGNATURE_SIZE);
    TRY(json_take_integer(root, "serial", 1, INT64_MAX, &serial));
    if (serial == 0) return json_wrong("serial", "must be given: which content was signed");
    out->serial = (uint64_t)serial;
    return ERR_OK;
}

static enum err read_share(struct gate_command *out, const json_t *root)
{
    double percent = 0;
    TRY(json_take_real(root, "percent", 0.01, 100, &percent));
    if (percent <= 0) return json_wrong("percent", "must be given: 0.01 to 100");
    out->share = (uint32_t)(percent * (GATE_WHOLE / 100) + 0.5);
    return ERR_OK;
}

enum err gate_ask_read(struct gate_command *out, enum gate_verb verb, const json_t *root,
                       const struct fleet *fleet, int64_t now_ms)
{
    *out = (struct gate_command){.verb = verb};
    TRY(gate_ask_names(&out->content, root));
    switch (verb) {
    case GATE_VERB_DRAFT: return read_draft(out, root, fleet);
    case GATE_VERB_EVIDENCE: return read_evidence(out, root, now_ms);
    case GATE_VERB_APPROVE: return read_signature(out, root);
    case GATE_VERB_ROLL: return read_share(out, root);
    default: return ERR_OK;
    }
}
