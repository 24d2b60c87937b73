#include "tests/test.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sign.h"

#include <sodium.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/qiao-sign-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    return sodium_init() < 0 || !mkdtemp(folder);
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* RFC 8032, 7.1, test 1: the seed and its public key. */
static void a_key_file_is_read_as_the_rfc_has_it(void **state)
{
    (void)state;
    static const unsigned char want[SIGN_KEY_SIZE] = {
        0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe,
        0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6,
        0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a};
    static const char text[] = "# ours\nqiao signing key 1\nid ops-1\n"
                               "secret nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=\n";
    struct sign_secret secret;
    struct sign_public key;
    assert_int_equal(sign_parse_secret(&secret, "a", text, sizeof text - 1), ERR_OK);
    sign_public_of(&key, &secret);
    assert_string_equal(key.id, "ops-1");
    assert_memory_equal(key.key, want, sizeof want);
}

static void what_is_signed_is_the_purpose_and_the_bytes(void **state)
{
    (void)state;
    struct sign_secret secret;
    struct sign_public key;
    unsigned char signature[SIGN_SIZE];
    assert_int_equal(sign_make_key(&secret, "a"), ERR_OK);
    sign_public_of(&key, &secret);
    sign_bytes(signature, &secret, "qiao policy 1", "text", 4);
    assert_true(sign_check(key.key, "qiao policy 1", "text", 4, signature));
    assert_false(sign_check(key.key, "qiao label 1", "text", 4, signature));
    assert_false(sign_check(key.key, "qiao policy 1", "texu", 4, signature));
    for (size_t i = 0; i < SIGN_SIZE; i++) {
        signature[i] ^= 1;
        assert_false(sign_check(key.key, "qiao policy 1", "text", 4, signature));
        signature[i] ^= 1;
    }
}

static void files_give_back_what_was_written(void **state)
{
    (void)state;
    struct sign_secret secret[2], again;
    struct sign_public key[2];
    struct sign_keys keys;
    struct sign_signatures signatures;
    struct buf text = {0}, publics = {0}, signs = {0};
    for (size_t i = 0; i < 2; i++) {
        struct sign_signature signature = {0};
        assert_int_equal(sign_make_key(&secret[i], i ? "b" : "a"), ERR_OK);
        sign_public_of(&key[i], &secret[i]);
        sign_write_public(&publics, &key[i]);
        memcpy(signature.id, key[i].id, sizeof signature.id);
        sign_bytes(signature.bytes, &secret[i], "p", "x", 1);
        sign_write_signature(&signs, &signature);
    }
    sign_write_secret(&text, &secret[0]);
    assert_int_equal(sign_parse_secret(&again, "s", text.data, text.size), ERR_OK);
    assert_memory_equal(&again, &secret[0], sizeof again);
    assert_int_equal(sign_parse_keys(&keys, "k", publics.data, publics.size), ERR_OK);
    assert_int_equal(keys.count, 2);
    assert_memory_equal(sign_find(&keys, "b")->key, key[1].key, SIGN_KEY_SIZE);
    assert_null(sign_find(&keys, "c"));
    assert_int_equal(sign_parse_signatures(&signatures, "s", signs.data, signs.size), ERR_OK);
    assert_int_equal(signatures.count, 2);
    for (size_t i = 0; i < 2; i++)
        assert_true(sign_check(key[i].key, "p", "x", 1, signatures.list[i].bytes));
    buf_fini(&text);
    buf_fini(&publics);
    buf_fini(&signs);
}

static void what_is_wrong_is_named_with_its_line(void **state)
{
    (void)state;

    static const struct {
        const char *text, *note;
    } rows[] = {
        {"", "f: holds no public key: its first line must be 'qiao public key 1'"},
        {"qiao signing key 1\n", "f:1: must be 'qiao public key 1'"},
        {"qiao public key 1\n", "f:1: must be 'id NAME'"},
        {"qiao public key 1\nid a b\n", "f:2: must be 'id NAME'"},
        {"qiao public key 1\nid a\nkey AAAA\n", "f:3: must be 'key BASE64', of 32 bytes"},
        {"qiao public key 1\nid a\nkey 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
         "qiao public key 1\nid a\nkey 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n",
         "f: the key 'a' is there twice"},
    };
    struct sign_keys keys;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(sign_parse_keys(&keys, "f", rows[i].text, strlen(rows[i].text)),
                         ERR_FORMAT);
        assert_string_equal(err_text(), rows[i].note);
    }
}

/* Base64 of bytes that need '+' and '/': each bit of the text matters, the eighth too. */
static void a_public_key_comes_back_from_base64(void **state)
{
    struct sign_secret secret;
    struct sign_public public;
    char text[SIGN_KEY_TEXT_SIZE];
    unsigned char again[SIGN_KEY_SIZE];
    (void)state;
    assert_int_equal(sign_make_key(&secret, "a"), ERR_OK);
    sign_public_of(&public, &secret);
    assert_ptr_equal(sign_key_text(text, public.key), text);
    assert_int_equal(strlen(text), SIGN_KEY_TEXT_SIZE - 1);
    assert_true(sign_decode(text, again, sizeof again));
    assert_memory_equal(again, public.key, sizeof again);
    sign_fini(&secret);
}

static void a_flipped_bit_of_base64_is_other_bytes(void **state)
{
    (void)state;
    unsigned char bytes[SIGN_SIZE], other[SIGN_SIZE];
    char text[SIGN_TEXT_SIZE];
    memset(bytes, 0xfb, sizeof bytes);
    memset(bytes + 32, 0xff, 32);
    sign_text(text, bytes);
    assert_non_null(strchr(text, '+'));
    assert_non_null(strchr(text, '/'));
    assert_true(sign_decode(text, other, sizeof other));
    assert_memory_equal(other, bytes, sizeof bytes);
    for (size_t bit = 0; bit < 8 * strlen(text); bit++) {
        text[bit / 8] ^= (char)(1 << bit % 8);
        bool is_read = sign_decode(text, other, sizeof other);
        if (is_read && memcmp(other, bytes, sizeof bytes) == 0)
            fail_msg("bit %zu of %s", bit, text);
        text[bit / 8] ^= (char)(1 << bit % 8);
    }
}

static void a_secret_that_others_can_read_is_refused(void **state)
{
    (void)state;
    char path[64];
    struct sign_secret secret, again;
    struct buf text = {0};
    snprintf(path, sizeof path, "%s/key", folder);
    assert_int_equal(sign_make_key(&secret, "a"), ERR_OK);
    sign_write_secret(&text, &secret);
    assert_int_equal(file_create(path, 0600, text.data, text.size), ERR_OK);
    assert_int_equal(file_create(path, 0600, text.data, text.size), ERR_CONFLICT);
    assert_int_equal(sign_read_secret(&again, path), ERR_OK);
    assert_memory_equal(&again, &secret, sizeof again);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(sign_read_secret(&again, path), ERR_FORBIDDEN);
    unlink(path);
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_file_is_read_as_the_rfc_has_it),
        cmocka_unit_test(what_is_signed_is_the_purpose_and_the_bytes),
        cmocka_unit_test(files_give_back_what_was_written),
        cmocka_unit_test(what_is_wrong_is_named_with_its_line),
        cmocka_unit_test(a_public_key_comes_back_from_base64),
        cmocka_unit_test(a_flipped_bit_of_base64_is_other_bytes),
        cmocka_unit_test(a_secret_that_others_can_read_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
