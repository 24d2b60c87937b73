#include "scheduler/features/collection.h"

#include "scheduler/features/pack.h"
#include "scheduler/state/store.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LIST_KEY "qiao:{collections}"

/* Put and delete, and tell of it, in one change; none when nothing changed.
 *      KEYS  docs, meta, changes
 *      ARGV  token, changes to keep, most documents or 0, '1' when settings must be there, [id, record or false, …] in msgpack
 *      gives 0; or 1, the version, and a byte for each entry: c(reated) r(eplaced) d(eleted) m(issing) f(ull) */
static const char write_text[] =
    "if ARGV[4] == '1' and redis.call('HEXISTS', KEYS[2], 'settings') == 0 then return {0} end\n"
    "local entries = cmsgpack.unpack(ARGV[5])\n"
    "local most = tonumber(ARGV[3])\n"
    "local count = redis.call('HLEN', KEYS[1])\n"
    "local ids, fates = {}, {}\n"
    "for n = 1, #entries, 2 do\n"
    "  local id, record, fate = entries[n], entries[n + 1], nil\n"
    "  if record == false then\n"
    "    fate = redis.call('HDEL', KEYS[1], id) == 1 and 'd' or 'm'\n"
    "    if fate == 'd' then count = count - 1 end\n"
    "  elseif most > 0 and count >= most and redis.call('HEXISTS', KEYS[1], id) == 0 then\n"
    "    fate = 'f'\n"
    "  else\n"
    "    fate = redis.call('HSET', KEYS[1], id, record) == 1 and 'c' or 'r'\n"
    "    if fate == 'c' then count = count + 1 end\n"
    "  end\n"
    "  fates[#fates + 1] = fate\n"
    "  if fate ~= 'm' and fate ~= 'f' then ids[#ids + 1] = id end\n"
    "end\n"
    "local version = redis.call('HGET', KEYS[2], 'version') or '0'\n"
    "if #ids > 0 then\n"
    "  version = string.format('%.0f', tonumber(version) + 1)\n"
    "  redis.call('HSET', KEYS[2], 'version', version, 'token', ARGV[1])\n"
    "  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[2], version .. '-1', 't', ARGV[1], 'i', "
    "cmsgpack.pack(ids))\n"
    "end\n"
    "return {1, version, table.concat(fates)}\n";

/*      KEYS  meta, changes
 *      ARGV  token, changes to keep, settings
 *      gives 1 and the version */
static const char configure_text[] =
    "local version = redis.call('HGET', KEYS[1], 'version') or '0'\n"
    "version = string.format('%.0f', tonumber(version) + 1)\n"
    "redis.call('HSET', KEYS[1], 'version', version, 'token', ARGV[1], 'settings', ARGV[3])\n"
    "redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], version .. '-1', 't', ARGV[1], 'i', "
    "cmsgpack.pack({}), 's', '1')\n"
    "return {1, version, ''}\n";

/*      KEYS  docs, meta, changes
 *      gives 0 when there was none; or 1 and the last version */
static const char remove_text[] = "local version = redis.call('HGET', KEYS[2], 'version')\n"
                                  "redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])\n"
                                  "if not version then return {0} end\n"
                                  "return {1, version, ''}\n";

struct collections {
    struct event_base *base;
    struct store *store;
    struct store_script *write, *configure, *remove;
};

struct collections *collections_new(struct event_base *base, struct store *store)
{
    struct collections *collections = mem_new(1, sizeof *collections);
    collections->base = base;
    collections->store = store;
    collections->write = store_add_script(store, write_text);
    collections->configure = store_add_script(store, configure_text);
    collections->remove = store_add_script(store, remove_text);
    return collections;
}

void collections_free(struct collections *collections)
{
    mem_free(collections);
}

struct store *collections_store(const struct collections *collections)
{
    return collections->store;
}

struct event_base *collections_base(const struct collections *collections)
{
    return collections->base;
}

void collection_keys(struct collection_keys *out, const char *name)
{
    size_t size = strlen(name);
    must(size > 0 && size <= COLLECTION_NAME_MAX);
    must(strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:") ==
         size);
    snprintf(out->docs, sizeof out->docs, "qiao:{c:%s}:docs", name);
    snprintf(out->meta, sizeof out->meta, "qiao:{c:%s}:meta", name);
    snprintf(out->changes, sizeof out->changes, "qiao:{c:%s}:changes", name);
}

