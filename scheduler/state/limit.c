#include "scheduler/state/limit.h"

#include "scheduler/state/lease.h"
#include "scheduler/state/limit_note.h"
#include "scheduler/state/limit_user.h"
#include "scheduler/state/meter.h"
#include "scheduler/state/names.h"
#include "scheduler/state/owner.h"
#include "scheduler/state/store.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/event.h>

#include <stdio.h>
#include <string.h>

enum {
    TICK_MS = 100,
    MINUTE_MS = 60000,
    DAY_MS = 86400000,
    STREAM_MS = 10000
};

struct limits {
    struct store *store;
    struct meter *meter;
    struct owner_key owner_key;
    struct event *tick;
    bool open_when_away;
    uint32_t stream_ms;
    struct names leases; // by key id: struct key_lease
    struct limit_users *users;
    struct limit_ticket *tickets;
};

struct key_lease {
    struct limits *limits;
    struct lease *lease;
    char key[METER_NAME_MAX]; // Redis' name
};

/*      ASKS_NOBODY --> AT_KEY ----> AT_USER ----> HELD
 *                \------------\-------------------/        */
enum place {
    ASKS_NOBODY, // what is held here is enough, so far; or an error is on its way
    AT_KEY,
    AT_USER,
    HELD
};

struct limit_ticket {
    struct lease_waiter waiter; // first: the lease's way back to us
    struct limits *limits;
    struct limit_ticket *next, **link; // among all tickets: what points here
    enum place place;
    struct limit_rule key_rule, user_rule;
    struct key_lease *key;   // NULL: the key has no limits
    struct limit_user *user; // NULL: the user's streams have no limit
    char owner[OWNER_TEXT_SIZE];
    uint64_t tokens, least;
    uint32_t streams;
    struct lease_part key_part, user_part;
    bool has_key_part, has_user_part;
    struct limit_answer answer;
    limit_fn *done; // NULL: the asker is gone
    void *argument;
};

bool limit_is_set(const struct limit_rule *rule)
{
    return rule->requests_per_minute || rule->tokens_per_minute || rule->tokens_per_day ||
           rule->streams;
}

/* A ticket is listed from birth to end. */
static void list_ticket(struct limit_ticket *ticket)
{
    struct limits *limits = ticket->limits;
    ticket->next = limits->tickets;
    ticket->link = &limits->tickets;
    if (ticket->next) ticket->next->link = &ticket->next;
    limits->tickets = ticket;
}

static void free_ticket(struct limit_ticket *ticket)
{
    *ticket->link = ticket->next;
    if (ticket->next) ticket->next->link = ticket->link;
    mem_free(ticket);
}

// ---- parts -------------------------------------------------------------------------------------

static void on_user_told(void *argument, enum err err, const struct meter_answer *answer)
{
    (void)answer;
    limit_user_called(argument, err);
}

/* Take the user's part back, but for what was used. `requests` 1: it was no request at all. */
static void return_user(struct limit_ticket *ticket, uint32_t requests, uint64_t used)
{
    const struct limit_rule *rule = &ticket->user_rule;
    const struct lease_part *part = &ticket->user_part;
    struct limit_users *users = ticket->limits->users;
    struct meter_back back = {part->slot, requests, part->tokens > used ? part->tokens - used : 0};
    bool tokens = (rule->tokens_per_minute || rule->tokens_per_day) && back.tokens > 0;
    struct meter_call call = {
        .rule = *rule, .backs = &back, .back_count = 1, .streams_held = METER_KEEP};
    if (!ticket->has_user_part) return;
    ticket->has_user_part = false;
    if (ticket->user) {
        limit_user_return(ticket->user, part->streams, &call);
        limit_users_call(users, ticket->owner, &call, on_user_told, ticket->user);
    } else if (tokens || requests) {
        limit_users_call(users, ticket->owner, &call, NULL, NULL);
    }
}

static void return_key(struct limit_ticket *ticket, uint32_t requests, uint64_t used)
{
    const struct lease_part *part = &ticket->key_part;
    if (!ticket->has_key_part) return;
    ticket->has_key_part = false;
    lease_return(ticket->key->lease, part, requests, part->tokens > used ? part->tokens - used : 0,
                 part->streams, clock_now_ns());
}

