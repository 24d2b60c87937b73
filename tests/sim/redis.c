#include "tests/sim/redis.h"

#include "scheduler/state/store.h"
#include "tests/sim/tally.h"
#include "tests/sim/world.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WORDS_MAX = 24,
    PATIENCE_MS = 1000,
    CLOCK_AHEAD_MS = 1234567 // Redis' clock is not ours
};

/* On its way, there or back. */
struct question {
    struct question *next; // of its store; NULL store: nobody is told
    struct store *store;
    store_reply_fn *done;
    void *argument;
    char words[WORDS_MAX][METER_NAME_MAX];
    char *backs;
    uint64_t cause_ns, done_ns;
    bool asks;       // Redis; else the loop alone
    uint32_t breaks; // of the store, when it was asked
    uint64_t answer[TALLY_FIELDS];
};

struct store {
    uint64_t up_again_ns;
    uint32_t breaks;
    uint64_t arrives_ns, answers_ns; // of the latest call
    struct question *pending;
};

static size_t travelling;
static const struct question *told;
static bool is_swift;

/* Redis' clock. */
static uint64_t clock_ms(uint64_t at_ns)
{
    return at_ns / CLOCK_MS + CLOCK_AHEAD_MS;
}

static uint64_t number_at(const struct question *question, size_t word)
{
    return strtoull(question->words[word], NULL, 10);
}

static struct meter_span span_at(const struct question *question, size_t word)
{
    return (struct meter_span){number_at(question, word), number_at(question, word + 1),
                               number_at(question, word + 2)};
}

static struct tally_call read_call(const struct question *question)
{
    return (struct tally_call){
        .turn = number_at(question, 2),
        .minute_slot_ms = number_at(question, 3),
        .day_slot_ms = number_at(question, 4),
        .stream_ms = number_at(question, 5),
        .requests_max = number_at(question, 6),
        .minute_max = number_at(question, 7),
        .day_max = number_at(question, 8),
        .streams_max = number_at(question, 9),
        .streams_held = strtoll(question->words[11], NULL, 10),
        .streams_back = number_at(question, 12),
        .requests = span_at(question, 13),
        .tokens = span_at(question, 16),
        .streams = span_at(question, 19),
        .backs = question->backs,
    };
}

/* The way there and back. */

static void question_free(struct question *question)
{
    mem_free(question->backs);
    mem_free(question);
}

static void take_out(struct question *question)
{
    struct question **at = &question->store->pending;
    while (*at != question)
        at = &(*at)->next;
    *at = question->next;
    question->store = NULL;
}

/* Whoever asked is told, once. */
static void tell(struct question *question, enum err err)
{
    redisReply fields[TALLY_FIELDS], *elements[TALLY_FIELDS];
    redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = TALLY_FIELDS, .element = elements};
    const struct question *outer = told;
    for (size_t i = 0; i < TALLY_FIELDS; i++) {
        fields[i] =
            (redisReply){.type = REDIS_REPLY_INTEGER, .integer = (long long)question->answer[i]};
        elements[i] = &fields[i];
    }
    take_out(question);
    told = question;
    if (question->done)
        question->done(question->argument, err, err || !question->asks ? NULL : &reply);
    told = outer;
}

static void answer(void *argument, uint64_t number)
{
    struct question *question = argument;
    (void)number;
    travelling--;
    if (question->store) tell(question, ERR_OK);
    question_free(question);
}

static void give_up(void *argument, uint64_t number)
{
    struct question *question = argument;
    (void)number;
    if (question->store) tell(question, ERR_TIMEOUT);
}

static void execute(void *argument, uint64_t at_ns)
{
    struct question *question = argument;
    struct tally_call call = read_call(question);
    tally_do(question->words[0], question->words[1], &call, clock_ms(world_now_ns()),
             question->answer);
    question->done_ns = world_now_ns();
    world_at(at_ns, answer, question, 0);
}

/* Mostly less than a millisecond. */
static uint64_t way_ns(void)
{
    uint64_t most_us = world_chance(10) ? 20000 : 400;
    if (!is_swift && world_chance(100)) most_us = 600000;
    return (50 + world_between(0, most_us)) * 1000;
}

