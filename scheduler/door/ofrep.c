#include "scheduler/door/ofrep.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/policy/gate.h"
#include "scheduler/policy/policy.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PATH "/ofrep/v1/evaluate/flags/"

/* Who asks, and by which rules. */
struct evaluation {
    struct door *door;
    struct context context;
    const struct rules *rules; // NULL: nothing is governed, or `reason` says why there are none
    enum reason reason;
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
    if (!door->policies) return ERR_OK;
    evaluation->reason =
        policies_find(door->policies, evaluation->context.region, evaluation->context.key->tenant,
                      clock_wall_ms() / 1000, &evaluation->rules);
    if (evaluation->reason) evaluation->rules = NULL;
    return ERR_OK;
}

static struct gate_finding decide(const struct evaluation *evaluation, enum feature feature)
{
    const struct context *context = &evaluation->context;
    const struct rules *rules = evaluation->rules;
    struct gate_finding finding = {.reason = evaluation->reason};
    struct gate_pass pass;
    char user[CONTEXT_NAME_MAX + CONTEXT_USER_MAX + 2] = "";
    if (!rules) return finding;
    finding.reason = rules->features[feature].allowed ? REASON_NONE : REASON_REGION_NOT_APPROVED;
    if (finding.reason || !rules->features[feature].gated) return finding;
    if (*context->user) snprintf(user, sizeof user, "%s/%s", context->key->tenant, context->user);
    struct gate_ask ask = {.feature = feature_name(feature), .os = context->os, .user = user};
    return gate_decide(evaluation->door->gate, rules, &ask, clock_now_ns(), clock_wall_ms(), &pass);
}

/* Of a rollout each user has a place: SPLIT; what nobody has is DISABLED. */
static const char *reason_word(enum reason reason)
{
    switch (reason) {
    case REASON_NONE: return "TARGETING_MATCH";
    case REASON_NOT_IN_ROLLOUT: return "SPLIT";
    default: return "DISABLED";
    }
}

static void write_flag(struct buf *out, const struct evaluation *evaluation, enum feature feature)
{
    struct gate_finding finding = decide(evaluation, feature);
    const struct gate *gate = evaluation->door->gate;
    bool open = finding.reason == REASON_NONE;
    buf_addf(out,
             "{\"key\":\"%s\",\"value\":%s,\"variant\":\"%s\",\"reason\":\"%s\","
             "\"metadata\":{\"region\":",
             feature_name(feature), open ? "true" : "false", open ? "on" : "off",
             reason_word(finding.reason));
    json_write_string(out, evaluation->context.region);
    buf_addf(out, ",\"epoch\":%" PRIu64 ",\"code\":\"%s\"", gate ? gate_epoch(gate) : 0,
             reason_code(finding.reason));
    if (!open) {
        buf_add_text(out, ",\"message\":");
        json_write_string(out, *finding.note ? finding.note : reason_text(finding.reason));
    }
    buf_add_text(out, "}}");
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

void ofrep_one(struct door *door, struct http_request *request)
{
    const char *key = http_path(request) + strlen(PATH);
    struct evaluation evaluation;
    enum feature feature;
    struct buf body = {0};
    if (!admit(&evaluation, door, request, key)) return;
    if (!feature_find(key, &feature)) {
        err_note(ERR_NOT_FOUND, "flags are named as features are: assistant, search, …");
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
    const char *has = http_header(request, "If-None-Match");
    if (has && strcmp(has, tag) == 0)
        http_reply(request, 304, NULL, "", 0);
    else
        http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}