// ---- the answer --------------------------------------------------------------------------------

static void finish(struct limit_ticket *ticket, enum err err)
{
    limit_fn *done = ticket->done;
    void *argument = ticket->argument;
    struct limit_answer answer = ticket->answer;
    if (err || !done) {
        return_key(ticket, 1, 0);
        return_user(ticket, 1, 0);
        free_ticket(ticket);
    } else {
        ticket->place = HELD;
    }
    if (done) done(argument, err, &answer);
}

static void refuse(struct limit_ticket *ticket, enum limit_whose whose,
                   const struct limit_rule *rule, const struct meter_answer *told)
{
    uint32_t seconds = (told->wait_ms + 999) / 1000;
    struct limit_sum sum = {ticket->least, ticket->streams};
    limit_show(&ticket->answer, rule, told, 0, 0);
    ticket->answer.retry_seconds = seconds > 0 ? seconds : 1;
    finish(ticket, limit_note_refused(whose, rule, &sum, told, ticket->answer.retry_seconds));
}

/* True: go on without Redis. False: the ticket is finished. */
static bool goes_on(struct limit_ticket *ticket, enum err err)
{
    bool away = err == ERR_STORE_AWAY || err == ERR_TIMEOUT;
    if (away && ticket->limits->open_when_away) {
        ticket->answer.skipped = true;
        return true;
    }
    if (away)
        err = err_note(ERR_STORE_AWAY, "rate limits cannot be checked: Redis cannot be reached");
    finish(ticket, err);
    return false;
}

// ---- the user ----------------------------------------------------------------------------------

static void on_user(void *argument, enum err err, const struct meter_answer *told)
{
    struct limit_ticket *ticket = argument;
    struct limit_user *user = ticket->user;
    uint64_t tokens = ticket->answer.tokens;
    if (err && goes_on(ticket, err)) {
        if (user) limit_user_add(user, ticket->streams);
        ticket->has_user_part = user != NULL;
        ticket->user_part = (struct lease_part){.streams = ticket->streams};
        finish(ticket, ERR_OK);
    } else if (!err && told->verdict != METER_GRANTED) {
        refuse(ticket, LIMIT_USER, &ticket->user_rule, told);
    } else if (!err) {
        uint64_t granted = told->tokens < tokens ? told->tokens : tokens;
        ticket->has_user_part = true;
        ticket->user_part = (struct lease_part){told->slot, granted, ticket->streams};
        if (user) limit_user_add(user, ticket->streams);
        limit_show(&ticket->answer, &ticket->user_rule, told, 0, 0);
        if (ticket->has_key_part && granted < tokens) {
            lease_return(ticket->key->lease, &ticket->key_part, 0, tokens - granted, 0,
                         clock_now_ns());
            ticket->key_part.tokens = granted;
        }
        ticket->answer.tokens = granted;
        finish(ticket, ERR_OK);
    }
    if (user) limit_user_called(user, err);
}

/* What the key has admitted, `answer.tokens` of it, is the user's to allow. */
static void ask_user(struct limit_ticket *ticket)
{
    const struct limit_rule *rule = &ticket->user_rule;
    uint64_t tokens = ticket->answer.tokens;
    struct meter_call call = {.rule = *rule,
                              .requests = {1, 1, 1},
                              .tokens = {ticket->least, tokens, tokens},
                              .streams = {ticket->streams, ticket->streams, ticket->streams},
                              .streams_held = METER_KEEP};
    ticket->place = AT_USER;
    if (rule->streams > 0) {
        ticket->user = limit_user_begin(ticket->limits->users, ticket->owner, rule);
        limit_user_call(ticket->user, &call);
    }
    limit_users_call(ticket->limits->users, ticket->owner, &call, on_user, ticket);
}

// ---- the key -----------------------------------------------------------------------------------

