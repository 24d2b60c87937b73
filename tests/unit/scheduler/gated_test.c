/* A scheduler with a gate, as operators, approvers, SDKs and clients see it: a whole scheduler, a played node, a real Redis. */
#include "tests/support/policy_folder.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"

#include "base/approval.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/sign.h"

#include <jansson.h>
#include <sodium.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GATED                                                                                 \
    "{\"allowed\":true,\"gated\":true,\"models\":\"any\",\"adapters\":\"any\",\"languages\":" \
    "\"any\"}"
#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct policy_folder folder;
static struct sign_secret ann;
static char session_key[64]; // which seals the gates: the same for each scheduler

static int set_up(void **state)
{
    char key[2 * SIGN_KEY_SIZE], rules[1024];
    struct sign_public public;
    (void)state;
    assert_true(sodium_init() >= 0);
    policy_folder_init(&folder);
    snprintf(session_key, sizeof session_key, "%s/session.key", folder.root);
    assert_int_equal(sign_make_key(&ann, "ann"), ERR_OK);
    sign_public_of(&public, &ann);
    sodium_bin2base64(key, sizeof key, public.key, sizeof public.key,
                      sodium_base64_VARIANT_ORIGINAL);
    policy_folder_put_base(&folder, "{\"labels\":{\"place\":\"none\",\"implicit\":false},"
                                    "\"filter\":{\"required\":false},\"audit\":{\"stops\":[]},"
                                    "\"limits\":{\"prompt_tokens\":0,\"answer_tokens\":0,"
                                    "\"user_requests_per_minute\":0}}");
    snprintf(rules, sizeof rules,
             "{\"features\":{\"assistant\":" GATED ",\"embeddings\":" GATED
             "},\"gate\":{\"evidence\":[\"filing\"],\"signatures\":1,\"hold_ms\":60000,"
             "\"approvers\":[{\"id\":\"ann\",\"key\":\"%s\"}]}}",
             key);
    policy_folder_put_region(&folder, "aa", rules);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sign_fini(&ann);
    policy_folder_fini(&folder);
    return 0;
}

static bool leads(void)
{
    char *answer = ask("GET", "/admin/gate", "", "");
    bool leads = strstr(answer, "\"lease\":true") != NULL;
    mem_free(answer);
    return leads;
}

static struct fake_node *start(const struct fake_node_options *like)
{
    const char *const flags[] = {"--policy",  folder.folder,   "--policy-keys",
                                 folder.keys, "--session-key", session_key,
                                 NULL};
    start_scheduler_with("", flags);
    struct fake_node *node = start_node(like);
    assert_soon(leads());
    return node;
}

static void stop(struct fake_node *node)
{
    fake_node_stop(node);
    stop_scheduler();
}

static char *post(const char *verb, const char *more)
{
    char path[64], body[512];
    snprintf(path, sizeof path, "/admin/gate/%s", verb);
    snprintf(body, sizeof body, "{\"region\":\"aa\",\"feature\":\"assistant\"%s}", more);
    return ask("POST", path, "", body);
}

static char *ask_chat(const char *headers)
{
    char all[256];
    snprintf(all, sizeof all, "X-Qiao-Region: aa\r\n%s", headers);
    return ask_patiently("POST", "/v1/chat/completions", all, // a busy machine may lose its lease
                         "{\"messages\":[{\"role\":\"user\",\"content\":\"say it\"}]}");
}

static char *evaluate(const char *path, const char *headers, const char *body)
{
    char full[96];
    snprintf(full, sizeof full, "/ofrep/v1/evaluate/flags%s", path);
    return ask("POST", full, headers, body);
}

