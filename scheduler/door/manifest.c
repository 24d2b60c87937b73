#include "scheduler/door/manifest.h"

#include "scheduler/door/event_read.h"
#include "scheduler/door/json.h"
#include "scheduler/features/events.h"

#include <jansson.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static enum err check_names(const json_t *root)
{
    static const char *const names[] = {"format", "source", "number",  "file", "lines",
                                        "bytes",  "sha256", "created", "from", "until"};
    const char *name;
    json_t *value;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!json_find(root, names[i])) return json_wrong(names[i], "must stand in the manifest");
    json_object_foreach((json_t *)(uintptr_t)root, name, value)
    {
        bool known = false;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            known |= strcmp(name, names[i]) == 0;
        if (!known) return json_wrong(name, "is no member of a manifest");
    }
    return ERR_OK;
}

static enum err take_time(const json_t *root, const char *name, int64_t *out)
{
    const char *text = json_string_value(json_find(root, name));
    if (text && event_read_time(text, out)) return ERR_OK;
    return json_wrong(name, "must be a time such as 2026-11-26T05:06:03Z");
}

static enum err take_digest(const json_t *root, char out[FEED_DIGEST_SIZE + 1])
{
    const char *text = json_string_value(json_find(root, "sha256"));
    if (!text || strlen(text) != FEED_DIGEST_SIZE ||
        strspn(text, "0123456789abcdef") != FEED_DIGEST_SIZE)
        return json_wrong("sha256", "must be %d lower-case hexadecimal digits", FEED_DIGEST_SIZE);
    memcpy(out, text, FEED_DIGEST_SIZE + 1);
    return ERR_OK;
}

static enum err read_members(struct manifest *out, const json_t *root, int64_t now_ms)
{
    const char *format = NULL, *source = NULL, *file = NULL;
    int64_t bytes = 0, created_ms = 0;
    TRY(check_names(root));
    TRY(json_take_text(root, "format", 1, 32, &format));
    if (strcmp(format, "qiao-feed-1") != 0) return json_wrong("format", "must be qiao-feed-1");
    TRY(json_take_text(root, "source", 1, CONSENT_SOURCE_MAX, &source));
    if (!consent_is_source(source)) return json_wrong("source", "must be a partner's name");
    snprintf(out->source, sizeof out->source, "%s", source);
    TRY(json_take_text(root, "file", 1, MANIFEST_FILE_MAX, &file));
    TRY(json_take_integer(root, "number", 1, FEED_NUMBER_MAX, &out->feed.number));
    TRY(json_take_integer(root, "lines", 1, FEED_LINES_MAX, &out->feed.lines));
    TRY(json_take_integer(root, "bytes", 1, INT64_MAX, &bytes));
    TRY(take_digest(root, out->feed.digest));
    TRY(take_time(root, "created", &created_ms));
    TRY(take_time(root, "from", &out->feed.from_ms));
    TRY(take_time(root, "until", &out->feed.until_ms));
    if (created_ms > now_ms + EVENT_FUTURE_MS) return json_wrong("created", "is in the future");
    if (out->feed.from_ms > out->feed.until_ms) return json_wrong("until", "is before 'from'");
    return ERR_OK;
}

enum err manifest_read(struct manifest *out, const char *text, size_t size, int64_t now_ms)
{
    json_t *root;
    struct manifest manifest = {0};
    if (size > MANIFEST_MAX)
        return err_note(ERR_TOO_LARGE, "a manifest has at most %d bytes", MANIFEST_MAX);
    TRY(json_read_part(&root, "the manifest", text, size));
    enum err err = read_members(&manifest, root, now_ms);
    json_decref(root);
    if (!err) *out = manifest;
    return err;
}
