/* What is left of the streams that are counted when Redis was away for as long as their life, or longer: whoever is in the
 * air is counted again, whoever ended is not, whatever was lost on the way. A count lives for 3 s here, for 10 s else. */
#include "scheduler/state/limit.h"
#include "scheduler/state/store.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/crowd.h"

#include "base/clock.h"
#include "base/rand.h"

#include <string.h>

enum {
    STREAM_MS = 3000,
    REST_MS = 700,  // then nothing is leased any more
    SOON_MS = 2000, // within which what was lost is mended, on a busy machine; a count ends later
    CROWD = 3,
    STREAMS = 6,
    SLOTS = 8 // of each scheduler in the hammer
};

static const struct limit_options closed = {.stream_ms = STREAM_MS};
static const struct limit_options open = {.stream_ms = STREAM_MS, .open_when_away = true};

static enum err asked(const struct crowd_member *member, const struct limit_ask *ask)
{
    return crowd_ask(member, ask).err;
}

/* Ask again and again, as clients do, until it is admitted; the milliseconds. */
static uint64_t retry(const struct crowd_member *member, const struct limit_ask *ask,
                      struct crowd_answer *admitted)
{
    uint64_t begin_ns = clock_now_ns();
    for (int i = 0; i < TEST_LOOKS_MAX; i++) {
        *admitted = crowd_ask(member, ask);
        if (!admitted->err) return (clock_now_ns() - begin_ns) / CLOCK_MS;
        crowd_run(50);
    }
    fail_msg("still refused: %s", admitted->note);
    return 0;
}

/* Redis answers no more; every scheduler has noticed. What is in its sockets it will do when it thaws. */
static void freeze(const struct crowd_member *members, size_t count)
{
    struct limit_ask probe = crowd_of_user("probe", (struct limit_rule){.streams = 100}, 1);
    test_redis_freeze(&crowd_redis, true);
    for (size_t i = 0; i < count; i++) {
        (void)asked(&members[i], &probe);
        crowd_wait_up(members[i].store, false);
    }
}

static void thaw(const struct crowd_member *members, size_t count)
{
    test_redis_freeze(&crowd_redis, false);
    for (size_t i = 0; i < count; i++)
        crowd_wait_up(members[i].store, true);
}

static void join_all(struct crowd_member members[CROWD], const struct limit_options *options)
{
    for (size_t i = 0; i < CROWD; i++)
        members[i] = crowd_join(options);
}

static void leave_all(struct crowd_member members[CROWD])
{
    for (size_t i = 0; i < CROWD; i++)
        crowd_leave(&members[i]);
}

/* A stream ends while Redis is away: nobody can say so. */
static void an_end_that_was_lost_blocks_nobody(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member members[CROWD];
    struct crowd_answer stream, next;
    join_all(members, &closed);
    struct limit_rule rule = {.streams = 1};
    struct limit_ask key = crowd_of_key("ended", rule, 1), user = crowd_of_user("ended", rule, 1);
    const struct limit_ask *asks[] = {&key, &user};
    for (int i = 0; i < 2; i++) {
        for (size_t at = 0; at < 2; at++) { // at its own scheduler, and at another
            stream = crowd_ask(&members[0], asks[i]);
            assert_int_equal(stream.err, ERR_OK);
            freeze(members, CROWD);
            crowd_settle(&stream, 1);
            thaw(members, CROWD);
            assert_true(retry(&members[at], asks[i], &next) < SOON_MS);
            crowd_settle(&next, 1);
            crowd_run(50);
        }
    }
    leave_all(members);
}

/* Redis admitted it, and nobody heard: the client got 503. */
static void a_place_whose_grant_was_lost_is_free_soon(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member members[CROWD];
    struct crowd_answer next;
    join_all(members, &closed);
    struct limit_rule rule = {.streams = 1};
    struct limit_ask key = crowd_of_key("heard", rule, 1), user = crowd_of_user("heard", rule, 1);
    const struct limit_ask *asks[] = {&key, &user};
    for (int i = 0; i < 2; i++) {
        for (size_t at = 0; at < 2; at++) {
            crowd_run(REST_MS);
            test_redis_freeze(&crowd_redis, true);
            assert_int_equal(asked(&members[0], asks[i]), ERR_STORE_AWAY);
            thaw(members, CROWD);
            assert_true(retry(&members[at], asks[i], &next) < SOON_MS);
            crowd_settle(&next, 1);
            crowd_run(50);
        }
    }
    leave_all(members);
}

static void what_was_admitted_uncounted_counts_when_redis_is_back(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct crowd_member members[CROWD];
    struct crowd_answer streams[2], next;
    join_all(members, &open);
    struct limit_rule rule = {.requests_per_minute = 1000, .tokens_per_minute = 1000, .streams = 2};
    struct limit_ask key = crowd_of_key("open", rule, 7), user = crowd_of_user("open", rule, 7);
    const struct limit_ask *asks[] = {&key, &user};
    for (int i = 0; i < 2; i++) {
        freeze(members, CROWD);
        for (size_t s = 0; s < 2; s++) {
            streams[s] = crowd_ask(&members[s], asks[i]);
            assert_int_equal(streams[s].err, ERR_OK);
            assert_true(streams[s].limit.skipped);
        }
        crowd_run(STREAM_MS);
        thaw(members, CROWD);
        crowd_run(SOON_MS);
        for (size_t at = 0; at < CROWD; at++)
            assert_int_equal(asked(&members[at], asks[i]), ERR_LIMITED);
        crowd_run(STREAM_MS); // they are renewed
        assert_int_equal(asked(&members[2], asks[i]), ERR_LIMITED);
        crowd_settle(&streams[0], 7);
        assert_true(retry(&members[2], asks[i], &next) < SOON_MS);
        crowd_settle(&next, 7);
        crowd_settle(&streams[1], 3);
        crowd_run(50);
    }
    leave_all(members);
}

