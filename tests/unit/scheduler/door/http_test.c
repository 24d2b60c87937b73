#include "scheduler/door/http.h"
#include "tests/test.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include <event2/event.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

/* The server runs on this thread's loop; the client is a thread with a blocking socket. */
struct scene {
    struct event_base *base;
    struct http *http;
    struct http_request *held; // by /hang
    struct event *flood;
    atomic_bool done;
    atomic_int gone, held_count;
    atomic_size_t parts; // of a file that were made
    size_t part_count;
    atomic_size_t connections; // as the loop saw them last
    atomic_bool closed;        // to new ones
    int last_status;
    int early[3]; // connections of before the loop's first turn
};

static struct scene scene;

static void on_gone(void *argument)
{
    (void)argument;
    scene.held = NULL;
    if (scene.flood) event_del(scene.flood);
    atomic_fetch_add(&scene.gone, 1);
}

static void on_ended(void *owner, const struct http_request *request, int status, uint64_t ns)
{
    (void)owner;
    (void)request;
    (void)ns;
    scene.last_status = status;
}

/* More events, as fast as the loop turns, to a client that does not read. */
static void on_flood(evutil_socket_t fd, short what, void *argument)
{
    static char chunk[8192];
    (void)fd;
    (void)what;
    (void)argument;
    memset(chunk, 'x', sizeof chunk);
    if (scene.held) http_stream_event(scene.held, NULL, chunk, sizeof chunk);
}

enum {
    PARTS = 40,       // of a file
    PARTS_LONG = 1000 // of one that no socket takes at once
};

/* The next part of a file, when the last one has left; `argument` is the request. */
static void on_part_sent(void *argument)
{
    static char part[64 << 10];
    struct http_request *request = argument;
    memset(part, 'a' + (int)(atomic_load(&scene.parts) % 26), sizeof part);
    if (atomic_load(&scene.parts) == scene.part_count)
        http_file_end(request);
    else if (atomic_fetch_add(&scene.parts, 1) + 1 == scene.part_count)
        http_file_add(request, "the end", 7, on_part_sent, request);
    else
        http_file_add(request, part, sizeof part, on_part_sent, request);
}

static void handle(void *owner, struct http_request *request)
{
    (void)owner;
    const char *path = http_path(request);
    size_t size;
    const char *body = http_body(request, &size);
    if (strcmp(path, "/echo") == 0) {
        struct buf out = {0};
        buf_addf(&out, "{\"method\":\"%s\",\"size\":%zu,\"first\":\"%.1s\"}", http_method(request),
                 size, size ? body : "-");
        http_reply_json(request, 200, out.data, out.size);
        buf_fini(&out);
    } else if (strcmp(path, "/drain") == 0) {
        http_drain(scene.http);
        http_reply_json(request, 200, "{}", 2);
    } else if (strcmp(path, "/stream") == 0) {
        http_stream_begin(request);
        http_stream_event(request, NULL, "one", 3);
        http_stream_event(request, "1-3", "two", 3);
        http_stream_end(request);
    } else if (strcmp(path, "/file") == 0 || strcmp(path, "/long-file") == 0) {
        scene.part_count = strcmp(path, "/file") == 0 ? PARTS : PARTS_LONG;
        atomic_store(&scene.parts, 0);
        http_set_gone(request, on_gone, NULL);
        http_file_begin(request, "text/plain");
        on_part_sent(request);
    } else if (strcmp(path, "/hang") == 0) {
        scene.held = request;
        http_set_gone(request, on_gone, NULL);
        atomic_fetch_add(&scene.held_count, 1);
    } else if (strcmp(path, "/burst") == 0) {
        scene.held = request;
        http_stream_begin(request);
        /* More than may wait for a slow reader, in one turn of the loop. */
        for (int i = 0; i < 40; i++)
            on_flood(-1, 0, NULL);
        scene.held = NULL;
        http_stream_end(request);
    } else if (strcmp(path, "/flood") == 0) {
        struct timeval tick = {.tv_usec = 1000};
        scene.held = request;
        http_set_gone(request, on_gone, NULL);
        http_stream_begin(request);
        event_add(scene.flood, &tick);
    } else {
        http_reply_error(request, &(struct http_error){.err = ERR_NOT_FOUND, .param = "path"});
    }
}

