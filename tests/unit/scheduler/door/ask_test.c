#include "scheduler/door/ask.h"
#include "scheduler/door/json.h"
#include "tests/test.h"

#include <string.h>

#define CHAT(rest) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]" rest "}"
#define TEXT(rest) "{\"model\":\"m\",\"prompt\":\"hi\"" rest "}"

static struct ask given(enum ask_kind kind, const char *body)
{
    struct ask ask;
    if (ask_parse(&ask, kind, body, strlen(body))) fail_msg("%s: %s", body, err_text());
    return ask;
}

static void a_chat_is_read_with_its_parameters(void **state)
{
    (void)state;
    struct ask ask = given(
        ASK_CHAT,
        "{\"model\":\"m\",\"messages\":[{\"role\":\"developer\",\"content\":\"be kind\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"你\"},{\"type\":\"text\","
        "\"text\":\"好\"}]}],"
        "\"max_completion_tokens\":9,\"temperature\":0,\"top_p\":0.5,\"top_k\":-1,\"min_p\":0.1,"
        "\"repetition_penalty\":1.5,\"frequency_penalty\":-1,\"presence_penalty\":2,\"seed\":-3,"
        "\"logit_bias\":{\"7\":-100,\"0\":1.5},\"stop\":[\"a\",\"bc\"],\"stream\":true,"
        "\"stream_options\":{\"include_usage\":true},\"session\":\"s-1\",\"unknown\":{\"x\":[]},"
        "\"n\":1,\"tools\":[],\"response_format\":{\"type\":\"text\"},\"user\":\"x\",\"logprobs\":"
        "false,"
        "\"chat_template_kwargs\":{\"enable_thinking\":false}}");
    assert_int_equal(ask.message_count, 2);
    assert_memory_equal(ask.messages[0].role, "system", 6);
    assert_int_equal(ask.messages[1].content_size, 6);
    assert_memory_equal(ask.messages[1].content, "你好", 6);
    assert_int_equal(ask.max_tokens, 9);
    assert_true(ask.sampling.temperature == 0 && ask.sampling.top_p == 0.5f &&
                ask.sampling.top_k == 0);
    assert_true(ask.has_seed && ask.sampling.seed == (uint64_t)-3);
    assert_int_equal(ask.sampling.bias_count, 2);
    assert_int_equal(ask.stop_count, 2);
    assert_true(ask.stream && ask.include_usage && ask.thinking_off);
    assert_string_equal(ask.session.id, "s-1");
    assert_int_equal(ask_check_vocab(&ask, 8), ERR_OK);
    assert_int_equal(ask_check_vocab(&ask, 7), ERR_INVALID);
    ask_fini(&ask);
}

static void a_context_is_a_list_of_sources(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"\"history\"", "context must be a list of at most 4"},
        {"[\"history\",\"search:a\",\"search:b\",\"search:c\",\"search:d\"]", "at most 4"},
        {"[7]", "context[0] must be \"history\" or \"search:INDEX\""},
        {"[\"history\",\"web\"]",
         "context[1] must be \"history\" or \"search:INDEX\", not \"web\""},
        {"[\"search:\"]", "context[0] must name an index"},
        {"[\"search:a\",\"search:a\"]", "context[1] must not be given twice"},
    };
    struct ask ask = given(ASK_CHAT, CHAT(",\"context\":[\"history\",\"search:shop\"]"));
    assert_int_equal(ask.context.count, 2);
    assert_string_equal(ask.context.names[1], "search:shop");
    ask_fini(&ask);
    ask = given(ASK_CHAT, CHAT(",\"context\":null"));
    assert_int_equal(ask.context.count, 0);
    ask_fini(&ask);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char body[512];
        snprintf(body, sizeof body, CHAT(",\"context\":%s"), wrong[i][0]);
        assert_int_equal(ask_parse(&ask, ASK_CHAT, body, strlen(body)), ERR_INVALID);
        assert_non_null(strstr(err_text(), wrong[i][1]));
    }
    const char *text = TEXT(",\"context\":[\"history\"]");
    assert_int_equal(ask_parse(&ask, ASK_TEXT, text, strlen(text)), ERR_INVALID);
    assert_string_equal(json_param(), "context");
}

