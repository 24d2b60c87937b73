#include "scheduler/features/events.h"

#include "scheduler/features/consent.h"
#include "scheduler/features/home.h"
#include "scheduler/features/pack.h"
#include "scheduler/features/seal.h"
#include "scheduler/state/store.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <hiredis/hiredis.h>
#include <jansson.h>
#include <sodium.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*      KEYS  consent, events, event_ids, event_key, event_homes
 *      ARGV  the consent's field, most events, most ids, seconds to live, [hash of the id, record, …] in msgpack, the
 *            wrapped key as it stands there ('' none), as it shall stand there, [record, …] in msgpack of earlier events
 *            ('' none), what is behind their kinds, 'qiao:{u:OWNER}:events', most lists
 *      An id stands for each event, with the time at which it came: what is older than the life of the history goes.
 *      gives 0 without consent; 4 where there are too many lists; 2 and the wrapped key when another one stands there, 3 and the records when they are of an
 *      earlier version that did not seal them, and nothing is done; or 1, a byte for each event: s(tored) r(epeated), and 1
 *      for a user without events so far */
static const char store_text[] =
    "local consent = redis.call('HMGET', KEYS[1], ARGV[1], 'personalization')\n"
    "if not consent[1] or consent[2] == '0' then return {0} end\n"
    "local noted = redis.call('HGET', KEYS[5], ARGV[9])\n"
    "if noted and string.find(ARGV[9], '@') and string.match(noted, ' (.*)') ~= consent[1] then\n"
    "  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])\n"
    "end\n"
    "local key = redis.call('GET', KEYS[4]) or ''\n"
    "if key ~= ARGV[6] then return {2, key} end\n"
    "local time = redis.call('TIME')\n"
    "local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))\n"
    "if ARGV[8] ~= '' then\n"
    "  local old = cmsgpack.unpack(ARGV[8])\n"
    "  redis.call('DEL', KEYS[2])\n"
    "  for _, record in ipairs(old) do redis.call('RPUSH', KEYS[2], record) end\n"
    "  for n = redis.call('ZCARD', KEYS[3]) + 1, #old do redis.call('ZADD', KEYS[3], now, 'old' .. "
    "n) end\n"
    "elseif key == '' and redis.call('EXISTS', KEYS[2]) == 1 then\n"
    "  return {3, redis.call('LRANGE', KEYS[2], 0, ARGV[2] - 1)}\n"
    "end\n"
    "if redis.call('HEXISTS', KEYS[5], ARGV[9]) == 0 then\n"
    "  for _, tail in ipairs(redis.call('HKEYS', KEYS[5])) do\n"
    "    if redis.call('EXISTS', ARGV[10] .. tail) == 0 then redis.call('HDEL', KEYS[5], tail) "
    "end\n"
    "  end\n"
    "  if redis.call('HLEN', KEYS[5]) >= tonumber(ARGV[11]) then return {4} end\n"
    "end\n"
    "local new = redis.call('EXISTS', KEYS[2]) == 0 and 1 or 0\n"
    "local entries, fates = cmsgpack.unpack(ARGV[5]), {}\n"
    "for n = 1, #entries, 2 do\n"
    "  if redis.call('ZADD', KEYS[3], 'NX', now, entries[n]) == 1 then\n"
    "    redis.call('LPUSH', KEYS[2], entries[n + 1])\n"
    "    fates[#fates + 1] = 's'\n"
    "  else\n"
    "    fates[#fates + 1] = 'r'\n"
    "  end\n"
    "end\n"
    "redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', string.format('(%.0f', now - ARGV[4] * "
    "1000))\n"
    "local fresh = math.min(tonumber(ARGV[2]), redis.call('ZCARD', KEYS[3]))\n"
    "if fresh == 0 then redis.call('DEL', KEYS[2]) end\n"
    "redis.call('LTRIM', KEYS[2], 0, fresh - 1)\n"
    "redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - ARGV[3])\n"
    "redis.call('EXPIRE', KEYS[2], ARGV[4])\n"
    "redis.call('EXPIRE', KEYS[3], ARGV[4])\n"
    "redis.call('SET', KEYS[4], ARGV[7], 'EX', ARGV[4])\n"
    "redis.call('HSET', KEYS[5], ARGV[9], ARGV[4] .. ' ' .. consent[1])\n"
    "if redis.call('TTL', KEYS[5]) < tonumber(ARGV[4]) then redis.call('EXPIRE', KEYS[5], ARGV[4]) "
    "end\n"
    "return {1, table.concat(fates), new}\n";

