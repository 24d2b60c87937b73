#include "node/service/intake.h"
#include "tests/test.h"

#include <string.h>

enum {
    VOCAB = 50,
    CONTEXT = 20
};

static const int32_t ids[CONTEXT + 1] = {1, 2, 3, 4, 5};
static const struct wire_model model = {.kinds = 1u << WIRE_GENERATE | 1u << WIRE_EMBED |
                                                 1u << WIRE_SCORE | 1u << WIRE_RECOMMEND |
                                                 1u << WIRE_SCAN,
                                        .context_length = CONTEXT,
                                        .vocab_size = VOCAB};

static struct wire_submit given_submit(size_t count)
{
    return (struct wire_submit){
        .protocol = WIRE_PROTOCOL,
        .kind = WIRE_GENERATE,
        .ids = ids,
        .id_count = count,
        .prompt_length = (uint32_t)count,
        .next_position = (uint32_t)count,
        .max_tokens = 1,
        .sampling = {.temperature = 1, .top_p = 1, .repetition_penalty = 1},
    };
}

static void refused(const struct wire_submit *submit, enum err err, const char *word)
{
    assert_int_equal(intake_check(submit, &model), err);
    if (!strstr(err_text(), word)) fail_msg("'%s' does not say '%s'", err_text(), word);
}

static void a_submit_within_the_limits_comes_in(void **state)
{
    (void)state;
    struct wire_submit submit = given_submit(5);
    assert_int_equal(intake_check(&submit, &model), ERR_OK);
    submit = given_submit(CONTEXT - 1);
    assert_int_equal(intake_check(&submit, &model), ERR_OK);
    submit = given_submit(CONTEXT); // an answer that filled the context elsewhere
    submit.prompt_length = 3;
    assert_int_equal(intake_check(&submit, &model), ERR_OK);
}

static void lengths_must_agree(void **state)
{
    (void)state;
    struct wire_submit submit = given_submit(5);
    submit.next_position = 4;
    refused(&submit, ERR_INVALID, "next_position 4");
    submit = given_submit(5);
    submit.prompt_length = 0;
    refused(&submit, ERR_INVALID, "prompt_length 0");
    submit.prompt_length = 6;
    refused(&submit, ERR_INVALID, "prompt_length 6");
    submit = given_submit(0);
    refused(&submit, ERR_INVALID, "prompt_length");
}

static void a_prompt_needs_room_for_an_answer(void **state)
{
    (void)state;
    struct wire_submit submit = given_submit(CONTEXT);
    refused(&submit, ERR_TOO_LONG, "20 tokens");
    submit = given_submit(CONTEXT + 1);
    submit.prompt_length = 3;
    refused(&submit, ERR_TOO_LONG, "context");
}

static void a_prompt_without_an_answer_may_fill_the_context(void **state)
{
    (void)state;
    struct wire_submit submit = given_submit(CONTEXT);
    submit.kind = WIRE_EMBED;
    submit.sampling = (struct wire_sampling){0}; // nothing is sampled
    assert_int_equal(intake_check(&submit, &model), ERR_OK);
    submit.id_count = submit.prompt_length = submit.next_position = CONTEXT + 1;
    refused(&submit, ERR_TOO_LONG, "holds at most 20");
    submit = given_submit(5);
    submit.kind = WIRE_EMBED;
    submit.prompt_length = 4;
    refused(&submit, ERR_INVALID, "prompt_length 4");
}

static void the_second_text_begins_within_the_prompt(void **state)
{
    (void)state;
    struct wire_submit submit = given_submit(5);
    submit.kind = WIRE_SCORE;
    submit.segment = 4;
    assert_int_equal(intake_check(&submit, &model), ERR_OK);
    submit.segment = 5;
    refused(&submit, ERR_INVALID, "segment 5");
}

static void ids_must_be_the_vocabularys(void **state)
{
    (void)state;
    int32_t wrong[] = {1, VOCAB, -1};
    struct wire_submit submit = given_submit(3);
    submit.ids = wrong;
    refused(&submit, ERR_INVALID, "ids[1]");
    wrong[1] = 0;
    refused(&submit, ERR_INVALID, "ids[2]");
    submit = given_submit(3);
    submit.stop_ids = wrong;
    submit.stop_id_count = 3;
    refused(&submit, ERR_INVALID, "stop_ids[2]");
}

