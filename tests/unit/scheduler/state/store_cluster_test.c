/* A Redis Cluster of three masters and a replica, all real: slots move under load, a master dies, and every command is
 * answered right. */
#include "scheduler/state/slot.h"
#include "scheduler/state/store.h"
#include "tests/support/redis_servers.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include "base/clock.h"

#include <event2/event.h>

#include <string.h>

enum {
    MASTER_COUNT = 3,
    KEY_COUNT = 200,
    TIMEOUT_MS = 1500, // of a command
    KEYS_OF_ALL = 30,  // some at each master
    PATIENCE_MS = 120000,
    COUNTERS = 32 // keys of the slot that moves
};

static struct test_servers servers;
static struct event_base *base;
static struct store *store;
static struct store_script *append, *add;

static const char append_text[] = "return redis.call('APPEND', KEYS[1], ARGV[1])";
static const char add_text[] = "redis.call('INCR', KEYS[1])\n"
                               "return redis.call('INCR', KEYS[2])";

static struct store *new_store(const char *password)
{
    struct store_address seeds[2] = {{"127.0.0.1", 1}, {"127.0.0.1", servers.all[1].port}};
    return store_new(base, &(struct store_options){.timeout_ms = TIMEOUT_MS,
                                                   .password = password,
                                                   .seeds = seeds, // the first one is nobody
                                                   .seed_count = 2});
}

