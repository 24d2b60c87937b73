#include "scheduler/door/feeds.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/manifest.h"
#include "scheduler/door/partners.h"
#include "scheduler/door/residence.h"
#include "scheduler/features/feed.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sign.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One question about a feed; without a request once the client is gone. */
struct query {
    struct http_request *request; // NULL: nobody hears the end
    char source[CONSENT_SOURCE_MAX + 1];
};

static void on_gone(void *argument)
{
    ((struct query *)argument)->request = NULL;
}

void feeds_write(struct buf *out, const char *source, const struct feed *feed)
{
    const struct feed_counts *counts = &feed->counts;
    buf_addf(out,
             "\"object\":\"feed\",\"source\":\"%s\",\"number\":%" PRId64 ",\"sha256\":\"%s\","
             "\"state\":\"%s\",\"lines\":%" PRId64 ",\"done\":%" PRId64 ",\"stored\":%" PRIu64
             ",\"repeated\":%" PRIu64 ",\"unlinked\":%" PRIu64 ",\"refused\":%" PRIu64
             ",\"wrong\":%" PRIu64,
             source, feed->number, feed->digest,
             feed->number == 0          ? "none"
             : feed->done < feed->lines ? "open"
                                        : "complete",
             feed->lines, feed->done, counts->stored, counts->repeated, counts->unlinked,
             counts->refused, counts->wrong);
    if (*feed->region) buf_addf(out, ",\"region\":\"%s\"", feed->region);
}

static void on_feed(void *argument, enum err err, const struct feed *feed)
{
    struct query query = *(struct query *)argument;
    struct buf body = {0};
    mem_free(argument);
    json_param_clear();
    if (!query.request) return;
    if (err) {
        door_refuse(query.request, err);
        return;
    }
    buf_add_byte(&body, '{');
    feeds_write(&body, query.source, feed);
    buf_add_byte(&body, '}');
    http_reply_json(query.request, 200, body.data, body.size);
    buf_fini(&body);
}

static struct query *new_query(struct http_request *request, const char *source)
{
    struct query *query = mem_new(1, sizeof *query);
    query->request = request;
    snprintf(query->source, sizeof query->source, "%s", source);
    http_set_gone(request, on_gone, query);
    return query;
}

void feeds_show(struct door *door, struct http_request *request)
{
    struct context context;
    const char *source = http_path(request) + strlen("/admin/feeds/");
    if (!door_admit(door, request, true, &context)) return;
    json_param_clear();
    enum err err = partners_check_name(source);
    if (err) {
        door_refuse(request, err);
        return;
    }
    feeds_look(door->feeds, context.key->tenant, source, on_feed, new_query(request, source));
}

static enum err read_begin(const struct door *door, const char *tenant, const json_t *root,
                           struct manifest *manifest, bool *skip)
{
    const char *text = NULL, *signature = NULL;
    unsigned char bytes[PARTNER_SIGN_SIZE];
    TRY(json_take_text(root, "manifest", 1, MANIFEST_MAX, &text));
    TRY(json_take_text(root, "signature", 1, 2 * PARTNER_SIGN_SIZE, &signature));
    TRY(json_take_flag(root, "skip", NULL, skip));
    if (!text) return json_wrong("manifest", "must be given: the text that was signed");
    if (!signature || !sign_decode(signature, bytes, sizeof bytes))
        return json_wrong("signature", "must be an Ed25519 signature of %d bytes in base64",
                          PARTNER_SIGN_SIZE);
    TRY(manifest_read(manifest, text, strlen(text), clock_wall_ms()));
    json_param_clear();
    return partners_verify(door->partners, tenant, manifest->source, text, strlen(text), bytes);
}

void feeds_post(struct door *door, struct http_request *request)
{
    struct context context;
    struct manifest manifest;
    json_t *root = NULL;
    size_t size;
    bool skip = false;
    if (!door_admit(door, request, true, &context)) return;
    json_param_clear();
    const char *body = http_body(request, &size), *tenant = context.key->tenant;
    enum err err = json_read(&root, body, size);
    if (!err) err = read_begin(door, tenant, root, &manifest, &skip);
    json_decref(root);
    if (err) {
        door_refuse(request, err);
        return;
    }
    char subject[HTTP_SUBJECT_MAX];
    snprintf(subject, sizeof subject, "%s %" PRId64, manifest.source, manifest.feed.number);
    http_set_subject(request, subject);
    residence_complete(door, &context);
    snprintf(manifest.feed.region, sizeof manifest.feed.region, "%s", context.region);
    log_info("feed", "source=%s number=%" PRId64 " lines=%" PRId64, manifest.source,
             manifest.feed.number, manifest.feed.lines);
    feeds_begin(door->feeds, tenant, manifest.source, &manifest.feed, skip, on_feed,
                new_query(request, manifest.source));
}
