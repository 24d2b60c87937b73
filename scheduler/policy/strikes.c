#include "scheduler/policy/strikes.h"

#include "scheduler/state/store.h"

#include "base/mem.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One more strike; enough of them suspend, and are forgotten.
 *      KEYS  strikes, suspended   ARGV  how many, their time, the suspension's, both in ms
 *      gives the ms that are left of a suspension, 0 without one */
static const char add_text[] = "local count = redis.call('INCR', KEYS[1])\n"
                               "if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end\n"
                               "if count >= tonumber(ARGV[1]) then\n"
                               "  redis.call('SET', KEYS[2], '1', 'PX', ARGV[3])\n"
                               "  redis.call('DEL', KEYS[1])\n"
                               "end\n"
                               "local left = redis.call('PTTL', KEYS[2])\n"
                               "if left < 0 then return 0 end\n"
                               "return left\n";

/* What is kept. KEYS as above; gives how many strikes, and the ms that are left of a suspension */
static const char read_text[] = "return {tonumber(redis.call('GET', KEYS[1]) or '0'),\n"
                                "        redis.call('PTTL', KEYS[2])}\n";

enum {
    KEY_SIZE = 64,
    WHO_SIZE = RULES_NAME_MAX + 8,
    NUMBER_SIZE = 24
};

struct strikes {
    struct store *store;
    struct owner_key owner_key;
    struct store_script *add, *read;
};

struct strikes_ticket {
    strikes_fn *done; // NULL: nobody asks any more, or what is kept
    strikes_kept_fn *kept;
    void *argument;
};

struct strikes *strikes_new(struct store *store, const unsigned char root[OWNER_ROOT_SIZE])
{
    struct strikes *strikes = mem_new(1, sizeof *strikes);
    strikes->store = store;
    owner_key_init(&strikes->owner_key, root);
    strikes->add = store_add_script(store, add_text);
    strikes->read = store_add_script(store, read_text);
    return strikes;
}

void strikes_free(struct strikes *strikes)
{
    mem_free(strikes);
}

void strikes_drop(struct strikes_ticket *ticket)
{
    ticket->done = NULL;
    ticket->kept = NULL;
}

static struct strikes_ticket *new_ticket(strikes_fn *done, void *argument)
{
    struct strikes_ticket *ticket = mem_new(1, sizeof *ticket);
    *ticket = (struct strikes_ticket){.done = done, .argument = argument};
    return ticket;
}

static void write_keys(const struct strikes *strikes, const struct strikes_who *who,
                       char count[KEY_SIZE], char suspended[KEY_SIZE])
{
    char owner[OWNER_TEXT_SIZE], key[WHO_SIZE];
    // No user's name has a control character: a key's strikes are no user's.
    snprintf(key, sizeof key, "\x01%s", who->key);
    owner_write(owner, &strikes->owner_key, who->tenant, *who->user ? who->user : key);
    snprintf(count, KEY_SIZE, "qiao:{u:%s}:strikes", owner);
    snprintf(suspended, KEY_SIZE, "qiao:{u:%s}:suspended", owner);
}

static enum err name_err(enum err err)
{
    if (err != ERR_STORE_AWAY && err != ERR_TIMEOUT) return err;
    return err_note(ERR_STORE_AWAY, "whether the user is suspended cannot be read: Redis is away");
}

/* Not less than 0: Redis' word for a key that is not there is. */
static uint64_t number_of(const redisReply *reply)
{
    bool is_number = reply && reply->type == REDIS_REPLY_INTEGER && reply->integer > 0;
    return is_number ? (uint64_t)reply->integer : 0;
}

static void on_kept(void *argument, enum err err, const redisReply *reply)
{
    struct strikes_ticket *ticket = argument;
    struct strikes_kept kept = {0};
    err = name_err(err);
    if (!err && reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2) {
        kept.count = number_of(reply->element[0]);
        kept.left_ms = number_of(reply->element[1]);
    }
    if (ticket->kept) ticket->kept(ticket->argument, err, err ? NULL : &kept);
    mem_free(ticket);
}

static void on_answer(void *argument, enum err err, const redisReply *reply)
{
    struct strikes_ticket *ticket = argument;
    err = name_err(err);
    uint64_t left_ms = err ? 0 : number_of(reply);
    if (ticket->done) ticket->done(ticket->argument, err, left_ms);
    mem_free(ticket);
}

struct strikes_ticket *strikes_ask(struct strikes *strikes, const struct strikes_who *who,
                                   strikes_fn *done, void *argument)
{
    struct strikes_ticket *ticket = new_ticket(done, argument);
    char count[KEY_SIZE], suspended[KEY_SIZE];
    write_keys(strikes, who, count, suspended);
    const char *const words[] = {"PTTL", suspended};
    store_command(strikes->store, on_answer, ticket, 2, words, NULL);
    return ticket;
}

struct strikes_ticket *strikes_forgive(struct strikes *strikes, const struct strikes_who *who,
                                       strikes_fn *done, void *argument)
{
    struct strikes_ticket *ticket = new_ticket(done, argument);
    char count[KEY_SIZE], suspended[KEY_SIZE];
    write_keys(strikes, who, count, suspended);
    const char *const words[] = {"DEL", count, suspended};
    store_command(strikes->store, on_answer, ticket, 3, words, NULL);
    return ticket;
}

struct strikes_ticket *strikes_add(struct strikes *strikes, const struct strikes_who *who,
                                   const struct rules_filter *rules, strikes_fn *done,
                                   void *argument)
{
    struct strikes_ticket *ticket = new_ticket(done, argument);
    char count[KEY_SIZE], suspended[KEY_SIZE];
    char most[NUMBER_SIZE], window[NUMBER_SIZE], span[NUMBER_SIZE];
    if (rules->strikes == 0 || rules->strike_seconds == 0 || rules->suspend_seconds == 0) {
        store_later(strikes->store, on_answer, ticket);
        return ticket;
    }
    write_keys(strikes, who, count, suspended);
    snprintf(most, sizeof most, "%" PRIu32, rules->strikes);
    snprintf(window, sizeof window, "%" PRIu64, (uint64_t)rules->strike_seconds * 1000);
    snprintf(span, sizeof span, "%" PRIu64, (uint64_t)rules->suspend_seconds * 1000);
    const char *const words[] = {count, suspended, most, window, span};
    store_eval(strikes->store, strikes->add, on_answer, ticket, 2, 5, words, NULL);
    return ticket;
}

struct strikes_ticket *strikes_read(struct strikes *strikes, const struct strikes_who *who,
                                    strikes_kept_fn *done, void *argument)
{
    struct strikes_ticket *ticket = new_ticket(NULL, argument);
    char count[KEY_SIZE], suspended[KEY_SIZE];
    write_keys(strikes, who, count, suspended);
    const char *const words[] = {count, suspended};
    ticket->kept = done;
    store_eval(strikes->store, strikes->read, on_kept, ticket, 2, 2, words, NULL);
    return ticket;
}
