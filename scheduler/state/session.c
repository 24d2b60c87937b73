#include "scheduler/state/durable.h"
#include "scheduler/state/record.h"
#include "scheduler/state/session_internal.h"
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

/* What was stored before its user's data were erased (features/erase.h) is not there any more, whatever stands in Redis.
 *      KEYS  the session's hash, the owner's erasure
 *      gives its fields v, r, k, t, what is left of its life in ms, the mark of the erasure */
static const char load_text[] =
    "local mark = redis.call('HGET', KEYS[2], 'mark') or ''\n"
    "if mark ~= '' and (redis.call('HGET', KEYS[1], 'e') or '') ~= mark then\n"
    "  redis.call('UNLINK', KEYS[1])\n"
    "end\n"
    "local fields = redis.call('HMGET', KEYS[1], 'v', 'r', 'k', 't')\n"
    "fields[5] = redis.call('PTTL', KEYS[1])\n"
    "fields[6] = mark\n"
    "return fields\n";

/* Write only over the version that was read: two devices cannot interleave silently. A turn id that is known is
 * answered with its version; the EXPIRE then is a write that a WAIT can count. What was begun before an erasure ends with it.
 *      KEYS  the session's hash, the owner's index, the owner's erasure
 *      ARGV  version that was read, next version, record, wrapped key, seconds to live, hash of the turn id or "",
 *            turn ids to keep, the session's id, sessions to keep in the index, the erasure's mark that was read (* any)
 *      gives 0 and the version that stands there; 1 and the new one; 2 and the one that the turn id made; 3 and 0 after an
 *      erasure */
static const char save_text[] =
    "local mark = redis.call('HGET', KEYS[3], 'mark') or ''\n"
    "if mark ~= '' then\n"
    "  if ARGV[10] ~= '*' and ARGV[10] ~= mark then return {3, 0} end\n"
    "  if (redis.call('HGET', KEYS[1], 'e') or '') ~= mark then redis.call('UNLINK', KEYS[1]) end\n"
    "end\n"
    "local have = redis.call('HGET', KEYS[1], 'v') or '0'\n"
    "local seen = redis.call('HGET', KEYS[1], 't') or ''\n"
    "local turn = ARGV[6]\n"
    "if turn ~= '' then\n"
    "  local made = string.match(seen, turn .. '=(%d+)')\n"
    "  if made then\n"
    "    redis.call('EXPIRE', KEYS[1], ARGV[5])\n"
    "    return {2, tonumber(made)}\n"
    "  end\n"
    "end\n"
    "if have ~= ARGV[1] then return {0, tonumber(have)} end\n"
    "redis.call('HSET', KEYS[1], 'v', ARGV[2], 'r', ARGV[3], 'k', ARGV[4])\n"
    "if mark ~= '' then redis.call('HSET', KEYS[1], 'e', mark) end\n"
    "if turn ~= '' then\n"
    "  local kept = {turn .. '=' .. ARGV[2]}\n"
    "  for word in string.gmatch(seen, '%S+') do\n"
    "    if #kept < tonumber(ARGV[7]) then kept[#kept + 1] = word end\n"
    "  end\n"
    "  redis.call('HSET', KEYS[1], 't', table.concat(kept, ' '))\n"
    "end\n"
    "redis.call('EXPIRE', KEYS[1], ARGV[5])\n"
    "local time = redis.call('TIME')\n"
    "local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"
    "redis.call('ZADD', KEYS[2], string.format('%.0f', now + ARGV[5] * 1000), ARGV[8])\n"
    "redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - ARGV[9])\n"
    "if redis.call('TTL', KEYS[2]) < tonumber(ARGV[5]) then redis.call('EXPIRE', KEYS[2], ARGV[5]) "
    "end\n"
    "return {1, tonumber(ARGV[2])}\n";

enum {
    SAVE_WORDS = 13,
    LOAD_FIELDS = 6
};

struct sessions *sessions_new(const struct session_options *options)
{
    struct sessions *sessions = mem_new(1, sizeof *sessions);
    struct store *store = options->store;
    sessions->options = *options;
    if (sessions->options.bytes_max > SESSION_BYTES_MAX)
        sessions->options.bytes_max = SESSION_BYTES_MAX;
    sessions->load = store_add_script(store, load_text);
    sessions->save = store_add_script(store, save_text);
    session_list_scripts(sessions);
    return sessions;
}

