#include "tests/test.h"
#include "tests/unit/client/fake_server.h"

#include "base/buf.h"

#include <jansson.h>

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* A scheduler as qiao-load sees it; some answers go wrong on purpose. */
struct scheduler {
    atomic_int chats;
    atomic_int models;
    int refuse_every;    // 0: never
    bool close_after;    // each answer, without saying so: a kept connection breaks
    bool silent;         // chats are never answered
    bool cut;            // streams end in the middle
    bool leaves;         // once it has named its models it refuses connections
    bool stalls;         // once it has named its models it neither takes nor refuses them
    bool mute;           // chats end without a byte
    int cut_behind;      // streams have ids, and end behind this one; 0: they have none
    const char *refusal; // the status of every second chat
    struct fake_server *server;
    char key[80];     // the latest Idempotency-Key; "": none
    char last_id[16]; // the latest Last-Event-ID
};

/* The header's value out of a request's head; "" when it is not there. */
static void copy_header(const char *head, const char *name, char *out, size_t size)
{
    const char *at = strstr(head, name);
    if (at) at += strlen(name);
    snprintf(out, size, "%.*s", at ? (int)strcspn(at, "\r") : 0, at ? at : "");
}

/* Five events with ids; those up to `after` were sent before, by whomever. */
static void numbered_answer(int socket, int after, int cut_behind)
{
    static const char *const events[] = {
        "{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}",
        "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}",
        "{\"choices\":[{\"delta\":{\"content\":\"b\"}}]}",
        "{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}",
        "{\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":2}}"};
    fake_begin_events(socket);
    for (int id = after + 1; id <= 5; id++) {
        fake_numbered_event(socket, id, events[id - 1]);
        if (id == cut_behind) return;
    }
    fake_event(socket, "[DONE]");
    fake_end_events(socket);
}

static void stream_answer(int socket, bool cut)
{
    fake_begin_events(socket);
    fake_event(socket, "{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}");
    fake_event(socket, "{\"choices\":[{\"delta\":{\"content\":\"a\\u0000\"}}]}");
    fake_event(socket, "{\"choices\":[{\"delta\":{\"content\":\"b\"}}]}");
    if (cut) return;
    fake_event(socket, "{\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}");
    fake_event(socket, "{\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":2,"
                       "\"prompt_tokens_details\":{\"cached_tokens\":3}}}");
    fake_event(socket, "[DONE]");
    fake_end_events(socket);
}

static bool answer(void *argument, int socket, const struct fake_request *request)
{
    struct scheduler *scheduler = argument;
    if (strncmp(request->head, "GET /v1/models ", 15) == 0) {
        scheduler->models++;
        if (scheduler->leaves) fake_server_leave(scheduler->server);
        if (scheduler->stalls) fake_server_stall(scheduler->server);
        fake_json(socket, "200 OK", "{\"data\":[{\"id\":\"tiny\"},{\"id\":\"other\"}]}");
        return true;
    }
    int number = ++scheduler->chats;
    bool right = strncmp(request->head, "POST /v1/chat/completions ", 26) == 0 &&
                 strstr(request->head, "Authorization: Bearer sk-test") &&
                 strstr(request->body, "\"model\":\"tiny\"");
    copy_header(request->head, "\r\nIdempotency-Key: ", scheduler->key, sizeof scheduler->key);
    copy_header(request->head, "\r\nLast-Event-ID: ", scheduler->last_id,
                sizeof scheduler->last_id);
    if (scheduler->mute) return false;
    if (scheduler->cut_behind) {
        numbered_answer(socket, (int)strtol(scheduler->last_id, NULL, 10), scheduler->cut_behind);
        return false;
    }
    if (!right) {
        fake_json(socket, "400 Bad Request", "{\"error\":{\"code\":\"invalid_request\"}}");
    } else if (scheduler->silent) {
        char byte;
        while (recv(socket, &byte, 1, 0) > 0)
            ;
        return false;
    } else if (scheduler->refusal && number % 2 == 1) {
        fake_json(socket, scheduler->refusal, "{\"error\":{\"code\":\"overloaded\"}}");
    } else if (scheduler->refuse_every && number % scheduler->refuse_every == 0) {
        fake_json(socket, "503 Service Unavailable",
                  "{\"error\":{\"code\":\"overloaded\",\"message\":\"full\"}}");
    } else if (strstr(request->body, "\"stream\":true")) {
        stream_answer(socket, scheduler->cut);
    } else {
        fake_json(socket, "200 OK",
                  "{\"choices\":[{\"message\":{\"content\":\"ab\\u0000\"}}],"
                  "\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":2}}");
    }
    return !scheduler->close_after && !scheduler->cut;
}

