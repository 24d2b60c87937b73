#include "scheduler/policy/policy.h"
#include "tests/support/policy_folder.h"
#include "tests/test.h"

#include "base/buf.h"
#include "base/mem.h"

#include <jansson.h>
#include <sodium.h>

#include <string.h>

static const int64_t now_s = 1780000000; // in 2026

static const char *const base_rules =
    "{\"features\":{\"assistant\":{\"languages\":\"any\",\"gated\":false}},"
    "\"gate\":{\"signatures\":2},\"filter\":{\"required\":false},"
    "\"privacy\":{\"provision\":[{\"law\":\"L\",\"article\":\"1\"}],\"cache_seconds\":7}}";
static const char *const region_rules =
    "{\"features\":{\"assistant\":{\"allowed\":true,\"models\":\"any\"}},"
    "\"labels\":{\"place\":\"start\"}}";

static struct policy_folder folder;

static int set_up(void **state)
{
    (void)state;
    assert_true(sodium_init() >= 0);
    policy_folder_init(&folder);
    policy_folder_put(&folder, "base", policy_document("base", "base", "", base_rules));
    policy_folder_put(&folder, "aa",
                      policy_document("region", "aa", "\"extends\":\"base\",", region_rules));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    policy_folder_fini(&folder);
    return 0;
}

static struct policies *given_policies(void)
{
    struct policies *policies = NULL;
    if (policies_new(&policies, folder.folder, folder.keys)) fail_msg("%s", err_text());
    return policies;
}

static const struct rules *given_rules(const struct policies *policies, const char *region,
                                       const char *tenant)
{
    const struct rules *rules = NULL;
    assert_int_equal(policies_find(policies, region, tenant, now_s, &rules), REASON_NONE);
    return rules;
}

static void then_refused(enum err want, const char *note)
{
    struct policies *policies = NULL;
    enum err err = policies_new(&policies, folder.folder, folder.keys);
    if (err != want) fail_msg("%d: %s", (int)err, err ? err_text() : "taken");
    if (!strstr(err_text(), note)) fail_msg("'%s' has no '%s'", err_text(), note);
}

static void a_region_says_more_than_its_base_and_the_rest_is_strict(void **state)
{
    (void)state;
    struct policies *policies = given_policies();
    const struct rules *rules = given_rules(policies, "aa", "t");
    const struct rules_feature *assistant = &rules->features[FEATURE_ASSISTANT];
    assert_true(assistant->allowed && assistant->any_model && assistant->any_language);
    assert_false(assistant->gated || assistant->any_adapter);
    assert_false(rules->features[FEATURE_SEARCH].allowed);
    assert_true(rules->features[FEATURE_SEARCH].gated && rules->labels.implicit);
    assert_int_equal(rules->labels.place, RULES_PLACE_START);
    assert_int_equal(rules->gate.signatures, 2);
    assert_int_equal(rules->privacy.cache_seconds, 7);
    assert_int_equal(rules->privacy.residency_count, 1);
    assert_string_equal(rules->privacy.residency[0], "aa");
    assert_true(rules->privacy.residency_tags[0] == digest_tag("aa"));
    assert_string_equal(rules->region, "aa");
    policies_free(policies);
}

static void a_tenant_has_rules_of_its_own_and_others_the_regions(void **state)
{
    (void)state;
    policy_folder_put(&folder, "t",
                      policy_document("tenant", "aa-t", "\"extends\":\"aa\",\"tenant\":\"t\",",
                                      "{\"labels\":{\"place\":\"both\"}}"));
    struct policies *policies = given_policies();
    const struct rules *own = given_rules(policies, "aa", "t");
    const struct rules *others = given_rules(policies, "aa", "u");
    assert_int_equal(own->labels.place, RULES_PLACE_BOTH);
    assert_true(own->features[FEATURE_ASSISTANT].allowed);
    assert_string_equal(own->tenant, "t");
    assert_int_equal(others->labels.place, RULES_PLACE_START);
    assert_false(digest_equal(&own->digest, &others->digest));
    policies_free(policies);
}

static void what_is_unknown_or_over_has_no_rules(void **state)
{
    (void)state;
    const struct rules *rules = NULL;
    struct policies *policies = given_policies();
    assert_int_equal(policies_find(policies, "", "t", now_s, &rules), REASON_REGION_REQUIRED);
    assert_int_equal(policies_find(policies, "bb", "t", now_s, &rules), REASON_REGION_NOT_APPROVED);
    assert_int_equal(policies_find(policies, "base", "t", now_s, &rules),
                     REASON_REGION_NOT_APPROVED);
    assert_int_equal(policies_find(policies, "aa", "t", 1767225599, &rules), REASON_POLICY_EXPIRED);
    assert_int_equal(policies_find(policies, "aa", "t", 1767225600, &rules), REASON_NONE);
    assert_int_equal(policies_find(policies, "aa", "t", 1798761600, &rules), REASON_POLICY_EXPIRED);
    policies_free(policies);
}

