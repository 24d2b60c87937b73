#include "scheduler/state/idem.h"

#include "scheduler/state/facts.h"
#include "scheduler/state/pulse.h"
#include "scheduler/state/store.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <sodium.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NUMBER_SIZE = 24,
    OWNER_MAX = PULSE_INSTANCE_SIZE + 1 + NUMBER_SIZE,
    KEY_MAX = 64
};

/* KEYS  the record: v, body, answer (written once); owner, since, until (ms), tries, paid, most, version, ground
 * ARGV  body, answer, owner, run ms, ttl ms, most tries, "1" when it must be there, an owner that is dead,
 *       when we asked first (ms; "": now)
 * gives {"new"}, {"again", answer, paid, most, version, ground}, {"busy", owner, since, now}, {"other"}, {"unknown"}, {"spent"} */
static const char claim_text[] =
    "local time = redis.call('TIME')\n"
    "local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"
    "local till = string.format('%.0f', now + ARGV[4])\n"
    "now = string.format('%.0f', now)\n"
    "local since = ARGV[9] ~= '' and ARGV[9] or now\n"
    "local old = redis.call('HMGET', KEYS[1], 'body', 'answer', 'owner', 'until', 'tries', "
    "'paid',\n"
    "                       'most', 'version', 'since', 'ground')\n"
    "if not old[1] then\n"
    "  if ARGV[7] == '1' then return {'unknown'} end\n"
    "  redis.call('HSET', KEYS[1], 'v', '1', 'body', ARGV[1], 'answer', ARGV[2], 'owner', "
    "ARGV[3],\n"
    "             'since', since, 'until', till, 'tries', '1', 'paid', '0', 'most', '0',\n"
    "             'version', '')\n"
    "  redis.call('PEXPIRE', KEYS[1], ARGV[5])\n"
    "  return {'new'}\n"
    "end\n"
    "if old[1] ~= ARGV[1] then return {'other'} end\n"
    "if old[3] ~= '' and old[3] ~= ARGV[8] and tonumber(old[4]) > tonumber(now) then\n"
    "  return {'busy', old[3], old[9] or '0', now}\n"
    "end\n"
    "if tonumber(old[5]) >= tonumber(ARGV[6]) then return {'spent'} end\n"
    "redis.call('HSET', KEYS[1], 'owner', ARGV[3], 'since', since, 'until', till)\n"
    "redis.call('HINCRBY', KEYS[1], 'tries', 1)\n"
    "redis.call('PEXPIRE', KEYS[1], ARGV[5])\n"
    "return {'again', old[2], old[6], old[7], old[8], old[10] or ''}\n";

/* ARGV  owner, paid, most, version, ground */
static const char mark_text[] =
    "if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end\n"
    "redis.call('HSET', KEYS[1], 'paid', ARGV[2], 'most', ARGV[3], 'version', ARGV[4])\n"
    "if ARGV[5] ~= '' then redis.call('HSET', KEYS[1], 'ground', ARGV[5]) end\n"
    "return 1\n";

/* ARGV  owner, paid, ttl ms */
static const char release_text[] =
    "if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end\n"
    "redis.call('HSET', KEYS[1], 'owner', '', 'paid', ARGV[2])\n"
    "redis.call('PEXPIRE', KEYS[1], ARGV[3])\n"
    "return 1\n";

/*      ASKING --busy--> LOOKING --alive, and asked to let go--> WAITING --> ASKING …
 *         |                |  \--gone--> ASKING (the owner is dead)
 *         |                +--the owner is newer, or too many looks: refused, dead
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
    uint64_t since_ms; // when it was asked for, by Redis' clock; 0: it has met no other
    struct event *later;
    idem_claimed_fn *done; // NULL: nobody waits
    idem_taken_fn *taken;
    void *argument;
};

struct idems {
    struct event_base *base;
    struct store *store;
    struct store_script *claim, *mark, *release;
    struct pulse *pulse;
    struct idem_ticket tickets; // the head of a list
    unsigned char secret[IDEM_SECRET_SIZE];
    uint64_t attempts;
    uint64_t ttl_ms, run_ms;
};

static void ask(struct idem_ticket *ticket, const char *dead);

/* The ticket of an attempt that runs here; NULL: there is none. */
static struct idem_ticket *running(const struct idems *idems, const char *owner)
{
    for (struct idem_ticket *at = idems->tickets.next; at != &idems->tickets; at = at->next)
        if (at->state == RUNNING && strcmp(at->owner, owner) == 0) return at;
    return NULL;
}

