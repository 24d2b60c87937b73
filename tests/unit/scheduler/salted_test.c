/* Who finds again what a node has cached, as the node is told: the whole scheduler, a played node, a real Redis. */
#include "tests/support/fake_node.h"
#include "tests/support/policy_folder.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ANN "X-Qiao-User: ann-the-user\r\n"
#define BOB "X-Qiao-User: bob-the-user\r\n"
#define OPENING                                                                               \
    "You help the customers of a shop that sells phones, covers and chargers. Answer in one " \
    "sentence, name the price, and never promise a date. Ask for the model when it is not said."

/* How a request may be cached. */
struct cached {
    struct wire_salt salts[2];
    size_t count;
    uint32_t cache_ms;
};

static struct fake_node *node;

static void start(void)
{
    start_scheduler("");
    node = start_node(&(struct fake_node_options){.answer = "yes"});
}

static void stop(void)
{
    fake_node_stop(node);
    stop_scheduler();
}

static struct cached told(const char *path, const char *headers, const char *body)
{
    struct cached cached = {0};
    assert_parts(ask("POST", path, headers, body), " 200 ", NULL);
    cached.count = fake_node_salts(node, cached.salts, &cached.cache_ms);
    return cached;
}

static struct cached chat_of(const char *headers)
{
    return told("/v1/chat/completions", headers,
                "{\"messages\":[{\"role\":\"user\",\"content\":\"say it\"}]}");
}

static struct cached opened_chat_of(const char *headers, const char *opening)
{
    struct buf body = {0};
    buf_addf(&body,
             "{\"messages\":[{\"role\":\"system\",\"content\":\"%s\"},{\"role\":\"user\","
             "\"content\":\"say it\"}]}",
             opening);
    struct cached cached = told("/v1/chat/completions", headers, body.data);
    buf_fini(&body);
    return cached;
}

static void assert_whole(const struct cached *cached, uint64_t salt)
{
    assert_int_equal(cached->count, 1);
    assert_int_equal(cached->salts[0].first_block, 0);
    assert_true(cached->salts[0].salt == salt);
}

static void each_user_has_a_salt_and_the_nameless_their_tenants(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start();
    uint64_t tenant = chat_of("").salts[0].salt, ann = chat_of(ANN).salts[0].salt;
    uint64_t bob = chat_of(BOB).salts[0].salt;
    assert_true(tenant && ann && bob && tenant != ann && tenant != bob && ann != bob);
    struct cached again = chat_of(ANN);
    assert_whole(&again, ann);
    assert_int_equal(again.cache_ms, 0);
    again = told("/v1/completions", ANN, "{\"prompt\":\"say it\"}");
    assert_whole(&again, ann);
    again = told("/v1/embeddings", ANN, "{\"input\":\"say it\"}");
    assert_whole(&again, ann);
    stop();
}

static void an_opening_is_the_tenants_from_its_second_user_on(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start();
    uint64_t tenant = chat_of("").salts[0].salt, ann = chat_of(ANN).salts[0].salt;
    uint64_t bob = chat_of(BOB).salts[0].salt;
    struct cached cached = opened_chat_of(ANN, OPENING);
    assert_whole(&cached, ann); // it may be ann's alone
    cached = opened_chat_of(BOB, OPENING);
    assert_int_equal(cached.count, 2);
    assert_true(cached.salts[0].first_block == 0 && cached.salts[0].salt == tenant);
    assert_true(cached.salts[1].first_block > 0 && cached.salts[1].salt == bob);
    struct cached of_ann = opened_chat_of(ANN, OPENING);
    assert_true(of_ann.count == 2 && of_ann.salts[1].salt == ann);
    assert_int_equal(of_ann.salts[1].first_block, cached.salts[1].first_block);
    cached = opened_chat_of(ANN, "The user is called Ann."); // shorter than a block
    assert_whole(&cached, ann);
    cached = opened_chat_of("", OPENING);
    assert_whole(&cached, tenant);
    stop();
}

