/* Vectors from documents to searches: two schedulers, a real Redis, nodes that are played. */
#include "scheduler/core/fleet.h"
#include "scheduler/core/shards.h"
#include "scheduler/features/collection.h"
#include "scheduler/features/search/vector.h"
#include "scheduler/features/search/vectors.h"
#include "tests/test.h"
#include "tests/unit/scheduler/features/search/cast.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include "base/buf.h"
#include "base/rand.h"

#include <stdio.h>
#include <string.h>

enum {
    DOCUMENTS = 100
};

#define SETTINGS "{\"embedder\":{\"model\":\"" CAST_MODEL "\",\"fields\":[\"text\"]}}"

static bool there;

static int set_up(void **state)
{
    (void)state;
    there = cast_start();
    if (!there) return 0;
    cast_node_up(0, "one");
    cast_node_up(1, "one");
    cast_scheduler_up(0);
    cast_scheduler_up(1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (there) cast_stop();
    return 0;
}

static const char *text_of(size_t document)
{
    static char text[64];
    snprintf(text, sizeof text, "thing number %zu", document);
    return text;
}

static void given_index(void)
{
    (void)store_loop_ask(cast_base, cast_store, "HSET", "qiao:{c:" CAST_INDEX "}:meta", "settings",
                         SETTINGS, NULL);
    for (size_t i = 0; i < DOCUMENTS; i++) {
        char id[16];
        snprintf(id, sizeof id, "d%zu", i);
        cast_put(id, text_of(i));
    }
    cast_tell(SETTINGS);
    cast_until(DOCUMENTS);
}

/* What every document scores, exactly as it was rounded. */
static float score_of(const float *query, const char *text)
{
    float vector[CAST_SIZE], query_scale, scale;
    int8_t query_values[CAST_SIZE], values[CAST_SIZE];
    int32_t dot = 0;
    cast_embed(text, vector);
    assert_true(vector_quantise(query, CAST_SIZE, query_values, &query_scale));
    assert_true(vector_quantise(vector, CAST_SIZE, values, &scale));
    for (size_t i = 0; i < CAST_SIZE; i++)
        dot += query_values[i] * values[i];
    return (float)dot * (query_scale * scale);
}

/* The answer is the whole order of all documents. */
static void assert_exact(size_t scheduler, const char *words)
{
    static struct cast_answer answer;
    float query[CAST_SIZE];
    bool seen[DOCUMENTS] = {0};
    cast_embed(words, query);
    cast_search(scheduler, query, DOCUMENTS, NULL, &answer);
    if (answer.err) fail_msg("%s", answer.note);
    assert_false(answer.partial);
    assert_int_equal(answer.count, DOCUMENTS);
    for (size_t i = 0; i < DOCUMENTS; i++) {
        size_t document;
        assert_int_equal(sscanf(answer.ids[i], "d%zu", &document), 1);
        assert_true(document < DOCUMENTS && !seen[document]);
        seen[document] = true;
        assert_true(answer.scores[i] == score_of(query, text_of(document)));
        assert_true(i == 0 || answer.scores[i] <= answer.scores[i - 1]);
    }
}

static void documents_get_vectors_once_and_every_scheduler_finds_the_nearest(void **state)
{
    struct cast_answer answer;
    float query[CAST_SIZE];
    const struct fleet_model *model;
    (void)state;
    if (!there) skip();
    given_index();
    assert_int_equal(cast_embedded(), DOCUMENTS);
    assert_exact(0, "what is near");
    assert_exact(1, "something else");
    cast_embed(text_of(42), query);
    cast_search(1, query, 3, NULL, &answer);
    assert_int_equal(answer.count, 3);
    assert_string_equal(answer.ids[0], "d42");
    assert_int_equal(vectors_model(cast_vectors(1), CAST_INDEX, &model), ERR_OK);
    assert_string_equal(model->name, CAST_MODEL);
}

static void only_what_is_allowed_is_found(void **state)
{
    static struct cast_answer answer;
    float query[CAST_SIZE];
    (void)state;
    if (!there) skip();
    given_index();
    cast_embed(text_of(42), query);
    cast_search(0, query, 10, "d3 d7 nobody d9", &answer);
    assert_int_equal(answer.err, ERR_OK);
    assert_int_equal(answer.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(answer.ids[i][0] == 'd' && strchr("379", answer.ids[i][1]) &&
                    !answer.ids[i][2]);
    cast_search(0, query, 10, "", &answer);
    assert_int_equal(answer.err, ERR_OK);
    assert_int_equal(answer.count, 0);
    cast_search(0, query, 10, "nobody", &answer);
    assert_int_equal(answer.count, 0);
}

static bool is_first(size_t scheduler, const float *query, const char *id)
{
    static struct cast_answer answer;
    cast_search(scheduler, query, 1, NULL, &answer);
    return !answer.err && answer.count > 0 && strcmp(answer.ids[0], id) == 0;
}

static void what_changes_is_embedded_and_what_does_not_is_not(void **state)
{
    struct cast_answer answer;
    float query[CAST_SIZE];
    (void)state;
    if (!there) skip();
    given_index();
    cast_put("d5", text_of(5)); // the same
    cast_run(300);
    assert_int_equal(cast_embedded(), DOCUMENTS);
    cast_put("d5", "another thing altogether");
    cast_embed("another thing altogether", query);
    assert_soon_on(cast_base, is_first(1, query, "d5"));
    assert_int_equal(cast_embedded(), DOCUMENTS + 1);
    cast_put("d5", NULL);
    cast_until(DOCUMENTS - 1);
    cast_put("new", "brand new");
    cast_put("empty", ""); // no text, no vector
    cast_until(DOCUMENTS);
    cast_search(0, query, DOCUMENTS, NULL, &answer);
    for (size_t i = 0; i < answer.count; i++)
        assert_string_not_equal(answer.ids[i], "d5");
    assert_int_equal(answer.count, DOCUMENTS);
}

static void a_node_that_dies_is_replaced_and_one_that_comes_is_filled(void **state)
{
    (void)state;
    if (!there) skip();
    given_index();
    assert_int_equal(cast_node_shards(0), 1);
    assert_int_equal(cast_node_shards(1), 1);
    cast_node_down(0);
    assert_exact(1, "after a death"); // the other copy, at once
    cast_node_up(2, "one");
    assert_soon_on(cast_base, cast_node_shards(2) == 1);
    cast_node_down(1);
    assert_exact(0, "after two");
    cast_node_up(1, "one"); // it has lost everything
    cast_until(DOCUMENTS);
    assert_soon_on(cast_base, cast_node_shards(1) == 1);
}

static void without_a_node_that_holds_it_a_search_says_so(void **state)
{
    static struct cast_answer answer;
    float query[CAST_SIZE];
    (void)state;
    if (!there) skip();
    given_index();
    cast_embed("x", query);
    cast_node_down(0);
    cast_node_down(1);
    cast_search(0, query, 3, NULL, &answer);
    assert_int_equal(answer.err, ERR_UNAVAILABLE);
    cast_tell("{}");
    cast_search(0, query, 3, NULL, &answer);
    assert_int_equal(answer.err, ERR_NOT_FOUND);
}

static void a_scheduler_that_ends_leaves_its_work_to_the_other(void **state)
{
    (void)state;
    if (!there) skip();
    given_index();
    cast_scheduler_down(0);
    cast_put("after", "written after the end of one");
    cast_until(DOCUMENTS + 1);
    assert_int_equal(cast_embedded(), DOCUMENTS + 1);
    cast_put("after", NULL);
    cast_until(DOCUMENTS);
    cast_scheduler_up(0);
    cast_scheduler_down(1);
    cast_until(DOCUMENTS);
    cast_node_up(3, "one");
    cast_node_down(0);
    cast_run(1000);
    assert_exact(0, "by the one that came again");
    assert_int_equal(cast_embedded(), DOCUMENTS + 1);
}

static void what_went_while_nobody_was_there_is_dropped_without_a_gap(void **state)
{
    static struct cast_answer answer;
    float query[CAST_SIZE];
    (void)state;
    if (!there) skip();
    given_index();
    cast_embed(text_of(3), query);
    cast_scheduler_down(0);
    cast_scheduler_down(1);
    cast_put("d3", NULL);
    cast_put("d4", NULL);
    cast_scheduler_up(0);
    for (size_t i = 0;
         i < TEST_LOOKS_MAX && cast_node_rows(0) + cast_node_rows(1) > 2 * (DOCUMENTS - 2); i++) {
        cast_run(10);
        cast_search(0, query, 1, NULL, &answer); // the nodes have the rest all the time
        if (!answer.err) assert_false(answer.partial);
        assert_int_equal(cast_node_shards(0), 1);
    }
    assert_int_equal(cast_node_rows(0), DOCUMENTS - 2);
    assert_int_equal(cast_node_rows(1), DOCUMENTS - 2);
    cast_until(DOCUMENTS - 2);
    cast_search(0, query, DOCUMENTS, NULL, &answer);
    assert_int_equal(answer.count, DOCUMENTS - 2);
    assert_int_equal(cast_embedded(), DOCUMENTS);
}

static void another_model_makes_all_vectors_anew(void **state)
{
    struct vectors_status status;
    (void)state;
    if (!there) skip();
    given_index();
    cast_node_down(0);
    cast_node_down(1);
    cast_scheduler_down(0);
    cast_scheduler_down(1);
    cast_node_up(0, "two");
    cast_node_up(1, "two");
    cast_scheduler_up(0);
    cast_scheduler_up(1);
    assert_soon_on(cast_base, cast_embedded() >= 2 * DOCUMENTS);
    cast_until(DOCUMENTS);
    assert_int_equal(cast_embedded(), 2 * DOCUMENTS);
    assert_exact(1, "by the new one");
    assert_int_equal(vectors_status(cast_vectors(0), CAST_INDEX, &status), ERR_OK);
    assert_int_equal(status.size, CAST_SIZE);
}

static bool is_served(void)
{
    struct vectors_status status;
    assert_int_equal(vectors_status(cast_vectors(0), CAST_INDEX, &status), ERR_OK);
    assert_string_equal(status.model, CAST_MODEL);
    return status.is_served;
}

static void whether_a_node_makes_vectors_is_told(void **state)
{
    (void)state;
    if (!there) skip();
    given_index();
    assert_true(is_served());
    cast_node_down(0);
    cast_node_down(1);
    assert_soon_on(cast_base, !is_served());
    cast_node_up(0, "one");
    assert_soon_on(cast_base, is_served());
}

/* Redis answers 0. */
static bool says_no(const char *verb, const char *key, const char *member)
{
    struct store_answer answer = store_loop_ask(cast_base, cast_store, verb, key, member, NULL);
    return answer.err == ERR_OK && answer.integer == 0;
}

static void an_index_that_goes_takes_its_vectors_with_it(void **state)
{
    (void)state;
    if (!there) skip();
    given_index();
    (void)store_loop_ask(cast_base, cast_store, "UNLINK", "qiao:{c:" CAST_INDEX "}:meta", NULL);
    (void)store_loop_ask(cast_base, cast_store, "UNLINK", "qiao:{c:" CAST_INDEX "}:docs", NULL);
    cast_tell(NULL);
    assert_soon_on(cast_base, cast_node_shards(0) + cast_node_shards(1) == 0);
    assert_soon_on(cast_base, says_no("EXISTS", "qiao:{c:" CAST_VECTORS "}:docs", NULL));
    assert_soon_on(cast_base, says_no("SISMEMBER", "qiao:{collections}", CAST_VECTORS));
}

// ---- many shards -------------------------------------------------------------------------------

enum {
    SPREAD = 6, // shards
    EACH = 50,  // vectors of one
};

static void on_written(void *argument, enum err err, uint64_t version)
{
    bool *done = argument;
    (void)version;
    assert_int_equal(err, ERR_OK);
    *done = true;
}

static int8_t value_of(uint32_t number, size_t at)
{
    return (int8_t)((int)(rand_at(number, (uint32_t)at, 3) % 255) - 127);
}

/* Vectors without documents, in shards that are far apart, made by a model that nobody serves: nobody embeds. */
static void given_spread(void)
{
    static const char described[] =
        "{\"v\":1,\"model\":\"000102030405060708090a0b0c0d0e0f\",\"adapter\":"
        "\"00000000000000000000000000000000\",\"size\":8,\"epoch\":\"5\"}";
    static char ids[SPREAD * EACH][16];
    static struct buf records[SPREAD * EACH];
    struct collection_entry entries[SPREAD * EACH] = {0};
    unsigned char fates[SPREAD * EACH];
    bool done = false;
    collection_configure(cast_collections, CAST_VECTORS, described, sizeof described - 1,
                         on_written, &done);
    store_loop_until(cast_base, &done);
    for (uint32_t i = 0; i < SPREAD * EACH; i++) {
        uint32_t number = i % SPREAD * 3 * SHARD_NUMBERS + i / SPREAD * 11;
        int8_t values[CAST_SIZE];
        for (size_t d = 0; d < CAST_SIZE; d++)
            values[d] = value_of(number, d);
        buf_clear(&records[i]);
        vector_write(&records[i], &(struct vector){number, 1, 1.0f / 128, CAST_SIZE, values});
        snprintf(ids[i], sizeof ids[i], "%u", number);
        entries[i] =
            (struct collection_entry){ids[i], strlen(ids[i]), records[i].data, records[i].size};
    }
    struct collection_write write = {
        .name = CAST_VECTORS, .entries = entries, .count = SPREAD * EACH, .fates = fates};
    done = false;
    collection_write(cast_collections, &write, on_written, &done);
    store_loop_until(cast_base, &done);
    for (size_t i = 0; i < SPREAD * EACH; i++)
        buf_fini(&records[i]);
    cast_tell("{\"embedder\":{\"model\":\"nobody's\"}}");
    cast_until(SPREAD * EACH);
}

static void assert_spread_exact(size_t scheduler, const char *allowed, size_t count)
{
    static struct cast_answer answer;
    float query[CAST_SIZE], query_scale, before = 1e9f;
    int8_t values[CAST_SIZE];
    cast_embed("what is asked", query);
    assert_true(vector_quantise(query, CAST_SIZE, values, &query_scale));
    cast_search(scheduler, query, SPREAD * EACH, allowed, &answer);
    if (answer.err) fail_msg("%s", answer.note);
    assert_false(answer.partial);
    assert_int_equal(answer.count, count);
    for (size_t i = 0; i < count; i++) {
        int32_t dot = 0;
        uint32_t number = (uint32_t)strtoul(answer.ids[i], NULL, 10);
        for (size_t d = 0; d < CAST_SIZE; d++)
            dot += values[d] * value_of(number, d);
        assert_true(answer.scores[i] == (float)dot * (query_scale * (1.0f / 128)));
        assert_true(answer.scores[i] <= before);
        before = answer.scores[i];
    }
}

static size_t shards_everywhere(void)
{
    size_t count = 0;
    for (size_t i = 0; i < CAST_NODES; i++)
        count += cast_node_shards(i);
    return count;
}

/* The fewest that a node holds. */
static size_t shards_at_least(void)
{
    size_t least = SPREAD;
    for (size_t i = 0; i < CAST_NODES; i++)
        if (cast_node_shards(i) < least) least = cast_node_shards(i);
    return least;
}

static void each_shard_is_on_two_nodes_while_nodes_come_and_go(void **state)
{
    (void)state;
    if (!there) skip();
    given_spread();
    assert_soon_on(cast_base, shards_everywhere() == 2 * SPREAD);
    assert_spread_exact(0, NULL, SPREAD * EACH);
    cast_node_up(2, "one");
    cast_node_up(3, "one");
    for (size_t i = 0; i < 20; i++) { // whole all the time
        cast_run(20);
        assert_spread_exact(i % 2, NULL, SPREAD * EACH);
    }
    // What moved is dropped where it was.
    assert_soon_on(cast_base, shards_at_least() > 0 && shards_everywhere() == 2 * SPREAD);
    for (size_t i = 0; i < CAST_NODES; i++)
        assert_in_range(cast_node_shards(i), 1, SPREAD);
    cast_node_down(1);
    assert_spread_exact(0, NULL, SPREAD * EACH); // more than one node is asked, at once
    assert_soon_on(cast_base, shards_everywhere() == 2 * SPREAD);
    cast_node_down(0);
    assert_spread_exact(1, NULL, SPREAD * EACH);
    assert_int_equal(cast_embedded(), 0);
}

static void a_filters_bits_are_sent_where_they_are_not_known(void **state)
{
    (void)state;
    if (!there) skip();
    given_spread();
    size_t before = cast_bits();
    assert_spread_exact(0, "0 11 22 98304 491520", 5); // numbers of the shards 0, 3 and 15
    assert_true(cast_bits() > before);
    assert_spread_exact(0, "0 11 22 98304 491520", 5);
    cast_node_down(0);
    assert_spread_exact(1, "0 11 22 98304 491520", 5);
}

static void a_node_without_memory_is_asked_again_and_the_other_copy_serves(void **state)
{
    (void)state;
    if (!there) skip();
    cast_node_refuses(0, true);
    given_spread();
    assert_int_equal(cast_node_shards(0), 0);
    assert_spread_exact(0, NULL, SPREAD * EACH);
    cast_node_refuses(0, false);
    assert_soon_on(cast_base, cast_node_shards(0) == SPREAD);
}

static void vectors_without_an_index_are_removed_after_a_while(void **state)
{
    (void)state;
    if (!there) skip();
    (void)store_loop_ask(cast_base, cast_store, "HSET", "qiao:{c:vectors:shop:old}:meta", "version",
                         "3", "token", "x", NULL);
    (void)store_loop_ask(cast_base, cast_store, "SADD", "qiao:{collections}", "vectors:shop:old",
                         NULL);
    assert_soon_on(cast_base, says_no("EXISTS", "qiao:{c:vectors:shop:old}:meta", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            documents_get_vectors_once_and_every_scheduler_finds_the_nearest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_what_is_allowed_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_changes_is_embedded_and_what_does_not_is_not, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_node_that_dies_is_replaced_and_one_that_comes_is_filled,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_node_that_holds_it_a_search_says_so, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_scheduler_that_ends_leaves_its_work_to_the_other, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_went_while_nobody_was_there_is_dropped_without_a_gap,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_model_makes_all_vectors_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whether_a_node_makes_vectors_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_index_that_goes_takes_its_vectors_with_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(each_shard_is_on_two_nodes_while_nodes_come_and_go, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_filters_bits_are_sent_where_they_are_not_known, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            a_node_without_memory_is_asked_again_and_the_other_copy_serves, set_up, tear_down),
        cmocka_unit_test_setup_teardown(vectors_without_an_index_are_removed_after_a_while, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
