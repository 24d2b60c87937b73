/* Shards over a real link: put, told, searched, lost. */
#include "node/service/service.h"
#include "tests/test.h"
#include "tests/unit/node/service/stage.h"

#include "wire/link.h"
#include "wire/message.h"

#include <string.h>

enum {
    DIMS = 3,
    FIRST = 32768, // of the numbers
    SHARD = 77
};

static const int32_t numbers[] = {FIRST, FIRST + 1, FIRST + 2, FIRST + 900};
static const float scales[] = {0.5f, 0.5f, 1.0f, 0.25f};
static const int8_t rows[] = {1, 0, 0, 0, 1, 0, 1, 1, 0, 4, 0, -128};
static const float query[] = {127, 0, 0};
static const uint64_t shards[] = {SHARD};

static struct wire_message part(size_t from, size_t count)
{
    return (struct wire_message){.type = WIRE_SHARD_PUT,
                                 .shard_put = {.shard = SHARD,
                                               .dims = DIMS,
                                               .version = 12,
                                               .numbers = numbers + from,
                                               .row_count = count,
                                               .scales = scales + from,
                                               .rows = (const uint8_t *)rows + from * DIMS,
                                               .rows_size = count * DIMS}};
}

static void put_all(struct stage *stage)
{
    struct wire_message first = part(0, 2), last = part(2, 2);
    first.shard_put.reset = true;
    last.shard_put.complete = true;
    tell(stage, &first);
    tell(stage, &last);
}

static struct wire_submit given_scan(const struct stage *stage, uint64_t request)
{
    struct wire_submit asked = given_submit(stage, request, 1);
    asked.kind = WIRE_SCAN;
    asked.model = asked.numerics = (struct digest){0};
    asked.id_count = asked.prompt_length = asked.next_position = 0;
    asked.query = query;
    asked.query_size = DIMS;
    asked.shards = shards;
    asked.shard_count = 1;
    asked.top_count = 3;
    return asked;
}

/* The next state that says so many shards. */
static struct wire_shard_state await_state(struct stage *stage, size_t count)
{
    for (;;) {
        struct wire_message message = next_message(stage, WIRE_SHARD_STATE);
        if (message.shard_state.shard_count == count) return message.shard_state;
    }
}

/* Puts travel behind everything else, so a search that is to find them waits for the state. */
static void await_whole(struct stage *stage)
{
    while (await_state(stage, 1).shards[0].version != 12)
        ;
}

static void refused(struct stage *stage, const struct wire_submit *asked, enum err err,
                    const char *note)
{
    struct wire_done done;
    submit(stage, asked);
    assert_int_equal(await_done(stage, &done), 0);
    assert_int_equal(done.key.request, asked->key.request);
    assert_int_equal(done.err, err);
    assert_int_equal(done.finish, WIRE_FINISH_NONE);
    if (done.note.size != strlen(note) || memcmp(done.note.text, note, done.note.size) != 0)
        fail_msg("'%.*s' is not '%s'", (int)done.note.size, done.note.text, note);
}

static void what_is_put_is_told_and_searched(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    struct wire_shard_state told = await_state(stage, 0); // with the HELLO
    assert_int_equal(told.memory, SHELF_MEMORY);
    struct wire_submit asked = given_scan(stage, 1);
    refused(stage, &asked, ERR_NOT_FOUND, "shard");
    put_all(stage);
    await_whole(stage);
    asked.key.request = 2;
    submit(stage, &asked);
    struct wire_message got = next_message(stage, WIRE_RESULT);
    assert_int_equal(got.result.key.request, 2);
    assert_int_equal(got.result.id_count, 3);
    // Scores 127, 127 and 63.5: of the equal ones the lower number first.
    static const int32_t want[] = {FIRST + 2, FIRST + 900, FIRST};
    assert_memory_equal(got.result.ids, want, sizeof want);
    assert_true(got.result.logprobs[0] == 127 && got.result.logprobs[1] == 127);
    assert_true(got.result.logprobs[2] == 63.5f);
    struct wire_message done = next_message(stage, WIRE_DONE);
    assert_int_equal(done.done.finish, WIRE_FINISH_STOP);
    assert_int_equal(done.done.err, ERR_OK);
    // Told again while it holds any, each second.
    told = await_state(stage, 1);
    assert_int_equal(told.shards[0].shard, SHARD);
    assert_int_equal(told.shards[0].rows, 4);
    assert_int_equal(told.shards[0].dims, DIMS);
    assert_true(told.used > 0);
    struct wire_message drop = {.type = WIRE_SHARD_DROP, .shard_drop.shard = SHARD};
    tell(stage, &drop);
    (void)await_state(stage, 0);
    asked.key.request = 3;
    refused(stage, &asked, ERR_NOT_FOUND, "shard");
    end_stage(stage);
}

