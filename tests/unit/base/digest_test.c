#include "tests/test.h"

#include "base/digest.h"

#include <string.h>

/* Golden values: Python's hashlib.blake2b(..., digest_size=16), which is not our
 * implementation. */
static void a_digest_is_blake2b_of_128_bits(void **state)
{
    (void)state;
    char text[DIGEST_TEXT_SIZE];
    struct digest abc = digest_of("abc", 3);
    struct digest nothing = digest_of("", 0);
    assert_string_equal(digest_text(&abc, text), "cf4ab791c62b8d2b2109c90275287816");
    assert_string_equal(digest_text(&nothing, text), "cae66941d9efbd404e4d88758ea67670");
}

static void bytes_in_pieces_have_the_digest_of_the_whole(void **state)
{
    (void)state;
    unsigned char bytes[1000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 7);
    struct digest whole = digest_of(bytes, sizeof bytes);
    struct digester *digester = digester_new();
    for (size_t at = 0, size = 0; at < sizeof bytes; at += size, size = (size + 37) % 300) {
        if (size > sizeof bytes - at) size = sizeof bytes - at;
        digester_add(digester, bytes + at, size);
    }
    struct digest pieces = digester_end(digester);
    assert_true(digest_equal(&whole, &pieces));
}

static void digests_compare_by_their_bytes(void **state)
{
    (void)state;
    struct digest a = digest_of("a", 1), again = digest_of("a", 1), b = digest_of("b", 1);
    struct digest zero = {0};
    assert_true(digest_equal(&a, &again));
    assert_false(digest_equal(&a, &b));
    again.bytes[DIGEST_SIZE - 1] ^= 1;
    assert_false(digest_equal(&a, &again));
    assert_true(digest_is_zero(&zero));
    assert_false(digest_is_zero(&a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_digest_is_blake2b_of_128_bits),
        cmocka_unit_test(bytes_in_pieces_have_the_digest_of_the_whole),
        cmocka_unit_test(digests_compare_by_their_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