static void key_admits(struct limit_ticket *ticket, const struct lease_part *part)
{
    const struct lease *lease = ticket->key->lease;
    ticket->has_key_part = true;
    ticket->key_part = *part;
    ticket->answer.tokens = part->tokens;
    limit_show(&ticket->answer, &ticket->key_rule, lease_told(lease), lease_requests(lease),
               lease_tokens(lease));
}

/* It goes on without Redis: its streams count when Redis is back. */
static void key_adopts(struct limit_ticket *ticket)
{
    ticket->has_key_part = true;
    ticket->key_part = (struct lease_part){.streams = ticket->streams};
    lease_adopt(ticket->key->lease, ticket->streams);
}

static void on_key(void *owner, struct lease_waiter *waiter)
{
    struct limit_ticket *ticket = (struct limit_ticket *)waiter; // its first member
    const struct meter_answer *told = lease_told(ticket->key->lease);
    (void)owner;
    if (waiter->err == ERR_LIMITED) {
        refuse(ticket, LIMIT_KEY, &ticket->key_rule, told);
        return;
    }
    if (waiter->err && !goes_on(ticket, waiter->err)) return;
    if (waiter->err)
        key_adopts(ticket);
    else
        key_admits(ticket, &waiter->part);
    if (limit_is_set(&ticket->user_rule))
        ask_user(ticket);
    else
        finish(ticket, ERR_OK);
}

static void on_leased(void *argument, enum err err, const struct meter_answer *answer)
{
    struct key_lease *key = argument;
    lease_answered(key->lease, err, answer, clock_now_ns());
}

static void on_lease_call(void *owner, struct lease *lease, const struct meter_call *call)
{
    struct key_lease *key = owner;
    (void)lease;
    meter_call(key->limits->meter, key->key, call, on_leased, key);
}

/* Keys are the operator's, so many as his file has: they stay. */
static struct key_lease *lease_of(struct limits *limits, const char *id)
{
    struct key_lease *key = names_get(&limits->leases, id);
    if (key) return key;
    key = mem_new(1, sizeof *key);
    key->limits = limits;
    snprintf(key->key, sizeof key->key, "qiao:{k:%s}:spent", id);
    key->lease = lease_new(&(struct lease_seams){
        .owner = key, .call = on_lease_call, .served = on_key, .stream_ms = limits->stream_ms});
    names_put(&limits->leases, id, key);
    return key;
}

static void ask_key(struct limit_ticket *ticket)
{
    struct lease_part part;
    ticket->place = AT_KEY;
    if (!store_is_up(ticket->limits->store)) lease_forget(ticket->key->lease);
    ticket->waiter.need = (struct lease_need){ticket->least, ticket->tokens, ticket->streams};
    if (!lease_take(ticket->key->lease, &ticket->key_rule, &ticket->waiter, clock_now_ns(), &part))
        return;
    key_admits(ticket, &part);
    ticket->place = ASKS_NOBODY;
}

// ---- tickets -----------------------------------------------------------------------------------

static void on_too_large(void *argument, enum err err, const struct redisReply *reply)
{
    struct limit_ticket *ticket = argument;
    struct limit_sum sum = {ticket->least, ticket->streams};
    (void)reply;
    err = limit_check_sum(LIMIT_KEY, &ticket->key_rule, &sum);
    if (!err) err = limit_check_sum(LIMIT_USER, &ticket->user_rule, &sum);
    finish(ticket, err);
}

struct limit_ticket *limit_reserve(struct limits *limits, const struct limit_ask *ask,
                                   limit_fn *done, void *argument)
{
    struct limit_ticket *ticket = mem_new(1, sizeof *ticket);
    must(ask->least <= ask->tokens && done);
    *ticket = (struct limit_ticket){.limits = limits,
                                    .place = ASKS_NOBODY,
                                    .key_rule = ask->key_rule,
                                    .user_rule = ask->user_rule,
                                    .tokens = ask->tokens,
                                    .least = ask->least,
                                    .streams = ask->streams,
                                    .answer.tokens = ask->tokens,
                                    .done = done,
                                    .argument = argument};
    list_ticket(ticket);
    struct limit_sum sum = {ask->least, ask->streams};
    if (limit_check_sum(LIMIT_KEY, &ask->key_rule, &sum) ||
        limit_check_sum(LIMIT_USER, &ask->user_rule, &sum)) {
        store_later(limits->store, on_too_large, ticket);
        return ticket;
    }
    if (limit_is_set(&ask->user_rule))
        owner_write(ticket->owner, &limits->owner_key, ask->tenant, ask->user);
    if (limit_is_set(&ask->key_rule)) {
        ticket->key = lease_of(limits, ask->key);
        ask_key(ticket);
    }
    if (ticket->place == ASKS_NOBODY && limit_is_set(&ask->user_rule))
        ask_user(ticket);
    else if (ticket->place == ASKS_NOBODY)
        ticket->place = HELD;
    return ticket;
}