// ---- a write, chunk by chunk -------------------------------------------------------------------

/* One call of this room, until it has been answered. */
struct job {
    struct collections *collections;
    struct collection_write write; // its name is the keys' by now
    struct collection_keys keys;
    size_t at, chunk; // entries [at, at + chunk) are on their way
    uint64_t version;
    collection_written_fn *written; // of three, the one that is asked for
    collection_read_fn *read;
    collections_list_fn *listed;
    void *argument;
};

static struct job *new_job(struct collections *collections, const char *name, void *argument)
{
    struct job *job = mem_new(1, sizeof *job);
    job->collections = collections;
    job->argument = argument;
    if (name) collection_keys(&job->keys, name);
    return job;
}

static void finish(struct job *job, enum err err)
{
    job->written(job->argument, err, job->version);
    mem_free(job);
}

void collections_enlist(struct collections *collections, const char *name)
{
    const char *const words[] = {"SADD", LIST_KEY, name};
    store_command(collections->store, NULL, NULL, 3, words, NULL);
}

static void make_token(char token[COLLECTION_TOKEN_MAX + 1])
{
    snprintf(token, COLLECTION_TOKEN_MAX + 1, "%016" PRIx64, rand_entropy());
}

/* As many entries as one call takes, the first at least. */
static size_t pack_chunk(struct job *job, struct buf *out)
{
    const struct collection_write *write = &job->write;
    size_t count = 0, bytes = 0;
    for (; job->at + count < write->count && count < COLLECTION_CHUNK_ENTRIES; count++) {
        const struct collection_entry *entry = &write->entries[job->at + count];
        must(entry->id_size > 0 && entry->id_size <= COLLECTION_ID_MAX &&
             entry->record_size <= COLLECTION_RECORD_MAX);
        bytes += entry->id_size + entry->record_size;
        if (count > 0 && bytes > COLLECTION_CHUNK_BYTES) break;
    }
    pack_list(out, 2 * count);
    for (size_t i = 0; i < count; i++) {
        const struct collection_entry *entry = &write->entries[job->at + i];
        pack_bytes(out, entry->id, entry->id_size);
        if (entry->record)
            pack_bytes(out, entry->record, entry->record_size);
        else
            pack_flag(out, false);
    }
    return count;
}

static enum collection_fate fate_of(char letter)
{
    switch (letter) {
    case 'c': return COLLECTION_CREATED;
    case 'r': return COLLECTION_REPLACED;
    case 'd': return COLLECTION_DELETED;
    case 'm': return COLLECTION_MISSING;
    case 'f': return COLLECTION_FULL;
    default: return COLLECTION_UNSURE;
    }
}

static enum err read_version(struct job *job, const redisReply *reply)
{
    uint64_t version;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 1)
        return err_note(ERR_NOT_FOUND, "there is no such collection");
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
        reply->element[1]->type != REDIS_REPLY_STRING ||
        reply->element[2]->type != REDIS_REPLY_STRING ||
        sscanf(reply->element[1]->str, "%" SCNu64, &version) != 1)
        return err_note(ERR_INTERNAL, "the collection's script gave an unknown answer");
    job->version = version;
    return ERR_OK;
}

static void send_chunk(struct job *job);

static void on_chunk(void *argument, enum err err, const redisReply *reply)
{
    struct job *job = argument;
    unsigned char *fates = job->chunk > 0 ? job->write.fates + job->at : NULL;
    if (job->chunk > 0) memset(fates, err ? COLLECTION_UNSURE : COLLECTION_UNSENT, job->chunk);
    if (!err) err = read_version(job, reply);
    if (!err && reply->element[2]->len != job->chunk)
        err = err_note(ERR_INTERNAL, "the collection's script gave an unknown answer");
    for (size_t i = 0; !err && i < job->chunk; i++)
        fates[i] = (unsigned char)fate_of(reply->element[2]->str[i]);
    job->at += job->chunk;
    if (err || job->at == job->write.count)
        finish(job, err);
    else
        send_chunk(job);
}

