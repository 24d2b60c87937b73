#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/feeds.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/features/consent.h"
#include "scheduler/features/walk.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* A page of users whose events of one source are deleted; without a request once the client is gone. */
struct forgetting {
    struct http_request *request; // NULL: nobody hears the end
};

static void on_gone(void *argument)
{
    ((struct forgetting *)argument)->request = NULL;
}

static void on_forgotten(void *argument, enum err err, const char *cursor, size_t count)
{
    struct http_request *request = ((struct forgetting *)argument)->request;
    struct buf body = {0};
    mem_free(argument);
    json_param_clear();
    if (!request) return;
    if (err) {
        door_refuse(request, err);
        return;
    }
    buf_addf(&body, "{\"object\":\"forgotten\",\"histories\":%zu,\"cursor\":\"%s\",\"done\":%s}",
             count, cursor, strcmp(cursor, "0") == 0 ? "true" : "false");
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}

static enum err read_body(const json_t *root, struct context *context, const char **source,
                          const char **user, const char **cursor)
{
    TRY(json_take_text(root, "source", 1, CONSENT_SOURCE_MAX, source));
    TRY(json_take_text(root, "user", 1, CONTEXT_USER_MAX, user));
    TRY(json_take_text(root, "cursor", 1, WALK_CURSOR_MAX, cursor));
    if (!*source || !consent_is_source(*source))
        return json_wrong("source", "must be a partner's name");
    if (*cursor && !walk_is_cursor(*cursor))
        return json_wrong("cursor", "must be one that an answer had");
    if (*user) TRY(context_set_user(context, "user", *user));
    return ERR_OK;
}

void feeds_forget(struct door *door, struct http_request *request)
{
    struct context context;
    size_t size;
    json_t *root = NULL;
    const char *source = NULL, *user = NULL, *cursor = NULL;
    if (!door_admit(door, request, true, &context)) return;
    const char *body = http_body(request, &size);
    enum err err = json_read(&root, body, size);
    if (!err) err = read_body(root, &context, &source, &user, &cursor);
    if (err) {
        door_refuse(request, err);
    } else {
        char subject[HTTP_SUBJECT_MAX];
        snprintf(subject, sizeof subject, "%s of %s", source, user ? "one user" : "all users");
        http_set_subject(request, subject);
        struct forgetting *forgetting = mem_new(1, sizeof *forgetting);
        char owner[OWNER_TEXT_SIZE];
        forgetting->request = request;
        http_set_gone(request, on_gone, forgetting);
        owner_write(owner, consents_owner_key(door->consents), context.key->tenant, context.user);
        walk_forget(door->store, context.key->tenant, source, user ? owner : NULL,
                    cursor ? cursor : "0", on_forgotten, forgetting);
    }
    json_decref(root);
}
