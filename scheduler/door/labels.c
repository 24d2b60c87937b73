#include "scheduler/door/labels.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/features/members.h"
#include "scheduler/policy/label.h"

#include "base/aigc.h"
#include "base/buf.h"
#include "base/mem.h"

#include <sodium.h>

#include <stdio.h>
#include <string.h>

enum {
    CONTENTS_MAX = 1000, // texts of one content: as many as a list of recommendations may have
    LABEL_TEXT_MAX = 4 * RULES_TEXT_MAX
};

/* What is asked. */
struct claim {
    json_t *root; // of which the texts are borrowed
    const json_t *content;
    const char *before, *behind;
    bool has_label;
    struct aigc aigc;
    bool too_long; // a field is longer than any that is made here
};

// ---- reading -----------------------------------------------------------------------------------

static enum err read_aigc(const json_t *object, struct claim *claim)
{
    const char *names[AIGC_FIELDS];
    if (!json_is_object(object)) return json_wrong("aigc", "must be the AIGC object");
    for (size_t i = 0; i < AIGC_FIELDS; i++)
        names[i] = aigc_fields[i].name;
    const char *unknown = members_unknown(object, names, AIGC_FIELDS);
    if (unknown) return json_wrong("aigc", "has no member '%.64s'", unknown);
    for (size_t i = 0; i < AIGC_FIELDS; i++) {
        char param[JSON_PARAM_MAX];
        const struct aigc_field *field = &aigc_fields[i];
        const char *value = json_string_value(json_object_get(object, field->name));
        snprintf(param, sizeof param, "aigc.%s", field->name);
        if (!value) return json_wrong(param, "must be a string");
        if (strlen(value) > field->max) claim->too_long = true;
        snprintf((char *)&claim->aigc + field->offset, field->max + 1, "%s", value);
    }
    return ERR_OK;
}

static enum err read_label(const json_t *object, struct claim *claim)
{
    if (!object) return ERR_OK;
    if (!json_is_object(object))
        return json_wrong("label", "must be an object, as the answer has it");
    claim->has_label = true;
    TRY(json_take_text(object, "before", 0, LABEL_TEXT_MAX, &claim->before));
    return json_take_text(object, "behind", 0, LABEL_TEXT_MAX, &claim->behind);
}

static enum err read_content(const json_t *content)
{
    if (json_is_string(content)) return ERR_OK;
    size_t count = json_array_size(content);
    if (!json_is_array(content) || count == 0 || count > CONTENTS_MAX)
        return json_wrong("content", "must be a text, or a list of 1 to %d texts", CONTENTS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!json_is_string(json_array_get(content, i)))
            return json_wrong("content", "must have nothing but texts in its list");
    }
    return ERR_OK;
}

static enum err read_claim(struct claim *claim, const char *body, size_t size)
{
    TRY(json_read(&claim->root, body, size));
    claim->before = claim->behind = "";
    claim->content = json_find(claim->root, "content");
    TRY(read_content(claim->content));
    TRY(read_label(json_find(claim->root, "label"), claim));
    return read_aigc(json_find(claim->root, "aigc"), claim);
}

// ---- checking ----------------------------------------------------------------------------------

static const json_t *text_at(const struct claim *claim, size_t index)
{
    return json_is_array(claim->content) ? json_array_get(claim->content, index) : claim->content;
}

/* The hash of a text without the label that is said to stand around it; false: it does not. */
static bool hash_text(const struct claim *claim, const json_t *text, struct aigc_hash *out)
{
    const char *bytes = json_string_value(text);
    size_t size = json_string_length(text), before = strlen(claim->before),
           behind = strlen(claim->behind);
    if (size < before + behind || memcmp(bytes, claim->before, before) != 0 ||
        memcmp(bytes + size - behind, claim->behind, behind) != 0)
        return false;
    *out = aigc_hash_text(bytes + before, size - before - behind);
    return true;
}

