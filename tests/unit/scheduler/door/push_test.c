#include "scheduler/door/push.h"
#include "tests/test.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include <signal.h>
#include <string.h>
#include <sys/socket.h>

enum {
    LARGE = 8 << 20 // more than a socket takes at once
};

/* A client, and the loop's end of its connection. */
struct line {
    struct event_base *base;
    struct bufferevent *bev;
    int client;
    int written; // calls of the write callback
};

static void on_write(struct bufferevent *bev, void *argument)
{
    struct line *line = argument;
    (void)bev;
    line->written++;
}

static void begin(struct line *line)
{
    int pair[2];
    *line = (struct line){.base = event_base_new()};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    line->client = pair[0];
    line->bev = bufferevent_socket_new(line->base, pair[1], BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(line->bev, NULL, on_write, NULL, line);
    bufferevent_enable(line->bev, EV_WRITE);
}

static void end(const struct line *line)
{
    bufferevent_free(line->bev);
    event_base_free(line->base);
    close(line->client);
}

static void turn(const struct line *line)
{
    assert_true(event_base_loop(line->base, EVLOOP_NONBLOCK) >= 0);
}

static void an_answer_leaves_before_the_loop_turns(void **state)
{
    char bytes[16] = "";
    struct line line;
    (void)state;
    begin(&line);
    for (int answer = 1; answer <= 2;
         answer++) { // the second enables writing again, as evhttp does
        bufferevent_enable(line.bev, EV_WRITE);
        assert_int_equal(bufferevent_write(line.bev, "answer", 6), 0);
        push_now(line.bev);
        assert_int_equal(recv(line.client, bytes, sizeof bytes, 0), 6);
        assert_int_equal(line.written, answer - 1); // never from inside
        turn(&line);
        turn(&line);
        assert_int_equal(line.written, answer);
    }
    end(&line);
}

static void nothing_to_send_tells_nobody(void **state)
{
    struct line line;
    (void)state;
    begin(&line);
    push_now(line.bev);
    bufferevent_disable(line.bev, EV_WRITE);
    turn(&line);
    assert_int_equal(line.written, 0);
    end(&line);
}

static void what_the_socket_does_not_take_follows(void **state)
{
    static char large[LARGE], got[LARGE];
    struct line line;
    size_t size = 0;
    (void)state;
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (char)(i * 31 >> 8);
    begin(&line);
    assert_int_equal(bufferevent_write(line.bev, large, LARGE), 0);
    push_now(line.bev);
    assert_true(evbuffer_get_length(bufferevent_get_output(line.bev)) > 0);
    while (size < LARGE) {
        ssize_t part = recv(line.client, got + size, LARGE - size, 0);
        if (part > 0) size += (size_t)part;
        turn(&line);
    }
    assert_memory_equal(got, large, LARGE);
    turn(&line);
    assert_true(line.written >= 1);
    end(&line);
}

static void a_client_that_is_gone_is_no_matter_of_push(void **state)
{
    struct line line;
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    begin(&line);
    close(line.client);
    assert_int_equal(bufferevent_write(line.bev, "answer", 6), 0);
    push_now(line.bev);
    assert_int_equal(evbuffer_get_length(bufferevent_get_output(line.bev)), 6);
    line.client = dup(0);
    turn(&line);
    assert_int_equal(line.written, 0);
    end(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_leaves_before_the_loop_turns),
        cmocka_unit_test(nothing_to_send_tells_nobody),
        cmocka_unit_test(what_the_socket_does_not_take_follows),
        cmocka_unit_test(a_client_that_is_gone_is_no_matter_of_push),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
