#include "scheduler/features/history.h"

#include "scheduler/features/catalogue.h"
#include "scheduler/features/home.h"
#include "scheduler/features/pack.h"
#include "scheduler/features/seal.h"
#include "scheduler/features/tags.h"
#include "scheduler/state/store.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <hiredis/hiredis.h>
#include <jansson.h>
#include <sodium.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is over goes: the newest stand first, and an id for each says when it came.
 *      KEYS  consent, events, event_key, tags, tags_key, event_ids, event_homes
 *      ARGV  purpose ('' whatever was agreed to), most events, [home, …] in msgpack that may be read ('' all)
 *      gives 0 without consent; or 1, how many lists may not be read, the tags and their wrapped key or '', and a list for each history, the
 *      user's own and each partner's of each home: its source and home ('': the user's own of none), the wrapped key or '', the records,
 *      newest first */
static const char read_text[] = HOMES_LUA
    "if ARGV[1] ~= '' then\n"
    "  local consent = redis.call('HMGET', KEYS[1], ARGV[1], 'personalization')\n"
    "  if not consent[1] or consent[2] == '0' then return {0} end\n"
    "end\n"
    "local out = {1, 0, redis.call('GET', KEYS[4]) or '', redis.call('GET', KEYS[5]) or ''}\n"
    "local may\n"
    "if ARGV[3] ~= '' then\n"
    "  may = {}\n"
    "  for _, home in ipairs(cmsgpack.unpack(ARGV[3])) do may[home] = true end\n"
    "end\n"
    "local now = tonumber(redis.call('TIME')[1])\n"
    "local function fresh(tail, life)\n"
    "  local size = redis.call('LLEN', KEYS[2] .. tail)\n"
    "  if not life then return size end\n"
    "  local since = string.format('%.0f', (now - life) * 1000)\n"
    "  if redis.call('ZCOUNT', KEYS[6] .. tail, '-inf', '(' .. since) == 0 then return size end\n"
    "  local count = redis.call('ZCOUNT', KEYS[6] .. tail, since, '+inf')\n"
    "  if count == 0 then redis.call('DEL', KEYS[2] .. tail)\n"
    "  elseif count < size then redis.call('LTRIM', KEYS[2] .. tail, 0, count - 1) end\n"
    "  return math.min(count, size)\n"
    "end\n"
    "local function add(tail, given)\n"
    "  local life, since = string.match(redis.call('HGET', KEYS[7], tail) or '', '^(%d+) (.*)$')\n"
    "  if since and since ~= given and string.find(tail, '@') then\n"
    "    redis.call('DEL', KEYS[2] .. tail, KEYS[3] .. tail, KEYS[6] .. tail)\n"
    "    redis.call('HDEL', KEYS[7], tail)\n"
    "  end\n"
    "  if may and not may[string.match(tail, '@.*$') or ''] then\n"
    "    out[2] = out[2] + redis.call('EXISTS', KEYS[2] .. tail)\n"
    "    return\n"
    "  end\n"
    "  local most = math.min(ARGV[2], fresh(tail, life))\n"
    "  if most == 0 then return end\n"
    "  local list = {string.gsub(tail, '^:', ''), redis.call('GET', KEYS[3] .. tail) or ''}\n"
    "  local records = redis.call('LRANGE', KEYS[2] .. tail, 0, most - 1)\n"
    "  for n = 1, #records do list[n + 2] = records[n] end\n"
    "  out[#out + 1] = list\n"
    "end\n"
    "local function add_all(base, field)\n"
    "  local given = redis.call('HGET', KEYS[1], field)\n"
    "  for _, tail in ipairs(homes_of(KEYS[7], base)) do add(tail, given) end\n"
    "end\n"
    "for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do\n"
    "  if field == 'history' then add_all('', field) end\n"
    "  local source = string.match(field, '^partner:(.+)$')\n"
    "  if source then add_all(':' .. source, field) end\n"
    "end\n"
    "return out\n";

enum {
    LISTS_MAX = CONSENT_PARTNERS_MAX + 1 + HOMES_MAX, // those that nobody has noted among them
    LIST_HEAD = 2,                                    // a list's source and key
    REPLY_HEAD = 4,                                   // before the lists
    KEYS_COUNT = 7
};

const struct history_scope history_everything = {.all = true};

struct histories {
    struct store *store;
    struct owner_key key;
    const struct keyring *keys;
    struct catalogues *catalogues;
    struct store_script *script;
};

struct history_ticket {
    const struct histories *histories;
    history_fn *done; // NULL: nobody asks any more
    void *argument;
    char owner[OWNER_TEXT_SIZE], *tenant;
    bool filters; // what was taken away is left out
    bool all;
};

/* An event with what it is read from. */
struct entry {
    struct history_event event;
    json_t *record;
    size_t order; // as it came from Redis: the newest first
};

/* The entries of all lists. */
struct entries {
    struct entry *list;
    size_t count;
    struct buf text;                                 // of one record
    char sources[LISTS_MAX][CONSENT_SOURCE_MAX + 1]; // without their homes; the events borrow them
    size_t source_count;
};

struct histories *histories_new(struct store *store, const struct owner_key *key,
                                const struct keyring *keys, struct catalogues *catalogues)
{
    struct histories *histories = mem_new(1, sizeof *histories);
    *histories =
        (struct histories){store, *key, keys, catalogues, store_add_script(store, read_text)};
    return histories;
}

void histories_free(struct histories *histories)
{
    mem_free(histories);
}

json_t *history_read_event(struct history_event *out, const char *text, size_t size)
{
    json_t *root = json_loadb(text, size, 0, NULL);
    const char *type = json_string_value(json_object_get(root, "y"));
    *out = (struct history_event){.type = EVENT_TYPES, .source = ""};
    if (!type || !event_type_find(type, &out->type)) {
        json_decref(root); // of a later version
        return NULL;
    }
    out->time_ms = json_integer_value(json_object_get(root, "t"));
    out->item = json_string_value(json_object_get(root, "i"));
    out->session = json_string_value(json_object_get(root, "s"));
    out->region = json_string_value(json_object_get(root, "r"));
    out->properties = json_object_get(root, "p");
    out->query = json_string_value(json_object_get(out->properties, "query"));
    return root;
}

static bool read_entry(struct entry *entry, const struct buf *text)
{
    entry->record = history_read_event(&entry->event, buf_text(text), text->size);
    return entry->record != NULL;
}

static bool is_list(const redisReply *list)
{
    if (list->type != REDIS_REPLY_ARRAY || list->elements < LIST_HEAD) return false;
    for (size_t i = 0; i < list->elements; i++)
        if (list->element[i]->type != REDIS_REPLY_STRING) return false;
    return list->element[0]->len < HOME_TAIL_SIZE;
}

static enum err read_list(const struct history_ticket *ticket, const redisReply *list,
                          struct entries *entries)
{
    struct seal seal;
    enum err err = ERR_OK;
    if (!is_list(list)) return err_note(ERR_INTERNAL, "a history's list is none");
    const redisReply *key = list->element[1];
    char *source = entries->sources[entries->source_count++];
    snprintf(source, sizeof *entries->sources, "%.*s", (int)strcspn(list->element[0]->str, "@"),
             list->element[0]->str);
    if (key->len > 0)
        TRY(seal_unwrap(&seal, ticket->histories->keys, ticket->owner, list->element[0]->str,
                        key->str, key->len));
    for (size_t i = LIST_HEAD; i < list->elements && !err; i++) {
        struct entry *entry = &entries->list[entries->count];
        err = seal_open(key->len > 0 ? &seal : NULL, list->element[i]->str, list->element[i]->len,
                        &entries->text);
        entry->order = entries->count + i;
        if (!err && read_entry(entry, &entries->text)) {
            entry->event.source = source;
            entries->count++;
        }
    }
    seal_fini(&seal);
    return err;
}

/* The oldest first; what came last into a list stands first there. */
static int compare(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    if (left->event.time_ms != right->event.time_ms)
        return left->event.time_ms < right->event.time_ms ? -1 : 1;
    return left->order > right->order ? -1 : 1;
}

static size_t most_entries(const redisReply *reply)
{
    size_t most = 0;
    for (size_t i = REPLY_HEAD; i < reply->elements; i++)
        most += reply->element[i]->type == REDIS_REPLY_ARRAY ? reply->element[i]->elements : 0;
    return most;
}

/* What the user has taken away. */
static enum err read_hidden(const struct history_ticket *ticket, const redisReply *reply,
                            json_t **hidden)
{
    const redisReply *sealed = reply->element[2], *wrapped = reply->element[3];
    *hidden = NULL;
    if (sealed->type != REDIS_REPLY_STRING || wrapped->type != REDIS_REPLY_STRING)
        return err_note(ERR_INTERNAL, "a history's tags are none");
    return tags_open(hidden, ticket->histories->keys, ticket->owner, sealed->str, sealed->len,
                     wrapped->str, wrapped->len);
}

static void drop_hidden(const struct history_ticket *ticket, struct entries *entries,
                        const json_t *hidden)
{
    struct catalogues *catalogues = ticket->histories->catalogues;
    size_t kept = 0;
    if (!ticket->filters || json_array_size(hidden) == 0) return;
    const struct catalogue *catalogue =
        catalogues ? catalogue_of(catalogues, ticket->tenant) : NULL;
    for (size_t i = 0; i < entries->count; i++) {
        const char *item = entries->list[i].event.item;
        if (item && tags_hide(hidden, catalogue, item))
            json_decref(entries->list[i].record);
        else
            entries->list[kept++] = entries->list[i];
    }
    entries->count = kept;
}

static void tell(struct history_ticket *ticket, const redisReply *reply)
{
    struct entries entries = {.list = mem_new(most_entries(reply) + 1, sizeof *entries.list)};
    json_t *hidden;
    enum err err = read_hidden(ticket, reply, &hidden);
    for (size_t i = 0; i < LISTS_MAX && REPLY_HEAD + i < reply->elements && !err; i++)
        err = read_list(ticket, reply->element[REPLY_HEAD + i], &entries);
    drop_hidden(ticket, &entries, hidden);
    qsort(entries.list, entries.count, sizeof *entries.list, compare);
    size_t most = ticket->all ? entries.count : EVENTS_KEPT;
    size_t kept = entries.count < most ? entries.count : most;
    struct history_event *events = mem_new(kept + 1, sizeof *events);
    for (size_t i = 0; i < kept; i++)
        events[i] = entries.list[entries.count - kept + i].event;
    const struct history history = {true, events, kept, (size_t)reply->element[1]->integer, hidden};
    ticket->done(ticket->argument, err, err ? NULL : &history);
    for (size_t i = 0; i < entries.count; i++)
        json_decref(entries.list[i].record);
    if (entries.text.data) sodium_memzero(entries.text.data, entries.text.size);
    buf_fini(&entries.text);
    json_decref(hidden);
    mem_free(entries.list);
    mem_free(events);
}

static void on_read(void *argument, enum err err, const redisReply *reply)
{
    struct history_ticket *ticket = argument;
    if (ticket->done && err) {
        if (err == ERR_TIMEOUT)
            err = err_note(ERR_STORE_AWAY, "histories cannot be read: Redis is away");
        ticket->done(ticket->argument, err, NULL);
    } else if (ticket->done && (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 ||
                                reply->element[0]->type != REDIS_REPLY_INTEGER)) {
        ticket->done(ticket->argument,
                     err_note(ERR_INTERNAL, "the history's script gave an unknown answer"), NULL);
    } else if (ticket->done && reply->element[0]->integer == 0) {
        ticket->done(ticket->argument, ERR_OK, &(struct history){.allowed = false});
    } else if (ticket->done &&
               (reply->elements < REPLY_HEAD || reply->element[1]->type != REDIS_REPLY_INTEGER)) {
        ticket->done(ticket->argument,
                     err_note(ERR_INTERNAL, "the history's script gave an unknown answer"), NULL);
    } else if (ticket->done) {
        tell(ticket, reply);
    }
    mem_free(ticket->tenant);
    mem_free(ticket);
}

static void pack_scope(struct buf *out, const struct keyring *keys, const char *owner,
                       const struct history_scope *scope)
{
    char home[HOME_SIZE];
    must(scope->count <= HISTORY_REGIONS_MAX);
    pack_list(out, scope->count + scope->homeless);
    if (scope->homeless) pack_text(out, "");
    for (size_t i = 0; i < scope->count; i++) {
        home_write(home, keys, owner, scope->regions[i]);
        pack_text(out, home);
    }
}

static struct history_ticket *ask(struct histories *histories, const char *tenant,
                                  const char *owner, const char *purpose,
                                  const struct history_scope *scope, history_fn *done,
                                  void *argument)
{
    static const char *const kinds[KEYS_COUNT] = {"consent",  "events",    "event_key",  "tags",
                                                  "tags_key", "event_ids", "event_homes"};
    struct history_ticket *ticket = mem_new(1, sizeof *ticket);
    char keys[KEYS_COUNT][CONSENT_KEY_SIZE], most[16];
    const char *words[KEYS_COUNT + 3];
    size_t sizes[KEYS_COUNT + 3];
    struct buf homes = {0};
    *ticket = (struct history_ticket){.histories = histories, .done = done, .argument = argument};
    ticket->all = !*purpose;
    ticket->filters = *purpose && strcmp(purpose, consent_name(CONSENT_HISTORY)) != 0;
    ticket->tenant = mem_copy_text(tenant);
    snprintf(ticket->owner, sizeof ticket->owner, "%s", owner);
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        snprintf(keys[i], sizeof keys[i], "qiao:{u:%s}:%s", owner, kinds[i]);
        words[i] = keys[i];
    }
    snprintf(most, sizeof most, "%d", EVENTS_KEPT);
    if (!scope->all) pack_scope(&homes, histories->keys, owner, scope);
    words[KEYS_COUNT] = purpose;
    words[KEYS_COUNT + 1] = most;
    words[KEYS_COUNT + 2] = buf_text(&homes);
    for (size_t i = 0; i < KEYS_COUNT + 2; i++)
        sizes[i] = strlen(words[i]);
    sizes[KEYS_COUNT + 2] = homes.size;
    store_eval(histories->store, histories->script, on_read, ticket, KEYS_COUNT, KEYS_COUNT + 3,
               words, sizes);
    buf_fini(&homes);
    return ticket;
}

struct history_ticket *history_read_owner(struct histories *histories, const char *tenant,
                                          const char *owner, enum consent_purpose purpose,
                                          const struct history_scope *scope, history_fn *done,
                                          void *argument)
{
    return ask(histories, tenant, owner, consent_name(purpose), scope, done, argument);
}

struct history_ticket *history_read(struct histories *histories, const char *tenant,
                                    const char *user, enum consent_purpose purpose,
                                    const struct history_scope *scope, history_fn *done,
                                    void *argument)
{
    char owner[OWNER_TEXT_SIZE];
    owner_write(owner, &histories->key, tenant, user);
    return ask(histories, tenant, owner, consent_name(purpose), scope, done, argument);
}

struct history_ticket *history_read_all(struct histories *histories, const char *tenant,
                                        const char *user, history_fn *done, void *argument)
{
    char owner[OWNER_TEXT_SIZE];
    owner_write(owner, &histories->key, tenant, user);
    return ask(histories, tenant, owner, "", &history_everything, done, argument);
}

void history_drop(struct history_ticket *ticket)
{
    ticket->done = NULL;
}
