/* Searches beyond words through HTTP: a whole scheduler, a real Redis, and a played node that scores a text by how many tokens it
 * has. */
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"

#include "wire/message.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char keys_path[] = "/tmp/qiao-beyond-test-keys.json";

static void put_shop(const char *headers)
{
    assert_parts(ask("PUT", "/v1/indexes/shop", headers,
                     "{\"fields\":{\"title\":3,\"text\":1},\"sortable\":[\"price\"]}"),
                 "200 OK", NULL);
    assert_parts(
        ask_patiently(
            "POST", "/v1/indexes/shop/documents?wait=true", headers,
            "{\"id\":\"short\",\"title\":\"cable cable cable\",\"price\":1}\n"
            "{\"id\":\"middle\",\"title\":\"cable cable\",\"text\":\"of two metres\",\"price\":2}\n"
            "{\"id\":\"long\",\"title\":\"cable\",\"text\":\"of two metres with two plugs in "
            "grey\",\"price\":3}\n"),
        "200 OK", "\"stored\":3", NULL);
}

/* A scheduler that has found its Redis, with the index, and a node that scores. */
static struct fake_node *start(void)
{
    start_scheduler("");
    struct fake_node *node = start_node(
        &(struct fake_node_options){.kinds = 1u << WIRE_SCORE, .name = "scorer", .credits = 8});
    put_shop("");
    return node;
}

static void end(struct fake_node *node)
{
    mem_free(ask("DELETE", "/v1/indexes/shop", "", ""));
    fake_node_stop(node);
    stop_scheduler();
}

static char *search(const char *body)
{
    return ask_patiently("POST", "/v1/indexes/shop/search", "", body);
}

static void the_first_documents_are_put_in_the_order_of_their_scores(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    struct fake_node *node = start();
    assert_parts(search("{\"q\":\"cable\"}"), "200 OK", "\"id\":\"short\"", "\"id\":\"middle\"",
                 "\"id\":\"long\"", NULL);
    assert_int_equal(fake_node_submits(node), 0);
    char *answer = search("{\"q\":\"cable\",\"rerank\":true}");
    assert_null(strstr(answer, "degraded"));
    assert_parts(answer, "200 OK", "\"id\":\"long\"", "\"lexical\":{\"score\":", "\"rank\":3",
                 "\"adds\":", "\"rerank\":{\"score\":", "\"rank\":1", "\"id\":\"middle\"",
                 "\"id\":\"short\"", "\"estimatedTotalHits\":3", NULL);
    assert_int_equal(fake_node_submits(node), 3);
    // Of the first two the longer one; the third, which would be better, is not looked at.
    assert_parts(search("{\"q\":\"cable\",\"rerank\":{\"depth\":2,\"model\":\"tiny\"}}"), "200 OK",
                 "\"id\":\"middle\"", "\"id\":\"short\"", "\"id\":\"long\"", NULL);
    assert_int_equal(fake_node_submits(node), 5);
    // What is written around of it is as ever.
    assert_parts(search("{\"q\":\"cable\",\"rerank\":true,\"filter\":\"price < 3\",\"offset\":1,"
                        "\"limit\":1,\"attributesToRetrieve\":[\"id\"],\"showRankingScore\":true}"),
                 "200 OK", "\"hits\":[{\"id\":\"short\",\"_rankingScore\":0.",
                 "\"_ranking\":", "\"offset\":1", NULL);
    assert_parts(ask("GET", "/metrics", "", ""),
                 "qiao_search_part_seconds_count{part=\"rerank\"} 3", NULL);
    end(node);
}

static void a_part_that_comes_too_late_is_told_and_left_out(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    struct fake_node *node = start();
    fake_node_hang(node, true);
    assert_parts(search("{\"q\":\"cable\",\"rerank\":true,\"deadline_ms\":400}"), "200 OK",
                 "\"id\":\"short\"", "\"id\":\"middle\"", "\"id\":\"long\"",
                 "\"degraded\":[\"rerank\"]", NULL);
    assert_soon(flights_in_air() == 0);
    assert_parts(search("{\"q\":\"nothing at all\",\"rerank\":true}"), "200 OK", "\"hits\":[]",
                 NULL);
    fake_node_hang(node, false);
    end(node);
}

