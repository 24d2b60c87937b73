#include "scheduler/door/gate_explain.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/gate_admin.h"
#include "scheduler/door/gate_ask.h"
#include "scheduler/door/http.h"
#include "scheduler/door/hurdles.h"
#include "scheduler/door/json.h"
#include "scheduler/policy/gate.h"
#include "scheduler/policy/strikes.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* An explanation, while Redis is asked for strikes. */
struct explanation {
    struct door *door;
    struct http_request *request;
    struct strikes_ticket *ticket;
    struct buf checks;
    enum reason reason; // the first that denies
    char note[GATE_NOTE_MAX];
};

static void free_explanation(struct explanation *explanation)
{
    buf_fini(&explanation->checks);
    mem_free(explanation);
}

static void on_gone(void *argument)
{
    struct explanation *explanation = argument;
    if (explanation->ticket) strikes_drop(explanation->ticket);
    free_explanation(explanation);
}

static void write_check(struct explanation *explanation, const char *name, enum reason reason,
                        const char *note)
{
    struct buf *out = &explanation->checks;
    if (out->size > 0) buf_add_byte(out, ',');
    buf_addf(out, "{\"check\":\"%s\",\"passed\":%s,\"reason\":\"%s\",\"note\":", name,
             reason ? "false" : "true", reason_code(reason));
    json_write_string(out, note);
    buf_add_byte(out, '}');
    if (!reason || explanation->reason) return;
    explanation->reason = reason;
    snprintf(explanation->note, sizeof explanation->note, "%s", note);
}

static void write_hurdle(struct explanation *explanation, struct hurdles *hurdles,
                         enum hurdle hurdle)
{
    struct buf what = {0}, note = {0};
    enum reason reason = hurdle_check(hurdles, hurdle, &what);
    if (reason) buf_addf(&note, "%s%s", reason_text(reason), what.size ? ": " : "");
    buf_add_text(&note, buf_text(&what));
    if (note.size == 0) buf_add_text(&note, "it holds");
    write_check(explanation, hurdle_name(hurdle), reason, buf_text(&note));
    buf_fini(&what);
    buf_fini(&note);
}

/* Each of the gate's own, as if all before it had passed. */
static void write_gate(struct explanation *explanation, struct hurdles *hurdles)
{
    const struct gate *gate = explanation->door->gate;
    const struct rules *rules = hurdles->rules;
    const char *no_lease = gate_lease_note(gate, clock_now_ns()), *unreadable;
    char name[GATE_NAME_MAX + 1], user[HURDLES_USER_SIZE];
    if (!rules->features[hurdles->feature].gated) {
        write_hurdle(explanation, hurdles, HURDLE_GATE);
        return;
    }
    write_check(explanation, "lease", no_lease ? REASON_GATE_UNREACHABLE : REASON_NONE,
                no_lease ? no_lease : "it holds");
    struct gate_ask ask = hurdles_gate_ask(hurdles, user);
    gate_record_name(name, rules->region, ask.feature);
    const struct gate_record *record = gate_find(gate, name, &unreadable);
    for (size_t i = 0; i < GATE_CHECK_COUNT; i++) {
        struct gate_finding finding =
            gate_check((enum gate_check)i, record, rules, &ask, clock_wall_ms());
        write_check(explanation, gate_check_name((enum gate_check)i), finding.reason,
                    unreadable ? unreadable : finding.note);
        if (!record) return; // there is nothing else to look at
    }
}

static void reply(struct explanation *explanation)
{
    struct buf body = {0};
    buf_addf(&body, "{\"open\":%s,\"reason\":\"%s\",\"epoch\":%" PRIu64 ",\"message\":",
             explanation->reason ? "false" : "true", reason_code(explanation->reason),
             gate_epoch(explanation->door->gate));
    json_write_string(&body, explanation->note);
    buf_addf(&body, ",\"checks\":[%s]}", buf_text(&explanation->checks));
    http_reply_json(explanation->request, 200, body.data, body.size);
    buf_fini(&body);
    free_explanation(explanation);
}

static void on_strikes(void *argument, enum err err, uint64_t left_ms)
{
    struct explanation *explanation = argument;
    struct http_request *request = explanation->request;
    char note[64] = "the user is not suspended";
    if (err) {
        free_explanation(explanation);
        json_param_clear();
        door_refuse(request, err);
        return;
    }
    if (left_ms > 0)
        snprintf(note, sizeof note, "suspended for %" PRIu64 " s more", (left_ms + 999) / 1000);
    write_check(explanation, "strikes", left_ms > 0 ? REASON_USER_SUSPENDED : REASON_NONE, note);
    reply(explanation);
}

/* Without rules there is nothing to look at behind them. */
static void explain(struct explanation *explanation, struct hurdles *hurdles)
{
    const struct strikes_who who = {.tenant = hurdles->tenant, .user = hurdles->user, .key = ""};
    write_hurdle(explanation, hurdles, HURDLE_POLICY);
    for (int i = HURDLE_FEATURE; hurdles->rules && i < HURDLE_COUNT; i++) {
        if (i == HURDLE_GATE)
            write_gate(explanation, hurdles);
        else
            write_hurdle(explanation, hurdles, (enum hurdle)i);
    }
    if (!*who.user || !hurdles_count_strikes(hurdles)) {
        reply(explanation);
        return;
    }
    http_set_gone(explanation->request, on_gone, explanation);
    explanation->ticket = strikes_ask(explanation->door->strikes, &who, on_strikes, explanation);
}

/* Without a tenant the user is one of who asks. */
static enum err read_ask(struct hurdles *out, struct approval *names, struct digest *digest,
                         const json_t *root)
{
    const char *model = NULL;
    TRY(gate_ask_names(names, root));
    TRY(json_take_text(root, "tenant", 0, CONTEXT_NAME_MAX, &out->tenant));
    TRY(json_take_text(root, "user", 0, CONTEXT_USER_MAX, &out->user));
    TRY(json_take_text(root, "os", 0, CONTEXT_LABEL_MAX, &out->os));
    TRY(json_take_text(root, "language", 0, CONTEXT_LABEL_MAX, &out->language));
    TRY(json_take_text(root, "model", 0, 2 * DIGEST_SIZE, &model));
    if (model && !hex_read(digest->bytes, sizeof digest->bytes, model))
        return json_wrong("model", "must be a digest of 32 hexadecimal digits (GET /admin/status)");
    if (model) out->model = digest;
    out->region = names->region;
    (void)feature_find(names->feature, &out->feature); // gate_ask_names() knew it
    return ERR_OK;
}

enum err gate_explain(struct door *door, struct http_request *request,
                      const struct context *context)
{
    struct hurdles hurdles = {
        .door = door, .tenant = context->key->tenant, .user = "", .os = "", .language = ""};
    struct approval names = {0};
    struct digest digest;
    json_t *root;
    size_t size;
    TRY(gate_admin_governed(door));
    const char *text = http_body(request, &size);
    TRY(json_read(&root, text, size));
    enum err err = read_ask(&hurdles, &names, &digest, root);
    if (!err) {
        struct explanation *explanation = mem_new(1, sizeof *explanation);
        *explanation = (struct explanation){.door = door, .request = request};
        explain(explanation, &hurdles);
    }
    json_decref(root);
    return err;
}
