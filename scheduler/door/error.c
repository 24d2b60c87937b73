#include "scheduler/door/http.h"
#include "scheduler/door/json.h"

#include "base/buf.h"

#include <stdio.h>

static const char *type_of(int status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 429: return "rate_limit_error";
    default: return status < 500 ? "invalid_request_error" : "server_error";
    }
}

void http_write_error(struct buf *out, const struct http_error *error)
{
    const char *message = error->message && *error->message ? error->message : NULL;
    buf_add_text(out, "{\"error\":{\"message\":");
    json_write_string(out, message ? message : err_phrase(error->err));
    buf_addf(out, ",\"type\":\"%s\",\"param\":", type_of(err_http_status(error->err)));
    if (error->param && *error->param)
        json_write_string(out, error->param);
    else
        buf_add_text(out, "null");
    buf_add_text(out, ",\"code\":");
    json_write_string(out, error->code ? error->code : err_api_code(error->err));
    if (error->more && *error->more) buf_addf(out, ",%s", error->more);
    buf_add_text(out, "}}");
}

void http_reply_error(struct http_request *request, const struct http_error *error)
{
    struct buf body = {0};
    http_write_error(&body, error);
    int status = err_http_status(error->err);
    bool ends = status == 403 && error->retry_seconds > 0; // a suspension
    if (status == 429 || status == 503 || ends) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%u", error->retry_seconds ? error->retry_seconds : 1);
        http_set_header(request, "Retry-After", seconds);
    }
    if (status == 401) http_set_header(request, "WWW-Authenticate", "Bearer");
    http_reply_json(request, status, body.data, body.size);
    buf_fini(&body);
}
