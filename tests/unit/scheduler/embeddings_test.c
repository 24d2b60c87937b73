/* Embeddings through HTTP: a whole scheduler and a played node, whose vectors are (tokens, second token, 0, 0). */
#include "tests/support/tiny_model.h"
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"

#include "wire/message.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char *embed(const char *body)
{
    return ask("POST", "/v1/embeddings", "", body);
}

static void texts_and_ids_become_vectors_in_their_order(void **state)
{
    (void)state;
    start_scheduler("");
    struct fake_node *node = start_node(&(struct fake_node_options){0});
    assert_parts(embed("{\"input\":[[4,5],[6,7,8]]}"), " 200 ",
                 "\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
                 "\"embedding\":[",
                 "{\"object\":\"embedding\",\"index\":1,\"embedding\":[",
                 ",0,0]}],\"model\":\"tiny\"",
                 "\"usage\":{\"prompt_tokens\":", "\"total_tokens\":", NULL);
    assert_parts(embed("{\"input\":[4,5],\"model\":\"tiny\"}"), " 200 ", "\"index\":0", NULL);
    assert_parts(embed("{\"input\":\"Hello\"}"), " 200 ", "\"index\":0", NULL);
    assert_parts(embed("{\"input\":[\"Hello\",\"world\"],\"encoding_format\":\"base64\"}"), " 200 ",
                 "\"index\":0,\"embedding\":\"", "\"index\":1,\"embedding\":\"", NULL);
    // Cut to one number, a vector of unit length is 1.
    assert_parts(embed("{\"input\":\"Hello\",\"dimensions\":1}"), " 200 ", "\"embedding\":[1]",
                 NULL);
    fake_node_stop(node);
    stop_scheduler();
}

static void many_texts_are_more_than_fly_at_once(void **state)
{
    (void)state;
    struct buf body = {0};
    start_scheduler("");
    struct fake_node *node = start_node(&(struct fake_node_options){.credits = 4});
    buf_add_text(&body, "{\"input\":[");
    for (int i = 0; i < 100; i++)
        buf_addf(&body, "%s[4,%d]", i ? "," : "", 5 + i % 7);
    buf_add_text(&body, "]}");
    assert_parts(embed(buf_text(&body)), " 200 ", "\"index\":0,", "\"index\":50,", "\"index\":99,",
                 NULL);
    assert_int_equal(fake_node_submits(node), 100);
    buf_fini(&body);
    fake_node_stop(node);
    stop_scheduler();
}

static char *embed_many(int count)
{
    struct buf body = {0};
    buf_add_text(&body, "{\"input\":[");
    for (int i = 0; i < count; i++)
        buf_add_text(&body, i ? ",[4]" : "[4]");
    buf_add_text(&body, "]}");
    char *answer = embed(buf_text(&body));
    buf_fini(&body);
    return answer;
}

static void a_request_for_too_many_numbers_is_told_how_many_texts_would_do(void **state)
{
    (void)state;
    start_scheduler("");
    struct fake_node *node = start_node(&(struct fake_node_options){.vector_size = 2048});
    assert_parts(embed_many(1025), " 400 ", "at most 1024 texts", "2048 numbers",
                 "\"param\":\"input\"", NULL);
    assert_parts(embed_many(2049), " 400 ", "at most 2048 texts", NULL);
    assert_int_equal(fake_node_submits(node), 0);
    fake_node_stop(node);
    stop_scheduler();
}

static void a_text_that_meets_a_full_node_goes_again(void **state)
{
    (void)state;
    start_scheduler("");
    struct fake_node *node = start_node(&(struct fake_node_options){.busy = 5, .credits = 64});
    assert_parts(embed_many(50), " 200 ", "\"index\":49", NULL);
    assert_true(fake_node_submits(node) >= 55);
    assert_soon(flights_in_air() == 0);
    fake_node_stop(node);
    stop_scheduler();
    start_scheduler("");
    node = start_node(&(struct fake_node_options){.busy = 1000, .credits = 64});
    assert_parts(embed_many(50), " 503 ", "overloaded", NULL);
    assert_soon(flights_in_air() == 0);
    fake_node_stop(node);
    stop_scheduler();
}

static void what_cannot_be_embedded_says_why(void **state)
{
    (void)state;
    struct buf body = {0};
    start_scheduler("");
    struct fake_node *node = start_node(&(struct fake_node_options){0});
    assert_parts(embed("{}"), " 400 ", "\"param\":\"input\"", NULL);
    assert_parts(embed("{\"input\":[\"a\",\"\"]}"), " 400 ", "input[1] is empty", NULL);
    assert_parts(embed("{\"input\":[[4,-1]]}"), " 400 ", "\"param\":\"input[0]\"", NULL);
    assert_parts(embed("{\"input\":\"a\",\"dimensions\":5}"), " 400 ", "\"param\":\"dimensions\"",
                 NULL);
    assert_parts(embed("{\"input\":\"a\",\"encoding_format\":\"hex\"}"), " 400 ",
                 "\"param\":\"encoding_format\"", NULL);
    assert_parts(embed("{\"input\":\"a\",\"model\":\"none\"}"), " 404 ", "model_not_found", NULL);
    buf_add_text(&body, "{\"input\":[[4");
    for (int i = 0; i < 40000; i++)
        buf_add_text(&body, ",4");
    buf_add_text(&body, "]]}");
    assert_parts(embed(buf_text(&body)), " 400 ", "truncate", "\"param\":\"input[0]\"", NULL);
    buf_fini(&body);
    assert_int_equal(fake_node_submits(node), 0);
    fake_node_stop(node);
    stop_scheduler();
}

