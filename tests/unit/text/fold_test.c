#include "tests/test.h"

#include "text/fold.h"
#include "text/utf8.h"

#include "base/buf.h"

#include <string.h>

static struct fold *fold;

static int given_fold(void **state)
{
    (void)state;
    return fold_new(&fold) == ERR_OK ? 0 : -1;
}

static int end_fold(void **state)
{
    (void)state;
    fold_free(fold);
    return 0;
}

static void becomes(const char *source, const char *want)
{
    struct buf got = {0};
    for (size_t at = 0, size = strlen(source); at < size;) {
        int32_t code, out[FOLD_MAX];
        at += utf8_next(source + at, size - at, &code);
        size_t count = fold_character(fold, code, out);
        for (size_t i = 0; i < count; i++) {
            char bytes[UTF8_CHARACTER_MAX];
            buf_add(&got, bytes, utf8_write(bytes, out[i]));
        }
    }
    assert_string_equal(buf_text(&got), want);
    buf_fini(&got);
}

static void width_case_marks_and_variants_are_folded(void **state)
{
    (void)state;
    becomes("ＡＢＣ１２３", "abc123");
    becomes("Straße", "strasse");
    becomes("Café Ångström", "cafe angstrom");
    becomes("e\xCC\x81t\xC3\xA9", "ete"); // decomposed and composed
    becomes("㎏", "kg");
    becomes("ﬁne", "fine");
    becomes("智慧型手機", "智慧型手机");
    becomes("爲什麼裡裏", "为什么里里");
    becomes("乾坤", "干坤");
    becomes("ｶﾒﾗ", "カメラ");
    becomes("が한", "が한");
}

static void what_is_folded_stays_as_it_is(void **state)
{
    (void)state;
    for (int32_t code = 0; code <= 0x10FFFF; code++) {
        int32_t once[FOLD_MAX], twice[FOLD_MAX];
        if (code >= 0xD800 && code <= 0xDFFF) continue;
        size_t count = fold_character(fold, code, once);
        for (size_t i = 0; i < count; i++) {
            size_t again = fold_character(fold, once[i], twice);
            if (again == 1 && twice[0] == once[i]) continue;
            // The few exceptions fold to something stable at least.
            int32_t thrice[FOLD_MAX];
            for (size_t j = 0; j < again; j++) {
                assert_int_equal(fold_character(fold, twice[j], thrice), 1);
                assert_int_equal(thrice[0], twice[j]);
            }
        }
    }
}

static void every_character_has_its_class(void **state)
{
    (void)state;
    assert_int_equal(fold_class_of(fold, 'a'), FOLD_LETTER);
    assert_int_equal(fold_class_of(fold, 0x0436), FOLD_LETTER); // ж
    assert_int_equal(fold_class_of(fold, '7'), FOLD_DIGIT);
    assert_int_equal(fold_class_of(fold, 0x624B), FOLD_IDEOGRAPH);  // 手
    assert_int_equal(fold_class_of(fold, 0x20BB7), FOLD_IDEOGRAPH); // 𠮷
    assert_int_equal(fold_class_of(fold, 0x30AB), FOLD_IDEOGRAPH);  // カ
    assert_int_equal(fold_class_of(fold, ' '), FOLD_APART);
    assert_int_equal(fold_class_of(fold, 0x3002), FOLD_APART);  // 。
    assert_int_equal(fold_class_of(fold, 0x1F600), FOLD_APART); // a smile
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(width_case_marks_and_variants_are_folded),
        cmocka_unit_test(what_is_folded_stays_as_it_is),
        cmocka_unit_test(every_character_has_its_class),
    };
    return cmocka_run_group_tests(tests, given_fold, end_fold);
}
