#include "scheduler/state/gates.h"

#include "scheduler/state/store.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EPOCH   "qiao:{gate}:epoch"
#define RECORDS "qiao:{gate}:records"
#define LEASES  "qiao:{gate}:leases"

enum {
    NUMBER_SIZE = 24,
    POLL_MS = 5, // between two looks at who acts on a change
    RENEW_KEYS = 3
};

/*      KEYS  epoch, records, leases
 *      ARGV  the scheduler, the epoch that it acts on, the epoch whose records it has ("": none for sure), ms of a lease
 *      gives the epoch, and the records unless it has them */
static const char renew_text[] =
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
    "local epoch = redis.call('GET', KEYS[1]) or '0'\n"
    "redis.call('HSET', KEYS[3], ARGV[1], (now + ARGV[4]) .. ' ' .. ARGV[2])\n"
    "if epoch == ARGV[3] then return {epoch} end\n"
    "return {epoch, redis.call('HGETALL', KEYS[2])}\n";

/*      KEYS  epoch, records, leases
 *      ARGV  the record's name, what it was, what it shall be, most records
 *      gives 0: it is another by now; 1: there are too many; or the epoch and who may hold a lease */
static const char change_text[] =
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
    "local has = redis.call('HGET', KEYS[2], ARGV[1]) or ''\n"
    "if has ~= ARGV[2] then return {0} end\n"
    "if has == '' and redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[4]) then return {1} end\n"
    "local epoch = redis.call('INCR', KEYS[1])\n"
    "redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])\n"
    "local holders = {tostring(epoch)}\n"
    "local all = redis.call('HGETALL', KEYS[3])\n"
    "for n = 1, #all, 2 do\n"
    "  local till = tonumber(string.match(all[n + 1], '^%d+'))\n"
    "  if till < now - 60000 then redis.call('HDEL', KEYS[3], all[n])\n"
    "  elseif till > now then table.insert(holders, all[n]) end\n"
    "end\n"
    "return holders\n";

struct change {
    struct change *next;
    struct gates *gates;
    gates_changed_fn *done;
    void *argument;
    char *name, *before, *after;
    bool settles;
    uint64_t asked_ns, written_ns;
    struct gates_outcome outcome;
    char holders[GATES_HOLDERS_MAX][NUMBER_SIZE];
    bool acts[GATES_HOLDERS_MAX];
    bool crowded; // there may be holders that we cannot name: all leases are waited for
    struct event *poll;
    bool asking; // a look is on its way
};

struct gates {
    struct gates_options options;
    struct store_script *renew, *change;
    struct event *timer, *again;
    char name[NUMBER_SIZE]; // ours, random
    uint64_t epoch, told;   // of the records that hold; what Redis told last
    uint64_t lease_ns;      // until when; 0: none
    uint64_t asked_ns;      // the renewal on its way was sent
    uint64_t times_up;      // connections that there were
    uint64_t settled_ns;    // when most servers first had a write of this one; 0: they had none yet
    bool asking, known, back, closing; // known: the records at `epoch` were read
    bool
        stale; // Redis may have lost changes since: an epoch that it tells again need not be the one that we know
    struct change *changes; // that settle
};

/* With the master, these are most of the servers. A replica follows one master: so of two masters one alone can have them. */
static uint32_t needed(const struct gates *gates)
{
    return (gates->options.replicas + 1) / 2;
}

static void wait_for_replicas(struct gates *gates, store_reply_fn *done, void *argument)
{
    char count[NUMBER_SIZE], wait[NUMBER_SIZE];
    if (needed(gates) == 0) {
        store_later(gates->options.store, done, argument);
        return;
    }
    snprintf(count, sizeof count, "%" PRIu32, needed(gates));
    snprintf(wait, sizeof wait, "%d", GATES_WAIT_MS);
    const char *const words[] = {"WAIT", count, wait};
    store_command(gates->options.store, done, argument, 3, words, NULL);
}

/* What a WAIT said, or nothing where none was needed. */
static bool has_most(const struct gates *gates, enum err err, const redisReply *reply)
{
    if (err) return false;
    if (needed(gates) == 0) return true;
    return reply && reply->type == REDIS_REPLY_INTEGER && reply->integer >= needed(gates);
}

