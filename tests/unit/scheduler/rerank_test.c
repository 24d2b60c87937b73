/* Reranks through HTTP: a whole scheduler and a played node, which scores a text by how many tokens it has. */
#include "tests/support/tiny_model.h"
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"

#include "wire/message.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fake_node *start_scorer(uint32_t credits)
{
    start_scheduler("");
    return start_node(&(struct fake_node_options){
        .kinds = 1u << WIRE_SCORE, .name = "scorer", .credits = credits});
}

static char *rerank(const char *body)
{
    return ask("POST", "/v1/rerank", "", body);
}

static char *rerank_texts(const char *body)
{
    return ask("POST", "/rerank", "", body);
}

static void the_best_documents_come_first(void **state)
{
    (void)state;
    struct fake_node *node = start_scorer(0);
    assert_parts(
        rerank("{\"query\":\"Hello\",\"model\":\"tiny\",\"documents\":[\"a\",{\"text\":\"abcdefgh "
               "ijkl mnop\"},\"abcd\"]}"),
        " 200 ", "{\"id\":\"rerank-",
        "\"model\":\"tiny\",\"results\":[{\"index\":1,\"relevance_score\":0.",
        "{\"index\":2,\"relevance_score\":", "{\"index\":0,\"relevance_score\":0.",
        "}],\"meta\":{\"api_version\":{\"version\":\"2\"},\"billed_units\":{\"search_units\":1}},"
        "\"usage\":{\"prompt_tokens\":",
        "\"total_tokens\":", NULL);
    assert_parts(ask("POST", "/v2/rerank", "",
                     "{\"query\":\"Hello\",\"documents\":[\"a\",\"abc def\"],\"top_n\":1,"
                     "\"return_documents\":true}"),
                 " 200 ", "\"results\":[{\"index\":1,\"relevance_score\":",
                 ",\"document\":{\"text\":\"abc def\"}}],\"meta\"", NULL);
    fake_node_stop(node);
    stop_scheduler();
}

static void texts_are_answered_as_a_list(void **state)
{
    (void)state;
    struct fake_node *node = start_scorer(0);
    assert_parts(rerank_texts("{\"query\":\"Hello\",\"texts\":[\"a\",\"abcdefgh ijkl\"],"
                              "\"return_text\":true}"),
                 " 200 ", "\r\n\r\n[{\"index\":1,\"score\":",
                 ",\"text\":\"abcdefgh ijkl\"},{\"index\":0,\"score\":0.", ",\"text\":\"a\"}]",
                 NULL);
    // Equal ones keep their order; the model's own numbers are not between 0 and 1.
    assert_parts(rerank_texts("{\"query\":\"q\",\"texts\":[\"\",\"\"],\"raw_scores\":true}"),
                 " 200 ", "[{\"index\":0,\"score\":-", "},{\"index\":1,\"score\":-", "}]", NULL);
    fake_node_stop(node);
    stop_scheduler();
}

static char *many(const char *path, const char *list, int count, int letters)
{
    struct buf body = {0};
    buf_addf(&body, "{\"query\":\"q\",\"%s\":[", list);
    for (int i = 0; i < count; i++) {
        buf_add_text(&body, i ? ",\"" : "\"");
        for (int k = 0; k < letters; k++)
            buf_add_text(&body, k % 3 ? "a " : "bc");
        buf_add_byte(&body, '"');
    }
    buf_add_text(&body, "]}");
    char *answer = ask("POST", path, "", buf_text(&body));
    buf_fini(&body);
    return answer;
}

static void many_texts_are_more_than_fly_at_once(void **state)
{
    (void)state;
    struct fake_node *node = start_scorer(4);
    assert_parts(many("/rerank", "texts", 300, 3), " 200 ", "{\"index\":0,", "{\"index\":150,",
                 "{\"index\":299,", NULL);
    assert_int_equal(fake_node_submits(node), 300);
    assert_parts(many("/v1/rerank", "documents", 250, 3), " 200 ", "\"search_units\":3", NULL);
    assert_soon(flights_in_air() == 0);
    fake_node_stop(node);
    stop_scheduler();
}

static void long_texts_are_cut_or_refused_as_the_shape_says(void **state)
{
    (void)state;
    char want[64];
    struct fake_node *node = start_scorer(0);
    snprintf(want, sizeof want, "\"usage\":{\"prompt_tokens\":%d,", TINY_MODEL_CONTEXT);
    assert_parts(many("/v1/rerank", "documents", 1, 20000), " 200 ", want, NULL);
    assert_parts(many("/rerank", "texts", 1, 20000), " 400 ", "together with the query",
                 "\\\"truncate\\\": true", "\"param\":\"texts[0]\"", NULL);
    assert_int_equal(fake_node_submits(node), 1);
    fake_node_stop(node);
    stop_scheduler();
}

