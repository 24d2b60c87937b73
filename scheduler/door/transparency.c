/* GET /v1/transparency: what everybody may know. */
#include "scheduler/core/fleet.h"
#include "scheduler/door/audit_admin.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/policy/audit.h"
#include "scheduler/policy/gate.h"
#include "scheduler/policy/label.h"
#include "scheduler/policy/policy.h"
#include "scheduler/policy/sealer.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/sign.h"

#include <sodium.h>

#include <inttypes.h>

static const char *add_comma(struct buf *out, const char *before)
{
    buf_add_text(out, before);
    return ",";
}

/* The rules of each region; those of a tenant are its own affair. */
static void write_regions(struct buf *out, const struct door *door)
{
    char digest[DIGEST_TEXT_SIZE];
    const struct rules *rules;
    const char *comma = "";
    for (size_t i = 0; door->policies && (rules = policies_at(door->policies, i)) != NULL; i++) {
        if (*rules->tenant) continue;
        comma = add_comma(out, comma);
        buf_addf(out, "{\"region\":\"%s\",\"policy\":\"%s\",\"features\":[", rules->region,
                 digest_text(&rules->digest, digest));
        const char *feature_comma = "";
        for (int feature = 0; feature < FEATURE_COUNT; feature++) {
            if (!rules->features[feature].allowed) continue;
            feature_comma = add_comma(out, feature_comma);
            buf_addf(out, "{\"feature\":\"%s\",\"gated\":%s}", feature_name((enum feature)feature),
                     rules->features[feature].gated ? "true" : "false");
        }
        buf_add_text(out, "]}");
    }
}

static void write_evidence(struct buf *out, const struct approval_evidence *evidence)
{
    char hex[2 * sizeof evidence->hash + 1];
    buf_add_text(out, "{\"type\":");
    json_write_string(out, evidence->type);
    buf_add_text(out, ",\"reference\":");
    json_write_string(out, evidence->reference);
    buf_addf(out, ",\"hash\":\"%s\",\"until\":%" PRId64 "}",
             sodium_bin2hex(hex, sizeof hex, evidence->hash, sizeof evidence->hash),
             evidence->until_ms / 1000);
}

static void write_approval(struct buf *out, const struct gate_record *record)
{
    char digest[DIGEST_TEXT_SIZE];
    const struct approval *content = &record->content;
    buf_add_text(out, "{\"region\":");
    json_write_string(out, content->region);
    buf_add_text(out, ",\"feature\":");
    json_write_string(out, content->feature);
    buf_addf(out, ",\"state\":\"%s\",\"changed\":%" PRId64 ",\"models\":[",
             gate_state_name(record->state), record->changed_ms / 1000);
    for (size_t i = 0; i < content->model_count; i++)
        buf_addf(out, "%s\"%s\"", i ? "," : "", digest_text(&content->models[i], digest));
    buf_add_text(out, "],\"filings\":[");
    for (size_t i = 0; i < content->evidence_count; i++) {
        if (i > 0) buf_add_byte(out, ',');
        write_evidence(out, &content->evidence[i]);
    }
    buf_add_text(out, "]}");
}

static void write_approvals(struct buf *out, const struct door *door)
{
    const char *comma = "", *name, *note;
    for (size_t i = 0; door->gate && i < gate_count(door->gate); i++) {
        const struct gate_record *record = gate_at(door->gate, i, &name, &note);
        if (!record) continue;
        comma = add_comma(out, comma);
        write_approval(out, record);
    }
}

static void write_models(struct buf *out, const struct door *door)
{
    char digest[DIGEST_TEXT_SIZE];
    const char *comma = "";
    for (size_t i = 0; i < fleet_model_count(door->fleet); i++) {
        const struct fleet_model *model = fleet_model_at(door->fleet, i);
        if (!model->current || model->node_count == 0) continue;
        comma = add_comma(out, comma);
        buf_add_text(out, "{\"name\":");
        json_write_string(out, model->name);
        buf_addf(out, ",\"digest\":\"%s\"}", digest_text(&model->model, digest));
    }
}

/* Whose signatures stand under labels, receipts and sealed files. */
static void write_keys(struct buf *out, const struct door *door)
{
    const struct sign_keys *keys = labeller_keys(door->labeller);
    char text[SIGN_KEY_TEXT_SIZE];
    for (size_t i = 0; i < keys->count; i++)
        buf_addf(out, "%s{\"id\":\"%s\",\"key\":\"%s\"}", i ? "," : "", keys->keys[i].id,
                 sign_key_text(text, keys->keys[i].key));
}

static void write_audit(struct buf *out, const struct door *door)
{
    struct audit_facts facts;
    if (!door->audit) {
        buf_add_text(out, "null");
        return;
    }
    const struct sealer_state *file = sealer_seen(door->sealer);
    audit_read_facts(door->audit, &facts);
    buf_addf(out,
             "{\"chain\":\"%s\",\"records\":%" PRIu64 ",\"head\":\"%s\",\"file\":%" PRIu64
             ",\"root\":",
             facts.chain, facts.written, facts.head, file->number);
    if (*file->root)
        buf_addf(out, "\"%s\"}", file->root);
    else
        buf_add_text(out, "null}");
}

void audit_admin_transparency(struct door *door, struct http_request *request)
{
    struct buf body = {0};
    buf_addf(&body, "{\"object\":\"transparency\",\"build\":\"%s\",\"time\":%" PRId64, QIAO_VERSION,
             clock_wall_ms() / 1000);
    buf_addf(&body, ",\"governed\":%s,\"regions\":[", door->policies ? "true" : "false");
    write_regions(&body, door);
    buf_add_text(&body, "],\"approvals\":[");
    write_approvals(&body, door);
    buf_add_text(&body, "],\"models\":[");
    write_models(&body, door);
    buf_add_text(&body, "],\"keys\":[");
    write_keys(&body, door);
    buf_add_text(&body, "],\"audit\":");
    write_audit(&body, door);
    buf_add_byte(&body, '}');
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}
