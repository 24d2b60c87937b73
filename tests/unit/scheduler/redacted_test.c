/* A governed scheduler with a node that is played: identifiers in prompts do not leave it where the region's rules say so, and what it keeps
 * of users lives no longer than they allow. */
#include "tests/support/policy_folder.h"
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"

#include "base/mem.h"

#include <sodium.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRICT "X-Qiao-Region: strict\r\nX-Qiao-User: ann\r\n"
#define LOOSE  "X-Qiao-Region: loose\r\nX-Qiao-User: ann\r\n"

#define SAID "call 138-0013-8000 or a@b.cn, ID 11010519491231002X"

#define RULES(privacy)                                                                             \
    "{\"features\":{"                                                                              \
    "\"assistant\":{\"allowed\":true,\"gated\":false,\"models\":\"any\",\"languages\":\"any\"},"   \
    "\"embeddings\":{\"allowed\":true,\"gated\":false,\"models\":\"any\",\"languages\":\"any\"}}," \
    "\"filter\":{\"required\":false},\"labels\":{\"place\":\"none\",\"implicit\":false},"          \
    "\"limits\":{\"user_requests_per_minute\":600},\"privacy\":{\"residency\":\"any\"," privacy    \
    "}}"

static struct policy_folder folder;
static struct fake_node *node;

static int set_up(void **state)
{
    const char *const words[] = {"--policy", folder.folder, "--policy-keys", folder.keys, NULL};
    if (sodium_init() < 0 || start_redis(state) != 0) return -1;
    if (scene.redis.process == 0) return 0;
    policy_folder_init(&folder);
    policy_folder_put_base(&folder, "{}");
    policy_folder_put_region(&folder, "strict",
                             RULES("\"redact\":[\"phone\",\"identity\",\"email\"],"
                                   "\"session_seconds\":30,\"history_days\":1"));
    policy_folder_put_region(&folder, "loose", RULES("\"redact\":[],\"history_days\":3650"));
    start_scheduler_with("", words);
    node = start_node(&(struct fake_node_options){.answer = "ok", .context = 4096});
    return 0;
}

static int tear_down(void **state)
{
    if (scene.redis.process != 0) {
        fake_node_stop(node);
        stop_scheduler();
        policy_folder_fini(&folder);
    }
    return stop_redis(state);
}

static void then_prompt_has(const char *part, const char * not )
{
    char *prompt = fake_node_prompt(node);
    if (!strstr(prompt, part)) fail_msg("no '%s' in '%s'", part, prompt);
    if (strstr(prompt, not )) fail_msg("'%s' in '%s'", not, prompt);
    mem_free(prompt);
}

static void a_chat_leaves_without_identifiers(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    assert_parts(ask("POST", "/v1/chat/completions", STRICT,
                     "{\"messages\":[{\"role\":\"user\",\"content\":\"" SAID "\"}]}"),
                 " 200 ", NULL);
    then_prompt_has("call [PHONE] or [EMAIL], ID [ID]", "138");
    assert_parts(ask("POST", "/v1/completions", STRICT, "{\"prompt\":\"" SAID "\"}"), " 200 ",
                 NULL);
    then_prompt_has("call [PHONE] or [EMAIL], ID [ID]", "138");
    assert_parts(ask("POST", "/v1/chat/completions", LOOSE,
                     "{\"messages\":[{\"role\":\"user\",\"content\":\"" SAID "\"}]}"),
                 " 200 ", NULL);
    then_prompt_has(SAID, "[PHONE]");
    assert_parts(ask("GET", "/metrics", "", ""), "qiao_redactions_total{part=\"PHONE\"} 2",
                 "part=\"EMAIL\"} 2", NULL);
}

static void token_ids_cannot_be_looked_through(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    assert_parts(ask("POST", "/v1/completions", STRICT, "{\"prompt\":[5,6,7]}"), " 400 ",
                 "must be text", "\"param\":\"prompt\"", NULL);
    assert_parts(ask("POST", "/v1/embeddings", STRICT, "{\"input\":[5,6,7]}"), " 400 ",
                 "must be text", NULL);
    assert_parts(ask("POST", "/v1/completions", LOOSE, "{\"prompt\":[5,6,7]}"), " 200 ", NULL);
}