enum {
    SEALS_KEPT = 1024, // data keys that are remembered, so that most calls need one question
    TRIES_MAX = 8,     // of one call, while others change the key
    SEAL_AGE_S = 60    // after which a data key is wiped by the next call, whoever's that is
};

/* A data key, and the bytes that wrapped it in Redis when it was seen there. */
struct known {
    struct seal seal;
    unsigned char wrapped[KEYRING_WRAPPED_SIZE];
    uint64_t at_ns; // it was seen last
};

struct events {
    struct store *store;
    const struct keyring *keys;
    uint32_t ttl_seconds;
    struct store_script *script;
    struct known
        *known; // [SEALS_KEPT], by the first digits of their owners; of one without a name: none
    uint64_t wiped_ns; // when old ones were looked for
};

/* An event of a call, until it is stored. */
struct line {
    char *id; // NULL: it has none
    char *text;
};

/* One call of Redis, or more where the data key was another one. */
struct job {
    struct events *events;
    events_stored_fn *done;
    void *argument;
    unsigned char *fates;
    struct line *lines; // [count]
    size_t count;
    char *tenant;
    struct known with; // what it was sealed with
    struct buf old;    // events of an earlier version that are sealed with the same
    uint32_t keep_seconds;
    unsigned tries;
};

static const char *const names[EVENT_TYPES] = {[EVENT_VIEW] = "view",
                                               [EVENT_CART] = "cart",
                                               [EVENT_FAVOURITE] = "favourite",
                                               [EVENT_PURCHASE] = "purchase",
                                               [EVENT_SEARCH] = "search"};

const char *event_type_name(enum event_type type)
{
    must(type < EVENT_TYPES);
    return names[type];
}

bool event_type_find(const char *name, enum event_type *out)
{
    for (size_t i = 0; i < EVENT_TYPES; i++) {
        if (strcmp(names[i], name) != 0) continue;
        *out = (enum event_type)i;
        return true;
    }
    return false;
}

struct events *events_new(struct store *store, const struct keyring *keys, uint32_t ttl_seconds)
{
    struct events *events = mem_new(1, sizeof *events);
    *events = (struct events){store,
                              keys,
                              ttl_seconds,
                              store_add_script(store, store_text),
                              mem_new(SEALS_KEPT, sizeof *events->known),
                              0};
    return events;
}

void events_free(struct events *events)
{
    if (!events) return;
    sodium_memzero(events->known, SEALS_KEPT * sizeof *events->known);
    mem_free(events->known);
    mem_free(events);
}

// ---- the data keys -----------------------------------------------------------------------------

static struct known *place_of(struct events *events, const struct seal *seal)
{
    struct digest digest = digest_of(seal->source, strlen(seal->source));
    unsigned long at =
        strtoul((char[]){seal->owner[0], seal->owner[1], seal->owner[2], 0}, NULL, 16);
    return &events->known[(at ^ digest.bytes[0]) % SEALS_KEPT];
}

static bool is_same(const struct seal *a, const struct seal *b)
{
    return strcmp(a->owner, b->owner) == 0 && strcmp(a->source, b->source) == 0;
}

static void remember(struct job *job)
{
    job->with.at_ns = clock_now_ns();
    *place_of(job->events, &job->with.seal) = job->with;
}

void events_forget(struct events *events, const char *owner)
{
    for (size_t i = 0; i < SEALS_KEPT; i++)
        if (strcmp(events->known[i].seal.owner, owner) == 0)
            sodium_memzero(&events->known[i], sizeof events->known[i]);
}

/* Another scheduler may have erased the user: no key stays for long that is not needed. */
static void wipe_old(struct events *events)
{
    uint64_t now_ns = clock_now_ns();
    if (now_ns - events->wiped_ns < CLOCK_SECOND) return;
    events->wiped_ns = now_ns;
    for (size_t i = 0; i < SEALS_KEPT; i++)
        if (events->known[i].at_ns > 0 &&
            now_ns - events->known[i].at_ns > SEAL_AGE_S * CLOCK_SECOND)
            sodium_memzero(&events->known[i], sizeof events->known[i]);
}

// ---- one call ----------------------------------------------------------------------------------

static void finish(struct job *job, enum err err)
{
    job->done(job->argument, err);
    for (size_t i = 0; i < job->count; i++) {
        mem_free(job->lines[i].id);
        mem_free(job->lines[i].text);
    }
    mem_free(job->lines);
    mem_free(job->tenant);
    buf_fini(&job->old);
    seal_fini(&job->with.seal);
    mem_free(job);
}

