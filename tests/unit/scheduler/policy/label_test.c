#include "scheduler/policy/label.h"
#include "tests/test.h"

#include "base/buf.h"

#include <sodium.h>

#include <fcntl.h>
#include <string.h>

static char folder[] = "/tmp/qiao-label-XXXXXX";
static char secret_path[64], keys_path[64];
static struct labeller *labeller;

static void write_file(const char *path, const struct buf *text)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, text->data, text->size), text->size);
    close(file);
}

static int given_keys(void **state)
{
    (void)state;
    struct sign_secret own, other;
    struct sign_public public;
    struct buf text = {0};
    assert_true(sodium_init() >= 0);
    assert_non_null(mkdtemp(folder));
    snprintf(secret_path, sizeof secret_path, "%s/own", folder);
    snprintf(keys_path, sizeof keys_path, "%s/others", folder);
    assert_int_equal(sign_make_key(&own, "own"), ERR_OK);
    assert_int_equal(sign_make_key(&other, "other"), ERR_OK);
    sign_write_secret(&text, &own);
    write_file(secret_path, &text);
    buf_clear(&text);
    sign_public_of(&public, &own);
    sign_write_public(&text, &public); // the same key twice is no harm
    sign_public_of(&public, &other);
    sign_write_public(&text, &public);
    write_file(keys_path, &text);
    buf_fini(&text);
    assert_int_equal(labeller_new(&labeller, secret_path, keys_path), ERR_OK);
    return 0;
}

static int clear_keys(void **state)
{
    (void)state;
    labeller_free(labeller);
    unlink(secret_path);
    unlink(keys_path);
    return rmdir(folder);
}

static struct rules_labels given_rules(enum rules_place place)
{
    return (struct rules_labels){
        .visible = {2, {{"zh-Hans", "由人工智能生成"}, {"en", "Made by AI"}}},
        .notice = {1, {{"en", "You talk to a machine."}}},
        .place = place,
        .implicit = true,
        .producer = "001191110000000000000E10001",
        .propagator = "001191000000MA0000000N00000"};
}

static struct label given_label(const struct rules_labels *rules, const char *language)
{
    struct label label;
    struct label_order order = {
        .labeller = labeller, .rules = rules, .language = language, .id = "chatcmpl-1"};
    label_init(&label, &order);
    return label;
}

static void a_label_stands_where_the_rules_say(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        [RULES_PLACE_NONE] = {"", ""},
        [RULES_PLACE_START] = {"Made by AI\n\n", ""},
        [RULES_PLACE_END] = {"", "\n\nMade by AI"},
        [RULES_PLACE_BOTH] = {"Made by AI\n\n", "\n\nMade by AI"}};
    for (int place = RULES_PLACE_NONE; place <= RULES_PLACE_BOTH; place++) {
        struct rules_labels rules = given_rules((enum rules_place)place);
        struct label label = given_label(&rules, "en-GB");
        assert_string_equal(buf_text(&label.before), texts[place][0]);
        assert_string_equal(buf_text(&label.behind), texts[place][1]);
        label_fini(&label);
    }
}

static void a_label_speaks_the_language_of_its_reader(void **state)
{
    (void)state;
    struct rules_labels rules = given_rules(RULES_PLACE_START);
    struct label chinese = given_label(&rules, "zh-CN"), other = given_label(&rules, "fr");
    assert_string_equal(buf_text(&chinese.before), "由人工智能生成\n\n");
    assert_string_equal(buf_text(&other.before), "由人工智能生成\n\n");
    label_fini(&chinese);
    label_fini(&other);
}

static void a_list_has_its_label_beside_it(void **state)
{
    (void)state;
    struct rules_labels rules = given_rules(RULES_PLACE_END), none = given_rules(RULES_PLACE_NONE);
    assert_string_equal(label_of_list(&rules, "en"), "Made by AI");
    assert_null(label_of_list(&none, "en"));
}

static void the_notice_is_given_once_and_before_the_label(void **state)
{
    (void)state;
    struct rules_labels rules = given_rules(RULES_PLACE_START);
    struct label label;
    struct label_order order = {
        .labeller = labeller, .rules = &rules, .language = "en", .id = "chatcmpl-1", .first = true};
    label_init(&label, &order);
    assert_string_equal(buf_text(&label.before), "You talk to a machine.\n\nMade by AI\n\n");
    assert_int_equal(label.place, order.rules->place);
    label_fini(&label);
    order.waived = true; // the label is, the notice is not
    label_init(&label, &order);
    assert_string_equal(buf_text(&label.before), "You talk to a machine.\n\n");
    assert_true(label.is_waived && label.implicit);
    assert_int_equal(label.place, RULES_PLACE_NONE);
    label_fini(&label);
}

