#include "scheduler/state/record.h"

#include "scheduler/state/owner.h"

#include "base/must.h"

#include <sodium.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The hash field "r" (docs/redis.md). Integers are little-endian.
 *
 *      offset  bytes  field
 *           0      4  "QSE2": a qiao session, format 2; "QSE3": the same with flags 4 and 8
 *           4     24  nonce of XChaCha20-Poly1305, random
 *          28   rest  the sealed turns and the tag of 16 bytes
 *
 * Sealed are, one after another, the turns: u8 role (0 system, 1 user, 2 assistant), u8 flags (1: ended by its
 * length; 2: a summary; 4: who said it is noted; 8: where), u64 the version that added it, u32 size, with flag 4 the digests of the model and its
 * adapter, with flag 8 the region's u64 tag, content.
 * Associated data: the first 4 bytes, the owner's hash, u64 version, the id.
 *
 * "QSE1" was sealed by a key derived from the master key itself, its turns had neither flags nor version, and there was
 * no field "k". It is read; the next write makes it a QSE2. */
enum {
    MAGIC_SIZE = 4,
    NONCE_SIZE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG_SIZE = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    HEAD_SIZE = MAGIC_SIZE + NONCE_SIZE,
    TURN_HEAD_SIZE = 14,
    TURN_HEAD_SIZE_1 = 5, // in format 1
    FLAG_CUT = 1,
    FLAG_SUMMARY = 2,
    FLAG_ORIGIN = 4,
    FLAG_REGION = 8,
    ORIGIN_SIZE = 2 * DIGEST_SIZE,
    RECORD_MAX = SESSION_BYTES_MAX + SESSION_TURNS_MAX * (TURN_HEAD_SIZE + ORIGIN_SIZE + 8) + 64
};

static const char magic_1[] = "QSE1", magic_2[] = "QSE2", magic_3[] = "QSE3", magic_key[] = "key";
static const char *const roles[] = {"system", "user", "assistant"};

enum {
    ROLE_COUNT = sizeof roles / sizeof *roles
};

// ---- where -------------------------------------------------------------------------------------

/* The same for all who share the root, and for nobody else; texts are parted by their NULs. */
static void write_turn_hash(char out[RECORD_TURN_SIZE + 1], const struct owner_key *key,
                            const char *owner, const char *id, const char *turn)
{
    unsigned char hash[RECORD_TURN_SIZE / 2];
    crypto_generichash_state state;
    crypto_generichash_init(&state, key->bytes, sizeof key->bytes, sizeof hash);
    crypto_generichash_update(&state, (const unsigned char *)owner, strlen(owner) + 1);
    crypto_generichash_update(&state, (const unsigned char *)id, strlen(id) + 1);
    crypto_generichash_update(&state, (const unsigned char *)turn, strlen(turn));
    crypto_generichash_final(&state, hash, sizeof hash);
    sodium_bin2hex(out, RECORD_TURN_SIZE + 1, hash, sizeof hash);
}

struct record_place record_place(const struct keyring *ring, const struct session_name *name)
{
    struct record_place place = {0};
    struct owner_key key;
    char owner[OWNER_TEXT_SIZE];
    const char *id = name->id ? name->id : "";
    must(strlen(id) <= SESSION_ID_MAX);
    owner_key_init(&key, ring->root);
    owner_write(owner, &key, name->tenant, name->user);
    sodium_hex2bin(place.owner, RECORD_OWNER_SIZE, owner, strlen(owner), NULL, NULL, NULL);
    memcpy(place.id, id, strlen(id) + 1);
    snprintf(place.prefix, sizeof place.prefix, "qiao:{u:%s}:session:", owner);
    snprintf(place.key, sizeof place.key, "%s%s", place.prefix, place.id);
    snprintf(place.index, sizeof place.index, "qiao:{u:%s}:sessions", owner);
    snprintf(place.erasure, sizeof place.erasure, "qiao:{u:%s}:erased", owner);
    if (name->turn) write_turn_hash(place.turn, &key, owner, id, name->turn);
    sodium_memzero(&key, sizeof key);
    return place;
}

static void add_bound(struct buf *out, const char *magic, const struct record_place *place,
                      uint64_t version)
{
    buf_add(out, magic, MAGIC_SIZE);
    buf_add(out, place->owner, RECORD_OWNER_SIZE);
    buf_add(out, &version, sizeof version);
    buf_add_text(out, place->id);
}

// ---- sealing -----------------------------------------------------------------------------------

static int role_of(const char *role)
{
    for (int i = 0; i < ROLE_COUNT; i++)
        if (strcmp(role, roles[i]) == 0) return i;
    return -1;
}

