#include "scheduler/door/audit_admin.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/policy/audit.h"
#include "scheduler/policy/sealer.h"

#include "base/buf.h"
#include "base/mem.h"

#include <inttypes.h>

/* One order to seal, until it is done or the client is gone. */
struct errand {
    struct http_request *request;
    struct sealer_ticket *ticket;
};

static void write_file(struct buf *out, const struct sealer_state *state)
{
    if (state->number == 0)
        buf_add_text(out, "null");
    else
        buf_addf(out,
                 "{\"number\":%" PRIu64 ",\"root\":\"%s\",\"records\":%" PRIu64
                 ",\"sealed\":%" PRId64 "}",
                 state->number, state->root, state->records, state->sealed_ms / 1000);
}

static void reply(struct http_request *request, struct buf *body)
{
    http_reply_json(request, 200, buf_text(body), body->size);
    buf_fini(body);
}

void audit_admin_show(struct door *door, struct http_request *request)
{
    struct context context;
    struct audit_facts facts;
    struct buf body = {0};
    if (!door_admit(door, request, true, &context)) return;
    if (!door->audit) {
        buf_add_text(&body, "{\"object\":\"audit\",\"on\":false}");
        reply(request, &body);
        return;
    }
    audit_read_facts(door->audit, &facts);
    buf_addf(&body,
             "{\"object\":\"audit\",\"on\":true,\"chain\":\"%s\",\"records\":%" PRIu64
             ",\"head\":\"%s\",\"waiting\":%zu,\"lost\":%" PRIu64 ",\"full\":%s,\"file\":",
             facts.chain, facts.written, facts.head, facts.waiting, facts.lost,
             facts.full ? "true" : "false");
    write_file(&body, sealer_seen(door->sealer));
    if (door->sealer)
        buf_addf(&body, ",\"retention_days\":%" PRIu32, sealer_days(door->sealer));
    buf_add_text(&body, ",\"failure\":");
    const char *failure = sealer_failure(door->sealer);
    if (*failure)
        json_write_string(&body, failure);
    else
        buf_add_text(&body, "null");
    buf_add_byte(&body, '}');
    reply(request, &body);
}

static void on_gone(void *argument)
{
    struct errand *errand = argument;
    sealer_drop(errand->ticket);
    mem_free(errand);
}

static void on_sealed(void *argument, enum err err, const struct sealer_state *state)
{
    struct http_request *request = ((struct errand *)argument)->request;
    struct buf body = {0};
    mem_free(argument);
    json_param_clear();
    if (err) {
        door_refuse(request, err);
        return;
    }
    buf_add_text(&body, "{\"object\":\"sealed\",\"file\":");
    write_file(&body, state);
    buf_add_byte(&body, '}');
    reply(request, &body);
}

void audit_admin_seal(struct door *door, struct http_request *request)
{
    struct context context;
    if (!door_admit(door, request, true, &context)) return;
    json_param_clear();
    if (!door->audit) {
        err_note(ERR_UNSUPPORTED, "nothing is recorded here: start the schedulers with --policy, "
                                  "and one with --audit-dir");
        door_refuse(request, ERR_UNSUPPORTED);
        return;
    }
    struct errand *errand = mem_new(1, sizeof *errand);
    errand->request = request;
    http_set_gone(request, on_gone, errand);
    errand->ticket = sealer_ask(door->sealer, on_sealed, errand);
}