static void what_cannot_be_reranked_says_why(void **state)
{
    (void)state;
    struct fake_node *node = start_scorer(0);
    assert_parts(rerank("{\"documents\":[\"a\"]}"), " 400 ", "\"param\":\"query\"", NULL);
    assert_parts(rerank_texts("{\"query\":\"a\",\"documents\":[\"a\"]}"), " 400 ",
                 "\"param\":\"texts\"", NULL);
    assert_parts(rerank("{\"query\":\"a\",\"documents\":[\"a\"],\"model\":\"none\"}"), " 404 ",
                 "served are: tiny", "model_not_found", NULL);
    assert_parts(ask("GET", "/v1/rerank", "", ""), " 405 ", "Allow: POST", NULL);
    assert_int_equal(fake_node_submits(node), 0);
    assert_parts(ask("GET", "/ready", "", ""), " 200 ", "\"models\":[\"tiny\"]", NULL);
    assert_parts(ask("GET", "/v1/models", "", ""), " 200 ", "\"id\":\"tiny\",\"object\":\"model\"",
                 "\"capabilities\":[\"score\"]}", NULL);
    assert_parts(chat(",\"model\":\"tiny\""), " 400 ", "does not generate text", NULL);
    fake_node_stop(node);
    stop_scheduler();
    start_scheduler("");
    node = start_node(&(struct fake_node_options){.kinds = 1u << WIRE_EMBED});
    assert_parts(rerank("{\"query\":\"a\",\"documents\":[\"a\"],\"model\":\"tiny\"}"), " 400 ",
                 "does not score pairs of texts", "\"param\":\"model\"", NULL);
    assert_parts(rerank("{\"query\":\"a\",\"documents\":[\"a\"]}"), " 404 ",
                 "can score pairs of texts", NULL);
    assert_parts(ask("GET", "/v1/models/tiny", "", ""),
                 "\"capabilities\":[\"embed\"],\"dimensions\":4}", NULL);
    fake_node_stop(node);
    stop_scheduler();
}

static void a_model_says_all_that_it_does(void **state)
{
    (void)state;
    start_scheduler("");
    struct fake_node *node = start_node(&(struct fake_node_options){
        .kinds = 1u << WIRE_GENERATE | 1u << WIRE_EMBED | 1u << WIRE_SCORE | 1u << WIRE_RECOMMEND |
                 1u << WIRE_SCAN});
    assert_parts(
        ask("GET", "/v1/models", "", ""),
        "\"capabilities\":[\"generate\",\"embed\",\"score\",\"recommend\"],\"dimensions\":4}",
        NULL);
    fake_node_stop(node);
    stop_scheduler();
    start_scheduler("");
    node = start_node(&(struct fake_node_options){.kinds = 1u << WIRE_RECOMMEND});
    assert_parts(ask("GET", "/v1/models/tiny", "", ""), "\"capabilities\":[\"recommend\"]}", NULL);
    fake_node_stop(node);
    stop_scheduler();
}

static void a_client_that_goes_away_takes_its_flights_along(void **state)
{
    (void)state;
    struct fake_node *node = start_scorer(0);
    fake_node_hang(node, true);
    int fd = begin("POST", "/v1/rerank", "", "{\"query\":\"q\",\"documents\":[\"a\",\"b\"]}");
    wait_for_submits(node, 2);
    close(fd);
    wait_for_cancels(node, 2);
    assert_soon(flights_in_air() == 0);
    fake_node_stop(node);
    stop_scheduler();
}

static void a_deadline_ends_all_of_it(void **state)
{
    (void)state;
    struct fake_node *node = start_scorer(0);
    fake_node_hang(node, true);
    assert_parts(rerank("{\"query\":\"q\",\"documents\":[\"a\",\"b\"],\"deadline_ms\":200}"),
                 " 504 ", "timeout", NULL);
    assert_soon(flights_in_air() == 0);
    fake_node_stop(node);
    stop_scheduler();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_documents_come_first),
        cmocka_unit_test(texts_are_answered_as_a_list),
        cmocka_unit_test(many_texts_are_more_than_fly_at_once),
        cmocka_unit_test(long_texts_are_cut_or_refused_as_the_shape_says),
        cmocka_unit_test(what_cannot_be_reranked_says_why),
        cmocka_unit_test(a_model_says_all_that_it_does),
        cmocka_unit_test(a_client_that_goes_away_takes_its_flights_along),
        cmocka_unit_test(a_deadline_ends_all_of_it),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
