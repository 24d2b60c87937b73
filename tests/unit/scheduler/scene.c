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
    desk.program.waits = scene.waits;
    desk_start(&desk, scene.redis.socket, flags);
    memcpy(scene.link_url, desk.link_url, sizeof scene.link_url);
    if (scene.redis.process) wait_for_redis(true);
}

void start_scheduler(const char *keys)
{
    start_scheduler_with(keys, NULL);
}

void stop_scheduler(void)
{
    desk_stop(&desk);
}

static bool ready_says(const char *text)
{
    char *ready = ask("GET", "/ready", "", "");
    bool found = strstr(ready, text) != NULL;
    mem_free(ready);
    return found;
}

void wait_for_redis(bool up)
{
    assert_soon(ready_says(up ? "\"redis\":\"up\"" : "\"redis\":\"away\""));
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
    for (int i = 0; i < TEST_LOOKS_MAX && strstr(answer, " 503 "); i++) {
        mem_free(answer);
        usleep(TEST_LOOK_US);
        answer = ask(method, path, headers, body);
    }
    return answer;
}

char *ask_until(const char *method, const char *path, const char *headers, const char *body,
                const char *part)
{
    char *answer = ask(method, path, headers, body);
    for (int i = 0; i < TEST_LOOKS_MAX && !strstr(answer, part); i++) {
        mem_free(answer);
        usleep(TEST_LOOK_US);
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
    wait_for_node(node);
    assert_soon(ready_says(" 200 "));
    return node;
}

void wait_for_node(struct fake_node *node)
{
    assert_soon(desk_has_node(&desk, fake_node_instance(node)));
}

void stop_node(struct fake_node *node)
{
    uint64_t instance = fake_node_instance(node);
    fake_node_stop(node);
    assert_soon(!desk_has_node(&desk, instance));
}

void wait_for_submits(struct fake_node *node, unsigned count)
{
    assert_soon(fake_node_submits(node) >= count);
    assert_int_equal(fake_node_submits(node), count);
}

void wait_for_cancels(struct fake_node *node, unsigned count)
{
    assert_soon(fake_node_cancels(node) >= count);
    assert_int_equal(fake_node_cancels(node), count);
}

size_t flights_in_air(void)
{
    return desk_busy(&desk);
}

size_t requests_in_hand(void)
{
    return desk_requests(&desk);
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
