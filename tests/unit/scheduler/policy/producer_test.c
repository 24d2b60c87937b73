#include "scheduler/policy/producer.h"
#include "tests/test.h"

#include <string.h>

/* Nobody's: of made-up numbers, whose check characters were computed apart from this code. */
static const char organisation[] = "001191110000000000000E10001";
static const char plain[] = "001191000000MA0000000N00000";

static void a_code_of_the_known_form_is_taken(void **state)
{
    (void)state;
    assert_null(producer_wrong(organisation));
    assert_null(producer_wrong(plain));
    assert_null(
        producer_wrong("002100000000000000000020001")); // a person's, by a number of another kind
    assert_null(producer_wrong("001191110000000000000E2TX01"));
}

static void what_is_wrong_with_a_code_is_said(void **state)
{
    (void)state;
    assert_non_null(strstr(producer_wrong(""), "27"));
    assert_non_null(strstr(producer_wrong("001191110000000000000E1000"), "27"));
    assert_non_null(strstr(producer_wrong("001191110000000000000E100011"), "27"));
    assert_non_null(strstr(producer_wrong("001191110000000000000e10001"), "27"));
    assert_non_null(strstr(producer_wrong("101191110000000000000E10001"), "'001'"));
    assert_non_null(strstr(producer_wrong("003191110000000000000E10001"), "'001'"));
    assert_non_null(strstr(producer_wrong("001191110000000000001E10001"), "credit code"));
    assert_non_null(strstr(producer_wrong("001191110000000000000E30001"), "'00000'"));
    assert_non_null(strstr(producer_wrong("001191110000000000000E00001"), "'00000'"));
}

/* The check character finds each wrong digit of a credit code. */
static void one_wrong_character_of_a_credit_code_is_found(void **state)
{
    (void)state;
    static const char alphabet[] = "0123456789ABCDEFGHJKLMNPQRTUWXY";
    for (size_t at = 4; at < 22; at++) {
        for (size_t i = 0; alphabet[i]; i++) {
            char code[sizeof organisation];
            memcpy(code, organisation, sizeof code);
            if (code[at] == alphabet[i]) continue;
            code[at] = alphabet[i];
            assert_non_null(producer_wrong(code));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_code_of_the_known_form_is_taken),
        cmocka_unit_test(what_is_wrong_with_a_code_is_said),
        cmocka_unit_test(one_wrong_character_of_a_credit_code_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
