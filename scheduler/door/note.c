#include "scheduler/door/note.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/policy/audit.h"
#include "scheduler/policy/policy.h"
#include "scheduler/policy/sealer.h"

#include "base/digest.h"

#include <stdio.h>
#include <string.h>

static void digest_of_policies(const struct door *door, char out[DIGEST_TEXT_SIZE])
{
    struct digest digest = {0};
    if (door->policies) digest = policies_digest(door->policies);
    digest_text(&digest, out);
}

void note_retention(struct door *door)
{
    const struct rules *rules;
    if (!door->sealer) return;
    for (size_t i = 0; door->policies && (rules = policies_at(door->policies, i)) != NULL; i++)
        sealer_keep(door->sealer, rules->audit.retention_days);
}

void note_start(struct door *door)
{
    char digest[DIGEST_TEXT_SIZE];
    if (!door->audit) return;
    digest_of_policies(door, digest);
    const struct audit_field fields[] = {{"build", QIAO_VERSION}, {"policy", digest}};
    audit_note(door->audit, AUDIT_START, fields, 2);
    note_retention(door);
}

/* Requests that are noted when they were done. */
static const struct {
    const char *method, *path;
    enum audit_class class;
} decisions[] = {
    {"PUT", "/v1/me/consents", AUDIT_CONSENT},
    {"PUT", "/v1/me/personalization", AUDIT_CONSENT},
    {"PUT", "/v1/me/tags/", AUDIT_CONSENT},
    {"POST", "/v1/me/links", AUDIT_CONSENT},
    {"DELETE", "/v1/me/links/", AUDIT_CONSENT}, // DELETE /v1/me notes itself, with the erasure's id
    {"DELETE", "/v1/me/tags/", AUDIT_ERASURE},
    {"DELETE", "/v1/sessions/", AUDIT_ERASURE},
    {"GET", "/v1/me/export", AUDIT_EXPORT},
    {"POST", "/admin/forget", AUDIT_ERASURE},
    {"DELETE", "/api/user/*", AUDIT_CONSENT},
    {"DELETE", "/api/feedback/*/*", AUDIT_ERASURE},
    {"DELETE", "/api/feedback/*/*/*", AUDIT_ERASURE},
};

static void note(struct door *door, enum audit_class class, const struct http_request *request,
                 int status)
{
    char code[16];
    snprintf(code, sizeof code, "%d", status);
    const char *subject = http_subject(request);
    const struct audit_field fields[] = {{"method", http_method(request)},
                                         {"path", http_pattern(request)},
                                         {"key", http_asker(request)},
                                         {"status", code},
                                         {"subject", subject}};
    audit_note(door->audit, class, fields, *subject ? 5 : 4);
}

void note_request(struct door *door, const struct http_request *request, int status)
{
    const char *method = http_method(request), *path = http_pattern(request);
    if (!door->audit || !*http_asker(request)) return;
    // A client that went away (499) may have had its will all the same.
    bool done = status < 400 || status == 499;
    for (size_t i = 0; i < sizeof decisions / sizeof *decisions; i++)
        if (done && strcmp(decisions[i].method, method) == 0 &&
            strcmp(decisions[i].path, path) == 0)
            note(door, decisions[i].class, request, status);
    bool looks = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (!looks && strncmp(path, "/admin/", 7) == 0) note(door, AUDIT_ADMIN, request, status);
}
