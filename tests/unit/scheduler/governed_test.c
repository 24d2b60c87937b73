/* A scheduler with a policy, as clients see it: a whole scheduler, a played node, documents of the test's own. */
#include "tests/support/policy_folder.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"

#include "wire/message.h"

#include "base/buf.h"
#include "base/digest.h"
#include "base/mem.h"

#include <sodium.h>

#include <string.h>
#include <unistd.h>

/* Nothing but what these tests look at: no labels, no filter, no gate. */
#define PLAIN                                                                             \
    "\"labels\":{\"place\":\"none\",\"implicit\":false},\"filter\":{\"required\":false}," \
    "\"audit\":{\"stops\":[]}"
#define OPEN                                                                                   \
    "{\"allowed\":true,\"gated\":false,\"models\":\"any\",\"adapters\":\"any\",\"languages\":" \
    "\"any\"}"

static struct policy_folder folder;

static int set_up(void **state)
{
    (void)state;
    assert_true(sodium_init() >= 0);
    policy_folder_init(&folder);
    policy_folder_put_base(&folder, "{" PLAIN ",\"limits\":{\"prompt_tokens\":0,"
                                    "\"answer_tokens\":0,\"user_requests_per_minute\":0}}");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    policy_folder_fini(&folder);
    return 0;
}

static void start(const char *keys)
{
    const char *const flags[] = {"--policy", folder.folder, "--policy-keys", folder.keys, NULL};
    start_scheduler_with(keys, flags);
}

static const char hello[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"say it\"}]}";
static const char chats[] = "/v1/chat/completions";
static const char flag[] = "/ofrep/v1/evaluate/flags/assistant";

static void a_chat_is_served_where_its_region_allows_it(void **state)
{
    (void)state;
    policy_folder_put_region(&folder, "aa", "{\"features\":{\"assistant\":" OPEN "}}");
    policy_folder_put_region(&folder, "bb", "{}");
    start("");
    struct fake_node *node = start_node(&(struct fake_node_options){.region = "aa"});
    assert_parts(ask("POST", chats, "X-Qiao-Region: AA\r\n", hello), " 200 ", "Hello", NULL);
    assert_parts(ask("POST", chats, "", hello), " 403 ", "assistant: no region is known",
                 "the regions that have a policy are aa, bb", "\"code\":\"region_required\"", NULL);
    assert_parts(ask("POST", chats, "X-Qiao-Region: cc\r\n", hello), " 403 ",
                 "assistant in region 'cc'", "\"code\":\"region_not_approved\"", NULL);
    assert_parts(ask("POST", chats, "X-Qiao-Region: bb\r\n", hello), " 403 ",
                 "the region's policy does not allow it", "\"code\":\"region_not_approved\"", NULL);
    assert_parts(ask("GET", "/metrics", "", ""),
                 "qiao_denials_total{feature=\"assistant\",reason=\"region_required\"} 1",
                 "qiao_denials_total{feature=\"assistant\",reason=\"region_not_approved\"} 2",
                 NULL);
    assert_int_equal(fake_node_submits(node), 1);
    fake_node_stop(node);
    stop_scheduler();
}

static void every_feature_is_denied_where_nothing_is_allowed(void **state)
{
    (void)state;

    static const struct {
        const char *method, *path, *body, *feature;
    } rows[] = {
        {"POST", "/v1/chat/completions", "{}", "assistant"},
        {"POST", "/v1/completions", "{}", "assistant"},
        {"POST", "/v1/sessions/s1/prewarm", "{}", "assistant"},
        {"POST", "/v1/embeddings", "{}", "embeddings"},
        {"POST", "/v1/rerank", "{}", "rerank"},
        {"POST", "/v2/rerank", "{}", "rerank"},
        {"POST", "/rerank", "{}", "rerank"},
        {"POST", "/v1/recommendations", "{}", "recommendations"},
        {"GET", "/api/recommend/ann", "", "recommendations"},
        {"GET", "/api/popular", "", "recommendations"},
        {"GET", "/api/item/1/neighbors", "", "recommendations"},
        {"POST", "/v1/indexes/shop/search", "{\"q\":\"a\"}", "search"},
        {"POST", "/v1/indexes/shop/suggest", "{\"q\":\"a\"}", "search"},
    };

    policy_folder_put_region(&folder, "aa", "{}");
    start("");
    struct fake_node *node = start_node(&(struct fake_node_options){.region = "aa"});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char want[64];
        snprintf(want, sizeof want, "%s in region 'aa': ", rows[i].feature);
        assert_parts(ask(rows[i].method, rows[i].path, "X-Qiao-Region: aa\r\n", rows[i].body),
                     " 403 ", want, NULL);
    }
    assert_int_equal(fake_node_submits(node), 0);
    fake_node_stop(node);
    stop_scheduler();
}

