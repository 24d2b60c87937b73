#include "tests/support/redis.h"

#include "tests/test.h"

#include <arpa/inet.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

static bool is_listening(const struct test_redis *redis)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", redis->socket);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool up = connect(client, (const struct sockaddr *)&address, sizeof address) == 0;
    close(client);
    return up;
}

enum {
    TRIES = 20
};

#define SEARCH_MODULE "/usr/lib/redis/modules/redisearch.so"

/* In the child; comes back only when there is no redis-server. */
static void run_server(const struct test_redis *redis)
{
    char port[8], master[8];
    const char *words[40] = {"redis-server",
                             "--port",
                             port,
                             "--bind",
                             "127.0.0.1",
                             "--unixsocket",
                             redis->socket,
                             "--save",
                             "",
                             "--appendonly",
                             "no",
                             "--dir",
                             redis->directory,
                             "--repl-diskless-sync-delay",
                             "0"};
    static const char *const search[] = {
        "--loadmodule",    SEARCH_MODULE, "MINPREFIX", "1",     "MAXEXPANSIONS", "1000000",
        "MAXDOCTABLESIZE", "5000000",     "TIMEOUT",   "10000", "ON_TIMEOUT",    "FAIL"};
    size_t count = 15;
    snprintf(port, sizeof port, "%u", redis->port);
    snprintf(master, sizeof master, "%u", redis->replica_of);
    if (redis->replica_of) {
        words[count++] = "--replicaof";
        words[count++] = "127.0.0.1";
        words[count++] = master;
    }
    for (size_t i = 0; redis->searches && i < sizeof search / sizeof *search; i++)
        words[count++] = search[i];
    execvp(words[0], (char **)(uintptr_t)words);
}

static void launch(struct test_redis *redis)
{
    redis->process = fork();
    assert_true(redis->process >= 0);
    if (redis->process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); // a failed test leaves no server behind
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) _exit(1);
        run_server(redis);
        _exit(127);
    }
}

static bool is_dead(struct test_redis *redis)
{
    if (waitpid(redis->process, NULL, WNOHANG) == 0) return false;
    redis->process = 0;
    return true;
}

void test_redis_restart(struct test_redis *redis)
{
    launch(redis);
    assert_soon(is_listening(redis));
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(probe, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(probe, (struct sockaddr *)&address, &size), 0);
    close(probe);
    return ntohs(address.sin_port);
}

static bool start(struct test_redis *redis, uint16_t port, uint16_t replica_of)
{
    bool searches = redis->searches;
    *redis = (struct test_redis){.directory = "/tmp/qiao-redis-XXXXXX",
                                 .port = port,
                                 .replica_of = replica_of,
                                 .searches = searches};
    if (system("command -v redis-server >/dev/null") != 0) {
        print_message("skipped: redis-server is not installed\n");
        return false;
    }
    assert_non_null(mkdtemp(redis->directory));
    snprintf(redis->socket, sizeof redis->socket, "%s/redis.sock", redis->directory);
    launch(redis);
    for (int i = 0; i < TRIES; i++) { // its port may have become somebody else's meanwhile
        assert_soon(is_listening(redis) || is_dead(redis));
        if (redis->process) return true;
        if (redis->port) redis->port = free_port();
        launch(redis);
    }
    fail_msg("redis-server does not stay up");
    return false;
}

bool test_redis_start(struct test_redis *redis)
{
    redis->searches = false;
    return start(redis, 0, 0);
}

bool test_redis_start_search(struct test_redis *redis)
{
    redis->searches = true;
    if (access(SEARCH_MODULE, R_OK) == 0) return start(redis, 0, 0);
    print_message("skipped: redis-redisearch is not installed (" SEARCH_MODULE ")\n");
    return false;
}

bool test_redis_start_with_port(struct test_redis *redis)
{
    redis->searches = false;
    return start(redis, free_port(), 0);
}

/* Whether a replica of it answers a WAIT. Before that, it may be online and not be sent anything yet. */
static bool is_followed(const struct test_redis *redis)
{
    char command[200];
    snprintf(
        command, sizeof command,
        "printf 'set probe 1\nwait 1 100\ndel probe\n' | redis-cli -s %s | sed -n 2p | grep -qx 1",
        redis->socket);
    return system(command) == 0;
}

void test_redis_start_replica(struct test_redis *replica, const struct test_redis *redis)
{
    assert_true(redis->port > 0);
    replica->searches = false;
    assert_true(start(replica, free_port(), redis->port));
    assert_soon(is_followed(redis));
}

void test_redis_kill(struct test_redis *redis)
{
    if (!redis->process) return;
    kill(redis->process, SIGKILL);
    waitpid(redis->process, NULL, 0);
    redis->process = 0;
    unlink(redis->socket);
}

void test_redis_freeze(struct test_redis *redis, bool frozen)
{
    kill(redis->process, frozen ? SIGSTOP : SIGCONT);
}

void test_redis_stop(struct test_redis *redis)
{
    test_redis_kill(redis);
    if (redis->directory[0]) rmdir(redis->directory);
}
