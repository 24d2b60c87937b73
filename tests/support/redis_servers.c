#include "tests/support/redis_servers.h"

#include "tests/test.h"

#include <arpa/inet.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum {
    PORT_FIRST = 20000, // below those that the system gives to clients
    PORT_COUNT = 12000,
    PATIENCE = 6000, // tries, of 10 ms
    ASKED_MAX = 3,   // tries of one question
    SLOT_COUNT = 16384
};

// ---- processes ---------------------------------------------------------------------------------

static struct sockaddr_in address_of(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static bool is_free(uint16_t port)
{
    struct sockaddr_in address = address_of(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    bool free = bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return free;
}

static uint16_t free_port(void)
{
    static unsigned next;
    if (next == 0) next = (unsigned)getpid() * 61;
    for (int i = 0; i < PORT_COUNT; i++) {
        uint16_t port = (uint16_t)(PORT_FIRST + next++ % PORT_COUNT);
        if (is_free(port)) return port;
    }
    fail_msg("no free port");
    return 0;
}

static int connect_to(const struct test_server *server)
{
    struct sockaddr_in address = address_of(server->port);
    struct timeval limit = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) return fd;
    close(fd);
    return -1;
}

static void launch(struct test_server *server)
{
    char file[128];
    snprintf(file, sizeof file, "%s/redis.conf", server->directory);
    server->process = fork();
    assert_true(server->process >= 0);
    if (server->process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); // a failed test leaves no server behind
        execlp("redis-server", "redis-server", file,
               server->kind == TEST_SENTINEL ? "--sentinel" : (char *)NULL, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < PATIENCE; i++) {
        int fd = connect_to(server);
        if (fd >= 0) {
            close(fd);
            return;
        }
        usleep(10000);
    }
    fail_msg("redis-server on port %u does not come up", server->port);
}

static void configure(const struct test_server *server, uint16_t master)
{
    char file[128];
    snprintf(file, sizeof file, "%s/redis.conf", server->directory);
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    fprintf(out, "port %u\nbind 127.0.0.1\ndir %s\nlogfile %s/log\n", server->port,
            server->directory, server->directory);
    if (server->kind == TEST_SENTINEL) {
        fprintf(out,
                "sentinel monitor qiao 127.0.0.1 %u 2\n"
                "sentinel auth-pass qiao \"%s\"\n"
                "sentinel down-after-milliseconds qiao 500\n"
                "sentinel failover-timeout qiao 1000\n",
                master, TEST_SERVERS_PASSWORD);
    } else {
        fprintf(out,
                "save \"\"\nrepl-diskless-sync-delay 0\nrequirepass \"%s\"\nmasterauth \"%s\"\n",
                TEST_SERVERS_PASSWORD, TEST_SERVERS_PASSWORD);
        if (master) fprintf(out, "replicaof 127.0.0.1 %u\n", master);
    }
    if (server->kind == TEST_MEMBER)
        fprintf(out,
                "cluster-enabled yes\ncluster-port %u\ncluster-node-timeout 500\n"
                "cluster-require-full-coverage no\ncluster-replica-validity-factor 0\n",
                server->bus);
    fclose(out);
}

static struct test_server *add(struct test_servers *servers, enum test_server_kind kind,
                               uint16_t master)
{
    assert_true(servers->count < TEST_SERVERS_MAX);
    struct test_server *server = &servers->all[servers->count++];
    *server = (struct test_server){.kind = kind, .port = free_port(), .bus = free_port()};
    char root[sizeof servers->directory], command[128];
    memcpy(root, servers->directory, sizeof root);
    snprintf(server->directory, sizeof server->directory, "%s/%u", root, server->port);
    snprintf(command, sizeof command, "mkdir -p %s", server->directory);
    assert_int_equal(system(command), 0);
    configure(server, master);
    launch(server);
    return server;
}

struct test_server *test_servers_add(struct test_servers *servers)
{
    return add(servers, TEST_SERVER, 0);
}

struct test_server *test_servers_add_replica(struct test_servers *servers, uint16_t port)
{
    return add(servers, TEST_SERVER, port);
}

struct test_server *test_servers_add_sentinel(struct test_servers *servers, uint16_t port)
{
    return add(servers, TEST_SENTINEL, port);
}

struct test_server *test_servers_add_member(struct test_servers *servers)
{
    return add(servers, TEST_MEMBER, 0);
}

void test_server_kill(struct test_server *server)
{
    if (!server->process) return;
    kill(server->process, SIGKILL);
    waitpid(server->process, NULL, 0);
    server->process = 0;
}

void test_server_restart(struct test_server *server, uint16_t port)
{
    if (port) configure(server, port);
    launch(server);
}

void test_server_freeze(const struct test_server *server, bool frozen)
{
    kill(server->process, frozen ? SIGSTOP : SIGCONT);
}

bool test_servers_begin(struct test_servers *servers)
{
    *servers = (struct test_servers){.directory = "/tmp/qiao-redis-XXXXXX"};
    if (system("command -v redis-server >/dev/null") != 0) {
        print_message("skipped: redis-server is not installed\n");
        return false;
    }
    assert_non_null(mkdtemp(servers->directory));
    return true;
}

void test_servers_end(struct test_servers *servers)
{
    for (size_t i = 0; i < servers->count; i++)
        test_server_kill(&servers->all[i]);
    if (!servers->directory[0]) return;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", servers->directory);
    assert_int_equal(system(command), 0);
}

// ---- questions ---------------------------------------------------------------------------------

/* Read a reply into `out`: its first line without '+' or ':', or a bulk's content. */
static bool read_reply(int fd, char *out)
{
    static char raw[TEST_SERVER_REPLY_MAX];
    size_t size = 0;
    for (;;) {
        ssize_t got = recv(fd, raw + size, sizeof raw - 1 - size, 0);
        if (got <= 0) return false;
        size += (size_t)got;
        raw[size] = '\0';
        char *line_end = strstr(raw, "\r\n");
        if (!line_end) continue;
        if (raw[0] != '$' || raw[1] == '-') {
            *line_end = '\0';
            memcpy(out, raw + (raw[0] == '-' ? 0 : 1), strlen(raw) + 1);
            return true;
        }
        size_t bulk = strtoul(raw + 1, NULL, 10);
        assert_true(bulk < sizeof raw - 64);
        if (size < (size_t)(line_end + 2 - raw) + bulk + 2) continue;
        memcpy(out, line_end + 2, bulk);
        out[bulk] = '\0';
        return true;
    }
}

static bool ask(const struct test_server *server, const char *command, char *out)
{
    int fd = connect_to(server);
    if (fd < 0) return false;
    bool done = true;
    if (server->kind != TEST_SENTINEL) {
        static const char login[] = "AUTH \"" TEST_SERVERS_PASSWORD "\"\r\n";
        done = send(fd, login, sizeof login - 1, MSG_NOSIGNAL) > 0 && read_reply(fd, out);
    }
    done = done && send(fd, command, strlen(command), MSG_NOSIGNAL) > 0 && read_reply(fd, out);
    close(fd);
    return done;
}

const char *test_server_ask(const struct test_server *server, const char *format, ...)
{
    static char command[65536], reply[TEST_SERVER_REPLY_MAX];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(command, sizeof command - 2, format, arguments);
    va_end(arguments);
    assert_true(size > 0 && (size_t)size < sizeof command - 2);
    memcpy(command + size, "\r\n", 3);
    for (int i = 0; i < ASKED_MAX;
         i++) // a Sentinel cuts everyone's connection to a Redis that it demotes
        if (ask(server, command, reply)) return reply;
    fail_msg("no reply of port %u: %s", server->port, command);
    return NULL;
}

void test_server_await(const struct test_server *server, const char *command, const char *part)
{
    const char *reply = "";
    for (int i = 0; i < PATIENCE; i++) {
        reply = test_server_ask(server, "%s", command);
        if (strstr(reply, part)) return;
        usleep(10000);
    }
    fail_msg("port %u: %s does not say %s, but: %s", server->port, command, part, reply);
}

// ---- a master, replicas and Sentinels ------------------------------------------------------------

void test_servers_add_group(struct test_servers *servers)
{
    struct test_server *master = test_servers_add(servers);
    for (int i = 0; i < 2; i++)
        test_servers_add_replica(servers, master->port);
    for (int i = 0; i < 3; i++)
        test_servers_add_sentinel(servers, master->port);
    test_servers_await_group(servers);
}

struct test_server *test_servers_master(struct test_servers *servers, const struct test_server *but)
{
    for (size_t i = 0; i < servers->count; i++) {
        struct test_server *server = &servers->all[i];
        if (server->kind == TEST_SERVER && server->process && server != but &&
            strstr(test_server_ask(server, "INFO replication"), "role:master"))
            return server;
    }
    return NULL;
}

static bool is_content(struct test_servers *servers, const struct test_server *master)
{
    char content[96];
    snprintf(content, sizeof content, "status=ok,address=127.0.0.1:%u,slaves=2,sentinels=3",
             master->port);
    for (size_t i = 0; i < servers->count; i++) {
        const struct test_server *server = &servers->all[i];
        if (server->kind == TEST_SENTINEL) {
            if (!strstr(test_server_ask(server, "INFO sentinel"), content)) return false;
        } else if (server->process) {
            const char *part = server == master ? "connected_slaves:2" : "master_link_status:up";
            if (!strstr(test_server_ask(server, "INFO replication"), part)) return false;
        }
    }
    return true;
}

struct test_server *test_servers_await_group(struct test_servers *servers)
{
    for (int i = 0; i < PATIENCE; i++) {
        struct test_server *master = test_servers_master(servers, NULL);
        if (master && is_content(servers, master)) return master;
        usleep(10000);
    }
    fail_msg("the Sentinels and their Redis do not come to rest");
    return NULL;
}

// ---- a Cluster ---------------------------------------------------------------------------------

void test_server_id(const struct test_server *server, char id[48])
{
    snprintf(id, 48, "%s", test_server_ask(server, "CLUSTER MYID"));
}

static void expect_ok(const char *reply)
{
    assert_string_equal(reply, "OK");
}

void test_servers_join(struct test_servers *servers, size_t master_count)
{
    char id[48], known[48];
    for (size_t i = 0; i < master_count; i++)
        expect_ok(test_server_ask(&servers->all[i], "CLUSTER ADDSLOTSRANGE %zu %zu",
                                  i * SLOT_COUNT / master_count,
                                  (i + 1) * SLOT_COUNT / master_count - 1));
    for (size_t i = 1; i < servers->count; i++)
        expect_ok(test_server_ask(&servers->all[i], "CLUSTER MEET 127.0.0.1 %u %u",
                                  servers->all[0].port, servers->all[0].bus));
    snprintf(known, sizeof known, "cluster_known_nodes:%zu\r", servers->count);
    for (size_t i = 0; i < servers->count; i++)
        test_server_await(&servers->all[i], "CLUSTER INFO", known);
    for (size_t i = master_count; i < servers->count; i++) {
        test_server_id(&servers->all[i - master_count], id);
        test_server_await(&servers->all[i], "CLUSTER NODES", id);
        expect_ok(test_server_ask(&servers->all[i], "CLUSTER REPLICATE %s", id));
    }
    for (size_t i = 0; i < servers->count; i++) {
        test_server_await(&servers->all[i], "CLUSTER INFO", "cluster_slots_ok:16384");
        test_server_await(&servers->all[i], "CLUSTER INFO", "cluster_state:ok");
    }
    for (size_t i = master_count; i < servers->count; i++)
        test_server_await(&servers->all[i], "INFO replication", "master_link_status:up");
}
