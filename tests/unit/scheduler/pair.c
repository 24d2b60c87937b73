#include "tests/unit/scheduler/pair.h"

#include "tests/test.h"

#include "base/buf.h"
#include "base/mem.h"

#include <string.h>

struct pair pair;
const char pair_greeting[] = "Hello, 你好 world";

int pair_set_up(void **state)
{
    (void)state;
    snprintf(pair.secret, sizeof pair.secret, "/tmp/qiao-pair.secret-XXXXXX");
    int file = mkstemp(pair.secret);
    assert_int_equal(write(file, "0123456789abcdef0123456789abcdef", 32), 32);
    close(file);
    (void)test_redis_start(&pair.redis);
    return 0;
}

int pair_tear_down(void **state)
{
    (void)state;
    unlink(pair.secret);
    if (pair.redis.process) test_redis_stop(&pair.redis);
    return 0;
}

void pair_start_one(struct desk *desk, struct fake_node **node, const char *const *flags,
                    const struct fake_node_options *like)
{
    const char *words[16] = {"--session-key", pair.secret};
    struct fake_node_options options = *like;
    for (int i = 0; flags && flags[i]; i++)
        words[2 + i] = flags[i];
    *desk = (struct desk){0};
    desk_start(desk, pair.redis.socket, words);
    options.url = desk->link_url;
    if (!options.answer) options.answer = pair_greeting;
    *node = fake_node_start(&options);
    desk_wait_ready(desk);
}

void pair_start(const char *const *flags, const struct fake_node_options *like)
{
    pair_start_one(&pair.first, &pair.nodes[0], flags, like);
    pair_start_one(&pair.second, &pair.nodes[1], flags, like);
}

void pair_stop(void)
{
    assert_soon(desk_busy(&pair.first) == 0);
    assert_soon(desk_busy(&pair.second) == 0);
    for (int i = 0; i < 2; i++)
        fake_node_stop(pair.nodes[i]);
    desk_stop(&pair.first);
    desk_stop(&pair.second);
}

int pair_begin(const struct desk *desk, const char *key, const char *last, const char *rest)
{
    struct buf body = {0}, headers = {0};
    buf_addf(&body, "{\"messages\":[{\"role\":\"user\",\"content\":\"say it\"}]%s}", rest);
    buf_addf(&headers, "Idempotency-Key: %s\r\n", key);
    if (last) buf_addf(&headers, "Last-Event-ID: %s\r\n", last);
    int fd = desk_begin(desk, "/v1/chat/completions", headers.data, body.data);
    buf_fini(&body);
    buf_fini(&headers);
    return fd;
}

char *pair_ask(const struct desk *desk, const char *key, const char *last, const char *rest)
{
    return desk_finish(pair_begin(desk, key, last, rest), NULL);
}

struct told events_of(char *answer)
{
    struct told events = {.answer = answer};
    for (const char *at = answer; (at = strstr(at, "\nid: "));) {
        assert_true(events.count < PAIR_EVENTS_MAX);
        at += strlen("\nid: ");
        events.ids[events.count] = mem_text(at, strcspn(at, "\n"));
        const char *end = strstr(at, "\n\n");
        events.ends[events.count++] = end ? end + 2 : at + strlen(at);
    }
    return events;
}

void told_free(struct told *events)
{
    for (size_t i = 0; i < events->count; i++)
        mem_free(events->ids[i]);
    mem_free(events->answer);
}

/* What a stream said up to `end`, choice by choice, without regard to where its chunks begin and end; then the same of
 * log-probabilities. */
static void gather(const char *answer, const char *end, struct buf said[2 * PAIR_CHOICES_MAX])
{
    for (const char *at = answer; (at = strstr(at, "\ndata: {")) && at < end; at++) {
        const char *line = at + 1, *choice = strstr(line, "{\"index\":");
        size_t size = strcspn(line, "\n");
        if (!choice || choice > line + size) { // usage
            buf_addf(&said[0], " %.*s", (int)size, strstr(line, "\"usage\""));
            continue;
        }
        struct buf *out = &said[choice[9] - '0'];
        const char *content = strstr(choice, "\"content\":\"");
        if (content && content < line + size) {
            content += strlen("\"content\":\"");
            buf_addf(out, "%.*s", (int)strcspn(content, "\""), content);
        }
        const char *finish = strstr(choice, "\"finish_reason\":\"");
        if (finish && finish < line + size) buf_addf(out, " %.30s", finish);
        if (strstr(choice, "\"role\"") && strstr(choice, "\"role\"") < line + size)
            buf_add_text(out, "(role)");
        for (const char *p = choice; (p = strstr(p, "\"bytes\":[")) && p < line + size; p++)
            buf_addf(out + PAIR_CHOICES_MAX, "%.*s", (int)strcspn(p, "}"), p);
    }
}

void assert_joined(const struct told *whole, size_t cut, const char *rest)
{
    struct buf once[2 * PAIR_CHOICES_MAX] = {0}, twice[2 * PAIR_CHOICES_MAX] = {0};
    gather(whole->answer, whole->answer + strlen(whole->answer), once);
    gather(whole->answer, whole->ends[cut], twice);
    gather(rest, rest + strlen(rest), twice);
    for (size_t i = 0; i < 2 * PAIR_CHOICES_MAX; i++) {
        assert_string_equal(buf_text(&twice[i]), buf_text(&once[i]));
        buf_fini(&once[i]);
        buf_fini(&twice[i]);
    }
    assert_non_null(strstr(rest, "data: [DONE]\n\n"));
}
