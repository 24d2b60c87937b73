/* Recommendations through the door: a whole scheduler and a real Redis, nodes that are played. Their rows have no names: their numbers
 * are the ids. */
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"

#include "wire/message.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char path[] = "/v1/recommendations";
static const char *const sliced[] = {"--slice-rows", "64", NULL}, *const whole[] = {NULL};

/* Two nodes of one model, at a scheduler that has found Redis and both of them. */
static void start(const char *const *flags, struct fake_node *nodes[2])
{
    static const char *const names[] = {"one", "two"};
    start_scheduler_with("", flags);
    for (size_t i = 0; i < 2; i++)
        nodes[i] = start_node(&(struct fake_node_options){
            .name = names[i], .kinds = 1u << WIRE_RECOMMEND | 1u << WIRE_EMBED});
}

static void stop(struct fake_node *nodes[2])
{
    assert_soon(flights_in_air() == 0);
    fake_node_stop(nodes[0]);
    fake_node_stop(nodes[1]);
    stop_scheduler();
}

/* What the list of `count` says. */
static void assert_list(const char *answer, int count)
{
    struct buf want = {0};
    buf_add_text(&want, "\"data\":[");
    for (int i = 0; i < count; i++)
        buf_addf(&want, "%s{\"item\":\"%d\",\"score\":%d}", i ? "," : "", i, FAKE_NODE_BEST - i);
    buf_add_byte(&want, ']');
    if (!strstr(answer, want.data)) fail_msg("no %s in %s", want.data, answer);
    buf_fini(&want);
}

static void a_large_catalogue_is_ranked_by_the_nodes_together(void **state)
{
    (void)state;
    struct fake_node *nodes[2];
    if (!scene.redis.process) skip();
    start(sliced, nodes);
    char *answer = ask("POST", path, "", "{\"session\":[\"3\"],\"count\":100}");
    assert_list(answer, 100);
    mem_free(answer);
    assert_int_equal(fake_node_submits(nodes[0]) + fake_node_submits(nodes[1]), 2);
    assert_parts(ask("GET", "/metrics", "", ""), "qiao_recommendations_total{basis=\"session\"} 1",
                 NULL);
    stop(nodes);
}

static void a_small_one_by_one_of_them(void **state)
{
    (void)state;
    struct fake_node *nodes[2];
    if (!scene.redis.process) skip();
    start(whole, nodes);
    char *answer = ask("POST", path, "", "{\"session\":[\"3\"],\"count\":5}");
    assert_list(answer, 5);
    mem_free(answer);
    assert_int_equal(fake_node_submits(nodes[0]) + fake_node_submits(nodes[1]), 1);
    stop(nodes);
}

static void a_client_that_goes_away_takes_every_slice_along(void **state)
{
    (void)state;
    struct fake_node *nodes[2];
    if (!scene.redis.process) skip();
    start(sliced, nodes);
    fake_node_hang(nodes[0], true);
    fake_node_hang(nodes[1], true);
    int fd = begin("POST", path, "", "{\"session\":[\"3\"]}");
    assert_soon(fake_node_submits(nodes[0]) + fake_node_submits(nodes[1]) == 2);
    close(fd);
    wait_for_cancels(nodes[0], fake_node_submits(nodes[0]));
    wait_for_cancels(nodes[1], fake_node_submits(nodes[1]));
    stop(nodes);
}

static void a_node_that_is_lost_leaves_its_slice_to_the_other(void **state)
{
    (void)state;
    struct fake_node *nodes[2];
    if (!scene.redis.process) skip();
    start(sliced, nodes);
    fake_node_hang(nodes[0], true);
    int fd = begin("POST", path, "", "{\"session\":[\"3\"],\"count\":100}");
    assert_soon(fake_node_submits(nodes[0]) > 0);
    fake_node_stop(nodes[0]);
    char *answer = finish(fd, NULL);
    assert_list(answer, 100);
    mem_free(answer);
    fake_node_stop(nodes[1]);
    stop_scheduler();
}

static void who_is_not_known_and_has_no_item_that_is_gets_what_is_popular(void **state)
{
    (void)state;
    struct fake_node *nodes[2];
    if (!scene.redis.process) skip();
    start(whole, nodes);
    assert_parts(ask("POST", path, "", "{\"session\":[\"no-row\"]}"), " 200 ",
                 "\"personalized\":false,\"basis\":\"popular\"", NULL);
    assert_parts(ask("POST", path, "X-Qiao-User: zoe\r\n", "{}"), " 200 ",
                 "\"personalized\":false,\"basis\":\"popular\"", NULL);
    assert_parts(ask("POST", path, "", "{\"scenario\":\"popular\",\"explain\":true}"), " 200 ",
                 "\"scenario\":\"popular\"", "\"data\":[]", "\"because\":[]", NULL);
    assert_parts(ask("POST", path, "", "{\"scenario\":\"also-bought\",\"item\":\"3\",\"count\":2}"),
                 " 200 ", "\"personalized\":false,\"basis\":\"item\"", "\"item\":\"0\"", NULL);
    assert_parts(ask("POST", path, "", "{\"scenario\":\"similar\",\"item\":\"3\"}"), " 400 ",
                 "item is not in the catalogue", NULL);
    assert_int_equal(fake_node_submits(nodes[0]) + fake_node_submits(nodes[1]), 1);
    assert_parts(ask("GET", "/metrics", "", ""), "basis=\"failed\"} 1", NULL);
    stop(nodes);
}