void sessions_free(struct sessions *sessions)
{
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

struct session_ticket *session_ticket_new(struct sessions *sessions,
                                          const struct session_name *name, void *argument)
{
    struct session_ticket *ticket = mem_new(1, sizeof *ticket);
    ticket->sessions = sessions;
    ticket->place = record_place(sessions->options.keys, name);
    ticket->argument = argument;
    ticket->keep_seconds = sessions->options.ttl_seconds;
    return ticket;
}

void session_drop(struct session_ticket *ticket)
{
    ticket->loaded = NULL;
    ticket->saved = NULL;
    ticket->listed = NULL;
}

enum err session_away(enum err err)
{
    if (err != ERR_STORE_AWAY && err != ERR_TIMEOUT) return err;
    return err_note(ERR_STORE_AWAY, "sessions cannot be reached: Redis is away; a request without "
                                    "\"session\" is served");
}

// ---- load --------------------------------------------------------------------------------------

static enum err read_version(const redisReply *field, uint64_t *version)
{
    char *end;
    if (field->type != REDIS_REPLY_STRING || field->len == 0) return record_unreadable();
    *version = strtoull(field->str, &end, 10);
    return *end || *version == 0 ? record_unreadable() : ERR_OK;
}

/* The version that the asked turn id made; 0 when it is not among those that are kept. */
static uint64_t find_turn(const struct record_place *place, const redisReply *seen)
{
    if (!place->turn[0] || seen->type != REDIS_REPLY_STRING) return 0;
    const char *at = strstr(seen->str, place->turn);
    return at && at[RECORD_TURN_SIZE] == '=' ? strtoull(at + RECORD_TURN_SIZE + 1, NULL, 10) : 0;
}

static enum err read_record(const struct session_ticket *ticket, const redisReply *reply,
                            struct session *session, struct buf *plain, struct session_turn *turns)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != LOAD_FIELDS)
        return record_unreadable();
    redisReply **field = reply->element;
    const redisReply *record = field[1], *wrapped = field[2];
    if (field[5]->type != REDIS_REPLY_STRING || field[5]->len >= sizeof session->mark)
        return record_unreadable();
    memcpy(session->mark, field[5]->str, field[5]->len);
    if (field[0]->type == REDIS_REPLY_NIL && record->type == REDIS_REPLY_NIL) return ERR_OK;
    struct record_fields fields = {0};
    TRY(read_version(field[0], &fields.version));
    if (record->type != REDIS_REPLY_STRING) return record_unreadable();
    fields.record = record->str;
    fields.record_size = record->len;
    if (wrapped->type == REDIS_REPLY_STRING) {
        fields.wrapped = wrapped->str;
        fields.wrapped_size = wrapped->len;
    }
    TRY(record_open(ticket->sessions->options.keys, &ticket->place, &fields, session, plain,
                    turns));
    session->repeated = find_turn(&ticket->place, field[3]);
    if (field[4]->type == REDIS_REPLY_INTEGER && field[4]->integer > 0)
        session->ttl_ms = (uint64_t)field[4]->integer;
    return ERR_OK;
}

static void on_loaded(void *argument, enum err err, const redisReply *reply)
{
    struct session_ticket *ticket = argument;
    if (ticket->loaded) {
        struct session session = {0};
        struct buf plain = {0};
        struct session_turn *turns = mem_new(SESSION_TURNS_MAX, sizeof *turns);
        err = err ? session_away(err) : read_record(ticket, reply, &session, &plain, turns);
        ticket->loaded(ticket->argument, err, err ? NULL : &session);
        sodium_memzero(session.key, sizeof session.key);
        if (plain.data) sodium_memzero(plain.data, plain.size);
        buf_fini(&plain);
        mem_free(turns);
    }
    mem_free(ticket);
}

struct session_ticket *session_load(struct sessions *sessions, const struct session_name *name,
                                    session_loaded_fn *done, void *argument)
{
    struct session_ticket *ticket = session_ticket_new(sessions, name, argument);
    ticket->loaded = done;
    const char *const words[] = {ticket->place.key, ticket->place.erasure};
    store_eval(sessions->options.store, sessions->load, on_loaded, ticket, 2, 2, words, NULL);
    return ticket;
}

// ---- save --------------------------------------------------------------------------------------

void session_finish(struct session_ticket *ticket, enum err err)
{
    if (ticket->saved) ticket->saved(ticket->argument, err, ticket->version, ticket->repeated);
    mem_free(ticket);
}

static enum err read_saved(struct session_ticket *ticket, enum err err, const redisReply *reply)
{
    if (err) return session_away(err);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_INTEGER ||
        reply->element[1]->type != REDIS_REPLY_INTEGER)
        return err_note(ERR_INTERNAL, "the session's script gave an unknown answer");
    ticket->version = (uint64_t)reply->element[1]->integer;
    ticket->repeated = reply->element[0]->integer == 2;
    if (reply->element[0]->integer == 3)
        return err_note(ERR_CONFLICT, "the user's data were erased while this was answered; the "
                                      "turn was not stored");
    if (reply->element[0]->integer != 0) return ERR_OK;
    return err_note(ERR_CONFLICT,
                    "the session has changed meanwhile: it is at version %" PRIu64
                    " now; load it and send the turn again",
                    ticket->version);
}