/* As qiaoctl does it: from the fields of the record. */
static char *sign(void)
{
    struct approval content = {.feature = "assistant", .region = "aa"};
    char *answer = ask("GET", "/admin/gate/aa/assistant", "", ""), signature[SIGN_TEXT_SIZE];
    unsigned char bytes[SIGN_SIZE];
    char more[256];
    struct buf text = {0};
    size_t size;
    json_t *gate = json_loads(strstr(answer, "\r\n\r\n") + 4, 0, NULL);
    json_t *evidence = json_array_get(json_object_get(gate, "evidence"), 0);
    assert_non_null(evidence);
    content.serial = (uint64_t)json_integer_value(json_object_get(gate, "serial"));
    sodium_hex2bin(content.policy.bytes, DIGEST_SIZE,
                   json_string_value(json_object_get(gate, "policy")), 2 * DIGEST_SIZE, NULL, &size,
                   NULL);
    sodium_hex2bin(content.models[0].bytes, DIGEST_SIZE,
                   json_string_value(json_array_get(json_object_get(gate, "models"), 0)),
                   2 * DIGEST_SIZE, NULL, &size, NULL);
    content.model_count = 1;
    sodium_hex2bin(content.evidence[0].hash, APPROVAL_HASH_SIZE, HASH, sizeof HASH - 1, NULL, &size,
                   NULL);
    snprintf(content.evidence[0].type, APPROVAL_NAME_MAX, "filing");
    snprintf(content.evidence[0].reference, APPROVAL_REFERENCE_MAX, "AA-1");
    content.evidence[0].from_ms = json_integer_value(json_object_get(evidence, "from"));
    content.evidence_count = 1;
    approval_write(&text, &content);
    sign_bytes(bytes, &ann, APPROVAL_PURPOSE, text.data, text.size);
    sign_text(signature, bytes);
    snprintf(more, sizeof more, ",\"approver\":\"ann\",\"signature\":\"%s\",\"serial\":%llu",
             signature, (unsigned long long)content.serial);
    json_decref(gate);
    mem_free(answer);
    buf_fini(&text);
    return post("approve", more);
}

static void make_live(void)
{
    assert_parts(post("draft", ",\"models\":[\"tiny\"]"), " 200 ", "\"state\":\"draft\"", NULL);
    assert_parts(
        post("evidence", ",\"type\":\"filing\",\"reference\":\"AA-1\",\"sha256\":\"" HASH "\""),
        " 200 ", NULL);
    assert_parts(post("submit", ""), " 200 ", "\"state\":\"pending\"", NULL);
    assert_parts(sign(), " 200 ", "\"state\":\"approved\"", NULL);
    assert_parts(post("roll", ",\"percent\":99.99"), " 200 ", "\"share\":9999", NULL);
    assert_parts(
        evaluate("/assistant", "", "{\"context\":{\"targetingKey\":\"u\",\"region\":\"aa\"}}"),
        "\"value\":true", "\"reason\":\"SPLIT\"", NULL);
    assert_parts(post("roll", ",\"percent\":100"), " 200 ", "\"share\":10000", NULL);
    assert_parts(post("live", ""), " 200 ", "\"state\":\"live\"", NULL);
}

static void from_a_draft_to_a_suspension(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    struct fake_node *node = start(&(struct fake_node_options){.region = "aa"});
    assert_parts(ask_chat(""), " 403 ", "assistant in region 'aa'", "there is no gate",
                 "\"code\":\"region_not_approved\"", NULL);
    make_live();
    assert_parts(ask_chat(""), " 200 ", "Hello", NULL);
    assert_parts(ask("POST", "/v1/chat/completions", "X-Qiao-Region: aa\r\n",
                     "{\"session\":\"kept\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}"),
                 " 200 ", "Hello", NULL);
    assert_parts(ask("GET", "/v1/sessions/kept", "X-Qiao-Region: aa\r\n", ""), " 200 ", "Hello",
                 NULL);
    assert_parts(post("live", ""), " 409 ", "only suspend leads on", NULL);
    assert_parts(post("explain", ",\"user\":\"u1\""), "\"open\":true", "\"check\":\"lease\"",
                 "\"check\":\"rollout\"", NULL);
    assert_parts(post("suspend", ""), " 200 ", "\"holders\":1,\"acknowledged\":1", NULL);
    assert_parts(ask_chat(""), " 403 ", "\"code\":\"suspended\"", NULL);
    assert_parts(ask("GET", "/v1/sessions/kept", "X-Qiao-Region: aa\r\n", ""), " 403 ",
                 "\"code\":\"suspended\"", NULL); // what it said is its content still
    assert_parts(ask("GET", "/v1/sessions/kept/export", "X-Qiao-Region: aa\r\n", ""), " 403 ",
                 "\"code\":\"suspended\"", NULL);
    assert_parts(ask_patiently("GET", "/v1/me/export", "", ""), " 200 ", "Hello",
                 NULL); // the user's right
    assert_parts(post("explain", ""), "\"open\":false", "\"reason\":\"suspended\"",
                 "\"passed\":false", NULL);
    assert_parts(ask("GET", "/metrics", "", ""), "qiao_gate_lease 1", NULL);
    stop(node);
}