static void a_chat_with_context_needs_both_features(void **state)
{
    (void)state;
    policy_folder_put_region(&folder, "aa", "{\"features\":{\"assistant\":" OPEN "}}");
    start("");
    struct fake_node *node = start_node(&(struct fake_node_options){.region = "aa"});
    assert_parts(ask("POST", chats, "X-Qiao-Region: aa\r\nX-Qiao-User: ann\r\n",
                     "{\"messages\":[{\"role\":\"user\",\"content\":\"say it\"}],"
                     "\"context\":[\"history\"]}"),
                 " 403 ", "grounding in region 'aa'", "\"code\":\"region_not_approved\"", NULL);
    fake_node_stop(node);
    stop_scheduler();
}

/* What answers from sources is a model too: one that grounding may use, not only the assistant. */
static void a_chat_with_context_needs_a_model_of_both_features(void **state)
{
    (void)state;
    char rules[512], text[DIGEST_TEXT_SIZE];
    struct digest other = digest_of("other", 5);
    snprintf(rules, sizeof rules,
             "{\"features\":{\"assistant\":" OPEN ",\"grounding\":{\"allowed\":true,"
             "\"gated\":false,\"models\":[\"%s\"],\"languages\":\"any\"}}}",
             digest_text(&other, text));
    policy_folder_put_region(&folder, "aa", rules);
    start("");
    struct fake_node *node = start_node(&(struct fake_node_options){.region = "aa"});
    assert_parts(ask("POST", chats, "X-Qiao-Region: aa\r\nX-Qiao-User: ann\r\n",
                     "{\"messages\":[{\"role\":\"user\",\"content\":\"say it\"}],"
                     "\"context\":[\"history\"]}"),
                 " 403 ", "grounding in region 'aa'", "the model of 'tiny' is ",
                 "\"code\":\"model_not_approved\"", NULL);
    assert_int_equal(fake_node_submits(node), 0);
    assert_parts(ask("POST", chats, "X-Qiao-Region: aa\r\n", hello), " 200 ", NULL);
    fake_node_stop(node);
    stop_scheduler();
}

static void languages_and_models_are_the_regions_to_choose(void **state)
{
    (void)state;
    char rules[512], text[DIGEST_TEXT_SIZE];
    struct digest model = digest_of("fake", 4), other = digest_of("other", 5);
    snprintf(rules, sizeof rules,
             "{\"features\":{\"assistant\":{\"allowed\":true,\"gated\":false,\"models\":[\"%s\"],"
             "\"languages\":[\"zh-Hans\",\"en\"]}}}",
             digest_text(&model, text));
    policy_folder_put_region(&folder, "aa", rules);
    snprintf(rules, sizeof rules,
             "{\"features\":{\"assistant\":{\"allowed\":true,\"gated\":false,\"models\":[\"%s\"],"
             "\"languages\":\"any\"}}}",
             digest_text(&other, text));
    policy_folder_put_region(&folder, "bb", rules);
    start("");
    struct fake_node *node = start_node(&(struct fake_node_options){.region = "aa"});
    assert_parts(ask("POST", chats, "X-Qiao-Region: aa\r\nAccept-Language: zh-CN\r\n", hello),
                 " 200 ", NULL);
    assert_parts(ask("POST", chats, "X-Qiao-Region: aa\r\nAccept-Language: zh-TW\r\n", hello),
                 " 403 ", "Accept-Language may name zh-Hans, en",
                 "\"code\":\"language_not_allowed\"", NULL);
    assert_parts(ask("POST", chats, "X-Qiao-Region: bb\r\nAccept-Language: zh-TW\r\n", hello),
                 " 403 ", "the model of 'tiny' is ", "\"code\":\"model_not_approved\"", NULL);
    fake_node_stop(node);
    stop_scheduler();
}