static void salts_must_ascend(void **state)
{
    (void)state;
    static const struct wire_salt salts[] = {{0, 1}, {2, 5}, {2, 6}};
    struct wire_submit submit = given_submit(3);
    submit.salts = salts;
    submit.salt_count = 2;
    assert_int_equal(intake_check(&submit, &model), ERR_OK);
    submit.salt_count = 3;
    refused(&submit, ERR_INVALID, "salts[2]");
}

static void what_the_engine_cannot_do_is_unsupported(void **state)
{
    (void)state;
    struct wire_submit submit = given_submit(3);
    submit.kind = WIRE_SCAN;
    struct wire_model other = {.kinds = 1u << WIRE_GENERATE};
    assert_int_equal(intake_check(&submit, &other), ERR_UNSUPPORTED);
    submit = given_submit(3);
    submit.kind = (enum wire_kind)77;
    refused(&submit, ERR_UNSUPPORTED, "kind");
    submit = given_submit(3);
    submit.protocol = 9;
    refused(&submit, ERR_UNSUPPORTED, "protocol 9");
    submit = given_submit(3);
    submit.grammar = (const uint8_t *)"x";
    submit.grammar_size = 1;
    refused(&submit, ERR_UNSUPPORTED, "grammar");
    submit = given_submit(3);
    submit.model.bytes[3] = 1;
    refused(&submit, ERR_UNAVAILABLE, "model digest");
    submit = given_submit(3);
    submit.sampling.top_p = 2;
    refused(&submit, ERR_INVALID, "top_p");
    submit = given_submit(3);
    submit.priority = (enum wire_priority)9;
    refused(&submit, ERR_INVALID, "priority");
}

static void a_list_must_be_of_rows_that_there_are(void **state)
{
    (void)state;
    struct wire_submit submit = given_submit(5);
    submit.kind = WIRE_RECOMMEND;
    refused(&submit, ERR_INVALID, "top_count 0");
    submit.want_vector = true;
    assert_int_equal(intake_check(&submit, &model), ERR_OK);
    submit.top_count = 3;
    submit.row_begin = 10;
    refused(&submit, ERR_INVALID, "rows 10 to 0 of a catalogue of 50");
    submit.row_end = VOCAB + 1;
    refused(&submit, ERR_INVALID, "rows 10 to 51");
    submit.row_end = VOCAB;
    assert_int_equal(intake_check(&submit, &model), ERR_OK);
    submit.filter_bits = (const uint8_t *)"x";
    submit.filter_size = 1;
    refused(&submit, ERR_INVALID, "filter_bits");
}

static void a_scan_has_a_query_and_shards_and_no_model(void **state)
{
    (void)state;
    static const float query[] = {1, 2};
    static const uint64_t shards[] = {7, 8, 7};
    struct wire_submit given = given_submit(0), submit;
    given.kind = WIRE_SCAN;
    given.query = query;
    given.query_size = 2;
    given.shards = shards;
    given.shard_count = 2;
    given.top_count = 5;
    given.model = given.numerics = digest_of("any", 3);
    given.priority = WIRE_BATCH;
    assert_int_equal(intake_check(&given, &model), ERR_OK);
    submit = given;
    submit.shard_count = 3;
    refused(&submit, ERR_INVALID, "shards[2] is shards[0] again");
    submit = given;
    submit.query_size = 0;
    refused(&submit, ERR_INVALID, "a scan of 0 numbers in 2 shards for 5 rows");
    submit = given;
    submit.top_count = 0;
    refused(&submit, ERR_INVALID, "for 0 rows");
    submit = given;
    submit.id_count = submit.next_position = 1;
    refused(&submit, ERR_INVALID, "a scan of 1 ids");
    submit = given;
    submit.priority = (enum wire_priority)3;
    refused(&submit, ERR_INVALID, "priority 3");
    submit = given;
    submit.filter_size = 1;
    refused(&submit, ERR_INVALID, "filter_bits without");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_must_be_of_rows_that_there_are),
        cmocka_unit_test(a_submit_within_the_limits_comes_in),
        cmocka_unit_test(lengths_must_agree),
        cmocka_unit_test(a_prompt_needs_room_for_an_answer),
        cmocka_unit_test(a_prompt_without_an_answer_may_fill_the_context),
        cmocka_unit_test(the_second_text_begins_within_the_prompt),
        cmocka_unit_test(ids_must_be_the_vocabularys),
        cmocka_unit_test(salts_must_ascend),
        cmocka_unit_test(what_the_engine_cannot_do_is_unsupported),
        cmocka_unit_test(a_scan_has_a_query_and_shards_and_no_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
