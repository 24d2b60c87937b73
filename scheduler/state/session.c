#include "scheduler/state/session.h"

#include "scheduler/state/store.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <hiredis/hiredis.h>
#include <sodium.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A record, the hash field "r" (docs/redis.md). Integers are little-endian.
 *
 *      offset  bytes  field
 *           0      4  "QSE1": a qiao session, format 1
 *           4     24  nonce of XChaCha20-Poly1305, random
 *          28   rest  the sealed turns and the tag of 16 bytes
 *
 * Sealed are, one after another, the turns: u8 role (0 system, 1 user, 2 assistant), u32 size, content.
 * Associated data: "QSE1", the owner's hash, u64 version, the id. */
enum {
    MAGIC_SIZE = 4,
    NONCE_SIZE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG_SIZE = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    TURN_HEAD_SIZE = 5,
    OWNER_SIZE = 16,
    RECORD_MAX = SESSION_BYTES_MAX + SESSION_TURNS_MAX * TURN_HEAD_SIZE + 64,
    NUMBER_SIZE = 24,
    KEY_MAX = 160
};

static const char magic[] = "QSE1";
static const char *const roles[] = {"system", "user", "assistant"};

enum {
    ROLE_COUNT = sizeof roles / sizeof *roles
};

/* Write only over the version that was read: two devices cannot interleave silently. */
static const char save_text[] = "local have = redis.call('HGET', KEYS[1], 'v') or '0'\n"
                                "if have ~= ARGV[1] then return {0, tonumber(have)} end\n"
                                "redis.call('HSET', KEYS[1], 'v', ARGV[2], 'r', ARGV[3])\n"
                                "redis.call('EXPIRE', KEYS[1], ARGV[4])\n"
                                "return {1, tonumber(ARGV[2])}\n";

struct sessions {
    struct store *store;
    struct store_script *save;
    unsigned char naming[SESSION_KEY_SIZE]; // subkeys of the master key
    unsigned char sealing[SESSION_KEY_SIZE];
    uint32_t ttl_seconds;
    size_t bytes_max;
};

/* Where one session lives and what its record is bound to. */
struct place {
    unsigned char owner[OWNER_SIZE];
    char id[SESSION_ID_MAX + 1];
    char key[KEY_MAX];
};

struct session_ticket {
    struct sessions *sessions;
    struct place place;
    session_loaded_fn *loaded; // NULL, as `saved`: nobody asks (any more)
    session_saved_fn *saved;
    void *argument;
};

struct sessions *sessions_new(const struct session_options *options)
{
    struct sessions *sessions = mem_new(1, sizeof *sessions);
    sessions->store = options->store;
    sessions->ttl_seconds = options->ttl_seconds;
    sessions->bytes_max =
        options->bytes_max < SESSION_BYTES_MAX ? options->bytes_max : SESSION_BYTES_MAX;
    crypto_kdf_derive_from_key(sessions->naming, SESSION_KEY_SIZE, 1, "qiaoname", options->master);
    crypto_kdf_derive_from_key(sessions->sealing, SESSION_KEY_SIZE, 2, "qiaoseal", options->master);
    sessions->save = store_add_script(options->store, save_text);
    return sessions;
}

void sessions_free(struct sessions *sessions)
{
    if (!sessions) return;
    sodium_memzero(sessions, sizeof *sessions);
    mem_free(sessions);
}

enum err session_check_id(const char *id, size_t size)
{
    if (size == 0 || size > SESSION_ID_MAX)
        return err_note(ERR_INVALID, "session: an id has 1 to %d bytes, this one has %zu",
                        SESSION_ID_MAX, size);
    for (size_t i = 0; i < size; i++) {
        char c = id[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '_' || c == '.';
        if (!good)
            return err_note(ERR_INVALID,
                            "session: an id is made of letters, digits, '-', '_' and '.'; byte %zu "
                            "is none of them",
                            i);
    }
    return ERR_OK;
}

static struct place place_of(const struct sessions *sessions, const struct session_name *name)
{
    struct place place = {0};
    crypto_generichash_state state;
    crypto_generichash_init(&state, sessions->naming, SESSION_KEY_SIZE, OWNER_SIZE);
    // The NUL of the tenant's text parts the two names.
    crypto_generichash_update(&state, (const unsigned char *)name->tenant,
                              strlen(name->tenant) + 1);
    crypto_generichash_update(&state, (const unsigned char *)name->user, strlen(name->user));
    crypto_generichash_final(&state, place.owner, OWNER_SIZE);

