#include "tests/test.h"

#include "base/aigc.h"
#include "base/buf.h"

#include <sodium.h>

#include <string.h>

static struct sign_secret secret;
static struct sign_keys keys;

static int given_a_key(void **state)
{
    (void)state;
    assert_true(sodium_init() >= 0);
    assert_int_equal(sign_make_key(&secret, "labels-1"), ERR_OK);
    sign_public_of(&keys.keys[0], &secret);
    keys.count = 1;
    return 0;
}

static struct aigc given_metadata(void)
{
    return (struct aigc){.label = "1",
                         .producer = "001191110000000000000E10001",
                         .produce_id = "chatcmpl-0123456789abcdef01234567",
                         .propagator = "001191000000MA0000000N00000",
                         .propagate_id = "chatcmpl-0123456789abcdef01234567"};
}

static struct aigc_hash hash_of(const char *content)
{
    struct aigc_hash text = aigc_hash_text(content, strlen(content));
    return aigc_hash_list(&text, 1);
}

static void signed_metadata_says_what_it_was_signed_for(void **state)
{
    (void)state;
    struct aigc aigc = given_metadata();
    struct aigc_hash content = hash_of("hello"), label = aigc_hash_label("AI\n\n", "");
    struct aigc_code code;
    aigc_sign(&aigc, &secret, &content, &label);
    assert_int_equal(aigc_check(&aigc, &keys, &code), AIGC_VALID);
    assert_string_equal(code.key, "labels-1");
    assert_true(code.has_content && code.has_label);
    assert_memory_equal(&code.content, &content, sizeof content);
    assert_memory_equal(&code.label, &label, sizeof label);

    aigc_sign(&aigc, &secret, NULL, NULL);
    assert_non_null(strstr(aigc.reserved1, "qiao1:labels-1:open:none:"));
    assert_int_equal(aigc_check(&aigc, &keys, &code), AIGC_VALID);
    assert_false(code.has_content || code.has_label);
}

/* Golden: Python's hashlib.blake2b(digest_size=32), of the hash of "hello", and of the two hashes of "a" and "". */
static void a_hash_is_that_of_the_hashes(void **state)
{
    (void)state;
    char hex[2 * AIGC_HASH_SIZE + 1];
    struct aigc_hash content = hash_of("hello"), label = aigc_hash_label("a", "");
    sodium_bin2hex(hex, sizeof hex, content.bytes, sizeof content.bytes);
    assert_string_equal(hex, "901c60ffffd77f743729f8fea0233c0b00223428b5192c2015f853562b45ce59");
    sodium_bin2hex(hex, sizeof hex, label.bytes, sizeof label.bytes);
    assert_string_equal(hex, "fd48f68b1a379cc6450b294240242562537077d1be78f092fc5ff5580d571d57");
}

static void a_text_in_pieces_has_the_hash_of_the_whole(void **state)
{
    (void)state;
    unsigned char bytes[500];
    struct aigc_hasher *hasher = aigc_hasher_new();
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(i * 13);
        struct aigc_hash so_far = aigc_hasher_hash(hasher), whole = aigc_hash_text(bytes, i);
        assert_memory_equal(&so_far, &whole, sizeof whole);
        aigc_hasher_add(hasher, bytes + i, 1);
    }
    aigc_hasher_free(hasher);
}

/* Each bit of each field, ReservedCode1 too. */
static void one_flipped_bit_proves_nothing(void **state)
{
    (void)state;
    struct aigc aigc = given_metadata();
    struct aigc_hash content = hash_of("hello"), label = aigc_hash_label("AI\n\n", "");
    aigc_sign(&aigc, &secret, &content, &label);
    size_t flips = 0;
    for (size_t i = 0; i < AIGC_FIELDS; i++) {
        size_t size = strlen((const char *)&aigc + aigc_fields[i].offset);
        for (size_t bit = 0; bit < 8 * size; bit++, flips++) {
            struct aigc other = aigc;
            ((char *)&other)[aigc_fields[i].offset + bit / 8] ^= (char)(1 << bit % 8);
            assert_int_not_equal(aigc_check(&other, &keys, NULL), AIGC_VALID);
        }
    }
    assert_true(flips > 2000);
}

/* Fields that are longer than they were, one in the place of another, a line break. */
static void fields_do_not_change_places(void **state)
{
    (void)state;
    struct aigc aigc = given_metadata();
    aigc_sign(&aigc, &secret, NULL, NULL);
    struct aigc other = aigc;
    snprintf(other.reserved2, sizeof other.reserved2, "x");
    assert_int_equal(aigc_check(&other, &keys, NULL), AIGC_WRONG_SIGNATURE);
    other = aigc;
    memcpy(other.producer, aigc.propagator, sizeof other.producer);
    memcpy(other.propagator, aigc.producer, sizeof other.propagator);
    assert_int_equal(aigc_check(&other, &keys, NULL), AIGC_WRONG_SIGNATURE);
    other = aigc;
    memcpy(other.label, "1\nContentProducer x", sizeof "1\nContentProducer x");
    assert_int_equal(aigc_check(&other, &keys, NULL), AIGC_WRONG_SIGNATURE);
}