static void every_flipped_bit_is_refused_by_the_documents_name(void **state)
{
    (void)state;
    char *text =
        mem_copy_text(policy_document("region", "aa", "\"extends\":\"base\",", region_rules));
    size_t size = strlen(text);
    struct policies *policies = given_policies();
    struct digest before = policies_digest(policies);
    for (size_t i = 0; i < 8 * size; i += 3) {
        text[i / 8] ^= (char)(1 << i % 8);
        policy_folder_write(&folder, "aa", text, size);
        assert_int_not_equal(policies_load(policies), ERR_OK);
        if (!strstr(policies_failure(policies), "aa.json")) fail_msg("%s", err_text());
        text[i / 8] ^= (char)(1 << i % 8);
    }
    struct digest after = policies_digest(policies);
    assert_true(digest_equal(&before, &after));
    policy_folder_write(&folder, "aa", text, size);
    assert_int_equal(policies_load(policies), ERR_OK);
    assert_string_equal(policies_failure(policies), "");
    mem_free(text);
    policies_free(policies);
}

static void only_a_known_keys_signature_for_this_purpose_counts(void **state)
{
    (void)state;
    struct sign_secret other;
    const char *text = policy_document("region", "aa", "\"extends\":\"base\",", region_rules);
    assert_int_equal(sign_make_key(&other, "stranger"), ERR_OK);
    policy_folder_sign(&folder, "aa", text, &other, "qiao policy 1");
    then_refused(ERR_FORBIDDEN, "aa.json: nobody whose key");
    snprintf(other.id, sizeof other.id, "%s", folder.secret.id); // another's name
    policy_folder_sign(&folder, "aa", text, &other, "qiao policy 1");
    then_refused(ERR_FORBIDDEN, "aa.json: the signature of 'tester'");
    policy_folder_sign(&folder, "aa", text, &folder.secret, "qiao label 1");
    then_refused(ERR_FORBIDDEN, "aa.json: the signature of 'tester'");
    policy_folder_write(&folder, "bb", text, strlen(text));
    policy_folder_put(&folder, "aa", text);
    then_refused(ERR_IO, "bb.json.sig");
}

static void chains_that_lead_nowhere_are_refused(void **state)
{
    (void)state;
    policy_folder_put(&folder, "bb", policy_document("region", "bb", "\"extends\":\"cc\",", "{}"));
    then_refused(ERR_INVALID, "bb.json: /extends: there is no document 'cc'");
    policy_folder_put(&folder, "cc", policy_document("region", "cc", "\"extends\":\"bb\",", "{}"));
    then_refused(ERR_INVALID, "/extends: a chain of more than 8 documents");
    policy_folder_put(&folder, "cc", policy_document("region", "bb", "\"extends\":\"aa\",", "{}"));
    then_refused(ERR_INVALID, "cc.json: /name: 'bb' is the name of bb.json too");
    policy_folder_remove(&folder, "cc");
    policy_folder_put(
        &folder, "bb",
        policy_document("tenant", "bb", "\"extends\":\"base\",\"tenant\":\"t\",", "{}"));
    then_refused(ERR_INVALID, "bb.json: /extends: must lead to a region's document");
    policy_folder_put(&folder, "bb", policy_document("base", "bb", "\"extends\":\"aa\",", "{}"));
    then_refused(ERR_INVALID, "a base cannot stand on a region");
}

static void what_is_final_is_not_said_again(void **state)
{
    (void)state;
    policy_folder_put(
        &folder, "base",
        policy_document("base", "base", "\"final\":[\"/labels/place\"],", base_rules));
    then_refused(ERR_FORBIDDEN, "aa.json: /rules/labels/place: is final in base.json");
}

static void rules_that_contradict_each_other_are_refused(void **state)
{
    (void)state;
    policy_folder_put(&folder, "aa",
                      policy_document("region", "aa", "\"extends\":\"base\",",
                                      "{\"gate\":{\"approvers\":[{\"id\":\"one\",\"key\":"
                                      "\"11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"}]}}"));
    then_refused(ERR_INVALID, "aa.json: /rules/gate/signatures: asks for 2, but /gate/approvers "
                              "names only 1");
    policy_folder_put(&folder, "aa",
                      policy_document("region", "aa", "\"extends\":\"base\",",
                                      "{\"filter\":{\"required\":true}}"));
    then_refused(ERR_INVALID, "aa.json: /rules/filter/bundle: must be given");
}

