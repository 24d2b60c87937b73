#include "scheduler/features/forget.h"

#include "scheduler/features/home.h"
#include "scheduler/features/pack.h"
#include "scheduler/features/seal.h"
#include "scheduler/state/store.h"

#include "base/buf.h"
#include "base/mem.h"

#include <hiredis/hiredis.h>
#include <sodium.h>

#include <stdio.h>
#include <string.h>

/*      KEYS  events, event_key, event_homes
 *      gives a list for each home: it, the wrapped key or '', then the records */
static const char read_text[] =
    HOMES_LUA "local out = {}\n"
              "for n, home in ipairs(homes_of(KEYS[3], '')) do\n"
              "  out[n] = redis.call('LRANGE', KEYS[1] .. home, 0, -1)\n"
              "  table.insert(out[n], 1, redis.call('GET', KEYS[2] .. home) or '')\n"
              "  table.insert(out[n], 1, home)\n"
              "end\n"
              "return out\n";

/* A record is like no other, and an id's hash is keyed: each is in one list alone.
 *      KEYS  events, event_ids, event_homes
 *      ARGV  [record, …] and [hash of an id, …] in msgpack
 *      gives how many records there were */
static const char delete_text[] =
    HOMES_LUA "local count = 0\n"
              "local records, ids = cmsgpack.unpack(ARGV[1]), cmsgpack.unpack(ARGV[2])\n"
              "for _, home in ipairs(homes_of(KEYS[3], '')) do\n"
              "  for _, record in ipairs(records) do\n"
              "    count = count + redis.call('LREM', KEYS[1] .. home, 0, record)\n"
              "  end\n"
              "  for _, id in ipairs(ids) do redis.call('ZREM', KEYS[2] .. home, id) end\n"
              "end\n"
              "return count\n";

enum {
    LIST_HEAD = 2 // a list's home and key
};

struct forgets {
    struct store *store;
    struct owner_key key;
    const struct keyring *keys;
    struct store_script *read, *delete;
};

struct job {
    struct forgets *forgets;
    forget_pick_fn *pick;
    forget_fn *done;
    void *argument;
    char owner[OWNER_TEXT_SIZE];
    struct buf records, ids; // packed
    size_t record_count, id_count;
};

struct forgets *forgets_new(struct store *store, const struct owner_key *key,
                            const struct keyring *keys)
{
    struct forgets *forgets = mem_new(1, sizeof *forgets);
    *forgets = (struct forgets){store, *key, keys, store_add_script(store, read_text),
                                store_add_script(store, delete_text)};
    return forgets;
}

void forgets_free(struct forgets *forgets)
{
    mem_free(forgets);
}

static void finish(struct job *job, enum err err, uint64_t count)
{
    if (err == ERR_TIMEOUT)
        err = err_note(ERR_STORE_AWAY, "events cannot be deleted now: Redis is away");
    job->done(job->argument, err, count);
    buf_fini(&job->records);
    buf_fini(&job->ids);
    mem_free(job);
}

static void on_deleted(void *argument, enum err err, const redisReply *reply)
{
    struct job *job = argument;
    if (!err && reply->type != REDIS_REPLY_INTEGER)
        err = err_note(ERR_INTERNAL, "the script that deletes events gave an unknown answer");
    finish(job, err, err ? 0 : (uint64_t)reply->integer);
}

static void write_key(const struct job *job, const char *kind, char out[CONSENT_KEY_SIZE])
{
    snprintf(out, CONSENT_KEY_SIZE, "qiao:{u:%s}:%s", job->owner, kind);
}

static void delete_picked(struct job *job)
{
    struct buf records = {0}, ids = {0};
    char events[CONSENT_KEY_SIZE], event_ids[CONSENT_KEY_SIZE], homes[CONSENT_KEY_SIZE];
    write_key(job, "events", events);
    write_key(job, "event_ids", event_ids);
    write_key(job, "event_homes", homes);
    pack_list(&records, job->record_count);
    buf_add(&records, buf_text(&job->records), job->records.size);
    pack_list(&ids, job->id_count);
    buf_add(&ids, buf_text(&job->ids), job->ids.size);
    const char *const words[] = {events, event_ids, homes, records.data, ids.data};
    const size_t sizes[] = {strlen(events), strlen(event_ids), strlen(homes), records.size,
                            ids.size};
    store_eval(job->forgets->store, job->forgets->delete, on_deleted, job, 3, 5, words, sizes);
    buf_fini(&records);
    buf_fini(&ids);
}

static void judge(struct job *job, const struct seal *seal, const redisReply *record,
                  const struct buf *text)
{
    struct history_event event;
    char id[EVENT_ID_MAX + 1] = "";
    json_t *root = history_read_event(&event, buf_text(text), text->size);
    if (root && job->pick(job->argument, &event, id)) {
        pack_bytes(&job->records, record->str, record->len);
        job->record_count++;
        if (*id && seal) {
            struct digest digest = seal_id(seal, id);
            pack_bytes(&job->ids, digest.bytes, sizeof digest.bytes);
            job->id_count++;
        }
    }
    json_decref(root);
}

/* Each record is opened, looked at and forgotten. */
static enum err pick_list(struct job *job, const redisReply *list)
{
    struct seal seal;
    struct buf text = {0};
    const redisReply *home = list->element[0], *key = list->element[1];
    bool sealed = key->len > 0;
    if (sealed)
        TRY(seal_unwrap(&seal, job->forgets->keys, job->owner, home->str, key->str, key->len));
    enum err err = ERR_OK;
    for (size_t i = LIST_HEAD; i < list->elements && !err; i++) {
        const redisReply *record = list->element[i];
        err = seal_open(sealed ? &seal : NULL, record->str, record->len, &text);
        if (!err) judge(job, sealed ? &seal : NULL, record, &text);
    }
    if (text.data) sodium_memzero(text.data, text.size);
    buf_fini(&text);
    if (sealed) seal_fini(&seal);
    return err;
}

static bool is_texts(const redisReply *reply)
{
    bool good = reply->type == REDIS_REPLY_ARRAY && reply->elements >= LIST_HEAD;
    for (size_t i = 0; good && i < reply->elements; i++)
        good = reply->element[i]->type == REDIS_REPLY_STRING;
    return good;
}

static void on_read(void *argument, enum err err, const redisReply *reply)
{
    struct job *job = argument;
    if (!err && reply->type != REDIS_REPLY_ARRAY)
        err = err_note(ERR_INTERNAL, "the script that reads events gave an unknown answer");
    for (size_t i = 0; !err && i < reply->elements; i++) {
        if (is_texts(reply->element[i]))
            err = pick_list(job, reply->element[i]);
        else
            err = err_note(ERR_INTERNAL, "a history's list is none");
    }
    if (err || job->record_count == 0)
        finish(job, err, 0);
    else
        delete_picked(job);
}

void forget_events(struct forgets *forgets, const char *tenant, const char *user,
                   forget_pick_fn *pick, forget_fn *done, void *argument)
{
    struct job *job = mem_new(1, sizeof *job);
    char events[CONSENT_KEY_SIZE], key[CONSENT_KEY_SIZE], homes[CONSENT_KEY_SIZE];
    *job = (struct job){.forgets = forgets, .pick = pick, .done = done, .argument = argument};
    owner_write(job->owner, &forgets->key, tenant, user);
    write_key(job, "events", events);
    write_key(job, "event_key", key);
    write_key(job, "event_homes", homes);
    const char *const words[] = {events, key, homes};
    store_eval(forgets->store, forgets->read, on_read, job, 3, 3, words, NULL);
}
