#include "scheduler/features/events.h"

#include "scheduler/features/consent.h"
#include "scheduler/features/pack.h"
#include "scheduler/state/store.h"

#include "base/buf.h"
#include "base/digest.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <hiredis/hiredis.h>
#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*      KEYS  consent, events, event_ids
 *      ARGV  the consent's field, most events, most ids, seconds to live, [hash of the id, record, …] in msgpack
 *      gives 0 without consent; or 1, a byte for each event: s(tored) r(epeated), and 1 for a user without events so far */
static const char store_text[] =
    "local consent = redis.call('HMGET', KEYS[1], ARGV[1], 'personalization')\n"
    "if not consent[1] or consent[2] == '0' then return {0} end\n"
    "local time = redis.call('TIME')\n"
    "local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))\n"
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
    "redis.call('LTRIM', KEYS[2], 0, ARGV[2] - 1)\n"
    "redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - ARGV[3])\n"
    "redis.call('EXPIRE', KEYS[2], ARGV[4])\n"
    "redis.call('EXPIRE', KEYS[3], ARGV[4])\n"
    "return {1, table.concat(fates), new}\n";

struct events {
    struct store *store;
    uint32_t ttl_seconds;
    struct store_script *script;
};

/* One call of Redis. */
struct job {
    struct events *events;
    events_stored_fn *done;
    void *argument;
    unsigned char *fates;
    size_t count;
    char owner[OWNER_TEXT_SIZE];
    char *owners; // the key of the tenant's owners
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

struct events *events_new(struct store *store, uint32_t ttl_seconds)
{
    struct events *events = mem_new(1, sizeof *events);
    *events = (struct events){store, ttl_seconds, store_add_script(store, store_text)};
    return events;
}

void events_free(struct events *events)
{
    mem_free(events);
}

static void finish(struct job *job, enum err err)
{
    job->done(job->argument, err);
    mem_free(job->owners);
    mem_free(job);
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
        memset(job->fates, EVENT_REFUSED, job->count);
        finish(job, ERR_OK);
        return;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
        reply->element[1]->type != REDIS_REPLY_STRING || reply->element[1]->len != job->count) {
        finish(job, err_note(ERR_INTERNAL, "the events' script gave an unknown answer"));
        return;
    }
    for (size_t i = 0; i < job->count; i++)
        job->fates[i] = reply->element[1]->str[i] == 's' ? EVENT_STORED : EVENT_REPEATED;
    if (reply->element[2]->type == REDIS_REPLY_INTEGER && reply->element[2]->integer == 1) {
        const char *const words[] = {"SADD", job->owners, job->owner};
        store_command(job->events->store, NULL, NULL, 3, words, NULL);
    }
    finish(job, ERR_OK);
}

static void add_text(json_t *record, const char *name, const char *text)
{
    if (text) json_object_set_new(record, name, json_string(text));
}

/* An event without an id is like no other. */
static void pack_event(struct buf *out, const struct event *event)
{
    uint64_t chance = rand_entropy();
    struct digest digest =
        event->id ? digest_of(event->id, strlen(event->id)) : digest_of(&chance, sizeof chance);
    json_t *record = json_object();
    json_object_set_new(record, "t", json_integer(event->time_ms));
    add_text(record, "y", names[event->type]);
    add_text(record, "i", event->item);
    add_text(record, "s", event->session);
    if (event->properties) json_object_set_new(record, "p", json_loads(event->properties, 0, NULL));
    char *text = json_dumps(record, JSON_COMPACT);
    must(text);
    pack_bytes(out, digest.bytes, sizeof digest.bytes);
    pack_text(out, text);
    free(text); // jansson's
    json_decref(record);
}

void events_store(struct events *events, const struct event_batch *batch, events_stored_fn *done,
                  void *argument)
{
    struct job *job = mem_new(1, sizeof *job);
    struct buf entries = {0}, owners = {0};
    char consent[CONSENT_KEY_SIZE], list[CONSENT_KEY_SIZE + CONSENT_SOURCE_MAX],
        ids[CONSENT_KEY_SIZE + CONSENT_SOURCE_MAX],
        field[CONSENT_SOURCE_MAX + 16] = "history", most[16], most_ids[16], ttl[16];
    const char *colon = *batch->source ? ":" : "";
    must(batch->count > 0 && batch->count <= EVENTS_CALL_MAX);
    *job =
        (struct job){.events = events, .done = done, .argument = argument, .fates = batch->fates};
    job->count = batch->count;
    snprintf(job->owner, sizeof job->owner, "%s", batch->owner);
    buf_addf(&owners, "qiao:{c:items:%s}:owners", batch->tenant);
    job->owners = buf_take(&owners);
    snprintf(consent, sizeof consent, "qiao:{u:%s}:consent", batch->owner);
    snprintf(list, sizeof list, "qiao:{u:%s}:events%s%s", batch->owner, colon, batch->source);
    snprintf(ids, sizeof ids, "qiao:{u:%s}:event_ids%s%s", batch->owner, colon, batch->source);
    if (*batch->source) snprintf(field, sizeof field, "partner:%s", batch->source);
    snprintf(most, sizeof most, "%d", EVENTS_KEPT);
    snprintf(most_ids, sizeof most_ids, "%d", EVENT_IDS_KEPT);
    snprintf(ttl, sizeof ttl, "%" PRIu32, events->ttl_seconds);
    pack_list(&entries, 2 * batch->count);
    for (size_t i = 0; i < batch->count; i++)
        pack_event(&entries, &batch->events[i]);
    const char *const words[] = {consent, list, ids, field, most, most_ids, ttl, entries.data};
    const size_t sizes[] = {strlen(consent), strlen(list),     strlen(ids), strlen(field),
                            strlen(most),    strlen(most_ids), strlen(ttl), entries.size};
    store_eval(events->store, events->script, on_stored, job, 3, 8, words, sizes);
    buf_fini(&entries);
}
