#include "scheduler/features/erase.h"

#include "scheduler/features/consent.h"
#include "scheduler/features/erase_record.h"
#include "scheduler/state/durable.h"
#include "scheduler/state/session.h"
#include "scheduler/state/store.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include <hiredis/hiredis.h>
#include <sodium.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The mark first, then keys, then what they seal.
 *      KEYS  erased, receipt, consent, sessions, events, event_ids, event_key, tags, tags_key, waiver, event_homes
 *      ARGV  the erasure's id, what the keys of sessions begin with, what the keys of receipts begin with, seconds that the receipt lives,
 *            receipts to keep, sessions in a full list, ids of master keys
 *      gives what the look at the receipt gives */
#define ERASE_LUA                                                                               \
    "local time = redis.call('TIME')\n"                                                         \
    "local old = redis.call('HGET', KEYS[1], 'ids') or ''\n"                                    \
    "local ids = {ARGV[1]}\n"                                                                   \
    "for id in string.gmatch(old, '%S+') do\n"                                                  \
    "  if #ids < tonumber(ARGV[5]) then ids[#ids + 1] = id\n"                                   \
    "  else redis.call('UNLINK', ARGV[3] .. id) end\n"                                          \
    "end\n"                                                                                     \
    "redis.call('HSET', KEYS[1], 'mark', ARGV[1], 'ids', table.concat(ids, ' '))\n"             \
    "redis.call('EXPIRE', KEYS[1], ARGV[4])\n"                                                  \
    "local sessions = redis.call('ZRANGE', KEYS[4], 0, -1)\n"                                   \
    "local consents, links, tails = 0, {}, {''}\n"                                              \
    "local fields = redis.call('HGETALL', KEYS[3])\n"                                           \
    "for n = 1, #fields, 2 do\n"                                                                \
    "  local source = string.match(fields[n], '^partner:(.+)$')\n"                              \
    "  local link = string.match(fields[n], '^link:')\n"                                        \
    "  if source then tails[#tails + 1] = ':' .. source end\n"                                  \
    "  if link then links[#links + 1] = fields[n + 1]\n"                                        \
    "  elseif fields[n] ~= 'personalization' then consents = consents + 1 end\n"                \
    "end\n"                                                                                     \
    "for _, tail in ipairs(redis.call('HKEYS', KEYS[11])) do tails[#tails + 1] = tail end\n"    \
    "for _, id in ipairs(sessions) do redis.call('HDEL', ARGV[2] .. id, 'k') end\n"             \
    "for _, tail in ipairs(tails) do redis.call('DEL', KEYS[7] .. tail) end\n"                  \
    "local tags = redis.call('EXISTS', KEYS[8])\n"                                              \
    "redis.call('DEL', KEYS[9], KEYS[8], KEYS[10], KEYS[11])\n"                                 \
    "local gone, events = 0, 0\n"                                                               \
    "for _, id in ipairs(sessions) do gone = gone + redis.call('UNLINK', ARGV[2] .. id) end\n"  \
    "for _, tail in ipairs(tails) do\n"                                                         \
    "  events = events + redis.call('LLEN', KEYS[5] .. tail)\n"                                 \
    "  redis.call('UNLINK', KEYS[5] .. tail, KEYS[6] .. tail)\n"                                \
    "end\n"                                                                                     \
    "redis.call('UNLINK', KEYS[3], KEYS[4])\n"                                                  \
    "local full = #sessions >= tonumber(ARGV[6]) and 1 or 0\n"                                  \
    "local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))\n"          \
    "redis.call('HSET', KEYS[2], 'v', 1, 'at', now, 'sessions', gone, 'events', events, "       \
    "'consents', "                                                                              \
    "consents, 'links', #links, 'tags', tags, 'unlisted', full, 'left', table.concat(links, ' " \
    "'), "                                                                                      \
    "'keys', ARGV[7])\n"                                                                        \
    "local redis_now = facts()\n"                                                               \
    "for n = 1, #redis_now, 2 do\n"                                                             \
    "  redis.call('HSET', KEYS[2], 'then_' .. redis_now[n], redis_now[n + 1])\n"                \
    "end\n"                                                                                     \
    "redis.call('EXPIRE', KEYS[2], ARGV[4])\n"                                                  \
    "return {redis.call('HGETALL', KEYS[2]), redis_now}\n"

