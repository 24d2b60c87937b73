#include "scheduler/door/ask.h"

#include "scheduler/door/json.h"

#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TOKENS_MAX = 1 << 20,
    USER_MAX = 512
};

/* Parameters that we know and do not serve, and the value that is harmless. */
struct refused {
    const char *name;
    const char *harmless; // JSON text; NULL: an empty list or null alone
};

static const struct refused refused_of_chat[] = {
    {"tools", NULL},
    {"functions", NULL},
    {"tool_choice", "\"none\""},
    {"function_call", "\"none\""},
    {"audio", NULL},
    {"modalities", "[\"text\"]"},
    {"prediction", NULL},
    {"web_search_options", NULL},
};
static const struct refused refused_of_text[] = {
    {"suffix", "\"\""},
    {"echo", "false"},
    {"best_of", "1"},
    {"context", NULL},
};

static bool is_harmless(const json_t *value, const char *harmless)
{
    if (!harmless) return json_is_array(value) && json_array_size(value) == 0;
    json_t *want = json_loads(harmless, JSON_DECODE_ANY, NULL);
    bool equal = json_equal(value, want) == 1;
    json_decref(want);
    return equal;
}

static enum err check_refused(const json_t *root, const struct refused *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_find(root, rows[i].name);
        if (!value || is_harmless(value, rows[i].harmless)) continue;
        if (rows[i].harmless)
            return json_wrong(rows[i].name, "is not supported yet: leave it out or set it to %s",
                              rows[i].harmless);
        return json_wrong(rows[i].name, "is not supported yet: leave it out");
    }
    const json_t *format = json_find(root, "response_format");
    if (!format) return ERR_OK;
    const char *type = json_string_value(json_object_get(format, "type"));
    if (!type) return json_wrong("response_format", "must be an object with a type");
    if (strcmp(type, "text") == 0) return ERR_OK;
    return json_wrong("response_format", "of this type is not supported yet: only \"text\" is");
}

/* A content is a string, or a list of text parts, which become one string in the document. */
static enum err read_content(json_t *message, size_t index, const char **text, size_t *size)
{
    char param[JSON_PARAM_MAX];
    snprintf(param, sizeof param, "messages[%zu].content", index);
    json_t *content = json_object_get(message, "content");
    if (json_is_array(content)) {
        struct buf joined = {0};
        for (size_t i = 0; i < json_array_size(content); i++) {
            const json_t *part = json_array_get(content, i);
            const char *type = json_string_value(json_object_get(part, "type"));
            const json_t *words = json_object_get(part, "text");
            if (!type || strcmp(type, "text") != 0 || !json_is_string(words)) {
                buf_fini(&joined);
                snprintf(param, sizeof param, "messages[%zu].content[%zu]", index, i);
                return json_wrong(param,
                                  "must be {\"type\": \"text\", \"text\": string}: other parts "
                                  "are not supported");
            }
            buf_add(&joined, json_string_value(words), json_string_length(words));
        }
        content = json_stringn(buf_text(&joined), joined.size);
        buf_fini(&joined);
        json_object_set_new(message, "content", content);
    }
    if (!json_is_string(content)) return json_wrong(param, "must be a string");
    *text = json_string_value(content);
    *size = json_string_length(content);
    return ERR_OK;
}

static enum err read_message(struct chat_message *out, json_t *message, size_t index)
{
    char param[JSON_PARAM_MAX];
    snprintf(param, sizeof param, "messages[%zu]", index);
    if (!json_is_object(message)) return json_wrong(param, "must be an object");
    const char *role = json_string_value(json_object_get(message, "role"));
    snprintf(param, sizeof param, "messages[%zu].role", index);
    if (!role) return json_wrong(param, "must be a string");
    if (strcmp(role, "developer") == 0) role = "system"; // OpenAI's newer word for it
    if (strcmp(role, "system") != 0 && strcmp(role, "user") != 0 && strcmp(role, "assistant") != 0)
        return json_wrong(param, "must be system, developer, user or assistant, not '%.40s'", role);
    const json_t *calls = json_find(message, "tool_calls");
    if (calls && json_array_size(calls) > 0) {
        snprintf(param, sizeof param, "messages[%zu].tool_calls", index);
        return json_wrong(param, "is not supported yet");
    }
    out->role = role;
    out->role_size = strlen(role);
    return read_content(message, index, &out->content, &out->content_size);
}

static enum err read_messages(struct ask *ask)
{
    json_t *list = json_find(ask->root, "messages");
    if (!json_is_array(list) || json_array_size(list) == 0)
        return json_wrong("messages", "must be a list of at least one message");
    size_t count = json_array_size(list);
    if (count > TEMPLATE_MESSAGES_MAX)
        return json_wrong("messages", "must be at most %d messages", TEMPLATE_MESSAGES_MAX);
    ask->messages = mem_new(count, sizeof *ask->messages);
    ask->message_count = count;
    for (size_t i = 0; i < count; i++)
        TRY(read_message(&ask->messages[i], json_array_get(list, i), i));
    return ERR_OK;
}

