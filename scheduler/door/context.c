#include "scheduler/door/context.h"

#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/keys.h"

#include "text/utf8.h"

#include "base/digest.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

static enum err find_key(struct context *context, const struct keys *keys,
                         const char *authorization)
{
    if (keys_count(keys) == 0) {
        context->key = keys_open(keys);
        return ERR_OK;
    }
    if (!authorization)
        return err_note(ERR_UNAUTHORIZED,
                        "no API key was given: send it as 'Authorization: Bearer KEY'");
    if (strncasecmp(authorization, "Bearer ", 7) != 0)
        return err_note(ERR_UNAUTHORIZED, "the Authorization header must be 'Bearer KEY'");
    const char *text = authorization + 7 + strspn(authorization + 7, " ");
    context->key = keys_find(keys, text, strlen(text));
    if (!context->key) return err_note(ERR_UNAUTHORIZED, "the API key is not known");
    return ERR_OK;
}

static enum err forbidden(const char *header, const char *why)
{
    json_wrong(header, "%s", why);
    return err_note(ERR_FORBIDDEN, "%s: %s", header, why);
}

enum err context_set_user(struct context *context, const char *param, const char *user)
{
    if (!context->key->may_assert_user) return forbidden(param, "this key may not assert a user");
    size_t size = strlen(user);
    bool good = size > 0 && size <= CONTEXT_USER_MAX && utf8_valid(user, size);
    for (size_t i = 0; good && i < size; i++)
        good = (unsigned char)user[i] > 0x20 && user[i] != 0x7f;
    if (!good)
        return json_wrong(param, "must be 1 to %d bytes without spaces and control characters",
                          CONTEXT_USER_MAX);
    memcpy(context->user, user, size + 1);
    return ERR_OK;
}

static enum err copy_region(struct context *context, const char *text)
{
    if (!text) return ERR_OK;
    size_t size = strlen(text);
    if (size == 0 || size > CONTEXT_LABEL_MAX || strspn(text, NAME_BYTES) != size)
        return json_wrong("X-Qiao-Region", "must be 1 to %d letters, digits, '-', '_' or '.'",
                          CONTEXT_LABEL_MAX);
    const struct key *key = context->key;
    bool allowed = key->any_region;
    for (size_t i = 0; i < key->region_count && !allowed; i++)
        allowed = strcasecmp(key->regions[i], text) == 0;
    if (!allowed) return forbidden("X-Qiao-Region", "this key does not allow the region");
    for (size_t i = 0; i <= size; i++)
        context->region[i] = (char)tolower((unsigned char)text[i]);
    return ERR_OK;
}

void context_complete_region(struct context *context)
{
    const struct key *key = context->key;
    if (*context->region || key->any_region || key->region_count != 1) return;
    for (size_t i = 0; key->regions[0][i]; i++)
        context->region[i] = (char)tolower((unsigned char)key->regions[0][i]);
}

static enum err copy_os(struct context *context, const char *text)
{
    if (!text) return ERR_OK;
    size_t size = strlen(text);
    if (size == 0 || size > CONTEXT_LABEL_MAX || strspn(text, NAME_BYTES "/ ") != size)
        return json_wrong("X-Qiao-OS",
                          "must be a name and a version such as 'AcmeOS/18.2', at most %d bytes",
                          CONTEXT_LABEL_MAX);
    memcpy(context->os, text, size + 1);
    return ERR_OK;
}

/* RFC 9110, 12.5.4: tags with weights. The heaviest wins, the first of equals; "*" says nothing. */
static enum err copy_language(struct context *context, const char *text)
{
    double best = 0;
    if (!text) return ERR_OK;
    if (strlen(text) > 256) return json_wrong("Accept-Language", "must be at most 256 bytes");
    for (const char *at = text; *at;) {
        at += strspn(at, " \t,");
        size_t size = strspn(at, NAME_BYTES);
        const char *end = at + strcspn(at, ",");
        const char *quality = at + size + strspn(at + size, " \t;");
        double weight = 1;
        if (strncasecmp(quality, "q=", 2) == 0) weight = strtod(quality + 2, NULL);
        if (*at == '*') size = 0;
        if (size > CONTEXT_LABEL_MAX)
            return json_wrong("Accept-Language", "must hold language tags of at most %d bytes",
                              CONTEXT_LABEL_MAX);
        if (size > 0 && weight > best && weight <= 1) {
            best = weight;
            memcpy(context->language, at, size);
            context->language[size] = '\0';
        }
        at = end;
    }
    return ERR_OK;
}

enum err context_build(struct context *out, const struct keys *keys,
                       const struct context_headers *headers)
{
    struct context context = {0};
    json_param_clear();
    TRY(find_key(&context, keys, headers->authorization));
    if (headers->user) TRY(context_set_user(&context, "X-Qiao-User", headers->user));
    TRY(copy_region(&context, headers->region));
    TRY(copy_os(&context, headers->os));
    TRY(copy_language(&context, headers->language));
    context.tenant_tag = digest_tag(context.key->tenant);
    context.salt = keys_salt(keys, context.key->tenant);
    *out = context;
    return ERR_OK;
}

enum err context_read(struct context *out, const struct keys *keys, struct http_request *request)
{
    static const char *const names[] = {"Authorization", "X-Qiao-User", "X-Qiao-Region",
                                        "X-Qiao-OS"};
    json_param_clear();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (http_header_count(request, names[i]) > 1)
            return json_wrong(names[i], "must not be given twice");
    }
    struct context_headers headers = {
        .authorization = http_header(request, "Authorization"),
        .user = http_header(request, "X-Qiao-User"),
        .region = http_header(request, "X-Qiao-Region"),
        .os = http_header(request, "X-Qiao-OS"),
        .language = http_header(request, "Accept-Language"),
    };
    TRY(context_build(out, keys, &headers));
    out->request = request;
    return ERR_OK;
}