/* A stream of which some has come, and whose rest does not. */
static int begin_halted(struct fake_node *node)
{
    fake_node_halt(node, 4);
    int fd = begin("POST", "/v1/chat/completions", "X-Qiao-Region: aa\r\n",
                   "{\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"say it\"}]}");
    assert_parts(exchange_read(fd, "\"content\":\"a"), " 200 ", "\"content\":\"a", NULL);
    return fd;
}

static void a_stream_is_cut_with_its_reason(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    struct fake_node *node = start(&(struct fake_node_options){
        .region = "aa", .answer = "a long answer that is never told to its end"});
    assert_parts(post("submit", ""), " 200 ", NULL); // suspended by the test before
    assert_parts(sign(), " 200 ", NULL);
    assert_parts(post("roll", ",\"percent\":100"), " 200 ", NULL);
    int fd = begin_halted(node);
    assert_parts(post("suspend", ""), " 200 ", NULL);
    char *answer = finish(fd, "0\r\n\r\n");
    assert_null(strstr(answer, "[DONE]"));
    assert_null(strstr(answer, "its end"));
    assert_parts(answer, "\"code\":\"suspended\"", NULL);
    wait_for_cancels(node, 1); // the node stops too
    stop(node);
}

/* What was let in before runs on by its own rules: who shuts the gate is not asked for newer ones. */
static void a_gate_is_shut_where_the_policy_has_gone(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    struct fake_node *node = start(&(struct fake_node_options){
        .region = "aa", .answer = "a long answer that is never told to its end"});
    char kept[128], document[2048];
    assert_parts(post("submit", ""), " 200 ", NULL); // suspended by the test before
    assert_parts(sign(), " 200 ", NULL);
    assert_parts(post("roll", ",\"percent\":100"), " 200 ", NULL);
    int fd = begin_halted(node);
    snprintf(kept, sizeof kept, "%s/aa.json", folder.folder);
    FILE *file = fopen(kept, "re");
    assert_non_null(file);
    document[fread(document, 1, sizeof document - 1, file)] = '\0';
    fclose(file);
    policy_folder_put(&folder, "aa",
                      policy_document("region", "aa", "\"extends\":\"base\",", "{}"));
    assert_parts(ask("POST", "/admin/policy/reload", "", "{}"), " 200 ", "\"failure\":null", NULL);
    assert_parts(ask_chat(""), " 403 ", "does not allow it", NULL);
    assert_parts(post("roll", ",\"percent\":100"), " 409 ", "does not allow this feature", NULL);
    assert_parts(post("suspend", ""), " 200 ", "\"state\":\"suspended\"", NULL);
    char *answer = finish(fd, "0\r\n\r\n");
    assert_null(strstr(answer, "its end"));
    assert_parts(answer, "\"code\":\"suspended\"", NULL);
    policy_folder_put(&folder, "aa", document); // for the tests behind
    stop(node);
}

