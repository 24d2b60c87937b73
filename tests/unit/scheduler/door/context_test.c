#include "scheduler/door/context.h"
#include "scheduler/door/json.h"
#include "tests/test.h"

#include <string.h>

static struct keys *given_keys(const char *text)
{
    struct keys *keys;
    enum err err = keys_parse(&keys, "keys.json", text, strlen(text));
    if (err) fail_msg("%s", err_text());
    return keys;
}

static const char two_keys[] =
    "[{\"key\":\"a-key-of-sixteen\",\"id\":\"shop\",\"tenant\":\"acme\",\"weight\":3,"
    "\"requests_per_minute\":60,\"regions\":[\"cn\",\"eu-1\"],\"may_assert_user\":true},"
    "{\"key_hash\":\"00112233445566778899aabbccddeeff\",\"id\":\"ops\",\"admin\":true}]";

static uint64_t salt_of(struct keys *keys, unsigned char secret, const char *authorization)
{
    unsigned char bytes[CONTEXT_SECRET_SIZE] = {secret};
    struct context context;
    keys_set_secret(keys, bytes);
    assert_int_equal(
        context_build(&context, keys, &(struct context_headers){.authorization = authorization}),
        ERR_OK);
    return context.salt;
}

static void each_tenant_has_a_salt_that_only_the_secret_tells(void **state)
{
    (void)state;
    struct keys *keys =
        given_keys("[{\"key\":\"a-key-of-sixteen\",\"id\":\"a\",\"tenant\":\"acme\"},"
                   "{\"key\":\"b-key-of-sixteen\",\"id\":\"b\",\"tenant\":\"acme\"},"
                   "{\"key\":\"c-key-of-sixteen\",\"id\":\"c\"}]");
    uint64_t salt = salt_of(keys, 1, "Bearer a-key-of-sixteen");
    assert_true(salt == salt_of(keys, 1, "Bearer b-key-of-sixteen"));
    assert_true(salt != salt_of(keys, 1, "Bearer c-key-of-sixteen"));
    assert_true(salt != salt_of(keys, 2, "Bearer a-key-of-sixteen"));
    assert_true(salt != 0);
    keys_free(keys);
}

static void a_key_gives_its_tenant_and_what_its_headers_may_say(void **state)
{
    (void)state;
    struct keys *keys = given_keys(two_keys);
    struct context context;
    struct context_headers headers = {.authorization = "Bearer a-key-of-sixteen",
                                      .user = "u-1",
                                      .region = "EU-1",
                                      .os = "AcmeOS/18.2",
                                      .language = "en;q=0.5, zh-CN, *;q=0.1"};
    assert_int_equal(context_build(&context, keys, &headers), ERR_OK);
    assert_string_equal(context.key->tenant, "acme");
    assert_int_equal(context.key->weight, 3);
    assert_int_equal(context.key->rule.requests_per_minute, 60);
    assert_string_equal(context.user, "u-1");
    assert_string_equal(context.region, "eu-1");
    assert_string_equal(context.os, "AcmeOS/18.2");
    assert_string_equal(context.language, "zh-CN");
    assert_false(context.key->admin);
    keys_free(keys);
}

static void assert_refused(struct keys *keys, struct context_headers headers, enum err want,
                           const char *part)
{
    struct context context;
    assert_int_equal(context_build(&context, keys, &headers), want);
    if (!strstr(err_text(), part)) fail_msg("note: %s", err_text());
}

static void what_a_key_does_not_allow_is_refused_by_name(void **state)
{
    (void)state;
    struct keys *keys = given_keys(two_keys);
    const char *shop = "Bearer a-key-of-sixteen";
    assert_refused(keys, (struct context_headers){0}, ERR_UNAUTHORIZED, "Authorization");
    assert_refused(keys, (struct context_headers){.authorization = "Basic x"}, ERR_UNAUTHORIZED,
                   "Bearer");
    assert_refused(keys, (struct context_headers){.authorization = "Bearer wrong"},
                   ERR_UNAUTHORIZED, "not known");
    assert_refused(keys, (struct context_headers){.authorization = shop, .region = "us"},
                   ERR_FORBIDDEN, "X-Qiao-Region");
    assert_refused(keys, (struct context_headers){.authorization = shop, .region = "c n"},
                   ERR_INVALID, "X-Qiao-Region");
    assert_refused(keys, (struct context_headers){.authorization = shop, .user = "a b"},
                   ERR_INVALID, "X-Qiao-User");
    assert_refused(keys, (struct context_headers){.authorization = shop, .user = "\xff"},
                   ERR_INVALID, "X-Qiao-User");
    assert_refused(keys, (struct context_headers){.authorization = shop, .os = "A\"B"}, ERR_INVALID,
                   "X-Qiao-OS");
    assert_string_equal(json_param(), "X-Qiao-OS");
    keys_free(keys);

    keys = given_keys("[{\"key\":\"a-key-of-sixteen\",\"id\":\"plain\"}]");
    assert_refused(keys, (struct context_headers){.authorization = shop, .user = "u"},
                   ERR_FORBIDDEN, "X-Qiao-User");
    assert_refused(keys, (struct context_headers){.authorization = shop, .region = "cn"},
                   ERR_FORBIDDEN, "X-Qiao-Region");
    keys_free(keys);
}

