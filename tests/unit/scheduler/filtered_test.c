/* The safety filter as a client meets it: a whole scheduler under a policy, a played node, a real Redis. */
#include "tests/support/fake_node.h"
#include "tests/support/policy_folder.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/terms.h"

#include <sodium.h>

#include <string.h>
#include <sys/stat.h>
#include <time.h>

static const char chat_path[] = "/v1/chat/completions";
static const char region[] = "X-Qiao-Region: aa\r\n";
static struct policy_folder folder;
static char terms_folder[64];
static struct fake_node *node;

static const char features[] =
    "\"features\":{\"assistant\":{\"allowed\":true,\"gated\":false,\"models\":\"any\","
    "\"languages\":\"any\"},\"search\":{\"allowed\":true,\"gated\":false,\"models\":\"any\","
    "\"languages\":\"any\"}},\"labels\":{\"place\":\"none\",\"implicit\":false},"
    "\"audit\":{\"stops\":[]},\"privacy\":{\"redact\":[],\"residency\":\"any\"},"
    "\"limits\":{\"prompt_tokens\":8192,\"answer_tokens\":2048,\"user_requests_per_minute\":600}";

static void write_terms(const char *name, const char *text)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", terms_folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* A bundle that was made today, signed by the folder's key. */
static void put_terms(unsigned serial, const char *lines)
{
    struct buf text = {0}, record = {0};
    struct sign_signature signature = {0};
    char day[32];
    time_t now = time(NULL);
    strftime(day, sizeof day, "%Y-%m-%d", gmtime(&now));
    buf_addf(&text,
             "qiao terms 1\nname demo\nserial %u\nmade %s\ncategory bar block block\n"
             "category no refuse refuse\ncategory veil mask mask\n%s",
             serial, day, lines);
    memcpy(signature.id, folder.secret.id, sizeof signature.id);
    sign_bytes(signature.bytes, &folder.secret, TERMS_PURPOSE, text.data, text.size);
    sign_write_signature(&record, &signature);
    write_terms("demo.terms", buf_text(&text));
    write_terms("demo.terms.sig", buf_text(&record));
    buf_fini(&text);
    buf_fini(&record);
}

/* A region's rules, with these of the filter. */
static void put_policy(const char *filter)
{
    struct buf rules = {0};
    buf_addf(&rules, "{%s,\"filter\":%s}", features, filter);
    policy_folder_put_base(&folder, buf_text(&rules));
    policy_folder_put_region(&folder, "aa", "{}");
    buf_fini(&rules);
}

static const char usual[] =
    "{\"required\":true,\"bundle\":\"demo\",\"max_age_days\":30,\"window\":256,\"strikes\":0,"
    "\"refusal\":{\"en\":\"Not this.\",\"zh-Hans\":\"不行。\"}}";

static int set_up(void **state)
{
    if (sodium_init() < 0) return -1;
    policy_folder_init(&folder);
    snprintf(terms_folder, sizeof terms_folder, "%s/terms", folder.root);
    if (mkdir(terms_folder, 0700) != 0) return -1;
    return start_redis(state);
}

static int tear_down(void **state)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", terms_folder);
    if (system(command) != 0) return -1;
    policy_folder_fini(&folder);
    return stop_redis(state);
}

static void start(const char *filter, const char *lines, const char *answer)
{
    const char *const more[] = {
        "--policy", folder.folder, "--policy-keys", folder.keys, "--terms", terms_folder, NULL};
    put_policy(filter);
    put_terms(1, lines);
    start_scheduler_with("", more);
    node = start_node(&(struct fake_node_options){.answer = answer});
}

static void stop(void)
{
    assert_soon(flights_in_air() == 0);
    fake_node_stop(node);
    stop_scheduler();
}

static char *say(const char *headers, const char *text, const char *rest)
{
    struct buf body = {0}, all = {0};
    buf_addf(&body, "{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]%s}", text, rest);
    buf_addf(&all, "%s%s", region, headers);
    char *answer = ask("POST", chat_path, buf_text(&all), body.data);
    buf_fini(&body);
    buf_fini(&all);
    return answer;
}