static enum err read_prompt(struct ask *ask)
{
    const json_t *prompt = json_find(ask->root, "prompt");
    if (json_is_array(prompt) && json_array_size(prompt) == 1 &&
        json_is_string(json_array_get(prompt, 0)))
        prompt = json_array_get(prompt, 0);
    if (json_is_string(prompt)) {
        ask->prompt = json_string_value(prompt);
        ask->prompt_size = json_string_length(prompt);
        return ERR_OK;
    }
    if (!json_is_array(prompt) || json_array_size(prompt) == 0)
        return json_wrong("prompt",
                          "must be a string, a list of one string, or a list of token ids");
    size_t count = json_array_size(prompt);
    ask->ids = mem_new(count, sizeof *ask->ids);
    ask->id_count = count;
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_array_get(prompt, i);
        if (json_is_string(id))
            return json_wrong("prompt", "must be one string: several are not supported");
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) > INT32_MAX) {
            char param[JSON_PARAM_MAX];
            snprintf(param, sizeof param, "prompt[%zu]", i);
            return json_wrong(param, "must be a token id");
        }
        ask->ids[i] = (int32_t)json_integer_value(id);
    }
    return ERR_OK;
}

static enum err add_stop(struct ask *ask, const json_t *value)
{
    size_t size = json_string_length(value);
    if (!json_is_string(value)) return json_wrong("stop", "must be a string or a list of strings");
    if (size == 0 || size > STREAM_STOP_SIZE_MAX)
        return json_wrong("stop", "must hold strings of 1 to %d bytes", STREAM_STOP_SIZE_MAX);
    ask->stops[ask->stop_count++] = (struct stream_stop){json_string_value(value), size};
    return ERR_OK;
}

static enum err read_stops(struct ask *ask)
{
    const json_t *stop = json_find(ask->root, "stop");
    if (!stop) return ERR_OK;
    if (!json_is_array(stop)) return add_stop(ask, stop);
    if (json_array_size(stop) > STREAM_STOPS_MAX)
        return json_wrong("stop", "must be at most %d strings", STREAM_STOPS_MAX);
    for (size_t i = 0; i < json_array_size(stop); i++)
        TRY(add_stop(ask, json_array_get(stop, i)));
    return ERR_OK;
}

static enum err read_bias(struct ask *ask)
{
    json_t *map = json_find(ask->root, "logit_bias");
    if (!map) return ERR_OK;
    if (!json_is_object(map) || json_object_size(map) > WIRE_LOGIT_BIAS_MAX)
        return json_wrong("logit_bias", "must be an object of at most %d token ids",
                          WIRE_LOGIT_BIAS_MAX);
    ask->bias = mem_new(json_object_size(map) + 1, sizeof *ask->bias);
    ask->sampling.bias = ask->bias;
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value)
    {
        char *end;
        errno = 0;
        long id = strtol(key, &end, 10);
        if (end == key || *end || errno || id < 0 || id > INT32_MAX || *key == ' ')
            return json_wrong("logit_bias", "must have token ids as its keys");
        double bias = json_number_value(value);
        if (!json_is_number(value) || !(bias >= -100 && bias <= 100))
            return json_wrong("logit_bias", "must have numbers from -100 to 100 as its values");
        ask->bias[ask->sampling.bias_count++] = (struct wire_bias){(int32_t)id, (float)bias};
    }
    return ERR_OK;
}

static enum err read_sampling(struct ask *ask)
{
    const json_t *root = ask->root;
    double temperature = 1, top_p = 1, min_p = 0, repetition = 1, frequency = 0, presence = 0;
    int64_t top_k = 0, seed = 0;
    TRY(json_take_real(root, "temperature", 0, 2, &temperature));
    TRY(json_take_real(root, "top_p", 0, 1, &top_p));
    TRY(json_take_real(root, "min_p", 0, 1, &min_p));
    TRY(json_take_integer(root, "top_k", -1, INT32_MAX, &top_k)); // -1 is also said for "all"
    TRY(json_take_real(root, "repetition_penalty", 0.01, 10, &repetition));
    TRY(json_take_real(root, "frequency_penalty", -2, 2, &frequency));
    TRY(json_take_real(root, "presence_penalty", -2, 2, &presence));
    TRY(json_take_integer(root, "seed", INT64_MIN, INT64_MAX, &seed));
    ask->has_seed = json_find(root, "seed") != NULL;
    struct wire_sampling *sampling = &ask->sampling;
    sampling->temperature = (float)temperature;
    sampling->top_p = (float)top_p;
    sampling->min_p = (float)min_p;
    sampling->top_k = top_k < 0 ? 0 : (uint32_t)top_k;
    sampling->repetition_penalty = (float)repetition;
    sampling->frequency_penalty = (float)frequency;
    sampling->presence_penalty = (float)presence;
    sampling->seed = (uint64_t)seed;
    return read_bias(ask);
}

