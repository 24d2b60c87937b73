/* MurmurHash3 of texts whose hashes its author's program gives. */
#include "tests/test.h"

#include "base/murmur.h"

#include <string.h>

static void hashes_are_those_of_the_reference(void **state)
{
    static const struct {
        const char *text;
        uint32_t seed, hash;
    } cases[] = {
        {"", 0, 0},
        {"", 1, UINT32_C(0x514e28b7)},
        {"", UINT32_MAX, UINT32_C(0x81f16f39)},
        {"a", UINT32_C(0x9747b28c), UINT32_C(0x7fa09ea6)},
        {"aa", UINT32_C(0x9747b28c), UINT32_C(0x5d211726)},
        {"aaa", UINT32_C(0x9747b28c), UINT32_C(0x283e0130)},
        {"aaaa", UINT32_C(0x9747b28c), UINT32_C(0x5a97808a)},
        {"test", 0, UINT32_C(0xba6bd213)},
        {"Hello, world!", 0, UINT32_C(0xc0363e43)},
        {"The quick brown fox jumps over the lazy dog", UINT32_C(0x9747b28c), UINT32_C(0x2fa826cd)},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(murmur3(cases[i].text, strlen(cases[i].text), cases[i].seed),
                         cases[i].hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_those_of_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