const struct limit_answer *limit_admitted(const struct limit_ticket *ticket)
{
    return ticket->place == HELD ? &ticket->answer : NULL;
}

void limit_settle(struct limit_ticket *ticket, uint64_t used)
{
    must(ticket->place == HELD);
    if (used > ticket->answer.tokens) used = ticket->answer.tokens;
    return_key(ticket, 0, used);
    return_user(ticket, 0, used);
    free_ticket(ticket);
}

void limit_drop(struct limit_ticket *ticket)
{
    must(ticket->place != HELD);
    ticket->done = NULL;
    if (ticket->place != AT_KEY) return; // its answer will find nobody
    lease_leave(ticket->key->lease, &ticket->waiter, clock_now_ns());
    free_ticket(ticket);
}

// ---- birth and death ---------------------------------------------------------------------------

static void tick_lease(void *argument, void *item)
{
    const uint64_t *now_ns = argument;
    struct key_lease *key = item;
    if (store_is_up(key->limits->store))
        lease_tick(key->lease, *now_ns);
    else
        lease_forget(key->lease);
}

static void on_tick(evutil_socket_t fd, short what, void *argument)
{
    struct limits *limits = argument;
    uint64_t now_ns = clock_now_ns();
    (void)fd, (void)what;
    names_walk(&limits->leases, tick_lease, &now_ns);
    limit_users_tick(limits->users, now_ns);
}

static uint32_t or_else(uint32_t value, uint32_t preset)
{
    return value > 0 ? value : preset;
}

struct limits *limits_new(const struct limit_options *options)
{
    struct limits *limits = mem_new(1, sizeof *limits);
    struct timeval period = {.tv_usec = TICK_MS * 1000};
    _Static_assert((int)LIMIT_ROOT_SIZE == (int)OWNER_ROOT_SIZE, "one root");
    limits->store = options->store;
    limits->open_when_away = options->open_when_away;
    limits->stream_ms = or_else(options->stream_ms, STREAM_MS);
    limits->meter = meter_new(options->store, or_else(options->minute_ms, MINUTE_MS),
                              or_else(options->day_ms, DAY_MS), limits->stream_ms);
    limits->users = limit_users_new(limits->store, limits->meter, limits->stream_ms);
    owner_key_init(&limits->owner_key, options->root);
    limits->tick = event_new(options->base, -1, EV_PERSIST, on_tick, limits);
    must(limits->tick && event_add(limits->tick, &period) == 0);
    return limits;
}

static void close_lease(void *argument, void *item)
{
    const uint64_t *now_ns = argument;
    struct key_lease *key = item;
    lease_close(key->lease, *now_ns);
}

void limits_leave(struct limits *limits)
{
    uint64_t now_ns = clock_now_ns();
    names_walk(&limits->leases, close_lease, &now_ns);
}

static void free_lease(void *argument, void *item)
{
    struct key_lease *key = item;
    (void)argument;
    lease_free(key->lease);
    mem_free(key);
}

void limits_free(struct limits *limits)
{
    if (!limits) return;
    event_free(limits->tick);
    while (limits->tickets)
        free_ticket(limits->tickets);
    names_walk(&limits->leases, free_lease, NULL);
    names_fini(&limits->leases);
    limit_users_free(limits->users);
    meter_free(limits->meter);
    mem_free(limits);
}