/* What Redis says of its own files: name, value, … */
#define FACTS_LUA                                                             \
    "local function facts()\n"                                                \
    "  local text = ''\n"                                                     \
    "  for _, part in ipairs({'server', 'persistence', 'replication'}) do\n"  \
    "    local told = redis.pcall('INFO', part)\n"                            \
    "    if type(told) == 'string' then text = text .. told .. '\\n' end\n"   \
    "  end\n"                                                                 \
    "  local out = {}\n"                                                      \
    "  for _, name in ipairs({'run_id', 'aof_enabled', 'aof_rewrites', "      \
    "'aof_rewrite_in_progress', "                                             \
    "'aof_last_bgrewrite_status', 'rdb_saves', 'rdb_bgsave_in_progress', "    \
    "'rdb_last_bgsave_status', "                                              \
    "'connected_slaves'}) do\n"                                               \
    "    out[#out + 1] = name\n"                                              \
    "    out[#out + 1] = string.match(text, name .. ':([^\\r\\n]*)') or ''\n" \
    "  end\n"                                                                 \
    "  return out\n"                                                          \
    "end\n"

static const char erase_text[] = FACTS_LUA ERASE_LUA;

/*      KEYS  the receipt
 *      gives its fields, and what Redis says of its files now */
static const char look_text[] = FACTS_LUA "return {redis.call('HGETALL', KEYS[1]), facts()}\n";

/* A step that came later, noted where the receipt still is.
 *      KEYS  the receipt   ARGV  field, value */
static const char note_text[] = "if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end\n"
                                "return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])\n";

enum {
    KEYS_COUNT = 11,
    ERASE_WORDS = KEYS_COUNT + 7,
    KEY_MAX = 128,
    NUMBER_SIZE = 24
};

/* A write that a WAIT can count: all that came before it is counted, too.
 *      KEYS  the receipt   ARGV  seconds that it lives */
static const char touch_text[] = "return redis.call('EXPIRE', KEYS[1], ARGV[1])\n";

struct erasures {
    struct store *store;
    struct durables *durables;
    struct consents *consents;
    const struct keyring *keys;
    struct store_script *erase, *look, *note;
};

/* An erasure, or a look at one. */
struct job {
    struct erasures *erasures;
    erasure_fn *done;
    void *argument;
    char owner[OWNER_TEXT_SIZE], tenant[64 + 1];
    struct erasure erasure;
    size_t waits;
    bool erases;
};

struct erasures *erasures_new(struct store *store, struct durables *durables,
                              struct consents *consents, const struct keyring *keys)
{
    struct erasures *erasures = mem_new(1, sizeof *erasures);
    *erasures = (struct erasures){store,
                                  durables,
                                  consents,
                                  keys,
                                  store_add_script(store, erase_text),
                                  store_add_script(store, look_text),
                                  store_add_script(store, note_text)};
    return erasures;
}

void erasures_free(struct erasures *erasures)
{
    mem_free(erasures);
}

bool erasure_is_id(const char *text)
{
    return strlen(text) == ERASURE_ID_SIZE - 1 &&
           strspn(text, "0123456789abcdef") == ERASURE_ID_SIZE - 1;
}

static void write_key(char out[KEY_MAX], const char *owner, const char *kind, const char *id)
{
    snprintf(out, KEY_MAX, "qiao:{u:%s}:%s%s", owner, kind, id);
}

static void note(const struct job *job, const char *field, const char *value)
{
    char key[KEY_MAX];
    write_key(key, job->owner, "erasure:", job->erasure.id);
    const char *const words[] = {key, field, value};
    store_eval(job->erasures->store, job->erasures->note, NULL, NULL, 1, 3, words, NULL);
}

static void note_time(const struct job *job, const char *field, int64_t *at_ms)
{
    char value[NUMBER_SIZE];
    *at_ms = clock_wall_ms();
    snprintf(value, sizeof value, "%" PRId64, *at_ms);
    note(job, field, value);
}

// ---- the rest ----------------------------------------------------------------------------------

