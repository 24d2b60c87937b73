#include "scheduler/state/keyring.h"

#include "base/buf.h"
#include "base/hex.h"

#include <sodium.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEAD_SIZE = 8, // magic and id
    NONCE_SIZE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    SEALED_SIZE = KEYRING_KEY_SIZE + crypto_aead_xchacha20poly1305_ietf_ABYTES,
    HEX_SIZE = 2 * KEYRING_KEY_SIZE,
    LINE_MAX_BYTES = 128
};

_Static_assert(HEAD_SIZE + NONCE_SIZE + SEALED_SIZE == KEYRING_WRAPPED_SIZE, "keyring.h says so");

static const char magic[] = "QSK1";
static const char first_line[] = "qiao session keys 1";

void keyring_make(struct keyring *out)
{
    *out = (struct keyring){.count = 1, .keys = {{.id = 1}}};
    randombytes_buf(out->root, sizeof out->root);
    randombytes_buf(out->keys[0].secret, sizeof out->keys[0].secret);
}

void keyring_fini(struct keyring *ring)
{
    sodium_memzero(ring, sizeof *ring);
}

// ---- the file ----------------------------------------------------------------------------------

void keyring_write(const struct keyring *ring, struct buf *out)
{
    char hex[HEX_SIZE + 1];
    sodium_bin2hex(hex, sizeof hex, ring->root, sizeof ring->root);
    buf_addf(out, "%s\n# newest first; docs/redis.md tells how to rotate\nroot %s\n", first_line,
             hex);
    for (size_t i = 0; i < ring->count; i++) {
        sodium_bin2hex(hex, sizeof hex, ring->keys[i].secret, KEYRING_KEY_SIZE);
        buf_addf(out, "key %" PRIu32 " %s\n", ring->keys[i].id, hex);
    }
    sodium_memzero(hex, sizeof hex);
}

/* "key ID HEX" */
static bool read_key(struct keyring *ring, const char *text)
{
    char *end;
    if (*text < '0' || *text > '9' || ring->count == KEYRING_KEYS_MAX) return false;
    unsigned long long id = strtoull(text, &end, 10);
    if (*end != ' ' || id > UINT32_MAX) return false;
    struct keyring_key *key = &ring->keys[ring->count];
    key->id = (uint32_t)id;
    for (size_t i = 0; i < ring->count; i++)
        if (ring->keys[i].id == key->id) return false;
    if (!hex_read(key->secret, sizeof key->secret, end + 1)) return false;
    ring->count++;
    return true;
}

static bool read_line(struct keyring *ring, size_t number, bool *has_root, const char *line)
{
    if (number == 1) return strcmp(line, first_line) == 0;
    if (*line == '\0' || *line == '#') return true;
    if (strncmp(line, "key ", 4) == 0) return read_key(ring, line + 4);
    if (strncmp(line, "root ", 5) != 0 || *has_root) return false;
    *has_root = true;
    return hex_read(ring->root, sizeof ring->root, line + 5);
}

static enum err read_text(struct keyring *ring, const char *name, const char *bytes, size_t size)
{
    char line[LINE_MAX_BYTES];
    bool has_root = false;
    size_t number = 0;
    for (size_t at = 0; at < size;) {
        const char *end = memchr(bytes + at, '\n', size - at);
        size_t length = end ? (size_t)(end - bytes) - at : size - at;
        number++;
        bool good = length < sizeof line && !memchr(bytes + at, '\0', length);
        if (good) {
            memcpy(line, bytes + at, length);
            line[length] = '\0';
            good = read_line(ring, number, &has_root, line);
        }
        sodium_memzero(line, sizeof line);
        if (!good)
            return err_note(ERR_INVALID,
                            "session_key: '%s', line %zu is not right: the file must be 32 bytes, "
                            "or begin with '%s' and go on with 'root HEX' and 1 to %d lines "
                            "'key ID HEX' of 64 hexadecimal digits, each id once",
                            name, number, first_line, KEYRING_KEYS_MAX);
        at += length + 1;
    }
    if (has_root && ring->count > 0) return ERR_OK;
    return err_note(ERR_INVALID, "session_key: '%s' must have %s", name,
                    has_root ? "a line 'key ID HEX'" : "a line 'root HEX'");
}

