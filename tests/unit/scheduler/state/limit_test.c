/* What a key and its users may spend, against a real redis-server. */
#include "scheduler/state/limit.h"
#include "scheduler/state/store.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/crowd.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include <hiredis/hiredis.h>

#include <string.h>

enum {
    PACE = 3 // of the short windows: so that a busy machine is within them
};

/* A minute of 4.5 s (slots of 150 ms), a day of 36 s (slots of 1.5 s). */
static const struct limit_options quick = {
    .minute_ms = PACE * 1500, .day_ms = PACE * 12000, .stream_ms = PACE * 600};
static const struct limit_options real = {0};

static enum err asked(const struct crowd_member *member, const struct limit_ask *ask)
{
    return crowd_ask(member, ask).err;
}

/* Where it is not, what it was given is given back. */
static bool is_refused(const struct crowd_member *member, const struct limit_ask *ask)
{
    struct crowd_answer answer = crowd_ask(member, ask);
    if (!answer.err) crowd_settle(&answer, 0);
    return answer.err == ERR_LIMITED;
}

static redisReply *ask_redis(const char *command, const char *what)
{
    redisContext *client = redisConnectUnix(crowd_redis.socket);
    assert_int_equal(client->err, 0);
    redisReply *reply = redisCommand(client, "%s %s", command, what);
    assert_non_null(reply);
    redisFree(client);
    return reply;
}

// ---- what is admitted --------------------------------------------------------------------------

static void no_more_requests_than_the_minute_holds_are_admitted(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member member = crowd_join(&real);
    struct limit_ask ask =
        crowd_of_key("requests", (struct limit_rule){.requests_per_minute = 3}, 10);
    for (uint64_t left = 3; left-- > 0;) {
        struct crowd_answer admitted = crowd_ask(&member, &ask);
        assert_int_equal(admitted.err, ERR_OK);
        assert_int_equal(admitted.limit.requests.limit, 3);
        assert_int_equal(admitted.limit.requests.left, left);
        assert_int_equal(admitted.limit.minute.limit, 0);
        crowd_settle(&admitted, 10);
    }
    struct crowd_answer refused = crowd_ask(&member, &ask);
    assert_int_equal(refused.err, ERR_LIMITED);
    assert_in_range(refused.limit.retry_seconds, 50, 62);
    assert_in_range(refused.limit.requests.reset_ms, 50000, 62000);
    assert_non_null(strstr(refused.note, "the key's limit of 3 requests per minute"));
    ask.key = "requests-2"; // another key has its own
    assert_int_equal(asked(&member, &ask), ERR_OK);
    crowd_leave(&member);
}

static void a_request_of_a_key_whose_chunk_is_here_waits_for_nobody(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member member = crowd_join(&(struct limit_options){0});
    struct limit_ask ask =
        crowd_of_key("at-once", (struct limit_rule){.requests_per_minute = 3200}, 1);
    struct crowd_answer first = crowd_ask(&member, &ask), second;
    assert_int_equal(first.err, ERR_OK);
    crowd_ask_later(&member, &ask, &second);
    if (!second.done) { // the chunk's slot of 2 s has just ended: of the next one there is enough
        crowd_run_until(&second.done);
        crowd_settle(&second, 1);
        crowd_ask_later(&member, &ask, &second);
    }
    assert_true(second.done);
    assert_int_equal(second.err, ERR_OK);
    assert_int_equal(second.limit.requests.limit, 3200);
    assert_true(second.limit.requests.left < first.limit.requests.left);
    crowd_settle(&first, 1);
    crowd_settle(&second, 1);
    crowd_leave(&member);
}

