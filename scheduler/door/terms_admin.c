#include "scheduler/door/terms_admin.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/policy/audit.h"
#include "scheduler/policy/bundle.h"
#include "scheduler/settings.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/must.h"

#include <event2/event.h>

struct terms_watch {
    struct door *door;
    struct event *timer;
};

static void tell(struct door *door, enum err err)
{
    const char *outcome = err ? "refused" : "taken";
    const struct audit_field fields[] = {{"what", "terms"}, {"outcome", outcome}};
    metric_add(door->metrics, M_terms_loads_total, outcome, NULL, 1);
    audit_note(door->audit, AUDIT_POLICY, fields, sizeof fields / sizeof *fields);
    if (err)
        log_error("terms_refused", "note=\"%s\"", bundles_failure(door->bundles));
    else
        log_info("terms_taken", "folder=%s", door->settings->terms);
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct terms_watch *watch = argument;
    enum err err;
    (void)fd;
    (void)what;
    if (bundles_look(watch->door->bundles, &err)) tell(watch->door, err);
}

struct terms_watch *terms_watch_new(struct door *door)
{
    struct timeval period = {.tv_sec = BUNDLE_LOOK_MS / 1000,
                             .tv_usec = BUNDLE_LOOK_MS % 1000 * 1000};
    if (!door->bundles) return NULL;
    struct terms_watch *watch = mem_new(1, sizeof *watch);
    watch->door = door;
    watch->timer = event_new(door->base, -1, EV_PERSIST, on_timer, watch);
    must(watch->timer && event_add(watch->timer, &period) == 0);
    return watch;
}

void terms_watch_free(struct terms_watch *watch)
{
    if (!watch) return;
    event_free(watch->timer);
    mem_free(watch);
}

static void show(struct door *door, struct http_request *request)
{
    struct buf body = {0};
    const char *failure = door->bundles ? bundles_failure(door->bundles) : "";
    buf_add_text(&body, "{\"object\":\"terms\",\"failure\":");
    if (*failure)
        json_write_string(&body, failure);
    else
        buf_add_text(&body, "null");
    buf_add_text(&body, ",\"bundles\":");
    if (door->bundles)
        bundles_show(door->bundles, &body);
    else
        buf_add_text(&body, "[]");
    buf_add_byte(&body, '}');
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}

void terms_admin_show(struct door *door, struct http_request *request)
{
    struct context context;
    if (door_admit(door, request, true, &context)) show(door, request);
}

void terms_admin_reload(struct door *door, struct http_request *request)
{
    struct context context;
    if (!door_admit(door, request, true, &context)) return;
    json_param_clear();
    enum err err = door->bundles
                       ? bundles_load(door->bundles)
                       : err_note(ERR_UNSUPPORTED,
                                  "nothing is filtered here: start the scheduler with --terms");
    if (door->bundles) tell(door, err);
    if (err)
        door_refuse(request, door->bundles
                                 ? err_note(ERR_INVALID, "%s", bundles_failure(door->bundles))
                                 : err);
    else
        show(door, request);
}