/* What a stream's chunks say, put together. */
static char *streamed(char *answer)
{
    static const char mark[] = "\"delta\":{\"content\":\"";
    struct buf out = {0};
    for (const char *at = answer; (at = strstr(at, mark)) != NULL;) {
        at += sizeof mark - 1;
        buf_add(&out, at, strcspn(at, "\""));
    }
    mem_free(answer);
    buf_add_byte(&out, '\0');
    return buf_take(&out);
}

static void says(char *got, const char *want)
{
    assert_string_equal(got, want);
    mem_free(got);
}

static void an_answer_is_masked_whether_it_is_streamed_or_not(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start(usual, "term veil 坏东西\n", "He sees 壞 东 西 now");
    assert_parts(say("", "hi", ""), " 200 ", "\"content\":\"He sees ***** now\"",
                 "\"finish_reason\":\"stop\"", NULL);
    says(streamed(say("", "hi", ",\"stream\":true")), "He sees ***** now");
    assert_parts(say("", "hi", ",\"logprobs\":true"), " 400 ", "cannot be had in this region",
                 "\"param\":\"logprobs\"", NULL);
    stop();
}

static void an_answer_that_is_refused_ends_with_the_refusal(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start(usual, "term no nasty\n", "so n-a-s-t-y a word");
    assert_parts(say("", "hi", ""), " 200 ", "\"content\":\"Not this.\"",
                 "\"finish_reason\":\"content_filter\"", NULL);
    assert_parts(say("Accept-Language: zh-CN\r\n", "hi", ",\"n\":2"), "\"content\":\"不行。\"",
                 "content_filter", "\"content\":\"不行。\"", "content_filter", NULL);
    says(streamed(say("", "hi", ",\"stream\":true")), "so \\n\\nNot this.");
    assert_parts(say("", "hi", ",\"stream\":true"), "\"finish_reason\":\"content_filter\"",
                 "[DONE]", NULL);
    stop();
}

static void a_prompt_that_is_refused_reaches_no_node(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start(usual, "term no nasty\nterm veil 坏东西\n", NULL);
    assert_parts(say("", "what is n4sty?", ""), " 200 ", "\"content\":\"Not this.\"",
                 "\"finish_reason\":\"content_filter\"", "\"completion_tokens\":0", NULL);
    says(streamed(say("Accept-Language: zh\r\n", "ｎａｓｔｙ", ",\"stream\":true")), "不行。");
    assert_int_equal(fake_node_submits(node), 0);
    assert_parts(say("", "是坏东西吗", ""), " 200 ", "\"content\":\"Hello", NULL);
    char *prompt = fake_node_prompt(node);
    assert_non_null(strstr(prompt, "是***吗"));
    assert_null(strstr(prompt, "坏"));
    mem_free(prompt);
    struct buf body = {0};
    buf_addf(&body, "{\"prompt\":[1,2,3]}");
    assert_parts(ask("POST", "/v1/completions", region, body.data), " 400 ", "must be a text",
                 NULL);
    buf_fini(&body);
    stop();
}

static void a_session_has_no_turn_of_what_was_refused(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start(usual, "term no nasty\nterm veil 你好\n", NULL);
    assert_parts(say("", "one", ",\"session\":\"f\""), " 200 ", "Hello, ** world", "\"version\":1",
                 NULL);
    assert_parts(say("", "nasty", ",\"session\":\"f\""), " 200 ", "Not this.", NULL);
    assert_parts(ask("GET", "/v1/sessions/f", region, ""), "\"version\":1", "\"content\":\"one\"",
                 "Hello, ** world", NULL);
    stop();
}