/* Whatever is behind a new connection may have lost what the one before told. */
static bool is_stale(const struct gates *gates)
{
    return gates->stale || store_times_up(gates->options.store) != gates->times_up;
}

// ---- the lease ---------------------------------------------------------------------------------

static void on_waited(void *argument, enum err err, const redisReply *reply)
{
    struct gates *gates = argument;
    gates->asking = false;
    if (!has_most(gates, err, reply)) return;
    if (!gates->settled_ns) gates->settled_ns = clock_now_ns();
    if (!gates->back && !gates->stale)
        gates->lease_ns = gates->asked_ns + GATES_LEASE_MS * CLOCK_MS;
}

static bool read_epoch(const redisReply *reply, uint64_t *out)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1 ||
        reply->element[0]->type != REDIS_REPLY_STRING)
        return false;
    char *end;
    *out = strtoull(reply->element[0]->str, &end, 10);
    return end != reply->element[0]->str && !*end;
}

/* Hand on what holds now, and say so to Redis without waiting for the clock. */
static void take_records(struct gates *gates, const redisReply *list)
{
    static struct gates_text texts[GATES_MAX]; // the loop's alone
    size_t count = 0;
    for (size_t i = 0; i + 1 < list->elements && count < GATES_MAX; i += 2) {
        const redisReply *name = list->element[i], *text = list->element[i + 1];
        if (name->type != REDIS_REPLY_STRING || text->type != REDIS_REPLY_STRING ||
            name->len > GATES_NAME_MAX)
            continue;
        texts[count++] = (struct gates_text){name->str, text->str, text->len};
    }
    gates->epoch = gates->told;
    gates->known = true;
    gates->stale = false;
    gates->options.seams.records(gates->options.seams.owner, gates->epoch, texts, count);
    event_active(gates->again, EV_TIMEOUT, 0);
}

static void on_renewed(void *argument, enum err err, const redisReply *reply)
{
    struct gates *gates = argument;
    uint64_t told;
    if (err || !read_epoch(reply, &told)) {
        gates->asking = false;
        return;
    }
    gates->told = told;
    if ((told < gates->epoch) != gates->back)
        log_warn(told < gates->epoch ? "gate_epoch_back" : "gate_epoch_right",
                 "seen=%" PRIu64 " told=%" PRIu64, gates->epoch, told);
    gates->back = told < gates->epoch;
    if (gates->back) {
        gates->lease_ns = 0;
        gates->stale = true;
    }
    if (!gates->back && reply->elements > 1 && reply->element[1]->type == REDIS_REPLY_ARRAY)
        take_records(gates, reply->element[1]);
    wait_for_replicas(gates, on_waited, gates);
}

static void renew(struct gates *gates)
{
    char epoch[NUMBER_SIZE], lease[NUMBER_SIZE];
    if (gates->asking || gates->closing || !store_is_up(gates->options.store)) return;
    if (is_stale(gates)) {
        gates->stale = true;
        if (store_times_up(gates->options.store) != gates->times_up) gates->settled_ns = 0;
        gates->times_up = store_times_up(gates->options.store);
    }
    snprintf(epoch, sizeof epoch, "%" PRIu64, gates->stale ? 0 : gates->epoch);
    snprintf(lease, sizeof lease, "%d", GATES_LEASE_MS);
    bool has = gates->known && !gates->stale;
    const char *const words[] = {EPOCH, RECORDS,          LEASES, gates->name,
                                 epoch, has ? epoch : "", lease};
    gates->asking = true;
    gates->asked_ns = clock_now_ns();
    store_eval(gates->options.store, gates->renew, on_renewed, gates, RENEW_KEYS, 7, words, NULL);
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    (void)fd, (void)what;
    renew(argument);
}

/* While the renewal that brought the records waits for replicas, its acknowledgement waits with it. */
static void on_again(evutil_socket_t fd, short what, void *argument)
{
    (void)fd, (void)what;
    struct gates *gates = argument;
    struct timeval soon = {.tv_usec = 2000};
    if (gates->asking)
        event_add(gates->again, &soon);
    else
        renew(gates);
}