static void finish(struct job *job, enum err err)
{
    struct erasure *erasure = &job->erasure;
    if (!err && erasure->append_ms == 0 && erasure_file_state(erasure, false) == ERASURE_COMPLETE)
        note_time(job, "append_at", &erasure->append_ms);
    if (!err && erasure->snapshot_ms == 0 && erasure_file_state(erasure, true) == ERASURE_COMPLETE)
        note_time(job, "snapshot_at", &erasure->snapshot_ms);
    job->done(job->argument, err, err ? NULL : erasure);
    mem_free(job);
}

static bool on_touched(void *argument, enum err err, const redisReply *reply)
{
    (void)reply;
    if (!err) return true;
    finish(argument, ERR_OK); // it stays to be done
    return false;
}

static void on_replicated(void *argument, enum err err)
{
    struct job *job = argument;
    if (!err) note_time(job, "replicated_at", &job->erasure.replicated_ms);
    finish(job, ERR_OK);
}

/* What a failover forgets would be served again. */
static void wait_for_replicas(struct job *job)
{
    char key[KEY_MAX], ttl[NUMBER_SIZE];
    const struct erasure *erasure = &job->erasure;
    if (!job->erasures->durables || erasure->now.replicas == 0 || erasure->replicated_ms > 0) {
        finish(job, ERR_OK);
        return;
    }
    write_key(key, job->owner, "erasure:", erasure->id);
    snprintf(ttl, sizeof ttl, "%d", ERASURE_KEPT_SECONDS);
    const char *const words[] = {key, ttl};
    const size_t sizes[] = {strlen(key), strlen(ttl)};
    durable_eval(job->erasures->durables, touch_text, on_touched, on_replicated, job, 1, 2, words,
                 sizes);
}

static void end_one(struct job *job)
{
    if (--job->waits > 0) return;
    if (job->erasure.links_left == 0) note(job, "left", "");
    wait_for_replicas(job);
}

static void on_unlinked(void *argument, enum err err, const redisReply *reply)
{
    struct job *job = argument;
    (void)reply;
    if (!err) job->erasure.links_left--;
    end_one(job);
}

static void on_listed(void *argument, enum err err, const redisReply *reply)
{
    (void)err, (void)reply; // who is walked through without events has none to give
    end_one(argument);
}

/* Links live in slots of their own. */
static void unlink_all(struct job *job, const char *links)
{
    struct buf owners = {0};
    job->waits = 1;
    for (const char *at = links; *at; at += strspn(at, " ")) {
        char link[CONSENT_LINK_SIZE];
        size_t size = strcspn(at, " ");
        if (size == CONSENT_LINK_SIZE - 1) {
            snprintf(link, sizeof link, "%s", at);
            job->waits++;
            job->erasure.links_left++;
            consent_unlink(job->erasures->consents, job->owner, link, on_unlinked, job);
        }
        at += size;
    }
    buf_addf(&owners, "qiao:{c:items:%s}:owners", job->tenant);
    const char *const words[] = {"SREM", buf_text(&owners), job->owner};
    store_command(job->erasures->store, on_listed, job, 3, words, NULL);
    buf_fini(&owners);
}

static void on_receipt(void *argument, enum err err, const redisReply *reply)
{
    struct job *job = argument;
    const char *left = "";
    if (err == ERR_TIMEOUT || err == ERR_STORE_AWAY)
        err = err_note(ERR_STORE_AWAY, job->erases ? "data cannot be erased: Redis is away"
                                                   : "receipts cannot be read: Redis is away");
    if (!err) err = erase_record_read(&job->erasure, job->erasures->keys, reply, &left);
    if (err)
        finish(job, err);
    else if (job->erases || *left)
        unlink_all(job, left);
    else
        wait_for_replicas(job);
}

static struct job *new_job(struct erasures *erasures, const char *tenant, const char *user,
                           erasure_fn *done, void *argument)
{
    struct job *job = mem_new(1, sizeof *job);
    *job = (struct job){.erasures = erasures, .done = done, .argument = argument};
    snprintf(job->tenant, sizeof job->tenant, "%s", tenant);
    owner_write(job->owner, consents_owner_key(erasures->consents), tenant, user);
    return job;
}

static void write_ring(const struct keyring *ring, struct buf *out)
{
    for (size_t i = 0; i < ring->count; i++)
        buf_addf(out, "%s%" PRIu32, i ? " " : "", ring->keys[i].id);
}

