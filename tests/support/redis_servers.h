/* tests/support/redis_servers.h -- several real Redis processes on free ports of 127.0.0.1, for one test program: a
 * master with replicas and Sentinels, or a Cluster. Debian's redis-server is all of them: a Sentinel is `redis-server
 * FILE --sentinel` (the package redis-sentinel adds a name for that, and a service). Whatever does not come up fails the
 * test; nothing outlives it. */
#ifndef TESTS_SUPPORT_REDIS_SERVERS_H
#define TESTS_SUPPORT_REDIS_SERVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    TEST_SERVERS_MAX = 8,
    TEST_SERVER_REPLY_MAX = 16384
};

#define TEST_SERVERS_PASSWORD "correct horse" // with a space: it has to be quoted everywhere

enum test_server_kind {
    TEST_SERVER,
    TEST_SENTINEL,
    TEST_MEMBER
};

struct test_server {
    enum test_server_kind kind;
    uint16_t port, bus; // of clients, of the Cluster's own talk
    pid_t process;      // 0: not running
    char directory[96];
};

struct test_servers {
    char directory[64];
    struct test_server all[TEST_SERVERS_MAX];
    size_t count;
};

/* False (after saying so) where redis-server is not installed. */
bool test_servers_begin(struct test_servers *servers);
void test_servers_end(struct test_servers *servers);

/* Start a Redis with a password, a Redis that is the replica of the one on `port`, a Sentinel that watches it as
 * "qiao" (two of them agree on a failover; down after 500 ms), a member of a Cluster (node timeout 500 ms). */
struct test_server *test_servers_add(struct test_servers *servers);
struct test_server *test_servers_add_replica(struct test_servers *servers, uint16_t port);
struct test_server *test_servers_add_sentinel(struct test_servers *servers, uint16_t port);
struct test_server *test_servers_add_member(struct test_servers *servers);

void test_server_kill(struct test_server *server);
/* Again in the same place, as a replica of `port`; 0: as it was, empty. */
void test_server_restart(struct test_server *server, uint16_t port);
/* Stop answering, and go on (SIGSTOP, SIGCONT). */
void test_server_freeze(const struct test_server *server, bool frozen);

/* Ask one inline command and give its reply as text: a line, an integer or a bulk; errors with their '-'. Borrowed
 * until the next call. */
const char *test_server_ask(const struct test_server *server, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same, until the reply contains `part`; a minute at most. */
void test_server_await(const struct test_server *server, const char *command, const char *part);

/* A master (the first of all), two replicas and three Sentinels, that all know one another. */
void test_servers_add_group(struct test_servers *servers);
/* The one that says that it is the master, other than `but` (may be NULL); NULL: nobody does. */
struct test_server *test_servers_master(struct test_servers *servers,
                                        const struct test_server *but);
/* Until the Sentinels agree on a master and are content, and both replicas are in step with it. That master. */
struct test_server *test_servers_await_group(struct test_servers *servers);

/* Make the first `master_count` members a Cluster with equal shares of the slots, the others replicas of the first ones
 * in turn, and wait until everyone says that it is well. */
void test_servers_join(struct test_servers *servers, size_t master_count);
/* A member's id in the Cluster. */
void test_server_id(const struct test_server *server, char id[48]);

#endif
