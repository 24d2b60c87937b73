/* What a governed scheduler leaves behind: receipts in its answers, records in its audit, and no answer where there can be none. */
#include "scheduler/policy/audit.h"
#include "tests/support/fake_node.h"
#include "tests/support/policy_folder.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"
#include "tests/unit/scheduler/signed_scene.h"

#include "wire/message.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/mem.h"
#include "base/receipt.h"

#include <jansson.h>
#include <sodium.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REGION    "X-Qiao-Region: aa\r\n"
#define ELSEWHERE "X-Qiao-Region: nowhere\r\n"

#define OPEN \
    "\"allowed\":true,\"models\":\"any\",\"adapters\":\"any\",\"languages\":\"any\",\"gated\":"

static const char rules[] =
    "{\"features\":{\"assistant\":{" OPEN "false},\"search\":{" OPEN "false},"
    "\"rerank\":{" OPEN "true}},\"gate\":{\"evidence\":[\"filing\"],\"signatures\":1},"
    "\"filter\":{\"required\":false},\"privacy\":{\"residency\":\"any\",\"redact\":[],"
    "\"session_seconds\":3600},\"audit\":{\"stops\":[\"denial\"]},\"limits\":{\"prompt_tokens\":0,"
    "\"answer_tokens\":0,\"user_requests_per_minute\":0},"
    "\"labels\":{\"place\":\"none\",\"implicit\":false}}";

static int given_a_governed_scheduler(void **state)
{
    signed_scene_begin(state);
    policy_folder_put_region(&folder, "aa", rules);
    signed_scene_start(1u << WIRE_GENERATE | 1u << WIRE_EMBED | 1u << WIRE_SCORE);
    return 0;
}

static char *chat_in(const char *headers, const char *rest)
{
    struct buf body = {0};
    buf_addf(&body, "{\"messages\":[{\"role\":\"user\",\"content\":\"say it\"}]%s}", rest);
    char *answer = ask("POST", "/v1/chat/completions", headers, body.data);
    buf_fini(&body);
    return answer;
}