static void wrong_changes_are_refused_by_name(void **state)
{
    static const struct {
        const char *verb, *more, *status, *says;
    } rows[] = {
        {"open", "", " 404 ", "a gate's verbs are draft"},
        {"roll", ",\"percent\":0", " 400 ", "percent"},
        {"roll", ",\"percent\":101", " 400 ", "percent"},
        {"roll", "", " 400 ", "percent must be given"},
        {"draft", ",\"models\":[\"nobody\"]", " 400 ", "'nobody' is neither"},
        {"draft", ",\"models\":\"tiny\"", " 400 ", "models must be a list"},
        {"draft", ",\"os\":[\"AcmeOS\"]", " 4", "os must be a name and its least version"},
        {"evidence", ",\"type\":\"filing\"", " 400 ", "reference must be given"},
        {"evidence", ",\"type\":\"filing\",\"reference\":\"1\",\"sha256\":\"00\"", " 400 ",
         "sha256 must be"},
        {"approve", ",\"approver\":\"ann\",\"signature\":\"00\",\"serial\":1", " 400 ",
         "signature must be base64 of 64 bytes"},
    };

    (void)state;
    if (!scene.redis.process) skip();
    struct fake_node *node = start(&(struct fake_node_options){.region = "aa"});
    assert_parts(post("retire", ""), " 200 ", "\"state\":\"retired\"", NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_parts(post(rows[i].verb, rows[i].more), rows[i].status, rows[i].says, NULL);
    assert_parts(ask("POST", "/admin/gate/live", "", "{\"region\":\"aa\"}"), " 400 ",
                 "feature must be given", NULL);
    assert_parts(
        ask("POST", "/admin/gate/live", "", "{\"region\":\"aa\",\"feature\":\"teleport\"}"),
        " 400 ", "feature must be one of assistant, grounding", NULL);
    assert_parts(ask("POST", "/admin/gate/draft", "", "{\"region\":\"aa\",\"feature\":\"search\"}"),
                 " 409 ", "does not allow this feature", NULL);
    assert_parts(ask("POST", "/admin/gate/draft", "", "{\"region\":\"zz\",\"feature\":\"search\"}"),
                 " 404 ", "region 'zz'", NULL);
    assert_parts(ask("GET", "/admin/gate/aa/search", "", ""), " 404 ", "there is no such gate",
                 NULL);
    stop(node);
}

static void an_sdk_of_openfeature_is_answered_in_its_words(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    struct fake_node *node = start(&(struct fake_node_options){.region = "aa"});
    make_live(); // retired by the test before: drafted anew
    assert_parts(
        evaluate("/assistant", "", "{\"context\":{\"targetingKey\":\"u\",\"region\":\"aa\"}}"),
        " 200 ", "\"key\":\"assistant\",\"value\":true,\"variant\":\"on\"",
        "\"reason\":\"TARGETING_MATCH\"", "\"region\":\"aa\"", NULL);
    assert_parts(evaluate("/embeddings", "X-Qiao-Region: aa\r\n", "{}"), "\"value\":false",
                 "\"reason\":\"DISABLED\"", "\"code\":\"region_not_approved\"", NULL);
    assert_parts(evaluate("/assistant", "", "{}"), "\"value\":false",
                 "\"code\":\"region_required\"", NULL);
    assert_parts(evaluate("/teleport", "", "{}"), " 404 ", "\"errorCode\":\"FLAG_NOT_FOUND\"",
                 "\"key\":\"teleport\"", NULL);
    assert_parts(evaluate("/assistant", "", "{\"context\":{\"targetingKey\":7}}"), " 400 ",
                 "\"errorCode\":\"INVALID_CONTEXT\"", NULL);
    assert_parts(evaluate("/assistant", "", "{"), " 400 ", "\"errorCode\":\"PARSE_ERROR\"", NULL);
    char *all = evaluate("", "X-Qiao-Region: aa\r\n", "{}");
    char *tag = strstr(all, "ETag: "), header[96], weak[128];
    assert_non_null(tag);
    snprintf(header, sizeof header, "X-Qiao-Region: aa\r\nIf-None-Match: %.34s\r\n",
             tag + strlen("ETag: "));
    snprintf(weak, sizeof weak, "X-Qiao-Region: aa\r\nIf-None-Match: \"other\" , W/%.34s\r\n",
             tag + strlen("ETag: ")); // as a proxy makes it that compresses
    assert_parts(all, "{\"flags\":[{\"key\":\"assistant\",\"value\":true",
                 "{\"key\":\"rerank\",\"value\":false", NULL);
    assert_parts(evaluate("", header, "{}"), " 304 ", NULL);
    assert_parts(evaluate("", weak, "{}"), " 304 ", NULL);
    assert_parts(evaluate("", "X-Qiao-Region: aa\r\nIf-None-Match: \"other\"\r\n", "{}"), " 200 ",
                 NULL);
    stop(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_a_draft_to_a_suspension),
        cmocka_unit_test(a_stream_is_cut_with_its_reason),
        cmocka_unit_test(a_gate_is_shut_where_the_policy_has_gone),
        cmocka_unit_test(wrong_changes_are_refused_by_name),
        cmocka_unit_test(an_sdk_of_openfeature_is_answered_in_its_words),
    };
    int failed;
    if (set_up(NULL)) return 1;
    failed = cmocka_run_group_tests(tests, start_redis, stop_redis);
    tear_down(NULL);
    return failed;
}