/* Another scheduler has a newer request for this attempt's record. */
static void on_asked_to_let_go(void *argument, const char *owner)
{
    struct idem_ticket *ticket = running(argument, owner);
    if (ticket) ticket->taken(ticket->argument);
}

struct idems *idems_new(const struct idem_options *options)
{
    struct idems *idems = mem_new(1, sizeof *idems);
    idems->base = options->base;
    idems->store = options->store;
    idems->ttl_ms = options->ttl_seconds * UINT64_C(1000);
    idems->run_ms = options->run_ms;
    memcpy(idems->secret, options->secret, sizeof idems->secret);
    idems->claim = store_add_script(options->store, claim_text);
    idems->mark = store_add_script(options->store, mark_text);
    idems->release = store_add_script(options->store, release_text);
    idems->tickets.next = idems->tickets.previous = &idems->tickets;
    idems->pulse = pulse_new(options->base, options->store, on_asked_to_let_go, idems);
    return idems;
}

void idems_free(struct idems *idems)
{
    if (!idems) return;
    must(idems->tickets.next == &idems->tickets);
    pulse_free(idems->pulse);
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
    ticket->idems = idems;
    ticket->later = evtimer_new(idems->base, on_later, ticket);
    must(ticket->later != NULL);
    if (idems->tickets.next == &idems->tickets) pulse_begin(idems->pulse); // the first one
    ticket->next = &idems->tickets;
    ticket->previous = idems->tickets.previous;
    ticket->next->previous = ticket->previous->next = ticket;
    snprintf(ticket->owner, sizeof ticket->owner, "%s.%" PRIu64, pulse_instance(idems->pulse),
             idems->attempts++);
    return ticket;
}

static void ticket_free(struct idem_ticket *ticket)
{
    struct idems *idems = ticket->idems;
    ticket->next->previous = ticket->previous;
    ticket->previous->next = ticket->next;
    if (idems->tickets.next == &idems->tickets) pulse_end(idems->pulse);
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
    const char *body[] = {asked->path, asked->body, asked->rules};
    const size_t body_sizes[] = {strlen(asked->path), asked->body_size,
                                 asked->rules ? strlen(asked->rules) : 0};
    hash(ticket->idems, name, name_sizes, 3, hex);
    snprintf(ticket->key, sizeof ticket->key, "qiao:{i:%s}", hex);
    hash(ticket->idems, body, body_sizes, asked->rules ? 3 : 2, ticket->body);
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
    if (reply->elements != 6) return unreadable();
    for (size_t i = 0; i < 6; i++)
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
    if (reply->element[5]->len >= sizeof mark->ground) return unreadable();
    memcpy(mark->ground, reply->element[5]->str, reply->element[5]->len + 1);
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
    return err_note(
        ERR_CONFLICT,
        "the answer for this Idempotency-Key is being sent on another connection, which "
        "is newer or was not closed in time: try again");
}

static void look_later(struct idem_ticket *ticket)
{
    struct timeval pause = {.tv_usec = IDEM_LOOK_MS * 1000};
    if (++ticket->looks > IDEM_LOOKS_MAX) {
        refuse(ticket, note_busy());
        return;
    }
    ticket->state = WAITING;
    evtimer_add(ticket->later, &pause);
}

