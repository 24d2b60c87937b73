/* scheduler/door/partners.h -- second parties: what their signatures look like, and what they may say.
 *
 * The operator's file (--partners) is a JSON array of objects:
 *
 *      source       the partner's name: lower-case letters, digits, '-', '_'
 *      tenant       whose partner it is; "local" when absent
 *      public_key   Ed25519, base64: the 32 bytes, or the 44 of `openssl pkey -pubout -outform DER`
 *
 * Two rows of one name are two keys, so that a partner can change its own. A partner signs two things: the manifest of a feed
 * (manifest.h), and tokens that say which of its users somebody is, as a JSON Web Token with the algorithm EdDSA (RFC 8037):
 *
 *      {"alg":"EdDSA"} . {"iss": SOURCE, "aud": TENANT, "sub": PSEUDONYM, "exp": seconds since 1970, "jti": of this token alone}
 *
 * Thread: any, read-only after the start. */
#ifndef SCHEDULER_DOOR_PARTNERS_H
#define SCHEDULER_DOOR_PARTNERS_H

#include "scheduler/features/consent.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PARTNERS_MAX = 256,     // rows
    PARTNER_KEY_SIZE = 32,  // bytes
    PARTNER_SIGN_SIZE = 64, // bytes of a signature
    PARTNER_TOKEN_MAX = 4096,
    PARTNER_TOKEN_ID_MAX = 128, // bytes of a `jti`
    PARTNER_TOKEN_S = 600       // that a token may live
};

struct partners;

/* `path` "": none. ERR_IO, ERR_INVALID name file, row and field. */
enum err partners_new(struct partners **out, const char *path);
/* The same from the file's text; `name` stands in notes. */
enum err partners_parse(struct partners **out, const char *name, const char *text, size_t size);
void partners_free(struct partners *partners);
size_t partners_count(const struct partners *partners);

/* ERR_NOT_FOUND: no such partner of the tenant; ERR_FORBIDDEN: none of its keys has signed this. */
enum err partners_verify(const struct partners *partners, const char *tenant, const char *source,
                         const void *bytes, size_t size,
                         const unsigned char signature[PARTNER_SIGN_SIZE]);

struct partner_claim {
    char source[CONSENT_SOURCE_MAX + 1];
    char pseudonym[CONSENT_PSEUDONYM_MAX + 1];
    char id[PARTNER_TOKEN_ID_MAX + 1]; // jti
    int64_t until_s;
};

/* ERR_INVALID: it is no such token; ERR_FORBIDDEN: not the partner's, of another tenant, or over; ERR_NOT_FOUND. */
enum err partners_read_token(const struct partners *partners, const char *tenant, const char *token,
                             int64_t now_s, struct partner_claim *out);

/* ERR_NOT_FOUND with the rule: `source`, out of a path, can be no partner's name. */
enum err partners_check_name(const char *source);

#endif
