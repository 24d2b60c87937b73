/* Answers that the rules of a region have labelled, as clients get them: the whole scheduler, a played node, a real Redis. */
#include "tests/support/fake_node.h"
#include "tests/support/policy_folder.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"
#include "tests/unit/scheduler/signed_scene.h"

#include "base/aigc.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"

#include <jansson.h>
#include <sodium.h>

#include <string.h>
#include <unistd.h>

#define LABEL  "\\u751f\\u6210 AI"
#define BEFORE "生成 AI\n\n"
#define BEHIND "\n\n生成 AI"

enum {
    ANSWERS = 10000,
    AT_ONCE = 20,
    CHOICES_MAX = 8
};

// ---- given -------------------------------------------------------------------------------------

/* A region's rules for labels: of everything else they ask for nothing. */
#define OPEN                                                                                   \
    "{\"allowed\":true,\"gated\":false,\"models\":\"any\",\"adapters\":\"any\",\"languages\":" \
    "\"any\"}"

static void put_region(const char *name, const char *labels)
{
    struct buf rules = {0};
    buf_addf(&rules,
             "{\"features\":{\"assistant\":" OPEN ",\"search\":" OPEN ",\"recommendations\":" OPEN
             "},\"filter\":{\"required\":false},"
             "\"privacy\":{\"residency\":\"any\",\"redact\":[],\"session_seconds\":3600},"
             "\"audit\":{\"stops\":[]},\"limits\":{\"prompt_tokens\":0,\"answer_tokens\":0,"
             "\"user_requests_per_minute\":0},\"labels\":{%s}}",
             labels);
    policy_folder_put_region(&folder, name, rules.data);
    buf_fini(&rules);
}

static int given_a_governed_scheduler(void **state)
{
    static const char producer[] = "\"producer\":\"001191110000000000000E10001\"";
    char labels[512];
    signed_scene_begin(state);
    snprintf(labels, sizeof labels,
             "\"visible\":{\"zh-Hans\":\"" LABEL "\",\"en\":\"Made by AI\"},\"place\":\"both\","
             "\"implicit\":true,\"waivable\":true,%s",
             producer);
    put_region("aa", labels);
    put_region("bb", "\"place\":\"none\",\"implicit\":false,\"notice\":{\"en\":\"A machine.\"}");
    put_region("cc", "\"visible\":{\"en\":\"AI\"},\"place\":\"end\",\"implicit\":false");
    put_region("dd", "\"visible\":{\"en\":\"AI\"},\"place\":\"start\",\"implicit\":true");
    put_region("ee", "\"visible\":{\"en\":\"AI\"},\"place\":\"end\",\"implicit\":false,"
                     "\"notice\":{\"en\":\"A machine.\"}");
    signed_scene_start(1u << WIRE_GENERATE | 1u << WIRE_EMBED | 1u << WIRE_RECOMMEND);
    return 0;
}

// ---- what a client sees ------------------------------------------------------------------------

static char *ask_in(const char *region, const char *path, const char *body)
{
    char headers[160];
    snprintf(headers, sizeof headers, "X-Qiao-Region: %s\r\nAccept-Language: zh-CN\r\n", region);
    return ask("POST", path, headers, body);
}

static char *chat_in(const char *region, const char *rest)
{
    struct buf body = {0};
    buf_addf(&body, "{\"messages\":[{\"role\":\"user\",\"content\":\"say it\"}]%s}", rest);
    char *answer = ask_in(region, "/v1/chat/completions", body.data);
    buf_fini(&body);
    return answer;
}

/* The body of an answer, whose chunks are put together. */
static void read_body(const char *answer, struct buf *out)
{
    const char *at = strstr(answer, "\r\n\r\n") + 4;
    bool is_chunked = strstr(answer, "Transfer-Encoding: chunked") != NULL;
    if (!is_chunked) buf_add_text(out, at);
    while (is_chunked) {
        char *end;
        size_t size = strtoul(at, &end, 16);
        if (size == 0) break;
        buf_add(out, end + 2, size);
        at = end + 2 + size + 2;
    }
}

