#include "scheduler/features/history.h"

#include "scheduler/state/store.h"

#include "base/mem.h"

#include <hiredis/hiredis.h>
#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*      KEYS  consent, events
 *      ARGV  purpose, most events
 *      gives 0 without consent; or 1 and the records of the user's own events, then of each partner's, newest first */
static const char read_text[] =
    "local consent = redis.call('HMGET', KEYS[1], ARGV[1], 'personalization')\n"
    "if not consent[1] or consent[2] == '0' then return {0} end\n"
    "local out = {1}\n"
    "local function add(key)\n"
    "  for _, record in ipairs(redis.call('LRANGE', key, 0, ARGV[2] - 1)) do out[#out + 1] = "
    "record end\n"
    "end\n"
    "for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do\n"
    "  if field == 'history' then add(KEYS[2]) end\n"
    "  local source = string.match(field, '^partner:(.+)$')\n"
    "  if source then add(KEYS[2] .. ':' .. source) end\n"
    "end\n"
    "return out\n";

struct histories {
    struct store *store;
    struct owner_key key;
    struct store_script *script;
};

struct history_ticket {
    history_fn *done; // NULL: nobody asks any more
    void *argument;
};

/* An event with what it is read from. */
struct entry {
    struct history_event event;
    json_t *record;
    size_t order; // as it came from Redis: the newest first
};

struct histories *histories_new(struct store *store, const struct owner_key *key)
{
    struct histories *histories = mem_new(1, sizeof *histories);
    *histories = (struct histories){store, *key, store_add_script(store, read_text)};
    return histories;
}

void histories_free(struct histories *histories)
{
    mem_free(histories);
}

static bool read_entry(struct entry *entry, const redisReply *record)
{
    if (record->type != REDIS_REPLY_STRING) return false;
    json_t *root = json_loadb(record->str, record->len, 0, NULL);
    const char *type = json_string_value(json_object_get(root, "y"));
    struct history_event *event = &entry->event;
    if (!type || !event_type_find(type, &event->type)) {
        json_decref(root); // of a later version
        return false;
    }
    event->time_ms = json_integer_value(json_object_get(root, "t"));
    event->item = json_string_value(json_object_get(root, "i"));
    event->session = json_string_value(json_object_get(root, "s"));
    event->properties = json_object_get(root, "p");
    event->query = json_string_value(json_object_get(event->properties, "query"));
    entry->record = root;
    return true;
}

/* The oldest first; what came last into a list stands first there. */
static int compare(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    if (left->event.time_ms != right->event.time_ms)
        return left->event.time_ms < right->event.time_ms ? -1 : 1;
    return left->order > right->order ? -1 : 1;
}

static void tell(struct history_ticket *ticket, const redisReply *reply)
{
    size_t count = 0;
    struct entry *entries = mem_new(reply->elements, sizeof *entries);
    struct history_event *events = mem_new(EVENTS_KEPT, sizeof *events);
    for (size_t i = 1; i < reply->elements; i++) {
        entries[count].order = i;
        count += read_entry(&entries[count], reply->element[i]);
    }
    qsort(entries, count, sizeof *entries, compare);
    size_t kept = count < EVENTS_KEPT ? count : EVENTS_KEPT;
    for (size_t i = 0; i < kept; i++)
        events[i] = entries[count - kept + i].event;
    ticket->done(ticket->argument, ERR_OK, &(struct history){true, events, kept});
    for (size_t i = 0; i < count; i++)
        json_decref(entries[i].record);
    mem_free(entries);
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
    } else if (ticket->done) {
        tell(ticket, reply);
    }
    mem_free(ticket);
}

struct history_ticket *history_read(struct histories *histories, const char *tenant,
                                    const char *user, enum consent_purpose purpose,
                                    history_fn *done, void *argument)
{
    struct history_ticket *ticket = mem_new(1, sizeof *ticket);
    char owner[OWNER_TEXT_SIZE], consent[CONSENT_KEY_SIZE], events[CONSENT_KEY_SIZE], most[16];
    *ticket = (struct history_ticket){done, argument};
    owner_write(owner, &histories->key, tenant, user);
    snprintf(consent, sizeof consent, "qiao:{u:%s}:consent", owner);
    snprintf(events, sizeof events, "qiao:{u:%s}:events", owner);
    snprintf(most, sizeof most, "%d", EVENTS_KEPT);
    const char *const words[] = {consent, events, consent_name(purpose), most};
    store_eval(histories->store, histories->script, on_read, ticket, 2, 4, words, NULL);
    return ticket;
}

void history_drop(struct history_ticket *ticket)
{
    ticket->done = NULL;
}