/* Run the program with these flags and read its stdout; *json gets it parsed, NULL where it is no
 * JSON. When `interrupt` is not NULL, SIGINT is sent once that scheduler has three requests. The
 * environment is empty, so that no QIAO_ variable of the machine has a say. */
static int run(const char *const *flags, size_t count, struct scheduler *interrupt, json_t **json)
{
    char *arguments[32] = {strdup(QIAO_LOAD)};
    assert_true(count < 30);
    for (size_t i = 0; i < count; i++)
        arguments[i + 1] = strdup(flags[i]);
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(pipes[1], STDOUT_FILENO);
        close(pipes[0]);
        close(pipes[1]);
        char *environment[] = {NULL};
        execve(QIAO_LOAD, arguments, environment);
        _exit(127);
    }
    close(pipes[1]);
    while (interrupt && interrupt->chats < 3)
        usleep(10000);
    if (interrupt) kill(child, SIGINT);
    struct buf out = {0};
    char bytes[4096];
    ssize_t got;
    while ((got = read(pipes[0], bytes, sizeof bytes)) > 0)
        buf_add(&out, bytes, (size_t)got);
    close(pipes[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (json) *json = json_loadb(buf_text(&out), out.size, 0, NULL);
    buf_fini(&out);
    for (size_t i = 0; i <= count; i++)
        free(arguments[i]);
    return WEXITSTATUS(status);
}

#define RUN(interrupt, json, ...)                                                              \
    run((const char *[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), \
        interrupt, json)

static json_int_t number(json_t *json, const char *part, const char *name)
{
    const json_t *value = json_object_get(json_object_get(json, part), name);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static double real(json_t *json, const char *part, const char *name)
{
    const json_t *value = json_object_get(json_object_get(json, part), name);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void a_closed_loop_counts_requests_tokens_and_times(void **state)
{
    (void)state;
    struct scheduler scheduler = {0};
    struct fake_server server;
    fake_server_start(&server, answer, &scheduler);
    json_t *json = NULL;
    assert_int_equal(RUN(NULL, &json, "--url", server.url, "--key", "sk-test", "--requests", "50",
                         "--concurrency", "4", "--prompt-tokens", "5-10", "--json", "-"),
                     0);
    assert_non_null(json);
    assert_int_equal(number(json, "requests", "started"), 50);
    assert_int_equal(number(json, "requests", "answered"), 50);
    assert_int_equal(number(json, "requests", "failed"), 0);
    assert_int_equal(number(json, "tokens", "prompt"), 50 * 11);
    assert_int_equal(number(json, "tokens", "cached"), 50 * 3);
    assert_int_equal(number(json, "tokens", "completion"), 50 * 2);
    assert_int_equal(number(json, "tokens", "content_events"), 50 * 2);
    assert_int_equal(number(json, "first_token_ms", "count"), 50);
    assert_int_equal(number(json, "between_tokens_ms", "count"), 50);
    assert_int_equal(number(json, "whole_answer_ms", "count"), 50);
    assert_true(real(json, "first_token_ms", "p50") > 0);
    assert_true(real(json, "whole_answer_ms", "p99") >= real(json, "first_token_ms", "p50"));
    assert_int_equal(json_object_size(json_object_get(json, "errors")), 0);
    assert_string_equal(json_string_value(json_object_get(json, "model")), "tiny");
    assert_int_equal(scheduler.chats, 50);
    assert_int_equal(scheduler.models, 1);
    assert_true(fake_server_count(&server) <=
                5); // four kept connections and the one that asked for models
    json_decref(json);
    fake_server_stop(&server);
}

static void refusals_are_counted_by_status_and_code(void **state)
{
    (void)state;
    struct scheduler scheduler = {.refuse_every = 5};
    struct fake_server server;
    fake_server_start(&server, answer, &scheduler);
    json_t *json = NULL;
    assert_int_equal(RUN(NULL, &json, "--url", server.url, "--key", "sk-test", "--requests", "20",
                         "--concurrency", "2", "--prompt-tokens", "5", "--json", "-"),
                     1);
    assert_int_equal(number(json, "requests", "answered"), 16);
    assert_int_equal(number(json, "requests", "failed"), 4);
    assert_int_equal(number(json, "errors", "http 503 overloaded"), 4);
    assert_int_equal(number(json, "whole_answer_ms", "count"), 16);
    json_decref(json);
    fake_server_stop(&server);
}

static void two_schedulers_share_an_open_loop_of_whole_answers(void **state)
{
    (void)state;
    struct scheduler schedulers[2] = {{0}, {0}};
    struct fake_server servers[2];
    for (int i = 0; i < 2; i++)
        fake_server_start(&servers[i], answer, &schedulers[i]);
    char both[160];
    snprintf(both, sizeof both, "%s,%s", servers[0].url, servers[1].url);
    json_t *json = NULL;
    assert_int_equal(RUN(NULL, &json, "--url", both, "--key", "sk-test", "--model", "tiny",
                         "--rate", "400", "--max-outstanding", "60", "--requests", "40",
                         "--no-stream", "--prompt-tokens", "5", "--json", "-"),
                     0);
    assert_string_equal(json_string_value(json_object_get(json, "mode")), "open");
    assert_int_equal(number(json, "requests", "answered"), 40);
    assert_int_equal(number(json, "tokens", "completion"), 80);
    assert_int_equal(number(json, "first_token_ms", "count"), 0);
    assert_int_equal(schedulers[0].chats, 20);
    assert_int_equal(schedulers[1].chats, 20);
    json_decref(json);
    for (int i = 0; i < 2; i++)
        fake_server_stop(&servers[i]);
}

static void an_arrival_beyond_the_bound_is_an_overrun_and_silence_a_timeout(void **state)
{
    (void)state;
    struct scheduler scheduler = {.silent = true};
    struct fake_server server;
    fake_server_start(&server, answer, &scheduler);
    json_t *json = NULL;
    assert_int_equal(RUN(NULL, &json, "--url", server.url, "--key", "sk-test", "--rate", "2000",
                         "--max-outstanding", "3", "--requests", "10", "--timeout", "2",
                         "--prompt-tokens", "5", "--json", "-"),
                     1);
    assert_int_equal(number(json, "requests", "failed"), 10);
    assert_int_equal(number(json, "errors", "overrun"), 7);
    assert_int_equal(number(json, "errors", "timeout"), 3);
    json_decref(json);
    fake_server_stop(&server);
}

static void a_cut_stream_is_broken_and_a_lost_kept_connection_is_not(void **state)
{
    (void)state;
    struct scheduler scheduler = {.cut = true};
    struct fake_server server;
    fake_server_start(&server, answer, &scheduler);
    json_t *json = NULL;
    assert_int_equal(RUN(NULL, &json, "--url", server.url, "--key", "sk-test", "--requests", "2",
                         "--concurrency", "1", "--prompt-tokens", "5", "--json", "-"),
                     1);
    assert_int_equal(number(json, "errors", "broken"), 2);
    json_decref(json);
    fake_server_stop(&server);

    struct scheduler closing = {.close_after = true};
    fake_server_start(&server, answer, &closing);
    assert_int_equal(RUN(NULL, &json, "--url", server.url, "--key", "sk-test", "--requests", "20",
                         "--concurrency", "2", "--prompt-tokens", "5", "--json", "-"),
                     0);
    assert_int_equal(number(json, "requests", "answered"), 20);
    json_decref(json);
    fake_server_stop(&server);
}

/* Two schedulers, the second one good; what `flags` ask is asked of both in turn. */
static int run_with_two(struct scheduler *schedulers, const char *const *flags, size_t count,
                        json_t **json)
{
    struct fake_server servers[2];
    const char *all[24] = {"--key", "sk-test",         "--model", "tiny",   "--concurrency",
                           "1",     "--prompt-tokens", "5",       "--json", "-"};
    char both[160];
    for (int i = 0; i < 2; i++) {
        schedulers[i].server = &servers[i];
        fake_server_start(&servers[i], answer, &schedulers[i]);
    }
    snprintf(both, sizeof both, "--url=%s,%s", servers[0].url, servers[1].url);
    all[10] = both;
    assert_true(count <= 12);
    memcpy(all + 11, flags, count * sizeof *flags);
    int code = run(all, 11 + count, NULL, json);
    for (int i = 0; i < 2; i++)
        fake_server_stop(&servers[i]);
    return code;
}

#define RUN_WITH_TWO(schedulers, json, ...)                 \
    run_with_two(schedulers, (const char *[]){__VA_ARGS__}, \
                 sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), json)

static void a_refused_connection_is_tried_at_the_next_url_and_is_no_failure(void **state)
{
    (void)state;
    struct scheduler schedulers[2] = {{.leaves = true}, {0}};
    json_t *json = NULL;
    assert_int_equal(RUN_WITH_TWO(schedulers, &json, "--requests", "10"), 0);
    assert_int_equal(number(json, "requests", "answered"), 10);
    assert_int_equal(number(json, "requests", "retries"), 5);
    assert_int_equal(number(json, "requests", "resumes"), 0);
    assert_int_equal(schedulers[0].chats, 0);
    assert_int_equal(schedulers[1].chats, 10);
    json_decref(json);
}

/* The request's own timeout is two minutes: without one of the connection the run would take that long. */
static void an_address_that_swallows_everything_does_not_hang_the_run(void **state)
{
    (void)state;
    struct scheduler schedulers[2] = {{.stalls = true}, {0}};
    json_t *json = NULL;
    alarm(240);
    assert_int_equal(RUN_WITH_TWO(schedulers, &json, "--requests", "4", "--connect-timeout", "2"),
                     0);
    assert_int_equal(number(json, "requests", "answered"), 4);
    assert_int_equal(number(json, "requests", "retries"), 2);
    assert_int_equal(schedulers[1].chats, 4);
    assert_true(real(json, "whole_answer_ms", "max") >= 2000); // the wait is in the figures
    json_decref(json);

    struct scheduler alone[2] = {{.stalls = true}, {.stalls = true}};
    assert_int_equal(
        RUN_WITH_TWO(alone, &json, "--requests", "2", "--connect-timeout", "2", "--retries", "0"),
        1);
    assert_int_equal(number(json, "errors", "connect"), 2);
    json_decref(json);
    alarm(0);
}

static void a_connection_that_breaks_without_a_byte_is_tried_elsewhere_under_the_same_key(
    void **state)
{
    (void)state;
    struct scheduler schedulers[2] = {{.mute = true}, {0}};
    json_t *json = NULL;
    assert_int_equal(RUN_WITH_TWO(schedulers, &json, "--requests", "1"), 0);
    assert_int_equal(number(json, "requests", "retries"), 1);
    assert_int_equal(strncmp(schedulers[0].key, "qiao-load-", 10), 0);
    assert_string_equal(schedulers[0].key, schedulers[1].key);
    assert_string_equal(schedulers[1].last_id, "");
    json_decref(json);
}

static void a_stream_that_breaks_goes_on_behind_its_last_event_elsewhere(void **state)
{
    (void)state;
    char files[2][64] = {"/tmp/qiao-load-XXXXXX", "/tmp/qiao-load-XXXXXX"}, lines[2][128] = {{0}};
    for (int i = 0; i < 2; i++) { // broken, then whole
        struct scheduler schedulers[2] = {{.cut_behind = i ? 99 : 2}, {.cut_behind = 99}};
        json_t *json = NULL;
        close(mkstemp(files[i]));
        assert_int_equal(RUN_WITH_TWO(schedulers, &json, "--requests", "1", "--answers", files[i]),
                         0);
        assert_int_equal(number(json, "requests", "resumes"), i ? 0 : 1);
        assert_int_equal(number(json, "requests", "retries"), 0);
        assert_int_equal(number(json, "tokens", "content_events"), 2);
        assert_int_equal(number(json, "between_tokens_ms", "count"), 1);
        assert_int_equal(number(json, "tokens", "completion"), 2);
        assert_string_equal(schedulers[1].key, i ? "" : schedulers[0].key);
        assert_string_equal(schedulers[1].last_id, i ? "" : "2");
        json_decref(json);
        FILE *file = fopen(files[i], "r");
        assert_non_null(fgets(lines[i], sizeof lines[i], file));
        fclose(file);
        unlink(files[i]);
    }
    assert_int_equal(strncmp(lines[0], "0 ok stop 2 ", 12), 0);
    assert_string_equal(lines[0], lines[1]);
}

static void a_conflict_with_an_earlier_sending_is_waited_out(void **state)
{
    (void)state;
    static const char conflict[] = "409 Conflict\r\nRetry-After: 1";
    struct scheduler schedulers[2] = {{.mute = true}, {.refusal = conflict}};
    json_t *json = NULL;
    // The second scheduler still sees the first sending; it is the first one that is then asked.
    assert_int_equal(RUN_WITH_TWO(schedulers, &json, "--requests", "1"), 0);
    assert_int_equal(number(json, "requests", "retries"), 3);
    assert_true(real(json, "whole_answer_ms", "p50") >= 990);
    json_decref(json);
    // Where nothing was sent before, a conflict is the answer.
    struct scheduler others[2] = {{.refusal = conflict}, {0}};
    assert_int_equal(RUN_WITH_TWO(others, &json, "--requests", "1"), 1);
    assert_int_equal(number(json, "errors", "http 409 overloaded"), 1);
    json_decref(json);
}

static void retries_are_bounded_and_without_them_there_is_no_key(void **state)
{
    (void)state;
    struct scheduler schedulers[2] = {{.mute = true}, {.mute = true}};
    json_t *json = NULL;
    assert_int_equal(RUN_WITH_TWO(schedulers, &json, "--requests", "1", "--retries", "3"), 1);
    assert_int_equal(number(json, "errors", "broken"), 1);
    assert_int_equal(number(json, "requests", "retries"), 3);
    assert_int_equal(schedulers[0].chats + schedulers[1].chats, 4);
    json_decref(json);
    schedulers[0].chats = schedulers[1].chats = 0;
    assert_int_equal(RUN_WITH_TWO(schedulers, &json, "--requests", "1", "--retries", "0"), 1);
    assert_int_equal(schedulers[0].chats + schedulers[1].chats, 1);
    assert_string_equal(schedulers[0].key, "");
    json_decref(json);
}

static void a_refusal_is_an_error_until_retry_says_otherwise_and_then_its_wait_is_measured(
    void **state)
{
    (void)state;
    struct scheduler scheduler = {.refusal = "503 Service Unavailable\r\nRetry-After: 1"};
    struct fake_server server;
    json_t *json = NULL;
    fake_server_start(&server, answer, &scheduler);
    assert_int_equal(RUN(NULL, &json, "--url", server.url, "--key", "sk-test", "--requests", "2",
                         "--concurrency", "1", "--prompt-tokens", "5", "--json", "-"),
                     1);
    assert_int_equal(number(json, "errors", "http 503 overloaded"), 1);
    json_decref(json);
    assert_int_equal(RUN(NULL, &json, "--url", server.url, "--key", "sk-test", "--requests", "1",
                         "--concurrency", "1", "--prompt-tokens", "5", "--retry", "--json", "-"),
                     0);
    assert_int_equal(number(json, "requests", "refusals_retried"), 1);
    assert_true(real(json, "whole_answer_ms", "p50") >= 990);
    assert_true(real(json, "first_token_ms", "p50") >= 990);
    json_decref(json);
    fake_server_stop(&server);
}

static void an_interrupt_ends_the_run_and_shows_what_was_measured(void **state)
{
    (void)state;
    struct scheduler scheduler = {.silent = true};
    struct fake_server server;
    fake_server_start(&server, answer, &scheduler);
    json_t *json = NULL;
    assert_int_equal(RUN(&scheduler, &json, "--url", server.url, "--key", "sk-test", "--duration",
                         "60", "--concurrency", "3", "--prompt-tokens", "5", "--json", "-"),
                     0);
    assert_non_null(json);
    assert_int_equal(number(json, "requests", "given_up"), 3);
    assert_int_equal(number(json, "requests", "failed"), 0);
    json_decref(json);
    fake_server_stop(&server);
}

static void wrong_settings_and_closed_ports_exit_with_two(void **state)
{
    (void)state;
    char url[64];
    fake_closed_url(url, sizeof url);
    assert_int_equal(RUN(NULL, NULL, "--url", url, "--requests", "1"), 2);
    assert_int_equal(RUN(NULL, NULL, "--url", "ftp://x"), 2);
    assert_int_equal(RUN(NULL, NULL, "--prompt-tokens", "9-5"), 2);
    assert_int_equal(RUN(NULL, NULL, "--language", "xx"), 2);
    assert_int_equal(RUN(NULL, NULL, "--retry", "--retries", "0"), 2);
    assert_int_equal(RUN(NULL, NULL, "word"), 2);
    assert_int_equal(RUN(NULL, NULL, "--help"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_closed_loop_counts_requests_tokens_and_times),
        cmocka_unit_test(refusals_are_counted_by_status_and_code),
        cmocka_unit_test(two_schedulers_share_an_open_loop_of_whole_answers),
        cmocka_unit_test(an_arrival_beyond_the_bound_is_an_overrun_and_silence_a_timeout),
        cmocka_unit_test(a_cut_stream_is_broken_and_a_lost_kept_connection_is_not),
        cmocka_unit_test(a_refused_connection_is_tried_at_the_next_url_and_is_no_failure),
        cmocka_unit_test(an_address_that_swallows_everything_does_not_hang_the_run),
        cmocka_unit_test(
            a_connection_that_breaks_without_a_byte_is_tried_elsewhere_under_the_same_key),
        cmocka_unit_test(a_stream_that_breaks_goes_on_behind_its_last_event_elsewhere),
        cmocka_unit_test(a_conflict_with_an_earlier_sending_is_waited_out),
        cmocka_unit_test(retries_are_bounded_and_without_them_there_is_no_key),
        cmocka_unit_test(
            a_refusal_is_an_error_until_retry_says_otherwise_and_then_its_wait_is_measured),
        cmocka_unit_test(an_interrupt_ends_the_run_and_shows_what_was_measured),
        cmocka_unit_test(wrong_settings_and_closed_ports_exit_with_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