static void a_text_that_is_too_long_is_cut_where_that_is_asked_for(void **state)
{
    (void)state;
    struct buf body = {0};
    char want[64];
    start_scheduler("");
    struct fake_node *node = start_node(&(struct fake_node_options){0});
    buf_add_text(&body, "{\"truncate\":true,\"input\":[4");
    for (int i = 0; i < 40000; i++)
        buf_add_text(&body, ",4");
    buf_add_text(&body, "]}");
    snprintf(want, sizeof want, "\"usage\":{\"prompt_tokens\":%d,", TINY_MODEL_CONTEXT);
    assert_parts(embed(buf_text(&body)), " 200 ", want, NULL);
    buf_fini(&body);
    fake_node_stop(node);
    stop_scheduler();
}

static void a_model_is_not_asked_for_what_it_does_not_do(void **state)
{
    (void)state;
    start_scheduler("");
    struct fake_node *node =
        start_node(&(struct fake_node_options){.kinds = 1u << WIRE_EMBED, .name = "encoder"});
    assert_parts(embed("{\"input\":\"a\"}"), " 200 ", NULL);
    assert_parts(chat(",\"model\":\"tiny\""), " 400 ", "does not generate text",
                 "\"param\":\"model\"", NULL);
    fake_node_stop(node);
    stop_scheduler();
    start_scheduler("");
    node = start_node(&(struct fake_node_options){.kinds = 1u << WIRE_GENERATE});
    assert_parts(embed("{\"input\":\"a\",\"model\":\"tiny\"}"), " 400 ", "does not make embeddings",
                 "\"param\":\"model\"", NULL);
    fake_node_stop(node);
    stop_scheduler();
}

static char *embed_as(const char *key, int count)
{
    struct buf body = {0};
    buf_add_text(&body, "{\"input\":[4");
    for (int i = 1; i < count; i++)
        buf_add_text(&body, ",4");
    buf_add_text(&body, "]}");
    char *answer = ask("POST", "/v1/embeddings", key, buf_text(&body));
    buf_fini(&body);
    return answer;
}

static void tokens_count_against_the_limits(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    char path[] = "/tmp/qiao-keys-XXXXXX";
    const char keys[] =
        "[{\"key\":\"the-small-key-123\",\"id\":\"reader\",\"tokens_per_minute\":110}]";
    const char small[] = "Authorization: Bearer the-small-key-123\r\n";
    int file = mkstemp(path);
    assert_int_equal(write(file, keys, sizeof keys - 1), sizeof keys - 1);
    close(file);
    start_scheduler(path);
    unlink(path);
    struct fake_node *node = start_node(&(struct fake_node_options){0});
    assert_parts(embed_as("", 60), " 401 ", NULL);
    assert_parts(embed_as(small, 60), " 200 ", NULL);
    assert_parts(embed_as(small, 60), " 429 ", "rate_limit_exceeded", NULL);
    assert_parts(embed_as(small, 200), " 413 ", NULL);
    assert_int_equal(fake_node_submits(node), 1);
    assert_soon(flights_in_air() == 0);
    fake_node_stop(node);
    stop_scheduler();
}

static void a_client_that_goes_away_takes_its_flights_along(void **state)
{
    (void)state;
    start_scheduler("");
    struct fake_node *node = start_node(&(struct fake_node_options){0});
    fake_node_hang(node, true);
    int fd = begin("POST", "/v1/embeddings", "", "{\"input\":[\"a\",\"b\"]}");
    wait_for_submits(node, 2);
    close(fd);
    wait_for_cancels(node, 2);
    fake_node_stop(node);
    stop_scheduler();
}

/* Under way: texts that a worker reads, others that are in the air. */
static void a_scheduler_that_stops_lets_go_of_everything(void **state)
{
    (void)state;
    struct buf body = {0};
    start_scheduler("");
    struct fake_node *node = start_node(&(struct fake_node_options){0});
    fake_node_hang(node, true);
    buf_add_text(&body, "{\"truncate\":true,\"input\":[\"");
    for (int i = 0; i < 500000; i++)
        buf_add_text(&body, "words ");
    buf_add_text(&body, "\"]}");
    int in_air = begin("POST", "/v1/embeddings", "", "{\"input\":[\"a\",\"b\"]}");
    int with_worker = begin("POST", "/v1/embeddings", "", buf_text(&body));
    wait_for_submits(node, 2);
    stop_scheduler();
    close(in_air);
    close(with_worker);
    fake_node_stop(node);
    buf_fini(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_and_ids_become_vectors_in_their_order),
        cmocka_unit_test(many_texts_are_more_than_fly_at_once),
        cmocka_unit_test(a_request_for_too_many_numbers_is_told_how_many_texts_would_do),
        cmocka_unit_test(a_text_that_meets_a_full_node_goes_again),
        cmocka_unit_test(what_cannot_be_embedded_says_why),
        cmocka_unit_test(a_text_that_is_too_long_is_cut_where_that_is_asked_for),
        cmocka_unit_test(a_model_is_not_asked_for_what_it_does_not_do),
        cmocka_unit_test(tokens_count_against_the_limits),
        cmocka_unit_test(a_client_that_goes_away_takes_its_flights_along),
        cmocka_unit_test(a_scheduler_that_stops_lets_go_of_everything),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
