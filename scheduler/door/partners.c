#include "scheduler/door/partners.h"

#include "scheduler/door/context.h"
#include "scheduler/door/json.h"
#include "scheduler/features/consent.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sign.h"

#include <jansson.h>
#include <sodium.h>

#include <stdio.h>
#include <string.h>

enum {
    FILE_MAX = 1 << 20,
    KEY_TEXT_MAX = 96,
    DER_HEAD_SIZE = 12, // of a SubjectPublicKeyInfo with Ed25519
    LEEWAY_S = 30       // between our clock and the partner's
};

_Static_assert(PARTNER_KEY_SIZE == crypto_sign_PUBLICKEYBYTES, "Ed25519");
_Static_assert(PARTNER_SIGN_SIZE == crypto_sign_BYTES, "Ed25519");

struct partner {
    char source[CONSENT_SOURCE_MAX + 1];
    char tenant[CONTEXT_NAME_MAX + 1];
    unsigned char key[PARTNER_KEY_SIZE];
};

struct partners {
    struct partner *rows;
    size_t count;
};

// ---- the file ----------------------------------------------------------------------------------

static bool read_public_key(const char *text, unsigned char out[PARTNER_KEY_SIZE])
{
    static const unsigned char head[DER_HEAD_SIZE] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                                      0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
    unsigned char der[DER_HEAD_SIZE + PARTNER_KEY_SIZE];
    if (sign_decode(text, out, PARTNER_KEY_SIZE)) return true;
    if (!sign_decode(text, der, sizeof der) || memcmp(der, head, sizeof head) != 0) return false;
    memcpy(out, der + DER_HEAD_SIZE, PARTNER_KEY_SIZE);
    return true;
}

static enum err read_row(const json_t *object, struct partner *row)
{
    const char *source = NULL, *tenant = "local", *key = NULL;
    if (!json_is_object(object)) return json_wrong("it", "must be an object");
    TRY(json_take_text(object, "source", 1, CONSENT_SOURCE_MAX, &source));
    TRY(json_take_text(object, "tenant", 1, CONTEXT_NAME_MAX, &tenant));
    TRY(json_take_text(object, "public_key", 1, KEY_TEXT_MAX, &key));
    if (!source || !consent_is_source(source))
        return json_wrong("source", "must be 1 to %d lower-case letters, digits, '-' or '_'",
                          CONSENT_SOURCE_MAX);
    if (!key || !read_public_key(key, row->key))
        return json_wrong("public_key",
                          "must be an Ed25519 key in base64: 32 bytes, or the 44 that `openssl "
                          "pkey -pubout -outform DER` gives");
    snprintf(row->source, sizeof row->source, "%s", source);
    snprintf(row->tenant, sizeof row->tenant, "%s", tenant);
    return ERR_OK;
}

static enum err read_rows(struct partners *partners, const char *name, const json_t *list)
{
    char note[ERR_NOTE_MAX];
    if (!json_is_array(list) || json_array_size(list) > PARTNERS_MAX)
        return err_note(ERR_INVALID, "%s: must be a list of at most %d partners", name,
                        PARTNERS_MAX);
    partners->rows = mem_new(json_array_size(list) + 1, sizeof *partners->rows);
    for (size_t i = 0; i < json_array_size(list); i++, partners->count++) {
        if (!read_row(json_array_get(list, i), &partners->rows[i])) continue;
        snprintf(note, sizeof note, "%s", err_text());
        return err_note(ERR_INVALID, "%s: partner %zu: %s", name, i + 1, note);
    }
    return ERR_OK;
}

enum err partners_parse(struct partners **out, const char *name, const char *text, size_t size)
{
    json_error_t error;
    json_t *list = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!list)
        return err_note(ERR_INVALID, "%s: not valid JSON at line %d, column %d", name, error.line,
                        error.column);
    struct partners *partners = mem_new(1, sizeof *partners);
    enum err err = read_rows(partners, name, list);
    json_decref(list);
    if (err)
        partners_free(partners);
    else
        *out = partners;
    return err;
}

enum err partners_new(struct partners **out, const char *path)
{
    if (!*path) return partners_parse(out, "partners", "[]", 2);
    char *text;
    size_t size;
    TRY(file_read(&text, &size, path, FILE_MAX));
    enum err err = partners_parse(out, path, text, size);
    mem_free(text);
    return err;
}

void partners_free(struct partners *partners)
{
    if (!partners) return;
    mem_free(partners->rows);
    mem_free(partners);
}

size_t partners_count(const struct partners *partners)
{
    return partners->count;
}

// ---- signatures --------------------------------------------------------------------------------