/* An answer that another model began is not made again by it, and the client hears why. */
static void a_retry_has_the_reason_of_its_denial(void **state)
{
    (void)state;
    static const char headers[] = "X-Qiao-Region: aa\r\nIdempotency-Key: once\r\n";
    char rules[256], text[DIGEST_TEXT_SIZE], session_key[80];
    struct digest newer = digest_of("newer", 5);
    snprintf(session_key, sizeof session_key, "%s/session.key", folder.root);
    const char *const flags[] = {"--policy",  folder.folder,   "--policy-keys",
                                 folder.keys, "--session-key", session_key,
                                 NULL};
    policy_folder_put_region(&folder, "aa", "{\"features\":{\"assistant\":" OPEN "}}");
    start_scheduler_with("", flags);
    struct fake_node *node = start_node(&(struct fake_node_options){.region = "aa"});
    assert_parts(ask("POST", chats, headers, hello), " 200 ", NULL);
    fake_node_stop(node);
    stop_scheduler();
    snprintf(rules, sizeof rules,
             "{\"features\":{\"assistant\":{\"allowed\":true,\"gated\":false,\"models\":[\"%s\"],"
             "\"languages\":\"any\"}}}",
             digest_text(&newer, text));
    policy_folder_put_region(&folder, "aa", rules);
    start_scheduler_with("", flags);
    struct fake_node *first =
        start_node(&(struct fake_node_options){.region = "aa", .name = "first", .model = "newer"});
    node = start_node(&(struct fake_node_options){.region = "aa", .name = "second"});
    assert_parts(ask("POST", chats, "X-Qiao-Region: aa\r\n", hello), " 200 ", NULL);
    assert_parts(ask("POST", chats, headers, hello), " 403 ", "the model of 'tiny' is ",
                 "\"code\":\"model_not_approved\"", NULL);
    fake_node_stop(first);
    fake_node_stop(node);
    stop_scheduler();
    assert_int_equal(unlink(session_key), 0);
}

/* Label, notice and refusal follow from both: a retry under other rules would be another answer. */
static void a_retry_is_of_one_region_and_language(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    policy_folder_put_region(&folder, "aa", "{\"features\":{\"assistant\":" OPEN "}}");
    policy_folder_put_region(&folder, "bb", "{\"features\":{\"assistant\":" OPEN "}}");
    start("");
    struct fake_node *node = start_node(&(struct fake_node_options){.region = "aa"});
    assert_parts(ask("POST", chats, "X-Qiao-Region: aa\r\nIdempotency-Key: moved\r\n", hello),
                 " 200 ", NULL);
    assert_parts(ask("POST", chats, "X-Qiao-Region: aa\r\nIdempotency-Key: moved\r\n", hello),
                 " 200 ", "Idempotent-Replayed: true", NULL);
    assert_parts(ask("POST", chats, "X-Qiao-Region: bb\r\nIdempotency-Key: moved\r\n", hello),
                 " 422 ", "same region and languages", "\"code\":\"idempotency_mismatch\"", NULL);
    assert_parts(ask("POST", chats,
                     "X-Qiao-Region: aa\r\nAccept-Language: en\r\nIdempotency-Key: moved\r\n",
                     hello),
                 " 422 ", "same region and languages", NULL);
    fake_node_stop(node);
    stop_scheduler();
}

