#include "tests/support/redis.h"

#include "tests/test.h"

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

void test_redis_restart(struct test_redis *redis)
{
    redis->process = fork();
    assert_true(redis->process >= 0);
    if (redis->process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); // a failed test leaves no server behind
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) _exit(1);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", redis->socket,
               "--save", "", "--appendonly", "no", "--dir", redis->directory, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 1000 && !is_listening(redis); i++)
        usleep(10000);
    assert_true(is_listening(redis));
}

bool test_redis_start(struct test_redis *redis)
{
    *redis = (struct test_redis){.directory = "/tmp/qiao-redis-XXXXXX"};
    if (system("command -v redis-server >/dev/null") != 0) {
        print_message("skipped: redis-server is not installed\n");
        return false;
    }
    assert_non_null(mkdtemp(redis->directory));
    snprintf(redis->socket, sizeof redis->socket, "%s/redis.sock", redis->directory);
    test_redis_restart(redis);
    return true;
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
