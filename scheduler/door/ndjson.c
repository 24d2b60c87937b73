#include "scheduler/door/ndjson.h"

#include "scheduler/door/http.h"
#include "scheduler/door/json.h"

#include <string.h>

void ndjson_fail(struct ndjson_report *report, size_t line, enum err err)
{
    struct buf error = {0};
    http_write_error(
        &error, &(struct http_error){.err = err, .message = err_text(), .param = json_param()});
    if (report->error_count++ == 0) report->first = err;
    // the error's object has a brace of its own before it, which ours is put in place of
    buf_addf(&report->errors, "%s{\"%s\":%zu,%s", report->error_count > 1 ? "," : "",
             report->unit ? report->unit : "line", report->before + line, buf_text(&error) + 1);
    buf_fini(&error);
}

void ndjson_fini(struct ndjson_report *report)
{
    buf_fini(&report->errors);
}

/* One line was judged; the body as a whole may have too many of them, or too many bad ones. */
static enum err count_line(struct ndjson_report *report, const struct ndjson_limits *limits,
                           size_t line, enum err err)
{
    if (err) ndjson_fail(report, line, err);
    json_param_clear();
    if (report->error_count > NDJSON_ERRORS_MAX)
        return err_note(ERR_INVALID,
                        "more than %d lines are wrong, and nothing was done; the first error: %s",
                        NDJSON_ERRORS_MAX, err_phrase(report->first));
    if (++report->line_count > limits->lines)
        return err_note(ERR_TOO_LARGE, "a body has at most %zu lines; nothing was done",
                        limits->lines);
    return ERR_OK;
}

static enum err read_list(const char *body, size_t size, const struct ndjson_limits *limits,
                          ndjson_take_fn *take, void *argument, struct ndjson_report *report)
{
    json_t *list;
    enum err whole = json_read_list(&list, body, size);
    if (whole) return whole;
    for (size_t i = 0; i < json_array_size(list) && !whole; i++) {
        json_t *element = json_array_get(list, i);
        json_param_clear();
        enum err err = json_is_object(element)
                           ? take(argument, i + 1, element)
                           : err_note(ERR_INVALID, "the element must be a JSON object");
        whole = count_line(report, limits, i + 1, err);
    }
    json_decref(list);
    return whole;
}

static enum err read_line(const char *text, size_t size, const struct ndjson_limits *limits,
                          size_t line, ndjson_take_fn *take, void *argument)
{
    json_t *object;
    json_param_clear();
    if (size > limits->line_bytes)
        return err_note(ERR_TOO_LARGE, "the line has %zu bytes, at most %zu are taken", size,
                        limits->line_bytes);
    TRY(json_read_part(&object, "the line", text, size));
    json_param_clear();
    enum err err = take(argument, line, object);
    json_decref(object);
    return err;
}

static size_t blank_size(const char *text, size_t size)
{
    size_t blank = 0;
    while (blank < size && strchr(" \t\r\n", text[blank]) && text[blank])
        blank++;
    return blank;
}

enum err ndjson_read(const char *body, size_t size, const struct ndjson_limits *limits,
                     ndjson_take_fn *take, void *argument, struct ndjson_report *report)
{
    size_t begin = blank_size(body, size);
    json_param_clear();
    if (begin == size)
        return err_note(ERR_INVALID, "the body is empty: a JSON object a line was expected");
    if (body[begin] == '[') return read_list(body, size, limits, take, argument, report);
    size_t line = 0;
    for (size_t at = 0; at < size;) {
        const char *newline = memchr(body + at, '\n', size - at);
        size_t end = newline ? (size_t)(newline - body) : size;
        line++;
        if (blank_size(body + at, end - at) < end - at) {
            enum err err = read_line(body + at, end - at, limits, line, take, argument);
            TRY(count_line(report, limits, line, err));
        }
        at = end + 1;
    }
    return ERR_OK;
}

void ndjson_reply(struct http_request *request, const struct ndjson_report *report,
                  const char *head)
{
    struct buf body = {0};
    int status = 200;
    if (report->error_count > 0)
        status = report->error_count < report->line_count ? 207 : err_http_status(report->first);
    buf_addf(&body, "{%s,\"errors\":[", head);
    buf_add(&body, buf_text(&report->errors), report->errors.size);
    buf_add_text(&body, "]}");
    if (status == 503) http_set_header(request, "Retry-After", "1");
    http_reply_json(request, status, body.data, body.size);
    buf_fini(&body);
}
