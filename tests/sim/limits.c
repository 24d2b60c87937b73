#include "tests/sim/limits.h"

#include "scheduler/state/limit.h"
#include "tests/sim/redis.h"
#include "tests/sim/world.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/event.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SCHEDS_MAX = 64,
    KEYS = 3,
    USERS = 3,
    BUCKETS = KEYS + USERS,
    MINUTE_MS = 6000,
    DAY_MS = 48000,
    HISTORY_MS = 60000,
    TICK_MS = 100
};

/* libevent, as far as limit.c needs it: one timer, which the scheduler's tick calls. */
struct event {
    event_callback_fn fn;
    void *argument;
};

static struct event *last_event;

struct event *event_new(struct event_base *base, evutil_socket_t fd, short what,
                        event_callback_fn fn, void *argument)
{
    (void)base, (void)fd, (void)what;
    last_event = mem_new(1, sizeof *last_event);
    *last_event = (struct event){fn, argument};
    return last_event;
}

int event_add(struct event *event, const struct timeval *after)
{
    (void)event, (void)after;
    return 0;
}

void event_free(struct event *event)
{
    mem_free(event);
}

/* What is counted together: a key's, or a user's. */
struct bucket {
    struct limit_rule rule;
    struct part *log; // [count], what was admitted
    size_t count, capacity;
    uint64_t streams; // now
};

struct part {
    uint64_t at_ns, settled_ns;
    uint64_t tokens, used;
};

/* One who asked, until its answer has ended. */
struct asker {
    struct asker *next; // of its scheduler
    struct member *member;
    struct limit_ticket *ticket;
    size_t key, user;           // buckets; BUCKETS: not limited there
    size_t key_part, user_part; // in their logs
    uint32_t streams;
    uint64_t tokens;
    bool held;
};

struct member {
    uint32_t number;
    uint32_t life;
    struct store *store;
    struct limits *limits; // NULL: it is down
    struct event *tick;
    struct asker *askers;
};

static struct member members[SCHEDS_MAX];
static uint32_t member_count;
static struct bucket buckets[BUCKETS];
static struct limits_report report;
static double rate; // of one scheduler, requests/s
static bool over;   // nobody asks any more

static uint64_t key_of(const struct member *member)
{
    return (uint64_t)member->life << 16 | member->number;
}

static struct member *member_of(uint64_t key)
{
    struct member *member = &members[key & 0xffff];
    return member->limits && member->life == key >> 16 ? member : NULL;
}

/* Who asks, and what comes of it. */

static size_t add_part(size_t index, struct part part)
{
    struct bucket *bucket = &buckets[index];
    if (bucket->count == bucket->capacity) {
        bucket->capacity = bucket->capacity ? 2 * bucket->capacity : 64;
        bucket->log = mem_resize(bucket->log, bucket->capacity, sizeof *bucket->log);
    }
    bucket->log[bucket->count] = part;
    return bucket->count++;
}

static void forget(struct asker *asker)
{
    struct asker **at = &asker->member->askers;
    while (*at != asker)
        at = &(*at)->next;
    *at = asker->next;
    mem_free(asker);
}

static void count_streams(const struct asker *asker, bool more)
{
    const size_t both[] = {asker->key, asker->user};
    for (size_t i = 0; i < 2; i++) {
        if (both[i] == BUCKETS) continue;
        struct bucket *bucket = &buckets[both[i]];
        must(more || bucket->streams >= asker->streams);
        bucket->streams += more ? asker->streams : -(uint64_t)asker->streams;
        must(!more || bucket->rule.streams == 0 || bucket->streams <= bucket->rule.streams);
    }
}

static void settle(void *argument, uint64_t key)
{
    struct asker *asker = argument;
    if (!member_of(key)) return; // it died, and who asked with it
    uint64_t used = world_between(0, asker->tokens);
    const size_t both[] = {asker->key, asker->user};
    const size_t parts[] = {asker->key_part, asker->user_part};
    for (size_t i = 0; i < 2; i++) {
        if (both[i] == BUCKETS) continue;
        struct part *part = &buckets[both[i]].log[parts[i]];
        part->used = used;
        part->settled_ns = world_now_ns();
    }
    count_streams(asker, false);
    limit_settle(asker->ticket, used);
    forget(asker);
}

/* By the key at one time, by the user at another. */
static void admit(struct asker *asker, uint64_t tokens, uint64_t key_ns, uint64_t user_ns)
{
    must(tokens <= asker->tokens);
    asker->held = true;
    asker->tokens = tokens;
    report.admitted++;
    struct part part = {.tokens = tokens, .used = tokens, .settled_ns = UINT64_MAX};
    part.at_ns = key_ns;
    if (asker->key < BUCKETS) asker->key_part = add_part(asker->key, part);
    part.at_ns = user_ns;
    if (asker->user < BUCKETS) asker->user_part = add_part(asker->user, part);
    count_streams(asker, true);
    uint64_t for_ms = world_between(1, world_chance(10) ? 4000 : 500);
    world_at(world_now_ns() + for_ms * CLOCK_MS, settle, asker, key_of(asker->member));
}

