#include "scheduler/door/strikes_admin.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/policy/audit.h"
#include "scheduler/policy/strikes.h"

#include "base/mem.h"

#include <jansson.h>

#include <stdio.h>
#include <string.h>

struct forgiving {
    struct door *door;
    struct http_request *request;
    struct strikes_ticket *ticket;
    bool of_user;
};

static void on_gone(void *argument)
{
    struct forgiving *forgiving = argument;
    strikes_drop(forgiving->ticket);
    mem_free(forgiving);
}

static void on_forgiven(void *argument, enum err err, uint64_t found)
{
    struct forgiving forgiving = *(struct forgiving *)argument;
    char body[64];
    mem_free(argument);
    json_param_clear();
    if (err) {
        door_refuse(forgiving.request, err);
        return;
    }
    const struct audit_field fields[] = {{"who", forgiving.of_user ? "user" : "key"},
                                         {"seconds", "0"}};
    if (found)
        audit_note(forgiving.door->audit, AUDIT_STRIKE, fields, sizeof fields / sizeof *fields);
    snprintf(body, sizeof body, "{\"forgiven\":%s}", found ? "true" : "false");
    http_reply_json(forgiving.request, 200, body, strlen(body));
}

static enum err read_who(const json_t *root, struct strikes_who *who)
{
    *who = (struct strikes_who){.user = "", .key = ""};
    TRY(json_take_text(root, "tenant", 1, CONTEXT_NAME_MAX, &who->tenant));
    TRY(json_take_text(root, "user", 1, CONTEXT_USER_MAX, &who->user));
    TRY(json_take_text(root, "key", 1, CONTEXT_NAME_MAX, &who->key));
    if (!who->tenant) return json_wrong("tenant", "must be given: whose user or key it is");
    if (!*who->user == !*who->key)
        return json_wrong("user", "or 'key' must be given, and not both: who is let in again");
    return ERR_OK;
}

void strikes_admin_forgive(struct door *door, struct http_request *request)
{
    struct context context;
    struct strikes_who who;
    size_t size;
    json_t *root = NULL;
    if (!door_admit(door, request, true, &context)) return;
    json_param_clear();
    const char *body = http_body(request, &size);
    enum err err = json_read(&root, body, size);
    if (!err) err = read_who(root, &who);
    if (err) {
        door_refuse(request, err);
    } else {
        struct forgiving *forgiving = mem_new(1, sizeof *forgiving);
        *forgiving =
            (struct forgiving){.door = door, .request = request, .of_user = *who.user != '\0'};
        http_set_gone(request, on_gone, forgiving);
        forgiving->ticket = strikes_forgive(door->strikes, &who, on_forgiven, forgiving);
    }
    json_decref(root);
}
