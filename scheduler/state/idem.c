#include "scheduler/state/idem.h"

#include "scheduler/state/facts.h"
#include "scheduler/state/store.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <sodium.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOKS_MAX = 24, // at a running attempt, before a claim gives up
    NEAR_LOOKS = 4, // at one of this scheduler's own: its connection may be closing now
    NUMBER_SIZE = 24,
    INSTANCE_SIZE = 16, // hexadecimal digits
    OWNER_MAX = INSTANCE_SIZE + 1 + NUMBER_SIZE,
    KEY_MAX = 64
};

/* KEYS  the record: v, body, answer (written once); owner, until (ms), tries, paid, most, version
 * ARGV  body, answer, owner, run ms, ttl ms, most tries, "1" when it must be there, an owner that is dead
 * gives {"new"}, {"again", answer, paid, most, version}, {"busy", owner}, {"other"}, {"unknown"}, {"spent"} */
static const char claim_text[] =
    "local time = redis.call('TIME')\n"
    "local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"
    "local till = string.format('%.0f', now + ARGV[4])\n"
    "local old = redis.call('HMGET', KEYS[1], 'body', 'answer', 'owner', 'until', 'tries', "
    "'paid',\n"
    "                       'most', 'version')\n"
    "if not old[1] then\n"
    "  if ARGV[7] == '1' then return {'unknown'} end\n"
    "  redis.call('HSET', KEYS[1], 'v', '1', 'body', ARGV[1], 'answer', ARGV[2], 'owner', "
    "ARGV[3],\n"
    "             'until', till, 'tries', '1', 'paid', '0', 'most', '0', 'version', '')\n"
    "  redis.call('PEXPIRE', KEYS[1], ARGV[5])\n"
    "  return {'new'}\n"
    "end\n"
    "if old[1] ~= ARGV[1] then return {'other'} end\n"
    "if old[3] ~= '' and old[3] ~= ARGV[8] and tonumber(old[4]) > now then\n"
    "  return {'busy', old[3]}\n"
    "end\n"
    "if tonumber(old[5]) >= tonumber(ARGV[6]) then return {'spent'} end\n"
    "redis.call('HSET', KEYS[1], 'owner', ARGV[3], 'until', till)\n"
    "redis.call('HINCRBY', KEYS[1], 'tries', 1)\n"
    "redis.call('PEXPIRE', KEYS[1], ARGV[5])\n"
    "return {'again', old[2], old[6], old[7], old[8]}\n";

/* ARGV  owner, paid, most, version */
static const char mark_text[] =
    "if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end\n"
    "redis.call('HSET', KEYS[1], 'paid', ARGV[2], 'most', ARGV[3], 'version', ARGV[4])\n"
    "return 1\n";

/* ARGV  owner, paid, ttl ms */
static const char release_text[] =
    "if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end\n"
    "redis.call('HSET', KEYS[1], 'owner', '', 'paid', ARGV[2])\n"
    "redis.call('PEXPIRE', KEYS[1], ARGV[3])\n"
    "return 1\n";

/*      ASKING --busy--> LOOKING --alive--> WAITING --> ASKING …
 *         |                |  \--gone--> ASKING (the owner is dead)
 *         |                +--renewed, or too many looks: refused, dead
 *         +--new, again--> RUNNING --released--> dead                           any other word: dead */
enum state {
    ASKING,
    LOOKING,
    WAITING,
    RUNNING
};

struct idem_ticket {
    struct idems *idems;
    struct idem_ticket *next, *previous;
    enum state state;
    char key[KEY_MAX];
    char owner[OWNER_MAX + 1]; // us, in this attempt
    char other[OWNER_MAX + 1]; // who runs it as far as is known
    char body[2 * DIGEST_SIZE + 1];
    char answer[FACTS_TEXT_MAX];
    struct facts facts;
    bool known;
    uint32_t looks;
    int64_t alive_ms; // that the other's sign of life had left at the last look; 0: not looked yet
    struct event *later;
    idem_claimed_fn *done; // NULL: nobody waits
    void *argument;
};

struct idems {
    struct event_base *base;
    struct store *store;
    struct store_script *claim, *mark, *release;
    struct event *pulse;
    struct idem_ticket tickets; // the head of a list
    unsigned char secret[IDEM_SECRET_SIZE];
    char instance[INSTANCE_SIZE + 1];
    char alive[KEY_MAX];
    uint64_t attempts;
    uint64_t ttl_ms, run_ms;
};

static void ask(struct idem_ticket *ticket, const char *dead);

// ---- signs of life -----------------------------------------------------------------------------

