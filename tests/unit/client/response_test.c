#include "client/response.h"
#include "tests/test.h"

#include <string.h>

static void collect(void *argument, const char *bytes, size_t size)
{
    buf_add(argument, bytes, size);
}

struct expected {
    enum err err; // of the pushes and the close
    int status;
    const char *body;
    size_t unused; // bytes behind the response
    bool keep_alive;
};

/* Push `first` bytes, then pieces of `step`, then close, as a connection would do it. */
static enum err take(struct response *response, const char *bytes, size_t size, size_t first,
                     size_t step, size_t *unused)
{
    size_t at = 0, piece = first ? first : step;
    while (at < size && response->state != RESPONSE_END) {
        size_t used = 0;
        if (piece > size - at) piece = size - at;
        enum err err = response_push(response, bytes + at, piece, &used);
        if (err) return err;
        assert_true(used <= piece);
        assert_true(used == piece || response->state == RESPONSE_END);
        at += used;
        piece = step;
    }
    *unused = size - at;
    return response_close(response);
}

static void check(const char *bytes, const struct expected *expected)
{
    size_t size = strlen(bytes);
    for (size_t cut = 0; cut <= size; cut++) {
        struct buf body = {0};
        struct response response;
        size_t unused = 0;
        response_init(&response, collect, &body);
        // Cut 0 stands for one byte at a time.
        enum err err = take(&response, bytes, size, cut, cut ? size : 1, &unused);
        if (err != expected->err)
            fail_msg("cut at %zu of '%s': error %d (%s)", cut, bytes, (int)err, err_text());
        if (!err) {
            assert_int_equal(response.status, expected->status);
            assert_string_equal(buf_text(&body), expected->body);
            assert_int_equal(unused, expected->unused);
            assert_int_equal(response.keep_alive, expected->keep_alive);
        }
        response_fini(&response);
        buf_fini(&body);
    }
}

static void good(const char *bytes, int status, const char *body, size_t unused, bool keep_alive)
{
    check(bytes, &(struct expected){
                     .status = status, .body = body, .unused = unused, .keep_alive = keep_alive});
}

static void bad(const char *bytes)
{
    check(bytes, &(struct expected){.err = ERR_FORMAT});
}

static void a_sized_body_ends_at_its_size(void **state)
{
    (void)state;
    good("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 0, true);
    good("HTTP/1.1 200\r\ncontent-length:5\r\n\r\nhelloHTTP/1.1", 200, "hello", 8, true);
    good("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, "", 0, true);
    good("HTTP/1.1 200 OK\nContent-Length: 2\nConnection: close\n\nok", 200, "ok", 0, false);
    good("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", 0, false);
    bad("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell");
}

static void a_chunked_body_ends_behind_its_trailers(void **state)
{
    (void)state;
    good("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
         "5\r\nhello\r\nA;name=value\r\n, my world\r\n0\r\n\r\n",
         200, "hello, my world", 0, true);
    good("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 3\r\n\r\n"
         "1\r\nx\r\n0\r\nTrailer: a\r\nOther: b\r\n\r\nrest",
         200, "x", 4, true);
    bad("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    bad("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n");
    bad("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n");
    bad("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n");
    bad("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n");
    bad("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n");
    bad("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n");
}

static void a_body_without_size_ends_with_the_connection(void **state)
{
    (void)state;
    good("HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, "until the end", 0, false);
    good("HTTP/1.1 200 OK\r\n\r\n", 200, "", 0, false);
    good("HTTP/1.1 204 No Content\r\n\r\n", 204, "", 0, true);
    good("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, "", 0, true);
}

static void interim_responses_are_passed_over(void **state)
{
    (void)state;
    good("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
         200, "ok", 0, true);
    bad("HTTP/1.1 100 Continue\r\n\r\n");
}

static void what_is_not_http_is_refused(void **state)
{
    (void)state;
    bad("");
    bad("SSH-2.0-OpenSSH\r\n");
    bad("HTTP/2 200 OK\r\n\r\n");
    bad("HTTP/1.1 2x0 OK\r\n\r\n");
    bad("HTTP/1.\r\n\r\n");
    bad("HTTP/1.1 200 OK\r\nContent-Le");
    bad("HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n");
    bad("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n");
    bad("HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n");
    bad("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n");
    bad("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n");
    bad("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n");
}

static void headers_tell_the_stream_and_when_to_come_again(void **state)
{
    (void)state;
    static const char text[] = "HTTP/1.1 429 Slow Down\r\nRetry-After: 17\r\n"
                               "Content-Type: text/event-stream; charset=utf-8\r\n"
                               "X-Content-Length: 3\r\nContent-Length: 0\r\n\r\n";
    struct buf body = {0};
    struct response response;
    size_t used;
    response_init(&response, collect, &body);
    assert_int_equal(response_push(&response, text, sizeof text - 1, &used), ERR_OK);
    assert_int_equal(response.state, RESPONSE_END);
    assert_int_equal(response.status, 429);
    assert_int_equal(response.retry_after, 17);
    assert_true(response.event_stream);
    response_fini(&response);
    buf_fini(&body);
}

/* `count` headers of `size` bytes each. */
static enum err push_headers(size_t count, size_t size)
{
    struct buf text = {0}, body = {0};
    buf_add_text(&text, "HTTP/1.1 200 OK\r\n");
    for (size_t i = 0; i < count; i++) {
        buf_add_text(&text, "X: ");
        for (size_t n = 3; n < size; n++)
            buf_add_byte(&text, 'x');
        buf_add_text(&text, "\r\n");
    }
    buf_add_text(&text, "Content-Length: 0\r\n\r\n");
    struct response response;
    size_t used = 0;
    response_init(&response, collect, &body);
    enum err err = ERR_OK;
    for (size_t at = 0; at < text.size && !err; at += used)
        err = response_push(&response, text.data + at, text.size - at < 100 ? text.size - at : 100,
                            &used);
    if (!err) assert_int_equal(response.state, RESPONSE_END);
    response_fini(&response);
    buf_fini(&text);
    return err;
}

static void headers_have_limits(void **state)
{
    (void)state;
    assert_int_equal(push_headers(1, RESPONSE_LINE_MAX - 2), ERR_OK);
    assert_int_equal(push_headers(1, RESPONSE_LINE_MAX + 1), ERR_FORMAT);
    assert_int_equal(push_headers(60, 1000), ERR_OK);
    assert_int_equal(push_headers(70, 1000), ERR_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sized_body_ends_at_its_size),
        cmocka_unit_test(a_chunked_body_ends_behind_its_trailers),
        cmocka_unit_test(a_body_without_size_ends_with_the_connection),
        cmocka_unit_test(interim_responses_are_passed_over),
        cmocka_unit_test(what_is_not_http_is_refused),
        cmocka_unit_test(headers_tell_the_stream_and_when_to_come_again),
        cmocka_unit_test(headers_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
