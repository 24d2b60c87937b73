#include "scheduler/door/waive.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/govern.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"

#include "base/buf.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// ---- a request ---------------------------------------------------------------------------------

static enum err deny(const struct waive *waive, const char *what, const char **code)
{
    return govern_deny(waive->door, waive->context, waive->governed->feature, REASON_LABEL_REQUIRED,
                       what, code);
}

enum err waive_read(struct waive *waive, struct door *door, const struct context *context,
                    const struct governed *governed, const struct http_request *request,
                    const char **code)
{
    const char *wish = http_header(request, "X-Qiao-Label");
    *waive = (struct waive){.door = door, .context = context, .governed = governed};
    if (!wish) return ERR_OK;
    if (strcmp(wish, "none") != 0)
        return json_wrong("X-Qiao-Label", "can say nothing but 'none': no visible label");
    if (!governed->rules || governed->rules->labels.place == RULES_PLACE_NONE) return ERR_OK;
    if (!governed->rules->labels.waivable)
        return deny(waive, "the region's policy does not let it be waived", code);
    if (!*context->user) return deny(waive, "an agreement is a user's: send X-Qiao-User", code);
    waive->is_asked = true;
    return ERR_OK;
}

static void on_told(void *argument, enum err err, const char *agreement)
{
    struct waive *waive = argument;
    const char *code = NULL;
    waive->ticket = NULL;
    waive->is_asked = false;
    json_param_clear();
    snprintf(waive->agreement, sizeof waive->agreement, "%s", agreement);
    if (!err && !*agreement) err = deny(waive, "no agreement of this user is on record", &code);
    waive->done(waive->owner, err, code);
}

bool waive_ask(struct waive *waive, waive_fn *done, void *owner)
{
    if (!waive->is_asked) return false;
    waive->done = done;
    waive->owner = owner;
    waive->ticket = waivers_ask(waive->door->waivers, waive->context->key->tenant,
                                waive->context->user, on_told, waive);
    return true;
}

void waive_drop(struct waive *waive)
{
    if (waive->ticket) waivers_drop(waive->ticket);
    waive->ticket = NULL;
}

const char *waive_agreement(const struct waive *waive)
{
    return *waive->agreement ? waive->agreement : NULL;
}

// ---- an operator -------------------------------------------------------------------------------

/* An agreement on its way to Redis; without a request once the client is gone. */
struct putting {
    struct http_request *request; // NULL: nobody hears the end
};

static void on_gone(void *argument)
{
    ((struct putting *)argument)->request = NULL;
}

static void on_put(void *argument, enum err err, const char *agreement)
{
    struct putting *putting = argument;
    struct http_request *request = putting->request;
    struct buf body = {0};
    json_param_clear();
    mem_free(putting);
    if (!request) return;
    if (err) {
        door_refuse(request, err);
        return;
    }
    buf_addf(&body, "{\"object\":\"waiver\",\"waived\":%s%s%s%s}", *agreement ? "true" : "false",
             *agreement ? ",\"agreement\":\"" : "", agreement, *agreement ? "\"" : "");
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}

static enum err read_waiver(const json_t *root, const char **user, const char **agreement,
                            int64_t *days)
{
    *days = -1;
    TRY(json_take_text(root, "user", 1, CONTEXT_USER_MAX, user));
    TRY(json_take_text(root, "agreement", 1, WAIVERS_AGREEMENT_SIZE - 1, agreement));
    TRY(json_take_integer(root, "days", 0, WAIVERS_DAYS_MAX, days));
    if (!*user) return json_wrong("user", "must say whose agreement it is");
    if (*days < 0)
        return json_wrong("days", "must say how long it holds; 0 ends what is on record");
    if (*days > 0 && (!*agreement || !waivers_is_agreement(*agreement)))
        return json_wrong("agreement", "must be the SHA-256 of the document, in 64 lower-case "
                                       "hexadecimal digits");
    return ERR_OK;
}

void waive_post(struct door *door, struct http_request *request)
{
    struct context context;
    size_t size;
    json_t *root = NULL;
    const char *user = NULL, *agreement = NULL;
    int64_t days;
    if (!door_admit(door, request, true, &context)) return;
    json_param_clear();
    const char *body = http_body(request, &size);
    enum err err = json_read(&root, body, size);
    if (!err) err = read_waiver(root, &user, &agreement, &days);
    if (!err) err = context_set_user(&context, "user", user);
    if (err) {
        door_refuse(request, err);
    } else {
        struct putting *putting = mem_new(1, sizeof *putting);
        char
            subject[WAIVERS_AGREEMENT_SIZE + 16]; // of the audit's record: whose it is stays unsaid
        snprintf(subject, sizeof subject, "%" PRId64 " days %s", days, days > 0 ? agreement : "");
        http_set_subject(request, subject);
        putting->request = request;
        http_set_gone(request, on_gone, putting);
        waivers_put(door->waivers, context.key->tenant, context.user, agreement, (uint32_t)days,
                    on_put, putting);
    }
    json_decref(root);
}