static void on_answer(void *argument, enum err err, const struct limit_answer *answer)
{
    struct asker *asker = argument;
    world_note((uint64_t)err << 32 | answer->tokens);
    if (err) {
        must(err == ERR_LIMITED || err == ERR_STORE_AWAY || err == ERR_TOO_LARGE);
        must(err != ERR_LIMITED || answer->retry_seconds > 0);
        *(err == ERR_STORE_AWAY ? &report.away : &report.refused) += 1;
        forget(asker);
        return;
    }
    must(!answer->skipped);
    bool asked_user = asker->user < BUCKETS && limit_is_set(&buckets[asker->user].rule);
    admit(asker, answer->tokens, asked_user ? redis_cause_ns() : redis_done_ns(), redis_done_ns());
}

/* The first of this scheduler that has no answer yet goes away. */
static void drop_one(struct member *member)
{
    struct asker *asker = member->askers;
    while (asker && asker->held)
        asker = asker->next;
    if (!asker) return;
    limit_drop(asker->ticket);
    forget(asker);
}

static void ask(struct member *member)
{
    static const char *const keys[] = {"first", "second", "third"};
    static const char *const users[] = {"ann", "bo", "cy"};
    struct asker *asker = mem_new(1, sizeof *asker);
    bool by_key = !world_chance(3), by_user = !by_key || world_chance(2);
    size_t key = rand_below(world_rand(), KEYS), user = rand_below(world_rand(), USERS);
    *asker = (struct asker){.next = member->askers,
                            .member = member,
                            .key = by_key ? key : BUCKETS,
                            .user = by_user ? KEYS + user : BUCKETS,
                            .streams = (uint32_t)world_between(1, 2),
                            .tokens = world_between(10, 300)};
    member->askers = asker;
    struct limit_ask what = {.key = keys[key],
                             .tenant = "shop",
                             .user = users[user],
                             .tokens = asker->tokens,
                             .least = world_chance(2) ? asker->tokens : 10,
                             .streams = asker->streams};
    if (by_key) what.key_rule = buckets[key].rule;
    if (by_user) what.user_rule = buckets[KEYS + user].rule;
    report.asked++;
    asker->ticket = limit_reserve(member->limits, &what, on_answer, asker);
    const struct limit_answer *at_once = limit_admitted(asker->ticket);
    if (!at_once) return;
    world_note(at_once->tokens);
    admit(asker, at_once->tokens, world_now_ns(), world_now_ns());
}

static void arrive(void *argument, uint64_t key)
{
    struct member *member = member_of(key);
    (void)argument;
    if (over || !member) return;
    double wait_s = -log(1 - rand_unit(rand_next(world_rand()))) / rate;
    world_at(world_now_ns() + (uint64_t)(wait_s * 1e9) + 1, arrive, NULL, key);
    ask(member);
    if (world_chance(30)) drop_one(member);
}

/* Schedulers. */

static void tick(void *argument, uint64_t key)
{
    struct member *member = member_of(key);
    (void)argument;
    if (!member) return;
    world_at(world_now_ns() + TICK_MS * CLOCK_MS, tick, NULL, key);
    member->tick->fn(-1, EV_TIMEOUT, member->tick->argument);
}

static void start(void *argument, uint64_t number)
{
    static const unsigned char root[LIMIT_ROOT_SIZE] = {1};
    struct member *member = &members[number];
    (void)argument;
    if (over) return;
    member->number = (uint32_t)number;
    member->life++;
    member->store = redis_link();
    member->limits = limits_new(&(struct limit_options){
        .store = member->store, .root = root, .minute_ms = MINUTE_MS, .day_ms = DAY_MS});
    member->tick = last_event;
    world_at(world_now_ns() + world_between(1, TICK_MS) * CLOCK_MS, tick, NULL, key_of(member));
    world_at(world_now_ns() + world_between(1, 1000) * CLOCK_MS, arrive, NULL, key_of(member));
}

/* Those who wait are told; those that are held die unsettled. */
static void stop(struct member *member)
{
    redis_unlink(member->store);
    limits_free(member->limits);
    member->limits = NULL;
    while (member->askers) {
        must(member->askers->held);
        count_streams(member->askers, false);
        forget(member->askers);
    }
}