    char hex[2 * OWNER_SIZE + 1];
    sodium_bin2hex(hex, sizeof hex, place.owner, OWNER_SIZE);
    must(strlen(name->id) <= SESSION_ID_MAX);
    memcpy(place.id, name->id, strlen(name->id) + 1);
    snprintf(place.key, sizeof place.key, "qiao:{u:%s}:session:%s", hex, place.id);
    return place;
}

static void add_bound(struct buf *out, const struct place *place, uint64_t version)
{
    buf_add(out, magic, MAGIC_SIZE);
    buf_add(out, place->owner, OWNER_SIZE);
    buf_add(out, &version, sizeof version);
    buf_add_text(out, place->id);
}

static int role_of(const char *role)
{
    for (int i = 0; i < ROLE_COUNT; i++)
        if (strcmp(role, roles[i]) == 0) return i;
    return -1;
}

// ---- sealing -----------------------------------------------------------------------------------

static enum err write_turns(const struct sessions *sessions, const struct session *session,
                            struct buf *out)
{
    size_t total = 0;
    if (session->turn_count > SESSION_TURNS_MAX)
        return err_note(ERR_TOO_LARGE, "session: %zu turns, at most %d", session->turn_count,
                        SESSION_TURNS_MAX);
    for (size_t i = 0; i < session->turn_count; i++) {
        total += session->turns[i].content_size;
        if (total > sessions->bytes_max)
            return err_note(ERR_TOO_LARGE,
                            "session: its turns have more than %zu bytes; start a new "
                            "session",
                            sessions->bytes_max);
    }
    for (size_t i = 0; i < session->turn_count; i++) {
        const struct session_turn *turn = &session->turns[i];
        int role = role_of(turn->role);
        must(role >= 0);
        uint32_t size = (uint32_t)turn->content_size;
        buf_add_byte(out, (unsigned char)role);
        buf_add(out, &size, sizeof size);
        buf_add(out, turn->content, size);
    }
    return ERR_OK;
}

static enum err seal(const struct sessions *sessions, const struct place *place,
                     const struct session *session, struct buf *out)
{
    struct buf plain = {0}, bound = {0};
    enum err err = write_turns(sessions, session, &plain);
    if (!err) {
        unsigned char nonce[NONCE_SIZE];
        randombytes_buf(nonce, sizeof nonce);
        add_bound(&bound, place, session->version + 1);
        buf_add(out, magic, MAGIC_SIZE);
        buf_add(out, nonce, sizeof nonce);
        unsigned char *sealed = buf_grow(out, plain.size + TAG_SIZE);
        crypto_aead_xchacha20poly1305_ietf_encrypt(
            sealed, NULL, (const unsigned char *)buf_text(&plain), plain.size,
            (const unsigned char *)bound.data, bound.size, NULL, nonce, sessions->sealing);
    }
    if (plain.data) sodium_memzero(plain.data, plain.size);
    buf_fini(&plain);
    buf_fini(&bound);
    return err;
}

static enum err unreadable(void)
{
    return err_note(ERR_INTERNAL, "the session's record cannot be opened: it was made with another "
                                  "key, or it is damaged");
}

/* Turns point into `plain`. */
static enum err read_turns(const struct buf *plain, struct session_turn *turns, size_t *count)
{
    size_t at = 0;
    *count = 0;
    while (at < plain->size) {
        uint32_t size;
        if (plain->size - at < TURN_HEAD_SIZE || *count == SESSION_TURNS_MAX) return unreadable();
        unsigned role = (unsigned char)plain->data[at];
        memcpy(&size, plain->data + at + 1, sizeof size);
        at += TURN_HEAD_SIZE;
        if (role >= ROLE_COUNT || size > plain->size - at) return unreadable();
        turns[(*count)++] = (struct session_turn){
            .role = roles[role], .content = plain->data + at, .content_size = size};
        at += size;
    }
    return ERR_OK;
}

static enum err unseal(const struct sessions *sessions, const struct place *place, uint64_t version,
                       const redisReply *record, struct buf *plain)
{
    size_t head = MAGIC_SIZE + NONCE_SIZE;
    if (record->len < head + TAG_SIZE || record->len > RECORD_MAX) return unreadable();
    if (memcmp(record->str, magic, MAGIC_SIZE) != 0) return unreadable();
    struct buf bound = {0};
    add_bound(&bound, place, version);
    const unsigned char *bytes = (const unsigned char *)record->str;
    unsigned char *opened = buf_grow(plain, record->len - head - TAG_SIZE);
    int result = crypto_aead_xchacha20poly1305_ietf_decrypt(
        opened, NULL, NULL, bytes + head, record->len - head, (const unsigned char *)bound.data,
        bound.size, bytes + MAGIC_SIZE, sessions->sealing);
    buf_fini(&bound);
    return result == 0 ? ERR_OK : unreadable();
}

// ---- load --------------------------------------------------------------------------------------

static struct session_ticket *ticket_new(struct sessions *sessions, const struct session_name *name,
                                         void *argument)
{
    struct session_ticket *ticket = mem_new(1, sizeof *ticket);
    ticket->sessions = sessions;
    ticket->place = place_of(sessions, name);
    ticket->argument = argument;
    return ticket;
}

void session_drop(struct session_ticket *ticket)
{
    ticket->loaded = NULL;
    ticket->saved = NULL;
}

static enum err away(enum err err)
{
    if (err != ERR_STORE_AWAY && err != ERR_TIMEOUT) return err;
    return err_note(ERR_STORE_AWAY, "sessions cannot be reached: Redis is away; a request without "
                                    "\"session\" is served");
}

static enum err read_version(const redisReply *field, uint64_t *version)
{
    char *end;
    if (field->type != REDIS_REPLY_STRING || field->len == 0) return unreadable();
    *version = strtoull(field->str, &end, 10);
    return *end || *version == 0 ? unreadable() : ERR_OK;
}

static enum err read_record(const struct session_ticket *ticket, const redisReply *reply,
                            struct session *session, struct buf *plain, struct session_turn *turns)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) return unreadable();
    const redisReply *version = reply->element[0], *record = reply->element[1];
    if (version->type == REDIS_REPLY_NIL && record->type == REDIS_REPLY_NIL) return ERR_OK;
    TRY(read_version(version, &session->version));
    if (record->type != REDIS_REPLY_STRING) return unreadable();
    TRY(unseal(ticket->sessions, &ticket->place, session->version, record, plain));
    TRY(read_turns(plain, turns, &session->turn_count));
    session->turns = turns;
    return ERR_OK;
}

