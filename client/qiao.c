#include "client/qiao.h"

#include "client/response.h"
#include "client/socket.h"
#include "client/sse.h"

#include "base/mem.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BODY_MAX = 16 << 20,
    CONNECT_MS = 5000,
    READ_SIZE = 16 << 10
};

struct qiao {
    struct address address;
    enum err wrong; // of the URL
    char *key;
    char *user;
    char *region;
    char *language;
    char *system;
    uint32_t timeout_ms;
    char error[ERR_NOTE_MAX];
    char code[64];
    int http_status;
    unsigned retry_after;
};

struct qiao *qiao_new(const char *url, const char *key)
{
    struct qiao *qiao = mem_new(1, sizeof *qiao);
    qiao->timeout_ms = 120000;
    qiao->key = mem_copy_text(key);
    qiao->wrong = address_parse(&qiao->address, url);
    if (qiao->wrong) snprintf(qiao->error, sizeof qiao->error, "%s", err_text());
    return qiao;
}

void qiao_free(struct qiao *qiao)
{
    if (!qiao) return;
    mem_free(qiao->key);
    mem_free(qiao->user);
    mem_free(qiao->region);
    mem_free(qiao->language);
    mem_free(qiao->system);
    mem_free(qiao);
}

void qiao_set_timeout(struct qiao *qiao, unsigned seconds)
{
    qiao->timeout_ms = seconds < 86400 ? seconds * 1000 : 86400000;
}

void qiao_set_user(struct qiao *qiao, const char *user)
{
    mem_free(qiao->user);
    qiao->user = mem_copy_text(user);
}

void qiao_set_region(struct qiao *qiao, const char *region)
{
    mem_free(qiao->region);
    qiao->region = mem_copy_text(region);
}

void qiao_set_language(struct qiao *qiao, const char *language)
{
    mem_free(qiao->language);
    qiao->language = mem_copy_text(language);
}

void qiao_set_system(struct qiao *qiao, const char *system)
{
    mem_free(qiao->system);
    qiao->system = mem_copy_text(system);
}

const char *qiao_error(const struct qiao *qiao)
{
    return qiao->error;
}

int qiao_http_status(const struct qiao *qiao)
{
    return qiao->http_status;
}

const char *qiao_code(const struct qiao *qiao)
{
    return qiao->code;
}

unsigned qiao_retry_after(const struct qiao *qiao)
{
    return qiao->retry_after;
}

void qiao_free_text(char *text)
{
    mem_free(text);
}

static void forget_failure(struct qiao *qiao)
{
    qiao->http_status = 0;
    qiao->retry_after = 0;
    qiao->code[0] = '\0';
}

/* Keep the note of this thread's latest failure. */
static enum qiao_status failed(struct qiao *qiao, enum qiao_status status)
{
    snprintf(qiao->error, sizeof qiao->error, "%s", err_text());
    return status;
}

// ---- one exchange ------------------------------------------------------------------------------

struct exchange {
    struct qiao *qiao;
    struct response response;
    struct buf body;  // of a plain answer or of an error
    struct sse sse;   // of a stream
    bool streaming;   // the caller wants events
    enum err failure; // found in a body callback
};

static void on_body(void *argument, const char *bytes, size_t size)
{
    struct exchange *exchange = argument;
    if (exchange->failure) return;
    if (exchange->streaming && exchange->response.event_stream)
        exchange->failure = sse_push(&exchange->sse, bytes, size);
    else
        buf_add(&exchange->body, bytes, size);
    if (exchange->body.overflow)
        exchange->failure = err_note(ERR_TOO_LARGE, "the answer has more than %d bytes", BODY_MAX);
}

/* A header value of ours must not hold a line end: it would begin another header. */
static enum err add_header(struct buf *out, const char *name, const char *value)
{
    if (!value) return ERR_OK;
    if (strpbrk(value, "\r\n")) return err_note(ERR_INVALID, "%s: a line end is not allowed", name);
    buf_addf(out, "%s: %s\r\n", name, value);
    return ERR_OK;
}

