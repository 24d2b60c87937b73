#include "scheduler/state/spent.h"

#include "scheduler/state/store.h"

#include "base/mem.h"

#include <hiredis/hiredis.h>

#include <stdio.h>
#include <stdlib.h>

struct spent_ticket {
    spent_fn *done; // NULL: nobody asks any more
    void *argument;
};

static enum err read_fields(struct spent *out, const redisReply *fields)
{
    *out = (struct spent){0};
    if (fields->type != REDIS_REPLY_ARRAY)
        return err_note(ERR_INTERNAL, "the limits' hash is none");
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        const redisReply *name = fields->element[i], *value = fields->element[i + 1];
        if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING) continue;
        uint64_t count = strtoull(value->str, NULL, 10);
        out->requests += name->str[0] == 'r' ? count : 0;
        out->tokens += name->str[0] == 't' ? count : 0;
        out->day_tokens += name->str[0] == 'd' ? count : 0;
    }
    return ERR_OK;
}

static void on_read(void *argument, enum err err, const redisReply *reply)
{
    struct spent_ticket *ticket = argument;
    struct spent spent;
    if (ticket->done) {
        if (err == ERR_TIMEOUT || err == ERR_STORE_AWAY)
            err = err_note(ERR_STORE_AWAY, "limits cannot be read: Redis is away");
        if (!err) err = read_fields(&spent, reply);
        ticket->done(ticket->argument, err, err ? NULL : &spent);
    }
    mem_free(ticket);
}

struct spent_ticket *spent_read(struct store *store, const char *owner, spent_fn *done,
                                void *argument)
{
    struct spent_ticket *ticket = mem_new(1, sizeof *ticket);
    char key[80];
    *ticket = (struct spent_ticket){done, argument};
    snprintf(key, sizeof key, "qiao:{u:%s}:spent", owner);
    const char *const words[] = {"HGETALL", key};
    store_command(store, on_read, ticket, 2, words, NULL);
    return ticket;
}

void spent_drop(struct spent_ticket *ticket)
{
    ticket->done = NULL;
}