static void tokens_that_were_not_used_come_back(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member member = crowd_join(&real);
    struct limit_rule rule = {.tokens_per_minute = 600};
    struct limit_ask all = crowd_of_key("tokens", rule, 600),
                     some = crowd_of_key("tokens", rule, 200);
    struct crowd_answer whole = crowd_ask(&member, &all);
    assert_int_equal(whole.err, ERR_OK);
    struct crowd_answer refused = crowd_ask(&member, &some);
    assert_int_equal(refused.err, ERR_LIMITED);
    assert_non_null(strstr(refused.note, "600 tokens per minute"));
    assert_non_null(strstr(refused.note, "reserves 200, 0 are left"));
    crowd_settle(&whole, 100);
    struct crowd_answer admitted = crowd_ask(&member, &some);
    assert_int_equal(admitted.err, ERR_OK);
    assert_int_equal(admitted.limit.minute.left, 300);
    some.tokens = some.least = 301;
    assert_int_equal(asked(&member, &some), ERR_LIMITED);
    some.tokens = some.least = 601; // no waiting would help
    struct crowd_answer never = crowd_ask(&member, &some);
    assert_int_equal(never.err, ERR_TOO_LARGE);
    assert_non_null(strstr(never.note, "601 tokens, more than the key's 600 tokens per minute"));
    crowd_leave(&member);
}

static void the_day_is_counted_beside_the_minute(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member member = crowd_join(&quick);
    struct limit_rule rule = {.tokens_per_minute = 1000, .tokens_per_day = 1500};
    struct limit_ask ask = crowd_of_key("day", rule, 900);
    assert_int_equal(asked(&member, &ask), ERR_OK);
    crowd_run(PACE * 1600); // the minute is new, the day is not
    struct crowd_answer refused = crowd_ask(&member, &ask);
    assert_int_equal(refused.err, ERR_LIMITED);
    assert_non_null(strstr(refused.note, "1500 tokens per day"));
    assert_non_null(strstr(refused.note, "reserves 900, 600 are left"));
    assert_in_range(refused.limit.retry_seconds, PACE * 9, PACE * 13);
    assert_int_equal(refused.limit.day.left, 600);
    ask.tokens = ask.least = 600;
    assert_int_equal(asked(&member, &ask), ERR_OK);
    crowd_leave(&member);
}

static void what_was_spent_comes_back_after_a_minute(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member member = crowd_join(&quick);
    struct limit_rule rule = {.requests_per_minute = 2};
    struct limit_ask key = crowd_of_key("slide", rule, 1), user = crowd_of_user("slide", rule, 1);
    const struct limit_ask *asks[] = {&key, &user};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(asked(&member, asks[i]), ERR_OK);
        crowd_run(PACE * 700);
        assert_int_equal(asked(&member, asks[i]), ERR_OK);
        assert_int_equal(asked(&member, asks[i]), ERR_LIMITED);
        crowd_run(PACE * 900); // the first is over a minute old, the second is not
        assert_int_equal(asked(&member, asks[i]), ERR_OK);
        assert_int_equal(asked(&member, asks[i]), ERR_LIMITED);
    }
    crowd_leave(&member);
}

static void who_did_not_ask_for_a_number_gets_what_is_left(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member member = crowd_join(&real);
    struct limit_rule rule = {.tokens_per_minute = 1000};
    struct limit_ask key = crowd_of_key("short", rule, 900),
                     user = crowd_of_user("short", rule, 900);
    struct limit_ask *asks[] = {&key, &user};
    for (int i = 0; i < 2; i++) {
        asks[i]->least = 50;
        assert_int_equal(crowd_ask(&member, asks[i]).limit.tokens, 900);
        struct crowd_answer less = crowd_ask(&member, asks[i]);
        assert_int_equal(less.err, ERR_OK);
        assert_int_equal(less.limit.tokens, 100);
        assert_int_equal(asked(&member, asks[i]), ERR_LIMITED);
    }
    crowd_leave(&member);
}

static void a_limit_that_a_rule_gets_later_begins_full(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member member = crowd_join(&real);
    struct limit_rule requests = {.requests_per_minute = 100}, tokens = {.tokens_per_minute = 600};
    struct limit_ask many = crowd_of_key("later-1", requests, 5000),
                     all = crowd_of_key("later-1", tokens, 600);
    for (int i = 0; i < 5; i++)
        assert_int_equal(asked(&member, &many), ERR_OK);
    assert_int_equal(asked(&member, &all), ERR_OK);
    struct limit_ask small = crowd_of_key("later-2", tokens, 1);
    for (int i = 0; i < 5; i++)
        assert_int_equal(asked(&member, &small), ERR_OK);
    small.key_rule = (struct limit_rule){.requests_per_minute = 1};
    assert_int_equal(asked(&member, &small), ERR_OK);
    assert_int_equal(asked(&member, &small), ERR_LIMITED);
    crowd_leave(&member);
}

