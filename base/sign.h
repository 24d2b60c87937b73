/* base/sign.h -- signatures: Ed25519 (RFC 8032) through libsodium, and the text files of keys and signatures.
 *
 * What is signed is a purpose, a newline, and the bytes: a signature that was made for one purpose ("qiao policy 1") is none for another.
 * Three kinds of files, lines of ASCII; a file of public keys or signatures may hold many, one record after another:
 *
 *      qiao signing key 1         qiao public key 1          qiao signature 1
 *      id NAME                    id NAME                    id NAME
 *      secret BASE64              key BASE64                 signature BASE64
 *
 * The secret is RFC 8032's seed of 32 bytes. Empty lines and lines that begin with '#' say nothing. Base64 is RFC 4648's, with padding.
 *
 * Failures name the file and the line. Secrets are the caller's to wipe: sign_fini(). Thread: any, after sodium_init(). */
#ifndef BASE_SIGN_H
#define BASE_SIGN_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct buf;

enum {
    SIGN_ID_MAX = 64, // bytes of a key's name: letters, digits, '-', '_', '.'
    SIGN_KEY_SIZE = 32,
    SIGN_SECRET_SIZE = 64,
    SIGN_SIZE = 64,
    SIGN_TEXT_SIZE = 89,     // a signature in base64, and its NUL
    SIGN_KEY_TEXT_SIZE = 45, // a public key in base64, and its NUL
    SIGN_KEYS_MAX = 64,      // of a file
    SIGN_FILE_MAX = 64 << 10
};

struct sign_secret {
    char id[SIGN_ID_MAX + 1];
    unsigned char secret[SIGN_SECRET_SIZE]; // as libsodium has it: the seed, then the public key
};

struct sign_public {
    char id[SIGN_ID_MAX + 1];
    unsigned char key[SIGN_KEY_SIZE];
};

struct sign_keys {
    struct sign_public keys[SIGN_KEYS_MAX];
    size_t count;
};

struct sign_signature {
    char id[SIGN_ID_MAX + 1];
    unsigned char bytes[SIGN_SIZE];
};

struct sign_signatures {
    struct sign_signature list[SIGN_KEYS_MAX];
    size_t count;
};

/* A new key. ERR_INVALID: `id` is no name. */
enum err sign_make_key(struct sign_secret *out, const char *id);
void sign_public_of(struct sign_public *out, const struct sign_secret *secret);
void sign_fini(struct sign_secret *secret);

void sign_bytes(unsigned char out[SIGN_SIZE], const struct sign_secret *secret, const char *purpose,
                const void *bytes, size_t size);
bool sign_check(const unsigned char key[SIGN_KEY_SIZE], const char *purpose, const void *bytes,
                size_t size, const unsigned char signature[SIGN_SIZE]);

/* The key of this name; NULL: there is none. */
const struct sign_public *sign_find(const struct sign_keys *keys, const char *id);

/* ERR_FORBIDDEN: others than its owner may read the file of a secret. ERR_IO, ERR_TOO_LARGE, ERR_FORMAT. */
enum err sign_read_secret(struct sign_secret *out, const char *path);
enum err sign_read_keys(struct sign_keys *out, const char *path);
enum err sign_read_signatures(struct sign_signatures *out, const char *path);
/* The same of a text; `name` stands in notes. */
enum err sign_parse_secret(struct sign_secret *out, const char *name, const char *text,
                           size_t size);
enum err sign_parse_keys(struct sign_keys *out, const char *name, const char *text, size_t size);
enum err sign_parse_signatures(struct sign_signatures *out, const char *name, const char *text,
                               size_t size);

/* Append a record. The buffer of a secret is the caller's to wipe. */
void sign_write_secret(struct buf *out, const struct sign_secret *secret);
void sign_write_public(struct buf *out, const struct sign_public *key);
void sign_write_signature(struct buf *out, const struct sign_signature *signature);

/* Base64 of a signature or a public key, into `out`, which is returned; and exactly `size` bytes back from base64 of either alphabet, with or
 * without padding. */
const char *sign_text(char out[SIGN_TEXT_SIZE], const unsigned char signature[SIGN_SIZE]);
const char *sign_key_text(char out[SIGN_KEY_TEXT_SIZE], const unsigned char key[SIGN_KEY_SIZE]);
bool sign_decode(const char *text, unsigned char *out, size_t size);
/* 1 to SIGN_ID_MAX letters, digits, '-', '_', '.'. */
bool sign_is_id(const char *text);

#endif