static void on_loaded(void *argument, enum err err, const redisReply *reply)
{
    struct session_ticket *ticket = argument;
    if (ticket->loaded) {
        struct session session = {0};
        struct buf plain = {0};
        struct session_turn *turns = mem_new(SESSION_TURNS_MAX, sizeof *turns);
        err = err ? away(err) : read_record(ticket, reply, &session, &plain, turns);
        ticket->loaded(ticket->argument, err, err ? NULL : &session);
        if (plain.data) sodium_memzero(plain.data, plain.size);
        buf_fini(&plain);
        mem_free(turns);
    }
    mem_free(ticket);
}

struct session_ticket *session_load(struct sessions *sessions, const struct session_name *name,
                                    session_loaded_fn *done, void *argument)
{
    struct session_ticket *ticket = ticket_new(sessions, name, argument);
    ticket->loaded = done;
    const char *const words[] = {"HMGET", ticket->place.key, "v", "r"};
    const size_t sizes[] = {5, strlen(ticket->place.key), 1, 1};
    store_command(sessions->store, on_loaded, ticket, 4, words, sizes);
    return ticket;
}

// ---- save and delete ---------------------------------------------------------------------------

static void finish_save(struct session_ticket *ticket, enum err err, uint64_t version)
{
    if (ticket->saved) ticket->saved(ticket->argument, err, version);
    mem_free(ticket);
}

static void on_saved(void *argument, enum err err, const redisReply *reply)
{
    struct session_ticket *ticket = argument;
    uint64_t version = 0;
    if (err) {
        err = away(err);
    } else if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
        err = err_note(ERR_INTERNAL, "the session's script gave an unknown answer");
    } else {
        version = (uint64_t)reply->element[1]->integer;
        if (reply->element[0]->integer == 0)
            err = err_note(ERR_CONFLICT,
                           "the session has changed meanwhile: it is at version %" PRIu64
                           " now; load it and send the turn again",
                           version);
    }
    finish_save(ticket, err, version);
}

static void on_too_large(void *argument, enum err err, const redisReply *reply)
{
    (void)err, (void)reply;
    struct session_ticket *ticket = argument;
    finish_save(ticket,
                err_note(ERR_TOO_LARGE,
                         "session: it would have more than %zu bytes or %d "
                         "turns; start a new session",
                         ticket->sessions->bytes_max, SESSION_TURNS_MAX),
                0);
}

struct session_ticket *session_save(struct sessions *sessions, const struct session_name *name,
                                    const struct session *session, session_saved_fn *done,
                                    void *argument)
{
    struct session_ticket *ticket = ticket_new(sessions, name, argument);
    ticket->saved = done;
    struct buf record = {0};
    if (seal(sessions, &ticket->place, session, &record)) {
        store_later(sessions->store, on_too_large, ticket);
    } else {
        char expected[NUMBER_SIZE], next[NUMBER_SIZE], ttl[NUMBER_SIZE];
        snprintf(expected, sizeof expected, "%" PRIu64, session->version);
        snprintf(next, sizeof next, "%" PRIu64, session->version + 1);
        snprintf(ttl, sizeof ttl, "%" PRIu32, sessions->ttl_seconds);
        const char *const words[] = {ticket->place.key, expected, next, record.data, ttl};
        const size_t sizes[] = {strlen(words[0]), strlen(expected), strlen(next), record.size,
                                strlen(ttl)};
        store_eval(sessions->store, sessions->save, on_saved, ticket, 1, 5, words, sizes);
    }
    buf_fini(&record);
    return ticket;
}

static void on_deleted(void *argument, enum err err, const redisReply *reply)
{
    if (err)
        err = away(err);
    else if (reply->type != REDIS_REPLY_INTEGER || reply->integer == 0)
        err = err_note(ERR_NOT_FOUND, "there is no such session");
    finish_save(argument, err, 0);
}

struct session_ticket *session_delete(struct sessions *sessions, const struct session_name *name,
                                      session_saved_fn *done, void *argument)
{
    struct session_ticket *ticket = ticket_new(sessions, name, argument);
    ticket->saved = done;
    const char *const words[] = {"DEL", ticket->place.key};
    const size_t sizes[] = {3, strlen(ticket->place.key)};
    store_command(sessions->store, on_deleted, ticket, 2, words, sizes);
    return ticket;
}