// ---- users -------------------------------------------------------------------------------------

static void each_user_has_limits_of_its_own_and_the_key_has_its_total(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member member = crowd_join(&real);
    struct limit_rule user = {.tokens_per_minute = 400}, key = {.tokens_per_minute = 1000};
    struct limit_ask ask = crowd_of_user("ann", user, 300);
    ask.key = "total";
    ask.key_rule = key;
    struct crowd_answer first = crowd_ask(&member, &ask);
    assert_int_equal(first.err, ERR_OK);
    assert_int_equal(first.limit.minute.limit, 400); // the tighter one is shown
    assert_int_equal(first.limit.minute.left, 100);
    struct crowd_answer refused = crowd_ask(&member, &ask);
    assert_int_equal(refused.err, ERR_LIMITED);
    assert_non_null(strstr(refused.note, "the user's limit is 400 tokens per minute"));
    ask.user = "ben"; // what the user was refused, the key has back
    assert_int_equal(asked(&member, &ask), ERR_OK);
    ask.user = "cay";
    struct crowd_answer last = crowd_ask(&member, &ask);
    assert_int_equal(last.err, ERR_OK);
    assert_int_equal(last.limit.minute.left, 100); // of the key and of the user
    ask.user = "dan";
    refused = crowd_ask(&member, &ask);
    assert_int_equal(refused.err, ERR_LIMITED);
    assert_non_null(strstr(refused.note, "the key's limit is 1000 tokens per minute"));
    ask.least = 50; // the key has 100 left, the user 400: less is taken from both
    struct crowd_answer less = crowd_ask(&member, &ask);
    assert_int_equal(less.limit.tokens, 100);
    ask.key = "other"; // the user's 300 are the same under another key of the tenant
    ask.least = 300;
    assert_int_equal(asked(&member, &ask), ERR_OK);
    assert_int_equal(asked(&member, &ask), ERR_LIMITED);
    ask.tenant = "bank"; // and another tenant's user of that name is somebody else
    assert_int_equal(asked(&member, &ask), ERR_OK);
    crowd_leave(&member);
}

static void a_user_that_takes_less_leaves_the_key_the_rest(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member member = crowd_join(&real);
    struct limit_ask ask = crowd_of_user("eve", (struct limit_rule){.tokens_per_minute = 400}, 900);
    ask.key = "rest";
    ask.key_rule = (struct limit_rule){.tokens_per_minute = 1000};
    ask.least = 100;
    struct crowd_answer less = crowd_ask(&member, &ask);
    assert_int_equal(less.limit.tokens, 400);
    struct limit_ask others = crowd_of_key("rest", ask.key_rule, 600);
    assert_int_equal(asked(&member, &others), ERR_OK);
    assert_int_equal(asked(&member, &others), ERR_LIMITED);
    crowd_settle(&less, 100); // 300 back, to both
    ask.tokens = ask.least = 300;
    assert_int_equal(asked(&member, &ask), ERR_OK);
    crowd_leave(&member);
}

static void redis_does_not_learn_who_the_user_is(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member member = crowd_join(&real);
    struct limit_ask ask =
        crowd_of_user("josephine", (struct limit_rule){.requests_per_minute = 9}, 1);
    assert_int_equal(asked(&member, &ask), ERR_OK);
    assert_int_equal(asked(&member, &ask), ERR_OK);
    redisReply *keys = ask_redis("KEYS", "*");
    size_t users = 0;
    for (size_t i = 0; i < keys->elements; i++) {
        assert_null(strstr(keys->element[i]->str, "josephine"));
        users += strncmp(keys->element[i]->str, "qiao:{u:", 8) == 0;
        redisReply *ttl = ask_redis("PTTL", keys->element[i]->str);
        assert_in_range(ttl->integer, 1, 27 * 3600 * 1000); // nothing stays for ever
        freeReplyObject(ttl);
    }
    assert_true(users > 0);
    freeReplyObject(keys);
    crowd_leave(&member);
}