static enum err write_request(struct qiao *qiao, const char *method, const char *path,
                              const char *json, struct buf *out)
{
    if (strpbrk(path, " \r\n")) return err_note(ERR_INVALID, "'%s' is not a path", path);
    bool ipv6 = strchr(qiao->address.host, ':') != NULL;
    buf_addf(out, "%s %s HTTP/1.1\r\nHost: %s%s%s:%s\r\nConnection: close\r\n", method, path,
             ipv6 ? "[" : "", qiao->address.host, ipv6 ? "]" : "", qiao->address.port);
    if (qiao->key) {
        struct buf bearer = {0};
        buf_addf(&bearer, "Bearer %s", qiao->key);
        enum err err = add_header(out, "Authorization", buf_text(&bearer));
        buf_fini(&bearer);
        TRY(err);
    }
    TRY(add_header(out, "X-Qiao-User", qiao->user));
    TRY(add_header(out, "X-Qiao-Region", qiao->region));
    TRY(add_header(out, "X-Qiao-OS", qiao->system));
    TRY(add_header(out, "Accept-Language", qiao->language));
    if (json || strcmp(method, "POST") == 0)
        buf_addf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                 json ? strlen(json) : 0);
    buf_add_text(out, "\r\n");
    if (json) buf_add_text(out, json);
    return ERR_OK;
}

static enum err read_answer(struct exchange *exchange, int socket)
{
    char bytes[READ_SIZE];
    while (exchange->response.state != RESPONSE_END) {
        size_t got, used;
        TRY(socket_read(socket, bytes, sizeof bytes, &got, exchange->qiao->timeout_ms));
        if (got == 0) return response_close(&exchange->response);
        TRY(response_push(&exchange->response, bytes, got, &used));
        if (exchange->failure) return exchange->failure;
    }
    return ERR_OK;
}

/* {"error": {"message": …, "code": …}} into the handle; any other body is shown by its status. */
static void read_error(struct qiao *qiao, const char *body, size_t size)
{
    const char *message = NULL, *code = NULL;
    json_t *root = json_loadb(body, size, 0, NULL);
    json_t *error = json_object_get(root, "error");
    message = json_string_value(json_object_get(error, "message"));
    code = json_string_value(json_object_get(error, "code"));
    if (message)
        snprintf(qiao->error, sizeof qiao->error, "%s", message);
    else
        snprintf(qiao->error, sizeof qiao->error, "the server answered with status %d",
                 qiao->http_status);
    snprintf(qiao->code, sizeof qiao->code, "%s", code ? code : "");
    json_decref(root);
}

static enum qiao_status exchange_run(struct exchange *exchange, const char *method,
                                     const char *path, const char *json)
{
    struct qiao *qiao = exchange->qiao;
    forget_failure(qiao);
    if (qiao->wrong) return QIAO_INVALID;

    struct buf request = {0};
    int socket = -1;
    enum qiao_status status = QIAO_OK;
    if (write_request(qiao, method, path, json, &request)) {
        status = failed(qiao, QIAO_INVALID);
    } else if (socket_connect(&socket, &qiao->address, CONNECT_MS)) {
        status = failed(qiao, QIAO_UNREACHABLE);
    } else if (socket_write(socket, request.data, request.size, qiao->timeout_ms)) {
        // A server that refuses early may close while we still write: its answer is worth more than
        // our error.
        status = failed(qiao, QIAO_BROKEN);
        if (read_answer(exchange, socket) == ERR_OK) status = QIAO_OK;
    } else if (read_answer(exchange, socket)) {
        status = failed(qiao, QIAO_BROKEN);
    }
    if (socket >= 0) close(socket);
    buf_fini(&request);
    if (status) return status;
    qiao->http_status = exchange->response.status;
    qiao->retry_after = exchange->response.retry_after;
    if (qiao->http_status / 100 == 2) return QIAO_OK;
    read_error(qiao, buf_text(&exchange->body), exchange->body.size);
    return QIAO_REFUSED;
}

static void exchange_init(struct exchange *exchange, struct qiao *qiao)
{
    *exchange = (struct exchange){.qiao = qiao, .body.limit = BODY_MAX};
    response_init(&exchange->response, on_body, exchange);
}

enum qiao_status qiao_request(struct qiao *qiao, const char *method, const char *path,
                              const char *json, char **body)
{
    struct exchange exchange;
    exchange_init(&exchange, qiao);
    enum qiao_status status = exchange_run(&exchange, method, path, json);
    if (status == QIAO_OK && body) *body = buf_take(&exchange.body);
    buf_fini(&exchange.body);
    response_fini(&exchange.response);
    return status;
}

// ---- chat --------------------------------------------------------------------------------------