static void on_looked(void *argument, enum err err, const redisReply *reply)
{
    struct idem_ticket *ticket = argument;
    if (!ticket->done)
        ticket_free(ticket);
    else if (err || reply->type != REDIS_REPLY_INTEGER)
        refuse(ticket, err ? away(err) : unreadable());
    else if (reply->integer <= 0)
        ask(ticket, ticket->other);
    else
        look_later(ticket);
}

/* An attempt of this scheduler's own lets go by a release that Redis has before the next claim; of one that cannot yet, the
 * next look tells. */
static void look_here(struct idem_ticket *ticket)
{
    struct idems *idems = ticket->idems;
    struct idem_ticket *other = running(idems, ticket->other);
    if (other) other->taken(other->argument);
    if (running(idems, ticket->other))
        look_later(ticket);
    else // it let go, or did before and that was lost with a connection to Redis
        ask(ticket, ticket->other);
}

static void look(struct idem_ticket *ticket, redisReply *const *busy)
{
    struct idems *idems = ticket->idems;
    uint64_t since_ms = 0, now_ms = 0;
    if (busy[1]->type != REDIS_REPLY_STRING || busy[1]->len > OWNER_MAX ||
        read_number(busy[2], &since_ms) || read_number(busy[3], &now_ms)) {
        refuse(ticket, unreadable());
        return;
    }
    if (ticket->since_ms == 0) ticket->since_ms = now_ms;
    if (since_ms > ticket->since_ms) {
        refuse(ticket, note_busy());
        return;
    }
    memcpy(ticket->other, busy[1]->str, busy[1]->len + 1);
    ticket->state = LOOKING;
    if (strncmp(ticket->other, pulse_instance(idems->pulse), PULSE_INSTANCE_SIZE) == 0)
        look_here(ticket);
    else
        pulse_look(idems->pulse, ticket->other, ticket->other, on_looked, ticket);
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
    else if (strcmp(word, "busy") == 0 && reply->elements == 4 && ticket->done)
        look(ticket, reply->element);
    else if (strcmp(word, "busy") == 0)
        ticket_free(ticket);
    else if (strcmp(word, "other") == 0)
        refuse(ticket, err_note(ERR_MISMATCH, "this Idempotency-Key was used for another request: "
                                              "send the same body (under a policy for the same "
                                              "region and languages, too), or take a new key"));
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
    char run[NUMBER_SIZE], ttl[NUMBER_SIZE], tries[NUMBER_SIZE], since[NUMBER_SIZE] = "";
    snprintf(run, sizeof run, "%" PRIu64, idems->run_ms);
    snprintf(ttl, sizeof ttl, "%" PRIu64, idems->ttl_ms);
    snprintf(tries, sizeof tries, "%d", IDEM_TRIES_MAX);
    if (ticket->since_ms) snprintf(since, sizeof since, "%" PRIu64, ticket->since_ms);
    const char *words[] = {ticket->key, ticket->body, ticket->answer, ticket->owner,
                           run,         ttl,          tries,          ticket->known ? "1" : "0",
                           dead,        since};
    ticket->state = ASKING;
    store_eval(idems->store, idems->claim, on_asked, ticket, 1, 10, words, NULL);
}

struct idem_ticket *idem_claim(struct idems *idems, const struct idem_asked *asked,
                               const struct facts *facts, idem_claimed_fn *done,
                               idem_taken_fn *taken, void *argument)
{
    struct idem_ticket *ticket = ticket_new(idems);
    write_names(ticket, asked);
    facts_write(facts, ticket->answer);
    ticket->facts = *facts;
    ticket->known = asked->known;
    ticket->done = done;
    ticket->taken = taken;
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
    const char *words[] = {ticket->key, ticket->owner, paid, most, version, mark->ground};
    store_eval(idems->store, idems->mark, NULL, NULL, 1, 6, words, NULL);
}

void idem_release(struct idem_ticket *ticket, uint64_t paid)
{
    must(ticket->state == RUNNING);
    send_release(ticket, paid);
    ticket_free(ticket);
}