static void send(struct store *store, struct question *question)
{
    uint64_t there_ns = world_now_ns() + way_ns();
    if (there_ns <= store->arrives_ns) there_ns = store->arrives_ns + 1;
    uint64_t back_ns = there_ns + way_ns();
    if (back_ns <= store->answers_ns) back_ns = store->answers_ns + 1;
    store->arrives_ns = there_ns;
    store->answers_ns = back_ns;
    uint64_t late_ns = world_now_ns() + PATIENCE_MS * CLOCK_MS;
    world_at(there_ns, execute, question, back_ns);
    if (late_ns < back_ns) world_at(late_ns, give_up, question, 0);
}

static struct question *question_new(struct store *store, store_reply_fn *done, void *argument)
{
    struct question *question = mem_new(1, sizeof *question);
    *question = (struct question){.store = store,
                                  .done = done,
                                  .argument = argument,
                                  .next = store->pending,
                                  .breaks = store->breaks,
                                  .cause_ns = told ? told->done_ns : world_now_ns(),
                                  .done_ns = world_now_ns()};
    store->pending = question;
    travelling++;
    return question;
}

/* The room's face (scheduler/state/store.h). */

struct store_script {
    int unused;
};

struct store_script *store_add_script(struct store *store, const char *text)
{
    static struct store_script script;
    (void)store, (void)text;
    return &script;
}

bool store_is_up(const struct store *store)
{
    return world_now_ns() >= store->up_again_ns;
}

void store_later(struct store *store, store_reply_fn *done, void *argument)
{
    struct question *question = question_new(store, done, argument);
    world_at(world_now_ns(), answer, question, 0);
}

static void refuse(void *argument, uint64_t number)
{
    struct question *question = argument;
    (void)number;
    travelling--;
    if (question->store) tell(question, ERR_STORE_AWAY);
    question_free(question);
}

void store_eval(struct store *store, struct store_script *script, store_reply_fn *done,
                void *argument, size_t key_count, size_t count, const char *const *words,
                const size_t *sizes)
{
    struct question *question = question_new(store, done, argument);
    (void)script;
    must(key_count == 1 && count <= WORDS_MAX && !sizes);
    question->asks = true;
    for (size_t i = 0; i < count; i++)
        if (i != 10) snprintf(question->words[i], sizeof question->words[i], "%s", words[i]);
    question->backs = mem_copy_text(words[10]);
    if (store_is_up(store))
        send(store, question);
    else
        world_at(world_now_ns(), refuse, question, 0);
}

struct store *redis_link(void)
{
    return mem_new(1, sizeof(struct store));
}

/* One that went out before the latest break. */
static struct question *find_cut_off(const struct store *store)
{
    struct question *question = store->pending;
    while (question && (!question->asks || question->breaks == store->breaks))
        question = question->next;
    return question;
}

void redis_break(struct store *store, uint64_t for_ns)
{
    store->up_again_ns = world_now_ns() + for_ns;
    store->breaks++;
    for (struct question *cut; (cut = find_cut_off(store)) != NULL;)
        tell(cut, ERR_STORE_AWAY);
}

void redis_unlink(struct store *store)
{
    store->up_again_ns = UINT64_MAX;
    while (store->pending) {
        struct question *last = store->pending;
        tell(last, last->asks ? ERR_STORE_AWAY : ERR_OK);
    }
    mem_free(store);
}

/* To look at. */

uint64_t redis_done_ns(void)
{
    must(told != NULL);
    return told->done_ns;
}

uint64_t redis_cause_ns(void)
{
    must(told != NULL);
    return told->cause_ns;
}

bool redis_counts_minute(const char *key, uint64_t at_ns)
{
    return tally_counts_minute(key, clock_ms(at_ns), clock_ms(world_now_ns()));
}

bool redis_counts_day(const char *key, uint64_t at_ns)
{
    return tally_counts_day(key, clock_ms(at_ns), clock_ms(world_now_ns()));
}

uint64_t redis_minute_tokens(const char *key)
{
    return tally_minute_tokens(key, clock_ms(world_now_ns()));
}

uint64_t redis_day_tokens(const char *key)
{
    return tally_day_tokens(key, clock_ms(world_now_ns()));
}

void redis_begin(bool swift)
{
    must(travelling == 0);
    is_swift = swift;
}

void redis_end(void)
{
    while (travelling > 0)
        must(world_step(UINT64_MAX));
    tally_end();
}