static void send_chunk(struct job *job)
{
    struct buf entries = {0};
    char token[COLLECTION_TOKEN_MAX + 1], kept[16], most[24];
    job->chunk = pack_chunk(job, &entries);
    make_token(token);
    snprintf(kept, sizeof kept, "%d", COLLECTION_CHANGES_KEPT);
    snprintf(most, sizeof most, "%" PRIu64, job->write.documents_max);
    const char *const words[] = {job->keys.docs,
                                 job->keys.meta,
                                 job->keys.changes,
                                 token,
                                 kept,
                                 most,
                                 job->write.existing ? "1" : "0",
                                 entries.data};
    size_t sizes[sizeof words / sizeof *words];
    for (size_t i = 0; i < sizeof words / sizeof *words - 1; i++)
        sizes[i] = strlen(words[i]);
    sizes[sizeof words / sizeof *words - 1] = entries.size;
    store_eval(job->collections->store, job->collections->write, on_chunk, job, 3,
               sizeof words / sizeof *words, words, sizes);
    buf_fini(&entries);
}

void collection_write(struct collections *collections, const struct collection_write *write,
                      collection_written_fn *done, void *argument)
{
    struct job *job = new_job(collections, write->name, argument);
    job->write = *write;
    job->written = done;
    if (write->count > 0) memset(write->fates, COLLECTION_UNSENT, write->count);
    if (!write->existing) collections_enlist(collections, write->name);
    send_chunk(job); // an empty one tells the version
}

// ---- settings, removal -------------------------------------------------------------------------

static void on_done(void *argument, enum err err, const redisReply *reply)
{
    struct job *job = argument;
    finish(job, err ? err : read_version(job, reply));
}

void collection_configure(struct collections *collections, const char *name, const char *settings,
                          size_t size, collection_written_fn *done, void *argument)
{
    struct job *job = new_job(collections, name, argument);
    char token[COLLECTION_TOKEN_MAX + 1], kept[16];
    must(size <= COLLECTION_SETTINGS_MAX);
    job->written = done;
    make_token(token);
    snprintf(kept, sizeof kept, "%d", COLLECTION_CHANGES_KEPT);
    const char *const words[] = {job->keys.meta, job->keys.changes, token, kept, settings};
    const size_t sizes[] = {strlen(words[0]), strlen(words[1]), strlen(token), strlen(kept), size};
    collections_enlist(collections, name);
    store_eval(collections->store, collections->configure, on_done, job, 2, 5, words, sizes);
}

void collection_remove(struct collections *collections, const char *name,
                       collection_written_fn *done, void *argument)
{
    struct job *job = new_job(collections, name, argument);
    const char *const words[] = {job->keys.docs, job->keys.meta, job->keys.changes};
    const char *const unlist[] = {"SREM", LIST_KEY, name};
    job->written = done;
    store_command(collections->store, NULL, NULL, 3, unlist, NULL);
    store_eval(collections->store, collections->remove, on_done, job, 3, 3, words, NULL);
}

// ---- reading -----------------------------------------------------------------------------------

static void on_record(void *argument, enum err err, const redisReply *reply)
{
    struct job *job = argument;
    if (!err && reply->type != REDIS_REPLY_STRING)
        err = err_note(ERR_NOT_FOUND, "there is no such document");
    job->read(job->argument, err, err ? NULL : reply->str, err ? 0 : reply->len);
    mem_free(job);
}

void collection_read(struct collections *collections, const char *name, const char *id,
                     size_t id_size, collection_read_fn *done, void *argument)
{
    struct job *job = new_job(collections, name, argument);
    const char *const words[] = {"HGET", job->keys.docs, id};
    const size_t sizes[] = {4, strlen(job->keys.docs), id_size};
    job->read = done;
    store_command(collections->store, on_record, job, 3, words, sizes);
}

static void on_list(void *argument, enum err err, const redisReply *reply)
{
    struct job *job = argument;
    size_t count = 0;
    const char **names = mem_new(COLLECTION_LIST_MAX, sizeof *names);
    if (!err && reply->type != REDIS_REPLY_ARRAY)
        err = err_note(ERR_INTERNAL, "the list of collections is none");
    for (size_t i = 0; !err && i < reply->elements && count < COLLECTION_LIST_MAX; i++) {
        const redisReply *name = reply->element[i];
        if (name->type == REDIS_REPLY_STRING && name->len > 0 && name->len <= COLLECTION_NAME_MAX)
            names[count++] = name->str;
    }
    job->listed(job->argument, err, names, count);
    mem_free(names);
    mem_free(job);
}

void collections_list(struct collections *collections, collections_list_fn *done, void *argument)
{
    struct job *job = new_job(collections, NULL, argument);
    const char *const words[] = {"SMEMBERS", LIST_KEY};
    job->listed = done;
    store_command(collections->store, on_list, job, 2, words, NULL);
}