// ---- streams -----------------------------------------------------------------------------------

static void no_more_streams_than_allowed_run_at_once(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member one = crowd_join(&real), two = crowd_join(&real);
    struct limit_rule rule = {.streams = 3};
    struct limit_ask key = crowd_of_key("streams", rule, 5),
                     user = crowd_of_user("streams", rule, 5);
    const struct limit_ask *asks[] = {&key, &user};
    for (int i = 0; i < 2; i++) {
        struct limit_ask ask = *asks[i];
        struct crowd_answer first = crowd_ask(&one, &ask), second = crowd_ask(&two, &ask);
        struct crowd_answer third = crowd_ask(&one, &ask), fourth = crowd_ask(&two, &ask);
        assert_int_equal(first.err + second.err + third.err, ERR_OK);
        assert_int_equal(fourth.err, ERR_LIMITED);
        assert_non_null(strstr(fourth.note, "3 streams at once"));
        crowd_settle(&first, 5);
        assert_int_equal(asked(&one, &ask), ERR_OK);
        assert_int_equal(asked(&one, &ask), ERR_LIMITED);
        ask.streams = 4;
        struct crowd_answer never = crowd_ask(&one, &ask);
        assert_int_equal(never.err, ERR_TOO_LARGE);
        assert_non_null(strstr(never.note, "4 streams"));
        crowd_settle(&second, 5);
        crowd_settle(&third, 5);
    }
    crowd_leave(&one);
    crowd_leave(&two);
}

static void streams_last_while_renewed_and_vanish_with_a_killed_scheduler(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member one = crowd_join(&quick), two = crowd_join(&quick);
    struct limit_rule rule = {.streams = 2};
    struct limit_ask key = crowd_of_key("killed", rule, 5), user = crowd_of_user("killed", rule, 5);
    const struct limit_ask *asks[] = {&key, &user};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(asked(&one, asks[i]), ERR_OK);
        assert_int_equal(asked(&one, asks[i]), ERR_OK);
        crowd_run(PACE * 900); // longer than they live without renewal
        assert_int_equal(asked(&two, asks[i]), ERR_LIMITED);
    }
    crowd_kill(&one);
    for (int i = 0; i < 2; i++)
        assert_int_equal(asked(&two, asks[i]), ERR_LIMITED);
    crowd_run(PACE * 700);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(asked(&two, asks[i]), ERR_OK);
        assert_int_equal(asked(&two, asks[i]), ERR_OK);
        assert_int_equal(asked(&two, asks[i]), ERR_LIMITED);
    }
    crowd_leave(&two);
}

// ---- who goes away -----------------------------------------------------------------------------

static void who_goes_away_while_asking_neither_keeps_nor_gains_tokens(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member member = crowd_join(&real);
    struct limit_rule rule = {.tokens_per_minute = 600, .streams = 1};
    struct limit_ask key = crowd_of_key("gone", rule, 600), user = crowd_of_user("gone", rule, 600);
    const struct limit_ask *asks[] = {&key, &user};
    static struct crowd_answer gone;
    for (int i = 0; i < 2; i++) {
        crowd_ask_later(&member, asks[i], &gone);
        limit_drop(gone.ticket);
        crowd_settle_redis(&member);
        struct crowd_answer admitted = crowd_ask(&member, asks[i]);
        assert_int_equal(admitted.err, ERR_OK);
        crowd_ask_later(&member, asks[i], &gone);
        limit_drop(gone.ticket); // it would be refused
        crowd_settle_redis(&member);
        assert_int_equal(asked(&member, asks[i]), ERR_LIMITED);
        crowd_settle(&admitted, 600);
        crowd_settle_redis(&member);
        assert_int_equal(asked(&member, asks[i]), ERR_LIMITED);
        assert_int_equal(gone.times, 0);
    }
    crowd_leave(&member);
}