static json_t *body_of(const char *answer)
{
    struct buf body = {0};
    read_body(answer, &body);
    json_t *root = json_loads(buf_text(&body), 0, NULL);
    if (!root) fail_msg("no JSON: %s", answer);
    buf_fini(&body);
    return root;
}

/* What of a stream has come: the pieces of each choice, and the latest metadata. */
struct heard {
    struct buf all[CHOICES_MAX], content[CHOICES_MAX];
    bool has_first[CHOICES_MAX], has_label[CHOICES_MAX];
    struct aigc aigc;
    bool has_aigc;
};

static void heard_fini(struct heard *heard)
{
    for (size_t i = 0; i < CHOICES_MAX; i++) {
        buf_fini(&heard->all[i]);
        buf_fini(&heard->content[i]);
    }
}

static void read_aigc(const json_t *object, struct aigc *out)
{
    for (size_t i = 0; i < AIGC_FIELDS; i++) {
        const char *value = json_string_value(json_object_get(object, aigc_fields[i].name));
        assert_non_null(value);
        snprintf((char *)out + aigc_fields[i].offset, aigc_fields[i].max + 1, "%s", value);
    }
}

static const char *text_of(const json_t *choice)
{
    const json_t *delta = json_object_get(choice, "delta");
    return json_string_value(json_object_get(delta ? delta : choice, delta ? "content" : "text"));
}

/* One event: its label is its choice's first text, and the text of the event that says why the choice ended. */
static void hear(struct heard *heard, const char *event, size_t size)
{
    json_t *root = json_loadb(event, size, 0, NULL);
    assert_non_null(root);
    const json_t *choice = json_array_get(json_object_get(root, "choices"), 0),
                 *aigc = json_object_get(root, "AIGC");
    size_t index = (size_t)json_integer_value(json_object_get(choice, "index"));
    const char *text = choice ? text_of(choice) : NULL;
    if (aigc) read_aigc(aigc, &heard->aigc);
    if (aigc) heard->has_aigc = true;
    if (text) buf_add_text(&heard->all[index], text);
    bool is_last = json_is_string(json_object_get(choice, "finish_reason"));
    if (text && !heard->has_first[index]) {
        heard->has_label[index] = strcmp(text, BEFORE) == 0 && aigc;
    } else if (text && !is_last) {
        buf_add_text(&heard->content[index], text);
    }
    if (text) heard->has_first[index] = true;
    json_decref(root);
}

// ---- then --------------------------------------------------------------------------------------

static enum aigc_wrong check(const struct aigc *aigc, const struct buf *contents, size_t count)
{
    struct aigc_hash texts[CHOICES_MAX], label = aigc_hash_label(BEFORE, BEHIND);
    struct aigc_code code;
    enum aigc_wrong wrong = aigc_check(aigc, &keys, &code);
    if (wrong) return wrong;
    for (size_t i = 0; i < count; i++)
        texts[i] = aigc_hash_text(buf_text(&contents[i]), contents[i].size);
    struct aigc_hash content = aigc_hash_list(texts, count);
    if (!code.has_label || memcmp(&code.label, &label, sizeof label) != 0) return AIGC_WRONG_LABEL;
    if (!code.has_content || memcmp(&code.content, &content, sizeof content) != 0)
        return AIGC_WRONG_CONTENT;
    return AIGC_VALID;
}

/* As it came; and one flipped bit of any text is another content. */
static void then_it_is_proven(const struct aigc *aigc, struct buf *contents, size_t count,
                              struct rand *rand)
{
    assert_int_equal(check(aigc, contents, count), AIGC_VALID);
    size_t i = rand_below(rand, (uint32_t)count);
    if (contents[i].size == 0) return;
    char *byte = &contents[i].data[rand_below(rand, (uint32_t)contents[i].size)];
    char bit = (char)(1 << rand_below(rand, 8));
    *byte ^= bit;
    assert_int_equal(check(aigc, contents, count), AIGC_WRONG_CONTENT);
    *byte ^= bit;
}