static void note_owner(const struct job *job)
{
    struct buf key = {0};
    buf_addf(&key, "qiao:{c:items:%s}:owners", job->tenant);
    const char *const words[] = {"SADD", buf_text(&key), job->with.seal.owner};
    store_command(job->events->store, NULL, NULL, 3, words, NULL);
    buf_fini(&key);
}

/* An event without an id is like no other. */
static void pack_line(struct buf *out, const struct job *job, const struct line *line)
{
    uint64_t chance = rand_entropy();
    struct buf record = {0};
    struct digest id =
        line->id ? seal_id(&job->with.seal, line->id) : digest_of(&chance, sizeof chance);
    seal_close(&job->with.seal, line->text, strlen(line->text), &record);
    pack_bytes(out, id.bytes, sizeof id.bytes);
    pack_bytes(out, record.data, record.size);
    buf_fini(&record);
}

static void on_stored(void *argument, enum err err, const redisReply *reply);

/* `stands`: the key is in Redis as `with` says; else none is. */
static void send(struct job *job, bool stands)
{
    const struct seal *seal = &job->with.seal;
    char consent[CONSENT_KEY_SIZE], keys[3][CONSENT_KEY_SIZE + HOME_TAIL_SIZE],
        homes[CONSENT_KEY_SIZE], head[CONSENT_KEY_SIZE], tail[HOME_TAIL_SIZE + 1],
        field[CONSENT_SOURCE_MAX + 16] = "history", most[16], most_ids[16], most_homes[16], ttl[16];
    static const char *const kinds[] = {"events", "event_ids", "event_key"};
    unsigned char before[KEYRING_WRAPPED_SIZE];
    struct buf entries = {0};
    int source_size = (int)strcspn(seal->source, "@");
    snprintf(tail, sizeof tail, "%s%s", source_size > 0 ? ":" : "", seal->source);
    snprintf(consent, sizeof consent, "qiao:{u:%s}:consent", seal->owner);
    snprintf(homes, sizeof homes, "qiao:{u:%s}:event_homes", seal->owner);
    snprintf(head, sizeof head, "qiao:{u:%s}:events", seal->owner);
    for (size_t i = 0; i < 3; i++)
        snprintf(keys[i], sizeof keys[i], "qiao:{u:%s}:%s%s", seal->owner, kinds[i], tail);
    if (source_size > 0) snprintf(field, sizeof field, "partner:%.*s", source_size, seal->source);
    snprintf(most, sizeof most, "%d", EVENTS_KEPT);
    snprintf(most_ids, sizeof most_ids, "%d", EVENT_IDS_KEPT);
    snprintf(most_homes, sizeof most_homes, "%d", HOMES_MAX);
    snprintf(ttl, sizeof ttl, "%" PRIu32, job->keep_seconds);
    memcpy(before, job->with.wrapped, sizeof before);
    if (!stands || !keyring_is_newest(job->events->keys, job->with.wrapped))
        seal_wrap(seal, job->events->keys, job->with.wrapped);
    pack_list(&entries, 2 * job->count);
    for (size_t i = 0; i < job->count; i++)
        pack_line(&entries, job, &job->lines[i]);
    const char *const words[] = {consent,
                                 keys[0],
                                 keys[1],
                                 keys[2],
                                 homes,
                                 field,
                                 most,
                                 most_ids,
                                 ttl,
                                 entries.data,
                                 (const char *)before,
                                 (const char *)job->with.wrapped,
                                 buf_text(&job->old),
                                 tail,
                                 head,
                                 most_homes};
    const size_t sizes[] = {strlen(consent),
                            strlen(keys[0]),
                            strlen(keys[1]),
                            strlen(keys[2]),
                            strlen(homes),
                            strlen(field),
                            strlen(most),
                            strlen(most_ids),
                            strlen(ttl),
                            entries.size,
                            stands ? sizeof before : 0,
                            sizeof job->with.wrapped,
                            job->old.size,
                            strlen(tail),
                            strlen(head),
                            strlen(most_homes)};
    job->tries++;
    store_eval(job->events->store, job->events->script, on_stored, job, 5, 16, words, sizes);
    buf_fini(&entries);
}

/* Another key stands there, or none: seal anew with that. */
static void again(struct job *job, const redisReply *key)
{
    struct seal seal = job->with.seal; // for its names
    enum err err = ERR_OK;
    buf_clear(&job->old); // somebody else has sealed them
    if (key->len > 0) {
        err = seal_unwrap(&job->with.seal, job->events->keys, seal.owner, seal.source, key->str,
                          key->len);
        if (!err) memcpy(job->with.wrapped, key->str, sizeof job->with.wrapped);
    } else {
        seal_draw(&job->with.seal, seal.owner, seal.source);
    }
    seal_fini(&seal);
    if (err)
        finish(job, err);
    else
        send(job, key->len > 0);
}

