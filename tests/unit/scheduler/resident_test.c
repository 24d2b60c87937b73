/* What users did under one region's rules, and requests under others': a whole scheduler, a real Redis, a played recommender. Its rows have no
 * names: their numbers are the ids. */
#include "tests/support/policy_folder.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"

#include "base/mem.h"

#include <sodium.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RULES(privacy)                                                                       \
    "{\"features\":{\"recommendations\":{\"allowed\":true,\"gated\":false,\"models\":"       \
    "\"any\",\"languages\":\"any\"}},\"filter\":{\"required\":false},\"labels\":{\"place\":" \
    "\"none\",\"implicit\":false},\"privacy\":{\"redact\":[]," privacy "}}"

static const char path[] = "/v1/recommendations", withheld[] = "\"withheld\":";
static struct policy_folder folder;
static struct fake_node *node;

/* aa and bb keep to themselves, cc goes where aa may, dd anywhere. The one node is in aa. */
static int set_up(void **state)
{
    const char *const words[] = {"--policy", folder.folder, "--policy-keys", folder.keys, NULL};
    if (sodium_init() < 0 || start_redis(state) != 0) return -1;
    if (!scene.redis.process) return 0;
    policy_folder_init(&folder);
    policy_folder_put_base(&folder, "{\"limits\":{\"user_requests_per_minute\":600}}");
    policy_folder_put_region(&folder, "aa", RULES("\"history_days\":30"));
    policy_folder_put_region(&folder, "bb", RULES("\"history_days\":10"));
    policy_folder_put_region(&folder, "cc", RULES("\"history_days\":20,\"residency\":[\"aa\"]"));
    policy_folder_put_region(&folder, "dd", RULES("\"history_days\":40,\"residency\":\"any\""));
    start_scheduler_with("", words);
    wait_for_redis(true);
    node = start_node(&(struct fake_node_options){.region = "aa", .kinds = 1u << WIRE_RECOMMEND});
    return 0;
}

static int tear_down(void **state)
{
    if (scene.redis.process) {
        fake_node_stop(node);
        stop_scheduler();
        policy_folder_fini(&folder);
    }
    return stop_redis(state);
}

/* The headers of a user in a region; "": of none. */
static const char *as(const char *user, const char *region)
{
    static char out[128];
    snprintf(out, sizeof out, "X-Qiao-User: %s\r\n%s%s%s", user, *region ? "X-Qiao-Region: " : "",
             region, *region ? "\r\n" : "");
    return out;
}

static void agree(const char *user)
{
    assert_parts(ask("PUT", "/v1/me/consents", as(user, "aa"),
                     "{\"consents\":{\"history\":true,\"recommendations\":true}}"),
                 " 200 ", NULL);
}

static void see(const char *user, const char *region, const char *item)
{
    char body[128];
    snprintf(body, sizeof body, "{\"events\":[{\"type\":\"view\",\"item\":\"%s\"}]}", item);
    assert_parts(ask("POST", "/v1/events", as(user, region), body), " 200 ", "\"stored\":1", NULL);
}

static void assert_without(char *answer, const char *text)
{
    if (strstr(answer, text)) fail_msg("%s in %s", text, answer);
    mem_free(answer);
}

static void a_history_is_used_where_its_region_lets_it_go(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    agree("ann");
    see("ann", "aa", "3");
    assert_without(ask("POST", path, as("ann", "aa"), "{}"), withheld);
    assert_parts(ask("POST", path, as("ann", "aa"), "{}"), " 200 ", "\"personalized\":true", NULL);
    assert_int_equal(fake_node_submits(node), 2);
    // bb's nodes are others, dd's might be; no node hears of it.
    assert_parts(ask("POST", path, as("ann", "bb"), "{}"), " 200 ", "\"personalized\":false",
                 "\"basis\":\"popular\"", "\"withheld\":\"region_not_approved\"", NULL);
    assert_parts(ask("POST", path, as("ann", "dd"), "{}"), " 200 ", "\"basis\":\"popular\"",
                 "\"withheld\":\"region_not_approved\"", NULL);
    assert_int_equal(fake_node_submits(node), 2);
    // cc's are aa's.
    assert_parts(ask("POST", path, as("ann", "cc"), "{}"), " 200 ", "\"personalized\":true", NULL);
    assert_without(ask("POST", path, as("ann", "cc"), "{}"), withheld);
}

