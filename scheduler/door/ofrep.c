#include "scheduler/door/ofrep.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/hurdles.h"
#include "scheduler/door/json.h"
#include "scheduler/policy/gate.h"

#include "base/buf.h"
#include "base/digest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PATH "/ofrep/v1/evaluate/flags/"

/* Who asks. */
struct evaluation {
    struct door *door;
    struct context context;
};

static enum err read_context(struct evaluation *evaluation, const struct http_request *request)
{
    struct context_headers headers = {.authorization = http_header(request, "Authorization"),
                                      .user = http_header(request, "X-Qiao-User"),
                                      .region = http_header(request, "X-Qiao-Region"),
                                      .os = http_header(request, "X-Qiao-OS")};
    size_t size;
    const char *text = http_body(request, &size);
    json_t *root;
    TRY(json_read(&root, text, size));
    const json_t *told = json_find(root, "context");
    enum err err =
        told && !json_is_object(told) ? json_wrong("context", "must be an object") : ERR_OK;
    if (!err) err = json_take_text(told, "targetingKey", 1, CONTEXT_USER_MAX, &headers.user);
    if (!err) err = json_take_text(told, "region", 1, CONTEXT_LABEL_MAX, &headers.region);
    if (!err) err = json_take_text(told, "os", 1, CONTEXT_LABEL_MAX, &headers.os);
    if (!err) err = context_build(&evaluation->context, evaluation->door->keys, &headers);
    json_decref(root);
    return err;
}

static enum err begin(struct evaluation *evaluation, struct door *door,
                      const struct http_request *request)
{
    *evaluation = (struct evaluation){.door = door};
    json_param_clear();
    TRY(read_context(evaluation, request));
    context_complete_region(&evaluation->context);
    return ERR_OK;
}

/* What a request would meet, but for its language. *split: the user's place in a rollout decided. */
static enum reason decide(const struct evaluation *evaluation, enum feature feature, bool *split,
                          struct buf *what)
{
    enum reason reason = REASON_NONE;
    struct hurdles hurdles = hurdles_of(evaluation->door, &evaluation->context, feature);
    *split = false;
    if (!hurdles.door->policies) return REASON_NONE;
    for (int i = 0; i < HURDLE_COUNT && !reason; i++) {
        buf_clear(what);
        if (i != HURDLE_LANGUAGE) reason = hurdle_check(&hurdles, (enum hurdle)i, what);
    }
    *split = reason == REASON_NOT_IN_ROLLOUT ||
             (!reason && hurdles.pass.gated && hurdles.pass.share < GATE_WHOLE);
    return reason;
}

static void write_flag(struct buf *out, const struct evaluation *evaluation, enum feature feature)
{
    struct buf what = {0};
    bool split;
    enum reason reason = decide(evaluation, feature, &split, &what);
    const struct gate *gate = evaluation->door->gate;
    bool open = reason == REASON_NONE;
    buf_addf(out,
             "{\"key\":\"%s\",\"value\":%s,\"variant\":\"%s\",\"reason\":\"%s\","
             "\"metadata\":{\"region\":",
             feature_name(feature), open ? "true" : "false", open ? "on" : "off",
             split  ? "SPLIT"
             : open ? "TARGETING_MATCH"
                    : "DISABLED");
    json_write_string(out, evaluation->context.region);
    buf_addf(out, ",\"epoch\":%" PRIu64 ",\"code\":\"%s\"", gate ? gate_epoch(gate) : 0,
             reason_code(reason));
    if (!open) {
        struct buf message = {0};
        buf_addf(&message, "%s%s%s", reason_text(reason), what.size ? ": " : "", buf_text(&what));
        buf_add_text(out, ",\"message\":");
        json_write_string(out, buf_text(&message));
        buf_fini(&message);
    }
    buf_add_text(out, "}}");
    buf_fini(&what);
}

/* The protocol's own shape of an error; a key that is not right has the API's. */
static void refuse(struct http_request *request, const char *key, int status, const char *code)
{
    struct buf body = {0};
    buf_addf(&body, "{\"errorCode\":\"%s\",\"errorDetails\":", code);
    json_write_string(&body, err_text());
    if (key) {
        buf_add_text(&body, ",\"key\":");
        json_write_string(&body, key);
    }
    buf_add_byte(&body, '}');
    http_reply_json(request, status, body.data, body.size);
    buf_fini(&body);
}

static bool admit(struct evaluation *evaluation, struct door *door, struct http_request *request,
                  const char *key)
{
    enum err err = begin(evaluation, door, request);
    if (!err) return true;
    if (err != ERR_INVALID)
        door_refuse(request, err);
    else
        refuse(request, key, 400, *json_param() ? "INVALID_CONTEXT" : "PARSE_ERROR");
    return false;
}

/* Whether If-None-Match, a list, has the tag: compared weakly (RFC 9110, 13.1.2), as what lies between may have weakened it. */
static bool has_tag(const char *list, const char *tag)
{
    while (list && *list) {
        list += strspn(list, " \t,");
        size_t size = strcspn(list, ",");
        const char *end = list + size;
        if (strncmp(list, "W/", 2) == 0) list += 2;
        size = (size_t)(end - list);
        while (size > 0 && (list[size - 1] == ' ' || list[size - 1] == '\t'))
            size--;
        if (size == strlen(tag) && memcmp(list, tag, size) == 0) return true;
        list = end;
    }
    return false;
}

/* The names of all flags, for who has asked for another. */
static void note_flags(void)
{
    struct buf names = {0};
    feature_list(&names);
    err_note(ERR_NOT_FOUND, "flags are named as features are: %s", buf_text(&names));
    buf_fini(&names);
}

void ofrep_one(struct door *door, struct http_request *request)
{
    const char *key = http_path(request) + strlen(PATH);
    struct evaluation evaluation;
    enum feature feature;
    struct buf body = {0};
    if (!admit(&evaluation, door, request, key)) return;
    if (!feature_find(key, &feature)) {
        note_flags();
        refuse(request, key, 404, "FLAG_NOT_FOUND");
        return;
    }
    write_flag(&body, &evaluation, feature);
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}

void ofrep_all(struct door *door, struct http_request *request)
{
    struct evaluation evaluation;
    struct buf body = {0};
    char hex[DIGEST_TEXT_SIZE], tag[DIGEST_TEXT_SIZE + 2];
    if (!admit(&evaluation, door, request, NULL)) return;
    buf_add_text(&body, "{\"flags\":[");
    for (size_t i = 0; i < FEATURE_COUNT; i++) {
        if (i) buf_add_byte(&body, ',');
        write_flag(&body, &evaluation, (enum feature)i);
    }
    buf_add_text(&body, "]}");
    struct digest digest = digest_of(body.data, body.size);
    snprintf(tag, sizeof tag, "\"%s\"", digest_text(&digest, hex));
    http_set_header(request, "ETag", tag);
    if (has_tag(http_header(request, "If-None-Match"), tag))
        http_reply(request, 304, NULL, "", 0);
    else
        http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}
