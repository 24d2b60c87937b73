#include "scheduler/policy/waivers.h"

#include "scheduler/state/store.h"

#include "base/clock.h"
#include "base/mem.h"

#include <hiredis/hiredis.h>
#include <sodium.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_SIZE = 64,
    NUMBER_SIZE = 24,
    SECONDS_OF_DAY = 86400,
    SEAL_SIZE = 2 * crypto_generichash_BYTES + 1,
    VALUE_SIZE = WAIVERS_AGREEMENT_SIZE + NUMBER_SIZE + SEAL_SIZE
};

struct waivers {
    struct store *store;
    struct owner_key owner_key;
    unsigned char seal_key[crypto_generichash_KEYBYTES]; // what only schedulers can write
};

struct waivers_ticket {
    const struct waivers *waivers;
    waivers_fn *done; // NULL: nobody asks any more
    void *argument;
    bool puts;
    char key[KEY_SIZE];
    char agreement[WAIVERS_AGREEMENT_SIZE]; // that is put
};

struct waivers *waivers_new(struct store *store, const unsigned char root[OWNER_ROOT_SIZE])
{
    struct waivers *waivers = mem_new(1, sizeof *waivers);
    waivers->store = store;
    owner_key_init(&waivers->owner_key, root);
    crypto_kdf_derive_from_key(waivers->seal_key, sizeof waivers->seal_key, 6, "qiaowaiv", root);
    return waivers;
}

void waivers_free(struct waivers *waivers)
{
    if (waivers) sodium_memzero(waivers, sizeof *waivers);
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

/* Whose it is, which, and until when, so that none of these can be another. */
static void write_seal(const struct waivers *waivers, const char *key, const char *agreement,
                       int64_t until_s, char seal[SEAL_SIZE])
{
    unsigned char hash[crypto_generichash_BYTES];
    char text[KEY_SIZE + WAIVERS_AGREEMENT_SIZE + NUMBER_SIZE];
    int size = snprintf(text, sizeof text, "%s %s %" PRId64, key, agreement, until_s);
    crypto_generichash(hash, sizeof hash, (const unsigned char *)text, (size_t)size,
                       waivers->seal_key, sizeof waivers->seal_key);
    sodium_bin2hex(seal, SEAL_SIZE, hash, sizeof hash);
}

/* "AGREEMENT UNTIL SEAL", as waivers_put() has written it. */
static bool is_ours(const struct waivers_ticket *ticket, const char *text, int64_t *until_s)
{
    char agreement[WAIVERS_AGREEMENT_SIZE] = "", seal[SEAL_SIZE], *end;
    if (strlen(text) < sizeof agreement) return false;
    memcpy(agreement, text, sizeof agreement - 1);
    *until_s = strtoll(text + sizeof agreement - 1, &end, 10);
    write_seal(ticket->waivers, ticket->key, agreement, *until_s, seal);
    return *end == ' ' && strlen(end + 1) == SEAL_SIZE - 1 &&
           sodium_memcmp(end + 1, seal, SEAL_SIZE - 1) == 0;
}

/* One that is over is none. */
static enum err read_value(struct waivers_ticket *ticket, const char *text)
{
    int64_t until_s;
    if (!is_ours(ticket, text, &until_s))
        return err_note(ERR_INTERNAL, "what Redis has of the user's agreement is none");
    if (clock_wall_ms() / 1000 < until_s)
        memcpy(ticket->agreement, text, sizeof ticket->agreement - 1);
    return ERR_OK;
}

static void on_answer(void *argument, enum err err, const redisReply *reply)
{
    struct waivers_ticket *ticket = argument;
    if (err == ERR_STORE_AWAY || err == ERR_TIMEOUT)
        err = err_note(ERR_STORE_AWAY,
                       "agreements on labels cannot be read or written: Redis is away");
    if (!err && !ticket->puts && reply->type == REDIS_REPLY_STRING)
        err = read_value(ticket, reply->str);
    if (ticket->done) ticket->done(ticket->argument, err, err ? "" : ticket->agreement);
    mem_free(ticket);
}

static struct waivers_ticket *new_ticket(const struct waivers *waivers, const char *tenant,
                                         const char *user, waivers_fn *done, void *argument)
{
    struct waivers_ticket *ticket = mem_new(1, sizeof *ticket);
    write_key(waivers, tenant, user, ticket->key);
    ticket->waivers = waivers;
    ticket->done = done;
    ticket->argument = argument;
    return ticket;
}

struct waivers_ticket *waivers_ask(struct waivers *waivers, const char *tenant, const char *user,
                                   waivers_fn *done, void *argument)
{
    struct waivers_ticket *ticket = new_ticket(waivers, tenant, user, done, argument);
    const char *const words[] = {"GET", ticket->key};
    store_command(waivers->store, on_answer, ticket, 2, words, NULL);
    return ticket;
}

struct waivers_ticket *waivers_put(struct waivers *waivers, const char *tenant, const char *user,
                                   const char *agreement, uint32_t days, waivers_fn *done,
                                   void *argument)
{
    struct waivers_ticket *ticket = new_ticket(waivers, tenant, user, done, argument);
    char seconds[NUMBER_SIZE], seal[SEAL_SIZE], value[VALUE_SIZE];
    ticket->puts = true;
    if (days == 0) {
        const char *const words[] = {"DEL", ticket->key};
        store_command(waivers->store, on_answer, ticket, 2, words, NULL);
        return ticket;
    }
    snprintf(ticket->agreement, sizeof ticket->agreement, "%s", agreement);
    int64_t lasts_s = (int64_t)days * SECONDS_OF_DAY, until_s = clock_wall_ms() / 1000 + lasts_s;
    write_seal(waivers, ticket->key, ticket->agreement, until_s, seal);
    snprintf(value, sizeof value, "%s %" PRId64 " %s", ticket->agreement, until_s, seal);
    snprintf(seconds, sizeof seconds, "%" PRId64, lasts_s);
    const char *const words[] = {"SET", ticket->key, value, "EX", seconds};
    store_command(waivers->store, on_answer, ticket, 5, words, NULL);
    return ticket;
}