static void who_goes_away_on_the_way_from_the_key_to_the_user_leaves_nothing(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member member = crowd_join(&real);
    struct limit_rule rule = {.tokens_per_minute = 1600};
    struct limit_ask both = crowd_of_user("way", rule, 50);
    both.key = "way";
    both.key_rule = rule;
    struct crowd_answer first = crowd_ask(&member, &both); // now the key has a chunk here
    assert_int_equal(first.err, ERR_OK);
    static struct crowd_answer gone;
    crowd_ask_later(&member, &both, &gone); // the key's part is taken, the user is asked
    limit_drop(gone.ticket);
    crowd_settle(&first, 0);
    crowd_settle_redis(&member);
    both.tokens = both.least = 1600;
    assert_int_equal(asked(&member, &both), ERR_OK);
    assert_int_equal(gone.times, 0);
    crowd_leave(&member);
}

static void a_scheduler_that_leaves_or_rests_gives_its_chunk_back(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member one = crowd_join(&real), two = crowd_join(&real);
    struct limit_rule rule = {
        .requests_per_minute = 160, .tokens_per_minute = 16000, .streams = 64};
    struct limit_ask small = crowd_of_key("chunk", rule, 10),
                     rest = crowd_of_key("chunk", rule, 16000 - 10);
    assert_int_equal(asked(&one, &small), ERR_OK);
    assert_int_equal(asked(&two, &rest), ERR_LIMITED); // one holds a chunk
    struct crowd_answer admitted;
    assert_soon_on(crowd_base,
                   !(admitted = crowd_ask(&two, &rest)).err); // it rests: the chunk is back
    assert_int_equal(admitted.limit.requests.left, 158);
    crowd_settle(&admitted, 0);
    crowd_settle_redis(&two);
    assert_int_equal(asked(&one, &small), ERR_OK);
    crowd_leave(&one);
    rest.tokens = rest.least = 16000 - 20;
    assert_int_equal(asked(&two, &rest), ERR_OK);
    crowd_leave(&two);
}

static void a_killed_schedulers_chunk_comes_back_with_its_window(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member one = crowd_join(&quick), two = crowd_join(&quick);
    struct limit_rule rule = {.tokens_per_minute = 16000};
    struct limit_ask small = crowd_of_key("lost", rule, 10),
                     all = crowd_of_key("lost", rule, 16000);
    assert_int_equal(asked(&one, &small), ERR_OK);
    crowd_kill(&one);
    struct crowd_answer refused = crowd_ask(&two, &all);
    assert_int_equal(refused.err, ERR_LIMITED);
    assert_int_equal(refused.limit.minute.left, 15000); // a chunk is 1/16
    crowd_run(PACE * 1600);
    assert_int_equal(asked(&two, &all), ERR_OK);
    crowd_leave(&two);
}

// ---- Redis goes away ---------------------------------------------------------------------------

static void when_redis_is_away_the_setting_decides(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct limit_options forgiving = {.open_when_away = true};
    struct crowd_member open = crowd_join(&forgiving), closed = crowd_join(&real);
    struct limit_rule rule = {.requests_per_minute = 1000, .streams = 5};
    struct limit_ask key = crowd_of_key("away", rule, 1), user = crowd_of_user("away", rule, 1),
                     both = user;
    both.key = "away";
    both.key_rule = rule;
    const struct limit_ask *asks[] = {&key, &user, &both};
    assert_int_equal(asked(&closed, &key), ERR_OK); // a chunk that is not spent while Redis is away
    test_redis_kill(&crowd_redis);
    crowd_wait_up(open.store, false);
    crowd_wait_up(closed.store, false);
    for (int i = 0; i < 3; i++) {
        struct crowd_answer admitted = crowd_ask(&open, asks[i]);
        assert_int_equal(admitted.err, ERR_OK);
        assert_true(admitted.limit.skipped);
        crowd_settle(&admitted, 1);
        struct crowd_answer refused = crowd_ask(&closed, asks[i]);
        assert_int_equal(refused.err, ERR_STORE_AWAY);
        assert_non_null(strstr(refused.note, "Redis cannot be reached"));
    }
    test_redis_restart(&crowd_redis); // empty: the scripts are unknown there
    crowd_wait_up(open.store, true);
    crowd_wait_up(closed.store, true);
    for (int i = 0; i < 3; i++) {
        struct crowd_answer admitted = crowd_ask(&open, asks[i]);
        assert_int_equal(admitted.err, ERR_OK);
        assert_false(admitted.limit.skipped);
        assert_int_equal(asked(&closed, asks[i]), ERR_OK);
    }
    crowd_leave(&open);
    crowd_leave(&closed);
}