static void strike(void *argument, uint64_t number)
{
    (void)argument, (void)number;
    if (over) return;
    struct member *member = &members[rand_below(world_rand(), member_count)];
    world_at(world_now_ns() + world_between(500, 4000) * CLOCK_MS, strike, NULL, 0);
    if (!member->limits) return;
    if (!world_chance(3)) {
        redis_break(member->store, world_between(100, 1000) * CLOCK_MS);
        return;
    }
    stop(member);
    world_at(world_now_ns() + world_between(100, 2000) * CLOCK_MS, start, NULL, member->number);
}

/* What must hold of what was admitted. */

static int by_time(const void *a, const void *b)
{
    uint64_t x = ((const struct part *)a)->at_ns, y = ((const struct part *)b)->at_ns;
    return (x > y) - (x < y);
}

/* As much of it as counts at a time: what it reserves until it settles, then what it used. */
static uint64_t counted(const struct part *part, uint64_t now_ns)
{
    return part->settled_ns <= now_ns ? part->used : part->tokens;
}

static void check_sum(uint64_t all, uint64_t most)
{
    must(most == 0 || all <= most);
    if (most > 0 && (double)all > report.fullest * (double)most)
        report.fullest = (double)all / (double)most;
}

/* Each window that ends with an admission: it is the fullest of those that end before the next. */
static void check_windows(const struct bucket *bucket, uint64_t window_ms, uint64_t requests_most,
                          uint64_t tokens_most)
{
    size_t first = 0;
    for (size_t last = 0; last < bucket->count; last++) {
        uint64_t now_ns = bucket->log[last].at_ns, tokens = 0;
        while (bucket->log[first].at_ns + window_ms * CLOCK_MS <= now_ns)
            first++;
        for (size_t i = first; i <= last; i++)
            tokens += counted(&bucket->log[i], now_ns);
        check_sum(tokens, tokens_most);
        check_sum(last - first + 1, requests_most);
    }
}

/* All has ended and nothing went wrong: Redis counts what was used, and no more. */
static void check_rest(size_t index)
{
    static const char *const names[KEYS] = {"qiao:{k:first}:spent", "qiao:{k:second}:spent",
                                            "qiao:{k:third}:spent"};
    const struct bucket *bucket = &buckets[index];
    uint64_t in_minute = 0, in_day = 0;
    if (!limit_is_set(&bucket->rule)) return;
    for (size_t i = 0; i < bucket->count; i++) {
        must(bucket->log[i].settled_ns < UINT64_MAX);
        if (redis_counts_minute(names[index], bucket->log[i].at_ns))
            in_minute += bucket->log[i].used;
        if (redis_counts_day(names[index], bucket->log[i].at_ns)) in_day += bucket->log[i].used;
    }
    must(bucket->rule.tokens_per_minute == 0 || redis_minute_tokens(names[index]) == in_minute);
    must(bucket->rule.tokens_per_day == 0 || redis_day_tokens(names[index]) == in_day);
}

static void check_all(bool trouble)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        struct bucket *bucket = &buckets[i];
        must(bucket->streams == 0);
        if (i < KEYS && !trouble) check_rest(i);
        qsort(bucket->log, bucket->count, sizeof *bucket->log, by_time);
        check_windows(bucket, MINUTE_MS, bucket->rule.requests_per_minute,
                      bucket->rule.tokens_per_minute);
        check_windows(bucket, DAY_MS, 0, bucket->rule.tokens_per_day);
        mem_free(bucket->log);
    }
}

static struct limit_rule draw_rule(void)
{
    struct limit_rule rule = {0};
    if (!world_chance(4)) rule.requests_per_minute = world_between(10, 80);
    if (!world_chance(4)) rule.tokens_per_minute = world_between(1000, 8000);
    if (!world_chance(3)) rule.tokens_per_day = world_between(6000, 30000);
    if (!world_chance(3)) rule.streams = world_between(2, 20);
    return rule;
}

static void play(uint64_t for_ms)
{
    uint64_t until_ns = world_now_ns() + for_ms * CLOCK_MS;
    while (world_step(until_ns)) {
    }
}

struct limits_report limits_run(uint64_t seed, uint32_t schedulers, bool trouble)
{
    must(schedulers <= SCHEDS_MAX);
    world_begin(seed);
    redis_begin(!trouble);
    report = (struct limits_report){0};
    member_count = schedulers;
    rate = 40.0 / schedulers;
    over = false;
    memset(buckets, 0, sizeof buckets);
    for (size_t i = 0; i < BUCKETS; i++)
        buckets[i].rule = draw_rule();
    for (uint32_t i = 0; i < schedulers; i++)
        start(NULL, i);
    if (trouble) world_at(world_now_ns() + CLOCK_SECOND, strike, NULL, 0);
    play(HISTORY_MS);
    over = true;
    play(8000); // all settle, and what is held goes back
    for (uint32_t i = 0; i < schedulers; i++)
        if (members[i].limits) stop(&members[i]);
    check_all(trouble);
    redis_end();
    report.digest = world_digest();
    world_end();
    return report;
}