static void queries_are_filtered_too(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start(usual, "term no nasty\nterm veil cable\n", NULL);
    assert_parts(ask("PUT", "/v1/indexes/shop", "", "{\"fields\":{\"title\":1}}"), "200 OK", NULL);
    assert_parts(ask_patiently("POST", "/v1/indexes/shop/documents?wait=true", "",
                               "{\"id\":\"p\",\"title\":\"phone cable\"}\n"),
                 "200 OK", NULL);
    assert_parts(ask_patiently("POST", "/v1/indexes/shop/search", region, "{\"q\":\"phone\"}"),
                 "200 OK", "\"id\":\"p\"", NULL);
    assert_parts(
        ask_patiently("POST", "/v1/indexes/shop/search", region, "{\"q\":\"phone cable\"}"),
        "200 OK", "\"query\":\"phone *****\"", NULL);
    assert_parts(ask_patiently("POST", "/v1/indexes/shop/search", region, "{\"q\":\"n-a-sty\"}"),
                 " 403 ", "Not this.", "\"param\":\"q\",\"code\":\"content_filter\"", NULL);
    assert_parts(ask("POST", "/v1/indexes/shop/suggest", region, "{\"q\":\"nasty\"}"), " 403 ",
                 "content_filter", NULL);
    assert_parts(ask("DELETE", "/v1/indexes/shop", "", ""), "204", NULL);
    stop();
}

static void strikes_suspend_a_user(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start("{\"required\":true,\"bundle\":\"demo\",\"max_age_days\":30,\"window\":256,\"strikes\":2,"
          "\"strike_seconds\":600,\"suspend_seconds\":600}",
          "term bar nasty\n", NULL);
    static const char anna[] = "X-Qiao-User: anna\r\n", ben[] = "X-Qiao-User: ben\r\n";
    assert_parts(say(anna, "nasty", ""), " 200 ", "content_filter", NULL);
    assert_parts(say(anna, "fine", ""), " 200 ", "Hello", NULL);
    assert_parts(ask_patiently("GET", "/v1/me/export", anna, ""), " 200 ",
                 "{\"object\":\"strikes\",\"count\":1,\"suspended_seconds\":0}",
                 "\"complete\":true", NULL); // what is kept is the user's to see
    assert_parts(say(anna, "nasty", ""), " 200 ", "content_filter", NULL);
    assert_parts(ask_patiently("GET", "/v1/me/export", anna, ""), " 200 ",
                 "{\"object\":\"strikes\",\"count\":0,\"suspended_seconds\":", NULL);
    char *suspended = say(anna, "fine", ""), left[32];
    long seconds = number_behind(suspended, "Retry-After: ");
    assert_in_range(seconds, 500, 600); // less what has passed
    snprintf(left, sizeof left, "for %ld s more", seconds);
    assert_parts(suspended, " 403 ", left, "\"code\":\"user_suspended\"", NULL);
    assert_parts(say(anna, "fine", ",\"stream\":true"), " 403 ", "user_suspended", NULL);
    assert_parts(say(ben, "fine", ""), " 200 ", "Hello", NULL);
    assert_parts(ask("POST", "/admin/gate/explain", "",
                     "{\"region\":\"aa\",\"feature\":\"assistant\",\"user\":\"anna\"}"),
                 " 200 ", "\"open\":false,\"reason\":\"user_suspended\"", "\"check\":\"strikes\"",
                 NULL);
    assert_parts(ask("POST", "/admin/gate/explain", "",
                     "{\"region\":\"aa\",\"feature\":\"assistant\",\"user\":\"ben\"}"),
                 " 200 ", "\"open\":true", "the user is not suspended", NULL);
    struct buf all = {0};
    buf_addf(&all, "%s%s", region, anna);
    assert_parts(
        ask_patiently("POST", "/v1/indexes/shop/search", buf_text(&all), "{\"q\":\"phone\"}"),
        " 403 ", "Retry-After: ", "user_suspended", NULL);
    assert_parts(ask("POST", "/admin/strikes/forgive", "", "{\"tenant\":\"local\"}"), " 400 ",
                 "'key' must be given", NULL);
    const char who[] = "{\"tenant\":\"local\",\"user\":\"anna\"}";
    assert_parts(ask("POST", "/admin/strikes/forgive", "", who), " 200 ", "{\"forgiven\":true}",
                 NULL);
    assert_parts(ask("POST", "/admin/strikes/forgive", "", who), "{\"forgiven\":false}", NULL);
    assert_parts(say(anna, "fine", ""), " 200 ", "Hello", NULL);
    buf_fini(&all);
    stop();
}