enum err partners_verify(const struct partners *partners, const char *tenant, const char *source,
                         const void *bytes, size_t size,
                         const unsigned char signature[PARTNER_SIGN_SIZE])
{
    bool known = false;
    for (size_t i = 0; i < partners->count; i++) {
        const struct partner *row = &partners->rows[i];
        if (strcmp(row->tenant, tenant) != 0 || strcmp(row->source, source) != 0) continue;
        known = true;
        if (crypto_sign_verify_detached(signature, bytes, size, row->key) == 0) return ERR_OK;
    }
    if (known)
        return err_note(ERR_FORBIDDEN, "the signature is not one of partner '%s' for these bytes",
                        source);
    return err_note(ERR_NOT_FOUND, "tenant '%s' has no partner '%s' in the file of --partners",
                    tenant, source);
}

static enum err not_a_token(const char *why)
{
    return json_wrong("token", "is no signed token of a partner: %s", why);
}

/* A part of the token as JSON; NULL: it is none. */
static json_t *read_part(const char *text, size_t size)
{
    char bytes[PARTNER_TOKEN_MAX];
    size_t got = 0;
    if (sodium_base642bin((unsigned char *)bytes, sizeof bytes, text, size, NULL, &got, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
        return NULL;
    json_t *root = json_loadb(bytes, got, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(root)) return root;
    json_decref(root);
    return NULL;
}

static bool names(const json_t *audience, const char *tenant)
{
    const char *text = json_string_value(audience);
    if (text) return strcmp(text, tenant) == 0;
    for (size_t i = 0; i < json_array_size(audience); i++) {
        text = json_string_value(json_array_get(audience, i));
        if (text && strcmp(text, tenant) == 0) return true;
    }
    return false;
}

static enum err read_claims(const json_t *claims, const char *tenant, int64_t now_s,
                            struct partner_claim *out)
{
    const char *source = json_string_value(json_object_get(claims, "iss")),
               *pseudonym = json_string_value(json_object_get(claims, "sub")),
               *id = json_string_value(json_object_get(claims, "jti"));
    const json_t *until = json_object_get(claims, "exp");
    if (!source || !consent_is_source(source)) return not_a_token("'iss' must name the partner");
    if (!pseudonym || !*pseudonym || strlen(pseudonym) > CONSENT_PSEUDONYM_MAX)
        return not_a_token("'sub' must be what the partner calls the user, 1 to 128 bytes");
    if (!id || strlen(id) < 8 || strlen(id) > PARTNER_TOKEN_ID_MAX)
        return not_a_token("'jti' must be 8 to 128 bytes that no other token has");
    if (!json_is_integer(until)) return not_a_token("'exp' must be a time in seconds since 1970");
    if (!names(json_object_get(claims, "aud"), tenant))
        return err_note(ERR_FORBIDDEN, "the token's 'aud' must be '%s'", tenant);
    *out = (struct partner_claim){.until_s = json_integer_value(until)};
    if (out->until_s + LEEWAY_S <= now_s) return err_note(ERR_FORBIDDEN, "the token is over");
    if (out->until_s > now_s + PARTNER_TOKEN_S + LEEWAY_S)
        return err_note(ERR_FORBIDDEN, "the token must be over within %d s", PARTNER_TOKEN_S);
    snprintf(out->source, sizeof out->source, "%s", source);
    snprintf(out->pseudonym, sizeof out->pseudonym, "%s", pseudonym);
    snprintf(out->id, sizeof out->id, "%s", id);
    return ERR_OK;
}

enum err partners_read_token(const struct partners *partners, const char *tenant, const char *token,
                             int64_t now_s, struct partner_claim *out)
{
    unsigned char signature[PARTNER_SIGN_SIZE];
    const char *first = strchr(token, '.'), *second = first ? strchr(first + 1, '.') : NULL;
    struct partner_claim claim = {0};
    if (!second || strlen(token) > PARTNER_TOKEN_MAX)
        return not_a_token("it must be three parts with dots between");
    json_t *head = read_part(token, (size_t)(first - token));
    const char *algorithm = json_string_value(json_object_get(head, "alg"));
    bool good = algorithm && strcmp(algorithm, "EdDSA") == 0 && !json_object_get(head, "crit");
    json_decref(head);
    if (!good) return not_a_token("its algorithm must be EdDSA");
    if (!sign_decode(second + 1, signature, sizeof signature))
        return not_a_token("its signature must be 64 bytes");
    json_t *claims = read_part(first + 1, (size_t)(second - first) - 1);
    enum err err = claims ? read_claims(claims, tenant, now_s, &claim)
                          : not_a_token("its second part must be a JSON object");
    json_decref(claims);
    // The time and the audience were read of unsigned bytes so far: what counts is below.
    if (!err)
        err = partners_verify(partners, tenant, claim.source, token, (size_t)(second - token),
                              signature);
    if (!err) *out = claim;
    return err;
}

enum err partners_check_name(const char *source)
{
    if (consent_is_source(source)) return ERR_OK;
    return err_note(ERR_NOT_FOUND,
                    "a partner's name has 1 to %d lower-case letters, digits, '-' or '_'",
                    CONSENT_SOURCE_MAX);
}