enum err keyring_parse(struct keyring *out, const char *name, const char *bytes, size_t size)
{
    struct keyring ring = {0};
    enum err err = ERR_OK;
    if (size == KEYRING_KEY_SIZE) {
        memcpy(ring.root, bytes, size);
        memcpy(ring.keys[0].secret, bytes, size);
        ring.count = 1;
    } else {
        err = read_text(&ring, name, bytes, size);
    }
    if (!err) *out = ring;
    keyring_fini(&ring);
    return err;
}

// ---- wrapping ----------------------------------------------------------------------------------

static void add_bound(struct buf *out, const unsigned char head[HEAD_SIZE], const struct buf *bound)
{
    buf_add(out, head, HEAD_SIZE);
    buf_add(out, bound->data, bound->size);
}

static void derive(unsigned char out[KEYRING_KEY_SIZE], const struct keyring_key *key)
{
    crypto_kdf_derive_from_key(out, KEYRING_KEY_SIZE, 4, "qiaowrap", key->secret);
}

void keyring_wrap(const struct keyring *ring, const unsigned char key[KEYRING_KEY_SIZE],
                  const struct buf *bound, unsigned char out[KEYRING_WRAPPED_SIZE])
{
    unsigned char wrapping[KEYRING_KEY_SIZE];
    struct buf with = {0};
    memcpy(out, magic, 4);
    memcpy(out + 4, &ring->keys[0].id, 4);
    randombytes_buf(out + HEAD_SIZE, NONCE_SIZE);
    add_bound(&with, out, bound);
    derive(wrapping, &ring->keys[0]);
    crypto_aead_xchacha20poly1305_ietf_encrypt(out + HEAD_SIZE + NONCE_SIZE, NULL, key,
                                               KEYRING_KEY_SIZE, (const unsigned char *)with.data,
                                               with.size, NULL, out + HEAD_SIZE, wrapping);
    sodium_memzero(wrapping, sizeof wrapping);
    buf_fini(&with);
}

bool keyring_is_newest(const struct keyring *ring,
                       const unsigned char wrapped[KEYRING_WRAPPED_SIZE])
{
    return memcmp(wrapped + 4, &ring->keys[0].id, 4) == 0;
}

enum err keyring_unwrap(const struct keyring *ring, const char *bytes, size_t size,
                        const struct buf *bound, unsigned char key[KEYRING_KEY_SIZE])
{
    const unsigned char *at = (const unsigned char *)bytes;
    unsigned char wrapping[KEYRING_KEY_SIZE], opened[KEYRING_KEY_SIZE];
    const struct keyring_key *master = NULL;
    uint32_t id;
    if (size != KEYRING_WRAPPED_SIZE || memcmp(bytes, magic, 4) != 0)
        return err_note(ERR_INTERNAL, "the session's key is damaged");
    memcpy(&id, bytes + 4, 4);
    for (size_t i = 0; i < ring->count && !master; i++)
        if (ring->keys[i].id == id) master = &ring->keys[i];
    if (!master)
        return err_note(ERR_INTERNAL,
                        "the session's key is wrapped by master key %" PRIu32
                        ", which is not in the session key file",
                        id);
    struct buf with = {0};
    add_bound(&with, at, bound);
    derive(wrapping, master);
    int result = crypto_aead_xchacha20poly1305_ietf_decrypt(
        opened, NULL, NULL, at + HEAD_SIZE + NONCE_SIZE, SEALED_SIZE,
        (const unsigned char *)with.data, with.size, at + HEAD_SIZE, wrapping);
    if (result == 0) memcpy(key, opened, sizeof opened);
    sodium_memzero(wrapping, sizeof wrapping);
    sodium_memzero(opened, sizeof opened);
    buf_fini(&with);
    if (result == 0) return ERR_OK;
    return err_note(ERR_INTERNAL,
                    "the session's key cannot be opened: master key %" PRIu32
                    " is another one here, or it is damaged",
                    id);
}