static void terms_that_are_not_there_deny(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start("{\"required\":true,\"bundle\":\"other\",\"max_age_days\":30,\"window\":256}", "", NULL);
    assert_parts(say("", "hi", ""), " 503 ", "there is no bundle of terms 'other'",
                 "\"code\":\"filter_not_ready\"", NULL);
    assert_int_equal(fake_node_submits(node), 0);
    stop();
    start("{\"required\":true,\"bundle\":\"demo\",\"max_age_days\":30,\"window\":16}",
          "term veil abcdefghijklmnopqr\n", NULL);
    assert_parts(say("", "hi", ""), " 503 ", "terms of 18 bytes; the window holds 16", NULL);
    stop();
    start("{\"required\":false}", "term veil 你好\n", NULL);
    assert_parts(say("", "hi", ""), " 200 ", "Hello, 你好 world", NULL);
    stop();
}

/* The text behind the first `cut` events that have an id, with the id of the last of those. */
static char *text_behind(const char *stream, size_t cut, char id[64])
{
    const char *at = stream;
    for (size_t i = 0; i < cut && at; i++) {
        at = strstr(at, "\nid: ");
        if (!at) return NULL;
        at += 5;
        snprintf(id, 64, "%.*s", (int)strcspn(at, "\r\n"), at);
    }
    const char *rest = at ? strstr(at, "\n\n") : NULL;
    return rest ? streamed(mem_copy_text(rest)) : NULL;
}

/* A reader that comes back gets what it does not have, however much was held back when it went. */
static void resumes_everywhere(const char *name, const char *prompt, const char *want)
{
    struct buf key = {0}, more = {0};
    char id[64], answer_id[64];
    size_t cut = 1;
    buf_addf(&key, "Idempotency-Key: %s\r\n", name);
    char *whole = say(buf_text(&key), prompt, ",\"stream\":true");
    const char *begin = strstr(whole, "\"id\":\"chatcmpl-");
    assert_non_null(begin);
    snprintf(answer_id, sizeof answer_id, "%.*s", (int)strcspn(begin, ","), begin);
    says(streamed(mem_copy_text(whole)), want);
    for (char *rest; (rest = text_behind(whole, cut, id)) != NULL; cut++) {
        buf_clear(&more);
        buf_addf(&more, "%sLast-Event-ID: %s\r\n", buf_text(&key), id);
        char *again = say(buf_text(&more), prompt, ",\"stream\":true");
        assert_null(strstr(again, "\"role\":"));
        if (strstr(again, "\"id\":")) assert_non_null(strstr(again, answer_id));
        says(streamed(again), rest);
        mem_free(rest);
    }
    assert_true(cut > 3);
    mem_free(whole);
    buf_fini(&key);
    buf_fini(&more);
}

static void a_stream_goes_on_where_its_reader_was(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start(usual, "term veil 坏东西\nterm no nasty\n", "He sees 壞 东 西 now, you see");
    resumes_everywhere("masked", "hi", "He sees ***** now, you see");
    stop();
    start(usual, "term veil 坏东西\nterm no nasty\n", "He sees 坏 东 and n-a-s-t-y and more");
    resumes_everywhere("refused", "hi", "He sees 坏 东 and \\n\\nNot this.");
    stop();
}