/* A chat says logprobs: true and how many others of each place it wants; a text completion says
 * that number alone. */
static enum err read_logprobs(struct ask *ask)
{
    struct wire_sampling *sampling = &ask->sampling;
    int64_t tops = 0;
    if (ask->kind == ASK_TEXT) {
        TRY(json_take_integer(ask->root, "logprobs", 0, WIRE_TOP_LOGPROBS_MAX, &tops));
        sampling->logprobs = json_find(ask->root, "logprobs") != NULL;
    } else {
        TRY(json_take_flag(ask->root, "logprobs", NULL, &sampling->logprobs));
        TRY(json_take_integer(ask->root, "top_logprobs", 0, WIRE_TOP_LOGPROBS_MAX, &tops));
        if (tops > 0 && !sampling->logprobs)
            return json_wrong("top_logprobs", "needs logprobs: true");
    }
    sampling->top_logprobs = (uint32_t)tops;
    return ERR_OK;
}

static enum err read_lengths(struct ask *ask)
{
    int64_t tokens = 0;
    TRY(json_take_integer(ask->root, "max_tokens", 1, TOKENS_MAX, &tokens));
    if (ask->kind == ASK_CHAT)
        TRY(json_take_integer(ask->root, "max_completion_tokens", 1, TOKENS_MAX, &tokens));
    ask->max_tokens = (uint32_t)tokens;
    return ERR_OK;
}

static enum err read_choices(struct ask *ask)
{
    int64_t count = 1;
    TRY(json_take_integer(ask->root, "n", 1, ASK_CHOICES_MAX, &count));
    if (count > 1 && ask->session.id)
        return json_wrong("n", "must be 1 in a session, which goes on with one answer");
    ask->choice_count = (uint32_t)count;
    return ERR_OK;
}

static enum err read_delivery(struct ask *ask)
{
    const json_t *root = ask->root;
    const char *user = NULL;
    TRY(json_take_flag(root, "stream", NULL, &ask->stream));
    const json_t *options = json_find(root, "stream_options");
    if (options) {
        if (!json_is_object(options)) return json_wrong("stream_options", "must be an object");
        if (!ask->stream) return json_wrong("stream_options", "is for requests with stream: true");
        TRY(json_take_flag(options, "include_usage", "stream_options.include_usage",
                           &ask->include_usage));
    }
    TRY(json_take_text(root, "user", 0, USER_MAX, &user));
    if (ask->kind == ASK_TEXT) return ERR_OK;
    TRY(ask_session_read(&ask->session, root));
    TRY(ask_context_read(&ask->context, root));
    const json_t *more = json_find(root, "chat_template_kwargs");
    if (!more) return ERR_OK;
    bool thinking = true;
    if (!json_is_object(more)) return json_wrong("chat_template_kwargs", "must be an object");
    TRY(json_take_flag(more, "enable_thinking", "chat_template_kwargs.enable_thinking", &thinking));
    ask->thinking_off = !thinking;
    return ERR_OK;
}

static enum err read_all(struct ask *ask)
{
    TRY(json_take_text(ask->root, "model", 1, WIRE_NAME_MAX, &ask->model));
    if (ask->kind == ASK_CHAT) {
        TRY(check_refused(ask->root, refused_of_chat,
                          sizeof refused_of_chat / sizeof *refused_of_chat));
        TRY(read_messages(ask));
    } else {
        TRY(check_refused(ask->root, refused_of_text,
                          sizeof refused_of_text / sizeof *refused_of_text));
        TRY(read_prompt(ask));
    }
    TRY(read_lengths(ask));
    TRY(read_sampling(ask));
    TRY(read_logprobs(ask));
    TRY(read_stops(ask));
    TRY(read_delivery(ask));
    return read_choices(ask);
}

enum err ask_parse(struct ask *out, enum ask_kind kind, const char *body, size_t size)
{
    struct ask ask = {.kind = kind};
    TRY(json_read(&ask.root, body, size));
    enum err err = read_all(&ask);
    if (err) {
        ask_fini(&ask);
        return err;
    }
    *out = ask;
    return ERR_OK;
}

void ask_fini(struct ask *ask)
{
    mem_free(ask->messages);
    mem_free(ask->ids);
    mem_free(ask->bias);
    json_decref(ask->root);
    *ask = (struct ask){0};
}

enum err ask_check_vocab(const struct ask *ask, uint32_t vocab_size)
{
    for (size_t i = 0; i < ask->sampling.bias_count; i++) {
        if ((uint32_t)ask->bias[i].id >= vocab_size)
            return json_wrong("logit_bias", "has the token id %d: the model's are below %u",
                              ask->bias[i].id, vocab_size);
    }
    for (size_t i = 0; i < ask->id_count; i++) {
        if ((uint32_t)ask->ids[i] >= vocab_size)
            return json_wrong("prompt", "has the token id %d: the model's are below %u",
                              ask->ids[i], vocab_size);
    }
    return ERR_OK;
}