// ---- a crowd that never rests ------------------------------------------------------------------

struct hammer {
    struct crowd_member members[CROWD];
    struct crowd_answer answers[CROWD][SLOTS];
    struct limit_ask ask;
    struct rand rand;
    size_t most; // admitted at one time
};

static size_t admitted(const struct hammer *hammer)
{
    size_t count = 0;
    for (size_t i = 0; i < CROWD; i++)
        for (size_t s = 0; s < SLOTS; s++)
            count += hammer->answers[i][s].done && hammer->answers[i][s].ticket;
    return count;
}

/* Everybody begins and ends streams, for so long; refused ones are tried again at once. */
static void run_hammer(struct hammer *hammer, uint64_t ms)
{
    uint64_t end_ns = clock_now_ns() + ms * CLOCK_MS;
    hammer->most = 0;
    while (clock_now_ns() < end_ns) {
        for (size_t i = 0; i < CROWD; i++) {
            struct crowd_answer *answer = &hammer->answers[i][rand_below(&hammer->rand, SLOTS)];
            if (answer->ticket && answer->done)
                crowd_settle(answer, 1);
            else if (!answer->ticket)
                crowd_ask_later(&hammer->members[i], &hammer->ask, answer);
        }
        crowd_run(2);
        if (admitted(hammer) > hammer->most) hammer->most = admitted(hammer);
    }
}

static void end_hammer(struct hammer *hammer)
{
    for (size_t i = 0; i < CROWD; i++) {
        for (size_t s = 0; s < SLOTS; s++) {
            struct crowd_answer *answer = &hammer->answers[i][s];
            if (answer->ticket) crowd_run_until(&answer->done);
            if (answer->ticket) crowd_settle(answer, 1);
        }
    }
}

/* At every scheduler all places can be had, one after the other. */
static void check_all_free(struct hammer *hammer)
{
    crowd_run(REST_MS);
    for (size_t i = 0; i < CROWD; i++) {
        struct crowd_answer all[STREAMS];
        for (size_t s = 0; s < STREAMS; s++) {
            all[s] = crowd_ask(&hammer->members[i], &hammer->ask);
            if (all[s].err) fail_msg("scheduler %zu, stream %zu: %s", i, s, all[s].note);
        }
        assert_int_equal(asked(&hammer->members[i], &hammer->ask), ERR_LIMITED);
        for (size_t s = 0; s < STREAMS; s++)
            crowd_settle(&all[s], 1);
        crowd_run(REST_MS);
    }
}

static void check_counts(const struct limit_ask *ask, uint64_t seed)
{
    static struct hammer hammer;
    hammer = (struct hammer){.ask = *ask};
    rand_init(&hammer.rand, seed);
    join_all(hammer.members, &closed);
    run_hammer(&hammer, 300);
    assert_in_range(hammer.most, 1, STREAMS);
    // Away for less than the counts live: never too many.
    test_redis_freeze(&crowd_redis, true);
    run_hammer(&hammer, STREAM_MS / 3);
    thaw(hammer.members, CROWD);
    run_hammer(&hammer, 300);
    assert_in_range(hammer.most, 1, STREAMS);
    // Away for longer: who has not ended is counted again soon.
    test_redis_freeze(&crowd_redis, true);
    run_hammer(&hammer, 2 * STREAM_MS);
    thaw(hammer.members, CROWD);
    run_hammer(&hammer, SOON_MS);
    run_hammer(&hammer, 300);
    assert_in_range(hammer.most, 1, STREAMS);
    end_hammer(&hammer);
    check_all_free(&hammer);
    leave_all(hammer.members);
}

static void a_crowd_loses_and_gains_no_place_by_an_outage(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct limit_rule rule = {.streams = STREAMS};
    struct limit_ask key = crowd_of_key("crowd", rule, 1), user = crowd_of_user("crowd", rule, 1);
    check_counts(&key, 1);
    check_counts(&user, 2);
}

static int thaw_redis(void **state)
{
    (void)state;
    if (crowd_base) test_redis_freeze(&crowd_redis, false);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_end_that_was_lost_blocks_nobody, thaw_redis),
        cmocka_unit_test_teardown(a_place_whose_grant_was_lost_is_free_soon, thaw_redis),
        cmocka_unit_test_teardown(what_was_admitted_uncounted_counts_when_redis_is_back,
                                  thaw_redis),
        cmocka_unit_test_teardown(a_crowd_loses_and_gains_no_place_by_an_outage, thaw_redis),
    };
    crowd_patience_ms = 700; // three of them notice within a count's life that Redis stands still
    return cmocka_run_group_tests(tests, crowd_set_up, crowd_tear_down);
}