static enum aigc_wrong check_texts(const struct aigc_code *code, const char *a, const char *b,
                                   const char *before, const char *behind)
{
    const char *const texts[] = {a, b};
    const size_t sizes[] = {strlen(a), strlen(b)};
    struct aigc_content content = {.texts = texts,
                                   .sizes = sizes,
                                   .count = 2,
                                   .has_label = before != NULL,
                                   .before = before,
                                   .behind = behind};
    return aigc_check_content(code, &content);
}

static void content_is_checked_with_its_label_and_without(void **state)
{
    (void)state;
    struct aigc aigc = given_metadata();
    struct aigc_hash texts[] = {aigc_hash_text("one", 3), aigc_hash_text("two", 3)};
    struct aigc_hash content = aigc_hash_list(texts, 2), label = aigc_hash_label("<", ">");
    struct aigc_code code;
    aigc_sign(&aigc, &secret, &content, &label);
    assert_int_equal(aigc_check(&aigc, &keys, &code), AIGC_VALID);
    assert_int_equal(check_texts(&code, "one", "two", NULL, NULL), AIGC_VALID);
    assert_int_equal(check_texts(&code, "<one>", "<two>", "<", ">"), AIGC_VALID);
    assert_int_equal(check_texts(&code, "two", "one", NULL, NULL), AIGC_WRONG_CONTENT);
    assert_int_equal(check_texts(&code, "onet", "wo", NULL, NULL), AIGC_WRONG_CONTENT);
    assert_int_equal(check_texts(&code, "<one>", "two", "<", ">"), AIGC_WRONG_LABEL);
    assert_int_equal(check_texts(&code, "<one", "<two", "<", ""), AIGC_WRONG_LABEL);
    assert_int_equal(check_texts(&code, "", "", "<", ">"), AIGC_WRONG_LABEL);
    assert_string_equal(aigc_wrong_part(AIGC_WRONG_LABEL), "label");

    label = aigc_hash_label("notice\n\nlabel\n\n", "\n\nend");
    aigc_sign(&aigc, &secret, &content, &label);
    assert_int_equal(aigc_check(&aigc, &keys, &code), AIGC_VALID);
    assert_int_equal(check_texts(&code, "notice\n\nlabel\n\none\n\nend",
                                 "notice\n\nlabel\n\ntwo\n\nend", NULL, NULL),
                     AIGC_VALID); // found, though nobody says which it is
    assert_int_equal(check_texts(&code, "notice\n\nlabel\n\none\n\nend", "two", NULL, NULL),
                     AIGC_WRONG_LABEL);
    assert_int_equal(check_texts(&code, "notice\n\nlabel\n\none", "two", NULL, NULL),
                     AIGC_WRONG_CONTENT);
    assert_int_equal(check_texts(&code, "", "", NULL, NULL), AIGC_WRONG_CONTENT);
    assert_null(aigc_wrong_part(AIGC_VALID));

    aigc_sign(&aigc, &secret, NULL, NULL);
    assert_int_equal(aigc_check(&aigc, &keys, &code), AIGC_VALID);
    assert_int_equal(check_texts(&code, "one", "two", NULL, NULL), AIGC_WRONG_CONTENT);
    assert_non_null(strstr(aigc_wrong_text(AIGC_WRONG_CONTENT, &code), "stream's begin"));
}

static void a_code_that_is_not_ours_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "qiao1",
                                        "qiao1:::::",
                                        "qiao2:labels-1:open:none:AAAA",
                                        "qiao1:labels-1:open:none:AAAA",
                                        "qiao1:labels-1:open:none",
                                        "qiao1:labels-1:shut:none:AAAA:AAAA",
                                        "qiao1:a b:open:none:AAAA"};
    struct aigc_code code;
    struct sign_keys nobody = {0};
    struct aigc aigc = given_metadata();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        snprintf(aigc.reserved1, sizeof aigc.reserved1, "%s", texts[i]);
        assert_false(aigc_read_code(&code, aigc.reserved1));
        assert_int_equal(aigc_check(&aigc, &keys, NULL), AIGC_WRONG_CODE);
    }
    aigc_sign(&aigc, &secret, NULL, NULL);
    assert_int_equal(aigc_check(&aigc, &nobody, NULL), AIGC_WRONG_KEY);
}

static void the_object_has_the_order_of_the_standard(void **state)
{
    (void)state;
    struct aigc aigc = {.label = "1", .producer = "P", .produce_id = "I", .reserved1 = "R"};
    struct buf out = {0};
    aigc_write(&out, &aigc);
    assert_string_equal(buf_text(&out),
                        "{\"Label\":\"1\",\"ContentProducer\":\"P\",\"ProduceID\":\"I\","
                        "\"ReservedCode1\":\"R\",\"ContentPropagator\":\"\",\"PropagateID\":\"\","
                        "\"ReservedCode2\":\"\"}");
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signed_metadata_says_what_it_was_signed_for),
        cmocka_unit_test(a_hash_is_that_of_the_hashes),
        cmocka_unit_test(a_text_in_pieces_has_the_hash_of_the_whole),
        cmocka_unit_test(one_flipped_bit_proves_nothing),
        cmocka_unit_test(fields_do_not_change_places),
        cmocka_unit_test(content_is_checked_with_its_label_and_without),
        cmocka_unit_test(a_code_that_is_not_ours_is_refused),
        cmocka_unit_test(the_object_has_the_order_of_the_standard),
    };
    return cmocka_run_group_tests(tests, given_a_key, NULL);
}
