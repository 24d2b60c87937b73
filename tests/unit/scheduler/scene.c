#include "tests/unit/scheduler/scene.h"

#include "scheduler/core/flight.h"
#include "scheduler/door/http.h"
#include "scheduler/program.h"
#include "tests/test.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/event.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

/* The scheduler under test. */
struct stage {
    struct program program;
    pthread_t thread;
    atomic_bool stop, paused, is_paused;
    uint16_t port;
};

enum {
    WORDS_MAX = 40
};

struct scene scene;
static struct stage stage;

/* Every 2 ms: stop, or stand still while the test looks into the parts. */
static void on_tick(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    (void)argument;
    while (atomic_load(&stage.paused)) {
        atomic_store(&stage.is_paused, true);
        usleep(100);
    }
    atomic_store(&stage.is_paused, false);
    if (atomic_load(&stage.stop)) event_base_loopbreak(stage.program.door.base);
}

static void *run_loop(void *argument)
{
    struct timeval tick = {.tv_usec = 2000};
    struct event *ticker = event_new(stage.program.door.base, -1, EV_PERSIST, on_tick, NULL);
    (void)argument;
    event_add(ticker, &tick);
    event_base_dispatch(stage.program.door.base);
    event_free(ticker);
    program_tear_down(&stage.program);
    return NULL;
}

void start_scheduler_with(const char *keys, const char *const *more)
{
    char link_path[] = "/tmp/qiao-door-XXXXXX";
    enum conf_next next;
    int rest;
    close(mkstemp(link_path));
    unlink(link_path);
    stage.stop = false;
    memset(&stage.program, 0, sizeof stage.program);
    snprintf(scene.link_url, sizeof scene.link_url, "ipc://%s", link_path);
    const char *words[] = {
        "test",         "--listen",         "127.0.0.1:0", "--listen-nodes", scene.link_url,
        "--redis-host", scene.redis.socket, "--log-level", "error",          "--keys",
        keys,           "--body-bytes",     "100000"};
    size_t count = sizeof words / sizeof *words;
    char *argv[WORDS_MAX];
    for (size_t i = 0; i < count; i++)
        argv[i] = mem_copy_text(words[i]);
    for (; more && *more; more++) {
        must(count < WORDS_MAX);
        argv[count++] = mem_copy_text(*more);
    }
    assert_int_equal(
        conf_load(&settings_table, &stage.program.settings, (int)count, argv, &rest, &next),
        ERR_OK);
    for (size_t i = 0; i < count; i++)
        mem_free(argv[i]);
    if (program_build(&stage.program)) fail_msg("%s", err_text());
    stage.port = http_port(stage.program.door.http);
    assert_int_equal(pthread_create(&stage.thread, NULL, run_loop, NULL), 0);
}

void start_scheduler(const char *keys)
{
    start_scheduler_with(keys, NULL);
}

void stop_scheduler(void)
{
    atomic_store(&stage.stop, true);
    pthread_join(stage.thread, NULL);
}

int begin(const char *method, const char *path, const char *headers, const char *body)
{
    struct buf text = {0};
    buf_addf(&text,
             "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n%s",
             method, path, strlen(body), headers, body);
    return exchange_begin(stage.port, &text);
}

char *finish(int fd, const char *until)
{
    return exchange_finish(fd, until);
}

char *ask(const char *method, const char *path, const char *headers, const char *body)
{
    return finish(begin(method, path, headers, body), NULL);
}

char *chat(const char *rest)
{
    struct buf body = {0};
    buf_addf(&body, "{\"messages\":[{\"role\":\"user\",\"content\":\"say it\"}]%s}", rest);
    char *answer = ask("POST", "/v1/chat/completions", "", body.data);
    buf_fini(&body);
    return answer;
}

struct fake_node *start_node(const struct fake_node_options *like)
{
    struct fake_node_options options = *like;
    options.url = scene.link_url;
    if (!options.answer) options.answer = "Hello, 你好 world";
    struct fake_node *node = fake_node_start(&options);
    for (int wait = 0; wait < 1000; wait++) {
        char *ready = ask("GET", "/ready", "", "");
        bool good = strstr(ready, " 200 ") != NULL;
        mem_free(ready);
        if (good) return node;
        usleep(10000);
    }
    fail_msg("the scheduler never became ready");
    return node;
}

void wait_for_cancels(struct fake_node *node, unsigned count)
{
    for (int wait = 0; fake_node_cancels(node) < count && wait < 2000; wait++)
        usleep(1000);
    assert_int_equal(fake_node_cancels(node), count);
}

size_t flights_in_air(void)
{
    atomic_store(&stage.paused, true);
    while (!atomic_load(&stage.is_paused))
        usleep(100);
    size_t count = flights_count(stage.program.door.flights) + stage.program.door.answers;
    atomic_store(&stage.paused, false);
    while (atomic_load(&stage.is_paused))
        usleep(100);
    return count;
}

int start_redis(void **state)
{
    (void)state;
    if (!test_redis_start(&scene.redis))
        snprintf(scene.redis.socket, sizeof scene.redis.socket, "/nonexistent");
    return 0;
}

int stop_redis(void **state)
{
    (void)state;
    if (scene.redis.process) test_redis_stop(&scene.redis);
    return 0;
}
