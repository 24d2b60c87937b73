#include "scheduler/state/keyring.h"
#include "tests/test.h"

#include "base/buf.h"

#include <sodium.h>

#include <string.h>

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
#define HEX_C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define FIRST "qiao session keys 1\n"

static struct keyring given(const char *text)
{
    struct keyring ring;
    if (keyring_parse(&ring, "file", text, strlen(text))) fail_msg("%s: %s", text, err_text());
    return ring;
}

static void a_file_holds_a_root_and_keys_newest_first(void **state)
{
    (void)state;
    struct keyring ring =
        given(FIRST "# a comment\n\nroot " HEX_A "\nkey 7 " HEX_B "\nkey 0 " HEX_C);
    assert_int_equal(ring.count, 2);
    assert_int_equal(ring.root[31], 0xaa);
    assert_int_equal(ring.keys[0].id, 7);
    assert_int_equal(ring.keys[0].secret[0], 0xbb);
    assert_int_equal(ring.keys[1].id, 0);

    struct buf text = {0};
    struct keyring again;
    keyring_write(&ring, &text);
    assert_int_equal(keyring_parse(&again, "file", text.data, text.size), ERR_OK);
    assert_memory_equal(&ring, &again, sizeof ring);
    buf_fini(&text);
}

static void a_wrong_file_is_named_with_its_line(void **state)
{
    (void)state;

    static const struct wrong {
        const char *text, *line;
    } wrong[] = {
        {"", "'root HEX'"},
        {"0123456789abcdef0123456789abcde", "line 1"}, // 31 bytes
        {"qiao session keys 2\nroot " HEX_A "\nkey 1 " HEX_B, "line 1"},
        {FIRST "key 1 " HEX_B "\n", "'root HEX'"},
        {FIRST "root " HEX_A "\n", "'key ID HEX'"},
        {FIRST "root " HEX_A "\nroot " HEX_A "\nkey 1 " HEX_B "\n", "line 3"},
        {FIRST "root " HEX_A "\nkey 1 " HEX_B "\nkey 1 " HEX_C "\n", "line 4"},
        {FIRST "root " HEX_A "\nkey 4294967296 " HEX_B "\n", "line 3"},
        {FIRST "root " HEX_A "\nkey -1 " HEX_B "\n", "line 3"},
        {FIRST "root " HEX_A "\nkey 1 abc\n", "line 3"},
        {FIRST "root " HEX_A "x\nkey 1 " HEX_B "\n", "line 2"},
        {FIRST "root " HEX_A "\nkay 1 " HEX_B "\n", "line 3"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct keyring ring;
        assert_int_equal(keyring_parse(&ring, "the-file", wrong[i].text, strlen(wrong[i].text)),
                         ERR_INVALID);
        if (!strstr(err_text(), wrong[i].line) || !strstr(err_text(), "the-file"))
            fail_msg("%zu: %s", i, err_text());
        assert_null(strstr(err_text(), "aaaa"));
    }
}

static void the_newest_key_wraps_and_the_older_ones_still_unwrap(void **state)
{
    (void)state;
    struct keyring old = given(FIRST "root " HEX_A "\nkey 1 " HEX_B "\n");
    struct keyring rotated = given(FIRST "root " HEX_A "\nkey 2 " HEX_C "\nkey 1 " HEX_B "\n");
    struct keyring gone = given(FIRST "root " HEX_A "\nkey 2 " HEX_C "\n");
    struct keyring other = given(FIRST "root " HEX_A "\nkey 1 " HEX_A "\n");
    unsigned char key[KEYRING_KEY_SIZE] = "a data key", opened[KEYRING_KEY_SIZE];
    unsigned char wrapped[KEYRING_WRAPPED_SIZE];
    const char *bytes = (const char *)wrapped;
    struct buf bound = {0};
    buf_add_text(&bound, "owner and id");

    keyring_wrap(&old, key, &bound, wrapped);
    assert_int_equal(keyring_unwrap(&rotated, bytes, sizeof wrapped, &bound, opened), ERR_OK);
    assert_memory_equal(key, opened, sizeof key);
    assert_int_equal(keyring_unwrap(&gone, bytes, sizeof wrapped, &bound, opened), ERR_INTERNAL);
    assert_non_null(strstr(err_text(), "master key 1, which is not in the session key file"));
    assert_int_equal(keyring_unwrap(&other, bytes, sizeof wrapped, &bound, opened), ERR_INTERNAL);

    keyring_wrap(&rotated, key, &bound, wrapped);
    assert_int_equal(keyring_unwrap(&gone, bytes, sizeof wrapped, &bound, opened), ERR_OK);
    assert_int_equal(keyring_unwrap(&gone, bytes, sizeof wrapped - 1, &bound, opened),
                     ERR_INTERNAL);
    buf_add_text(&bound, "!");
    assert_int_equal(keyring_unwrap(&gone, bytes, sizeof wrapped, &bound, opened), ERR_INTERNAL);
    buf_fini(&bound);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_holds_a_root_and_keys_newest_first),
        cmocka_unit_test(a_wrong_file_is_named_with_its_line),
        cmocka_unit_test(the_newest_key_wraps_and_the_older_ones_still_unwrap),
    };
    if (sodium_init() < 0) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