static void what_is_named_must_be_served(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    struct fake_node *node = start();
    assert_parts(search("{\"q\":\"cable\",\"rerank\":{\"model\":\"none\"}}"), " 404 ",
                 "served are: tiny", "\"param\":\"rerank.model\"", "model_not_found", NULL);
    stop_node(node);
    assert_parts(search("{\"q\":\"cable\",\"rerank\":true}"), "\"degraded\":[\"rerank\"]", NULL);
    mem_free(ask("DELETE", "/v1/indexes/shop", "", ""));
    stop_scheduler();
}

static void a_failure_of_the_index_is_not_told_as_that_of_a_model(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start_scheduler("");
    put_shop("");
    assert_parts(ask("POST", "/v1/indexes/shop/search", "",
                     "{\"q\":\"cable\",\"rerank\":true,\"min_version\":99,\"deadline_ms\":50}"),
                 " 503 ", "has not reached the version", "\"code\":\"unavailable\"", NULL);
    mem_free(ask("DELETE", "/v1/indexes/shop", "", ""));
    stop_scheduler();
}

static void a_client_that_goes_away_takes_its_flights_along(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    struct fake_node *node = start();
    fake_node_hang(node, true);
    int fd = begin("POST", "/v1/indexes/shop/search", "", "{\"q\":\"cable\",\"rerank\":true}");
    wait_for_submits(node, 3);
    close(fd);
    wait_for_cancels(node, 3);
    assert_soon(flights_in_air() == 0);
    end(node);
}

static void an_index_that_is_deleted_meanwhile_is_not_found(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    struct fake_node *node = start();
    fake_node_hang(node, true);
    int fd = begin("POST", "/v1/indexes/shop/search", "",
                   "{\"q\":\"cable\",\"rerank\":true,\"deadline_ms\":1000}");
    wait_for_submits(node, 3);
    assert_parts(ask("DELETE", "/v1/indexes/shop", "", ""), "204", NULL);
    assert_parts(finish(fd, NULL), " 404 ", "no such index", NULL);
    assert_soon(flights_in_air() == 0);
    end(node);
}

static void what_is_scored_counts_against_the_limits(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    FILE *file = fopen(keys_path, "w");
    assert_non_null(file);
    fputs("[{\"key\":\"0123456789abcdef\",\"id\":\"k\",\"tenant\":\"t\",\"data\":true,\"tokens_per_"
          "minute\":20}]",
          file);
    fclose(file);
    start_scheduler(keys_path);
    struct fake_node *node =
        start_node(&(struct fake_node_options){.kinds = 1u << WIRE_SCORE, .name = "scorer"});
    static const char key[] = "Authorization: Bearer 0123456789abcdef\r\n";
    put_shop(key);
    assert_parts(ask_patiently("POST", "/v1/indexes/shop/search", key, "{\"q\":\"cable\"}"),
                 "200 OK", NULL);
    assert_parts(
        ask_patiently("POST", "/v1/indexes/shop/search", key, "{\"q\":\"cable\",\"rerank\":true}"),
        " 413 ", "tokens", NULL);
    assert_int_equal(fake_node_submits(node), 0);
    mem_free(ask("DELETE", "/v1/indexes/shop", key, ""));
    fake_node_stop(node);
    stop_scheduler();
    unlink(keys_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_documents_are_put_in_the_order_of_their_scores),
        cmocka_unit_test(a_part_that_comes_too_late_is_told_and_left_out),
        cmocka_unit_test(what_is_named_must_be_served),
        cmocka_unit_test(a_failure_of_the_index_is_not_told_as_that_of_a_model),
        cmocka_unit_test(a_client_that_goes_away_takes_its_flights_along),
        cmocka_unit_test(an_index_that_is_deleted_meanwhile_is_not_found),
        cmocka_unit_test(what_is_scored_counts_against_the_limits),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