static void a_session_is_an_id_or_an_object_that_says_more(void **state)
{
    (void)state;
    struct ask ask = given(
        ASK_CHAT, CHAT(",\"session\":{\"id\":\"s\",\"version\":7,\"turn_id\":\"桥\",\"compact\":"
                       "\"drop\",\"durability\":\"replicated\"}"));
    assert_string_equal(ask.session.id, "s");
    assert_string_equal(ask.session.turn, "桥");
    assert_true(ask.session.has_version && ask.session.version == 7);
    assert_int_equal(ask.session.compact, ASK_COMPACT_DROP);
    assert_int_equal(ask.session.durability, ASK_DURABILITY_REPLICATED);
    ask_fini(&ask);
    ask = given(ASK_CHAT, CHAT(",\"session\":{\"id\":\"s\",\"version\":null}"));
    assert_false(ask.session.has_version);
    assert_null(ask.session.turn);
    assert_int_equal(ask.session.compact, ASK_COMPACT_ERROR);
    assert_int_equal(ask.session.durability, ASK_DURABILITY_PRESET);
    ask_fini(&ask);
    assert_int_equal(ask_prewarm_parse(&ask, "p", "", 0), ERR_OK);
    assert_string_equal(ask.session.id, "p");
    assert_null(ask.model);
    ask_fini(&ask);
    assert_int_equal(ask_prewarm_parse(&ask, "p", "{\"model\":7}", 11), ERR_INVALID);
}

static void a_prompt_is_a_string_or_ids(void **state)
{
    (void)state;
    struct ask ask = given(ASK_TEXT, TEXT(",\"stop\":\"x\""));
    assert_int_equal(ask.prompt_size, 2);
    assert_false(ask.has_seed);
    assert_true(ask.sampling.temperature == 1 && ask.sampling.top_p == 1);
    ask_fini(&ask);
    ask = given(ASK_TEXT, "{\"model\":\"m\",\"prompt\":[\"hello\"]}");
    assert_int_equal(ask.prompt_size, 5);
    ask_fini(&ask);
    ask = given(ASK_TEXT, "{\"model\":\"m\",\"prompt\":[1,2,3]}");
    assert_int_equal(ask.id_count, 3);
    assert_int_equal(ask.ids[2], 3);
    assert_int_equal(ask_check_vocab(&ask, 3), ERR_INVALID);
    assert_string_equal(json_param(), "prompt");
    ask_fini(&ask);
}

struct wrong {
    const char *body, *param;
};

