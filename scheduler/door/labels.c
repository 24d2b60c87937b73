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
#include "base/sign.h"

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
    if (!json_is_object(object)) return json_wrong("AIGC", "must be the AIGC object");
    for (size_t i = 0; i < AIGC_FIELDS; i++)
        names[i] = aigc_fields[i].name;
    const char *unknown = members_unknown(object, names, AIGC_FIELDS);
    if (unknown) return json_wrong("AIGC", "has no member '%.64s'", unknown);
    for (size_t i = 0; i < AIGC_FIELDS; i++) {
        char param[JSON_PARAM_MAX];
        const struct aigc_field *field = &aigc_fields[i];
        const char *value = json_string_value(json_object_get(object, field->name));
        snprintf(param, sizeof param, "AIGC.%s", field->name);
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

/* An answer as it came: its texts become the content. */
static enum err take_choices(json_t *root, const json_t *choices)
{
    json_t *texts = json_array();
    for (size_t i = 0; i < json_array_size(choices); i++) {
        const json_t *choice = json_array_get(choices, i);
        const json_t *message = json_object_get(choice, "message");
        json_t *text =
            message ? json_object_get(message, "content") : json_object_get(choice, "text");
        if (!json_is_string(text)) {
            json_decref(texts);
            return json_wrong("choices", "must be those of an answer that is not a stream");
        }
        json_array_append(texts, text);
    }
    json_object_set_new(root, "content", texts);
    return ERR_OK;
}

static enum err read_claim(struct claim *claim, const char *body, size_t size)
{
    TRY(json_read(&claim->root, body, size));
    claim->before = claim->behind = "";
    const json_t *choices = json_find(claim->root, "choices");
    if (choices && !json_find(claim->root, "content")) TRY(take_choices(claim->root, choices));
    claim->content = json_find(claim->root, "content");
    TRY(read_content(claim->content));
    TRY(read_label(json_find(claim->root, "label"), claim));
    return read_aigc(json_find(claim->root, "AIGC"), claim);
}

// ---- checking ----------------------------------------------------------------------------------

static enum aigc_wrong check_content(const struct claim *claim, const struct aigc_code *code)
{
    bool is_list = json_is_array(claim->content);
    size_t count = is_list ? json_array_size(claim->content) : 1;
    const char **texts = mem_new(count, sizeof *texts);
    size_t *sizes = mem_new(count, sizeof *sizes);
    for (size_t i = 0; i < count; i++) {
        const json_t *text = is_list ? json_array_get(claim->content, i) : claim->content;
        texts[i] = json_string_value(text);
        sizes[i] = json_string_length(text);
    }
    struct aigc_content content = {.texts = texts,
                                   .sizes = sizes,
                                   .count = count,
                                   .has_label = claim->has_label,
                                   .before = claim->before,
                                   .behind = claim->behind};
    enum aigc_wrong wrong = aigc_check_content(code, &content);
    mem_free(texts);
    mem_free(sizes);
    return wrong;
}

static void reply(struct http_request *request, enum aigc_wrong wrong, const struct aigc_code *code)
{
    struct buf body = {0};
    const char *part = aigc_wrong_part(wrong);
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
    json_write_string(&body, aigc_wrong_text(wrong, code));
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
    char text[SIGN_KEY_TEXT_SIZE];
    if (!door_admit(door, request, false, &context)) return;
    buf_add_text(&body, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < keys->count; i++)
        buf_addf(&body,
                 "%s{\"object\":\"label.key\",\"id\":\"%s\",\"algorithm\":\"Ed25519\","
                 "\"key\":\"%s\"}",
                 i > 0 ? "," : "", keys->keys[i].id, sign_key_text(text, keys->keys[i].key));
    buf_add_text(&body, "]}");
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}