/* Seal what an earlier version has left in the clear. */
static void seal_old(struct job *job, const redisReply *records)
{
    buf_clear(&job->old);
    pack_list(&job->old, records->elements);
    for (size_t i = 0; i < records->elements; i++) {
        struct buf record = {0};
        seal_close(&job->with.seal, records->element[i]->str, records->element[i]->len, &record);
        pack_bytes(&job->old, record.data, record.size);
        buf_fini(&record);
    }
    send(job, false);
}

static bool is_texts(const redisReply *list)
{
    bool good = list->type == REDIS_REPLY_ARRAY;
    for (size_t i = 0; good && i < list->elements; i++)
        good = list->element[i]->type == REDIS_REPLY_STRING;
    return good;
}

static void on_stored(void *argument, enum err err, const redisReply *reply)
{
    struct job *job = argument;
    memset(job->fates, EVENT_UNSURE, job->count);
    if (err) {
        finish(job, err);
        return;
    }
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 1) {
        bool crowded = reply->element[0]->integer != 0;
        memset(job->fates, crowded ? EVENT_CROWDED : EVENT_REFUSED, job->count);
        finish(job, ERR_OK);
        return;
    }
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && job->tries < TRIES_MAX) {
        const redisReply *told = reply->element[1];
        if (told->type == REDIS_REPLY_STRING || is_texts(told)) {
            (told->type == REDIS_REPLY_STRING ? again : seal_old)(job, told);
            return;
        }
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
        reply->element[1]->type != REDIS_REPLY_STRING || reply->element[1]->len != job->count) {
        finish(job, err_note(ERR_INTERNAL, "the events' script gave an unknown answer"));
        return;
    }
    for (size_t i = 0; i < job->count; i++)
        job->fates[i] = reply->element[1]->str[i] == 's' ? EVENT_STORED : EVENT_REPEATED;
    if (reply->element[2]->type == REDIS_REPLY_INTEGER && reply->element[2]->integer == 1)
        note_owner(job);
    remember(job);
    finish(job, ERR_OK);
}

static void add_text(json_t *record, const char *name, const char *text)
{
    if (text) json_object_set_new(record, name, json_string(text));
}

static struct line read_line(const struct event *event, const char *region)
{
    struct line line = {.id = event->id ? mem_copy_text(event->id) : NULL};
    json_t *record = json_object();
    json_object_set_new(record, "t", json_integer(event->time_ms));
    add_text(record, "y", names[event->type]);
    add_text(record, "i", event->item);
    add_text(record, "s", event->session);
    add_text(record, "r", region);
    if (event->properties) json_object_set_new(record, "p", json_loads(event->properties, 0, NULL));
    char *text = json_dumps(record, JSON_COMPACT);
    must(text);
    line.text = mem_copy_text(text);
    free(text); // jansson's
    json_decref(record);
    return line;
}

void events_store(struct events *events, const struct event_batch *batch, events_stored_fn *done,
                  void *argument)
{
    struct job *job = mem_new(1, sizeof *job);
    const char *region = batch->region && *batch->region ? batch->region : NULL;
    char home[HOME_SIZE], source[HOME_TAIL_SIZE];
    must(batch->count > 0 && batch->count <= EVENTS_CALL_MAX);
    *job =
        (struct job){.events = events, .done = done, .argument = argument, .fates = batch->fates};
    job->count = batch->count;
    job->keep_seconds = events->ttl_seconds;
    if (batch->keep_seconds > 0 && batch->keep_seconds < events->ttl_seconds)
        job->keep_seconds = batch->keep_seconds;
    job->tenant = mem_copy_text(batch->tenant);
    job->lines = mem_new(batch->count, sizeof *job->lines);
    for (size_t i = 0; i < batch->count; i++)
        job->lines[i] = read_line(&batch->events[i], region);
    wipe_old(events);
    home_write(home, events->keys, batch->owner, region ? region : "");
    snprintf(source, sizeof source, "%s%s", batch->source, home);
    seal_draw(&job->with.seal, batch->owner, source);
    const struct known *known = place_of(events, &job->with.seal);
    bool stands = is_same(&known->seal, &job->with.seal);
    if (stands) job->with = *known;
    send(job, stands);
}
