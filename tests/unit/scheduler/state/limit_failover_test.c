/* What a failover costs: a replica that is promoted has not heard what its master granted last. No promise, a measurement,
 * with the bound that docs/redis.md states. */
#include "scheduler/state/lease.h"
#include "scheduler/state/limit.h"
#include "scheduler/state/store.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/crowd.h"

#include "base/clock.h"

#include <hiredis/hiredis.h>

#include <arpa/inet.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum {
    MEMBERS = 4,
    ROUNDS = 8,
    EACH = 20,     // tokens of a request
    LIMIT = 32000, // a minute's
    AT_ONCE = 32
};

struct server {
    char socket[128];
    unsigned short port;
    pid_t process;
};

static unsigned short free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    getsockname(fd, (struct sockaddr *)&address, &size);
    close(fd);
    return ntohs(address.sin_port);
}

static void start(struct server *server, const char *name, unsigned short master)
{
    char port[8], of[32];
    snprintf(server->socket, sizeof server->socket, "%s/%s.sock", crowd_redis.directory, name);
    server->port = free_port();
    snprintf(port, sizeof port, "%u", server->port);
    snprintf(of, sizeof of, "127.0.0.1 %u", master);
    server->process = fork();
    if (server->process > 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) _exit(1);
    execlp("redis-server", "redis-server", "--bind", "127.0.0.1", "--port", port, "--unixsocket",
           server->socket, "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0",
           "--dir", crowd_redis.directory, master ? "--replicaof" : (char *)NULL, of, (char *)NULL);
    _exit(127);
}

static void stop(struct server *server)
{
    char dump[128];
    kill(server->process, SIGKILL);
    waitpid(server->process, NULL, 0);
    unlink(server->socket);
    snprintf(dump, sizeof dump, "%s/dump.rdb", crowd_redis.directory);
    unlink(dump); // of the replica's first copy
}

/* True when the answer holds `part`. */
static bool tells(const struct server *server, const char *command, const char *part)
{
    redisContext *client = redisConnectUnix(server->socket);
    redisReply *reply = client->err ? NULL : redisCommand(client, command);
    bool good = reply && reply->str && strstr(reply->str, part);
    if (reply) freeReplyObject(reply);
    redisFree(client);
    return good;
}

static void wait_until(const struct server *server, const char *command, const char *part)
{
    assert_soon(tells(server, command, part));
}

/* Ask for the key and for a user, in turn, until `until_ns` or until both are refused; tokens that were admitted. */
static void hammer(struct crowd_member *members, const struct limit_ask asks[2], uint64_t until_ns,
                   uint64_t totals[2])
{
    static struct crowd_answer answers[AT_ONCE];
    bool spent[2] = {false, false};
    memset(answers, 0, sizeof answers);
    for (size_t turn = 0; clock_now_ns() < until_ns && !(spent[0] && spent[1]); turn++) {
        crowd_ask_later(&members[turn % MEMBERS], &asks[turn % 2], &answers[turn % AT_ONCE]);
        if (turn % AT_ONCE < AT_ONCE - 1) continue;
        for (size_t i = 0; i < AT_ONCE; i++) {
            crowd_run_until(&answers[i].done);
            spent[i % 2] = answers[i].err == ERR_LIMITED;
            if (answers[i].err) continue;
            totals[i % 2] += EACH;
            crowd_settle(&answers[i], EACH);
        }
    }
}

static pid_t kill_after(const struct server *server, unsigned ms)
{
    pid_t killer = fork();
    if (killer > 0) return killer;
    usleep(ms * 1000);
    kill(server->process, SIGKILL);
    _exit(0);
}

static void fail_over(struct server *master, struct server *replica)
{
    waitpid(master->process, NULL, 0);
    wait_until(replica, "REPLICAOF NO ONE", "OK");
    assert_int_equal(rename(replica->socket, master->socket), 0); // schedulers find it there
    memcpy(replica->socket, master->socket, sizeof replica->socket);
}

static void a_failover_lets_through_no_more_than_the_replica_had_not_heard(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    const struct limit_rule rule = {.tokens_per_minute = LIMIT};
    const struct limit_ask asks[2] = {crowd_of_key("over", rule, EACH),
                                      crowd_of_user("over", rule, EACH)};
    uint64_t most[2] = {0, 0};
    test_redis_kill(&crowd_redis); // its place is for the two
    for (int round = 0; round < ROUNDS; round++) {
        struct server master, replica;
        struct crowd_member members[MEMBERS];
        uint64_t totals[2] = {0, 0};
        start(&master, "redis", 0);
        wait_until(&master, "PING", "PONG");
        start(&replica, "replica", master.port);
        wait_until(&replica, "INFO replication", "master_link_status:up");
        for (int i = 0; i < MEMBERS; i++)
            members[i] = crowd_join(&(struct limit_options){0});
        crowd_run(300); // a replica that has just come up is not in step yet
        pid_t killer = kill_after(&master, 8 + 3 * (unsigned)round); // in the middle of it
        hammer(members, asks, clock_now_ns() + 40 * CLOCK_MS, totals);
        waitpid(killer, NULL, 0);
        fail_over(&master, &replica);
        for (int i = 0; i < MEMBERS; i++)
            crowd_wait_up(members[i].store, false);
        for (int i = 0; i < MEMBERS; i++)
            crowd_wait_up(members[i].store, true);
        uint64_t before[2] = {totals[0], totals[1]};
        hammer(members, asks, clock_now_ns() + 20 * CLOCK_SECOND, totals);
        for (int i = 0; i < 2; i++) {
            uint64_t excess = totals[i] > LIMIT ? totals[i] - LIMIT : 0;
            print_message("%s: %d before, %d in all, %d beyond the limit\n", i ? "user" : "key",
                          (int)before[i], (int)totals[i], (int)excess);
            assert_true(before[i] <= LIMIT);
            assert_true(excess <= before[i]); // no more than was forgotten
            if (excess > most[i]) most[i] = excess;
        }
        for (int i = 0; i < MEMBERS; i++)
            crowd_kill(&members[i]);
        stop(&replica);
    }
    print_message("beyond a limit of %d: a key at most %d, a user at most %d\n", LIMIT,
                  (int)most[0], (int)most[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failover_lets_through_no_more_than_the_replica_had_not_heard),
    };
    return cmocka_run_group_tests(tests, crowd_set_up, crowd_tear_down);
}
