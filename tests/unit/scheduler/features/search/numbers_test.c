/* What vectors are kept by: records, numbers, texts. */
#include "scheduler/core/shards.h"
#include "scheduler/features/search/ids.h"
#include "scheduler/features/search/numbers.h"
#include "scheduler/features/search/passage.h"
#include "scheduler/features/search/settings.h"
#include "scheduler/features/search/strays.h"
#include "scheduler/features/search/vector.h"
#include "tests/test.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/rand.h"

#include <jansson.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static uint32_t put(struct numbers *numbers, const char *id, uint32_t number)
{
    return numbers_put(numbers, id, strlen(id), number, number + 1);
}

static uint32_t find(const struct numbers *numbers, const char *id)
{
    uint64_t digest;
    return numbers_find(numbers, id, strlen(id), &digest);
}

static void a_document_is_found_by_its_number_and_its_number_by_it(void **state)
{
    struct numbers *numbers = numbers_new();
    size_t size;
    uint64_t digest;
    (void)state;
    assert_int_equal(put(numbers, "a", 5), NUMBERS_NONE);
    assert_int_equal(put(numbers, "b", SHARD_NUMBERS + 1), NUMBERS_NONE);
    assert_int_equal(find(numbers, "a"), 5);
    assert_int_equal(numbers_find(numbers, "b", 1, &digest), SHARD_NUMBERS + 1);
    assert_true(digest == SHARD_NUMBERS + 2);
    assert_int_equal(find(numbers, "c"), NUMBERS_NONE);
    assert_memory_equal(numbers_id(numbers, 5, &size), "a", 1);
    assert_null(numbers_id(numbers, 6, &size));
    assert_null(numbers_id(numbers, 99 * SHARD_NUMBERS, &size));
    assert_int_equal(numbers_shards(numbers), 2);
    assert_int_equal(numbers_in_shard(numbers, 1), 1);
    assert_int_equal(numbers_drop(numbers, "b", 1), SHARD_NUMBERS + 1);
    assert_int_equal(numbers_shards(numbers), 1);
    assert_int_equal(numbers_drop(numbers, "b", 1), NUMBERS_NONE);
    numbers_free(numbers);
}

static void a_number_is_one_documents_and_a_document_has_one(void **state)
{
    struct numbers *numbers = numbers_new();
    size_t size;
    (void)state;
    (void)put(numbers, "a", 5);
    assert_int_equal(put(numbers, "a", 6), 5); // it moves
    assert_null(numbers_id(numbers, 5, &size));
    (void)put(numbers, "b", 6); // and is driven out
    assert_int_equal(find(numbers, "a"), NUMBERS_NONE);
    assert_int_equal(numbers_count(numbers), 1);
    assert_int_equal(put(numbers, "b", 6), NUMBERS_NONE);
    numbers_clear(numbers);
    assert_int_equal(numbers_count(numbers), 0);
    assert_int_equal(numbers_end(numbers), 0);
    numbers_free(numbers);
}

/* Against a plain array. */
static void many_ids_come_and_go(void **state)
{
    enum {
        IDS = 3000,
        STEPS = 40000
    };

    static uint32_t places[IDS];
    struct ids *ids = ids_new();
    struct rand rand;
    char id[16];
    size_t size, count = 0;
    (void)state;
    rand_init(&rand, 7);
    for (size_t i = 0; i < IDS; i++)
        places[i] = IDS_NONE;
    for (size_t step = 0; step < STEPS; step++) {
        size_t at = rand_below(&rand, IDS);
        snprintf(id, sizeof id, "id-%zu", at);
        assert_int_equal(ids_find(ids, id, strlen(id)), places[at]);
        if (places[at] == IDS_NONE) {
            places[at] = ids_add(ids, id, strlen(id));
            count++;
        } else if (rand_below(&rand, 2)) {
            ids_remove(ids, places[at]);
            places[at] = IDS_NONE;
            count--;
        }
        assert_int_equal(ids_count(ids), count);
    }
    for (size_t i = 0; i < IDS; i++) {
        if (places[i] == IDS_NONE) continue;
        snprintf(id, sizeof id, "id-%zu", i);
        assert_memory_equal(ids_at(ids, places[i], &size), id, strlen(id));
        assert_int_equal(size, strlen(id));
    }
    ids_free(ids);
}

static void a_record_is_read_as_it_was_written_and_a_broken_one_is_refused(void **state)
{
    static const int8_t values[] = {1, -127, 0, 88};
    struct vector in = {.number = 70000, .digest = 1ull << 63 | 5, .scale = 0.25f, .size = 4}, out;
    struct buf record = {0};
    (void)state;
    in.values = values;
    vector_write(&record, &in);
    assert_int_equal(record.size, VECTOR_HEAD_SIZE + 4);
    assert_true(vector_read(&out, record.data, record.size));
    assert_int_equal(out.number, in.number);
    assert_true(out.digest == in.digest && out.scale == in.scale && out.size == in.size);
    assert_memory_equal(out.values, values, sizeof values);
    for (size_t size = 0; size < record.size; size++)
        assert_false(vector_read(&out, record.data, size));
    record.data[0] = 2;
    assert_false(vector_read(&out, record.data, record.size));
    buf_fini(&record);
}