static enum err check_size(const struct session *session, size_t bytes_max)
{
    size_t total = 0;
    if (session->turn_count > SESSION_TURNS_MAX)
        return err_note(ERR_TOO_LARGE, "session: %zu turns, at most %d", session->turn_count,
                        SESSION_TURNS_MAX);
    for (size_t i = 0; i < session->turn_count; i++)
        total += session->turns[i].content_size;
    if (total > bytes_max)
        return err_note(ERR_TOO_LARGE,
                        "session: its turns would have %zu bytes, at most %zu; start a new "
                        "session, or let the oldest turns go with \"compact\"",
                        total, bytes_max);
    return ERR_OK;
}

static bool has_origin(const struct session_turn *turn)
{
    return !digest_is_zero(&turn->model);
}

/* A reader of format 2 alone is not to take an origin for content. */
static const char *magic_of(const struct session *session)
{
    for (size_t i = 0; i < session->turn_count; i++)
        if (has_origin(&session->turns[i]) || session->turns[i].region) return magic_3;
    return magic_2;
}

static void write_turns(const struct session *session, struct buf *out)
{
    for (size_t i = 0; i < session->turn_count; i++) {
        const struct session_turn *turn = &session->turns[i];
        uint64_t version = turn->version ? turn->version : session->version + 1;
        uint32_t size = (uint32_t)turn->content_size;
        int role = role_of(turn->role);
        must(role >= 0);
        buf_add_byte(out, (unsigned char)role);
        buf_add_byte(out, (unsigned char)((turn->cut ? FLAG_CUT : 0) |
                                          (turn->summary ? FLAG_SUMMARY : 0) |
                                          (has_origin(turn) ? FLAG_ORIGIN : 0) |
                                          (turn->region ? FLAG_REGION : 0)));
        buf_add(out, &version, sizeof version);
        buf_add(out, &size, sizeof size);
        if (has_origin(turn)) {
            buf_add(out, turn->model.bytes, DIGEST_SIZE);
            buf_add(out, turn->adapter.bytes, DIGEST_SIZE);
        }
        if (turn->region) buf_add(out, &turn->region, sizeof turn->region);
        buf_add(out, turn->content, size);
    }
}

static void wipe(struct buf *buf)
{
    if (buf->data) sodium_memzero(buf->data, buf->size);
    buf_fini(buf);
}

