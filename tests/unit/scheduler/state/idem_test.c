/* Idempotency-Keys against a real redis-server; a scheduler is a struct idems here, and dies by being frozen. */
#include "scheduler/state/idem.h"
#include "scheduler/state/pulse.h"
#include "scheduler/state/store.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include "base/clock.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <sodium.h>

#include <string.h>

static struct test_redis redis;
static struct event_base *base;
static struct store *store;
static struct idems *here, *there; // two schedulers

static const unsigned char secret[IDEM_SECRET_SIZE] = "0123456789abcdef0123456789abcde";

static struct idems *new_scheduler(void)
{
    return idems_new(&(struct idem_options){
        .base = base, .store = store, .secret = secret, .ttl_seconds = 100, .run_ms = 60000});
}

static int set_up(void **state)
{
    (void)state;
    assert_true(sodium_init() >= 0);
    if (!test_redis_start(&redis)) return 0;
    base = event_base_new();
    store = store_new(base, &(struct store_options){.host = redis.socket, .timeout_ms = 20000});
    here = new_scheduler();
    there = new_scheduler();
    store_loop_until_up(base, store, true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (!base) return 0;
    store_free(store);
    idems_free(here);
    idems_free(there);
    event_base_free(base);
    libevent_global_shutdown();
    test_redis_stop(&redis);
    return 0;
}

struct claim {
    bool done, lets_go;
    int taken; // so often it was asked to let go
    enum err err;
    char note[ERR_NOTE_MAX];
    struct idem_record record;
    struct idem_ticket *ticket;
};

static void on_claimed(void *argument, enum err err, const struct idem_record *record)
{
    struct claim *claim = argument;
    assert_false(claim->done);
    claim->done = true;
    claim->err = err;
    snprintf(claim->note, sizeof claim->note, "%s", err ? err_text() : "");
    if (!err) claim->record = *record;
}

static void on_taken(void *argument)
{
    struct claim *claim = argument;
    assert_int_equal(claim->err, ERR_OK);
    claim->taken++;
    if (claim->lets_go) idem_release(claim->ticket, 3);
}

static struct facts facts_of(uint64_t seed)
{
    struct facts facts = {.seed = seed, .wall_ms = 1000, .id = "chatcmpl-1", .model = "tiny"};
    facts.set[0] = digest_of(&seed, sizeof seed);
    return facts;
}

static void begin(struct idems *idems, struct claim *claim, const char *key, const char *body,
                  uint64_t seed, bool known)
{
    struct facts facts = facts_of(seed);
    struct idem_asked asked = {.tenant = "shop",
                               .user = "alice",
                               .key = key,
                               .path = "/v1/chat/completions",
                               .body = body,
                               .body_size = strlen(body),
                               .known = known};
    *claim = (struct claim){0};
    claim->ticket = idem_claim(idems, &asked, &facts, on_claimed, on_taken, claim);
    assert_false(claim->done); // never from inside
}

static struct claim ask(struct idems *idems, const char *key, const char *body, uint64_t seed)
{
    static struct claim claim;
    begin(idems, &claim, key, body, seed, false);
    store_loop_until(base, &claim.done);
    return claim;
}

static void release(const struct claim *claim, uint64_t paid)
{
    idem_release(claim->ticket, paid);
}

static redisReply *ask_redis(const char *first, const char *second, const char *third,
                             const char *fourth)
{
    redisContext *client = redisConnectUnix(redis.socket);
    assert_int_equal(client->err, 0);
    const char *words[] = {first, second, third, fourth};
    redisReply *reply = redisCommandArgv(client, fourth ? 4 : third ? 3 : 2, words, NULL);
    assert_non_null(reply);
    redisFree(client);
    return reply;
}

static size_t count_keys(const char *pattern)
{
    redisReply *keys = ask_redis("KEYS", pattern, NULL, NULL);
    size_t count = keys->elements;
    freeReplyObject(keys);
    return count;
}

static void forget(const char *pattern)
{
    redisReply *keys = ask_redis("KEYS", pattern, NULL, NULL);
    for (size_t i = 0; i < keys->elements; i++)
        freeReplyObject(ask_redis("DEL", keys->element[i]->str, NULL, NULL));
    freeReplyObject(keys);
}

static void a_second_claim_is_told_what_the_first_one_said(void **state)
{
    (void)state;
    if (!base) skip();
    struct claim first = ask(here, "k1", "body", 7);
    assert_int_equal(first.err, ERR_OK);
    assert_false(first.record.again);
    assert_int_equal(first.record.facts.seed, 7);
    idem_set(first.ticket, &(struct idem_mark){50, 500, true, 3, "0a"});
    release(&first, 40);
    struct claim second = ask(there, "k1", "body", 8);
    assert_int_equal(second.err, ERR_OK);
    assert_true(second.record.again);
    struct facts facts = facts_of(7);
    assert_memory_equal(&second.record.facts, &facts, sizeof facts);
    assert_int_equal(second.record.mark.paid, 40);
    assert_int_equal(second.record.mark.max_tokens, 500);
    assert_true(second.record.mark.has_base);
    assert_int_equal(second.record.mark.version, 3);
    assert_string_equal(second.record.mark.ground, "0a");
    release(&second, 40);
}

static void a_key_stands_for_one_request_of_one_user(void **state)
{
    (void)state;
    if (!base) skip();
    struct claim first = ask(here, "k2", "body", 7);
    struct claim other = ask(there, "k2", "Body", 7);
    assert_int_equal(other.err, ERR_MISMATCH);
    assert_non_null(strstr(other.note, "another request"));
    static struct claim bob;
    struct facts facts = facts_of(9);
    struct idem_asked asked = {
        .tenant = "shop", .user = "bob", .key = "k2", .path = "/", .body = "b", .body_size = 1};
    bob = (struct claim){0};
    bob.ticket = idem_claim(here, &asked, &facts, on_claimed, on_taken, &bob);
    store_loop_until(base, &bob.done);
    assert_int_equal(bob.err, ERR_OK);
    assert_false(bob.record.again);
    release(&bob, 0);
    release(&first, 0);
}

static void redis_sees_neither_key_nor_user_nor_body(void **state)
{
    (void)state;
    if (!base) skip();
    forget("qiao:{i:*}");
    struct claim claim = ask(here, "the-very-key", "the-very-body", 7);
    redisReply *keys = ask_redis("KEYS", "*", NULL, NULL);
    for (size_t i = 0; i < keys->elements; i++) {
        const char *key = keys->element[i]->str;
        assert_null(strstr(key, "very"));
        assert_null(strstr(key, "alice"));
        if (strncmp(key, "qiao:{i:", 8) != 0) continue;
        redisReply *all = ask_redis("HGETALL", key, NULL, NULL);
        for (size_t j = 0; j < all->elements; j++)
            assert_null(strstr(all->element[j]->str, "very"));
        freeReplyObject(all);
        redisReply *ttl = ask_redis("TTL", key, NULL, NULL);
        assert_in_range(ttl->integer, 30, 100);
        freeReplyObject(ttl);
    }
    freeReplyObject(keys);
    release(&claim, 0);
}

/* At the same scheduler at once, from another one by the way of its pulse. */
static void the_newest_claim_has_the_attempt(void **state)
{
    (void)state;
    if (!base) skip();
    static struct claim first;
    for (int i = 0; i < 2; i++) {
        const char *key = i ? "k3-there" : "k3-here";
        begin(here, &first, key, "body", 7, false);
        store_loop_until(base, &first.done);
        first.lets_go = true;
        struct claim second = ask(i ? there : here, key, "body", 8);
        assert_int_equal(second.err, ERR_OK);
        assert_int_equal(first.taken, 1);
        assert_true(second.record.again);
        assert_int_equal(second.record.facts.seed, 7);
        assert_int_equal(second.record.mark.paid, 3); // what the first said at its end
        release(&second, 3);
    }
}

static void an_attempt_that_does_not_let_go_stays(void **state)
{
    (void)state;
    if (!base) skip();
    static struct claim first;
    begin(here, &first, "k3", "body", 7, false);
    store_loop_until(base, &first.done);
    for (int i = 0; i < 2; i++) {
        struct claim other = ask(i ? there : here, "k3", "body", 8);
        assert_int_equal(other.err, ERR_CONFLICT);
        assert_non_null(strstr(other.note, "another connection"));
        assert_true(first.taken > 1);
    }
    release(&first, 0);
}

/* The second claim waits, is left by its client unnoticed, and the third is what the client has now. */
static void an_older_claim_takes_nothing_from_a_newer_one(void **state)
{
    (void)state;
    if (!base) skip();
    static struct claim first, second, third;
    begin(here, &first, "k3-old", "body", 7, false);
    store_loop_until(base, &first.done);
    begin(there, &second, "k3-old", "body", 8, false);
    store_loop_run(base, 50);
    store_loop_settle(base, store); // it waits by now
    first.lets_go = true;
    begin(here, &third, "k3-old", "body", 9, false);
    store_loop_until(base, &third.done);
    assert_int_equal(third.err, ERR_OK);
    store_loop_until(base, &second.done);
    assert_int_equal(second.err, ERR_CONFLICT);
    store_loop_run(base, 2 * PULSE_MS);
    assert_int_equal(third.taken, 0);
    release(&third, 0);
}

/* Its scheduler stands still while another asks, and gives up. */
static void who_is_asked_no_more_keeps_its_attempt(void **state)
{
    (void)state;
    if (!base) skip();
    static struct claim first, second;
    begin(here, &first, "k3-kept", "body", 7, false);
    store_loop_until(base, &first.done);
    store_loop_settle(base, store); // its first sign of life is there
    begin(there, &second, "k3-kept", "body", 8, false);
    store_loop_settle(base, store);
    idem_drop(second.ticket);
    assert_int_equal(count_keys("qiao:{scheduler:*}:asked"), 1);
    usleep((PULSE_WORD_MS + 50) * 1000); // here nothing runs meanwhile
    assert_int_equal(count_keys("qiao:{scheduler:*}:asked"), 0);
    store_loop_run(base, 2 * PULSE_MS);
    assert_int_equal(first.taken, 0);
    release(&first, 0);
}

static void a_claim_waits_for_a_connection_that_is_closing(void **state)
{
    (void)state;
    if (!base) skip();
    for (int i = 0; i < 2; i++) {
        static struct claim second;
        struct claim first = ask(here, i ? "k4" : "k5", "body", 7);
        begin(i ? there : here, &second, i ? "k4" : "k5", "body", 8, false);
        store_loop_settle(base, store);
        assert_false(second.done);
        release(&first, 3);
        store_loop_until(base, &second.done);
        assert_int_equal(second.err, ERR_OK);
        assert_int_equal(second.record.facts.seed, 7);
        release(&second, 3);
    }
}

/* Its sign of life is taken away, as if its loop stood still. */
static void an_attempt_that_died_is_taken_over_and_its_mark_with_it(void **state)
{
    (void)state;
    if (!base) skip();
    struct claim dead = ask(here, "k6", "body", 7);
    idem_set(dead.ticket, &(struct idem_mark){.paid = 60, .max_tokens = 9});
    store_loop_settle(base, store);
    static struct claim next;
    begin(there, &next, "k6", "body", 8, false);
    while (!next.done) {
        forget("qiao:{scheduler:*}"); // again and again: it does live
        store_loop_run(base, 1);
    }
    assert_int_equal(next.err, ERR_OK);
    assert_int_equal(next.record.facts.seed, 7);
    assert_int_equal(next.record.mark.paid, 60);
    assert_int_equal(next.record.mark.max_tokens, 9);
    assert_false(next.record.mark.has_base);
    assert_soon_on(base, count_keys("qiao:{scheduler:*}") == 2); // both are known to live again
    idem_set(dead.ticket, &(struct idem_mark){.paid = 99}); // it was not dead, and comes too late
    release(&dead, 5);
    assert_int_equal(ask(here, "k6", "body", 8).err, ERR_CONFLICT);
    release(&next, 70);
    struct claim last = ask(here, "k6", "body", 8);
    assert_int_equal(last.record.mark.paid, 70);
    release(&last, 70);
}

static void a_scheduler_without_attempts_shows_no_sign_and_is_dead_soon(void **state)
{
    (void)state;
    if (!base) skip();
    struct claim claim = ask(here, "k7", "body", 7);
    release(&claim, 0);
    assert_soon_on(base, count_keys("qiao:{scheduler:*}") == 0);
}

static void a_claim_that_nobody_waits_for_leaves_the_record_free(void **state)
{
    (void)state;
    if (!base) skip();
    struct claim unasked;
    begin(here, &unasked, "k8", "body", 7, false);
    idem_drop(unasked.ticket);
    store_loop_settle(base, store);
    assert_false(unasked.done);
    struct claim claim = ask(there, "k8", "body", 8);
    assert_int_equal(claim.err, ERR_OK);
    assert_int_equal(claim.record.facts.seed, 7);
    begin(here, &unasked, "k8", "body", 7, false); // dropped while it waits
    store_loop_settle(base, store);
    idem_drop(unasked.ticket);
    begin(there, &unasked, "k8", "body", 7, false);
    store_loop_settle(base, store);
    idem_drop(unasked.ticket);
    release(&claim, 0);
}

static void what_must_be_known_is_not_made(void **state)
{
    (void)state;
    if (!base) skip();
    static struct claim claim;
    for (int i = 0; i < 2; i++) {
        begin(here, &claim, "k9", "body", 7, true);
        store_loop_until(base, &claim.done);
        assert_int_equal(claim.err, ERR_NOT_FOUND);
        assert_non_null(strstr(claim.note, "100 s"));
    }
}

static void a_key_is_used_so_often_and_no_more(void **state)
{
    (void)state;
    if (!base) skip();
    for (int i = 0; i < IDEM_TRIES_MAX; i++) {
        struct claim claim = ask(here, "k10", "body", 7);
        assert_int_equal(claim.err, ERR_OK);
        release(&claim, 0);
    }
    struct claim claim = ask(here, "k10", "body", 7);
    assert_int_equal(claim.err, ERR_LIMITED);
    assert_non_null(strstr(claim.note, "64 times"));
}

static void a_damaged_record_is_an_error_and_no_fresh_start(void **state)
{
    (void)state;
    if (!base) skip();
    forget("qiao:{i:*}");
    struct claim claim = ask(here, "k11", "body", 7);
    release(&claim, 0);
    redisReply *keys = ask_redis("KEYS", "qiao:{i:*}", NULL, NULL);
    assert_int_equal(keys->elements, 1);
    freeReplyObject(ask_redis("HSET", keys->element[0]->str, "answer", "7 1000 chat"));
    claim = ask(here, "k11", "body", 7);
    assert_int_equal(claim.err, ERR_INTERNAL);
    forget("qiao:{i:*}");
    freeReplyObject(keys);
}

static void a_release_that_was_lost_keeps_nobody_out(void **state)
{
    (void)state;
    if (!base) skip();
    struct claim claim = ask(here, "k12", "body", 7);
    struct claim alive = ask(here, "k13", "body", 7); // the scheduler goes on showing signs of life
    redisReply *keys = ask_redis("CLIENT", "KILL", "TYPE", "normal");
    freeReplyObject(keys);
    release(&claim, 4);
    assert_soon_on(base, store_loop_ask(base, store, "PING", NULL).err == ERR_OK);
    claim = ask(here, "k12", "body", 8);
    assert_int_equal(claim.err, ERR_OK);
    assert_int_equal(claim.record.facts.seed, 7);
    release(&claim, 4);
    release(&alive, 0);
}

static void without_redis_the_answer_says_so(void **state)
{
    (void)state;
    if (!base) skip();
    test_redis_kill(&redis);
    struct claim claim = ask(here, "k14", "body", 7);
    assert_int_equal(claim.err, ERR_STORE_AWAY);
    assert_non_null(strstr(claim.note, "Idempotency-Keys"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_claim_is_told_what_the_first_one_said),
        cmocka_unit_test(a_key_stands_for_one_request_of_one_user),
        cmocka_unit_test(redis_sees_neither_key_nor_user_nor_body),
        cmocka_unit_test(the_newest_claim_has_the_attempt),
        cmocka_unit_test(an_attempt_that_does_not_let_go_stays),
        cmocka_unit_test(an_older_claim_takes_nothing_from_a_newer_one),
        cmocka_unit_test(who_is_asked_no_more_keeps_its_attempt),
        cmocka_unit_test(a_claim_waits_for_a_connection_that_is_closing),
        cmocka_unit_test(an_attempt_that_died_is_taken_over_and_its_mark_with_it),
        cmocka_unit_test(a_scheduler_without_attempts_shows_no_sign_and_is_dead_soon),
        cmocka_unit_test(a_claim_that_nobody_waits_for_leaves_the_record_free),
        cmocka_unit_test(what_must_be_known_is_not_made),
        cmocka_unit_test(a_key_is_used_so_often_and_no_more),
        cmocka_unit_test(a_damaged_record_is_an_error_and_no_fresh_start),
        cmocka_unit_test(a_release_that_was_lost_keeps_nobody_out),
        cmocka_unit_test(without_redis_the_answer_says_so),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