static void on_saved(void *argument, enum err err, const redisReply *reply)
{
    session_finish(argument, read_saved(argument, err, reply));
}

static bool on_written(void *argument, enum err err, const redisReply *reply)
{
    struct session_ticket *ticket = argument;
    err = read_saved(ticket, err, reply);
    if (!err) return true;
    session_finish(ticket, err);
    return false;
}

static void on_waited(void *argument, enum err err)
{
    session_finish(argument, err);
}

static void on_too_large(void *argument, enum err err, const redisReply *reply)
{
    (void)err, (void)reply;
    struct session_ticket *ticket = argument;
    session_finish(ticket,
                   err_note(ERR_TOO_LARGE,
                            "session: it would have more than %zu bytes or %d turns; start a new "
                            "session, or let the oldest turns go with \"compact\"",
                            ticket->sessions->options.bytes_max, SESSION_TURNS_MAX));
}

/* What the save script is told; `record` and `wrapped` are empty for a turn that is only to be confirmed. */
static void send_save(struct session_ticket *ticket, const char *expected, uint64_t version,
                      const struct buf *record, const unsigned char *wrapped, bool replicated)
{
    const struct session_options *options = &ticket->sessions->options;
    const struct record_place *place = &ticket->place;
    char next[SESSION_NUMBER_SIZE], ttl[SESSION_NUMBER_SIZE], ids[SESSION_NUMBER_SIZE],
        most[SESSION_NUMBER_SIZE];
    snprintf(next, sizeof next, "%" PRIu64, version);
    snprintf(ttl, sizeof ttl, "%" PRIu32, ticket->keep_seconds);
    snprintf(ids, sizeof ids, "%d", SESSION_TURN_IDS);
    snprintf(most, sizeof most, "%d", SESSION_INDEX_MAX);
    const char *const words[SAVE_WORDS] = {
        place->key,
        place->index,
        place->erasure,
        expected,
        next,
        buf_text(record),
        wrapped ? (const char *)wrapped : "",
        ttl,
        place->turn,
        ids,
        place->id,
        most,
        ticket->mark,
    };
    size_t sizes[SAVE_WORDS];
    for (size_t i = 0; i < SAVE_WORDS; i++)
        sizes[i] = i == 5              ? record->size
                   : i == 6 && wrapped ? KEYRING_WRAPPED_SIZE
                                       : strlen(words[i]);
    if (replicated)
        durable_eval(options->durables, save_text, on_written, on_waited, ticket, 3, SAVE_WORDS,
                     words, sizes);
    else
        store_eval(options->store, ticket->sessions->save, on_saved, ticket, 3, SAVE_WORDS, words,
                   sizes);
}

struct session_ticket *session_save(struct sessions *sessions, const struct session_name *name,
                                    const struct session *session, bool replicated,
                                    session_saved_fn *done, void *argument)
{
    struct session_ticket *ticket = session_ticket_new(sessions, name, argument);
    const struct session_options *options = &sessions->options;
    unsigned char wrapped[KEYRING_WRAPPED_SIZE];
    struct buf record = {0};
    char expected[SESSION_NUMBER_SIZE];
    must(!replicated || options->durables);
    ticket->saved = done;
    snprintf(ticket->mark, sizeof ticket->mark, "%s", session->mark);
    if (session->keep_seconds > 0 && session->keep_seconds < options->ttl_seconds)
        ticket->keep_seconds = session->keep_seconds;
    snprintf(expected, sizeof expected, "%" PRIu64, session->version);
    if (record_seal(options->keys, &ticket->place, session, options->bytes_max, &record, wrapped))
        store_later(options->store, on_too_large, ticket);
    else
        send_save(ticket, expected, session->version + 1, &record, wrapped, replicated);
    buf_fini(&record);
    return ticket;
}

struct session_ticket *session_confirm(struct sessions *sessions, const struct session_name *name,
                                       session_saved_fn *done, void *argument)
{
    struct session_ticket *ticket = session_ticket_new(sessions, name, argument);
    const struct buf nothing = {0};
    must(name->turn && sessions->options.durables);
    ticket->saved = done;
    snprintf(ticket->mark, sizeof ticket->mark, "*");
    send_save(ticket, "none", 0, &nothing, NULL,
              true); // no version is "none": only the turn id can match
    return ticket;
}

uint64_t session_turn_seed(const struct sessions *sessions, const struct session_name *name)
{
    struct record_place place = record_place(sessions->options.keys, name);
    place.turn[16] = '\0'; // as many digits as a seed has
    return strtoull(place.turn, NULL, 16);
}