static void name_alive(const char *instance, char key[KEY_MAX])
{
    snprintf(key, KEY_MAX, "qiao:{scheduler:%.*s}", INSTANCE_SIZE, instance);
}

static void send_pulse(struct idems *idems)
{
    char ms[NUMBER_SIZE];
    snprintf(ms, sizeof ms, "%d", IDEM_ALIVE_MS);
    const char *words[] = {"SET", idems->alive, "1", "PX", ms};
    if (store_is_up(idems->store)) store_command(idems->store, NULL, NULL, 5, words, NULL);
}

static void on_pulse(evutil_socket_t fd, short what, void *argument)
{
    (void)fd, (void)what;
    send_pulse(argument);
}

struct idems *idems_new(const struct idem_options *options)
{
    struct idems *idems = mem_new(1, sizeof *idems);
    idems->base = options->base;
    idems->store = options->store;
    idems->ttl_ms = options->ttl_seconds * UINT64_C(1000);
    idems->run_ms = options->run_ms;
    memcpy(idems->secret, options->secret, sizeof idems->secret);
    snprintf(idems->instance, sizeof idems->instance, "%016" PRIx64, rand_entropy());
    name_alive(idems->instance, idems->alive);
    idems->claim = store_add_script(options->store, claim_text);
    idems->mark = store_add_script(options->store, mark_text);
    idems->release = store_add_script(options->store, release_text);
    idems->tickets.next = idems->tickets.previous = &idems->tickets;
    idems->pulse = event_new(options->base, -1, EV_PERSIST, on_pulse, idems);
    must(idems->pulse != NULL);
    return idems;
}

void idems_free(struct idems *idems)
{
    if (!idems) return;
    must(idems->tickets.next == &idems->tickets);
    event_free(idems->pulse);
    sodium_memzero(idems->secret, sizeof idems->secret);
    mem_free(idems);
}

// ---- tickets -----------------------------------------------------------------------------------

static void on_later(evutil_socket_t fd, short what, void *argument)
{
    (void)fd, (void)what;
    ask(argument, "");
}

static struct idem_ticket *ticket_new(struct idems *idems)
{
    struct idem_ticket *ticket = mem_new(1, sizeof *ticket);
    struct timeval period = {.tv_usec = IDEM_PULSE_MS * 1000};
    ticket->idems = idems;
    ticket->later = evtimer_new(idems->base, on_later, ticket);
    must(ticket->later != NULL);
    if (idems->tickets.next == &idems->tickets) { // the first: from now on we show that we live
        event_add(idems->pulse, &period);
        send_pulse(idems);
    }
    ticket->next = &idems->tickets;
    ticket->previous = idems->tickets.previous;
    ticket->next->previous = ticket->previous->next = ticket;
    snprintf(ticket->owner, sizeof ticket->owner, "%s.%" PRIu64, idems->instance,
             idems->attempts++);
    return ticket;
}

static void ticket_free(struct idem_ticket *ticket)
{
    struct idems *idems = ticket->idems;
    ticket->next->previous = ticket->previous;
    ticket->previous->next = ticket->next;
    if (idems->tickets.next == &idems->tickets) event_del(idems->pulse);
    event_free(ticket->later);
    mem_free(ticket);
}

static void refuse(struct idem_ticket *ticket, enum err err)
{
    idem_claimed_fn *done = ticket->done;
    void *argument = ticket->argument;
    ticket_free(ticket);
    if (done) done(argument, err, NULL);
}

// ---- words -------------------------------------------------------------------------------------

/* What an outsider cannot guess from a short text, and the NULs part the texts. */
static void hash(const struct idems *idems, const char *const *texts, const size_t *sizes,
                 size_t count, char hex[2 * DIGEST_SIZE + 1])
{
    unsigned char bytes[DIGEST_SIZE];
    crypto_generichash_state state;
    crypto_generichash_init(&state, idems->secret, sizeof idems->secret, sizeof bytes);
    for (size_t i = 0; i < count; i++) {
        crypto_generichash_update(&state, (const unsigned char *)texts[i], sizes[i]);
        crypto_generichash_update(&state, (const unsigned char *)"", 1);
    }
    crypto_generichash_final(&state, bytes, sizeof bytes);
    sodium_bin2hex(hex, 2 * DIGEST_SIZE + 1, bytes, sizeof bytes);
}

static void write_names(struct idem_ticket *ticket, const struct idem_asked *asked)
{
    char hex[2 * DIGEST_SIZE + 1];
    const char *name[] = {asked->tenant, asked->user, asked->key};
    const size_t name_sizes[] = {strlen(asked->tenant), strlen(asked->user), strlen(asked->key)};
    const char *body[] = {asked->path, asked->body};
    const size_t body_sizes[] = {strlen(asked->path), asked->body_size};
    hash(ticket->idems, name, name_sizes, 3, hex);
    snprintf(ticket->key, sizeof ticket->key, "qiao:{i:%s}", hex);
    hash(ticket->idems, body, body_sizes, 2, ticket->body);
}