void erase_user(struct erasures *erasures, const char *tenant, const char *user, erasure_fn *done,
                void *argument)
{
    static const char *const kinds[KEYS_COUNT] = {"erased",   "erasure:",  "consent",    "sessions",
                                                  "events",   "event_ids", "event_key",  "tags",
                                                  "tags_key", "waiver",    "event_homes"};
    struct job *job = new_job(erasures, tenant, user, done, argument);
    unsigned char chance[(ERASURE_ID_SIZE - 1) / 2];
    char keys[KEYS_COUNT][KEY_MAX], sessions[KEY_MAX], receipts[KEY_MAX], ttl[NUMBER_SIZE],
        most[NUMBER_SIZE], full[NUMBER_SIZE];
    struct buf ring = {0};
    job->erases = true;
    randombytes_buf(chance, sizeof chance);
    sodium_bin2hex(job->erasure.id, ERASURE_ID_SIZE, chance, sizeof chance);
    for (size_t i = 0; i < KEYS_COUNT; i++)
        write_key(keys[i], job->owner, kinds[i], i == 1 ? job->erasure.id : "");
    write_key(sessions, job->owner, "session:", "");
    write_key(receipts, job->owner, "erasure:", "");
    snprintf(ttl, sizeof ttl, "%d", ERASURE_KEPT_SECONDS);
    snprintf(most, sizeof most, "%d", ERASURES_KEPT);
    snprintf(full, sizeof full, "%d", SESSION_INDEX_MAX);
    write_ring(erasures->keys, &ring);
    const char *words[ERASE_WORDS] = {0};
    for (size_t i = 0; i < KEYS_COUNT; i++)
        words[i] = keys[i];
    const char *const rest[] = {job->erasure.id, sessions, receipts, ttl, most, full,
                                buf_text(&ring)};
    memcpy(words + KEYS_COUNT, rest, sizeof rest);
    store_eval(erasures->store, erasures->erase, on_receipt, job, KEYS_COUNT, ERASE_WORDS, words,
               NULL);
    buf_fini(&ring);
}

void erasure_look(struct erasures *erasures, const char *tenant, const char *user, const char *id,
                  erasure_fn *done, void *argument)
{
    struct job *job = new_job(erasures, tenant, user, done, argument);
    char key[KEY_MAX];
    snprintf(job->erasure.id, sizeof job->erasure.id, "%s", id);
    write_key(key, job->owner, "erasure:", id);
    const char *const words[] = {key};
    store_eval(erasures->store, erasures->look, on_receipt, job, 1, 1, words, NULL);
}

void erasure_note_caches(struct erasures *erasures, const char *tenant, const char *user,
                         const char *id)
{
    struct job job = {.erasures = erasures};
    int64_t at_ms;
    owner_write(job.owner, consents_owner_key(erasures->consents), tenant, user);
    snprintf(job.erasure.id, sizeof job.erasure.id, "%s", id);
    note_time(&job, "caches_at", &at_ms);
}

// ---- the list ----------------------------------------------------------------------------------

struct listing {
    erasures_fn *done;
    void *argument;
};

static void on_ids(void *argument, enum err err, const redisReply *reply)
{
    struct listing listing = *(struct listing *)argument;
    mem_free(argument);
    if (err == ERR_TIMEOUT || err == ERR_STORE_AWAY)
        err = err_note(ERR_STORE_AWAY, "receipts cannot be read: Redis is away");
    bool some = !err && reply->type == REDIS_REPLY_STRING;
    listing.done(listing.argument, err, err ? NULL : some ? reply->str : "");
}

void erasures_list(struct erasures *erasures, const char *tenant, const char *user,
                   erasures_fn *done, void *argument)
{
    struct listing *listing = mem_new(1, sizeof *listing);
    char owner[OWNER_TEXT_SIZE], key[KEY_MAX];
    *listing = (struct listing){done, argument};
    owner_write(owner, consents_owner_key(erasures->consents), tenant, user);
    write_key(key, owner, "erased", "");
    const char *const words[] = {"HGET", key, "ids"};
    store_command(erasures->store, on_ids, listing, 3, words, NULL);
}