static enum aigc_wrong check_content(const struct claim *claim, const struct aigc_code *code)
{
    size_t count = json_is_array(claim->content) ? json_array_size(claim->content) : 1;
    struct aigc_hash *texts = mem_new(count, sizeof *texts);
    struct aigc_hash label = aigc_hash_label(claim->before, claim->behind);
    enum aigc_wrong wrong = AIGC_VALID;
    bool is_same = code->has_label && sodium_memcmp(&label, &code->label, sizeof label) == 0;
    if (claim->has_label && !is_same) wrong = AIGC_WRONG_LABEL;
    for (size_t i = 0; !wrong && i < count; i++) {
        if (!hash_text(claim, text_at(claim, i), &texts[i])) wrong = AIGC_WRONG_LABEL;
    }
    if (!wrong) {
        struct aigc_hash content = aigc_hash_list(texts, count);
        bool is_right =
            code->has_content && sodium_memcmp(&content, &code->content, sizeof content) == 0;
        wrong = is_right ? AIGC_VALID : AIGC_WRONG_CONTENT;
    }
    mem_free(texts);
    return wrong;
}

static const char *explain(enum aigc_wrong wrong, const struct aigc_code *code, const char **part)
{
    static const char *const parts[] = {[AIGC_WRONG_CODE] = "code",
                                        [AIGC_WRONG_KEY] = "key",
                                        [AIGC_WRONG_SIGNATURE] = "fields",
                                        [AIGC_WRONG_CONTENT] = "content",
                                        [AIGC_WRONG_LABEL] = "label"};
    *part = parts[wrong];
    switch (wrong) {
    case AIGC_WRONG_CODE: return "ReservedCode1 was not made by a scheduler of qiao";
    case AIGC_WRONG_KEY: return "it is signed by a key that is not known here (/v1/labels/keys)";
    case AIGC_WRONG_SIGNATURE:
        return "a field of the metadata, or its signature, is not as it was signed";
    case AIGC_WRONG_CONTENT:
        return code->has_content
                   ? "the content is not the one that was signed"
                   : "the metadata is that of a stream's begin, and is bound to no content: its "
                     "last event has the one that is";
    case AIGC_WRONG_LABEL:
        return "the label around the content is not the one that was signed: leave `label` out "
               "where the content does not have it";
    case AIGC_VALID: break;
    }
    return "content and metadata are as they were signed";
}

static void reply(struct http_request *request, enum aigc_wrong wrong, const struct aigc_code *code)
{
    struct buf body = {0};
    const char *part = NULL, *message = explain(wrong, code, &part);
    bool has_fields =
        wrong == AIGC_VALID || wrong == AIGC_WRONG_CONTENT || wrong == AIGC_WRONG_LABEL;
    buf_addf(&body, "{\"object\":\"label.verification\",\"valid\":%s,\"fields\":%s,\"key\":",
             wrong ? "false" : "true", has_fields ? "true" : "false");
    if (has_fields)
        json_write_string(&body, code->key);
    else
        buf_add_text(&body, "null");
    buf_addf(&body, ",\"wrong\":%s%s%s,\"message\":", part ? "\"" : "", part ? part : "null",
             part ? "\"" : "");
    json_write_string(&body, message);
    buf_add_byte(&body, '}');
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}

void labels_verify(struct door *door, struct http_request *request)
{
    struct context context;
    struct claim claim = {0};
    struct aigc_code code = {0};
    size_t size;
    if (!door_admit(door, request, false, &context)) return;
    json_param_clear();
    const char *body = http_body(request, &size);
    enum err err = read_claim(&claim, body, size);
    if (err) {
        door_refuse(request, err);
    } else {
        enum aigc_wrong wrong = claim.too_long
                                    ? AIGC_WRONG_SIGNATURE
                                    : aigc_check(&claim.aigc, labeller_keys(door->labeller), &code);
        if (!wrong) wrong = check_content(&claim, &code);
        reply(request, wrong, &code);
    }
    json_decref(claim.root);
}

void labels_keys(struct door *door, struct http_request *request)
{
    struct context context;
    struct buf body = {0};
    const struct sign_keys *keys = labeller_keys(door->labeller);
    char text[sodium_base64_ENCODED_LEN(SIGN_KEY_SIZE, sodium_base64_VARIANT_ORIGINAL)];
    if (!door_admit(door, request, false, &context)) return;
    buf_add_text(&body, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < keys->count; i++) {
        sodium_bin2base64(text, sizeof text, keys->keys[i].key, SIGN_KEY_SIZE,
                          sodium_base64_VARIANT_ORIGINAL);
        buf_addf(&body,
                 "%s{\"object\":\"label.key\",\"id\":\"%s\",\"algorithm\":\"Ed25519\","
                 "\"key\":\"%s\"}",
                 i > 0 ? "," : "", keys->keys[i].id, text);
    }
    buf_add_text(&body, "]}");
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}