/* The last JSON object behind `mark` in a text. */
static json_t *object_behind(const char *text, const char *mark)
{
    const char *at = NULL;
    for (const char *next = text; (next = strstr(next, mark)) != NULL; at = next)
        next += strlen(mark);
    json_t *object = at ? json_loads(at, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
    if (!object) fail_msg("there is no %s in: %s", mark, text);
    return object;
}

static void take(const json_t *object, const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s", json_string_value(json_object_get(object, name)));
}

static void take_digest(const json_t *object, const char *name, struct digest *out)
{
    const char *text = json_string_value(json_object_get(object, name));
    assert_int_equal(
        sodium_hex2bin(out->bytes, sizeof out->bytes, text, strlen(text), NULL, NULL, NULL), 0);
}

/* The receipt is one of this answer, as the key signed it. */
static struct receipt check_receipt(const json_t *object)
{
    struct receipt receipt = {.epoch =
                                  (uint64_t)json_integer_value(json_object_get(object, "epoch")),
                              .time_ms = json_integer_value(json_object_get(object, "time"))};
    take(object, "answer", receipt.answer, sizeof receipt.answer);
    take(object, "build", receipt.build, sizeof receipt.build);
    take(object, "region", receipt.region, sizeof receipt.region);
    take(object, "feature", receipt.feature, sizeof receipt.feature);
    take(object, "label", receipt.label, sizeof receipt.label);
    take(object, "key", receipt.key, sizeof receipt.key);
    take_digest(object, "model", &receipt.model);
    take_digest(object, "policy", &receipt.policy);
    const char *signature = json_string_value(json_object_get(object, "signature"));
    assert_true(sign_decode(signature, receipt.signature, sizeof receipt.signature));
    if (receipt_check(&receipt, &keys)) fail_msg("%s", err_text());
    assert_string_equal(receipt.region, "aa");
    return receipt;
}

static void an_answer_says_what_it_was_made_with(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    char *answer = chat_in(REGION, "");
    json_t *object = object_behind(answer, "\"receipt\":"),
           *body = object_behind(answer, "\r\n\r\n");
    struct receipt receipt = check_receipt(object);
    assert_string_equal(receipt.feature, "assistant");
    assert_string_equal(receipt.answer, json_string_value(json_object_get(body, "id")));
    assert_false(digest_is_zero(&receipt.model));
    assert_false(digest_is_zero(&receipt.policy));
    json_decref(object);
    json_decref(body);
    mem_free(answer);
}

static void a_stream_says_it_at_its_end(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    char *answer = chat_in(REGION, ",\"stream\":true");
    json_t *object = object_behind(answer, "\"receipt\":");
    check_receipt(object);
    const char *first = strstr(answer, "\"receipt\":");
    assert_null(strstr(first, "\"finish_reason\":null")); // no content comes after it
    json_decref(object);
    mem_free(answer);
}

static void other_answers_say_it_in_a_header(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    mem_free(ask("PUT", "/v1/indexes/things", "", "{}"));
    char *answer = ask_patiently("POST", "/v1/indexes/things/search", REGION, "{\"q\":\"bamboo\"}");
    json_t *object = object_behind(answer, "X-Qiao-Receipt: ");
    struct receipt receipt = check_receipt(object);
    assert_string_equal(receipt.feature, "search");
    assert_true(digest_is_zero(&receipt.model)); // none had a part in it
    json_decref(object);
    mem_free(answer);
}

static void a_search_says_which_model_had_a_part_in_it(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    struct digest model = digest_of("fake", 4);
    mem_free(ask("PUT", "/v1/indexes/judged", "", "{\"fields\":[\"title\"]}"));
    mem_free(ask_patiently("POST", "/v1/indexes/judged/documents?wait=true", "",
                           "{\"id\":\"a\",\"title\":\"bamboo\"}\n"));
    char *answer = ask_patiently("POST", "/v1/indexes/judged/search", REGION,
                                 "{\"q\":\"bamboo\",\"rerank\":true}");
    assert_null(strstr(answer, "degraded"));
    json_t *object = object_behind(answer, "X-Qiao-Receipt: ");
    struct receipt receipt = check_receipt(object);
    assert_true(digest_equal(&receipt.model, &model));
    json_decref(object);
    mem_free(answer);
}

// ---- the audit ---------------------------------------------------------------------------------

static json_int_t fact(const char *name)
{
    char *answer = ask("GET", "/admin/audit", "", "");
    json_t *body = object_behind(answer, "\r\n\r\n");
    json_int_t value = json_integer_value(json_object_get(body, name));
    json_decref(body);
    mem_free(answer);
    return value;
}

static json_int_t records(void)
{
    assert_soon(fact("waiting") == 0);
    return fact("records");
}

static void denials_are_recorded_and_a_flood_of_them_is_counted(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    json_int_t before = records();
    uint64_t begin_ns = clock_now_ns();
    for (int i = 0; i < 50; i++) {
        char *answer = chat_in(ELSEWHERE, "");
        assert_non_null(strstr(answer, "\"code\":\"region_not_approved\""));
        mem_free(answer);
    }
    uint64_t spans = (clock_now_ns() - begin_ns) / (AUDIT_OFTEN_MS * CLOCK_MS);
    assert_in_range(records(), before + 1, before + 1 + (json_int_t)spans);
}

static void an_order_is_recorded_whatever_came_of_it(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    json_int_t before = records();
    mem_free(ask("POST", "/admin/drain", "", "{\"node\":\"nobody\"}"));
    mem_free(ask("POST", "/admin/policy/reload", "", "{}"));
    assert_int_equal(records(), before + 3); // the reading of the policy, too
    mem_free(ask("GET", "/admin/status", "", ""));
    assert_int_equal(records(), before + 3);
}

/* By whichever path: Gorse's clients end consents and take events back, too. */
static void what_a_user_decides_is_recorded_on_gorses_paths_too(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    json_int_t before = records();
    assert_parts(
        ask("PUT", "/v1/me/consents", "X-Qiao-User: ann\r\n", "{\"consents\":{\"history\":true}}"),
        " 200 ", NULL);
    assert_int_equal(records(), before + 1);
    assert_parts(ask("DELETE", "/api/feedback/like/ann/p1", "", ""), " 200 ", NULL);
    assert_parts(ask("DELETE", "/api/feedback/ann/p1", "", ""), " 200 ", NULL);
    assert_int_equal(records(), before + 3);
    assert_parts(ask("DELETE", "/api/user/ann", "", ""), " 200 ", "\"RowAffected\":1", NULL);
    assert_int_equal(records(), before + 4);
    assert_parts(ask("GET", "/api/users", "", ""), " 403 ", NULL);
    assert_int_equal(records(), before + 4);
}

static void everybody_may_know_by_which_rules_answers_are_made(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    char *answer = ask("GET", "/v1/transparency", "", "");
    json_t *body = object_behind(answer, "\r\n\r\n");
    const json_t *region = json_array_get(json_object_get(body, "regions"), 0);
    assert_string_equal(json_string_value(json_object_get(region, "region")), "aa");
    assert_int_equal(json_array_size(json_object_get(body, "models")), 1);
    assert_int_equal(json_array_size(json_object_get(body, "keys")), 1);
    assert_true(json_is_object(json_object_get(body, "audit")));
    json_decref(body);
    mem_free(answer);
}

static bool sees(const char *path, const char *text)
{
    char *answer = ask("GET", path, "", "");
    bool seen = strstr(answer, text) != NULL;
    mem_free(answer);
    return seen;
}

/* Until what an operator sees has this text. */
static void wait_to_see(const char *path, const char *text)
{
    assert_soon(sees(path, text));
}

static void filings_are_public(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    wait_to_see("/admin/gate", "\"lease\":true");
    json_int_t before = records();
    char *draft = ask("POST", "/admin/gate/draft", "",
                      "{\"region\":\"aa\",\"feature\":\"rerank\",\"os\":[\"AcmeOS/18.4\"],"
                      "\"models\":[\"0102030405060708090a0b0c0d0e0f10\"]}");
    wait_to_see("/admin/gate/aa/rerank", " 200 ");
    char *filed = ask("POST", "/admin/gate/evidence", "",
                      "{\"region\":\"aa\",\"feature\":\"rerank\",\"type\":\"filing\","
                      "\"reference\":\"No. 17\",\"sha256\":\"00000000000000000000000000000000"
                      "00000000000000000000000000000001\"}");
    if (!strstr(draft, " 200 ") || !strstr(filed, " 200 ")) fail_msg("%s\n%s", draft, filed);
    assert_int_equal(records(), before + 4); // two orders, and two changes of the gate
    wait_to_see("/v1/transparency", "No. 17");
    char *answer = ask("GET", "/v1/transparency", "", "");
    json_t *body = object_behind(answer, "\r\n\r\n");
    const json_t *approval = json_array_get(json_object_get(body, "approvals"), 0);
    const json_t *filing = json_array_get(json_object_get(approval, "filings"), 0);
    assert_string_equal(json_string_value(json_object_get(approval, "feature")), "rerank");
    assert_string_equal(json_string_value(json_object_get(approval, "state")), "draft");
    assert_string_equal(json_string_value(json_object_get(filing, "reference")), "No. 17");
    json_decref(body);
    mem_free(answer);
    mem_free(filed);
    mem_free(draft);
}

static bool is_answered(const char *text)
{
    char *answer = chat_in(REGION, "");
    bool found = strstr(answer, text) != NULL;
    mem_free(answer);
    return found;
}

static void nothing_is_answered_that_could_not_be_recorded(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    test_redis_kill(&scene.redis);
    mem_free(ask("POST", "/v1/chat/completions", "", "{}"));
    assert_soon(is_answered("\"code\":\"audit_not_possible\""));
    assert_parts(chat_in(REGION, ""), " 503 ", NULL);
    test_redis_restart(&scene.redis);
    assert_soon(is_answered(" 200 "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_says_what_it_was_made_with),
        cmocka_unit_test(a_stream_says_it_at_its_end),
        cmocka_unit_test(other_answers_say_it_in_a_header),
        cmocka_unit_test(a_search_says_which_model_had_a_part_in_it),
        cmocka_unit_test(denials_are_recorded_and_a_flood_of_them_is_counted),
        cmocka_unit_test(an_order_is_recorded_whatever_came_of_it),
        cmocka_unit_test(what_a_user_decides_is_recorded_on_gorses_paths_too),
        cmocka_unit_test(everybody_may_know_by_which_rules_answers_are_made),
        cmocka_unit_test(filings_are_public),
        cmocka_unit_test(nothing_is_answered_that_could_not_be_recorded),
    };
    return cmocka_run_group_tests(tests, given_a_governed_scheduler, signed_scene_end);
}
