#include "scheduler/door/door.h"
#include "scheduler/door/gorse_internal.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/features/consent.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* One look at a user's consents, or the end of all of them. */
struct errand {
    struct door *door;
    struct http_request *request;
    struct consent_ticket *ticket;
    struct context context;
    bool withdraws;
};

static void on_gone(void *argument)
{
    struct errand *errand = argument;
    consent_drop(errand->ticket);
    mem_free(errand);
}

static void finish(struct errand *errand, enum err err)
{
    if (err) gorse_refuse(errand->request, err);
    mem_free(errand);
}

static bool has_agreed(const struct consent_state *state)
{
    for (size_t i = 0; i < CONSENT_PURPOSES; i++)
        if (state->since_ms[i] > 0) return true;
    return state->partner_count > 0;
}

static void on_withdrawn(void *argument, enum err err, const struct consent_state *state)
{
    struct errand *errand = argument;
    (void)state;
    if (!err) gorse_reply_rows(errand->request, 1);
    finish(errand, err);
}

/* Their events go with the consents. */
static void withdraw(struct errand *errand, const struct consent_state *state)
{
    struct consent_change change = {.partner_count = state->partner_count};
    for (size_t i = 0; i < CONSENT_PURPOSES; i++)
        change.purposes[i] = CONSENT_WITHDRAW;
    for (size_t i = 0; i < state->partner_count; i++) {
        change.partners[i].source = state->partners[i].source;
        change.partners[i].wish = CONSENT_WITHDRAW;
    }
    errand->ticket = consent_change(errand->door->consents, errand->context.key->tenant,
                                    errand->context.user, &change, on_withdrawn, errand);
}

static void tell(const struct errand *errand)
{
    struct buf body = {0};
    buf_add_text(&body, "{\"UserId\":");
    json_write_string(&body, errand->context.user);
    buf_add_text(&body, ",\"Labels\":null,\"Subscribe\":null,\"Comment\":\"\"}");
    http_reply_json(errand->request, 200, body.data, body.size);
    buf_fini(&body);
}

static void on_consents(void *argument, enum err err, const struct consent_state *state)
{
    struct errand *errand = argument;
    if (!err && !has_agreed(state) && !errand->withdraws)
        err = err_note(ERR_NOT_FOUND, "user not found: nobody is known here who has not agreed to "
                                      "anything (PUT /v1/me/consents)");
    if (err) {
        finish(errand, err);
    } else if (!errand->withdraws) {
        tell(errand);
        finish(errand, ERR_OK);
    } else if (has_agreed(state)) {
        withdraw(errand, state);
    } else {
        gorse_reply_rows(errand->request, 0);
        finish(errand, ERR_OK);
    }
}

static void begin(struct gorse_call *call, bool withdraws)
{
    json_param_clear();
    enum err err = context_set_user(&call->context, "the user", call->parts[1]);
    if (err) {
        gorse_refuse(call->request, err);
        return;
    }
    struct errand *errand = mem_new(1, sizeof *errand);
    *errand = (struct errand){.door = call->door,
                              .request = call->request,
                              .context = call->context,
                              .withdraws = withdraws};
    http_set_gone(call->request, on_gone, errand);
    errand->ticket = consent_read(call->door->consents, call->context.key->tenant,
                                  call->context.user, on_consents, errand);
}

void gorse_get_user(struct gorse_call *call)
{
    begin(call, false);
}

void gorse_delete_user(struct gorse_call *call)
{
    begin(call, true);
}

// ---- what is not kept --------------------------------------------------------------------------

static enum err check_user(struct gorse_call *call, const json_t *object, const char *name)
{
    struct context context = call->context;
    if (!json_is_object(object)) return err_note(ERR_INVALID, "a user must be an object");
    if (!name) TRY(json_take_text(object, "UserId", 1, CONTEXT_USER_MAX, &name));
    if (!name) return json_wrong("UserId", "must be given");
    return context_set_user(&context, "UserId", name);
}

/* Checked, and nothing of it kept: a user's labels are no part of what is recommended here. */
static void take_users(struct gorse_call *call, bool is_list, const char *name)
{
    json_t *root = NULL;
    size_t size;
    const char *body = http_body(call->request, &size);
    json_param_clear();
    enum err err = is_list ? json_read_list(&root, body, size) : json_read(&root, body, size);
    if (!err && !is_list) err = check_user(call, root, name);
    for (size_t i = 0; is_list && !err && i < json_array_size(root); i++)
        err = check_user(call, json_array_get(root, i), NULL);
    if (err)
        gorse_refuse(call->request, err);
    else
        gorse_reply_rows(call->request, 0);
    json_decref(root);
}

void gorse_put_user(struct gorse_call *call)
{
    take_users(call, false, NULL);
}

void gorse_put_users(struct gorse_call *call)
{
    take_users(call, true, NULL);
}

void gorse_patch_user(struct gorse_call *call)
{
    take_users(call, false, call->parts[1]);
}

void gorse_refuse_users(struct gorse_call *call)
{
    gorse_refuse(call->request,
                 err_note(ERR_FORBIDDEN, "users cannot be listed: their names are not kept"));
}
