#include "client/load/reading.h"

#include "base/digest.h"

#include <jansson.h>

#include <stdio.h>
#include <string.h>

/* "http 503 overloaded": the code is the server's text, so only what a name is made of is taken. */
static void note_error(struct outcome *outcome, const char *prefix, const char *json, size_t size)
{
    char code[40] = "";
    json_t *root = json_loadb(json, size, 0, NULL);
    const char *text = json_string_value(json_object_get(json_object_get(root, "error"), "code"));
    if (text) snprintf(code, sizeof code, " %.38s", text);
    size_t whole = 1 + strspn(code + (*code != 0), "abcdefghijklmnopqrstuvwxyz"
                                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");
    code[*code ? whole : 0] = '\0';
    snprintf(outcome->kind, sizeof outcome->kind, "%s%s", prefix, code);
    json_decref(root);
}

static void read_usage(struct outcome *outcome, const json_t *usage)
{
    if (!json_is_object(usage)) return;
    const json_t *details = json_object_get(usage, "prompt_tokens_details");
    json_int_t counts[] = {json_integer_value(json_object_get(usage, "prompt_tokens")),
                           json_integer_value(json_object_get(details, "cached_tokens")),
                           json_integer_value(json_object_get(usage, "completion_tokens"))};
    for (size_t i = 0; i < 3; i++)
        if (counts[i] < 0 || counts[i] > UINT32_MAX) return;
    outcome->has_usage = true;
    outcome->prompt_tokens = (uint64_t)counts[0];
    outcome->cached_tokens = (uint64_t)counts[1];
    outcome->completion_tokens = (uint64_t)counts[2];
}

/* Text of the answer and the reason of its end: a choice's `delta` or `message` is `holder`. */
static void read_choice(struct reading *reading, const json_t *choice, const char *holder)
{
    const json_t *content = json_object_get(json_object_get(choice, holder), "content");
    const char *reason = json_string_value(json_object_get(choice, "finish_reason"));
    struct outcome *outcome = &reading->outcome;
    if (reason) snprintf(outcome->finish, sizeof outcome->finish, "%s", reason);
    if (!reading->digested || json_string_length(content) == 0) return;
    if (!reading->digester) reading->digester = digester_new();
    digester_add(reading->digester, json_string_value(content), json_string_length(content));
}

static void forget_content(struct reading *reading)
{
    if (reading->digester) (void)digester_end(reading->digester);
    reading->digester = NULL;
}

static void note_content(struct reading *reading)
{
    struct tally *tally = reading->tally;
    tally->content_events++;
    if (reading->outcome.first_ns == 0)
        reading->outcome.first_ns = reading->now_ns;
    else
        histogram_add(&tally->gap, reading->now_ns - reading->previous_ns);
    reading->previous_ns = reading->now_ns;
}

static void on_event(void *argument, const char *data, size_t size)
{
    struct reading *reading = argument;
    memcpy(reading->last_id, reading->sse.last_id, sizeof reading->last_id);
    if (strcmp(data, "[DONE]") == 0) {
        reading->ended = true;
        return;
    }
    json_t *root = json_loadb(data, size, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(root)) reading->failure = err_note(ERR_FORMAT, "an event is not JSON");
    if (json_object_get(root, "error")) note_error(&reading->outcome, "stream", data, size);
    const json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
    const json_t *content = json_object_get(json_object_get(choice, "delta"), "content");
    if (json_string_length(content) > 0) note_content(reading);
    read_choice(reading, choice, "delta");
    read_usage(&reading->outcome, json_object_get(root, "usage"));
    json_decref(root);
}

static void on_body(void *argument, const char *bytes, size_t size)
{
    struct reading *reading = argument;
    if (reading->failure) return;
    bool events =
        reading->stream && reading->response.event_stream && reading->response.status / 100 == 2;
    if (events)
        reading->failure = sse_push(&reading->sse, bytes, size);
    else
        buf_add(&reading->body, bytes, size);
    if (reading->body.overflow) reading->failure = err_note(ERR_TOO_LARGE, "a large answer");
}

void reading_start(struct reading *reading, uint64_t intended_ns, uint64_t sent_ns)
{
    forget_content(reading);
    reading->last_id[0] = '\0';
    reading->outcome = (struct outcome){.intended_ns = intended_ns, .sent_ns = sent_ns};
}

void reading_begin(struct reading *reading)
{
    response_fini(&reading->response);
    sse_fini(&reading->sse);
    buf_clear(&reading->body);
    reading->body.limit = READING_BODY_MAX;
    response_init(&reading->response, on_body, reading);
    sse_init(&reading->sse, on_event, reading);
    memcpy(reading->sse.coming_id, reading->last_id, sizeof reading->last_id);
    reading->ended = false;
    reading->failure = ERR_OK;
}

void reading_fini(struct reading *reading)
{
    forget_content(reading);
    response_fini(&reading->response);
    sse_fini(&reading->sse);
    buf_fini(&reading->body);
}

enum err reading_push(struct reading *reading, const char *bytes, size_t size, uint64_t now_ns,
                      size_t *used)
{
    reading->now_ns = now_ns;
    TRY(response_push(&reading->response, bytes, size, used));
    return reading->failure;
}

bool reading_is_blank(const struct reading *reading)
{
    const struct response *response = &reading->response;
    return response->state == RESPONSE_STATUS && response->status == 0 && response->line.size == 0;
}

bool reading_can_go_on(const struct reading *reading)
{
    return !reading->failure && !reading->outcome.kind[0] &&
           (reading->last_id[0] || reading->outcome.first_ns == 0);
}

static const char *judge_body(struct reading *reading)
{
    // A model may say a NUL.
    json_t *root = json_loadb(buf_text(&reading->body), reading->body.size, JSON_ALLOW_NUL, NULL);
    const json_t *choices = json_object_get(root, "choices");
    bool good = json_array_size(choices) > 0;
    read_choice(reading, json_array_get(choices, 0), "message");
    read_usage(&reading->outcome, json_object_get(root, "usage"));
    json_decref(root);
    return good ? "" : "bad answer";
}

const char *reading_judge(struct reading *reading)
{
    const char *kind = "";
    if (reading->response.status / 100 != 2) {
        char prefix[16];
        snprintf(prefix, sizeof prefix, "http %d", reading->response.status);
        note_error(&reading->outcome, prefix, buf_text(&reading->body), reading->body.size);
    } else if (!reading->stream) {
        kind = judge_body(reading);
    } else if (!reading->response.event_stream) {
        kind = "bad answer";
    } else if (!reading->ended) {
        kind = "broken";
    }
    if (reading->digester) reading->outcome.digest = digester_end(reading->digester);
    reading->digester = NULL;
    return kind;
}