enum err record_seal(const struct keyring *ring, const struct record_place *place,
                     const struct session *session, size_t bytes_max, struct buf *record,
                     unsigned char wrapped[KEYRING_WRAPPED_SIZE])
{
    struct buf plain = {0}, bound = {0};
    unsigned char key[KEYRING_KEY_SIZE], nonce[NONCE_SIZE];
    TRY(check_size(session, bytes_max));
    if (session->has_key)
        memcpy(key, session->key, sizeof key);
    else
        randombytes_buf(key, sizeof key);

    const char *magic = magic_of(session);
    write_turns(session, &plain);
    randombytes_buf(nonce, sizeof nonce);
    add_bound(&bound, magic, place, session->version + 1);
    buf_add(record, magic, MAGIC_SIZE);
    buf_add(record, nonce, sizeof nonce);
    unsigned char *sealed = buf_grow(record, plain.size + TAG_SIZE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(
        sealed, NULL, (const unsigned char *)buf_text(&plain), plain.size,
        (const unsigned char *)bound.data, bound.size, NULL, nonce, key);

    buf_clear(&bound); // the key outlives the version
    add_bound(&bound, magic_key, place, 0);
    keyring_wrap(ring, key, &bound, wrapped);
    sodium_memzero(key, sizeof key);
    wipe(&plain);
    buf_fini(&bound);
    return ERR_OK;
}

// ---- opening -----------------------------------------------------------------------------------

enum err record_unreadable(void)
{
    return err_note(ERR_INTERNAL, "the session's record cannot be opened: it was made with another "
                                  "key, or it is damaged");
}

static enum err read_origin(const struct buf *plain, size_t *at, struct session_turn *turn)
{
    if (plain->size - *at < ORIGIN_SIZE) return record_unreadable();
    memcpy(turn->model.bytes, plain->data + *at, DIGEST_SIZE);
    memcpy(turn->adapter.bytes, plain->data + *at + DIGEST_SIZE, DIGEST_SIZE);
    *at += ORIGIN_SIZE;
    return ERR_OK;
}

static enum err read_region(const struct buf *plain, size_t *at, struct session_turn *turn)
{
    if (plain->size - *at < sizeof turn->region) return record_unreadable();
    memcpy(&turn->region, plain->data + *at, sizeof turn->region);
    *at += sizeof turn->region;
    return ERR_OK;
}

static enum err read_turn(const struct buf *plain, size_t *at, bool old, struct session_turn *turn)
{
    const char *head = plain->data + *at;
    size_t head_size = old ? TURN_HEAD_SIZE_1 : TURN_HEAD_SIZE;
    if (plain->size - *at < head_size) return record_unreadable();
    unsigned role = (unsigned char)head[0];
    uint32_t size;
    memcpy(&size, head + head_size - sizeof size, sizeof size);
    *at += head_size;
    *turn = (struct session_turn){0};
    if (!old && head[1] & FLAG_ORIGIN) TRY(read_origin(plain, at, turn));
    if (!old && head[1] & FLAG_REGION) TRY(read_region(plain, at, turn));
    if (role >= ROLE_COUNT || size > plain->size - *at) return record_unreadable();
    turn->role = roles[role];
    turn->content = plain->data + *at;
    turn->content_size = size;
    if (!old) {
        turn->cut = head[1] & FLAG_CUT;
        turn->summary = head[1] & FLAG_SUMMARY;
        memcpy(&turn->version, head + 2, sizeof turn->version);
    }
    *at += size;
    return ERR_OK;
}

static enum err read_turns(const struct buf *plain, bool old, struct session *out,
                           struct session_turn *turns)
{
    out->turn_count = 0;
    for (size_t at = 0; at < plain->size; out->turn_count++) {
        if (out->turn_count == SESSION_TURNS_MAX) return record_unreadable();
        struct session_turn *turn = &turns[out->turn_count];
        TRY(read_turn(plain, &at, old, turn));
        if (old)
            turn->version = out->version; // which one added it is not known: this one at the latest
    }
    out->turns = turns;
    return ERR_OK;
}

/* `key` opens the record, or ERR_INTERNAL; `plain` is filled only then. */
static enum err open_with(const unsigned char key[KEYRING_KEY_SIZE], const char *magic,
                          const struct record_place *place, const struct record_fields *fields,
                          struct buf *plain)
{
    const unsigned char *bytes = (const unsigned char *)fields->record;
    struct buf bound = {0};
    size_t size = fields->record_size - HEAD_SIZE;
    buf_clear(plain);
    add_bound(&bound, magic, place, fields->version);
    unsigned char *opened = buf_grow(plain, size - TAG_SIZE);
    int result = crypto_aead_xchacha20poly1305_ietf_decrypt(opened, NULL, NULL, bytes + HEAD_SIZE,
                                                            size, (const unsigned char *)bound.data,
                                                            bound.size, bytes + MAGIC_SIZE, key);
    buf_fini(&bound);
    return result == 0 ? ERR_OK : record_unreadable();
}

/* Format 1: by whichever master key of the file it was sealed. */
static enum err open_old(const struct keyring *ring, const struct record_place *place,
                         const struct record_fields *fields, struct buf *plain)
{
    unsigned char key[KEYRING_KEY_SIZE];
    enum err err = ERR_INTERNAL;
    for (size_t i = 0; i < ring->count && err; i++) {
        crypto_kdf_derive_from_key(key, sizeof key, 2, "qiaoseal", ring->keys[i].secret);
        err = open_with(key, magic_1, place, fields, plain);
    }
    sodium_memzero(key, sizeof key);
    return err;
}

static enum err open_new(const struct keyring *ring, const struct record_place *place,
                         const struct record_fields *fields, struct session *out, struct buf *plain)
{
    struct buf bound = {0};
    if (!fields->wrapped)
        return err_note(ERR_INTERNAL, "the session's key is gone: its record cannot be opened");
    add_bound(&bound, magic_key, place, 0);
    enum err err = keyring_unwrap(ring, fields->wrapped, fields->wrapped_size, &bound, out->key);
    buf_fini(&bound);
    TRY(err);
    out->has_key = true;
    return open_with(out->key, fields->record, place, fields, plain);
}

enum err record_open(const struct keyring *ring, const struct record_place *place,
                     const struct record_fields *fields, struct session *out, struct buf *plain,
                     struct session_turn *turns)
{
    if (fields->record_size < HEAD_SIZE + TAG_SIZE || fields->record_size > RECORD_MAX)
        return record_unreadable();
    bool old = memcmp(fields->record, magic_1, MAGIC_SIZE) == 0;
    if (!old && memcmp(fields->record, magic_2, MAGIC_SIZE) != 0 &&
        memcmp(fields->record, magic_3, MAGIC_SIZE) != 0)
        return record_unreadable();
    out->version = fields->version;
    if (old)
        TRY(open_old(ring, place, fields, plain));
    else
        TRY(open_new(ring, place, fields, out, plain));
    return read_turns(plain, old, out, turns);
}