static void a_vector_is_rounded_by_its_greatest_number(void **state)
{
    static const float numbers[] = {0.5f, -1.0f, 0.0f, 0.25f / 127};
    static const float broken[] = {0.5f, INFINITY};
    int8_t values[4];
    float scale;
    (void)state;
    assert_true(vector_quantise(numbers, 4, values, &scale));
    assert_true(scale == 1.0f / 127);
    assert_int_equal(values[0], 64); // 63.5 to even
    assert_int_equal(values[1], -127);
    assert_int_equal(values[2], 0);
    assert_int_equal(values[3], 0);
    assert_true(vector_quantise((const float[]){0, 0}, 2, values, &scale));
    assert_true(scale == 0 && values[0] == 0);
    assert_false(vector_quantise(broken, 2, values, &scale));
}

static struct search_settings *given_settings(const char *text)
{
    struct search_settings *settings;
    char param[SEARCH_PARAM_MAX];
    json_error_t error;
    json_t *object = json_loads(text, 0, &error);
    assert_non_null(object);
    assert_int_equal(search_settings_read(&settings, object, param), ERR_OK);
    json_decref(object);
    return settings;
}

static void assert_passage(const char *settings_text, const char *document, const char *want)
{
    struct search_settings *settings = given_settings(settings_text);
    struct buf text = {0};
    assert_int_equal(passage_write(&text, settings, document, strlen(document)), ERR_OK);
    assert_string_equal(buf_text(&text), want);
    buf_fini(&text);
    search_settings_free(settings);
}

static void a_vector_is_of_the_embedders_fields_in_their_order(void **state)
{
    static const char document[] = "{\"id\":\"x\",\"text\":\"long\",\"title\":\"short\",\"tags\":["
                                   "\"a\",\"b\"],\"n\":{\"m\":1}}";
    (void)state;
    assert_passage(
        "{\"embedder\":{\"model\":\"m\",\"fields\":[\"title\",\"text\",\"tags\",\"n.m\"]}}",
        document, "short\nlong\na\nb\n1");
    assert_passage("{\"fields\":[\"text\"],\"embedder\":{\"model\":\"m\"}}", document, "long");
    assert_passage("{\"embedder\":{\"model\":\"m\"}}", document, "long\nshort\na\nb\n1");
    assert_passage("{\"embedder\":{\"model\":\"m\",\"fields\":[\"none\"]}}", document, "");
}

static void assert_refused(const char *text, const char *want)
{
    struct search_settings *settings;
    char param[SEARCH_PARAM_MAX];
    json_error_t error;
    json_t *object = json_loads(text, 0, &error);
    assert_int_equal(search_settings_read(&settings, object, param), ERR_INVALID);
    assert_string_equal(param, want);
    json_decref(object);
}

static void an_embedder_that_is_none_is_refused_by_name(void **state)
{
    (void)state;
    assert_refused("{\"embedder\":7}", "embedder");
    assert_refused("{\"embedder\":\"\"}", "embedder.model");
    assert_refused("{\"embedder\":{}}", "embedder.model");
    assert_refused("{\"embedder\":{\"model\":\"\"}}", "embedder.model");
    assert_refused("{\"embedder\":{\"model\":\"m\",\"fields\":\"a\"}}", "embedder.fields");
    assert_refused("{\"embedder\":{\"model\":\"m\",\"size\":3}}", "embedder");
    struct search_settings *settings = given_settings("{\"embedder\":null}");
    assert_null(settings->embedder);
    search_settings_free(settings);
    settings = given_settings("{\"embedder\":\"m\"}");
    assert_string_equal(settings->embedder, "m");
    search_settings_free(settings);
}

static void a_shard_that_is_unknown_for_long_is_a_stray(void **state)
{
    struct strays *strays = strays_new();
    uint64_t now_ns = 5;
    (void)state;
    strays_begin(strays);
    assert_false(strays_see(strays, 1, 7, now_ns));
    now_ns += STRAYS_MS * CLOCK_MS - 1;
    strays_begin(strays);
    assert_false(strays_see(strays, 1, 7, now_ns));
    assert_false(strays_see(strays, 2, 7, now_ns));
    strays_begin(strays);
    assert_true(strays_see(strays, 1, 7, now_ns + 1));
    strays_begin(strays); // a round without it
    strays_begin(strays);
    assert_false(strays_see(strays, 1, 7, now_ns + 2));
    strays_free(strays);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_is_found_by_its_number_and_its_number_by_it),
        cmocka_unit_test(a_number_is_one_documents_and_a_document_has_one),
        cmocka_unit_test(many_ids_come_and_go),
        cmocka_unit_test(a_record_is_read_as_it_was_written_and_a_broken_one_is_refused),
        cmocka_unit_test(a_vector_is_rounded_by_its_greatest_number),
        cmocka_unit_test(a_vector_is_of_the_embedders_fields_in_their_order),
        cmocka_unit_test(an_embedder_that_is_none_is_refused_by_name),
        cmocka_unit_test(a_shard_that_is_unknown_for_long_is_a_stray),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