static enum err unreadable(void)
{
    return err_note(ERR_INTERNAL, "what Redis remembers of this Idempotency-Key cannot be read");
}

static enum err read_number(const redisReply *field, uint64_t *out)
{
    char *end;
    if (field->type != REDIS_REPLY_STRING || field->len == 0) return unreadable();
    *out = strtoull(field->str, &end, 10);
    return *end ? unreadable() : ERR_OK;
}

static enum err read_record(const redisReply *reply, struct idem_record *record)
{
    if (reply->elements != 5) return unreadable();
    for (size_t i = 0; i < 5; i++)
        if (reply->element[i]->type != REDIS_REPLY_STRING) return unreadable();
    record->again = true;
    if (facts_read(&record->facts, reply->element[1]->str, reply->element[1]->len))
        return unreadable();
    struct idem_mark *mark = &record->mark;
    uint64_t most = 0;
    TRY(read_number(reply->element[2], &mark->paid));
    TRY(read_number(reply->element[3], &most));
    if (most > UINT32_MAX) return unreadable();
    mark->max_tokens = (uint32_t)most;
    mark->has_base = reply->element[4]->len > 0;
    if (!mark->has_base) return ERR_OK;
    return read_number(reply->element[4], &mark->version);
}

// ---- claiming ----------------------------------------------------------------------------------

static void send_release(const struct idem_ticket *ticket, uint64_t paid)
{
    const struct idems *idems = ticket->idems;
    char number[NUMBER_SIZE], ttl[NUMBER_SIZE];
    snprintf(number, sizeof number, "%" PRIu64, paid);
    snprintf(ttl, sizeof ttl, "%" PRIu64, idems->ttl_ms);
    const char *words[] = {ticket->key, ticket->owner, number, ttl};
    store_eval(idems->store, idems->release, NULL, NULL, 1, 4, words, NULL);
}

static enum err away(enum err err)
{
    if (err != ERR_STORE_AWAY && err != ERR_TIMEOUT) return err;
    return err_note(ERR_STORE_AWAY, "Redis, which remembers Idempotency-Keys, cannot be reached");
}

static void grant(struct idem_ticket *ticket, const redisReply *reply)
{
    struct idem_record record = {.facts = ticket->facts};
    if (strcmp(reply->element[0]->str, "again") == 0) {
        enum err err = read_record(reply, &record);
        if (err) {
            refuse(ticket, err);
            return;
        }
    }
    ticket->state = RUNNING;
    if (ticket->done) {
        ticket->done(ticket->argument, ERR_OK, &record);
        return;
    }
    send_release(ticket, record.mark.paid);
    ticket_free(ticket);
}

static enum err note_busy(void)
{
    return err_note(ERR_CONFLICT,
                    "the answer for this Idempotency-Key is being sent on another connection: try "
                    "again when it has ended, or was closed");
}

static void look_later(struct idem_ticket *ticket)
{
    struct timeval pause = {.tv_usec = IDEM_LOOK_MS * 1000};
    if (++ticket->looks > LOOKS_MAX) {
        refuse(ticket, note_busy());
        return;
    }
    ticket->state = WAITING;
    evtimer_add(ticket->later, &pause);
}

/* A sign of life that has more time left than at the look before was renewed meanwhile. */
static void on_looked(void *argument, enum err err, const redisReply *reply)
{
    struct idem_ticket *ticket = argument;
    if (!ticket->done) {
        ticket_free(ticket);
    } else if (err || reply->type != REDIS_REPLY_INTEGER) {
        refuse(ticket, err ? away(err) : unreadable());
    } else if (reply->integer <= 0) {
        ask(ticket, ticket->other);
    } else if (ticket->alive_ms > 0 && reply->integer > ticket->alive_ms) {
        refuse(ticket, note_busy());
    } else {
        ticket->alive_ms = reply->integer;
        look_later(ticket);
    }
}

static bool runs_here(const struct idems *idems, const char *owner)
{
    for (const struct idem_ticket *at = idems->tickets.next; at != &idems->tickets; at = at->next)
        if (at->state == RUNNING && strcmp(at->owner, owner) == 0) return true;
    return false;
}

