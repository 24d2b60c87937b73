#include "client/qiao.h"
#include "tests/test.h"
#include "tests/unit/client/fake_server.h"

#include "base/buf.h"

#include <math.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

enum scene {
    SCENE_STREAM,
    SCENE_ERROR,       // the API's own
    SCENE_PLAIN_ERROR, // of something in between
    SCENE_ERROR_EVENT,
    SCENE_CUT,
    SCENE_NO_DONE,
    SCENE_CLOSED,
    SCENE_SILENT,
    SCENE_SSH,
    SCENE_SSH_FIRST, // and the answer only after it
};

struct fake {
    atomic_int scene;
    struct fake_server server;
    pthread_mutex_t lock;  // guards the rest
    struct buf head, body; // of the latest request
};

/* Was this in the head or in the body of the latest request? */
static bool saw(struct fake *fake, const char *part)
{
    pthread_mutex_lock(&fake->lock);
    bool found = strstr(buf_text(&fake->head), part) || strstr(buf_text(&fake->body), part);
    pthread_mutex_unlock(&fake->lock);
    return found;
}

static void send_piece(int socket, const char *content)
{
    struct buf event = {0};
    buf_addf(&event, "{\"choices\":[{\"delta\":{\"content\":\"%s\"}}]}", content);
    fake_event(socket, event.data);
    buf_fini(&event);
}

static void send_stream(int socket, enum scene scene)
{
    fake_begin_events(socket);
    fake_send(socket, "9\r\n: ping!\n\n\r\n"); // a comment
    send_piece(socket, "");
    send_piece(socket, "你");
    if (scene == SCENE_CUT) return;
    if (scene == SCENE_ERROR_EVENT)
        fake_event(socket, "{\"error\":{\"message\":\"the node died\",\"code\":\"unavailable\"}}");
    send_piece(socket, "好\\n\\u0000"); // a byte as any other
    fake_event(socket, "{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}");
    fake_event(socket, "{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,"
                       "\"prompt_tokens_details\":{\"cached_tokens\":4}}}");
    if (scene != SCENE_NO_DONE) fake_event(socket, "[DONE]");
    fake_end_events(socket);
}

