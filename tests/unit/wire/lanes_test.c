#include "tests/test.h"

#include "wire/frame.h"
#include "wire/lanes.h"

#include "base/buf.h"

#include <string.h>

enum {
    LIMIT = 1 << 20
};

/* A frame whose body is `size` times the byte `mark`. */
static bool put(struct lanes *lanes, enum lane lane, uint8_t mark, size_t size)
{
    struct buf frame = {0};
    frame_write(buf_grow(&frame, FRAME_HEADER_SIZE),
                &(struct frame){.type = WIRE_PACK_PART, .size = (uint32_t)size});
    if (size) memset(buf_grow(&frame, size), mark, size);
    bool put = lanes_put(lanes, lane, &frame);
    assert_true(put == (frame.data == NULL));
    buf_fini(&frame);
    return put;
}

/* The marks of all that leaves in one take; checks the sequence numbers on the way. */
static const char *take(struct lanes *lanes, uint64_t *sequence)
{
    static char marks[256];
    size_t count = 0;
    struct buf out = {0};
    lanes_take(lanes, &out);
    for (size_t at = 0; at < out.size;) {
        struct frame frame;
        assert_int_equal(frame_parse(&frame, (const uint8_t *)out.data + at), ERR_OK);
        assert_int_equal(frame.sequence, (*sequence)++);
        marks[count++] = out.data[at + FRAME_HEADER_SIZE];
        at += FRAME_HEADER_SIZE + frame.size;
    }
    marks[count] = 0;
    buf_fini(&out);
    return marks;
}

static void urgent_goes_first_and_bulk_last(void **state)
{
    (void)state;
    struct lanes lanes;
    uint64_t sequence = 0;
    lanes_init(&lanes, LIMIT);
    put(&lanes, LANE_BULK, 'x', 8);
    put(&lanes, LANE_ORDINARY, 'a', 8);
    put(&lanes, LANE_BULK, 'y', 8);
    put(&lanes, LANE_ORDINARY, 'b', 8);
    put(&lanes, LANE_URGENT, '!', 8);
    assert_string_equal(take(&lanes, &sequence), "!abxy");
    assert_string_equal(take(&lanes, &sequence), "");
    put(&lanes, LANE_ORDINARY, 'c', 8);
    assert_string_equal(take(&lanes, &sequence), "c");
    assert_int_equal(lanes.bytes, 0);
    lanes_fini(&lanes);
}

static void at_most_one_fragment_is_ahead_of_an_urgent_frame(void **state)
{
    (void)state;
    struct lanes lanes;
    uint64_t sequence = 0;
    lanes_init(&lanes, LIMIT);
    for (char mark = 'a'; mark <= 'c'; mark++)
        put(&lanes, LANE_BULK, (uint8_t)mark, WIRE_PART_MAX);
    assert_string_equal(take(&lanes, &sequence), "a");
    put(&lanes, LANE_URGENT, '!', 8);
    assert_string_equal(take(&lanes, &sequence), "!");
    assert_string_equal(take(&lanes, &sequence), "b");
    lanes_fini(&lanes);
}

static void a_full_queue_refuses(void **state)
{
    (void)state;
    struct lanes lanes;
    lanes_init(&lanes, 100);
    assert_true(put(&lanes, LANE_ORDINARY, 'a', 40));
    assert_false(put(&lanes, LANE_URGENT, 'b', 21));
    assert_true(put(&lanes, LANE_URGENT, 'b', 20));
    assert_int_equal(lanes.bytes, 100);
    lanes_fini(&lanes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urgent_goes_first_and_bulk_last),
        cmocka_unit_test(at_most_one_fragment_is_ahead_of_an_urgent_frame),
        cmocka_unit_test(a_full_queue_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
