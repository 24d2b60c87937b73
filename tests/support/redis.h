/* tests/support/redis.h -- a private redis-server on a Unix socket in a new directory, for one test program. */
#ifndef TESTS_SUPPORT_REDIS_H
#define TESTS_SUPPORT_REDIS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct test_redis {
    char directory[64];
    char socket[96];
    pid_t process;       // 0: not running
    uint16_t port;       // on loopback, for replicas; 0: the socket alone
    uint16_t replica_of; // another one's port; 0: of none
    bool searches;       // with RediSearch
};

/* False (after saying so) where redis-server is not installed; a server that does not come up fails the test. */
bool test_redis_start(struct test_redis *redis);
/* The same with RediSearch; false, too, where redis-redisearch is not installed. */
bool test_redis_start_search(struct test_redis *redis);
/* The same with a port, and replicas of such a one; ready when it counts them. */
bool test_redis_start_with_port(struct test_redis *redis);
void test_redis_start_replica(struct test_redis *replica, const struct test_redis *redis);
/* Kill it, or start it again in the same place (empty). */
void test_redis_kill(struct test_redis *redis);
void test_redis_restart(struct test_redis *redis);
/* Stop answering, and go on (SIGSTOP, SIGCONT). */
void test_redis_freeze(struct test_redis *redis, bool frozen);
void test_redis_stop(struct test_redis *redis);

#endif