struct chat {
    struct exchange exchange;
    qiao_delta_fn *delta;
    void *argument;
    struct qiao_usage usage;
    bool done;   // "[DONE]" came
    bool failed; // an error event came; the handle knows it
};

static uint32_t number_at(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));
    return value > 0 && value <= UINT32_MAX ? (uint32_t)value : 0;
}

static void read_usage(struct qiao_usage *usage, const json_t *object)
{
    if (!json_is_object(object)) return;
    usage->prompt_tokens = number_at(object, "prompt_tokens");
    usage->completion_tokens = number_at(object, "completion_tokens");
    usage->cached_tokens =
        number_at(json_object_get(object, "prompt_tokens_details"), "cached_tokens");
}

static void on_event(void *argument, const char *data, size_t size)
{
    struct chat *chat = argument;
    if (strcmp(data, "[DONE]") == 0) {
        chat->done = true;
        return;
    }
    json_t *root = json_loadb(data, size, JSON_ALLOW_NUL, NULL); // a model may say it
    if (json_object_get(root, "error")) {
        read_error(chat->exchange.qiao, data, size);
        chat->failed = true;
    }
    const json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
    const json_t *content = json_object_get(json_object_get(choice, "delta"), "content");
    if (json_string_length(content) > 0)
        chat->delta(chat->argument, json_string_value(content), json_string_length(content));
    const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
    if (finish) snprintf(chat->usage.finish_reason, sizeof chat->usage.finish_reason, "%s", finish);
    read_usage(&chat->usage, json_object_get(root, "usage"));
    json_decref(root);
}

/* What the caller chose; false when one of them is no JSON: a text that is not UTF-8, a number that is none.
 * Nothing of it is left out silently. */
static bool add_options(json_t *root, const struct qiao_chat_options *options)
{
    bool good = true;
    if (options->model)
        good &= json_object_set_new(root, "model", json_string(options->model)) == 0;
    if (options->session)
        good &= json_object_set_new(root, "session", json_string(options->session)) == 0;
    if (options->max_tokens > 0)
        good &= json_object_set_new(root, "max_tokens", json_integer(options->max_tokens)) == 0;
    if (!(options->temperature < 0))
        good &= json_object_set_new(root, "temperature", json_real(options->temperature)) == 0;
    if (options->has_seed) // beyond 2^63 - 1 as the negative number of the same bits
        good &= json_object_set_new(root, "seed", json_integer((json_int_t)options->seed)) == 0;
    return good;
}

/* The body of a chat request, to be freed with free(); NULL when a text is not UTF-8 or a number no JSON. */
static char *write_chat(const struct qiao_message *messages, size_t count,
                        const struct qiao_chat_options *options)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "role", messages[i].role, "content",
                                              messages[i].content));
    json_t *root = json_pack("{s:o, s:b, s:{s:b}}", "messages", list, "stream", 1, "stream_options",
                             "include_usage", 1);
    bool whole = root && json_array_size(list) == count && (!options || add_options(root, options));
    char *text = whole ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

enum qiao_status qiao_chat(struct qiao *qiao, const struct qiao_message *messages, size_t count,
                           const struct qiao_chat_options *options, qiao_delta_fn *delta,
                           void *argument, struct qiao_usage *usage)
{
    char *json = write_chat(messages, count, options);
    if (!json) {
        forget_failure(qiao);
        err_note(ERR_INVALID, "a message, the model or the session is not valid UTF-8, or the "
                              "temperature is no number");
        return failed(qiao, QIAO_INVALID);
    }
    struct chat chat = {.delta = delta, .argument = argument};
    exchange_init(&chat.exchange, qiao);
    chat.exchange.streaming = true;
    sse_init(&chat.exchange.sse, on_event, &chat);
    enum qiao_status status = exchange_run(&chat.exchange, "POST", "/v1/chat/completions", json);
    free(json);
    if (status == QIAO_OK && chat.failed) status = QIAO_REFUSED;
    if (status == QIAO_OK && !chat.done) {
        err_note(ERR_FORMAT, "the stream ended before the answer did");
        status = failed(qiao, QIAO_BROKEN);
    }
    if (usage) *usage = chat.usage;
    buf_fini(&chat.exchange.body);
    sse_fini(&chat.exchange.sse);
    response_fini(&chat.exchange.response);
    return status;
}
