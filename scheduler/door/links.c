#include "scheduler/door/links.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/partners.h"
#include "scheduler/features/consent.h"
#include "scheduler/features/pseudonym.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* One link that is made or cut; without a request once the client is gone, and then it ends all the same. */
struct knot {
    struct door *door;
    struct http_request *request; // NULL: nobody hears the end
    struct context context;
    struct partner_claim claim;
    bool gives;
};

static void on_gone(void *argument)
{
    ((struct knot *)argument)->request = NULL;
}

static void on_changed(void *argument, enum err err, const struct consent_state *state)
{
    struct knot knot = *(struct knot *)argument;
    struct buf body = {0};
    (void)state;
    mem_free(argument);
    json_param_clear();
    if (!knot.request) return;
    if (err) {
        door_refuse(knot.request, err);
        return;
    }
    buf_addf(&body, "{\"object\":\"link\",\"source\":\"%s\",\"linked\":%s}", knot.claim.source,
             knot.gives ? "true" : "false");
    http_reply_json(knot.request, 200, body.data, body.size);
    buf_fini(&body);
}

static void change(struct knot *knot)
{
    struct consent_change change = {.partner_count = 1};
    change.partners[0].source = knot->claim.source;
    change.partners[0].wish = knot->gives ? CONSENT_GIVE : CONSENT_WITHDRAW;
    change.partners[0].pseudonym = knot->gives ? knot->claim.pseudonym : NULL;
    (void)consent_change(knot->door->consents, knot->context.key->tenant, knot->context.user,
                         &change, on_changed, knot);
}

static void on_used(void *argument, enum err err)
{
    struct knot *knot = argument;
    json_param_clear();
    if (!err)
        change(knot);
    else if (knot->request)
        door_refuse(knot->request, err);
    if (err) mem_free(knot);
}

static struct knot *new_knot(struct door *door, struct http_request *request,
                             const struct context *context, bool gives)
{
    struct knot *knot = mem_new(1, sizeof *knot);
    *knot = (struct knot){.door = door, .request = request, .context = *context, .gives = gives};
    http_set_gone(request, on_gone, knot);
    return knot;
}

static enum err read_claim(const struct door *door, const struct context *context, const char *body,
                           size_t size, struct partner_claim *out)
{
    json_t *root;
    const char *token = NULL;
    TRY(json_read(&root, body, size));
    enum err err = json_take_text(root, "token", 1, PARTNER_TOKEN_MAX, &token);
    if (!err && !token) err = json_wrong("token", "must be given: the partner signs it");
    if (!err)
        err = partners_read_token(door->partners, context->key->tenant, token,
                                  clock_wall_ms() / 1000, out);
    json_decref(root);
    return err;
}

void links_post(struct door *door, struct http_request *request)
{
    struct context context;
    struct partner_claim claim;
    char owner[OWNER_TEXT_SIZE];
    size_t size;
    if (!door_admit(door, request, false, &context)) return;
    json_param_clear();
    const char *body = http_body(request, &size), *tenant = context.key->tenant;
    enum err err = read_claim(door, &context, body, size, &claim);
    if (err) {
        door_refuse(request, err);
        return;
    }
    struct knot *knot = new_knot(door, request, &context, true);
    knot->claim = claim;
    owner_write(owner, consents_owner_key(door->consents), tenant, context.user);
    pseudonyms_use(door->pseudonyms, tenant, claim.source, claim.id, owner, 2 * PARTNER_TOKEN_S,
                   on_used, knot);
}

void links_delete(struct door *door, struct http_request *request)
{
    struct context context;
    const char *source = http_path(request) + strlen("/v1/me/links/");
    if (!door_admit(door, request, false, &context)) return;
    json_param_clear();
    enum err err = partners_check_name(source);
    if (err) {
        door_refuse(request, err);
        return;
    }
    struct knot *knot = new_knot(door, request, &context, false);
    snprintf(knot->claim.source, sizeof knot->claim.source, "%s", source);
    change(knot);
}