static void a_region_that_lets_go_is_used_anywhere(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    agree("dan");
    see("dan", "dd", "3");
    assert_parts(ask("POST", path, as("dan", "aa"), "{}"), " 200 ", "\"personalized\":true", NULL);
    assert_without(ask("POST", path, as("dan", "bb"), "{}"), withheld);
}

/* Under another region the user sees what may be used there, and takes along everything. */
static void a_look_shows_what_may_be_used_and_the_export_all(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    agree("eve");
    see("eve", "aa", "4");
    see("eve", "bb", "5");
    assert_parts(ask("GET", "/v1/me/events", as("eve", "aa"), ""), "\"item\":\"4\"",
                 "\"region\":\"aa\"}],\"withheld\":\"region_not_approved\"}", NULL);
    assert_without(ask("GET", "/v1/me/events", as("eve", "aa"), ""), "\"item\":\"5\"");
    assert_without(ask("GET", "/v1/me/events", as("eve", "bb"), ""), "\"item\":\"4\"");
    // Of no region: what may be used under each.
    assert_parts(ask("GET", "/v1/me/events", as("eve", ""), ""),
                 "\"data\":[],\"withheld\":\"region_not_approved\"}", NULL);
    assert_parts(ask_patiently("GET", "/v1/me/tags", as("eve", "bb"), ""),
                 "\"withheld\":\"region_not_approved\"}", NULL);
    assert_parts(ask_patiently("GET", "/v1/me/export", as("eve", "bb"), ""),
                 "\"region\":\"aa\",\"item\":\"4\"", NULL);
    assert_parts(ask_patiently("GET", "/v1/me/export", as("eve", "bb"), ""),
                 "\"region\":\"bb\",\"item\":\"5\"", NULL);
}

/* What a recommender learns from is a use, too. */
static void a_training_export_is_of_its_region(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    agree("fay");
    see("fay", "aa", "apple");
    see("fay", "bb", "banana");
    static const char salted[] = "{\"salt\":\"0123456789abcdef\"}";
    assert_parts(ask("POST", "/admin/histories", as("fay", "aa"), salted), " 200 ", "\"apple\"",
                 "],\"withheld\":\"region_not_approved\"}", NULL);
    assert_without(ask("POST", "/admin/histories", as("fay", "aa"), salted), "\"banana\"");
    assert_without(ask("POST", "/admin/histories", as("fay", "bb"), salted), "\"apple\"");
    assert_without(ask("POST", "/admin/histories", as("fay", ""), salted), "\"apple\"");
}

/* Of no region that has rules: kept, and used where every region lets its data go, which is nowhere here. */
static void an_event_of_no_region_stays_unused(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    agree("gus");
    see("gus", "", "3");
    see("gus", "zz", "4");
    assert_parts(ask("POST", path, as("gus", "aa"), "{}"), " 200 ", "\"basis\":\"popular\"",
                 "\"withheld\":\"region_not_approved\"", NULL);
    assert_parts(ask_patiently("GET", "/v1/me/export", as("gus", "aa"), ""), "\"item\":\"3\"",
                 "\"item\":\"4\"", NULL);
}

static void an_erasure_is_of_all_regions(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    agree("hal");
    see("hal", "aa", "quince");
    see("hal", "bb", "medlar");
    see("hal", "", "sorb");
    assert_parts(ask("DELETE", "/v1/me", as("hal", "bb"), ""), "\"events\":3", NULL);
    agree("hal");
    assert_without(ask("GET", "/v1/me/events", as("hal", "aa"), ""), "quince");
    assert_without(ask_patiently("GET", "/v1/me/export", as("hal", "bb"), ""),
                   "\"object\":\"event\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_history_is_used_where_its_region_lets_it_go),
        cmocka_unit_test(a_region_that_lets_go_is_used_anywhere),
        cmocka_unit_test(a_look_shows_what_may_be_used_and_the_export_all),
        cmocka_unit_test(a_training_export_is_of_its_region),
        cmocka_unit_test(an_event_of_no_region_stays_unused),
        cmocka_unit_test(an_erasure_is_of_all_regions),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