enum {
    SILENCE_S = 60,
    DRAIN_IDLE_MS = 2000 // in which a busy machine lets a client ask once more
};

/* A client waits as assert_soon() does, and goes on whatever comes of it. */
#define WAIT_FOR(condition)                                         \
    do {                                                            \
        for (int i_ = 0; !(condition) && i_ < TEST_LOOKS_MAX; i_++) \
            usleep(TEST_LOOK_US);                                   \
    } while (0)

static int dial(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(http_port(scene.http))};
    struct timeval limit = {.tv_sec = SILENCE_S};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) abort();
    return fd;
}

static void say(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, text, size, MSG_NOSIGNAL);
        if (sent <= 0) return;
        text += sent;
        size -= (size_t)sent;
    }
}

/* Send, then read until the server closes or `until` is there. */
static char *ask(int fd, const char *text, const char *until)
{
    struct buf answer = {0};
    char bytes[4096];
    ssize_t got;
    say(fd, text, strlen(text));
    while (!(until && strstr(buf_text(&answer), until)) &&
           (got = recv(fd, bytes, sizeof bytes, 0)) > 0)
        buf_add(&answer, bytes, (size_t)got);
    return buf_take(&answer);
}

static char *ask_once(const char *text, const char *until)
{
    int fd = dial();
    char *answer = ask(fd, text, until);
    close(fd);
    return answer;
}

static void on_tick(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    (void)argument;
    atomic_store(&scene.connections, http_stats(scene.http)->connections);
    atomic_store(&scene.closed, http_is_closed(scene.http));
    if (atomic_load(&scene.done)) event_base_loopbreak(scene.base);
}

/* `early`, unless it is NULL, has its say before the loop turns for the first time. */
static void run_after(void (*early)(void), void *(*client)(void *))
{
    scene = (struct scene){.base = event_base_new()};
    struct http_options options = {.base = scene.base,
                                   .host = "127.0.0.1",
                                   .body_bytes = 100000,
                                   .unsent_bytes = 100000,
                                   .connections = 8,
                                   .timeout_seconds = 2 * SILENCE_S,
                                   .drain_idle_ms = DRAIN_IDLE_MS,
                                   .handler = handle,
                                   .ended = on_ended};
    assert_int_equal(http_new(&scene.http, &options), ERR_OK);
    struct timeval tick = {.tv_usec = 5000};
    struct event *ticker = event_new(scene.base, -1, EV_PERSIST, on_tick, NULL);
    scene.flood = event_new(scene.base, -1, EV_PERSIST, on_flood, NULL);
    event_add(ticker, &tick);
    if (early) early();
    pthread_t thread;
    void *failure;
    assert_int_equal(pthread_create(&thread, NULL, client, NULL), 0);
    event_base_dispatch(scene.base);
    pthread_join(thread, &failure);
    http_free(scene.http);
    event_free(ticker);
    event_free(scene.flood);
    event_base_free(scene.base);
    if (failure) fail_msg("the client saw: %s", (char *)failure);
}

static void run(void *(*client)(void *))
{
    run_after(NULL, client);
}

/* A client's check: its failure is the thread's result. */
#define EXPECT(answer, part)                      \
    do {                                          \
        char *answer_ = (answer);                 \
        if (!answer_ || !strstr(answer_, part)) { \
            atomic_store(&scene.done, true);      \
            return answer_ ? answer_ : (char *)1; \
        }                                         \
        mem_free(answer_);                        \
    } while (0)

static void *plain_client(void *argument)
{
    (void)argument;
    int fd = dial();
    EXPECT(ask(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "}"),
           "{\"method\":\"POST\",\"size\":3,\"first\":\"a\"}");
    EXPECT(ask(fd, "GET /echo HTTP/1.1\r\nHost: a\r\nx-request-id: mine-7\r\n\r\n", "}"),
           "x-request-id: mine-7");
    /* Two requests at once: the second waits for the first. */
    EXPECT(
        ask(fd, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\nGET /none HTTP/1.1\r\nHost: a\r\n\r\n", "}}"),
        "\"code\":\"not_found\"");
    EXPECT(ask(fd, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n", "0\r\n\r\n"),
           "id: 1-3\ndata: two\n\n");
    close(fd);
    atomic_store(&scene.done, true);
    return NULL;
}

