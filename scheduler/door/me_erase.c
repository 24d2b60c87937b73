#include "scheduler/door/me_erase.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/salts.h"
#include "scheduler/features/consent.h"
#include "scheduler/features/erase.h"
#include "scheduler/features/events.h"
#include "scheduler/policy/audit.h"
#include "scheduler/settings.h"
#include "scheduler/uplink.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include <sodium.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* An erasure or a look, until Redis and the nodes have answered; it goes on when the client is gone. */
struct errand {
    struct door *door;
    struct http_request *request; // NULL: nobody hears the end
    char tenant[CONTEXT_NAME_MAX + 1], user[CONTEXT_USER_MAX + 1];
    struct erasure erasure;
    bool erases;
};

static void errand_free(struct errand *errand)
{
    sodium_memzero(errand, sizeof *errand);
    mem_free(errand);
}

static void on_gone(void *argument)
{
    ((struct errand *)argument)->request = NULL;
}

static const char *state_name(enum erasure_state state)
{
    return state == ERASURE_COMPLETE ? "complete" : state == ERASURE_NONE ? "none" : "pending";
}

/* "NAME":{"state":"…","at":N} */
static void write_stage(struct buf *out, const char *name, enum erasure_state state, int64_t at_ms)
{
    buf_addf(out, ",\"%s\":{\"state\":\"%s\"", name, state_name(state));
    if (at_ms > 0) buf_addf(out, ",\"at\":%" PRId64, at_ms / 1000);
    buf_add_byte(out, '}');
}

static void write_keys(struct buf *out, const struct erasure *erasure)
{
    buf_addf(out, ",\"wrapping_keys\":{\"state\":\"%s\",\"ids\":[",
             state_name(erasure->keys_left ? ERASURE_PENDING : ERASURE_COMPLETE));
    for (size_t i = 0; i < erasure->key_count; i++)
        buf_addf(out, "%s%" PRIu32, i ? "," : "", erasure->keys[i]);
    buf_addf(out, "],\"left\":%zu}", erasure->keys_left);
}

static void write_stages(struct buf *out, const struct erasure *erasure,
                         const struct settings *settings)
{
    buf_addf(out, "\"stages\":{\"service\":{\"state\":\"complete\",\"at\":%" PRId64 "}",
             erasure->at_ms / 1000);
    write_stage(out, "links", erasure->links_left ? ERASURE_PENDING : ERASURE_COMPLETE, 0);
    write_stage(out, "node_caches", erasure->caches_ms ? ERASURE_COMPLETE : ERASURE_PENDING,
                erasure->caches_ms);
    if (erasure->unlisted)
        buf_addf(out, ",\"unlisted_sessions\":{\"state\":\"pending\",\"until\":%" PRId64 "}",
                 erasure->at_ms / 1000 + (int64_t)settings->session_ttl_seconds);
    write_stage(out, "replicas",
                erasure->replicated_ms > 0   ? ERASURE_COMPLETE
                : erasure->now.replicas == 0 ? ERASURE_NONE
                                             : ERASURE_PENDING,
                erasure->replicated_ms);
    write_stage(out, "append_only_file", erasure_file_state(erasure, false), erasure->append_ms);
    write_stage(out, "snapshot", erasure_file_state(erasure, true), erasure->snapshot_ms);
    write_stage(out, "replica_files", erasure->now.replicas ? ERASURE_PENDING : ERASURE_NONE, 0);
    write_keys(out, erasure);
    buf_add_byte(out, '}');
}

/* Whether nothing in Redis' files can be opened any more: both are new and no replica has an older one, or the keys are gone. */
static bool is_over(const struct erasure *erasure)
{
    bool files = erasure_file_state(erasure, false) != ERASURE_PENDING &&
                 erasure_file_state(erasure, true) != ERASURE_PENDING;
    return erasure->links_left == 0 && !erasure->unlisted && erasure->caches_ms > 0 &&
           (erasure->keys_left == 0 ||
            (files && erasure->now.replicas == 0 && erasure->then.replicas == 0));
}

static void write_receipt(struct buf *out, const struct erasure *erasure,
                          const struct settings *settings)
{
    buf_addf(out,
             "{\"object\":\"erasure\",\"id\":\"%s\",\"created\":%" PRId64 ",\"state\":\"%s\","
             "\"erased\":{\"sessions\":%" PRIu64 ",\"events\":%" PRIu64 ",\"consents\":%" PRIu64
             ",\"links\":%" PRIu64 ",\"tags\":%" PRIu64 "},",
             erasure->id, erasure->at_ms / 1000, is_over(erasure) ? "complete" : "service",
             erasure->sessions, erasure->events, erasure->consents, erasure->links, erasure->tags);
    write_stages(out, erasure, settings);
    buf_addf(
        out,
        ",\"kept\":{\"limits\":\"counters without content: of limits for at most 26 hours, of what "
        "a filter blocked as long as its rules say\","
        "\"popular\":\"counts of items, which name nobody\",\"idempotency\":\"keyed hashes, for "
        "%" PRIu64 " seconds after their use\",\"receipt\":\"this, for %d days\"}}",
        settings->idempotency_seconds, ERASURE_KEPT_SECONDS / 86400);
}