static int set_up(void **state)
{
    (void)state;
    if (!test_servers_begin(&servers)) return 0;
    for (size_t i = 0; i < MASTER_COUNT + 1; i++)
        test_servers_add_member(&servers);
    test_servers_join(&servers, MASTER_COUNT);
    base = event_base_new();
    store = new_store(TEST_SERVERS_PASSWORD);
    append = store_add_script(store, append_text);
    add = store_add_script(store, add_text);
    store_loop_until_up(base, store, true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_loop_end(base, store);
    test_servers_end(&servers);
    return 0;
}

/* How often any member has answered with this error, MOVED or ASK. */
static unsigned long count_errors(const char *name)
{
    unsigned long total = 0;
    char field[48];
    snprintf(field, sizeof field, "errorstat_%s:count=", name);
    for (size_t i = 0; i < servers.count; i++) {
        if (!servers.all[i].process) continue;
        const char *at = strstr(test_server_ask(&servers.all[i], "INFO errorstats"), field);
        if (at) total += strtoul(at + strlen(field), NULL, 10);
    }
    return total;
}

static struct test_server *master_of(unsigned slot)
{
    return &servers.all[slot * MASTER_COUNT / SLOT_COUNT]; // as test_servers_join() shares them
}

// ---- a quiet Cluster ---------------------------------------------------------------------------

static void keys_of_all_masters_are_reached_without_a_detour(void **state)
{
    (void)state;
    if (!base) skip();
    bool seen[MASTER_COUNT] = {false};
    for (int i = 0; i < KEY_COUNT; i++) {
        char key[32], value[16];
        snprintf(key, sizeof key, "qiao:{k:%d}:x", i);
        snprintf(value, sizeof value, "%d", i);
        assert_int_equal(store_loop_ask(base, store, "SET", key, value, NULL).err, ERR_OK);
        assert_int_equal(store_loop_eval(base, store, append, key, "x").err, ERR_OK);
        struct test_server *master = master_of(slot_of(key, strlen(key)));
        seen[master - servers.all] = true;
        snprintf(value, sizeof value, "%dx", i);
        assert_string_equal(test_server_ask(master, "GET %s", key), value);
        assert_string_equal(store_loop_ask(base, store, "GET", key, NULL).text, value);
    }
    for (int i = 0; i < MASTER_COUNT; i++)
        assert_true(seen[i]);
    assert_int_equal(count_errors("MOVED"), 0);
}

static void our_slots_are_those_of_redis(void **state)
{
    (void)state;
    if (!base) skip();
    static const char *const keys[] = {"a",  "qiao:{u:0f}:session:s-1", "{}x", "{a", "x{y}z{w}",
                                       "foo"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_int_equal(
            strtoul(test_server_ask(&servers.all[0], "CLUSTER KEYSLOT %s", keys[i]), NULL, 10),
            slot_of(keys[i], strlen(keys[i])));
}

static void a_command_without_a_key_goes_to_some_master(void **state)
{
    (void)state;
    if (!base) skip();
    assert_int_equal(store_loop_ask(base, store, "PING", NULL).err, ERR_OK);
}

/* Only the first master has a replica. */
static void wait_counts_at_each_master_that_was_written(void **state)
{
    (void)state;
    if (!base) skip();
    struct store *other = new_store(TEST_SERVERS_PASSWORD);
    char first[32] = "", second[32] = "";
    for (int i = 0; !first[0] || !second[0]; i++) {
        char key[32];
        snprintf(key, sizeof key, "w{%d}", i);
        bool replicated = master_of(slot_of(key, strlen(key))) == &servers.all[0];
        memcpy(replicated ? first : second, key, sizeof key);
    }
    store_loop_until_up(base, other, true);
    assert_int_equal(store_loop_ask(base, other, "SET", first, "1", NULL).err, ERR_OK);
    assert_int_equal(store_loop_ask(base, other, "WAIT", "1", "1000", NULL).integer, 1);
    assert_int_equal(store_loop_ask(base, other, "SET", second, "1", NULL).err, ERR_OK);
    struct store_answer none = store_loop_ask(base, other, "WAIT", "1", "100", NULL);
    assert_int_equal(none.err, ERR_OK);
    assert_int_equal(none.integer, 0);
    assert_int_equal(store_loop_ask(base, other, "SET", first, "2", NULL).err, ERR_OK);
    assert_int_equal(store_loop_ask(base, other, "SET", second, "2", NULL).err, ERR_OK);
    assert_int_equal(store_loop_ask(base, other, "WAIT", "1", "100", NULL).integer, 0);
    assert_int_equal(store_loop_ask(base, other, "SET", first, "3", NULL).err, ERR_OK);
    assert_int_equal(store_loop_ask(base, other, "WAIT", "1", "1000", NULL).integer, 1);
    store_free(other);
}

static bool reaches_all(struct store *other)
{
    for (int i = 0; i < KEYS_OF_ALL; i++) {
        char key[16];
        snprintf(key, sizeof key, "all:%d", i);
        if (store_loop_ask(base, other, "GET", key, NULL).err) return false;
    }
    return true;
}

/* What was written over a connection that is gone cannot be waited for any more. */
static void wait_over_a_new_connection_says_nothing(void **state)
{
    (void)state;
    if (!base) skip();
    struct store *other = new_store(TEST_SERVERS_PASSWORD);
    store_loop_until_up(base, other, true);
    assert_int_equal(store_loop_ask(base, other, "SET", "x", "1", NULL).err, ERR_OK);
    for (size_t i = 0; i < MASTER_COUNT; i++)
        test_server_ask(&servers.all[i], "CLIENT KILL TYPE normal");
    assert_soon_on(base, reaches_all(other));
    assert_int_equal(store_loop_ask(base, other, "WAIT", "0", "10", NULL).err, ERR_STORE_AWAY);
    assert_int_equal(store_loop_ask(base, other, "WAIT", "0", "10", NULL).err, ERR_OK);
    store_free(other);
}

static void a_wrong_password_is_never_up(void **state)
{
    (void)state;
    if (!base) skip();
    struct store *other = new_store("wrong");
    store_loop_run(base, 500);
    assert_false(store_is_up(other));
    assert_int_equal(store_loop_ask(base, other, "GET", "x", NULL).err, ERR_STORE_AWAY);
    store_free(other);
}

// ---- a slot moves ------------------------------------------------------------------------------

static struct test_server *source, *target;
static unsigned moving;

static void set_slot(const struct test_server *server, const char *what, const char *id)
{
    assert_string_equal(test_server_ask(server, "CLUSTER SETSLOT %u %s %s", moving, what, id),
                        "OK");
}

static void begin_move(unsigned slot, struct test_server *from, struct test_server *to)
{
    char source_id[48], target_id[48];
    moving = slot;
    source = from;
    target = to;
    test_server_id(source, source_id);
    test_server_id(target, target_id);
    set_slot(target, "IMPORTING", source_id);
    set_slot(source, "MIGRATING", target_id);
}

static void move_key(const char *key)
{
    const char *reply = test_server_ask(source, "MIGRATE 127.0.0.1 %u %s 0 2000 AUTH \"%s\"",
                                        target->port, key, TEST_SERVERS_PASSWORD);
    if (strcmp(reply, "NOKEY") != 0) assert_string_equal(reply, "OK");
}

static void end_move(void)
{
    char id[48];
    test_server_id(target, id);
    set_slot(target, "NODE", id);
    for (size_t i = 0; i < servers.count; i++)
        if (&servers.all[i] != target && servers.all[i].process &&
            strstr(test_server_ask(&servers.all[i], "INFO replication"), "role:master"))
            set_slot(&servers.all[i], "NODE", id);
}

/* Counters that a load increments for ever, by a command and by a script in turn, one at a time each. */
struct counter {
    char key[32];
    long asked, answered; // well
    long long last;
    bool whole; // every answer was one more than the one before
    bool in_flight, stop;
};

static struct counter counters[COUNTERS];

static void ask_counter(struct counter *counter);

static void on_counted(void *argument, enum err err, const struct redisReply *reply)
{
    struct counter *counter = argument;
    struct store_answer answer = {0};
    store_loop_keep(&answer, err, reply);
    counter->in_flight = false;
    if (!err) {
        counter->answered++;
        if (answer.integer != counter->last + 1) counter->whole = false;
        counter->last = answer.integer;
    } else {
        print_message("%s: %s\n", counter->key, answer.note);
    }
    if (!counter->stop) ask_counter(counter);
}

static const char count_text[] = "return redis.call('INCR', KEYS[1])";

static void ask_counter(struct counter *counter)
{
    counter->in_flight = true;
    counter->asked++;
    const char *const words[] = {"INCR", counter->key};
    if (counter->asked % 2)
        store_command(store, on_counted, counter, 2, words, NULL);
    else
        store_eval(store, store_add_script(store, count_text), on_counted, counter, 1, 1, words + 1,
                   NULL);
}

static void start_counters(void)
{
    for (int i = 0; i < COUNTERS; i++) {
        counters[i] = (struct counter){.whole = true};
        snprintf(counters[i].key, sizeof counters[i].key, "{moving}:%d", i);
        store_loop_ask(base, store, "DEL", counters[i].key, NULL);
        ask_counter(&counters[i]);
    }
}

static void stop_counters(void)
{
    for (int i = 0; i < COUNTERS; i++)
        counters[i].stop = true;
    for (int i = 0; i < COUNTERS; i++)
        while (counters[i].in_flight)
            store_loop_run(base, 1);
}

static void a_slot_moves_under_load_and_every_command_is_answered_right(void **state)
{
    (void)state;
    if (!base) skip();
    unsigned slot = slot_of("moving", 6);
    struct test_server *home = master_of(slot);
    struct test_server *away = home == &servers.all[0] ? &servers.all[1] : &servers.all[0];
    test_server_ask(away, "SCRIPT FLUSH");
    start_counters();
    store_loop_run(base, 50);
    unsigned long moved = count_errors("MOVED"), asked = count_errors("ASK");
    for (int round = 0; round < 4; round++) { // there, back, there, back
        begin_move(slot, round % 2 ? away : home, round % 2 ? home : away);
        for (int i = 0; i < COUNTERS; i++) {
            move_key(counters[i].key);
            store_loop_run(base, round == 0 ? 2 * TIMEOUT_MS / COUNTERS
                                            : 5); // once for longer than a command may take
        }
        end_move();
        store_loop_run(base, 100);
    }
    stop_counters();
    long total = 0;
    for (int i = 0; i < COUNTERS; i++) {
        assert_int_equal(counters[i].answered, counters[i].asked);
        assert_true(counters[i].whole);
        total += counters[i].answered;
        char value[24];
        snprintf(value, sizeof value, "%lld", counters[i].last);
        assert_string_equal(test_server_ask(home, "GET %s", counters[i].key), value);
    }
    moved = count_errors("MOVED") - moved;
    asked = count_errors("ASK") - asked;
    print_message("%ld commands, %lu times ASK, %lu times MOVED\n", total, asked, moved);
    assert_true(asked > 0);
    assert_in_range(moved, 1, 4 * 10 * COUNTERS); // the map learns: not at each command
}

static void a_call_whose_keys_are_on_both_sides_waits_until_they_are_together(void **state)
{
    (void)state;
    if (!base) skip();
    unsigned slot = slot_of("pair", 4);
    struct test_server *home = master_of(slot);
    struct test_server *away = home == &servers.all[0] ? &servers.all[1] : &servers.all[0];
    assert_int_equal(store_loop_ask(base, store, "SET", "{pair}a", "5", NULL).err, ERR_OK);
    assert_int_equal(store_loop_ask(base, store, "SET", "{pair}b", "7", NULL).err, ERR_OK);
    begin_move(slot, home, away);
    move_key("{pair}a");
    struct store_answer answer = {0};
    const char *const words[] = {"{pair}a", "{pair}b"};
    store_eval(store, add, store_loop_keep, &answer, 2, 2, words, NULL);
    assert_soon_on(base, count_errors("TRYAGAIN") > 0);
    assert_int_equal(answer.times, 0);
    move_key("{pair}b");
    end_move();
    store_loop_until(base, &answer.done);
    assert_int_equal(answer.err, ERR_OK);
    assert_int_equal(answer.integer, 8);

    begin_move(slot, away, home); // now they stay apart for longer than a command may take
    move_key("{pair}a");
    answer = (struct store_answer){0};
    uint64_t begin_ns = clock_now_ns();
    store_eval(store, add, store_loop_keep, &answer, 2, 2, words, NULL);
    store_loop_until(base, &answer.done);
    assert_int_equal(answer.err, ERR_STORE_AWAY);
    assert_in_range((clock_now_ns() - begin_ns) / CLOCK_MS, TIMEOUT_MS - 100, PATIENCE_MS);
    move_key("{pair}b");
    end_move();
    assert_string_equal(store_loop_ask(base, store, "GET", "{pair}b", NULL).text, "8");
}

// ---- a master dies -----------------------------------------------------------------------------

static void when_a_master_dies_the_others_serve_and_its_replica_follows(void **state)
{
    (void)state;
    if (!base) skip();
    char first[32] = "", second[32] = "";
    for (int i = 0; !first[0] || !second[0]; i++) {
        char key[32];
        snprintf(key, sizeof key, "d{%d}", i);
        bool dies = master_of(slot_of(key, strlen(key))) == &servers.all[0];
        memcpy(dies ? first : second, key, sizeof key);
    }
    assert_int_equal(store_loop_ask(base, store, "SET", first, "1", NULL).err, ERR_OK);
    test_server_await(&servers.all[MASTER_COUNT], "INFO replication", "master_link_status:up");
    struct store_answer flight = {0};
    const char *const words[] = {"GET", first};
    test_server_freeze(&servers.all[0], true);
    store_command(store, store_loop_keep, &flight, 2, words, NULL);
    store_loop_run(base, 10);
    uint64_t killed_ns = clock_now_ns();
    test_server_kill(&servers.all[0]);
    unsigned passed_ms = 0;
    for (enum err err = ERR_INTERNAL; err;) {
        err = store_loop_ask(base, store, "SET", first, "2", NULL).err;
        if (err) assert_true(err == ERR_STORE_AWAY || err == ERR_TIMEOUT);
        assert_int_equal(store_loop_ask(base, store, "SET", second, "2", NULL).err, ERR_OK);
        assert_true(store_is_up(store));
        passed_ms = (unsigned)((clock_now_ns() - killed_ns) / CLOCK_MS);
        assert_in_range(passed_ms, 0, PATIENCE_MS);
        store_loop_run(base, 10);
    }
    print_message("written again %u ms after the master was killed\n", passed_ms);
    assert_int_equal(flight.times, 1);
    assert_int_equal(flight.err, ERR_STORE_AWAY);
    assert_string_equal(test_server_ask(&servers.all[MASTER_COUNT], "GET %s", first), "2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_all_masters_are_reached_without_a_detour),
        cmocka_unit_test(our_slots_are_those_of_redis),
        cmocka_unit_test(a_command_without_a_key_goes_to_some_master),
        cmocka_unit_test(wait_counts_at_each_master_that_was_written),
        cmocka_unit_test(wait_over_a_new_connection_says_nothing),
        cmocka_unit_test(a_wrong_password_is_never_up),
        cmocka_unit_test(a_slot_moves_under_load_and_every_command_is_answered_right),
        cmocka_unit_test(a_call_whose_keys_are_on_both_sides_waits_until_they_are_together),
        cmocka_unit_test(when_a_master_dies_the_others_serve_and_its_replica_follows),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