static void look(struct idem_ticket *ticket, const redisReply *owner)
{
    struct idems *idems = ticket->idems;
    char alive[KEY_MAX];
    if (owner->type != REDIS_REPLY_STRING || owner->len > OWNER_MAX) {
        refuse(ticket, unreadable());
        return;
    }
    if (strcmp(ticket->other, owner->str) != 0) ticket->alive_ms = 0;
    memcpy(ticket->other, owner->str, owner->len + 1);
    if (strncmp(ticket->other, idems->instance, INSTANCE_SIZE) == 0) {
        if (!runs_here(idems, ticket->other)) // its release was lost with a connection to Redis
            ask(ticket, ticket->other);
        else if (ticket->looks >= NEAR_LOOKS)
            refuse(ticket, note_busy());
        else
            look_later(ticket);
        return;
    }
    name_alive(ticket->other, alive);
    const char *words[] = {"PTTL", alive};
    ticket->state = LOOKING;
    store_command(idems->store, on_looked, ticket, 2, words, NULL);
}

static void on_asked(void *argument, enum err err, const redisReply *reply)
{
    struct idem_ticket *ticket = argument;
    bool good = !err && reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
                reply->element[0]->type == REDIS_REPLY_STRING;
    const char *word = good ? reply->element[0]->str : "";
    if (err)
        refuse(ticket, away(err));
    else if (strcmp(word, "new") == 0 || strcmp(word, "again") == 0)
        grant(ticket, reply);
    else if (strcmp(word, "busy") == 0 && reply->elements == 2 && ticket->done)
        look(ticket, reply->element[1]);
    else if (strcmp(word, "busy") == 0)
        ticket_free(ticket);
    else if (strcmp(word, "other") == 0)
        refuse(ticket, err_note(ERR_MISMATCH, "this Idempotency-Key was used for another request: "
                                              "send the same body, or take a new key"));
    else if (strcmp(word, "unknown") == 0)
        refuse(ticket,
               err_note(ERR_NOT_FOUND,
                        "no answer is known for this Idempotency-Key (it is kept for %" PRIu64
                        " s): ask without Last-Event-ID to begin a new one",
                        ticket->idems->ttl_ms / 1000));
    else if (strcmp(word, "spent") == 0)
        refuse(ticket,
               err_note(ERR_LIMITED, "this Idempotency-Key was used %d times: take a new one",
                        IDEM_TRIES_MAX));
    else
        refuse(ticket, unreadable());
}

static void ask(struct idem_ticket *ticket, const char *dead)
{
    struct idems *idems = ticket->idems;
    char run[NUMBER_SIZE], ttl[NUMBER_SIZE], tries[NUMBER_SIZE];
    snprintf(run, sizeof run, "%" PRIu64, idems->run_ms);
    snprintf(ttl, sizeof ttl, "%" PRIu64, idems->ttl_ms);
    snprintf(tries, sizeof tries, "%d", IDEM_TRIES_MAX);
    const char *words[] = {ticket->key, ticket->body, ticket->answer, ticket->owner,
                           run,         ttl,          tries,          ticket->known ? "1" : "0",
                           dead};
    ticket->state = ASKING;
    store_eval(idems->store, idems->claim, on_asked, ticket, 1, 9, words, NULL);
}

struct idem_ticket *idem_claim(struct idems *idems, const struct idem_asked *asked,
                               const struct facts *facts, idem_claimed_fn *done, void *argument)
{
    struct idem_ticket *ticket = ticket_new(idems);
    write_names(ticket, asked);
    facts_write(facts, ticket->answer);
    ticket->facts = *facts;
    ticket->known = asked->known;
    ticket->done = done;
    ticket->argument = argument;
    ask(ticket, "");
    return ticket;
}

void idem_drop(struct idem_ticket *ticket)
{
    must(ticket->state != RUNNING);
    ticket->done = NULL;
    if (ticket->state == WAITING) ticket_free(ticket);
}

// ---- running -----------------------------------------------------------------------------------

void idem_set(struct idem_ticket *ticket, const struct idem_mark *mark)
{
    struct idems *idems = ticket->idems;
    char paid[NUMBER_SIZE], most[NUMBER_SIZE], version[NUMBER_SIZE] = "";
    must(ticket->state == RUNNING);
    snprintf(paid, sizeof paid, "%" PRIu64, mark->paid);
    snprintf(most, sizeof most, "%" PRIu32, mark->max_tokens);
    if (mark->has_base) snprintf(version, sizeof version, "%" PRIu64, mark->version);
    const char *words[] = {ticket->key, ticket->owner, paid, most, version};
    store_eval(idems->store, idems->mark, NULL, NULL, 1, 5, words, NULL);
}

void idem_release(struct idem_ticket *ticket, uint64_t paid)
{
    must(ticket->state == RUNNING);
    send_release(ticket, paid);
    ticket_free(ticket);
}