static void metadata_is_signed_before_and_behind_the_content(void **state)
{
    (void)state;
    struct rules_labels rules = given_rules(RULES_PLACE_BOTH);
    struct label label = given_label(&rules, "en");
    struct aigc_hash text = aigc_hash_text("hello", 5), content = aigc_hash_list(&text, 1);
    struct aigc_hash visible = aigc_hash_label("Made by AI\n\n", "\n\nMade by AI");
    struct aigc_code code;
    label_open(&label);
    assert_int_equal(aigc_check(&label.aigc, labeller_keys(labeller), &code), AIGC_VALID);
    assert_false(code.has_content);
    assert_memory_equal(&code.label, &visible, sizeof visible);
    label_seal(&label, &text, 1);
    assert_int_equal(aigc_check(&label.aigc, labeller_keys(labeller), &code), AIGC_VALID);
    assert_true(code.has_content);
    assert_memory_equal(&code.content, &content, sizeof content);
    assert_string_equal(label.aigc.producer, rules.producer);
    assert_string_equal(label.aigc.produce_id, "chatcmpl-1");
    assert_string_equal(label.aigc.propagator, rules.propagator);
    assert_string_equal(label.aigc.propagate_id, "chatcmpl-1");
    label_fini(&label);
}

static void a_label_is_written_as_members(void **state)
{
    (void)state;
    struct rules_labels rules = given_rules(RULES_PLACE_START);
    struct label label = given_label(&rules, "en");
    struct buf out = {0};
    label_open(&label);
    label_write(&out, &label);
    assert_non_null(strstr(buf_text(&out),
                           "\"label\":{\"before\":\"Made by AI\\n\\n\",\"behind\":\"\"},"
                           "\"AIGC\":{\"Label\":\"1\",\"ContentProducer\":"));
    label_fini(&label);
    buf_clear(&out);
    label_init(&label, &(struct label_order){0});
    label_write(&out, &label);
    assert_int_equal(out.size, 0);
    assert_false(label.is_there);
    label_fini(&label);
    buf_fini(&out);
}

static void a_label_that_cannot_be_made_is_said(void **state)
{
    (void)state;
    struct labeller *keyless;
    struct rules_labels rules = given_rules(RULES_PLACE_BOTH), silent = {0}, textless = rules,
                        nameless = rules;
    textless.visible.count = 0;
    *nameless.producer = '\0';
    assert_int_equal(labeller_new(&keyless, "", ""), ERR_OK);
    assert_null(labeller_lacks(labeller, &rules, true));
    assert_null(labeller_lacks(keyless, &silent, true));
    assert_non_null(strstr(labeller_lacks(keyless, &rules, true), "label_key"));
    assert_non_null(strstr(labeller_lacks(labeller, &textless, true), "/labels/visible"));
    assert_non_null(strstr(labeller_lacks(labeller, &nameless, true), "/labels/producer"));
    snprintf(nameless.provider, sizeof nameless.provider, "Example Ltd");
    assert_null(labeller_lacks(labeller, &nameless, true));
    struct label label = given_label(&nameless, "en");
    assert_string_equal(label.aigc.producer, "Example Ltd");
    label_fini(&label);
    assert_null(labeller_lacks(keyless, &rules, false));
    assert_non_null(labeller_lacks(keyless, &textless, false));
    assert_null(labeller_secret(keyless));
    labeller_free(keyless);
}

static void two_keys_of_one_name_are_refused(void **state)
{
    (void)state;
    char path[80];
    struct labeller *none;
    struct sign_secret other;
    struct sign_public public;
    struct buf text = {0};
    snprintf(path, sizeof path, "%s/bad", folder);
    assert_int_equal(sign_make_key(&other, "own"), ERR_OK);
    sign_public_of(&public, &other);
    sign_write_public(&text, &public);
    write_file(path, &text);
    assert_int_equal(labeller_new(&none, secret_path, path), ERR_INVALID);
    assert_non_null(strstr(err_text(), "'own'"));
    assert_int_equal(labeller_keys(labeller)->count, 2);
    buf_fini(&text);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_label_stands_where_the_rules_say),
        cmocka_unit_test(a_label_speaks_the_language_of_its_reader),
        cmocka_unit_test(a_list_has_its_label_beside_it),
        cmocka_unit_test(the_notice_is_given_once_and_before_the_label),
        cmocka_unit_test(metadata_is_signed_before_and_behind_the_content),
        cmocka_unit_test(a_label_is_written_as_members),
        cmocka_unit_test(a_label_that_cannot_be_made_is_said),
        cmocka_unit_test(two_keys_of_one_name_are_refused),
    };
    return cmocka_run_group_tests(tests, given_keys, clear_keys);
}
