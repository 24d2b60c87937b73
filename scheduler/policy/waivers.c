#include "scheduler/policy/waivers.h"

#include "scheduler/state/store.h"

#include "base/mem.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    KEY_SIZE = 64,
    NUMBER_SIZE = 24,
    SECONDS_OF_DAY = 86400
};

struct waivers {
    struct store *store;
    struct owner_key owner_key;
};

struct waivers_ticket {
    waivers_fn *done; // NULL: nobody asks any more
    void *argument;
    bool puts;
    char agreement[WAIVERS_AGREEMENT_SIZE]; // that is put
};

struct waivers *waivers_new(struct store *store, const unsigned char root[OWNER_ROOT_SIZE])
{
    struct waivers *waivers = mem_new(1, sizeof *waivers);
    waivers->store = store;
    owner_key_init(&waivers->owner_key, root);
    return waivers;
}

void waivers_free(struct waivers *waivers)
{
    mem_free(waivers);
}

void waivers_drop(struct waivers_ticket *ticket)
{
    ticket->done = NULL;
}

bool waivers_is_agreement(const char *text)
{
    size_t size = WAIVERS_AGREEMENT_SIZE - 1;
    return strlen(text) == size && strspn(text, "0123456789abcdef") == size;
}

static void write_key(const struct waivers *waivers, const char *tenant, const char *user,
                      char key[KEY_SIZE])
{
    char owner[OWNER_TEXT_SIZE];
    owner_write(owner, &waivers->owner_key, tenant, user);
    snprintf(key, KEY_SIZE, "qiao:{u:%s}:waiver", owner);
}

static void on_answer(void *argument, enum err err, const redisReply *reply)
{
    struct waivers_ticket *ticket = argument;
    const char *agreement = ticket->puts ? ticket->agreement : "";
    if (err == ERR_STORE_AWAY || err == ERR_TIMEOUT)
        err = err_note(ERR_STORE_AWAY,
                       "agreements on labels cannot be read or written: Redis is away");
    if (!err && !ticket->puts && reply->type == REDIS_REPLY_STRING) agreement = reply->str;
    if (!err && *agreement && !waivers_is_agreement(agreement))
        err = err_note(ERR_INTERNAL, "what Redis has of the user's agreement is none");
    if (ticket->done) ticket->done(ticket->argument, err, err ? "" : agreement);
    mem_free(ticket);
}

static struct waivers_ticket *new_ticket(waivers_fn *done, void *argument)
{
    struct waivers_ticket *ticket = mem_new(1, sizeof *ticket);
    ticket->done = done;
    ticket->argument = argument;
    return ticket;
}

struct waivers_ticket *waivers_ask(struct waivers *waivers, const char *tenant, const char *user,
                                   waivers_fn *done, void *argument)
{
    struct waivers_ticket *ticket = new_ticket(done, argument);
    char key[KEY_SIZE];
    write_key(waivers, tenant, user, key);
    const char *const words[] = {"GET", key};
    store_command(waivers->store, on_answer, ticket, 2, words, NULL);
    return ticket;
}

struct waivers_ticket *waivers_put(struct waivers *waivers, const char *tenant, const char *user,
                                   const char *agreement, uint32_t days, waivers_fn *done,
                                   void *argument)
{
    struct waivers_ticket *ticket = new_ticket(done, argument);
    char key[KEY_SIZE], seconds[NUMBER_SIZE];
    ticket->puts = true;
    write_key(waivers, tenant, user, key);
    if (days == 0) {
        const char *const words[] = {"DEL", key};
        store_command(waivers->store, on_answer, ticket, 2, words, NULL);
        return ticket;
    }
    snprintf(ticket->agreement, sizeof ticket->agreement, "%s", agreement);
    snprintf(seconds, sizeof seconds, "%" PRIu64, (uint64_t)days * SECONDS_OF_DAY);
    const char *const words[] = {"SET", key, agreement, "EX", seconds};
    store_command(waivers->store, on_answer, ticket, 5, words, NULL);
    return ticket;
}