bool gates_has_lease(const struct gates *gates, uint64_t now_ns)
{
    return now_ns < gates->lease_ns;
}

bool gates_is_known(const struct gates *gates)
{
    return gates->known;
}

uint64_t gates_epoch(const struct gates *gates)
{
    return gates->epoch;
}

bool gates_went_back(const struct gates *gates, uint64_t *seen, uint64_t *told)
{
    *seen = gates->epoch;
    *told = gates->told;
    return gates->back;
}

// ---- changes -----------------------------------------------------------------------------------

static void remove_change(struct change *change)
{
    struct change **at = &change->gates->changes;
    while (*at != change)
        at = &(*at)->next;
    *at = change->next;
}

static void end_change(struct change *change, enum err err)
{
    remove_change(change);
    change->outcome.ms = (clock_now_ns() - change->asked_ns) / CLOCK_MS;
    change->done(change->argument, err, &change->outcome);
    if (change->poll) event_free(change->poll);
    mem_free(change->name);
    mem_free(change->before);
    mem_free(change->after);
    mem_free(change);
}

/* A holder that has not been asked for a second has no lease by any clock but a broken one: leases are timed from before they are asked
 * for, and who asks after the change is told of it. */
static bool is_over(const struct change *change)
{
    return clock_now_ns() - change->written_ns >= GATES_LEASE_MS * CLOCK_MS;
}

static void count_acknowledged(struct change *change)
{
    change->outcome.acknowledged = 0;
    for (size_t i = 0; i < change->outcome.holders && i < GATES_HOLDERS_MAX; i++)
        change->outcome.acknowledged += change->acts[i];
}

static void on_looked(void *argument, enum err err, const redisReply *reply)
{
    struct change *change = argument;
    change->asking = false;
    if (change->gates->closing) {
        end_change(change, ERR_STORE_AWAY);
        return;
    }
    for (size_t i = 0; !err && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        const redisReply *one = reply->element[i];
        const char *space = one->type == REDIS_REPLY_STRING ? strchr(one->str, ' ') : NULL;
        // A lease that was given back has gone with its field.
        change->acts[i] = one->type == REDIS_REPLY_NIL ||
                          (space && strtoull(space + 1, NULL, 10) >= change->outcome.epoch);
    }
    count_acknowledged(change);
}

static void look(struct change *change)
{
    const char *words[GATES_HOLDERS_MAX + 2] = {"HMGET", LEASES};
    change->asking = true;
    for (size_t i = 0; i < change->outcome.holders; i++)
        words[i + 2] = change->holders[i];
    store_command(change->gates->options.store, on_looked, change, change->outcome.holders + 2,
                  words, NULL);
}

static void on_poll(evutil_socket_t fd, short what, void *argument)
{
    (void)fd, (void)what;
    struct change *change = argument;
    /* Whoever asked may ask for the next change at once: it shall meet this one. */
    bool here = change->gates->epoch >= change->outcome.epoch && !is_stale(change->gates);
    bool all = !change->crowded && change->outcome.acknowledged == change->outcome.holders;
    if (change->asking) return;
    if ((here && (all || !change->settles)) || is_over(change))
        end_change(change, ERR_OK);
    else if (change->settles && change->outcome.holders > 0)
        look(change);
}

static void on_change_waited(void *argument, enum err err, const redisReply *reply)
{
    struct change *change = argument;
    struct timeval period = {.tv_usec = POLL_MS * 1000};
    if (change->gates->closing) {
        end_change(change, ERR_STORE_AWAY);
        return;
    }
    event_active(change->gates->again, EV_TIMEOUT, 0); // so that we act on it too
    if (!has_most(change->gates, err, reply)) {
        end_change(change,
                   err_note(ERR_NOT_REPLICATED,
                            "the gate is changed, but fewer than %" PRIu32 " replicas have it",
                            needed(change->gates)));
        return;
    }
    /* Perhaps a failover a moment ago: leases that another master gave are not known here. Most servers have the change now, and so none
     * that it could have been given by since. */
    uint64_t since_ns = change->gates->settled_ns, now_ns = clock_now_ns();
    if (!since_ns || is_stale(change->gates) || now_ns - since_ns < GATES_LEASE_MS * CLOCK_MS) {
        change->crowded = true;
        change->written_ns = now_ns;
    }
    change->poll = event_new(change->gates->options.base, -1, EV_PERSIST, on_poll, change);
    must(change->poll && event_add(change->poll, &period) == 0);
}

