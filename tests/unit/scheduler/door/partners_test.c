/* Second parties: whose signatures are believed, for what, and until when; and the manifests that they sign. */
#include "scheduler/door/json.h"
#include "scheduler/door/manifest.h"
#include "scheduler/door/partners.h"
#include "tests/test.h"

#include <sodium.h>

#include <stdio.h>
#include <string.h>

static unsigned char public_keys[2][PARTNER_KEY_SIZE], secret_keys[2][crypto_sign_SECRETKEYBYTES];
static struct partners *partners;
static const int64_t now_s = 1790000000;

static void encode(char *out, size_t size, const void *bytes, size_t count, int variant)
{
    sodium_bin2base64(out, size, bytes, count, variant);
}

static int set_up(void **state)
{
    (void)state;
    unsigned char der[44] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                             0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
    char first[64], second[64], file[512];
    assert_true(sodium_init() >= 0);
    for (size_t i = 0; i < 2; i++)
        crypto_sign_keypair(public_keys[i], secret_keys[i]);
    encode(first, sizeof first, public_keys[0], PARTNER_KEY_SIZE, sodium_base64_VARIANT_ORIGINAL);
    memcpy(der + 12, public_keys[1], PARTNER_KEY_SIZE);
    encode(second, sizeof second, der, sizeof der, sodium_base64_VARIANT_ORIGINAL);
    snprintf(file, sizeof file,
             "[{\"source\":\"pay\",\"tenant\":\"shop\",\"public_key\":\"%s\"},"
             "{\"source\":\"pay\",\"tenant\":\"shop\",\"public_key\":\"%s\"},"
             "{\"source\":\"club\",\"tenant\":\"shop\",\"public_key\":\"%s\"}]",
             first, second, first);
    assert_int_equal(partners_parse(&partners, "partners", file, strlen(file)), ERR_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    partners_free(partners);
    return 0;
}

static enum err verify(const char *source, const char *text, size_t key)
{
    unsigned char signature[PARTNER_SIGN_SIZE];
    crypto_sign_detached(signature, NULL, (const unsigned char *)"the bytes", 9, secret_keys[key]);
    return partners_verify(partners, "shop", source, text, strlen(text), signature);
}

static void a_partner_has_as_many_keys_as_it_has_rows(void **state)
{
    (void)state;
    assert_int_equal(verify("pay", "the bytes", 0), ERR_OK);
    assert_int_equal(verify("pay", "the bytes", 1), ERR_OK);
    assert_int_equal(verify("club", "the bytes", 1), ERR_FORBIDDEN);
    assert_int_equal(verify("pay", "the byteS", 0), ERR_FORBIDDEN);
    assert_int_equal(verify("bank", "the bytes", 0), ERR_NOT_FOUND);
}

static void a_wrong_file_is_refused_with_row_and_field(void **state)
{
    (void)state;
    struct partners *none;

    static const struct {
        const char *text, *says;
    } rows[] = {
        {"{}", "a list"},
        {"[{\"source\":\"Pay\",\"public_key\":\"AA\"}]", "partner 1: source"},
        {"[{\"source\":\"pay\"}]", "partner 1: public_key"},
        {"[{\"source\":\"pay\",\"public_key\":\"AAAA\"}]", "partner 1: public_key"},
        {"[", "not valid JSON"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(partners_parse(&none, "file", rows[i].text, strlen(rows[i].text)),
                         ERR_INVALID);
        assert_non_null(strstr(err_text(), rows[i].says));
    }
}

/* A token of the claims, signed. */
static const char *token_of(const char *head, const char *claims)
{
    static char token[2048];
    char part[1024];
    unsigned char signature[PARTNER_SIGN_SIZE];
    encode(part, sizeof part, head, strlen(head), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    size_t used = (size_t)snprintf(token, sizeof token, "%s.", part);
    encode(part, sizeof part, claims, strlen(claims), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    used += (size_t)snprintf(token + used, sizeof token - used, "%s", part);
    crypto_sign_detached(signature, NULL, (const unsigned char *)token, used, secret_keys[0]);
    encode(part, sizeof part, signature, sizeof signature,
           sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    snprintf(token + used, sizeof token - used, ".%s", part);
    return token;
}

static const char eddsa[] = "{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}";

static enum err read_token(const char *head, const char *claims, struct partner_claim *out)
{
    return partners_read_token(partners, "shop", token_of(head, claims), now_s, out);
}

static void a_token_says_which_user_of_the_partner_it_is(void **state)
{
    (void)state;
    struct partner_claim claim;
    assert_int_equal(read_token(eddsa,
                                "{\"iss\":\"pay\",\"aud\":[\"x\",\"shop\"],\"sub\":\"p-17\","
                                "\"exp\":1790000300,\"jti\":\"12345678\"}",
                                &claim),
                     ERR_OK);
    assert_string_equal(claim.source, "pay");
    assert_string_equal(claim.pseudonym, "p-17");
    assert_string_equal(claim.id, "12345678");
}

static void a_token_that_is_not_for_us_and_now_is_refused(void **state)
{
    (void)state;
    struct partner_claim claim;

    static const struct {
        const char *head, *claims;
        enum err err;
    } rows[] = {
        {eddsa,
         "{\"iss\":\"pay\",\"aud\":\"bank\",\"sub\":\"p\",\"exp\":1790000300,"
         "\"jti\":\"12345678\"}",
         ERR_FORBIDDEN},
        {eddsa,
         "{\"iss\":\"pay\",\"aud\":\"shop\",\"sub\":\"p\",\"exp\":1789999900,"
         "\"jti\":\"12345678\"}",
         ERR_FORBIDDEN},
        {eddsa,
         "{\"iss\":\"pay\",\"aud\":\"shop\",\"sub\":\"p\",\"exp\":1790003600,"
         "\"jti\":\"12345678\"}",
         ERR_FORBIDDEN},
        {eddsa,
         "{\"iss\":\"bank\",\"aud\":\"shop\",\"sub\":\"p\",\"exp\":1790000300,"
         "\"jti\":\"12345678\"}",
         ERR_NOT_FOUND},
        {eddsa, "{\"iss\":\"pay\",\"aud\":\"shop\",\"sub\":\"p\",\"exp\":1790000300}", ERR_INVALID},
        {eddsa, "{\"iss\":\"pay\",\"aud\":\"shop\",\"exp\":1790000300,\"jti\":\"12345678\"}",
         ERR_INVALID},
        {eddsa, "[]", ERR_INVALID},
        {"{\"alg\":\"none\"}",
         "{\"iss\":\"pay\",\"aud\":\"shop\",\"sub\":\"p\","
         "\"exp\":1790000300,\"jti\":\"12345678\"}",
         ERR_INVALID},
        {"{\"alg\":\"EdDSA\",\"crit\":[\"b64\"]}",
         "{\"iss\":\"pay\",\"aud\":\"shop\","
         "\"sub\":\"p\",\"exp\":1790000300,\"jti\":\"12345678\"}",
         ERR_INVALID},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(read_token(rows[i].head, rows[i].claims, &claim), rows[i].err);
    char changed[2048];
    snprintf(changed, sizeof changed, "%s",
             token_of(eddsa, "{\"iss\":\"pay\",\"aud\":\"shop\",\"sub\":\"p\",\"exp\":1790000300,"
                             "\"jti\":\"12345678\"}"));
    char *claims = strchr(changed, '.') + 20;
    *claims = *claims == 'A' ? 'B' : 'A';
    assert_int_not_equal(partners_read_token(partners, "shop", changed, now_s, &claim), ERR_OK);
    for (size_t size = strlen(changed); size > 0; size--) {
        changed[size - 1] = '\0';
        assert_int_not_equal(partners_read_token(partners, "shop", changed, now_s, &claim), ERR_OK);
    }
}

static void a_manifest_must_say_all_and_nothing_else(void **state)
{
    (void)state;
    struct manifest manifest;
    char text[1024];
    static const char form[] =
        "{\"format\":\"%s\",\"source\":\"pay\",\"number\":%s,\"file\":\"f\",\"lines\":3,"
        "\"bytes\":9,\"sha256\":\"%064d\",\"created\":\"2026-09-21T14:13:20Z\","
        "\"from\":\"%s\",\"until\":\"2026-09-21T00:00:00Z\"%s}";

    static const struct {
        const char *format, *number, *from, *more, *param;
    } rows[] = {
        {"qiao-feed-1", "7", "2026-09-20T00:00:00Z", "", NULL},
        {"qiao-feed-2", "7", "2026-09-20T00:00:00Z", "", "format"},
        {"qiao-feed-1", "0", "2026-09-20T00:00:00Z", "", "number"},
        {"qiao-feed-1", "null", "2026-09-20T00:00:00Z", "", "number"},
        {"qiao-feed-1", "7", "2026-09-22T00:00:00Z", "", "until"},
        {"qiao-feed-1", "7", "yesterday", "", "from"},
        {"qiao-feed-1", "7", "2026-09-20T00:00:00Z", ",\"salt\":1", "salt"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t size = (size_t)snprintf(text, sizeof text, form, rows[i].format, rows[i].number, 0,
                                       rows[i].from, rows[i].more);
        json_param_clear();
        enum err err = manifest_read(&manifest, text, size, now_s * 1000);
        assert_int_equal(err, rows[i].param ? ERR_INVALID : ERR_OK);
        if (rows[i].param) assert_string_equal(json_param(), rows[i].param);
    }
    // made in the future
    size_t size = (size_t)snprintf(text, sizeof text, form, "qiao-feed-1", "7", 0,
                                   "2026-09-20T00:00:00Z", "");
    assert_int_equal(manifest_read(&manifest, text, size, (now_s - 3600) * 1000), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_partner_has_as_many_keys_as_it_has_rows),
        cmocka_unit_test(a_wrong_file_is_refused_with_row_and_field),
        cmocka_unit_test(a_token_says_which_user_of_the_partner_it_is),
        cmocka_unit_test(a_token_that_is_not_for_us_and_now_is_refused),
        cmocka_unit_test(a_manifest_must_say_all_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