/* The erasure's id is no user's: it proves to its user that the record is of it, and says nothing to anybody else. */
static void note(const struct errand *errand, const struct erasure *erasure)
{
    char sessions[24], events[24];
    snprintf(sessions, sizeof sessions, "%" PRIu64, erasure->sessions);
    snprintf(events, sizeof events, "%" PRIu64, erasure->events);
    const struct audit_field fields[] = {{"erasure", erasure->id},
                                         {"tenant", errand->tenant},
                                         {"sessions", sessions},
                                         {"events", events},
                                         {"links_left", erasure->links_left ? "yes" : "no"}};
    audit_note(errand->door->audit, AUDIT_ERASURE, fields, sizeof fields / sizeof *fields);
}

static void tell(struct errand *errand)
{
    struct buf body = {0};
    if (errand->request) {
        write_receipt(&body, &errand->erasure, errand->door->settings);
        http_reply_json(errand->request, 200, body.data, body.size);
        buf_fini(&body);
    }
    errand_free(errand);
}

/* What a node has not dropped yet, because the user's own request runs there, or the node is away, the next look has dropped. */
static void on_evicted(void *argument, bool all)
{
    struct errand *errand = argument;
    if (all) {
        errand->erasure.caches_ms = clock_wall_ms();
        erasure_note_caches(errand->door->erasures, errand->tenant, errand->user,
                            errand->erasure.id);
    }
    tell(errand);
}

static void on_told(void *argument, enum err err, const struct erasure *erasure)
{
    struct errand *errand = argument;
    if (err) {
        json_param_clear();
        if (errand->request) door_refuse(errand->request, err);
        errand_free(errand);
        return;
    }
    errand->erasure = *erasure;
    if (errand->erases) note(errand, erasure);
    uint64_t salt = salts_of_user(errand->door, errand->tenant, errand->user);
    if (erasure->caches_ms > 0 || uplink_evict(errand->door->uplink, salt, on_evicted, errand))
        tell(errand);
}

static struct errand *new_errand(struct door *door, struct http_request *request,
                                 const struct context *context, bool erases)
{
    struct errand *errand = mem_new(1, sizeof *errand);
    *errand = (struct errand){.door = door, .request = request, .erases = erases};
    memcpy(errand->tenant, context->key->tenant, sizeof errand->tenant);
    memcpy(errand->user, context->user, sizeof errand->user);
    http_set_gone(request, on_gone, errand);
    return errand;
}

void me_erase(struct door *door, struct http_request *request)
{
    struct context context;
    char owner[OWNER_TEXT_SIZE];
    if (!door_admit(door, request, false, &context)) return;
    owner_write(owner, consents_owner_key(door->consents), context.key->tenant, context.user);
    events_forget(door->events, owner);
    erase_user(door->erasures, context.key->tenant, context.user, on_told,
               new_errand(door, request, &context, true));
}

void me_erasure(struct door *door, struct http_request *request)
{
    struct context context;
    const char *id = http_path(request) + strlen("/v1/me/erasures/");
    if (!door_admit(door, request, false, &context)) return;
    json_param_clear();
    if (!erasure_is_id(id)) {
        door_refuse(request, err_note(ERR_INVALID,
                                      "the path must end with an erasure's id: %d "
                                      "hexadecimal digits in lower case",
                                      ERASURE_ID_SIZE - 1));
        return;
    }
    erasure_look(door->erasures, context.key->tenant, context.user, id, on_told,
                 new_errand(door, request, &context, false));
}

static void on_listed(void *argument, enum err err, const char *ids)
{
    struct errand *errand = argument;
    struct buf body = {0};
    json_param_clear();
    if (errand->request && err) {
        door_refuse(errand->request, err);
    } else if (errand->request) {
        buf_add_text(&body, "{\"object\":\"list\",\"data\":[");
        for (const char *at = ids; *at; at += strspn(at, " ")) {
            int size = (int)strcspn(at, " ");
            buf_addf(&body, "%s{\"object\":\"erasure\",\"id\":\"%.*s\"}", at > ids ? "," : "", size,
                     at);
            at += size;
        }
        buf_add_text(&body, "]}");
        http_reply_json(errand->request, 200, body.data, body.size);
    }
    buf_fini(&body);
    errand_free(errand);
}

void me_erasures(struct door *door, struct http_request *request)
{
    struct context context;
    if (!door_admit(door, request, false, &context)) return;
    erasures_list(door->erasures, context.key->tenant, context.user, on_listed,
                  new_errand(door, request, &context, false));
}
