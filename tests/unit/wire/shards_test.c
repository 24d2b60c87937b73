#include "tests/test.h"
#include "tests/unit/wire/samples.h"

#include "wire/message.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

static enum err decode(struct wire_message *out, enum wire_type type, const void *body, size_t size)
{
    static _Alignas(max_align_t) unsigned char memory[1 << 16];
    struct arena arena;
    arena_init(&arena, memory, sizeof memory);
    return message_decode(out, type, body, size, &arena);
}

static void contradicts(const struct wire_message *message, const char *note)
{
    struct wire_message out;
    struct buf body = {0};
    message_encode(message, &body);
    assert_int_equal(decode(&out, message->type, body.data, body.size), ERR_FORMAT);
    if (!strstr(err_text(), note)) fail_msg("\"%s\" does not say \"%s\"", err_text(), note);
    buf_fini(&body);
}

static void a_shard_is_put_with_whole_rows_and_sane_scales(void **state)
{
    (void)state;
    static const float wrongs[][2] = {{1.0f, -0.5f}, {1.1e12f, 1.0f}};
    struct wire_message message = sample(WIRE_SHARD_PUT);
    message.shard_put.rows_size = 5;
    contradicts(&message, "has 5 bytes; 2 rows of 3 need 6");
    message = sample(WIRE_SHARD_PUT);
    message.shard_put.scales = NULL;
    contradicts(&message, "scales is missing");
    for (size_t i = 0; i < 2; i++) {
        message = sample(WIRE_SHARD_PUT);
        message.shard_put.scales = wrongs[i];
        contradicts(&message, i ? "entry 0 is not from 0" : "entry 1 is not from 0");
    }
    // {1: 7, 2: 3, 3: 0}
    static const uint8_t never[] = {0x83, 1, 7, 2, 3, 3, 0};
    struct wire_message out;
    assert_int_equal(decode(&out, WIRE_SHARD_PUT, never, sizeof never), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "version is 0; allowed are 1 to"));
}

static void a_query_beyond_all_bounds_is_refused(void **state)
{
    (void)state;
    static const float query[] = {0.0f, -INFINITY};
    struct wire_message message = sample(WIRE_SUBMIT);
    message.submit.query = query;
    message.submit.query_size = 2;
    contradicts(&message, "submit.query: entry 1 is beyond 1e+12");
}

static void the_largest_parts_of_shards_fit_their_frames(void **state)
{
    (void)state;
    struct wire_message message = sample(WIRE_SHARD_PUT);
    int32_t *numbers = mem_new(WIRE_SHARD_PUT_MAX, sizeof *numbers);
    float *scales = mem_new(WIRE_SHARD_PUT_MAX, sizeof *scales);
    uint8_t *rows = mem_new(WIRE_PART_MAX, 1);
    message.shard_put.dims = WIRE_PART_MAX / WIRE_SHARD_PUT_MAX;
    message.shard_put.numbers = message.shard_put.dropped = numbers;
    message.shard_put.row_count = message.shard_put.dropped_count = WIRE_SHARD_PUT_MAX;
    message.shard_put.scales = scales;
    message.shard_put.rows = rows;
    message.shard_put.rows_size = WIRE_PART_MAX;
    struct buf body = {0};
    message_encode(&message, &body);
    assert_true(body.size <= wire_body_max(WIRE_SHARD_PUT));
    buf_clear(&body);
    struct wire_shard *shards = mem_new(WIRE_SHARDS_MAX, sizeof *shards);
    for (size_t i = 0; i < WIRE_SHARDS_MAX; i++)
        shards[i] = (struct wire_shard){UINT64_MAX, UINT64_MAX, WIRE_SHARD_NUMBERS, 16384};
    message = sample(WIRE_SHARD_STATE);
    message.shard_state.shards = shards;
    message.shard_state.shard_count = WIRE_SHARDS_MAX;
    message_encode(&message, &body);
    assert_true(body.size <= wire_body_max(WIRE_SHARD_STATE));
    buf_fini(&body);
    mem_free(shards);
    mem_free(rows);
    mem_free(scales);
    mem_free(numbers);
}

static void a_shard_keeps_its_values(void **state)
{
    (void)state;
    struct wire_message message = sample(WIRE_SHARD_PUT), out;
    struct buf body = {0};
    message_encode(&message, &body);
    assert_int_equal(decode(&out, WIRE_SHARD_PUT, body.data, body.size), ERR_OK);
    const struct wire_shard_put *put = &out.shard_put;
    assert_true(put->shard == 0x1020304050607080 && put->version == 70000);
    assert_true(put->reset && put->complete);
    assert_int_equal(put->row_count, 2);
    assert_int_equal(put->numbers[1], 65535);
    assert_true(put->scales[0] == 0.0078125f);
    assert_int_equal((int8_t)put->rows[1], -127);
    assert_int_equal(put->dropped[0], 40000);
    buf_clear(&body);
    message = sample(WIRE_SHARD_STATE);
    message_encode(&message, &body);
    assert_int_equal(decode(&out, WIRE_SHARD_STATE, body.data, body.size), ERR_OK);
    assert_int_equal(out.shard_state.shard_count, 2);
    assert_true(out.shard_state.shards[0].version == 70000 &&
                out.shard_state.shards[1].dims == 384);
    assert_int_equal(out.shard_state.used, 12582934);
    buf_fini(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shard_keeps_its_values),
        cmocka_unit_test(a_shard_is_put_with_whole_rows_and_sane_scales),
        cmocka_unit_test(a_query_beyond_all_bounds_is_refused),
        cmocka_unit_test(the_largest_parts_of_shards_fit_their_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
