#include "scheduler/policy/policy.h"
#include "scheduler/policy/schema.h"
#include "tests/test.h"

#include "base/file.h"
#include "base/mem.h"

#include <jansson.h>

#include <string.h>

/* What the text says goes into strict rules. */
static enum err apply(struct rules *rules, const char *text)
{
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    rules_preset(rules);
    enum err err = schema_apply(rules, root);
    json_decref(root);
    return err;
}

static void what_is_wrong_is_named_by_its_path(void **state)
{
    (void)state;

    static const struct {
        const char *text, *note;
    } rows[] = {
        {"[]", "/: must be an object"},
        {"{\"label\":{}}",
         "/label: there is no such rule; known are gate, labels, filter, privacy, audit, limits, "
         "features, provision"},
        {"{\"features\":{\"chat\":{}}}",
         "/features/chat: there is no such rule; known are assistant, grounding, recommendations, "
         "search, embeddings, rerank, provision"},
        {"{\"features\":[]}", "/features: must be an object"},
        {"{\"labels\":{\"plase\":1}}",
         "/labels/plase: there is no such rule; known are visible, place, implicit, producer, "
         "provider, propagator, waivable, notice, provision"},
        {"{\"labels\":{\"place\":\"middle\"}}",
         "/labels/place: must be one of none, start, end, both"},
        {"{\"labels\":{\"implicit\":1}}", "/labels/implicit: must be true or false"},
        {"{\"labels\":{\"producer\":\"123\"}}",
         "/labels/producer: must be the provider's code as it was given to it (27 characters), "
         "with "
         "27 capital letters and digits; or \"\": there is none"},
        {"{\"labels\":{\"producer\":\"001191110000000000001E10001\"}}",
         "/labels/producer: must be the provider's code as it was given to it (27 characters), with "
         "an organisation's credit code from its fifth character on, whose check character is "
         "right; or \"\": there is none"},
        {"{\"labels\":{\"provider\":\"a\\\"b\"}}",
         "/labels/provider: must be the provider's name, of at most 64 printable ASCII characters "
         "without '\"' and '\\'; or \"\": it has a code"},
        {"{\"labels\":{\"visible\":{\"en\":\"\"}}}",
         "/labels/visible/en: must be a text of 1 to 512 bytes"},
        {"{\"gate\":{\"signatures\":0}}", "/gate/signatures: must be a whole number from 1 to 32"},
        {"{\"gate\":{\"signatures\":1.0}}",
         "/gate/signatures: must be a whole number from 1 to 32"},
        {"{\"gate\":{\"evidence\":[\"a\",\"b c\"]}}",
         "/gate/evidence/1: must be a name of 1 to 64 letters, digits, '-', '_' or '.'"},
        {"{\"gate\":{\"evidence\":\"any\"}}", "/gate/evidence: must be a list of at most 16"},
        {"{\"gate\":{\"approvers\":[{\"id\":\"a\",\"key\":\"AAAA\"}]}}",
         "/gate/approvers/0/key: must be an Ed25519 key of 32 bytes in base64"},
        {"{\"gate\":{\"approvers\":["
         "{\"id\":\"a\",\"key\":\"11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"},"
         "{\"id\":\"b\",\"key\":\"11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"}]}}",
         "/gate/approvers/1: has the id or the key of approver 0"},
        {"{\"features\":{\"search\":{\"models\":[\"00\"]}}}",
         "/features/search/models/0: must be a digest of 32 hexadecimal digits: GET /admin/status "
         "has those of the models"},
        {"{\"filter\":{\"categories\":{\"x\":{\"input\":\"pass\",\"output\":\"stop\"}}}}",
         "/filter/categories/x/output: must be one of pass, review, mask, refuse, block"},
        {"{\"privacy\":{\"redact\":[\"name\"]}}",
         "/privacy/redact/0: must be one of phone, identity, card, email, address"},
        {"{\"privacy\":{\"residency\":[]}}",
         "/privacy/residency: must be \"any\", or name at least one"},
        {"{\"audit\":{\"stops\":\"gate\"}}",
         "/audit/stops: must be a list of some of start, policy, gate, denial, label, filter, "
         "strike, consent, erasure, export, admin, seal, lost, end"},
        {"{\"limits\":{\"provision\":[{\"article\":\"1\"}]}}",
         "/limits/provision/0: must be an object with a law"},
    };
    struct rules *rules = mem_new(1, sizeof *rules);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(apply(rules, rows[i].text), ERR_INVALID);
        assert_string_equal(err_text(), rows[i].note);
    }
    mem_free(rules);
}