/* A prompt's refusal is an answer as any other: the same for its key, and no byte of it comes twice. */
static void a_refusal_goes_on_where_its_reader_was(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    static const char key[] = "Idempotency-Key: two\r\n";
    start(usual, "term no nasty\n", NULL);
    resumes_everywhere("prompt", "nasty", "Not this.");
    assert_parts(say(key, "nasty", ",\"n\":2,\"stream\":true"), " 200 ", "id: 0-9e.0-9e\n", NULL);
    assert_parts(say("Idempotency-Key: two\r\nLast-Event-ID: 0-9e.0-4\r\n", "nasty",
                     ",\"n\":2,\"stream\":true"),
                 " 200 ", "id: 0-9e.0-9\n", "\"content\":\"this.\"", "id: 0-9e.0-9e\n", "[DONE]",
                 NULL);
    assert_parts(say("Idempotency-Key: two\r\nLast-Event-ID: 0-9.0-10\r\n", "nasty",
                     ",\"n\":2,\"stream\":true"),
                 " 400 ", "is no place in this answer", NULL);
    assert_parts(say("Idempotency-Key: two\r\nLast-Event-ID: 2-9.0-9\r\n", "nasty",
                     ",\"n\":2,\"stream\":true"),
                 " 400 ", "is no place in this answer", NULL);
    assert_parts(say(key, "nasty too", ""), " 422 ", "idempotency_mismatch", NULL);
    assert_parts(say("Idempotency-Key: new\r\nLast-Event-ID: 0-4\r\n", "nasty", ",\"stream\":true"),
                 " 404 ", NULL);
    assert_int_equal(fake_node_submits(node), 0);
    stop();
}

static void a_node_that_dies_changes_nothing(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    static const char answer[] = "He sees 壞 东 西 now";
    start(usual, "term veil 坏东西\n", answer);
    stop_node(node);
    for (uint32_t ids = 1; ids < 16; ids += 3) {
        struct fake_node *dying = start_node(
            &(struct fake_node_options){.answer = answer, .name = "dying", .die_after = ids});
        fake_node_hang(dying, true); // until there is one that goes on
        int connection = begin("POST", chat_path, region,
                               "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"
                               "\"stream\":true}");
        wait_for_submits(dying, 1);
        node = start_node(&(struct fake_node_options){.answer = answer, .name = "other"});
        fake_node_hang(dying, false);
        says(streamed(finish(connection, NULL)), "He sees ***** now");
        fake_node_stop(dying);
        if (ids + 3 < 16) stop_node(node);
    }
    stop();
}

static void a_newer_bundle_is_taken_while_requests_run(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    start(usual, "term veil 世界\n", NULL);
    assert_parts(say("", "hi", ""), " 200 ", "Hello, 你好 world", NULL);
    put_terms(2, "term veil 你好\n");
    assert_parts(ask("POST", "/admin/terms/reload", "", "{}"), " 200 ", "\"failure\":null",
                 "\"name\":\"demo\",\"serial\":2", "\"signer\":\"tester\",\"terms\":1", NULL);
    assert_parts(say("", "hi", ""), " 200 ", "Hello, ** world", NULL);
    write_terms("demo.terms", "qiao terms 1\nname demo\n");
    assert_parts(ask("POST", "/admin/terms/reload", "", "{}"), " 400 ", "no key of", NULL);
    assert_parts(say("", "hi", ""), " 200 ", "Hello, ** world", NULL);
    assert_parts(ask("GET", "/admin/terms", "", ""), "\"failure\":\"", "\"serial\":2", NULL);
    assert_parts(ask("POST", "/admin/terms/check", "",
                     "{\"text\":\"qiao terms 1\\nname x\\nserial 1\\nmade 2026-11-26\\n"
                     "category c mask mask\\nterm c y\\n\"}"),
                 " 400 ", "'y' has fewer than 2", "\"param\":\"text\"", NULL);
    stop();
}

static void take_terms(unsigned serial, const char *lines)
{
    put_terms(serial, lines);
    assert_parts(ask("POST", "/admin/terms/reload", "", "{}"), " 200 ", "\"failure\":null", NULL);
}