static void a_wrong_key_file_says_which_entry_and_field(void **state)
{
    (void)state;

    static const struct {
        const char *text, *part;
    } cases[] = {
        {"[", "not valid JSON"},
        {"[]", "list of 1"},
        {"{}", "list of 1"},
        {"[{\"id\":\"a\"}]", "key 1: key_hash or key"},
        {"[{\"key\":\"short\",\"id\":\"a\"}]", "key 1: key must be a string of 16"},
        {"[{\"key_hash\":\"zz112233445566778899aabbccddeeff\",\"id\":\"a\"}]", "hexadecimal"},
        {"[{\"key\":\"a-key-of-sixteen\"}]", "key 1: id must be given"},
        {"[{\"key\":\"a-key-of-sixteen\",\"id\":\"a b\"}]", "key 1: id must be letters"},
        {"[{\"key\":\"a-key-of-sixteen\",\"id\":\"a\",\"weight\":0}]", "weight"},
        {"[{\"key\":\"a-key-of-sixteen\",\"id\":\"a\",\"user_streams\":-1}]", "user_streams"},
        {"[{\"key\":\"a-key-of-sixteen\",\"id\":\"a\",\"tokens_per_day\":1e12}]", "tokens_per_day"},
        {"[{\"key\":\"a-key-of-sixteen\",\"id\":\"a\",\"priority\":\"high\"}]", "interactive"},
        {"[{\"key\":\"a-key-of-sixteen\",\"id\":\"a\",\"regions\":[1]}]", "regions"},
        {"[{\"key\":\"a-key-of-sixteen\",\"id\":\"a\"},{\"key\":\"b-key-of-sixteen\",\"id\":\"a\"}"
         "]",
         "key 2: the id 'a' is there twice"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct keys *keys;
        assert_int_equal(keys_parse(&keys, "f", cases[i].text, strlen(cases[i].text)), ERR_INVALID);
        if (!strstr(err_text(), cases[i].part))
            fail_msg("note of %s: %s", cases[i].text, err_text());
    }
}

static void an_entry_says_the_limits_of_its_key_and_of_each_user(void **state)
{
    (void)state;
    struct keys *keys;
    struct context context;
    const char text[] = "[{\"key\":\"a-key-of-sixteen\",\"id\":\"a\",\"requests_per_minute\":1,"
                        "\"tokens_per_minute\":2,"
                        "\"tokens_per_day\":3,\"streams\":4,\"user_requests_per_minute\":5,\"user_"
                        "tokens_per_minute\":6,"
                        "\"user_tokens_per_day\":7,\"user_streams\":8}]";
    struct context_headers headers = {.authorization = "Bearer a-key-of-sixteen"};
    assert_int_equal(keys_parse(&keys, "f", text, sizeof text - 1), ERR_OK);
    assert_int_equal(context_build(&context, keys, &headers), ERR_OK);
    const struct limit_rule *rules[] = {&context.key->rule, &context.key->user_rule};
    for (uint64_t i = 0; i < 2; i++) {
        assert_int_equal(rules[i]->requests_per_minute, 4 * i + 1);
        assert_int_equal(rules[i]->tokens_per_minute, 4 * i + 2);
        assert_int_equal(rules[i]->tokens_per_day, 4 * i + 3);
        assert_int_equal(rules[i]->streams, 4 * i + 4);
    }
    keys_free(keys);
}

static void without_keys_everyone_is_local(void **state)
{
    (void)state;
    struct keys *keys;
    struct context context;
    assert_int_equal(keys_new(&keys, ""), ERR_OK);
    struct context_headers headers = {
        .authorization = "Bearer anything", .user = "u", .region = "x"};
    assert_int_equal(context_build(&context, keys, &headers), ERR_OK);
    assert_string_equal(context.key->tenant, "local");
    assert_true(context.key->admin);
    keys_free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_tenant_has_a_salt_that_only_the_secret_tells),
        cmocka_unit_test(a_key_gives_its_tenant_and_what_its_headers_may_say),
        cmocka_unit_test(what_a_key_does_not_allow_is_refused_by_name),
        cmocka_unit_test(a_wrong_key_file_says_which_entry_and_field),
        cmocka_unit_test(an_entry_says_the_limits_of_its_key_and_of_each_user),
        cmocka_unit_test(without_keys_everyone_is_local),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