static const struct wrong chats[] = {
    {"{\"model\":7,\"messages\":[]}", "model"},
    {"{\"model\":\"m\"}", "messages"},
    {"{\"model\":\"m\",\"messages\":[]}", "messages"},
    {"{\"model\":\"m\",\"messages\":[7]}", "messages[0]"},
    {"{\"model\":\"m\",\"messages\":[{\"content\":\"x\"}]}", "messages[0].role"},
    {"{\"model\":\"m\",\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}", "messages[0].role"},
    {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]}", "messages[0].content"},
    {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":7}]}", "messages[0].content"},
    {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}"
     "]}",
     "messages[0].content[0]"},
    {CHAT(",\"temperature\":\"hot\""), "temperature"},
    {CHAT(",\"temperature\":-1"), "temperature"},
    {CHAT(",\"temperature\":2.1"), "temperature"},
    {CHAT(",\"top_p\":1.1"), "top_p"},
    {CHAT(",\"top_k\":-2"), "top_k"},
    {CHAT(",\"top_k\":1.5"), "top_k"},
    {CHAT(",\"max_tokens\":0"), "max_tokens"},
    {CHAT(",\"max_tokens\":-5"), "max_tokens"},
    {CHAT(",\"max_tokens\":9223372036854775807"), "max_tokens"},
    {CHAT(",\"max_completion_tokens\":\"9\""), "max_completion_tokens"},
    {CHAT(",\"stop\":7"), "stop"},
    {CHAT(",\"stop\":[\"\"]"), "stop"},
    {CHAT(",\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\","
          "\"12\",\"13\","
          "\"14\",\"15\",\"16\",\"17\"]"),
     "stop"},
    {CHAT(",\"logit_bias\":[1]"), "logit_bias"},
    {CHAT(",\"logit_bias\":{\"x\":1}"), "logit_bias"},
    {CHAT(",\"logit_bias\":{\"-1\":1}"), "logit_bias"},
    {CHAT(",\"logit_bias\":{\"1\":101}"), "logit_bias"},
    {CHAT(",\"stream\":1"), "stream"},
    {CHAT(",\"stream_options\":{}"), "stream_options"},
    {CHAT(",\"stream\":true,\"stream_options\":{\"include_usage\":1}"),
     "stream_options.include_usage"},
    {CHAT(",\"n\":0"), "n"},
    {CHAT(",\"n\":9"), "n"},
    {CHAT(",\"n\":2,\"session\":\"s\""), "n"},
    {CHAT(",\"tools\":[{}]"), "tools"},
    {CHAT(",\"logprobs\":1"), "logprobs"},
    {CHAT(",\"top_logprobs\":2"), "top_logprobs"},
    {CHAT(",\"logprobs\":true,\"top_logprobs\":21"), "top_logprobs"},
    {CHAT(",\"response_format\":{\"type\":\"json_object\"}"), "response_format"},
    {CHAT(",\"response_format\":\"text\""), "response_format"},
    {CHAT(",\"session\":\"\""), "session"},
    {CHAT(",\"session\":7"), "session"},
    {CHAT(",\"session\":{}"), "session.id"},
    {CHAT(",\"session\":{\"id\":\"\"}"), "session.id"},
    {CHAT(",\"session\":{\"id\":\"s\",\"verison\":1}"), "session"},
    {CHAT(",\"session\":{\"id\":\"s\",\"version\":-1}"), "session.version"},
    {CHAT(",\"session\":{\"id\":\"s\",\"version\":\"1\"}"), "session.version"},
    {CHAT(",\"session\":{\"id\":\"s\",\"turn_id\":\"\"}"), "session.turn_id"},
    {CHAT(",\"session\":{\"id\":\"s\",\"compact\":\"all\"}"), "session.compact"},
    {CHAT(",\"session\":{\"id\":\"s\",\"durability\":1}"), "session.durability"},
    {CHAT(",\"n\":2,\"session\":{\"id\":\"s\"}"), "n"},
    {CHAT(",\"seed\":1.5"), "seed"},
    {CHAT(",\"user\":1"), "user"},
};

static const struct wrong texts[] = {
    {"{\"model\":\"m\"}", "prompt"},
    {"{\"model\":\"m\",\"prompt\":[]}", "prompt"},
    {"{\"model\":\"m\",\"prompt\":[\"a\",\"b\"]}", "prompt"},
    {"{\"model\":\"m\",\"prompt\":[1,-2]}", "prompt[1]"},
    {"{\"model\":\"m\",\"prompt\":[1,2147483648]}", "prompt[1]"},
    {TEXT(",\"echo\":true"), "echo"},
    {TEXT(",\"logprobs\":true"), "logprobs"},
    {TEXT(",\"suffix\":\"x\""), "suffix"},
    {TEXT(",\"best_of\":2"), "best_of"},
};

static void assert_named(enum ask_kind kind, const struct wrong *rows, size_t count)
{
    struct ask ask;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(ask_parse(&ask, kind, rows[i].body, strlen(rows[i].body)), ERR_INVALID);
        if (strcmp(json_param(), rows[i].param) != 0)
            fail_msg("%s: %s: %s", rows[i].body, json_param(), err_text());
    }
}

static void wrong_parameters_are_named(void **state)
{
    (void)state;
    assert_named(ASK_CHAT, chats, sizeof chats / sizeof *chats);
    assert_named(ASK_TEXT, texts, sizeof texts / sizeof *texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chat_is_read_with_its_parameters),
        cmocka_unit_test(a_context_is_a_list_of_sources),
        cmocka_unit_test(a_session_is_an_id_or_an_object_that_says_more),
        cmocka_unit_test(a_prompt_is_a_string_or_ids),
        cmocka_unit_test(wrong_parameters_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