static void a_bad_folder_leaves_the_rules_in_force(void **state)
{
    (void)state;
    enum err err = ERR_OK;
    struct policies *policies = given_policies();
    assert_false(policies_look(policies, &err));
    policy_folder_write(&folder, "aa", "{", 1);
    assert_true(policies_look(policies, &err));
    assert_int_equal(err, ERR_INVALID);
    assert_false(policies_look(policies, &err));
    assert_int_equal(given_rules(policies, "aa", "t")->labels.place, RULES_PLACE_START);
    assert_non_null(strstr(policies_failure(policies), "aa.json: not valid JSON"));
    policies_free(policies);
}

static void rules_that_are_held_outlive_their_documents(void **state)
{
    (void)state;
    enum err err = ERR_INTERNAL;
    struct policies *policies = given_policies();
    const struct rules *old = rules_hold(given_rules(policies, "aa", "t"));
    policy_folder_put(&folder, "aa",
                      policy_document("region", "aa", "\"extends\":\"base\",",
                                      "{\"labels\":{\"place\":\"end\"}}"));
    assert_true(policies_look(policies, &err));
    assert_int_equal(err, ERR_OK);
    assert_int_equal(given_rules(policies, "aa", "t")->labels.place, RULES_PLACE_END);
    assert_int_equal(old->labels.place, RULES_PLACE_START);
    policies_free(policies);
    assert_string_equal(old->privacy.residency[0], "aa");
    rules_drop(old);
}

static void an_older_edition_does_not_come_back(void **state)
{
    (void)state;
    struct policies *policies = given_policies();
    char *text =
        mem_copy_text(policy_document("region", "aa", "\"extends\":\"base\",", region_rules));
    *(strstr(text, "\"serial\":5") + 9) = '4';
    policy_folder_put(&folder, "aa", text);
    assert_int_equal(policies_load(policies), ERR_FORBIDDEN);
    assert_string_equal(policies_failure(policies),
                        "aa.json: /serial: 4 is less than 5, which was in force");
    mem_free(text);
    policies_free(policies);
}

static const json_t *find_rule(const json_t *root, const char *path)
{
    size_t index;
    const json_t *rule;
    json_array_foreach(json_object_get(root, "rules"), index, rule)
    {
        if (strcmp(json_string_value(json_object_get(rule, "rule")), path) == 0) return rule;
    }
    return NULL;
}

static void each_rule_names_who_says_it_and_what_it_answers(void **state)
{
    (void)state;
    struct policies *policies = given_policies();
    struct buf text = {0};
    assert_int_equal(policies_explain(policies, "aa", "", &text), REASON_NONE);
    json_t *root = json_loadb(text.data, text.size, 0, NULL);
    const json_t *rule = find_rule(root, "/privacy/cache_seconds");
    assert_int_equal(json_integer_value(json_object_get(rule, "value")), 7);
    assert_string_equal(json_string_value(json_object_get(rule, "document")), "base");
    assert_int_equal(json_array_size(json_object_get(rule, "provision")), 1);
    rule = find_rule(root, "/features/assistant/allowed");
    assert_string_equal(json_string_value(json_object_get(rule, "document")), "aa");
    rule = find_rule(root, "/audit/stops");
    assert_true(json_is_null(json_object_get(rule, "document")));
    assert_int_equal(policies_explain(policies, "bb", "", &text), REASON_REGION_NOT_APPROVED);
    json_decref(root);
    buf_fini(&text);
    policies_free(policies);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_region_says_more_than_its_base_and_the_rest_is_strict),
        TEST(a_tenant_has_rules_of_its_own_and_others_the_regions),
        TEST(what_is_unknown_or_over_has_no_rules),
        TEST(every_flipped_bit_is_refused_by_the_documents_name),
        TEST(only_a_known_keys_signature_for_this_purpose_counts),
        TEST(chains_that_lead_nowhere_are_refused),
        TEST(what_is_final_is_not_said_again),
        TEST(rules_that_contradict_each_other_are_refused),
        TEST(a_bad_folder_leaves_the_rules_in_force),
        TEST(rules_that_are_held_outlive_their_documents),
        TEST(an_older_edition_does_not_come_back),
        TEST(each_rule_names_who_says_it_and_what_it_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