static void every_form_of_value_goes_where_it_belongs(void **state)
{
    (void)state;
    struct rules *rules = mem_new(1, sizeof *rules);
    json_t *root = json_loads(
        "{\"features\":{\"rerank\":{\"models\":[\"cf4ab791c62b8d2b2109c90275287816\"],"
        "\"adapters\":\"any\",\"languages\":[\"en\",\"zh-Hans\"]}},"
        "\"gate\":{\"evidence\":[\"x\",\"y\"],\"signatures\":3},"
        "\"labels\":{\"visible\":{\"zh-Hans\":\"\\u751f\",\"en\":\"made\"},"
        "\"producer\":\"001191110000000000000E10001\"},"
        "\"filter\":{\"bundle\":\"b\",\"categories\":{\"c\":{\"input\":\"block\",\"output\":"
        "\"mask\"}}},"
        "\"privacy\":{\"redact\":[\"phone\",\"email\"],\"residency\":\"any\"},"
        "\"audit\":{\"stops\":[\"policy\",\"gate\"]}}",
        0, NULL);
    struct digest abc = digest_of("abc", 3);
    rules_preset(rules);
    rules->privacy.residency_count = 1;
    assert_int_equal(schema_apply(rules, root), ERR_OK);
    const struct rules_feature *rerank = &rules->features[FEATURE_RERANK];
    assert_true(rerank->model_count == 1 && digest_equal(&rerank->models[0], &abc));
    assert_true(rerank->any_adapter && !rerank->any_model && rerank->language_count == 2);
    assert_string_equal(rerank->languages[1], "zh-Hans");
    assert_int_equal(rules->gate.evidence_count, 2);
    assert_int_equal(rules->gate.signatures, 3);
    assert_string_equal(rules->labels.visible.entries[0].language, "zh-Hans");
    assert_string_equal(rules->labels.visible.entries[1].text, "made");
    assert_string_equal(rules->labels.producer, "001191110000000000000E10001");
    assert_string_equal(rules->filter.categories[0].category, "c");
    assert_int_equal(rules->filter.categories[0].input, RULES_BLOCK);
    assert_int_equal(rules->filter.categories[0].output, RULES_MASK);
    assert_int_equal(rules->privacy.redact, RULES_REDACT_PHONE | RULES_REDACT_EMAIL);
    assert_int_equal(rules->privacy.residency_count, 0);
    assert_int_equal(rules->audit.stops, 1 << 1 | 1 << 2);
    json_decref(root);
    mem_free(rules);
}

static void the_documents_that_are_shipped_say_nothing_wrong(void **state)
{
    (void)state;
    static const char *const names[] = {"base", "cn", "eu"};
    for (size_t i = 0; i < 3; i++) {
        char path[64], *text;
        size_t size;
        snprintf(path, sizeof path, "deploy/policy/%s.json", names[i]);
        assert_int_equal(file_read(&text, &size, path, POLICY_DOCUMENT_BYTES), ERR_OK);
        if (policy_check(names[i], text, size)) fail_msg("%s", err_text());
        mem_free(text);
    }
}

static void languages_meet_by_script(void **state)
{
    (void)state;
    struct rules_text text = {.count = 3,
                              .entries = {{"en", "e"}, {"zh-Hans", "s"}, {"zh-Hant", "t"}}};
    struct rules_feature feature = {.languages = {"zh-Hans", "en"}, .language_count = 2};

    static const struct {
        const char *wanted, *text;
        bool allowed;
    } rows[] = {{"zh-CN", "s", true},     {"zh", "s", true},       {"zh-TW", "t", false},
                {"zh-HK", "t", false},    {"zh-Hant", "t", false}, {"ZH-hans", "s", true},
                {"en-GB", "e", true},     {"fr", "e", false},      {"", "e", true},
                {"zh-Hans-HK", "s", true}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_string_equal(rules_text_for(&text, rows[i].wanted), rows[i].text);
        assert_int_equal(rules_allow_language(&feature, rows[i].wanted), rows[i].allowed);
    }
    text.count = 0;
    assert_null(rules_text_for(&text, "en"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_is_named_by_its_path),
        cmocka_unit_test(every_form_of_value_goes_where_it_belongs),
        cmocka_unit_test(the_documents_that_are_shipped_say_nothing_wrong),
        cmocka_unit_test(languages_meet_by_script),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
