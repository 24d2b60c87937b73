/* What an approver signs, and how a system's version is compared. */
#include "tests/test.h"

#include "base/approval.h"
#include "base/buf.h"

#include <stdio.h>
#include <string.h>

static struct approval sample(void)
{
    struct approval approval = {
        .feature = "assistant",
        .region = "cn",
        .serial = 3,
        .systems = {"AcmeOS/18.4", "Acme Pad OS/2"},
        .system_count = 2,
        .model_count = 1,
        .evidence = {{.type = "filing", .reference = "CN-2026 0042", .from_ms = 5, .until_ms = 9}},
        .evidence_count = 1};
    memset(approval.models[0].bytes, 0xab, sizeof approval.models[0].bytes);
    memset(approval.evidence[0].hash, 0x01, sizeof approval.evidence[0].hash);
    return approval;
}

static void the_text_is_one_line_for_each_thing_that_is_approved(void **state)
{
    struct approval approval = sample();
    struct buf text = {0};
    (void)state;
    assert_int_equal(approval_check(&approval), ERR_OK);
    approval_write(&text, &approval);
    assert_string_equal(
        buf_text(&text),
        "feature assistant\nregion cn\nserial 3\npolicy 00000000000000000000000000000000\n"
        "os AcmeOS/18.4\nos Acme Pad OS/2\nmodel abababababababababababababababab\n"
        "evidence filing 0101010101010101010101010101010101010101010101010101010101010101 5 9 "
        "CN-2026 0042\n");
    buf_fini(&text);
}

static void what_a_line_cannot_hold_is_refused_by_its_name(void **state)
{
    (void)state;
    struct approval approval = sample();
    snprintf(approval.region, sizeof approval.region, "%s", "c n");
    assert_int_equal(approval_check(&approval), ERR_INVALID);
    assert_non_null(strstr(err_text(), "region"));
    approval = sample();
    snprintf(approval.systems[1], sizeof approval.systems[1], "%s", "AcmeOS/18.x");
    assert_int_equal(approval_check(&approval), ERR_INVALID);
    assert_non_null(strstr(err_text(), "os must be"));
    approval = sample();
    snprintf(approval.evidence[0].reference, sizeof approval.evidence[0].reference, "%s",
             "1\nmodel 00");
    assert_int_equal(approval_check(&approval), ERR_INVALID);
    assert_non_null(strstr(err_text(), "reference"));
    approval = sample();
    approval.evidence[0].until_ms = 5;
    assert_int_equal(approval_check(&approval), ERR_INVALID);
}

static void a_version_is_compared_number_by_number(void **state)
{
    static const struct {
        const char *minimum, *told;
        enum approval_system is;
    } cases[] = {
        {"AcmeOS/18.4", "AcmeOS/18.4", APPROVAL_SYSTEM_GOOD},
        {"AcmeOS/18.4", "acmeos/18.4.1", APPROVAL_SYSTEM_GOOD},
        {"AcmeOS/18.4", "AcmeOS/18.10", APPROVAL_SYSTEM_GOOD},
        {"AcmeOS/18.4", "AcmeOS/19", APPROVAL_SYSTEM_GOOD},
        {"AcmeOS/18.4.0", "AcmeOS/18.4", APPROVAL_SYSTEM_GOOD},
        {"AcmeOS/18.4", "AcmeOS/18.3.9", APPROVAL_SYSTEM_OLD},
        {"AcmeOS/18.4", "AcmeOS/18", APPROVAL_SYSTEM_OLD},
        {"AcmeOS/18.4", "AcmeOS/9.9", APPROVAL_SYSTEM_OLD},
        {"AcmeOS/18.4", "OtherOS/99", APPROVAL_SYSTEM_OTHER},
        {"AcmeOS/18.4", "AcmeOS", APPROVAL_SYSTEM_OTHER},
        {"AcmeOS/18.4", "AcmeOS/", APPROVAL_SYSTEM_OTHER},
        {"AcmeOS/18.4", "AcmeOS/18.4beta", APPROVAL_SYSTEM_OTHER},
        {"AcmeOS/18.4", "AcmeOS/99999999999999999999999", APPROVAL_SYSTEM_OTHER},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(approval_system(cases[i].minimum, cases[i].told), cases[i].is);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_is_one_line_for_each_thing_that_is_approved),
        cmocka_unit_test(what_a_line_cannot_hold_is_refused_by_its_name),
        cmocka_unit_test(a_version_is_compared_number_by_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