static void take_holders(struct change *change, const redisReply *reply)
{
    for (size_t i = 1; i < reply->elements; i++) {
        const redisReply *one = reply->element[i];
        if (one->type != REDIS_REPLY_STRING) continue;
        if (change->outcome.holders == GATES_HOLDERS_MAX || one->len >= NUMBER_SIZE) {
            change->crowded = true;
            continue;
        }
        memcpy(change->holders[change->outcome.holders++], one->str, one->len + 1);
    }
}

static void on_changed(void *argument, enum err err, const redisReply *reply)
{
    struct change *change = argument;
    if (err) {
        end_change(change, err);
        return;
    }
    if (read_epoch(reply, &change->outcome.epoch)) {
        change->written_ns = clock_now_ns();
        take_holders(change, reply);
        wait_for_replicas(change->gates, on_change_waited, change);
        return;
    }
    bool full = reply->type == REDIS_REPLY_ARRAY && reply->elements == 1 &&
                reply->element[0]->type == REDIS_REPLY_INTEGER && reply->element[0]->integer == 1;
    end_change(change,
               full ? err_note(ERR_TOO_LARGE, "there are %d gates, and no more are kept", GATES_MAX)
                    : err_note(ERR_CONFLICT, "the gate was changed meanwhile: look at it, "
                                             "and change it again"));
}

void gates_change(struct gates *gates, const char *name, const char *before, const char *after,
                  bool settles, gates_changed_fn *done, void *argument)
{
    struct change *change = mem_new(1, sizeof *change);
    *change = (struct change){.gates = gates,
                              .done = done,
                              .argument = argument,
                              .name = mem_copy_text(name),
                              .before = mem_copy_text(before),
                              .after = mem_copy_text(after),
                              .settles = settles,
                              .asked_ns = clock_now_ns(),
                              .next = gates->changes};
    gates->changes = change;
    char most[NUMBER_SIZE];
    snprintf(most, sizeof most, "%d", GATES_MAX);
    const char *const words[] = {EPOCH,          RECORDS,       LEASES, change->name,
                                 change->before, change->after, most};
    store_eval(gates->options.store, gates->change, on_changed, change, RENEW_KEYS, 7, words, NULL);
}

// ---- birth and death ---------------------------------------------------------------------------

struct gates *gates_new(const struct gates_options *options)
{
    struct gates *gates = mem_new(1, sizeof *gates);
    struct timeval period = {.tv_usec = GATES_RENEW_MS * 1000};
    gates->options = *options;
    gates->renew = store_add_script(options->store, renew_text);
    gates->change = store_add_script(options->store, change_text);
    snprintf(gates->name, sizeof gates->name, "%016" PRIx64, rand_entropy());
    gates->timer = event_new(options->base, -1, EV_PERSIST, on_timer, gates);
    gates->again = evtimer_new(options->base, on_again, gates);
    must(gates->timer && gates->again && event_add(gates->timer, &period) == 0);
    return gates;
}

void gates_free(struct gates *gates)
{
    if (!gates) return;
    const char *const words[] = {"HDEL", LEASES, gates->name};
    gates->closing = true;
    gates->lease_ns = 0;
    event_free(gates->timer);
    event_free(gates->again);
    if (store_is_up(gates->options.store))
        store_command(gates->options.store, NULL, NULL, 3, words, NULL);
    store_free(gates->options.store); // answers what was asked
    while (gates->changes)            // those that waited for their next look
        end_change(gates->changes, ERR_STORE_AWAY);
    mem_free(gates);
}