static void requests_are_answered_one_after_another_on_a_connection(void **state)
{
    (void)state;
    run(plain_client);
}

static void *bad_client(void *argument)
{
    (void)argument;
    EXPECT(ask_once("nonsense\r\n\r\n", NULL), "\"code\":\"invalid_request\"");
    EXPECT(ask_once("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", NULL),
           "\"code\":\"invalid_request\"");
    EXPECT(ask_once("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                    NULL),
           "application/json");
    struct buf huge = {0};
    buf_add_text(&huge, "GET /echo HTTP/1.1\r\nHost: a\r\nx-long: ");
    for (int i = 0; i < HTTP_HEADERS_MAX; i++)
        buf_add_byte(&huge, 'x');
    buf_add_text(&huge, "\r\n\r\n");
    EXPECT(ask_once(huge.data, NULL), "bytes of headers");
    /* With a length: refused, and the client that sends it all still hears why. */
    buf_clear(&huge);
    buf_add_text(&huge, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n");
    for (int i = 0; i < 3000000; i++)
        buf_add_byte(&huge, 'x');
    EXPECT(ask_once(huge.data, NULL), "\"code\":\"request_too_large\"");
    /* The neighbours feel nothing. */
    EXPECT(ask_once("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", "}"), "200 OK");
    buf_fini(&huge);
    atomic_store(&scene.done, true);
    return NULL;
}

static void errors_that_evhttp_makes_have_the_apis_shape(void **state)
{
    (void)state;
    run(bad_client);
}

/* An answer that must not pass. */
static char *emptied(char *answer)
{
    answer[0] = '\0';
    return answer;
}

static void *bare_client(void *argument)
{
    (void)argument;
    int fd = dial();
    char *answer = ask(fd, "HEAD /echo HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\n");
    EXPECT(answer, "Content-Length: 38\r\n");
    /* Nothing of a body is ahead of the next answer. */
    answer = ask(fd, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", "}");
    EXPECT(strncmp(answer, "HTTP/1.1 200", 12) == 0 ? answer : emptied(answer), "\"GET\"");
    close(fd);
    /* An old client that would keep the connection still learns where a stream ends. */
    EXPECT(ask_once("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", NULL),
           "data: two\n\n");
    atomic_store(&scene.done, true);
    return NULL;
}

static void an_answer_ends_where_the_client_thinks_that_it_ends(void **state)
{
    (void)state;
    run(bare_client);
}

/* Whole for who reads, over both versions; for who does not, no more is made than the sockets take, and its end is told. */
static void *file_client(void *argument)
{
    (void)argument;
    int fd = dial();
    EXPECT(ask(fd, "GET /file HTTP/1.1\r\nHost: a\r\n\r\n", "0\r\n\r\n"), "the end");
    EXPECT(ask(fd, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", "}"), "\"GET\"");
    close(fd);
    char *whole = ask_once("GET /file HTTP/1.0\r\n\r\n", NULL);
    EXPECT(strlen(whole) > (PARTS - 1) * (64 << 10) ? whole : emptied(whole), "the end");
    int gone = atomic_load(&scene.gone);
    fd = dial();
    say(fd, "GET /long-file HTTP/1.0\r\n\r\n", 27);
    usleep(200000);
    EXPECT(mem_copy_text(atomic_load(&scene.parts) < PARTS_LONG ? "held" : "all was made"), "held");
    close(fd);
    WAIT_FOR(atomic_load(&scene.gone) > gone);
    EXPECT(mem_copy_text(atomic_load(&scene.gone) == gone + 1 ? "gone" : "not told"), "gone");
    atomic_store(&scene.done, true);
    return NULL;
}

static void a_file_is_made_as_fast_as_it_is_read(void **state)
{
    (void)state;
    run(file_client);
}

static void *smuggling_client(void *argument)
{
    static const char *const headers[] = {
        "Content-Length: 3\r\nContent-Length: 40\r\n",
        "Transfer-Encoding : chunked\r\nContent-Length: 3\r\n",
        "Transfer-Encoding: identity, chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nx y: z\r\n",
    };
    (void)argument;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        struct buf text = {0};
        buf_addf(&text, "POST /echo HTTP/1.1\r\nHost: a\r\n%s\r\n0\r\n", headers[i]);
        buf_add_text(&text, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
        char *answer = ask_once(buf_text(&text), NULL);
        buf_fini(&text);
        EXPECT(strstr(answer, "data:") ? emptied(answer) : answer, "\"code\":\"invalid_request\"");
    }
    atomic_store(&scene.done, true);
    return NULL;
}

static void a_body_whose_end_is_ambiguous_is_refused(void **state)
{
    (void)state;
    run(smuggling_client);
}

static void *chunked_client(void *argument)
{
    (void)argument;
    struct buf body = {0};
    buf_add_text(&body, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 60; i++) {
        buf_add_text(&body, "1000\r\n");
        for (int j = 0; j < 4096; j++)
            buf_add_byte(&body, 'y');
        buf_add_text(&body, "\r\n");
    }
    buf_add_text(&body, "0\r\n\r\n");
    EXPECT(ask_once(body.data, NULL), "\"code\":\"request_too_large\"");
    /* An interim answer went before. */
    int fd = dial();
    EXPECT(ask(fd,
               "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
               "Expect: 100-continue\r\n\r\n",
               "Continue\r\n"),
           "HTTP/1.1 100");
    EXPECT(ask(fd, strstr(body.data, "1000\r\n"), NULL), "\"code\":\"request_too_large\"");
    close(fd);
    buf_clear(&body);
    buf_add_text(&body, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "5\r\nhello\r\n0\r\n\r\n");
    EXPECT(ask_once(body.data, "}"), "\"size\":5");
    buf_fini(&body);
    atomic_store(&scene.done, true);
    return NULL;
}

static void a_chunked_body_is_bounded_too(void **state)
{
    (void)state;
    run(chunked_client);
}

static void *leaving_client(void *argument)
{
    (void)argument;
    for (int i = 1; i <= 3; i++) {
        int fd = dial();
        /* A pipelined request behind it must not disturb the watch. */
        const char text[] =
            "GET /hang HTTP/1.1\r\nHost: a\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n";
        say(fd, text, sizeof text - 1);
        while (atomic_load(&scene.held_count) < i)
            usleep(1000);
        close(fd);
        WAIT_FOR(atomic_load(&scene.gone) >= i);
        if (atomic_load(&scene.gone) < i) {
            atomic_store(&scene.done, true);
            return (char *)(uintptr_t) "no word of its leaving";
        }
    }
    atomic_store(&scene.done, true);
    return NULL;
}

static void a_client_that_leaves_while_it_waits_is_noticed(void **state)
{
    (void)state;
    run(leaving_client);
    assert_int_equal(scene.last_status, 499);
}

static void *slow_client(void *argument)
{
    (void)argument;
    int fd = dial();
    const char text[] = "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n";
    say(fd, text, sizeof text - 1);
    WAIT_FOR(atomic_load(&scene.gone) > 0);
    close(fd);
    atomic_store(&scene.done, true);
    return atomic_load(&scene.gone) ? NULL : (char *)(uintptr_t) "it was never dropped";
}

static void a_reader_that_does_not_read_is_dropped(void **state)
{
    (void)state;
    run(slow_client);
}

static void *bursting_client(void *argument)
{
    (void)argument;
    EXPECT(ask_once("GET /burst HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n0\r\n\r\n"), "\r\n0\r\n\r\n");
    atomic_store(&scene.done, true);
    return NULL;
}

static void a_reader_is_not_slow_when_the_loop_was_late(void **state)
{
    (void)state;
    run(bursting_client);
    assert_int_equal(scene.last_status, 200);
}

static void *crowding_client(void *argument)
{
    (void)argument;
    int fds[8];
    for (int i = 0; i < 8; i++) {
        fds[i] = dial();
        mem_free(ask(fds[i], "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", "}"));
    }
    EXPECT(ask_once("", NULL), "\"code\":\"overloaded\"");
    close(fds[0]);
    for (int i = 1; i < 8; i++)
        close(fds[i]);
    WAIT_FOR(atomic_load(&scene.connections) == 0);
    EXPECT(ask_once("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", "}"), "200 OK");
    atomic_store(&scene.done, true);
    return NULL;
}

static void connections_are_bounded(void **state)
{
    (void)state;
    run(crowding_client);
}

static bool is_refused(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(http_port(scene.http))};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool refused = connect(fd, (struct sockaddr *)&address, sizeof address) != 0;
    close(fd);
    return refused;
}

static char *told(bool good, const char *what)
{
    return mem_copy_text(good ? "good" : what);
}

static void *draining_client(void *argument)
{
    (void)argument;
    static const char echo[] = "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char half[] = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na";
    int kept = dial(), begun = dial(), silent = dial();
    EXPECT(ask(kept, echo, "}"), "200 OK");
    say(begun, half, sizeof half - 1);
    EXPECT(ask_once("GET /drain HTTP/1.1\r\nHost: a\r\n\r\n", NULL), "Connection: close");
    while (!atomic_load(&scene.closed))
        usleep(1000);
    EXPECT(told(is_refused(), "a new connection was taken"), "good");
    EXPECT(ask(kept, echo, NULL), "Connection: close"); // and it does close, or this read on
    char byte;
    ssize_t got = recv(silent, &byte, 1, 0); // for less long than a client may do nothing
    EXPECT(told(got == 0, "a silent connection was kept"), "good");
    usleep(DRAIN_IDLE_MS * 1000);
    EXPECT(ask(begun, "bc", NULL), "\"size\":3");
    WAIT_FOR(atomic_load(&scene.connections) == 0);
    EXPECT(told(atomic_load(&scene.connections) == 0, "a connection is left"), "good");
    close(kept);
    close(begun);
    close(silent);
    atomic_store(&scene.done, true);
    return NULL;
}

static void a_drain_answers_what_was_begun_and_refuses_what_is_new(void **state)
{
    (void)state;
    run(draining_client);
}

/* They stand in the kernel's queue, and evhttp has not seen them, when the drain begins. */
static void drain_with_a_queue(void)
{
    static const char echo[] = "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n";
    for (int i = 0; i < 3; i++) {
        scene.early[i] = dial();
        say(scene.early[i], echo, sizeof echo - 1);
    }
    http_drain(scene.http);
}

static void *queued_client(void *argument)
{
    (void)argument;
    for (int i = 0; i < 3; i++) {
        EXPECT(ask(scene.early[i], "", NULL), "200 OK");
        close(scene.early[i]);
    }
    EXPECT(told(is_refused(), "a new connection was taken"), "good");
    atomic_store(&scene.done, true);
    return NULL;
}

static void a_drain_answers_those_in_the_kernels_queue(void **state)
{
    (void)state;
    run_after(drain_with_a_queue, queued_client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_answered_one_after_another_on_a_connection),
        cmocka_unit_test(errors_that_evhttp_makes_have_the_apis_shape),
        cmocka_unit_test(a_file_is_made_as_fast_as_it_is_read),
        cmocka_unit_test(an_answer_ends_where_the_client_thinks_that_it_ends),
        cmocka_unit_test(a_body_whose_end_is_ambiguous_is_refused),
        cmocka_unit_test(a_chunked_body_is_bounded_too),
        cmocka_unit_test(a_client_that_leaves_while_it_waits_is_noticed),
        cmocka_unit_test(a_reader_that_does_not_read_is_dropped),
        cmocka_unit_test(a_reader_is_not_slow_when_the_loop_was_late),
        cmocka_unit_test(connections_are_bounded),
        cmocka_unit_test(a_drain_answers_what_was_begun_and_refuses_what_is_new),
        cmocka_unit_test(a_drain_answers_those_in_the_kernels_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