static bool answer(void *argument, int socket, const struct fake_request *request)
{
    struct fake *fake = argument;
    enum scene scene = (enum scene)fake->scene;
    pthread_mutex_lock(&fake->lock);
    buf_clear(&fake->head);
    buf_clear(&fake->body);
    buf_add_text(&fake->head, request->head);
    buf_add_text(&fake->body, request->body);
    pthread_mutex_unlock(&fake->lock);
    char byte;
    switch (scene) {
    case SCENE_ERROR:
        fake_send(socket,
                  "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 62\r\n\r\n"
                  "{\"error\":{\"message\":\"slower\",\"code\":\"rate_limit_exceeded\"} }  ");
        return false;
    case SCENE_PLAIN_ERROR: fake_json(socket, "502 Bad Gateway", "<html>"); return false;
    case SCENE_CLOSED: return false;
    case SCENE_SSH: fake_send(socket, "SSH-2.0-x\r\n"); return false;
    case SCENE_SSH_FIRST:
        fake_send(socket, "SSH-2.0-x\r\n");
        if (recv(socket, &byte, 1, MSG_DONTWAIT) != 0)
            (void)poll(&(struct pollfd){.fd = socket, .events = POLLIN}, 1,
                       60000); // until it leaves
        fake_send(socket, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        return false;
    case SCENE_SILENT: return recv(socket, &byte, 1, 0) > 0 && false;
    default: send_stream(socket, scene); return false;
    }
}

static struct qiao *begin(struct fake *fake, enum scene scene)
{
    *fake = (struct fake){.scene = scene};
    pthread_mutex_init(&fake->lock, NULL);
    fake_server_start(&fake->server, answer, fake);
    return qiao_new(fake->server.url, "sk-test");
}

static void end(struct fake *fake, struct qiao *qiao)
{
    qiao_free(qiao);
    fake_server_stop(&fake->server);
    buf_fini(&fake->head);
    buf_fini(&fake->body);
    pthread_mutex_destroy(&fake->lock);
}

static void collect(void *argument, const char *text, size_t size)
{
    buf_add(argument, text, size);
}

static const struct qiao_message hello = {.role = "user", .content = "你好\n\"?\""};

/* One chat in this scene; the pieces of the answer must be `text`. */
static enum qiao_status chat(struct qiao *qiao, const char *text, struct qiao_usage *usage)
{
    struct buf out = {0};
    enum qiao_status status = qiao_chat(qiao, &hello, 1, NULL, collect, &out, usage);
    assert_string_equal(buf_text(&out), text);
    buf_fini(&out);
    return status;
}

static void a_chat_streams_its_answer_and_tells_its_usage(void **state)
{
    (void)state;
    struct fake fake;
    struct qiao *qiao = begin(&fake, SCENE_STREAM);
    qiao_set_user(qiao, "u-1");
    qiao_set_region(qiao, "aa");
    qiao_set_language(qiao, "zh-CN");
    qiao_set_system(qiao, "AcmeOS/18.4");
    struct qiao_usage usage;
    for (int i = 0; i < 2; i++) { // a handle serves again
        assert_int_equal(chat(qiao, "你好\n", &usage), QIAO_OK);
        assert_int_equal(qiao_http_status(qiao), 200);
        assert_int_equal(usage.prompt_tokens, 9);
        assert_int_equal(usage.cached_tokens, 4);
        assert_int_equal(usage.completion_tokens, 2);
        assert_string_equal(usage.finish_reason, "stop");
    }
    assert_true(saw(&fake, "POST /v1/chat/completions HTTP/1.1\r\n"));
    assert_true(saw(&fake, "\r\nAuthorization: Bearer sk-test\r\n"));
    assert_true(saw(&fake, "\r\nX-Qiao-User: u-1\r\n"));
    assert_true(saw(&fake, "\r\nX-Qiao-Region: aa\r\n"));
    assert_true(saw(&fake, "\r\nAccept-Language: zh-CN\r\n"));
    assert_true(saw(&fake, "\r\nX-Qiao-OS: AcmeOS/18.4\r\n"));
    assert_true(saw(&fake, "你好\\n\\\"?\\\""));
    assert_true(saw(&fake, "\"stream\":true"));
    end(&fake, qiao);
}

static void options_reach_the_server(void **state)
{
    (void)state;
    struct fake fake;
    struct qiao *qiao = begin(&fake, SCENE_STREAM);
    struct qiao_chat_options options = {.model = "tiny",
                                        .session = "s1",
                                        .max_tokens = 33,
                                        .temperature = 0.5,
                                        .has_seed = 1,
                                        .seed = 77};
    struct buf out = {0};
    assert_int_equal(qiao_chat(qiao, &hello, 1, &options, collect, &out, NULL), QIAO_OK);
    static const char *const parts[] = {"\"model\":\"tiny\"", "\"session\":\"s1\"",
                                        "\"max_tokens\":33", "\"temperature\":0.5", "\"seed\":77"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_true(saw(&fake, parts[i]));
    buf_fini(&out);
    end(&fake, qiao);
}

static void an_api_error_is_told_with_status_code_and_message(void **state)
{
    (void)state;
    struct fake fake;
    struct qiao *qiao = begin(&fake, SCENE_ERROR);
    assert_int_equal(chat(qiao, "", NULL), QIAO_REFUSED);
    assert_int_equal(qiao_http_status(qiao), 429);
    assert_string_equal(qiao_code(qiao), "rate_limit_exceeded");
    assert_string_equal(qiao_error(qiao), "slower");
    assert_int_equal(qiao_retry_after(qiao), 7);
    // The next call forgets them.
    fake.scene = SCENE_PLAIN_ERROR;
    assert_int_equal(chat(qiao, "", NULL), QIAO_REFUSED);
    assert_int_equal(qiao_http_status(qiao), 502);
    assert_string_equal(qiao_code(qiao), "");
    assert_int_equal(qiao_retry_after(qiao), 0);
    assert_non_null(strstr(qiao_error(qiao), "502"));
    end(&fake, qiao);
}

static void an_error_event_refuses_a_stream_that_had_begun(void **state)
{
    (void)state;
    struct fake fake;
    struct qiao *qiao = begin(&fake, SCENE_ERROR_EVENT);
    assert_int_equal(chat(qiao, "你好\n", NULL), QIAO_REFUSED);
    assert_string_equal(qiao_code(qiao), "unavailable");
    assert_string_equal(qiao_error(qiao), "the node died");
    end(&fake, qiao);
}

static void a_stream_that_is_cut_is_broken(void **state)
{
    (void)state;
    struct fake fake;
    struct qiao *qiao = begin(&fake, SCENE_CUT);
    assert_int_equal(chat(qiao, "你", NULL), QIAO_BROKEN);
    assert_non_null(strstr(qiao_error(qiao), "middle"));
    fake.scene = SCENE_NO_DONE;
    assert_int_equal(chat(qiao, "你好\n", NULL), QIAO_BROKEN);
    fake.scene = SCENE_CLOSED;
    assert_int_equal(chat(qiao, "", NULL), QIAO_BROKEN);
    fake.scene = SCENE_SSH;
    assert_int_equal(chat(qiao, "", NULL), QIAO_BROKEN);
    end(&fake, qiao);
}

static void what_follows_a_broken_answer_is_not_read(void **state)
{
    (void)state;
    struct fake fake;
    struct qiao *qiao = begin(&fake, SCENE_SSH_FIRST);
    char *body = NULL;
    assert_int_equal(qiao_request(qiao, "GET", "/x", NULL, &body), QIAO_BROKEN);
    assert_null(body);
    end(&fake, qiao);
}

static void silence_has_a_limit(void **state)
{
    (void)state;
    struct fake fake;
    struct qiao *qiao = begin(&fake, SCENE_SILENT);
    qiao_set_timeout(qiao, 1);
    assert_int_equal(chat(qiao, "", NULL), QIAO_BROKEN);
    assert_non_null(strstr(qiao_error(qiao), "silent"));
    end(&fake, qiao);
}

static void a_closed_port_is_unreachable(void **state)
{
    (void)state;
    char url[64];
    fake_closed_url(url, sizeof url);
    struct qiao *qiao = qiao_new(url, NULL);
    assert_int_equal(chat(qiao, "", NULL), QIAO_UNREACHABLE);
    assert_non_null(strstr(qiao_error(qiao), "127.0.0.1"));
    assert_int_equal(qiao_http_status(qiao), 0);
    qiao_free(qiao);
}

static void wrong_arguments_send_nothing(void **state)
{
    (void)state;
    struct qiao *wrong = qiao_new("gopher://x", NULL);
    assert_int_equal(chat(wrong, "", NULL), QIAO_INVALID);
    assert_non_null(strstr(qiao_error(wrong), "gopher"));
    qiao_free(wrong);

    struct fake fake;
    struct qiao *qiao = begin(&fake, SCENE_STREAM);
    char *body = NULL;
    assert_int_equal(qiao_request(qiao, "GET", "/x HTTP/1.1\r\nA: b", NULL, &body), QIAO_INVALID);
    qiao_set_user(qiao, "u\r\nX: y");
    assert_int_equal(chat(qiao, "", NULL), QIAO_INVALID);
    qiao_set_user(qiao, NULL);
    struct qiao_message broken = {.role = "user", .content = "\xff\xfe"};
    assert_int_equal(qiao_chat(qiao, &broken, 1, NULL, collect, NULL, NULL), QIAO_INVALID);
    struct qiao_chat_options options = {.session =
                                            "\xff"}; // left out, it would be another question
    assert_int_equal(qiao_chat(qiao, &hello, 1, &options, collect, NULL, NULL), QIAO_INVALID);
    options = (struct qiao_chat_options){.temperature = NAN};
    assert_int_equal(qiao_chat(qiao, &hello, 1, &options, collect, NULL, NULL), QIAO_INVALID);
    assert_int_equal(fake_server_count(&fake.server), 0);
    end(&fake, qiao);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chat_streams_its_answer_and_tells_its_usage),
        cmocka_unit_test(options_reach_the_server),
        cmocka_unit_test(an_api_error_is_told_with_status_code_and_message),
        cmocka_unit_test(an_error_event_refuses_a_stream_that_had_begun),
        cmocka_unit_test(a_stream_that_is_cut_is_broken),
        cmocka_unit_test(what_follows_a_broken_answer_is_not_read),
        cmocka_unit_test(silence_has_a_limit),
        cmocka_unit_test(a_closed_port_is_unreachable),
        cmocka_unit_test(wrong_arguments_send_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