/* An approval is one of models: what another one said is not told again under it, whichever would answer now. */
static void a_stored_answer_is_of_the_model_that_said_it(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    static const char turn[] = "{\"session\":{\"id\":\"swap\",\"turn_id\":\"t1\"},"
                               "\"messages\":[{\"role\":\"user\",\"content\":\"say it\"}]}",
                      rule[] = "{\"features\":{\"assistant\":{\"allowed\":true,\"gated\":false,"
                               "\"models\":[\"%s\"],\"languages\":\"any\"}}}";
    char session_key[80]; // two lives of one scheduler
    snprintf(session_key, sizeof session_key, "%s/session.key", folder.root);
    const char *const flags[] = {"--policy",  folder.folder,   "--policy-keys",
                                 folder.keys, "--session-key", session_key,
                                 NULL};
    char rules[512], text[DIGEST_TEXT_SIZE];
    struct digest old = digest_of("fake", 4), new = digest_of("newer", 5);
    snprintf(rules, sizeof rules, rule, digest_text(&old, text));
    policy_folder_put_region(&folder, "aa", rules);
    start_scheduler_with("", flags);
    struct fake_node *node = start_node(&(struct fake_node_options){.region = "aa"});
    assert_parts(ask("POST", chats, "X-Qiao-Region: aa\r\n", turn), " 200 ", "Hello", NULL);
    assert_parts(ask("POST", chats, "X-Qiao-Region: aa\r\n", turn), " 200 ", "Hello",
                 "\"repeated\":true", NULL);
    fake_node_stop(node);
    stop_scheduler();
    snprintf(rules, sizeof rules, rule, digest_text(&new, text));
    policy_folder_put_region(&folder, "aa", rules);
    start_scheduler_with("", flags);
    node = start_node(&(struct fake_node_options){.region = "aa", .model = "newer"});
    assert_parts(ask("POST", chats, "X-Qiao-Region: aa\r\n", hello), " 200 ", "Hello", NULL);
    assert_parts(ask("POST", chats, "X-Qiao-Region: aa\r\n", turn), " 403 ",
                 digest_text(&old, text), "\"code\":\"model_not_approved\"", NULL);
    fake_node_stop(node);
    stop_scheduler();
    unlink(session_key);
}

static void no_node_outside_of_its_regions_sees_a_request(void **state)
{
    (void)state;
    policy_folder_put_region(&folder, "aa",
                             "{\"features\":{\"assistant\":" OPEN ",\"embeddings\":" OPEN "}}");
    policy_folder_put_region(&folder, "bb",
                             "{\"features\":{\"assistant\":" OPEN
                             "},\"privacy\":{\"residency\":[\"cc\","
                             "\"aa\"]}}");
    policy_folder_put_region(&folder, "dd",
                             "{\"features\":{\"assistant\":" OPEN
                             "},\"privacy\":{\"residency\":\"any\"}}");
    start("");
    struct fake_node *node = start_node(&(struct fake_node_options){.region = "cc"});
    assert_parts(ask("POST", chats, "X-Qiao-Region: aa\r\n", hello), " 503 ",
                 "no node serves this model now in the regions that the policy allows", NULL);
    assert_parts(ask("POST", "/v1/embeddings", "X-Qiao-Region: aa\r\n", "{\"input\":\"a\"}"),
                 " 503 ", "in the regions that the policy allows", NULL);
    assert_int_equal(fake_node_submits(node), 0);
    assert_parts(ask("POST", chats, "X-Qiao-Region: bb\r\n", hello), " 200 ", NULL);
    assert_parts(ask("POST", chats, "X-Qiao-Region: dd\r\n", hello), " 200 ", NULL);
    fake_node_stop(node);
    stop_scheduler();
}

/* A conversation stays where its region lets its data be, whatever region the next turn names. */
static void a_session_does_not_leave_its_region(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    static const char turn[] = "{\"session\":\"home\",\"messages\":[{\"role\":\"user\","
                               "\"content\":\"a secret of aa\"}]}";
    policy_folder_put_region(&folder, "aa", "{\"features\":{\"assistant\":" OPEN "}}");
    policy_folder_put_region(&folder, "bb", "{\"features\":{\"assistant\":" OPEN "}}");
    policy_folder_put_region(&folder, "cc",
                             "{\"features\":{\"assistant\":" OPEN "},\"privacy\":{\"residency\":"
                             "[\"aa\"]}}");
    policy_folder_put_region(&folder, "dd",
                             "{\"features\":{\"assistant\":" OPEN "},\"privacy\":{\"residency\":"
                             "\"any\"}}");
    start("");
    struct fake_node *node = start_node(&(struct fake_node_options){.region = "aa"});
    assert_parts(ask("POST", chats, "X-Qiao-Region: aa\r\n", turn), " 200 ", NULL);
    assert_parts(ask("POST", chats, "X-Qiao-Region: bb\r\n", turn), " 403 ", "begun in region aa",
                 "\"code\":\"region_not_approved\"", NULL);
    assert_parts(ask("POST", chats, "X-Qiao-Region: dd\r\n", turn), " 403 ", "begun in region aa",
                 NULL);
    assert_int_equal(fake_node_submits(node), 1);
    assert_parts(ask("POST", chats, "X-Qiao-Region: cc\r\n", turn), " 200 ", NULL);
    assert_parts(ask("POST", chats, "X-Qiao-Region: aa\r\n", turn), " 200 ", "\"version\":3", NULL);
    fake_node_stop(node);
    stop_scheduler();
}

