#include "scheduler/state/session_internal.h"
#include "scheduler/state/store.h"

#include "base/mem.h"

#include <hiredis/hiredis.h>

#include <stdio.h>

/*      KEYS  the session's hash, the owner's index
 *      ARGV  the session's id
 *      gives how many there were */
static const char delete_text[] = "redis.call('ZREM', KEYS[2], ARGV[1])\n"
                                  "return redis.call('DEL', KEYS[1])\n";

/* The sessions' own keys are in the index's slot: they have its hash tag.
 *      KEYS  the owner's index
 *      ARGV  what their keys begin with, how many to list
 *      gives how many there are; then id, version and ms to live of each, those that live longest first */
static const char list_text[] =
    "local time = redis.call('TIME')\n"
    "local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"
    "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))\n"
    "local out = {redis.call('ZCARD', KEYS[1])}\n"
    "for _, id in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, ARGV[2] - 1)) do\n"
    "  local version = redis.call('HGET', ARGV[1] .. id, 'v')\n"
    "  if version then\n"
    "    out[#out + 1] = id\n"
    "    out[#out + 1] = tonumber(version)\n"
    "    out[#out + 1] = redis.call('PTTL', ARGV[1] .. id)\n"
    "  end\n"
    "end\n"
    "return out\n";

void session_list_scripts(struct sessions *sessions)
{
    sessions->delete = store_add_script(sessions->options.store, delete_text);
    sessions->list = store_add_script(sessions->options.store, list_text);
}

static void on_deleted(void *argument, enum err err, const redisReply *reply)
{
    if (err)
        err = session_away(err);
    else if (reply->type != REDIS_REPLY_INTEGER || reply->integer == 0)
        err = err_note(ERR_NOT_FOUND, "there is no such session");
    session_finish(argument, err);
}

struct session_ticket *session_delete(struct sessions *sessions, const struct session_name *name,
                                      session_saved_fn *done, void *argument)
{
    struct session_ticket *ticket = session_ticket_new(sessions, name, argument);
    const struct record_place *place = &ticket->place;
    ticket->saved = done;
    const char *const words[] = {place->key, place->index, place->id};
    store_eval(sessions->options.store, sessions->delete, on_deleted, ticket, 2, 3, words, NULL);
    return ticket;
}

static enum err read_list(const redisReply *reply, struct session_entry *entries, size_t *count,
                          size_t *total)
{
    enum err unknown = ERR_INTERNAL;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 ||
        reply->elements > 1 + 3 * SESSION_INDEX_MAX || reply->elements % 3 != 1 ||
        reply->element[0]->type != REDIS_REPLY_INTEGER)
        return err_note(unknown, "the list's script gave an unknown answer");
    *total = (size_t)reply->element[0]->integer;
    *count = 0;
    for (size_t i = 1; i < reply->elements; i += 3) {
        const redisReply *id = reply->element[i], *version = reply->element[i + 1],
                         *ttl = reply->element[i + 2];
        if (id->type != REDIS_REPLY_STRING || version->type != REDIS_REPLY_INTEGER ||
            ttl->type != REDIS_REPLY_INTEGER)
            return err_note(unknown, "the list's script gave an unknown answer");
        entries[(*count)++] = (struct session_entry){id->str, (uint64_t)version->integer,
                                                     ttl->integer > 0 ? (uint64_t)ttl->integer : 0};
    }
    return ERR_OK;
}

static void on_listed(void *argument, enum err err, const redisReply *reply)
{
    struct session_ticket *ticket = argument;
    struct session_entry *entries = mem_new(SESSION_INDEX_MAX, sizeof *entries);
    size_t count = 0, total = 0;
    err = err ? session_away(err) : read_list(reply, entries, &count, &total);
    if (ticket->listed) ticket->listed(ticket->argument, err, entries, err ? 0 : count, total);
    mem_free(entries);
    mem_free(ticket);
}

struct session_ticket *session_list(struct sessions *sessions, const struct session_name *name,
                                    size_t most, session_listed_fn *done, void *argument)
{
    struct session_name owner = *name;
    char count[SESSION_NUMBER_SIZE];
    owner.id = NULL;
    owner.turn = NULL;
    struct session_ticket *ticket = session_ticket_new(sessions, &owner, argument);
    ticket->listed = done;
    snprintf(count, sizeof count, "%zu", most < SESSION_INDEX_MAX ? most : SESSION_INDEX_MAX);
    const char *const words[] = {ticket->place.index, ticket->place.prefix, count};
    store_eval(sessions->options.store, sessions->list, on_listed, ticket, 1, 3, words, NULL);
    return ticket;
}
