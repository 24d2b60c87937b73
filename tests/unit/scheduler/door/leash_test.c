/* What of a gated answer leaves, and when: a gate that this test plays, and a client on the same loop. */
#include "scheduler/door/http.h"
#include "scheduler/door/leash.h"
#include "scheduler/policy/gate.h"
#include "tests/test.h"

#include "base/buf.h"
#include "base/clock.h"

#include <event2/event.h>

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum {
    HOLD_MS = 400,
    PATIENCE = 60000, // turns of the loop
    TURNS_LEAST = 20, // in a while, on a machine however slow
    BIG = 3 << 20
};

static struct event_base *base;
static struct http *http;
static struct http_request *held; // by the handler
static enum gate_stand stand;
static uint32_t hold_ms; // without a lease; HOLD_MS where it is to end
static unsigned looks, gone, ended, last_status;
static struct buf answer;

/* The gate, in place of policy/gate.c. */
enum gate_stand gate_stands(struct gate *gate, struct gate_pass *pass, uint64_t now_ns,
                            int64_t now_ms, enum reason *reason)
{
    (void)gate, (void)pass, (void)now_ns, (void)now_ms;
    looks++;
    *reason = REASON_SUSPENDED;
    return stand;
}

static void on_gone(void *argument)
{
    (void)argument;
    held = NULL;
    gone++;
}

static void on_ended(void *owner, const struct http_request *request, int status, uint64_t ns)
{
    (void)owner, (void)request, (void)ns;
    ended++;
    last_status = (unsigned)status;
}

static void handle(void *owner, struct http_request *request)
{
    static char big[BIG];
    const struct gate_pass pass = {.gated = true, .hold_ms = hold_ms};
    const char *path = http_path(request);
    (void)owner;
    if (strcmp(path, "/free") != 0) http_add_pass(request, NULL, &pass);
    if (strcmp(path, "/stream") == 0) {
        held = request;
        http_set_gone(request, on_gone, NULL);
        http_stream_begin(request);
    } else if (strcmp(path, "/wait") == 0) {
        held = request;
        http_set_gone(request, on_gone, NULL);
    } else if (strcmp(path, "/big") == 0) {
        memset(big, 'x', sizeof big);
        http_reply(request, 200, "text/plain", big, sizeof big);
    } else if (strcmp(path, "/wrong") == 0) {
        http_reply_error(request, &(struct http_error){.err = ERR_INVALID});
    } else {
        http_reply_json(request, 200, "{\"content\":1}", 13);
    }
}

static int set_up(void **state)
{
    (void)state;
    base = event_base_new();
    stand = GATE_STANDS;
    hold_ms = 3600000;
    looks = gone = ended = 0;
    held = NULL;
    buf_clear(&answer);
    return http_new(&http, &(struct http_options){.base = base,
                                                  .host = "127.0.0.1",
                                                  .body_bytes = 1 << 20,
                                                  .unsent_bytes = 256 << 10,
                                                  .connections = 8,
                                                  .timeout_seconds = 20,
                                                  .handler = handle,
                                                  .ended = on_ended})
               ? -1
               : 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_free(http);
    event_base_free(base);
    buf_fini(&answer);
    return 0;
}

static int dial(const char *request)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(http_port(http))};
    int fd = socket(AF_INET, SOCK_STREAM, 0), size = 16 << 10;
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
    return fd;
}

static int get(const char *path)
{
    char request[128];
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    return dial(request);
}

static void turn(unsigned ms)
{
    uint64_t until_ns = clock_now_ns() + ms * CLOCK_MS;
    for (unsigned i = 0; i < ms && (i < TURNS_LEAST || clock_now_ns() < until_ns); i++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        usleep(500);
    }
}