static void a_regions_limits_come_on_top_of_the_keys(void **state)
{
    (void)state;
    policy_folder_put_region(
        &folder, "aa", "{\"features\":{\"assistant\":" OPEN "},\"limits\":{\"answer_tokens\":2}}");
    policy_folder_put_region(
        &folder, "bb", "{\"features\":{\"assistant\":" OPEN "},\"limits\":{\"prompt_tokens\":2}}");
    policy_folder_put_region(&folder, "cc",
                             "{\"features\":{\"assistant\":" OPEN "},"
                             "\"limits\":{\"user_requests_per_minute\":1},"
                             "\"privacy\":{\"residency\":[\"aa\"]}}");
    start("");
    struct fake_node *node = start_node(&(struct fake_node_options){.region = "aa"});
    assert_parts(ask("POST", chats, "X-Qiao-Region: aa\r\n",
                     "{\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}"),
                 " 200 ", "\"finish_reason\":\"length\"", "\"completion_tokens\":2", NULL);
    assert_parts(ask("POST", chats, "X-Qiao-Region: bb\r\n", hello), " 400 ",
                 "the policy of region 'bb' allows prompts of 2 tokens, and this one has ",
                 "\"code\":\"context_length_exceeded\"", NULL);
    if (scene.redis.process) {
        static const char ann[] = "X-Qiao-Region: cc\r\nX-Qiao-User: ann\r\n";
        assert_parts(ask("POST", chats, ann, hello), " 200 ", NULL);
        assert_parts(ask("POST", chats, ann, hello), " 429 ", NULL);
    }
    fake_node_stop(node);
    stop_scheduler();
}

static void a_key_of_one_region_is_of_that_region(void **state)
{
    (void)state;
    char path[64];
    static const char keys[] =
        "[{\"key\":\"0123456789abcdef0\",\"id\":\"one\",\"regions\":[\"AA\"]},"
        "{\"key\":\"0123456789abcdef1\",\"id\":\"two\",\"regions\":[\"aa\",\"bb\"]}]";
    snprintf(path, sizeof path, "%s/api-keys", folder.root);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(keys, file);
    fclose(file);
    policy_folder_put_region(&folder, "aa", "{\"features\":{\"assistant\":" OPEN "}}");
    start(path);
    unlink(path);
    struct fake_node *node = start_node(&(struct fake_node_options){.region = "aa"});
    assert_parts(ask("POST", chats, "Authorization: Bearer 0123456789abcdef0\r\n", hello), " 200 ",
                 NULL);
    assert_parts(ask("POST", chats, "Authorization: Bearer 0123456789abcdef1\r\n", hello), " 403 ",
                 "\"code\":\"region_required\"", NULL);
    assert_parts(ask("POST", flag, "Authorization: Bearer 0123456789abcdef0\r\n", "{}"), " 200 ",
                 "\"value\":true", "\"region\":\"aa\"", NULL);
    assert_parts(ask("POST", flag, "Authorization: Bearer 0123456789abcdef1\r\n", "{}"), " 200 ",
                 "\"code\":\"region_required\"", NULL);
    fake_node_stop(node);
    stop_scheduler();
}