/* Cut at every byte: whoever has some of a choice has its label, and the metadata. */
static void then_each_beginning_is_labelled(const struct buf *body, size_t count, struct rand *rand)
{
    struct heard heard = {0};
    size_t begin = 0;
    for (size_t cut = 1; cut <= body->size; cut++) {
        if (cut >= begin + 2 && memcmp(body->data + cut - 2, "\n\n", 2) == 0) {
            const char *data = strstr(body->data + begin, "data: ") + 6;
            size_t size = (size_t)(body->data + cut - 2 - data);
            if (strncmp(data, "[DONE]", 6) != 0) hear(&heard, data, size);
            begin = cut;
        }
        for (size_t i = 0; i < count; i++) {
            bool is_labelled = heard.has_label[i] && heard.has_aigc;
            if (heard.content[i].size > 0 && !is_labelled) fail_msg("cut at %zu: no label", cut);
        }
    }
    for (size_t i = 0; i < count; i++) {
        size_t size = heard.all[i].size;
        assert_true(size >= strlen(BEFORE BEHIND));
        assert_memory_equal(heard.all[i].data, BEFORE, strlen(BEFORE));
        assert_string_equal(heard.all[i].data + size - strlen(BEHIND), BEHIND);
    }
    then_it_is_proven(&heard.aigc, heard.content, count, rand);
    heard_fini(&heard);
}

/* The same of a body: content begins with its label, so each cut of it does. */
static void then_the_body_is_labelled(const char *answer, size_t count, struct rand *rand)
{
    struct aigc aigc;
    struct buf contents[CHOICES_MAX] = {0};
    json_t *root = body_of(answer);
    const json_t *choices = json_object_get(root, "choices");
    assert_int_equal(json_array_size(choices), count);
    for (size_t i = 0; i < count; i++) {
        const json_t *choice = json_array_get(choices, i),
                     *message = json_object_get(choice, "message");
        const char *text = json_string_value(
            json_object_get(message ? message : choice, message ? "content" : "text"));
        size_t size = strlen(text), before = strlen(BEFORE), behind = strlen(BEHIND);
        assert_true(size >= before + behind);
        assert_memory_equal(text, BEFORE, before);
        assert_string_equal(text + size - behind, BEHIND);
        buf_add(&contents[i], text + before, size - before - behind);
    }
    assert_non_null(strstr(answer, "X-Qiao-AIGC: {\"Label\":\"1\","));
    read_aigc(json_object_get(root, "AIGC"), &aigc);
    then_it_is_proven(&aigc, contents, count, rand);
    for (size_t i = 0; i < count; i++)
        buf_fini(&contents[i]);
    json_decref(root);
}

// ---- tests -------------------------------------------------------------------------------------

/* A request that is under way. */
struct asked {
    int connection;
    size_t count;
    bool streams;
};

static struct asked begin_one(struct rand *rand, bool streams)
{
    char body[320];
    bool is_chat = rand_below(rand, 4) > 0;
    struct asked asked = {.streams = streams, .count = 1};
    if (rand_below(rand, 4) == 0) asked.count += rand_below(rand, 3);
    snprintf(body, sizeof body, "{%s,\"n\":%zu,\"max_tokens\":%u,\"stream\":%s%s%s}",
             is_chat ? "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]" : "\"prompt\":\"x\"",
             asked.count, 1 + (unsigned)rand_below(rand, 24), streams ? "true" : "false",
             rand_below(rand, 8) == 0 ? ",\"stop\":\"好\"" : "",
             streams && rand_below(rand, 4) == 0 ? ",\"stream_options\":{\"include_usage\":true}"
                                                 : "");
    asked.connection = begin("POST", is_chat ? "/v1/chat/completions" : "/v1/completions",
                             "X-Qiao-Region: aa\r\nAccept-Language: zh-CN\r\n", body);
    return asked;
}

static void end_one(const struct asked *asked, struct rand *rand)
{
    struct buf body = {0};
    char *answer = finish(asked->connection, NULL);
    read_body(answer, &body);
    if (asked->streams)
        then_each_beginning_is_labelled(&body, asked->count, rand);
    else
        then_the_body_is_labelled(answer, asked->count, rand);
    buf_fini(&body);
    mem_free(answer);
}