/* What was stored before a term was known is told by the terms of now. */
static void what_was_stored_is_filtered_when_it_is_told_again(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    static const char again[] = ",\"session\":{\"id\":\"old\",\"turn_id\":\"t1\"}",
                      goes_on[] = ",\"session\":\"old\"";
    start(usual, "term veil 坏东西\n", NULL);
    assert_parts(say("", "so much", again), " 200 ", "Hello, 你好 world", NULL);
    take_terms(2, "term veil 你好\n");
    assert_parts(say("", "so much", again), " 200 ", "\"content\":\"Hello, ** world\"",
                 "\"finish_reason\":\"stop\"", "\"repeated\":true", NULL);
    assert_parts(ask("GET", "/v1/sessions/old", region, ""), " 200 ", "Hello, ** world", NULL);
    take_terms(3, "term no 你好\nterm veil much\n");
    assert_parts(ask("GET", "/v1/sessions/old", region, ""), " 200 ", "so much",
                 "\"content\":\"Not this.\"", NULL);
    assert_parts(ask("GET", "/v1/sessions/old/export", region, ""), " 200 ",
                 "\"content\":\"Not this.\"", NULL);
    unsigned before = fake_node_submits(node);
    assert_parts(say("", "go on", goes_on), " 200 ", NULL);
    assert_int_equal(fake_node_submits(node), before + 1);
    char *prompt = fake_node_prompt(node);
    assert_non_null(strstr(prompt, "so ****"));
    assert_non_null(strstr(prompt, "Not this."));
    assert_null(strstr(prompt, "你好"));
    mem_free(prompt);
    stop();
    start(usual, "term veil 坏东西\n", NULL);
    static const char refused[] = ",\"session\":{\"id\":\"last\",\"turn_id\":\"t1\"}";
    assert_parts(say("", "hi", refused), " 200 ", "Hello, 你好 world", NULL);
    take_terms(4, "term no 你好\n");
    assert_parts(say("", "hi", refused), " 200 ", "\"content\":\"Not this.\"",
                 "\"finish_reason\":\"content_filter\"", NULL);
    says(streamed(say("", "hi",
                      ",\"stream\":true,\"session\":{\"id\":\"last\",\"turn_id\":"
                      "\"t1\"}")),
         "Not this.");
    stop();
}

/* A model's summary is an answer too, that the session keeps. */
static void a_summary_is_filtered_before_it_is_kept(void **state)
{
    (void)state;
    if (!scene.redis.process) skip();
    bool is_summed_up = false;
    start(usual, "term veil 你好\n", NULL);
    for (int i = 0; i < 60 && !is_summed_up; i++) {
        char *answer = say("", "a question of some length",
                           ",\"session\":{\"id\":\"sum\",\"compact\":\"summary\"}");
        is_summed_up = strstr(answer, "\"summary_tokens\":") != NULL;
        mem_free(answer);
    }
    assert_true(is_summed_up);
    char *prompt = fake_node_prompt(node);
    assert_non_null(strstr(prompt, "Summary of the conversation so far: Hello, ** world"));
    assert_null(strstr(prompt, "你好"));
    mem_free(prompt);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_masked_whether_it_is_streamed_or_not),
        cmocka_unit_test(an_answer_that_is_refused_ends_with_the_refusal),
        cmocka_unit_test(a_prompt_that_is_refused_reaches_no_node),
        cmocka_unit_test(a_session_has_no_turn_of_what_was_refused),
        cmocka_unit_test(queries_are_filtered_too),
        cmocka_unit_test(strikes_suspend_a_user),
        cmocka_unit_test(terms_that_are_not_there_deny),
        cmocka_unit_test(a_stream_goes_on_where_its_reader_was),
        cmocka_unit_test(a_refusal_goes_on_where_its_reader_was),
        cmocka_unit_test(a_node_that_dies_changes_nothing),
        cmocka_unit_test(a_newer_bundle_is_taken_while_requests_run),
        cmocka_unit_test(what_was_stored_is_filtered_when_it_is_told_again),
        cmocka_unit_test(a_summary_is_filtered_before_it_is_kept),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