static void texts_for_vectors_are_looked_through(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    assert_parts(ask("POST", "/v1/embeddings", STRICT, "{\"input\":[\"x\",\"" SAID "\"]}"), " 200 ",
                 NULL);
    then_prompt_has("[PHONE]", "138");
}

/* A turn that was said where nothing is redacted stays out of a prompt where it is. */
static void an_older_turn_is_redacted_too(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    assert_parts(ask("POST", "/v1/chat/completions", LOOSE,
                     "{\"session\":\"s\",\"messages\":[{\"role\":\"user\",\"content\":\"" SAID
                     "\"}]}"),
                 " 200 ", NULL);
    assert_parts(ask("GET", "/v1/sessions/s", LOOSE, ""), "138-0013-8000", NULL);
    assert_parts(
        ask("POST", "/v1/chat/completions", STRICT,
            "{\"session\":\"s\",\"messages\":[{\"role\":\"user\",\"content\":\"and then?\"}]}"),
        " 200 ", NULL);
    then_prompt_has("call [PHONE] or [EMAIL], ID [ID]", "138");
    char *shown = ask("GET", "/v1/sessions/s", LOOSE, "");
    assert_null(strstr(shown, "138-0013"));
    assert_non_null(strstr(shown, "[PHONE]"));
    mem_free(shown);
}

/* The least of the keys that the pattern matches; -3: there is none. */
static long long ttl_of(const char *pattern)
{
    char command[320], line[32] = "-3";
    snprintf(command, sizeof command,
             "redis-cli -s %s --raw keys '%s' | xargs -r -n 1 redis-cli -s %s ttl | sort -n",
             scene.redis.socket, pattern, scene.redis.socket);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(line, sizeof line, pipe));
    pclose(pipe);
    return strtoll(line, NULL, 10);
}

static void what_is_kept_lives_as_long_as_the_region_allows(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    assert_parts(
        ask("POST", "/v1/chat/completions", STRICT,
            "{\"session\":\"brief\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"),
        " 200 ", NULL);
    assert_in_range(ttl_of("*:session:brief"), 20, 30);
    assert_parts(ask("PUT", "/v1/me/consents", STRICT, "{\"consents\":{\"history\":true}}"),
                 " 200 ", NULL);
    static const char event[] = "{\"events\":[{\"type\":\"view\",\"item\":\"p1\"}]}";
    assert_parts(ask("POST", "/v1/events", STRICT, event), " 200 ", "\"stored\":1", NULL);
    assert_in_range(ttl_of("*:events@*"), 86000, 86400);
    assert_parts(ask("POST", "/v1/events", LOOSE, event), " 200 ", "\"stored\":1", NULL);
    // A region that keeps events for longer does not keep another's.
    assert_in_range(ttl_of("*:events@*"), 86000, 86400);
    assert_in_range(ttl_of("*:event_key@*"), 86000, 86400);
    assert_true(ttl_of("*:event_homes") > 86400);
    // What is older than the region keeps is not taken there.
    assert_parts(ask("POST", "/v1/events", STRICT,
                     "{\"events\":[{\"type\":\"view\",\"item\":\"p1\",\"time\":1700000000}]}"),
                 " 400 ", "time", NULL);
}

static void what_stands_against_a_users_limits_is_exported(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    assert_parts(ask("POST", "/v1/completions", STRICT, "{\"prompt\":\"hello\"}"), " 200 ", NULL);
    char *lines = ask_patiently("GET", "/v1/me/export", STRICT, "");
    const char *found = strstr(lines, "\"requests_of_the_minute\":");
    assert_non_null(found);
    assert_true(strtol(found + strlen("\"requests_of_the_minute\":"), NULL, 10) > 0);
    mem_free(lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chat_leaves_without_identifiers),
        cmocka_unit_test(token_ids_cannot_be_looked_through),
        cmocka_unit_test(texts_for_vectors_are_looked_through),
        cmocka_unit_test(an_older_turn_is_redacted_too),
        cmocka_unit_test(what_stands_against_a_users_limits_is_exported),
        cmocka_unit_test(what_is_kept_lives_as_long_as_the_region_allows),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