/* An SDK, an operator and a user hear the same. */
static void what_is_told_is_what_a_request_meets(void **state)
{
    static const struct {
        const char *region, *rules, *code;
    } rows[] = {
        {"aa", "{\"features\":{\"assistant\":" OPEN "}}", ""},
        {"bb", "{}", "region_not_approved"},
        {"cc", "{\"features\":{\"assistant\":" OPEN "},\"labels\":{\"place\":\"start\"}}",
         "label_not_possible"},
        {"dd",
         "{\"features\":{\"assistant\":" OPEN
         "},\"filter\":{\"required\":true,\"bundle\":\"lost\"}}",
         "filter_not_ready"},
        {"ee", NULL, "region_not_approved"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].rules) policy_folder_put_region(&folder, rows[i].region, rows[i].rules);
    start("");
    struct fake_node *node = start_node(&(struct fake_node_options){.region = "aa"});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char header[64], body[128], code[64], reason[64];
        bool open = !*rows[i].code;
        snprintf(header, sizeof header, "X-Qiao-Region: %s\r\n", rows[i].region);
        snprintf(body, sizeof body, "{\"region\":\"%s\",\"feature\":\"assistant\"}",
                 rows[i].region);
        snprintf(code, sizeof code, "\"code\":\"%s\"", rows[i].code);
        snprintf(reason, sizeof reason, "\"open\":%s,\"reason\":\"%s\"", open ? "true" : "false",
                 rows[i].code);
        assert_parts(ask("POST", chats, header, hello), open ? "Hello" : code, NULL);
        assert_parts(ask("POST", flag, header, "{}"), " 200 ",
                     open ? "\"value\":true" : "\"value\":false", code, NULL);
        assert_parts(ask("POST", "/admin/gate/explain", "", body), " 200 ", reason,
                     "\"check\":\"policy\"", NULL);
    }
    assert_parts(
        ask("POST", "/admin/gate/explain", "", "{\"region\":\"aa\",\"feature\":\"assistant\"}"),
        "asks for no approval of it", NULL);
    fake_node_stop(node);
    stop_scheduler();
}

static void documents_are_checked_explained_and_read_again(void **state)
{
    (void)state;
    policy_folder_put_region(&folder, "aa", "{}");
    start("");
    assert_parts(ask("GET", "/admin/policy", "", ""), " 200 ", "\"failure\":null",
                 "\"region\":\"aa\"", "\"file\":\"aa.json\"", "\"signers\":[\"tester\"]", NULL);
    assert_parts(ask("GET", "/admin/policy/explain?region=aa", "", ""), " 200 ",
                 "{\"rule\":\"/labels/place\",\"value\":\"none\",\"document\":\"base\"", NULL);
    assert_parts(ask("GET", "/admin/policy/explain?region=bb", "", ""), " 404 ",
                 "?region= must name a region that has a policy", NULL);
    assert_parts(ask("POST", "/admin/policy/check", "",
                     "{\"name\":\"x.json\",\"text\":\"{\\\"format\\\":\\\"qiao policy 2\\\"}\"}"),
                 " 400 ", "x.json: /format: must be \\\"qiao policy 1\\\"", NULL);
    policy_folder_put_region(&folder, "aa", "{\"features\":{\"assistant\":" OPEN "}}");
    assert_parts(ask("POST", "/admin/policy/reload", "", ""), " 200 ", "\"failure\":null", NULL);
    struct fake_node *node = start_node(&(struct fake_node_options){.region = "aa"});
    assert_parts(ask("POST", chats, "X-Qiao-Region: aa\r\n", hello), " 200 ", NULL);
    policy_folder_write(&folder, "aa", "{}", 2);
    assert_parts(ask("POST", "/admin/policy/reload", "", ""), " 400 ", "aa.json: /format", NULL);
    assert_parts(ask("GET", "/admin/policy", "", ""), "\"failure\":\"aa.json: /format", NULL);
    assert_parts(ask("POST", chats, "X-Qiao-Region: aa\r\n", hello), " 200 ", NULL);
    fake_node_stop(node);
    stop_scheduler();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_chat_is_served_where_its_region_allows_it),
        TEST(every_feature_is_denied_where_nothing_is_allowed),
        TEST(a_chat_with_context_needs_both_features),
        TEST(a_chat_with_context_needs_a_model_of_both_features),
        TEST(languages_and_models_are_the_regions_to_choose),
        TEST(a_retry_has_the_reason_of_its_denial),
        TEST(a_retry_is_of_one_region_and_language),
        TEST(a_stored_answer_is_of_the_model_that_said_it),
        TEST(no_node_outside_of_its_regions_sees_a_request),
        TEST(a_session_does_not_leave_its_region),
        TEST(a_regions_limits_come_on_top_of_the_keys),
        TEST(a_key_of_one_region_is_of_that_region),
        TEST(what_is_told_is_what_a_request_meets),
        TEST(documents_are_checked_explained_and_read_again),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
