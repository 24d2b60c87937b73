#include "tests/test.h"

#include "wire/frame.h"
#include "wire/link.h"
#include "wire/reader.h"

#include "base/buf.h"
#include "base/rand.h"

#include <string.h>

enum {
    FRAMES = 200
};

static void add_frame(struct buf *stream, uint64_t sequence, size_t size)
{
    frame_write(buf_grow(stream, FRAME_HEADER_SIZE),
                &(struct frame){WIRE_SUBMIT, 0, (uint32_t)size, sequence});
    uint8_t *body = size ? buf_grow(stream, size) : NULL;
    for (size_t i = 0; i < size; i++)
        body[i] = (uint8_t)(sequence * 31 + i);
}

static void check_frame(const struct link_event *event, uint64_t sequence, size_t size)
{
    assert_int_equal(event->kind, LINK_FRAME);
    assert_int_equal(event->size, size);
    for (size_t i = 0; i < size; i++)
        if (event->body[i] != (uint8_t)(sequence * 31 + i)) fail_msg("byte %zu differs", i);
}

static size_t frame_size(struct rand *sizes)
{
    // Empty, small, around the buffer's size, and far above it.
    switch (rand_below(sizes, 4)) {
    case 0: return 0;
    case 1: return rand_below(sizes, 64);
    case 2: return READER_BUFFER_SIZE - 32 + rand_below(sizes, 64);
    default: return rand_below(sizes, 5 * READER_BUFFER_SIZE);
    }
}

/* Feed the stream in chunks of at most `chunk_max` bytes. */
static void feed(const struct buf *stream, uint64_t seed, size_t chunk_max)
{
    struct reader reader = {0};
    struct rand sizes, chunks;
    rand_init(&sizes, seed);
    rand_init(&chunks, seed + 1);
    uint64_t frames = 0;
    for (size_t at = 0; at < stream->size;) {
        size_t room;
        uint8_t *bytes = reader_room(&reader, &room);
        assert_true(room > 0);
        size_t chunk = 1 + rand_below(&chunks, chunk_max);
        if (chunk > room) chunk = room;
        if (chunk > stream->size - at) chunk = stream->size - at;
        memcpy(bytes, stream->data + at, chunk);
        at += chunk;
        reader_took(&reader, chunk);
        for (struct link_event *event;;) {
            assert_int_equal(reader_next(&reader, &event), ERR_OK);
            if (!event) break;
            check_frame(event, frames++, frame_size(&sizes));
            link_event_free(event);
        }
    }
    assert_int_equal(frames, FRAMES);
    reader_fini(&reader);
}

static void frames_are_cut_wherever_the_stream_is(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct rand sizes;
        struct buf stream = {0};
        rand_init(&sizes, seed);
        for (uint64_t i = 0; i < FRAMES; i++)
            add_frame(&stream, i, frame_size(&sizes));
        static const size_t chunks[] = {7, 1000, READER_BUFFER_SIZE, 10 * READER_BUFFER_SIZE};
        for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
            feed(&stream, seed, chunks[i]);
        buf_fini(&stream);
    }
}

static void refused(const struct buf *stream, const char *note)
{
    struct reader reader = {0};
    struct link_event *event = NULL;
    size_t room;
    uint8_t *bytes = reader_room(&reader, &room);
    memcpy(bytes, stream->data, stream->size);
    reader_took(&reader, stream->size);
    enum err err;
    while ((err = reader_next(&reader, &event)) == ERR_OK && event)
        link_event_free(event);
    assert_int_equal(err, ERR_FORMAT);
    if (!strstr(err_text(), note)) fail_msg("%s", err_text());
    reader_fini(&reader);
}

static void a_gap_or_a_repetition_is_refused(void **state)
{
    (void)state;
    for (uint64_t second = 0; second <= 2; second += 2) {
        struct buf stream = {0};
        add_frame(&stream, 0, 10);
        add_frame(&stream, second, 10);
        refused(&stream, "gap");
        buf_fini(&stream);
    }
}

static void garbage_is_refused(void **state)
{
    (void)state;
    struct buf stream = {0};
    buf_add_text(&stream, "GET / HTTP/1.1\r\nHost: qiao\r\n\r\n");
    refused(&stream, "QIAO");
    buf_fini(&stream);
}

static void a_reader_may_end_in_the_middle_of_a_body(void **state)
{
    (void)state;
    struct reader reader = {0};
    struct link_event *event;
    size_t room;
    uint8_t *bytes = reader_room(&reader, &room);
    frame_write(bytes, &(struct frame){.type = WIRE_SUBMIT, .size = WIRE_BODY_MAX});
    reader_took(&reader, FRAME_HEADER_SIZE);
    assert_int_equal(reader_next(&reader, &event), ERR_OK);
    assert_null(event);
    (void)reader_room(&reader, &room);
    assert_int_equal(room, WIRE_BODY_MAX);
    reader_fini(&reader); // ASan's leak check says the rest
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_cut_wherever_the_stream_is),
        cmocka_unit_test(a_gap_or_a_repetition_is_refused),
        cmocka_unit_test(garbage_is_refused),
        cmocka_unit_test(a_reader_may_end_in_the_middle_of_a_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
