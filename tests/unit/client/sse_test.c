#include "client/sse.h"
#include "tests/test.h"

#include <string.h>

/* Every event's data in brackets, so that one text shows all. */
static void collect(void *argument, const char *data, size_t size)
{
    assert_int_equal(strlen(data), size);
    buf_addf(argument, "[%s]", data);
}

static enum err push_split(const char *bytes, size_t size, size_t first, size_t step,
                           struct buf *out)
{
    struct sse sse;
    sse_init(&sse, collect, out);
    enum err err = first ? sse_push(&sse, bytes, first) : ERR_OK;
    for (size_t at = first; at < size && !err; at += step)
        err = sse_push(&sse, bytes + at, size - at < step ? size - at : step);
    sse_fini(&sse);
    return err;
}

/* The same events, whether the bytes come at once, one by one or in two parts cut anywhere. */
static void check(const char *bytes, const char *events)
{
    size_t size = strlen(bytes);
    for (size_t cut = 0; cut <= size + 1; cut++) {
        struct buf out = {0};
        bool one_by_one = cut == size + 1;
        assert_int_equal(
            push_split(bytes, size, one_by_one ? 0 : cut, one_by_one ? 1 : size + 1, &out), ERR_OK);
        assert_string_equal(buf_text(&out), events);
        buf_fini(&out);
    }
}

static void events_end_at_an_empty_line_of_any_kind(void **state)
{
    (void)state;
    check("data: a\n\ndata: b\n\n", "[a][b]");
    check("data: a\r\n\r\ndata: b\r\n\r\n", "[a][b]");
    check("data: a\r\rdata: b\r\r", "[a][b]");
    check("data: a\n\r\ndata: b\r\ndata: c\n\rdata: d\r\n\n", "[a][b\nc][d]");
    check("data: never ended\n", "");
    check("", "");
    check("\n\r\n\r\r\n\n", "");
}

static void data_lines_are_joined_and_one_space_is_dropped(void **state)
{
    (void)state;
    check("data: a\ndata:b\ndata:  c\n\n", "[a\nb\n c]");
    check("data:\n\n", "[]");
    check("data: \ndata:\n\n", "[\n]");
    check("data: 你好\n\ndata: [DONE]\n\n", "[你好][[DONE]]");
}

static void comments_and_other_fields_are_skipped(void **state)
{
    (void)state;
    check(": ping\n\nevent: x\nid: 7\nretry: 5\ndata: a\n\n", "[a]");
    check("event: x\n\ndatas: a\n\nDATA: b\n\n: data: c\n\n", "");
}

static void ignore(void *argument, const char *data, size_t size)
{
    (void)argument, (void)data, (void)size;
}

static void check_last_id(const char *bytes, size_t size, const char *id)
{
    for (size_t cut = 0; cut <= size; cut++) {
        struct sse sse;
        sse_init(&sse, ignore, NULL);
        assert_int_equal(sse_push(&sse, bytes, cut), ERR_OK);
        assert_int_equal(sse_push(&sse, bytes + cut, size - cut), ERR_OK);
        assert_string_equal(sse.last_id, id);
        sse_fini(&sse);
    }
}

static void the_id_of_the_latest_whole_event_is_remembered(void **state)
{
    (void)state;
    const char whole[] = "id: 7\ndata: a\n\n";
    check_last_id(whole, strlen(whole), "7");
    const char kept[] = "id:7\ndata: a\n\ndata: b\n\n"; // it stays until another comes
    check_last_id(kept, strlen(kept), "7");
    const char broken[] =
        "id: 7\ndata: a\n\nid: 8\ndata: b\n"; // whoever resumes wants the 8th again
    check_last_id(broken, strlen(broken), "7");
    const char nul[] = "id: 7\n\nid: 8\0\n\n";
    check_last_id(nul, sizeof nul - 1, "7");
    const char none[] = "data: a\n\nids: 4\n\n";
    check_last_id(none, strlen(none), "");
    char longest[SSE_ID_MAX + 1] = {0}, text[2 * SSE_ID_MAX + 64];
    memset(longest, '7', SSE_ID_MAX);
    int size = snprintf(text, sizeof text, "id: %s\n\nid: %s8\n\n", longest, longest);
    check_last_id(text, (size_t)size, longest);
}

static void an_event_has_a_greatest_size(void **state)
{
    (void)state;
    char *line = malloc(SSE_EVENT_MAX + 16);
    memset(line, 'x', SSE_EVENT_MAX + 16);
    struct buf out = {0};
    // One line without an end.
    assert_int_equal(push_split(line, SSE_EVENT_MAX, 0, 4096, &out), ERR_OK);
    assert_int_equal(push_split(line, SSE_EVENT_MAX + 1, 0, 4096, &out), ERR_FORMAT);
    // Lines that are each allowed and together are not.
    struct buf many = {0};
    for (int i = 0; i < 1030; i++) {
        buf_add_text(&many, "data: ");
        buf_add(&many, line, 1023);
        buf_add_byte(&many, '\n');
    }
    assert_int_equal(push_split(many.data, many.size, 0, 1000, &out), ERR_FORMAT);
    // Nothing of them was handed on, and 1020 of them are one event.
    assert_int_equal(out.size, 0);
    assert_int_equal(push_split(many.data, 1020 * 1030, 0, many.size, &out), ERR_OK);
    buf_fini(&many);
    buf_fini(&out);
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_end_at_an_empty_line_of_any_kind),
        cmocka_unit_test(data_lines_are_joined_and_one_space_is_dropped),
        cmocka_unit_test(comments_and_other_fields_are_skipped),
        cmocka_unit_test(the_id_of_the_latest_whole_event_is_remembered),
        cmocka_unit_test(an_event_has_a_greatest_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
