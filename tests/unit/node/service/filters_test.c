#include "node/service/filters.h"
#include "tests/test.h"

#include "base/mem.h"

#include <string.h>

static struct digest hold_new(struct filters *filters, uint8_t *bits, size_t size, uint32_t number,
                              struct filter **out)
{
    memcpy(bits, &number, sizeof number);
    struct digest digest = digest_of(bits, size);
    assert_int_equal(filters_hold(filters, &digest, bits, size, out), ERR_OK);
    return digest;
}

static void a_filter_is_found_by_its_digest_once_its_bits_came(void **state)
{
    (void)state;
    struct filters filters = {0};
    uint8_t bits[100] = {0};
    struct filter *first;
    struct filter *second;
    struct digest digest = digest_of(bits, sizeof bits);
    assert_int_equal(filters_hold(&filters, &digest, NULL, 0, &first), ERR_NOT_FOUND);
    assert_string_equal(err_text(), "filter");
    digest = hold_new(&filters, bits, sizeof bits, 7, &first);
    assert_int_equal(filters_hold(&filters, &digest, NULL, 0, &second), ERR_OK);
    assert_ptr_equal(first, second);
    assert_memory_equal(first->bits, bits, sizeof bits);
    filters_let_go(&filters, first);
    filters_let_go(&filters, second);
    assert_int_equal(filters.count, 1); // kept for the next one
    filters_fini(&filters);
}

static void bits_of_another_digest_are_refused(void **state)
{
    (void)state;
    struct filters filters = {0};
    uint8_t bits[] = {1, 2, 3};
    struct digest digest = digest_of(bits, 2);
    struct filter *filter;
    assert_int_equal(filters_hold(&filters, &digest, bits, 3, &filter), ERR_INVALID);
    assert_int_equal(filters.count, 0);
}

static void the_one_asked_for_longest_ago_makes_way_and_a_held_one_stays(void **state)
{
    (void)state;
    struct filters filters = {0};
    uint8_t bits[16] = {0};
    struct filter *held;
    struct filter *passing;
    struct digest kept = hold_new(&filters, bits, sizeof bits, 0, &held);
    struct digest old = hold_new(&filters, bits, sizeof bits, 1, &passing);
    filters_let_go(&filters, passing);
    struct digest asked = hold_new(&filters, bits, sizeof bits, 2, &passing);
    filters_let_go(&filters, passing);
    for (uint32_t i = 3; i < FILTERS_MAX; i++) {
        (void)hold_new(&filters, bits, sizeof bits, i, &passing);
        filters_let_go(&filters, passing);
    }
    assert_int_equal(filters_hold(&filters, &asked, NULL, 0, &passing), ERR_OK);
    filters_let_go(&filters, passing);
    (void)hold_new(&filters, bits, sizeof bits, FILTERS_MAX, &passing);
    filters_let_go(&filters, passing);
    assert_int_equal(filters.count, FILTERS_MAX);
    assert_int_equal(filters_hold(&filters, &old, NULL, 0, &passing), ERR_NOT_FOUND);
    assert_int_equal(filters_hold(&filters, &asked, NULL, 0, &passing), ERR_OK);
    filters_let_go(&filters, passing);
    assert_int_equal(filters_hold(&filters, &kept, NULL, 0, &passing), ERR_OK);
    filters_let_go(&filters, passing);
    filters_let_go(&filters, held);
    filters_fini(&filters);
}

static void bytes_are_bounded_too(void **state)
{
    (void)state;

    enum {
        LARGE = 2 << 20
    };

    struct filters filters = {0};
    uint8_t *bits = mem_new(1, LARGE);
    struct filter *held[40];
    for (uint32_t i = 0; i < 40; i++)
        (void)hold_new(&filters, bits, LARGE, i, &held[i]);
    assert_int_equal(filters.count, 40); // all of them in use
    for (uint32_t i = 0; i < 40; i++)
        filters_let_go(&filters, held[i]);
    assert_int_equal(filters.count, FILTERS_BYTES / LARGE);
    filters_fini(&filters);
    mem_free(bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_filter_is_found_by_its_digest_once_its_bits_came),
        cmocka_unit_test(bits_of_another_digest_are_refused),
        cmocka_unit_test(the_one_asked_for_longest_ago_makes_way_and_a_held_one_stays),
        cmocka_unit_test(bytes_are_bounded_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
