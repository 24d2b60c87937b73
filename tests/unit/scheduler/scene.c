#include "tests/unit/scheduler/scene.h"

#include "tests/test.h"
#include "tests/unit/scheduler/desk.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <string.h>

enum {
    FLAGS_MAX = 24
};

struct scene scene;
static struct desk desk; // of the scheduler under test

void start_scheduler_with(const char *keys, const char *const *more)
{
    const char *flags[FLAGS_MAX] = {"--keys", keys, "--body-bytes", "100000"};
    for (size_t count = 4; more && *more; more++) {
        must(count < FLAGS_MAX - 1);
        flags[count++] = *more;
    }
    memset(&desk, 0, sizeof desk);
    desk_start(&desk, scene.redis.socket, flags);
    memcpy(scene.link_url, desk.link_url, sizeof scene.link_url);
}

void start_scheduler(const char *keys)
{
    start_scheduler_with(keys, NULL);
}

void stop_scheduler(void)
{
    desk_stop(&desk);
}

void wait_for_redis(void)
{
    for (int wait = 0; wait < 1000; wait++) {
        char *ready = ask("GET", "/ready", "", "");
        bool is_up = strstr(ready, "\"redis\":\"up\"") != NULL;
        mem_free(ready);
        if (is_up) return;
        usleep(10000);
    }
    fail_msg("Redis was not found");
}

int begin(const char *method, const char *path, const char *headers, const char *body)
{
    struct buf text = {0};
    buf_addf(&text,
             "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n%s",
             method, path, strlen(body), headers, body);
    return exchange_begin(desk.port, &text);
}

char *finish(int fd, const char *until)
{
    return exchange_finish(fd, until);
}

char *ask(const char *method, const char *path, const char *headers, const char *body)
{
    return finish(begin(method, path, headers, body), NULL);
}

char *ask_patiently(const char *method, const char *path, const char *headers, const char *body)
{
    char *answer = ask(method, path, headers, body);
    for (int i = 0; i < 200 && strstr(answer, " 503 "); i++) {
        mem_free(answer);
        usleep(10000);
        answer = ask(method, path, headers, body);
    }
    return answer;
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
    return desk_busy(&desk);
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
