#include "tests/unit/scheduler/desk.h"

#include "scheduler/core/fleet.h"
#include "scheduler/core/flight.h"
#include "scheduler/door/http.h"
#include "tests/support/fake_node.h"
#include "tests/test.h"
#include "tests/unit/scheduler/exchange.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/event.h>

#include <string.h>

enum {
    WORDS_MAX = 40
};

/* Every 2 ms: stop, or stand still while the test looks into the parts. */
static void on_tick(evutil_socket_t fd, short what, void *argument)
{
    struct desk *desk = argument;
    (void)fd, (void)what;
    while (atomic_load(&desk->paused)) {
        atomic_store(&desk->is_paused, true);
        usleep(100);
    }
    atomic_store(&desk->is_paused, false);
    if (atomic_load(&desk->stop)) event_base_loopbreak(desk->program.door.base);
}

static void *run_loop(void *argument)
{
    struct desk *desk = argument;
    struct timeval tick = {.tv_usec = 2000};
    struct event *ticker = event_new(desk->program.door.base, -1, EV_PERSIST, on_tick, desk);
    event_add(ticker, &tick);
    event_base_dispatch(desk->program.door.base);
    event_free(ticker);
    program_tear_down(&desk->program);
    return NULL;
}

void desk_start(struct desk *desk, const char *redis_socket, const char *const *flags)
{
    char link_path[] = "/tmp/qiao-desk-XXXXXX";
    const char *words[WORDS_MAX] = {
        "test",         "--listen",           "127.0.0.1:0", "--listen-nodes",
        desk->link_url, "--redis-host",       redis_socket,  "--log-level",
        "error",        "--redis-timeout-ms", "20000"}; // machines that test are busy
    char *argv[WORDS_MAX];
    int count = 11, rest;
    enum conf_next next;
    close(mkstemp(link_path));
    unlink(link_path);
    snprintf(desk->link_url, sizeof desk->link_url, "ipc://%s", link_path);
    for (; *flags; flags++) {
        must(count < WORDS_MAX);
        words[count++] = *flags;
    }
    for (int i = 0; i < count; i++)
        argv[i] = mem_copy_text(words[i]);
    if (conf_load(&settings_table, &desk->program.settings, count, argv, &rest, &next))
        fail_msg("%s", err_text());
    for (int i = 0; i < count; i++)
        mem_free(argv[i]);
    desk->program.silence_ms = FAKE_NODE_SILENCE_MS;
    if (program_build(&desk->program)) fail_msg("%s", err_text());
    desk->port = http_port(desk->program.door.http);
    assert_int_equal(pthread_create(&desk->thread, NULL, run_loop, desk), 0);
}

void desk_stop(struct desk *desk)
{
    atomic_store(&desk->stop, true);
    pthread_join(desk->thread, NULL);
}

void desk_freeze(struct desk *desk, bool frozen)
{
    atomic_store(&desk->paused, frozen);
    while (atomic_load(&desk->is_paused) != frozen)
        usleep(100);
}

size_t desk_busy(struct desk *desk)
{
    desk_freeze(desk, true);
    size_t count = flights_count(desk->program.door.flights) + desk->program.door.answers;
    desk_freeze(desk, false);
    return count;
}

size_t desk_requests(struct desk *desk)
{
    desk_freeze(desk, true);
    size_t count = http_stats(desk->program.door.http)->requests;
    desk_freeze(desk, false);
    return count;
}

bool desk_has_node(struct desk *desk, uint64_t instance)
{
    bool found = false;
    desk_freeze(desk, true);
    const struct fleet *fleet = desk->program.door.fleet;
    for (size_t i = 0; i < fleet_node_count(fleet) && !found; i++)
        found = fleet_node_at(fleet, i)->instance == instance;
    desk_freeze(desk, false);
    return found;
}

int desk_begin(const struct desk *desk, const char *path, const char *headers, const char *body)
{
    struct buf text = {0};
    buf_addf(&text, "%s %s HTTP/1.0\r\nContent-Length: %zu\r\n%s\r\n%s", *body ? "POST" : "GET",
             path, strlen(body), headers, body);
    return exchange_begin(desk->port, &text);
}

char *desk_finish(int connection, const char *until)
{
    return exchange_finish(connection, until);
}

char *desk_ask(const struct desk *desk, const char *path, const char *headers, const char *body)
{
    return desk_finish(desk_begin(desk, path, headers, body), NULL);
}

static bool is_ready(const struct desk *desk)
{
    char *ready = desk_ask(desk, "/ready", "", "");
    bool good = strstr(ready, " 200 ") && strstr(ready, "\"redis\":\"up\"");
    mem_free(ready);
    return good;
}

void desk_wait_ready(struct desk *desk)
{
    assert_soon(is_ready(desk));
}