static void a_search_has_a_filter_and_what_it_excludes(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    put_all(stage);
    await_whole(stage);
    static uint8_t bits[FIRST / 8 + 1];
    bits[FIRST / 8] = 0x05; // FIRST and FIRST + 2
    struct wire_submit asked = given_scan(stage, 1);
    asked.filter = digest_of(bits, sizeof bits);
    refused(stage, &asked, ERR_NOT_FOUND, "filter");
    asked.key.request = 2;
    asked.filter_bits = bits;
    asked.filter_size = sizeof bits;
    submit(stage, &asked);
    struct wire_message got = next_message(stage, WIRE_RESULT);
    assert_int_equal(got.result.id_count, 2);
    assert_int_equal(got.result.ids[0], FIRST + 2);
    assert_int_equal(got.result.ids[1], FIRST);
    (void)next_message(stage, WIRE_DONE);
    asked.key.request = 3;
    asked.filter_bits = NULL; // known now
    asked.filter_size = 0;
    asked.excluded = &numbers[2];
    asked.excluded_count = 1;
    submit(stage, &asked);
    got = next_message(stage, WIRE_RESULT);
    assert_int_equal(got.result.id_count, 1);
    assert_int_equal(got.result.ids[0], FIRST);
    (void)next_message(stage, WIRE_DONE);
    end_stage(stage);
}

static void searches_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    put_all(stage);
    await_whole(stage);
    struct wire_submit asked = given_scan(stage, 1);
    asked.query_size = 2;
    refused(stage, &asked, ERR_INVALID, "submit: a query of 2 numbers, the shard's rows have 3");
    asked = given_scan(stage, 2);
    asked.top_count = 0;
    refused(stage, &asked, ERR_INVALID,
            "submit: a scan of 3 numbers in 1 shards for 0 rows, each from 1");
    static const uint64_t twice[] = {SHARD, SHARD};
    asked = given_scan(stage, 3);
    asked.shards = twice;
    asked.shard_count = 2;
    refused(stage, &asked, ERR_INVALID, "submit: shards[1] is shards[0] again");
    end_stage(stage);
}

static void what_does_not_fit_is_counted_and_told_by_its_absence(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    static uint8_t wide[WIRE_VECTOR_MAX]; // 256 places of it are more than the shelf has
    struct wire_message put = part(0, 1);
    put.shard_put.dims = WIRE_VECTOR_MAX;
    put.shard_put.rows = wide;
    put.shard_put.rows_size = sizeof wide;
    put.shard_put.reset = put.shard_put.complete = true;
    (void)await_state(stage, 0);
    tell(stage, &put);
    struct wire_shard_state told = await_state(stage, 0);
    while (told.refused == 0)
        told = await_state(stage, 0);
    assert_int_equal(told.used, 0);
    end_stage(stage);
}

static void a_link_that_goes_down_takes_along_what_it_was_filling(void **state)
{
    (void)state;
    struct stage *stage = given_stage(0, 0);
    struct wire_message begun = part(0, 2);
    begun.shard_put.reset = true;
    tell(stage, &begun);
    assert_int_equal(await_state(stage, 1).shards[0].version, 0);
    link_close(stage->caller.links, stage->caller.link, "a test");
    await_link(stage);
    (void)await_state(stage, 0);
    end_stage(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_told_and_searched),
        cmocka_unit_test(a_search_has_a_filter_and_what_it_excludes),
        cmocka_unit_test(searches_that_make_no_sense_are_refused),
        cmocka_unit_test(what_does_not_fit_is_counted_and_told_by_its_absence),
        cmocka_unit_test(a_link_that_goes_down_takes_along_what_it_was_filling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