static void put_items(void)
{
    assert_parts(
        ask_until("PUT", "/v1/items", "",
                  "{\"id\":\"p1\",\"price\":1}\n{\"id\":\"p2\",\"price\":2,\"regions\":[\"cn\"]}\n"
                  "{\"id\":\"p3\",\"price\":3}\n{\"id\":\"p4\",\"available\":false}\n"
                  "{\"id\":\"p5\",\"price\":5}\n",
                  "\"visible\":true"),
        " 200 ", "\"visible\":true", NULL);
}

static void what_is_popular_is_filled_up_from_the_catalogue(void **state)
{
    (void)state;
    static const char agrees[] = "{\"consents\":{\"history\":true}}";
    struct fake_node *nodes[2];
    if (!scene.redis.process) skip();
    start(whole, nodes);
    put_items();
    assert_parts(
        ask("POST", path, "", "{}"), " 200 ",
        "\"data\":[{\"item\":\"p1\"},{\"item\":\"p2\"},{\"item\":\"p3\"},{\"item\":\"p5\"}]", NULL);
    assert_parts(ask("PUT", "/v1/me/consents", "X-Qiao-User: ann\r\n", agrees), " 200 ", NULL);
    assert_parts(
        ask("POST", "/v1/events", "", "{\"user\":\"ann\",\"type\":\"view\",\"item\":\"p3\"}"),
        "\"stored\":1", NULL);
    assert_parts(ask("POST", path, "X-Qiao-Region: us\r\n", "{\"scenario\":\"popular\"}"), " 200 ",
                 "\"data\":[{\"item\":\"p1\"},{\"item\":\"p3\"},{\"item\":\"p5\"}]", NULL);
    assert_parts(ask("POST", path, "", "{\"count\":2}"), " 200 ",
                 "\"data\":[{\"item\":\"p3\"},{\"item\":\"p1\"}]", NULL);
    assert_parts(ask("POST", path, "", "{\"filters\":\"price > 1\"}"), " 200 ",
                 "\"data\":[{\"item\":\"p3\"},{\"item\":\"p2\"},{\"item\":\"p5\"}]", NULL);
    assert_parts(ask("GET", "/api/popular?n=2&offset=1", "", ""), " 200 ", "\"p1\"", "\"p2\"",
                 NULL);
    stop(nodes);
}

/* Rows are numbers here: 3 is an item that the model knows. */
static void the_body_may_say_for_whom(void **state)
{
    (void)state;
    static const char agrees[] = "{\"consents\":{\"history\":true,\"recommendations\":true}}";
    static const char seen[] =
        "{\"userId\":\"eve\",\"sessionId\":\"s\",\"eventList\":[{\"eventId\":\"e\","
        "\"eventType\":\"view\",\"itemId\":3,\"properties\":\"{\\\"a\\\":1}\"}]}";
    struct fake_node *nodes[2];
    if (!scene.redis.process) skip();
    start(whole, nodes);
    assert_parts(ask("PUT", "/v1/me/consents", "X-Qiao-User: eve\r\n", agrees), " 200 ", NULL);
    assert_parts(ask("POST", "/v1/events", "", seen), " 200 ", "\"stored\":1", NULL);
    assert_parts(ask("POST", "/v1/events", "", seen), " 200 ", "\"repeated\":1", NULL);
    assert_parts(ask("GET", "/v1/me/events", "X-Qiao-User: eve\r\n", ""), " 200 ", "\"item\":\"3\"",
                 "\"session\":\"s\"", NULL);
    assert_parts(ask("POST", path, "", "{\"user\":\"eve\",\"count\":1}"), " 200 ",
                 "\"personalized\":true,\"basis\":\"history\"", NULL);
    assert_parts(ask("POST", path, "", "{\"session\":[3],\"count\":1}"), " 200 ",
                 "\"basis\":\"session\"", NULL);
    assert_parts(ask("POST", path, "", "{\"user\":\"e v e\"}"), " 400 ", "\"param\":\"user\"",
                 NULL);
    stop(nodes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_catalogue_is_ranked_by_the_nodes_together),
        cmocka_unit_test(a_small_one_by_one_of_them),
        cmocka_unit_test(a_client_that_goes_away_takes_every_slice_along),
        cmocka_unit_test(a_node_that_is_lost_leaves_its_slice_to_the_other),
        cmocka_unit_test(who_is_not_known_and_has_no_item_that_is_gets_what_is_popular),
        cmocka_unit_test(the_body_may_say_for_whom),
        cmocka_unit_test(what_is_popular_is_filled_up_from_the_catalogue),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