static void erasing_a_user_waits_for_the_nodes(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start();
    uint64_t ann = chat_of(ANN).salts[0].salt;
    assert_parts(ask("DELETE", "/v1/me", ANN, ""), " 200 ",
                 "\"node_caches\":{\"state\":\"complete\",\"at\":1", NULL);
    assert_true(fake_node_evicted(node) == ann);
    // One that does not answer is told of, and asked again when somebody looks.
    fake_node_hang(node, true);
    char *answer = ask("DELETE", "/v1/me", BOB, ""), path[96], *at;
    at = strstr(answer, "\"id\":\"");
    assert_non_null(at);
    snprintf(path, sizeof path, "/v1/me/erasures/%.32s", at + 6);
    assert_parts(answer, " 200 ", "\"state\":\"service\"",
                 "\"node_caches\":{\"state\":\"pending\"}", NULL);
    fake_node_hang(node, false);
    assert_parts(ask("GET", path, BOB, ""), "\"node_caches\":{\"state\":\"complete\"", NULL);
    assert_parts(ask("GET", path, BOB, ""), "\"node_caches\":{\"state\":\"complete\"", NULL);
    stop();
}

static void no_message_names_a_user(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    static const char *const names[] = {"ann-the-user", "say it", "customers", "local"};
    start();
    (void)opened_chat_of(ANN, OPENING);
    (void)told("/v1/embeddings", ANN, "{\"input\":[\"say it\",\"customers\"]}");
    (void)told("/v1/chat/completions", ANN,
               "{\"session\":\"s1\",\"messages\":[{\"role\":\"user\",\"content\":\"say it\"}]}");
    assert_parts(ask("DELETE", "/v1/me", ANN, ""), " 200 ", NULL);
    assert_true(fake_node_submits(node) > 3);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (fake_node_heard(node, names[i])) fail_msg("the node heard '%s'", names[i]);
    stop();
}

/* A region whose prompts stay cached for so many seconds. */
static void put_region(const struct policy_folder *folder, const char *name, int seconds)
{
    struct buf rules = {0};
    buf_addf(&rules,
             "{\"features\":{\"assistant\":{\"allowed\":true,\"gated\":false,\"models\":\"any\","
             "\"adapters\":\"any\",\"languages\":\"any\"}},\"filter\":{\"required\":false},"
             "\"labels\":{\"place\":\"none\",\"implicit\":false},"
             "\"privacy\":{\"residency\":\"any\",\"redact\":[],\"session_seconds\":3600,"
             "\"cache_seconds\":%d},"
             "\"audit\":{\"stops\":[]},\"limits\":{\"prompt_tokens\":0,\"answer_tokens\":0,"
             "\"user_requests_per_minute\":0}}",
             seconds);
    policy_folder_put_region(folder, name, rules.data);
    buf_fini(&rules);
}

static void a_region_says_how_long_prompts_are_cached(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    struct policy_folder folder;
    policy_folder_init(&folder);
    policy_folder_put_base(&folder, "{}");
    put_region(&folder, "aa", 600);
    put_region(&folder, "bb", 0);
    const char *const more[] = {"--policy", folder.folder, "--policy-keys", folder.keys, NULL};
    start_scheduler_with("", more);
    node = start_node(&(struct fake_node_options){.answer = "yes"});
    struct cached cached = chat_of(ANN "X-Qiao-Region: aa\r\n");
    assert_int_equal(cached.cache_ms, 600000);
    uint64_t ann = cached.salts[0].salt;
    cached = chat_of(ANN "X-Qiao-Region: bb\r\n"); // with its last choice, and found by nobody
    struct cached other = chat_of(ANN "X-Qiao-Region: bb\r\n");
    assert_true(cached.count == 1 && cached.cache_ms == 1);
    assert_true(cached.salts[0].salt != ann && other.salts[0].salt != cached.salts[0].salt);
    stop();
    policy_folder_fini(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_user_has_a_salt_and_the_nameless_their_tenants),
        cmocka_unit_test(an_opening_is_the_tenants_from_its_second_user_on),
        cmocka_unit_test(erasing_a_user_waits_for_the_nodes),
        cmocka_unit_test(no_message_names_a_user),
        cmocka_unit_test(a_region_says_how_long_prompts_are_cached),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