static void streams_in_the_air_are_counted_again_after_redis_lost_its_memory(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member one = crowd_join(&quick), two = crowd_join(&quick);
    struct limit_rule rule = {.streams = 1};
    struct limit_ask key = crowd_of_key("again", rule, 1), user = crowd_of_user("again", rule, 1);
    assert_int_equal(asked(&one, &key), ERR_OK);
    assert_int_equal(asked(&one, &user), ERR_OK);
    freeReplyObject(ask_redis("FLUSHALL", "SYNC"));
    assert_soon_on(crowd_base, is_refused(&two, &key));
    assert_soon_on(crowd_base, is_refused(&two, &user));
    crowd_run(PACE * 900); // and it stays so
    assert_true(is_refused(&two, &key) && is_refused(&two, &user));
    crowd_leave(&one);
    crowd_leave(&two);
}

static void a_frozen_redis_is_an_away_redis(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    crowd_patience_ms = 500;
    struct crowd_member closed = crowd_join(&real);
    crowd_patience_ms = 20000;
    struct limit_rule rule = {.requests_per_minute = 160};
    struct limit_ask user = crowd_of_user("cold", rule, 1), key = crowd_of_key("cold", rule, 1);
    test_redis_freeze(&crowd_redis, true);
    assert_int_equal(asked(&closed, &user), ERR_STORE_AWAY);
    assert_int_equal(asked(&closed, &key), ERR_STORE_AWAY);
    test_redis_freeze(&crowd_redis, false);
    assert_soon_on(crowd_base, asked(&closed, &user) == ERR_OK);
    assert_soon_on(crowd_base, asked(&closed, &key) == ERR_OK);
    crowd_leave(&closed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_requests_than_the_minute_holds_are_admitted),
        cmocka_unit_test(a_request_of_a_key_whose_chunk_is_here_waits_for_nobody),
        cmocka_unit_test(tokens_that_were_not_used_come_back),
        cmocka_unit_test(the_day_is_counted_beside_the_minute),
        cmocka_unit_test(what_was_spent_comes_back_after_a_minute),
        cmocka_unit_test(who_did_not_ask_for_a_number_gets_what_is_left),
        cmocka_unit_test(a_limit_that_a_rule_gets_later_begins_full),
        cmocka_unit_test(each_user_has_limits_of_its_own_and_the_key_has_its_total),
        cmocka_unit_test(a_user_that_takes_less_leaves_the_key_the_rest),
        cmocka_unit_test(redis_does_not_learn_who_the_user_is),
        cmocka_unit_test(no_more_streams_than_allowed_run_at_once),
        cmocka_unit_test(streams_last_while_renewed_and_vanish_with_a_killed_scheduler),
        cmocka_unit_test(who_goes_away_while_asking_neither_keeps_nor_gains_tokens),
        cmocka_unit_test(who_goes_away_on_the_way_from_the_key_to_the_user_leaves_nothing),
        cmocka_unit_test(a_scheduler_that_leaves_or_rests_gives_its_chunk_back),
        cmocka_unit_test(a_killed_schedulers_chunk_comes_back_with_its_window),
        cmocka_unit_test(when_redis_is_away_the_setting_decides),
        cmocka_unit_test(streams_in_the_air_are_counted_again_after_redis_lost_its_memory),
        cmocka_unit_test(a_frozen_redis_is_an_away_redis),
    };
    return cmocka_run_group_tests(tests, crowd_set_up, crowd_tear_down);
}
