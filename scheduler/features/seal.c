#include "scheduler/features/seal.h"

#include "base/buf.h"

#include <sodium.h>

#include <stdio.h>
#include <string.h>

enum {
    MAGIC_SIZE = 4,
    NONCE_SIZE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG_SIZE = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    HEAD_SIZE = MAGIC_SIZE + NONCE_SIZE,
    BOUND_MAX = MAGIC_SIZE + OWNER_TEXT_SIZE + HOME_TAIL_SIZE
};

static const char magic[] = "QSV1", magic_key[] = "QSVK";

/* What records (`magic`) and the wrapped key (`magic_key`) are bound to. */
static size_t write_bound(char out[BOUND_MAX], const struct seal *seal, const char *what)
{
    return (size_t)snprintf(out, BOUND_MAX, "%s%s%s", what, seal->owner, seal->source);
}

static void set_names(struct seal *seal, const char *owner, const char *source)
{
    *seal = (struct seal){0};
    snprintf(seal->owner, sizeof seal->owner, "%s", owner);
    snprintf(seal->source, sizeof seal->source, "%s", source);
}

void seal_draw(struct seal *out, const char *owner, const char *source)
{
    set_names(out, owner, source);
    randombytes_buf(out->key, sizeof out->key);
}

enum err seal_unwrap(struct seal *out, const struct keyring *keys, const char *owner,
                     const char *source, const char *bytes, size_t size)
{
    struct seal seal;
    struct buf bound = {0};
    char text[BOUND_MAX], why[ERR_NOTE_MAX];
    set_names(&seal, owner, source);
    buf_add(&bound, text, write_bound(text, &seal, magic_key));
    enum err err = keyring_unwrap(keys, bytes, size, &bound, seal.key);
    buf_fini(&bound);
    if (err) {
        snprintf(why, sizeof why, "%s", err_text());
        return err_note(err, "the history cannot be opened: %s", why);
    }
    *out = seal;
    seal_fini(&seal);
    return ERR_OK;
}

void seal_wrap(const struct seal *seal, const struct keyring *keys,
               unsigned char out[KEYRING_WRAPPED_SIZE])
{
    struct buf bound = {0};
    char text[BOUND_MAX];
    buf_add(&bound, text, write_bound(text, seal, magic_key));
    keyring_wrap(keys, seal->key, &bound, out);
    buf_fini(&bound);
}

void seal_fini(struct seal *seal)
{
    sodium_memzero(seal, sizeof *seal);
}

void seal_close(const struct seal *seal, const char *text, size_t size, struct buf *out)
{
    char bound[BOUND_MAX];
    unsigned char nonce[NONCE_SIZE];
    size_t bound_size = write_bound(bound, seal, magic);
    randombytes_buf(nonce, sizeof nonce);
    buf_add(out, magic, MAGIC_SIZE);
    buf_add(out, nonce, sizeof nonce);
    crypto_aead_xchacha20poly1305_ietf_encrypt(
        buf_grow(out, size + TAG_SIZE), NULL, (const unsigned char *)text, size,
        (const unsigned char *)bound, bound_size, NULL, nonce, seal->key);
}

static enum err unreadable(void)
{
    return err_note(ERR_INTERNAL, "an event of the history cannot be opened: it was made with "
                                  "another key, or it is damaged");
}

enum err seal_open(const struct seal *seal, const char *bytes, size_t size, struct buf *out)
{
    char bound[BOUND_MAX];
    buf_clear(out);
    if (size > 0 && bytes[0] == '{') {
        buf_add(out, bytes, size);
        return ERR_OK;
    }
    if (!seal || size < HEAD_SIZE + TAG_SIZE || memcmp(bytes, magic, MAGIC_SIZE) != 0)
        return unreadable();
    size_t sealed = size - HEAD_SIZE, bound_size = write_bound(bound, seal, magic);
    const unsigned char *at = (const unsigned char *)bytes + MAGIC_SIZE;
    int failed = crypto_aead_xchacha20poly1305_ietf_decrypt(
        buf_grow(out, sealed - TAG_SIZE), NULL, NULL, at + NONCE_SIZE, sealed,
        (const unsigned char *)bound, bound_size, at, seal->key);
    return failed ? unreadable() : ERR_OK;
}

struct digest seal_id(const struct seal *seal, const char *id)
{
    struct digest digest;
    crypto_generichash(digest.bytes, sizeof digest.bytes, (const unsigned char *)id, strlen(id),
                       seal->key, sizeof seal->key);
    return digest;
}
