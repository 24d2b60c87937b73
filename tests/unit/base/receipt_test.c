#include "tests/test.h"

#include "base/buf.h"
#include "base/receipt.h"

#include <sodium.h>

#include <string.h>

static struct sign_secret secret;
static struct sign_keys keys;

static int set_up(void **state)
{
    (void)state;
    if (sodium_init() < 0 || sign_make_key(&secret, "label-1")) return 1;
    keys.count = 1;
    sign_public_of(&keys.keys[0], &secret);
    return 0;
}

static struct receipt given_receipt(void)
{
    struct receipt receipt = {.answer = "chatcmpl-1",
                              .build = "0.1.0",
                              .model = {{1, 2, 3}},
                              .policy = {{4, 5, 6}},
                              .epoch = 12,
                              .region = "cn",
                              .feature = "assistant",
                              .label = "chatcmpl-1",
                              .time_ms = 1764150000000};
    receipt_sign(&receipt, &secret);
    return receipt;
}

static void a_receipt_is_good_as_it_was_signed(void **state)
{
    (void)state;
    struct receipt receipt = given_receipt();
    struct buf text = {0};
    assert_int_equal(receipt_check(&receipt, &keys), ERR_OK);
    receipt_write(&text, &receipt);
    assert_non_null(strstr(text.data, "{\"answer\":\"chatcmpl-1\",\"build\":\"0.1.0\",\"model\":"
                                      "\"01020300000000000000000000000000\",\"policy\":\"04"));
    buf_fini(&text);
}

static void any_flipped_bit_of_it_is_found(void **state)
{
    (void)state;
    const struct receipt good = given_receipt();

    static const struct {
        size_t offset, size;
    } fields[] = {{offsetof(struct receipt, answer), 10},   {offsetof(struct receipt, build), 5},
                  {offsetof(struct receipt, model), 16},    {offsetof(struct receipt, policy), 16},
                  {offsetof(struct receipt, epoch), 8},     {offsetof(struct receipt, region), 2},
                  {offsetof(struct receipt, feature), 9},   {offsetof(struct receipt, label), 10},
                  {offsetof(struct receipt, time_ms), 8},   {offsetof(struct receipt, key), 7},
                  {offsetof(struct receipt, signature), 64}};

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        for (size_t bit = 0; bit < 8 * fields[i].size; bit++) {
            struct receipt bad = good;
            ((unsigned char *)&bad)[fields[i].offset + bit / 8] ^= (unsigned char)(1 << bit % 8);
            assert_int_not_equal(receipt_check(&bad, &keys), ERR_OK);
        }
}

static void a_text_that_could_pass_for_another_line_is_not_signed(void **state)
{
    (void)state;
    struct receipt receipt = given_receipt();
    memcpy(receipt.region, "cn\nfeature x", 13);
    assert_int_equal(receipt_check(&receipt, &keys), ERR_FORMAT);
    receipt_sign(&receipt, &secret);
    assert_string_equal(receipt.region, "-");
    assert_int_equal(receipt_check(&receipt, &keys), ERR_OK);
}

static void a_key_that_is_not_known_is_named(void **state)
{
    (void)state;
    struct receipt receipt = given_receipt();
    const struct sign_keys none = {0};
    assert_int_equal(receipt_check(&receipt, &none), ERR_NOT_FOUND);
    assert_non_null(strstr(err_text(), "'label-1'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_receipt_is_good_as_it_was_signed),
        cmocka_unit_test(any_flipped_bit_of_it_is_found),
        cmocka_unit_test(a_text_that_could_pass_for_another_line_is_not_signed),
        cmocka_unit_test(a_key_that_is_not_known_is_named),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