/* What the client has read so far; false: the server has closed. */
static bool read_some(int fd)
{
    char bytes[65536];
    ssize_t got;
    while ((got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        buf_add(&answer, bytes, (size_t)got);
    return got != 0;
}

static bool has(const char *part)
{
    return strstr(buf_text(&answer), part) != NULL;
}

static bool await(int fd, const char *part)
{
    for (int i = 0; i < PATIENCE && !has(part); i++) {
        turn(1);
        if (!read_some(fd)) break;
    }
    return has(part);
}

static void say(const char *text)
{
    http_stream_event(held, NULL, text, strlen(text));
}

static void await_handler(void)
{
    for (int i = 0; i < PATIENCE && !held; i++)
        turn(1);
    assert_non_null(held);
}

static void await_connections(size_t count)
{
    for (int i = 0; i < PATIENCE && http_stats(http)->connections != count; i++)
        turn(1);
    assert_int_equal(http_stats(http)->connections, count);
}

static void await_requests(size_t count)
{
    for (int i = 0; i < PATIENCE && http_stats(http)->requests != count; i++)
        turn(1);
    assert_int_equal(http_stats(http)->requests, count);
}

static void while_the_gate_stands_everything_leaves(void **state)
{
    (void)state;
    int fd = get("/stream");
    await_handler();
    say("one");
    say("two");
    http_stream_end(held);
    assert_true(await(fd, "data: one\n\n"));
    assert_true(await(fd, "0\r\n\r\n"));
    assert_true(has("data: two\n\n"));
    assert_int_equal(last_status, 200);
    assert_true(looks >= 2); // before each of them
    buf_clear(&answer);
    /* The connection is as good as before. */
    const char *again =
        "GET /plain HTTP/1.1\r\nHost: x\r\n\r\nGET /free HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_int_equal(send(fd, again, strlen(again), 0), strlen(again));
    assert_true(await(fd, "{\"content\":1}"));
    *strstr(answer.data, "{\"content\":1}") = ' ';
    assert_true(await(fd, "{\"content\":1}")); // the second one's
    close(fd);
    await_connections(0);
}

static void without_a_lease_content_waits_and_comments_keep_the_stream(void **state)
{
    (void)state;
    int fd = get("/stream");
    await_handler();
    say("before");
    assert_true(await(fd, "data: before"));
    stand = GATE_HELD;
    say("secret");
    assert_true(await(fd, "\n: held\n\n"));
    assert_false(has("secret"));
    assert_int_equal(http_stats(http)->held, 1);
    stand = GATE_STANDS;
    assert_true(await(fd, "data: secret"));
    http_stream_end(held);
    assert_true(await(fd, "0\r\n\r\n"));
    assert_int_equal(gone, 0);
    assert_false(has("error"));
    close(fd);
}

static void what_is_held_for_too_long_ends_with_its_reason(void **state)
{
    (void)state;
    hold_ms = HOLD_MS;
    int fd = get("/stream");
    await_handler();
    say("before");
    assert_true(await(fd, "data: before"));
    stand = GATE_HELD;
    say("secret");
    assert_true(await(fd, "0\r\n\r\n"));
    assert_true(has("\"code\":\"gate_unreachable\""));
    assert_false(has("secret"));
    assert_int_equal(gone, 1);
    assert_int_equal(ended, 1);
    close(fd);
}

static void a_gate_that_shuts_cuts_what_runs(void **state)
{
    (void)state;
    int fd = get("/stream"), waiting = get("/wait");
    await_handler();
    await_requests(2);
    stand = GATE_CUT;
    http_look(http); // as the gate's change does
    assert_true(await(fd, "\"code\":\"suspended\""));
    assert_true(await(fd, "0\r\n\r\n"));
    buf_clear(&answer);
    assert_true(await(waiting, "\"code\":\"suspended\""));
    assert_true(has("HTTP/1.1 403"));
    assert_int_equal(gone, 2);
    assert_int_equal(http_stats(http)->cut, 2);
    close(fd);
    close(waiting);
}

static void what_comes_after_the_cut_is_dropped(void **state)
{
    (void)state;
    int fd = get("/stream");
    await_handler();
    stand = GATE_CUT;
    say("secret"); // before the gate's change was told
    if (held) say("secret too");
    assert_true(await(fd, "0\r\n\r\n"));
    assert_true(has("\"code\":\"suspended\""));
    assert_false(has("secret"));
    close(fd);
}

static void a_whole_answer_waits_too(void **state)
{
    (void)state;
    stand = GATE_HELD;
    int fd = get("/plain");
    turn(HOLD_MS / 2);
    read_some(fd);
    assert_int_equal(answer.size, 0);
    stand = GATE_STANDS;
    assert_true(await(fd, "{\"content\":1}"));
    close(fd);
    buf_clear(&answer);
    stand = GATE_HELD;
    hold_ms = HOLD_MS;
    fd = get("/plain");
    assert_true(await(fd, "\"code\":\"gate_unreachable\""));
    assert_true(has("HTTP/1.1 503"));
    assert_false(has("content\":1"));
    close(fd);
    buf_clear(&answer);
    stand = GATE_CUT;
    fd = get("/plain");
    assert_true(await(fd, "\"code\":\"suspended\""));
    assert_true(has("HTTP/1.1 403"));
    assert_false(has("content\":1"));
    close(fd);
    buf_clear(&answer);
    fd = get("/wrong"); // errors are no content
    assert_true(await(fd, "HTTP/1.1 400"));
    close(fd);
}

static void a_slow_reader_gets_no_more_than_the_kernel_has(void **state)
{
    (void)state;
    int fd = get("/big");
    assert_true(await(fd, "HTTP/1.1 200"));
    turn(100);
    read_some(fd);
    stand = GATE_CUT;
    turn(50);
    size_t before = answer.size;
    bool open = true;
    for (int i = 0; i < PATIENCE && open; i++) {
        turn(2);
        open = read_some(fd);
    }
    assert_false(open); // something of the body had left: the end is the connection's
    assert_true(answer.size - before < 1 << 20);
    assert_true(answer.size < BIG);
    close(fd);
}

/* The server's end of the only connection. */
static int server_end(void)
{
    for (int fd = 3; fd < 1024; fd++) {
        struct sockaddr_in own, peer;
        socklen_t own_size = sizeof own, peer_size = sizeof peer;
        if (getsockname(fd, (struct sockaddr *)&own, &own_size) == 0 &&
            getpeername(fd, (struct sockaddr *)&peer, &peer_size) == 0 &&
            own.sin_family == AF_INET && ntohs(own.sin_port) == http_port(http))
            return fd;
    }
    fail_msg("there is no connection");
    return -1;
}

/* What cannot be called back: docs/gate.md names it as the exception. */
static void the_kernel_is_given_little_that_it_has_not_sent(void **state)
{
    (void)state;
    int fd = get("/big"), unsent = 0, low = 0, most = 0;
    socklen_t size = sizeof low;
    assert_true(await(fd, "HTTP/1.1 200"));
    int end = server_end();
    for (int i = 0; i < 100; i++) { // nobody reads
        turn(1);
        assert_int_equal(ioctl(end, SIOCOUTQNSD, &unsent), 0);
        if (unsent > most) most = unsent;
    }
    assert_int_equal(getsockopt(end, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low, &size), 0);
    assert_int_equal(low, LEASH_KERNEL_BYTES);
    assert_in_range(most, 1, LEASH_KERNEL_BYTES + LEASH_WRITE_BYTES);
    close(fd);
}

static void a_big_answer_arrives_whole(void **state)
{
    (void)state;
    int fd = get("/big");
    for (int i = 0; i < PATIENCE && answer.size < BIG; i++) {
        turn(1);
        read_some(fd);
    }
    turn(20);
    read_some(fd);
    const char *body = strstr(buf_text(&answer), "\r\n\r\n");
    assert_non_null(body);
    assert_int_equal(answer.size - (size_t)(body + 4 - answer.data), BIG);
    close(fd);
}

static void a_client_that_leaves_while_it_waits_is_noticed(void **state)
{
    (void)state;
    stand = GATE_HELD;
    int fd = get("/stream"), plain = get("/plain");
    await_handler();
    say("secret");
    await_requests(2);
    close(fd);
    close(plain);
    await_connections(0);
    await_requests(0);
    assert_int_equal(gone, 1);
}

static void an_old_client_without_chunks_gets_it_all(void **state)
{
    (void)state;
    int fd = dial("GET /stream HTTP/1.0\r\n\r\n");
    await_handler();
    say("one");
    http_stream_end(held);
    for (int i = 0; i < PATIENCE; i++) {
        turn(1);
        if (!read_some(fd)) break;
    }
    assert_true(has("data: one\n\n"));
    close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(while_the_gate_stands_everything_leaves),
        TEST(without_a_lease_content_waits_and_comments_keep_the_stream),
        TEST(what_is_held_for_too_long_ends_with_its_reason),
        TEST(a_gate_that_shuts_cuts_what_runs),
        TEST(what_comes_after_the_cut_is_dropped),
        TEST(a_whole_answer_waits_too),
        TEST(a_slow_reader_gets_no_more_than_the_kernel_has),
        TEST(the_kernel_is_given_little_that_it_has_not_sent),
        TEST(a_big_answer_arrives_whole),
        TEST(a_client_that_leaves_while_it_waits_is_noticed),
        TEST(an_old_client_without_chunks_gets_it_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