static void every_answer_is_labelled_wherever_it_is_cut(void **state)
{
    (void)state;
    struct rand rand;
    struct asked asked[AT_ONCE];
    rand_init(&rand, 45438);
    for (int i = 0; i < ANSWERS; i += AT_ONCE) {
        for (int k = 0; k < AT_ONCE; k++)
            asked[k] = begin_one(&rand, k % 2 == 0);
        for (int k = 0; k < AT_ONCE; k++)
            end_one(&asked[k], &rand);
    }
}

static void the_verifier_says_what_is_wrong(void **state)
{
    (void)state;
    char *answer = chat_in("aa", "");
    json_t *root = body_of(answer), *aigc = json_object_get(root, "AIGC"),
           *label = json_object_get(root, "label");

    const struct {
        const char *content;
        bool with_label;
        const char *field, *value;
        const char *says;
    } cases[] = {
        {BEFORE "Hello, 你好 world" BEHIND, true, NULL, NULL,
         "\"valid\":true,\"fields\":true,\"key\":\"labels-1\",\"wrong\":null"},
        {"Hello, 你好 world", false, NULL, NULL, "\"valid\":true"},
        {"Hello, 你好 World", false, NULL, NULL,
         "\"valid\":false,\"fields\":true,\"key\":\"labels-1\",\"wrong\":\"content\""},
        {BEFORE "Hello, 你好 world", true, NULL, NULL, "\"wrong\":\"label\""},
        {BEFORE "Hello, 你好 world" BEHIND, false, NULL, NULL, "\"valid\":true"}, // as it was shown
        {BEFORE "Hello, 你好 World" BEHIND, false, NULL, NULL, "\"wrong\":\"content\""},
        {BEFORE "Hello, 你好 world", false, NULL, NULL, "\"wrong\":\"content\""},
        {BEFORE BEFORE "Hello, 你好 world" BEHIND, false, NULL, NULL, "\"wrong\":\"content\""},
        {"It said:\n\nHello, 你好 world", false, NULL, NULL, "\"wrong\":\"content\""},
        {"Hello, 你好 world", false, "ContentProducer", "001191000000MA0000000N00000",
         "\"valid\":false,\"fields\":false,\"key\":null,\"wrong\":\"fields\""},
        {"Hello, 你好 world", false, "ReservedCode1", "else", "\"wrong\":\"code\""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *claim =
            json_pack("{s:s, s:o}", "content", cases[i].content, "AIGC", json_deep_copy(aigc));
        if (cases[i].with_label) json_object_set(claim, "label", label);
        if (cases[i].field)
            json_object_set_new(json_object_get(claim, "AIGC"), cases[i].field,
                                json_string(cases[i].value));
        char *body = json_dumps(claim, 0);
        char *reply = ask("POST", "/v1/labels/verify", "", body);
        if (!strstr(reply, cases[i].says)) fail_msg("%zu: %s", i, reply);
        mem_free(reply);
        free(body);
        json_decref(claim);
    }
    json_decref(root);
    assert_parts(ask("POST", "/v1/labels/verify", "", strstr(answer, "\r\n\r\n") + 4), " 200 ",
                 "\"valid\":true", NULL); // the body as it came
    char *word = strstr(answer, "world\\n\\n");
    assert_non_null(word);
    *word = 'W';
    assert_parts(ask("POST", "/v1/labels/verify", "", strstr(answer, "\r\n\r\n") + 4), " 200 ",
                 "\"wrong\":\"content\"", NULL);
    mem_free(answer);
    assert_parts(ask("POST", "/v1/labels/verify", "", "{\"choices\":[{\"delta\":{}}]}"), " 400 ",
                 "choices must be those of an answer", NULL);
    assert_parts(ask("POST", "/v1/labels/verify", "", "{\"content\":3}"), " 400 ",
                 "content must be a text", NULL);
    assert_parts(
        ask("POST", "/v1/labels/verify", "", "{\"content\":\"x\",\"AIGC\":{\"Label\":\"1\"}}"),
        " 400 ", "AIGC.ContentProducer must be a string", NULL);
    assert_parts(ask("GET", "/v1/labels/keys", "", ""), " 200 ",
                 "\"id\":\"labels-1\",\"algorithm\":\"Ed25519\",\"key\":\"", NULL);
}

static void a_stream_begins_with_metadata_that_is_open(void **state)
{
    (void)state;
    assert_parts(chat_in("aa", ",\"stream\":true"), "X-Qiao-AIGC: {\"Label\":\"1\"",
                 ":open:", "\"role\":\"assistant\",\"content\":\"生成 AI\\n\\n\"",
                 "\"label\":{\"before\":", "\"AIGC\":{\"Label\":\"1\"",
                 ":open:", "\"delta\":{\"content\":\"H",
                 "\"delta\":{\"content\":\"\\n\\n生成 AI\"}", "\"finish_reason\":\"stop\"",
                 "\"AIGC\":{\"Label\":\"1\"", "[DONE]", NULL);
}

static void a_notice_is_given_once_in_a_conversation(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    assert_parts(chat_in("bb", ""), "\"content\":\"A machine.\\n\\nHello", NULL);
    assert_parts(ask_in("bb", "/v1/chat/completions",
                        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":"
                        "\"assistant\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"c\"}]}"),
                 "\"content\":\"Hello", NULL);
    assert_parts(chat_in("bb", ",\"session\":\"s1\""), "\"content\":\"A machine.\\n\\nHello", NULL);
    assert_parts(chat_in("bb", ",\"session\":\"s1\""), "\"content\":\"Hello", NULL);
    assert_parts(ask("GET", "/v1/sessions/s1", "X-Qiao-Region: bb\r\n", ""),
                 "\"content\":\"Hello, 你好 world\"", NULL);
}

static void a_label_behind_the_text_is_no_part_of_the_session(void **state)
{
    (void)state;
    assert_parts(chat_in("cc", ""), "\"content\":\"Hello, 你好 world\\n\\nAI\"",
                 "\"completion_tokens\":", "\"label\":{\"before\":\"\",\"behind\":\"\\n\\nAI\"}",
                 NULL);
    assert_parts(chat_in("cc", ",\"stream\":true"),
                 "\"delta\":{\"role\":\"assistant\",\"content\":\"\"",
                 "\"delta\":{\"content\":\"\\n\\nAI\"}", NULL);
    assert_parts(ask_in("cc", "/v1/completions", "{\"prompt\":\"x\",\"stream\":true}"),
                 "\"text\":\"\\n\\nAI\"", "\"finish_reason\":\"", NULL);
}

/* Ask for the same answer again, by a reader who has what comes before `id`. */
static void resume_at(const char *id, struct buf *out)
{
    char headers[256];
    snprintf(headers, sizeof headers,
             "X-Qiao-Region: aa\r\nAccept-Language: zh-CN\r\nIdempotency-Key: key-1\r\n%s%.*s%s",
             *id ? "Last-Event-ID: " : "", (int)strcspn(id, "\r\n"), id, *id ? "\r\n" : "");
    char *answer = ask("POST", "/v1/chat/completions", headers,
                       "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"stream\":true}");
    if (!strstr(answer, " 200 ")) fail_msg("%s", answer);
    read_body(answer, out);
    mem_free(answer);
}

static const char *last_in(const struct buf *text, const char *what)
{
    const char *at = strstr(buf_text(text), what);
    assert_non_null(at);
    for (const char *next = at; (next = strstr(next + 1, what)) != NULL;)
        at = next;
    return at;
}

/* A reader that comes back gets no label twice, whichever event was its last. */
static void an_answer_that_is_resumed_has_each_label_once(void **state)
{
    (void)state;
    struct buf whole = {0};
    size_t events = 0;
    if (scene.redis.process == 0) skip();
    resume_at("", &whole);
    for (const char *id = strstr(buf_text(&whole), "id: "); id; id = strstr(id + 4, "\nid: ")) {
        struct buf rest = {0};
        const char *place = strstr(id, "id: ") + 4;
        bool is_over = memchr(place, 'e', strcspn(place, "\n")) != NULL;
        resume_at(place, &rest);
        assert_null(strstr(buf_text(&rest), "\"content\":\""
                                            "生成 AI"));
        bool has_behind = strstr(buf_text(&rest), "\"content\":\"\\n\\n生成 AI\"}") != NULL;
        if (has_behind == is_over) fail_msg("at %.20s: %s", place, buf_text(&rest));
        if (!is_over) { // what is signed is the whole answer, whoever sends its end
            const char *seal = last_in(&whole, "\"ReservedCode1\":");
            size_t size = strcspn(seal, ",");
            assert_memory_equal(last_in(&rest, "\"ReservedCode1\":"), seal, size);
        }
        buf_fini(&rest);
        events++;
    }
    assert_true(events > 10);
    buf_fini(&whole);
}

#define AGREEMENT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* In region aa, for a user. */
static char *chat_without_label(const char *region, const char *user)
{
    char headers[160];
    snprintf(headers, sizeof headers, "X-Qiao-Region: %s\r\nX-Qiao-Label: none\r\n%s", region,
             user);
    return ask("POST", "/v1/chat/completions", headers,
               "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
}

static void a_label_is_waived_by_an_agreement_alone(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    assert_parts(chat_without_label("aa", "X-Qiao-User: ann\r\n"), " 403 ",
                 "no agreement of this user", "\"code\":\"label_required\"", NULL);
    assert_parts(ask("POST", "/admin/waivers", "", "{\"user\":\"ann\",\"days\":3}"), " 400 ",
                 "agreement must be the SHA-256", NULL);
    assert_parts(ask("POST", "/admin/waivers", "",
                     "{\"user\":\"ann\",\"days\":3,\"agreement\":\"" AGREEMENT "\"}"),
                 " 200 ", "\"waived\":true,\"agreement\":\"" AGREEMENT "\"", NULL);
    assert_parts(chat_without_label("aa", "X-Qiao-User: ann\r\n"), " 200 ", "X-Qiao-AIGC: {",
                 "\"content\":\"Hello, 你好 world\"", "\"AIGC\":{\"Label\":\"1\"", ":none:", NULL);
    assert_parts(chat_without_label("aa", "X-Qiao-User: bob\r\n"), " 403 ", NULL);
    assert_parts(ask_patiently("GET", "/v1/me/export", "X-Qiao-User: ann\r\n", ""), " 200 ",
                 "{\"object\":\"waiver\",\"agreement\":\"" AGREEMENT "\"}", "\"complete\":true",
                 NULL);
    assert_parts(chat_without_label("aa", ""), " 403 ", "send X-Qiao-User", NULL);
    assert_parts(chat_without_label("cc", "X-Qiao-User: ann\r\n"), " 403 ",
                 "does not let it be waived", "label_required", NULL);
    assert_parts(ask("POST", "/admin/waivers", "", "{\"user\":\"ann\",\"days\":0}"), " 200 ",
                 "\"waived\":false", NULL);
    assert_parts(chat_without_label("aa", "X-Qiao-User: ann\r\n"), " 403 ", NULL);
    // Who is forgotten has agreed to nothing.
    assert_parts(ask("POST", "/admin/waivers", "",
                     "{\"user\":\"eve\",\"days\":3,\"agreement\":\"" AGREEMENT "\"}"),
                 " 200 ", NULL);
    assert_parts(chat_without_label("aa", "X-Qiao-User: eve\r\n"), " 200 ", NULL);
    assert_parts(ask("DELETE", "/v1/me", "X-Qiao-User: eve\r\n", ""), " 20", NULL);
    assert_parts(chat_without_label("aa", "X-Qiao-User: eve\r\n"), " 403 ", NULL);
}

static void a_search_has_its_label_beside_its_hits(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    assert_parts(ask("PUT", "/v1/indexes/shop", "", "{\"fields\":{\"title\":1}}"), " 200 ", NULL);
    assert_parts(ask("POST", "/v1/indexes/shop/documents?wait=true", "",
                     "[{\"id\":\"p1\",\"title\":\"Lamp\"}]"),
                 " 200 ", NULL);
    assert_parts(ask_in("aa", "/v1/indexes/shop/search", "{\"q\":\"lamp\"}"), " 200 ",
                 "\"id\":\"p1\"", "\"label\":\"生成 AI\"}", NULL);
    assert_parts(ask_in("aa", "/v1/indexes/shop/suggest", "{\"q\":\"la\"}"), " 200 ",
                 "\"label\":\"生成 AI\"}", NULL);
    char *bare = ask_in("bb", "/v1/indexes/shop/search", "{\"q\":\"lamp\"}");
    assert_null(strstr(strstr(bare, "\r\n\r\n"), "\"label\""));
    mem_free(bare);
}

static void a_bare_list_has_its_label_in_a_header(void **state)
{
    (void)state;
    if (scene.redis.process == 0) skip();
    char *answer = ask_patiently("GET", "/api/popular", "X-Qiao-Region: aa\r\n", "");
    assert_parts(answer, " 200 ", "X-Qiao-List-Label: %E7%94%9F%E6%88%90%20AI\r\n", NULL);
    answer = ask("GET", "/api/popular", "X-Qiao-Region: bb\r\n", "");
    assert_null(strstr(answer, "X-Qiao-List-Label"));
    assert_parts(answer, " 200 ", NULL);
}

static void what_is_shown_again_is_labelled_again(void **state)
{
    (void)state;
    static const char in_aa[] = "X-Qiao-Region: aa\r\nAccept-Language: en\r\n";
    if (scene.redis.process == 0) skip();
    assert_parts(chat_in("aa", ",\"session\":\"s9\""), " 200 ", NULL);
    assert_parts(ask("GET", "/v1/sessions/s9", in_aa, ""), "\"content\":\"say it\",\"version\"",
                 "\"content\":\"Hello, 你好 world\",\"label\":\"Made by AI\"", NULL);
    assert_parts(ask("GET", "/v1/sessions/s9/export", in_aa, ""),
                 "\"content\":\"Hello, 你好 world\",\"label\":\"Made by AI\"", NULL);
    assert_parts(ask("GET", "/v1/sessions/s9", "", ""), " 403 ", "region_required", NULL);
    assert_parts(ask_patiently("GET", "/v1/me/export", "", ""), " 200 ", "\"label\":\"", NULL);
    char *bare = ask("GET", "/v1/sessions/s9", "X-Qiao-Region: bb\r\n", "");
    assert_null(strstr(bare, "\"label\""));
    mem_free(bare);
}

/* What has come of an answer that fails is labelled, behind it at the latest; a notice before it is no label. */
static void what_came_of_a_stream_that_fails_is_labelled(void **state)
{
    (void)state;
    static const char slowly[] = ",\"stream\":true,\"deadline_ms\":3000";
    if (scene.redis.process == 0) skip();
    fake_node_halt(node, 1);
    assert_parts(chat_in("cc", slowly), " 200 ", "\"content\":\"H\"", "\"content\":\"\\n\\nAI\"",
                 "\"error\":", "timeout", NULL);
    assert_parts(chat_in("ee", slowly), " 200 ", "\"content\":\"A machine.\\n\\n\"",
                 "\"content\":\"H\"", "\"content\":\"\\n\\nAI\"", "\"error\":", "timeout", NULL);
    fake_node_halt(node, 0);
}

static void what_cannot_be_labelled_is_denied(void **state)
{
    (void)state;
    assert_parts(chat_in("dd", ""), " 403 ", "/labels/producer", "\"code\":\"label_not_possible\"",
                 NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_answer_is_labelled_wherever_it_is_cut),
        cmocka_unit_test(the_verifier_says_what_is_wrong),
        cmocka_unit_test(a_stream_begins_with_metadata_that_is_open),
        cmocka_unit_test(a_notice_is_given_once_in_a_conversation),
        cmocka_unit_test(a_label_behind_the_text_is_no_part_of_the_session),
        cmocka_unit_test(an_answer_that_is_resumed_has_each_label_once),
        cmocka_unit_test(a_label_is_waived_by_an_agreement_alone),
        cmocka_unit_test(a_search_has_its_label_beside_its_hits),
        cmocka_unit_test(a_bare_list_has_its_label_in_a_header),
        cmocka_unit_test(what_is_shown_again_is_labelled_again),
        cmocka_unit_test(what_came_of_a_stream_that_fails_is_labelled),
        cmocka_unit_test(what_cannot_be_labelled_is_denied),
    };
    return cmocka_run_group_tests(tests, given_a_governed_scheduler, signed_scene_end);
}
