#include "scheduler/features/search/edit.h"
#include "scheduler/features/search/sorted.h"
#include "scheduler/features/search/words.h"
#include "tests/test.h"

#include "text/pinyin.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"

#include <string.h>

static struct words *given_words(struct pinyin *pinyin, const char *const *texts, size_t count)
{
    struct words *words = words_new(pinyin);
    for (size_t i = 0; i < count; i++)
        words_add(words, texts[i], strlen(texts[i]));
    return words;
}

static void finds(const struct words_hit *hits, size_t count, const char *want)
{
    struct buf got = {0};
    for (size_t i = 0; i < count; i++) {
        if (i) buf_add_byte(&got, ' ');
        buf_add(&got, hits[i].text, hits[i].size);
    }
    assert_string_equal(buf_text(&got), want);
    buf_fini(&got);
}

static void beginnings_are_completed_the_most_frequent_first(void **state)
{
    (void)state;
    static const char *const texts[] = {"phone",  "photo",  "phone", "pho",
                                        "tablet", "phones", "photo", "phone"};
    struct words *words = given_words(NULL, texts, 8);
    struct words_hit hits[8];
    finds(hits, words_beginning(words, "pho", 3, hits, 8), "phone photo pho phones");
    finds(hits, words_beginning(words, "pho", 3, hits, 2), "phone photo");
    finds(hits, words_beginning(words, "x", 1, hits, 8), "");
    words_add(words, "phosphor", 8); // new ones are seen at once
    finds(hits, words_beginning(words, "phos", 4, hits, 8), "phosphor");
    words_free(words);
}

static void a_word_that_no_document_has_is_not_found(void **state)
{
    (void)state;
    static const char *const texts[] = {"phone", "phone"};
    struct words *words = given_words(NULL, texts, 2);
    struct words_hit hits[2];
    words_remove(words, "phone", 5);
    assert_int_equal(words_count(words, "phone", 5), 1);
    words_remove(words, "phone", 5);
    words_remove(words, "phone", 5); // once too often: it stays at none
    words_remove(words, "other", 5);
    finds(hits, words_beginning(words, "ph", 2, hits, 2), "");
    words_add(words, "phone", 5);
    finds(hits, words_beginning(words, "ph", 2, hits, 2), "phone");
    words_free(words);
}

static void the_nearest_spelling_comes_first(void **state)
{
    (void)state;
    static const char *const texts[] = {"wireless", "wireles",    "wire",     "fireless",
                                        "charger",  "wirelesss1", "wierless", "wireless"};
    struct words *words = given_words(NULL, texts, 8);
    struct words_hit hits[8];
    finds(hits, words_near(words, "wirless", 7, 1, hits, 8), "wireless wierless");
    finds(hits, words_near(words, "wirelses", 8, 1, hits, 8), "wireless wireles");
    finds(hits, words_near(words, "wireless", 8, 1, hits, 8), "fireless wierless wireles");
    finds(hits, words_near(words, "charegr", 7, 1, hits, 8), "charger");
    finds(hits, words_near(words, "xharegr", 7, 1, hits, 8), "");
    finds(hits, words_near(words, "xharegr", 7, 2, hits, 8), "charger");
    finds(hits, words_near(words, "手机", 6, 1, hits, 8), "");
    words_free(words);
}

/* Against the distance to each of 20,000 words, of which some have gone. */
static void all_that_are_near_are_found(void **state)
{
    (void)state;

    enum {
        COUNT = 20000,
        SIZE = 9
    };

    static char texts[COUNT][SIZE];
    static struct words_hit hits[COUNT];
    struct words *words = words_new(NULL);
    struct rand rand;
    rand_init(&rand, 9);
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = 3 + rand_below(&rand, SIZE - 3);
        for (size_t j = 0; j < size; j++)
            texts[i][j] = (char)('a' + rand_below(&rand, 4));
        texts[i][size] = '\0';
        words_add(words, texts[i], size);
    }
    for (size_t i = 0; i < COUNT; i += 3)
        words_remove(words, texts[i], strlen(texts[i]));
    for (size_t i = 0; i < 20; i++) {
        const char *word = texts[i];
        uint32_t distance = 1 + i % 2;
        size_t want = 0;
        size_t got = words_near(words, word, strlen(word), distance, hits, 500);
        for (size_t j = 0; j < got; j++) {
            uint32_t apart =
                edit_distance(word, strlen(word), hits[j].text, hits[j].size, distance);
            assert_true(apart == hits[j].distance && apart >= 1 && apart <= distance);
            assert_true(words_count(words, hits[j].text, hits[j].size) > 0);
        }
        for (size_t j = 0; j < COUNT; j++) {
            size_t size = strlen(texts[j]);
            uint32_t apart = edit_distance(word, strlen(word), texts[j], size, distance);
            if (apart < 1 || apart > distance || words_count(words, texts[j], size) == 0) continue;
            size_t at = 0;
            while (at < got &&
                   (hits[at].size != size || memcmp(hits[at].text, texts[j], size) != 0))
                at++;
            assert_true(at < got || got == 500);
            want++;
        }
        assert_true(want >= got); // a text may stand there more than once
    }
    finds(hits, words_beginning(words, texts[1], strlen(texts[1]), hits, 0), "");
    words_free(words);
}

static void chinese_words_are_found_by_their_sound(void **state)
{
    (void)state;
    static const char *const texts[] = {"手机", "首级", "手机",  "银行",
                                        "音乐", "绿色", "phone", "机"};
    struct pinyin *pinyin = pinyin_new();
    struct words *words = given_words(pinyin, texts, 8);
    struct words_hit hits[8];
    finds(hits, words_sounding(words, "shouji", 6, false, hits, 8), "手机 首级");
    finds(hits, words_sounding(words, "shou", 4, false, hits, 8), "");
    finds(hits, words_sounding(words, "shou", 4, true, hits, 8), "手机 首级");
    finds(hits, words_sounding(words, "yinhang", 7, false, hits, 8), "银行");
    finds(hits, words_sounding(words, "yinyue", 6, false, hits, 8), "音乐");
    finds(hits, words_sounding(words, "lvse", 4, false, hits, 8), "绿色");
    words_free(words);
    pinyin_free(pinyin);
}

static void a_word_has_the_spellings_of_its_readings(void **state)
{
    (void)state;
    struct pinyin *pinyin = pinyin_new();
    char spellings[PINYIN_SPELLINGS_MAX][PINYIN_TEXT_MAX];
    assert_int_equal(pinyin_spell(pinyin, "手机", 6, spellings), 1);
    assert_string_equal(spellings[0], "shouji");
    assert_int_equal(pinyin_spell(pinyin, "银行", 6, spellings), 2);
    assert_string_equal(spellings[0], "yinxing");
    assert_string_equal(spellings[1], "yinhang");
    assert_int_equal(pinyin_spell(pinyin, "行行行", 9, spellings),
                     4); // no more than there is room for
    assert_int_equal(pinyin_spell(pinyin, "phone", 5, spellings), 0);
    assert_int_equal(pinyin_spell(pinyin, "手手手手手手手", 21, spellings), 0);
    assert_int_equal(pinyin_spell(pinyin, "", 0, spellings), 0);
    assert_int_equal(pinyin_spell(pinyin, "\xFF", 1, spellings), 0);
    pinyin_free(pinyin);
}

static void the_list_stays_sorted_however_it_grows(void **state)
{
    (void)state;
    struct sorted sorted = {0};
    struct rand rand;
    static char keys[3000][8];
    rand_init(&rand, 3);
    for (uint32_t i = 0; i < 3000; i++) {
        snprintf(keys[i], sizeof keys[i], "%u", (unsigned)rand_below(&rand, 2000));
        sorted_add(&sorted, keys[i], strlen(keys[i]), i);
        if (rand_below(&rand, 50) == 0) sorted_merge(&sorted);
    }
    sorted_merge(&sorted);
    assert_int_equal(sorted.count, 3000);
    uint64_t items = 0;
    for (size_t i = 0; i < sorted.count; i++) {
        items += sorted.entries[i].item;
        if (i > 0) assert_true(strcmp(sorted.entries[i - 1].key, sorted.entries[i].key) <= 0);
        size_t at = sorted_find(&sorted, sorted.entries[i].key, sorted.entries[i].size);
        assert_string_equal(sorted.entries[at].key, sorted.entries[i].key);
    }
    assert_int_equal(items, 3000 * 2999 / 2);
    sorted_fini(&sorted);
}

static void distances_are_those_of_the_definition(void **state)
{
    (void)state;

    static const struct {
        const char *a, *b;
        uint32_t distance;
    } cases[] = {{"abc", "abc", 0}, {"abc", "abd", 1}, {"abc", "abcd", 1},
                 {"abc", "ab", 1},  {"abc", "acb", 1}, {"abcd", "badc", 2},
                 {"abc", "xyz", 3}, {"", "ab", 2},     {"abcdef", "abc", 3}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t a = strlen(cases[i].a), b = strlen(cases[i].b);
        assert_int_equal(edit_distance(cases[i].a, a, cases[i].b, b, 3), cases[i].distance);
        assert_int_equal(edit_distance(cases[i].b, b, cases[i].a, a, 3), cases[i].distance);
        uint32_t letters = edit_letters(cases[i].a, a) ^ edit_letters(cases[i].b, b);
        assert_true((uint32_t)__builtin_popcount(letters) <= 2 * cases[i].distance);
        if (cases[i].distance > 1)
            assert_int_equal(edit_distance(cases[i].a, a, cases[i].b, b, 1), 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beginnings_are_completed_the_most_frequent_first),
        cmocka_unit_test(a_word_that_no_document_has_is_not_found),
        cmocka_unit_test(the_nearest_spelling_comes_first),
        cmocka_unit_test(all_that_are_near_are_found),
        cmocka_unit_test(chinese_words_are_found_by_their_sound),
        cmocka_unit_test(a_word_has_the_spellings_of_its_readings),
        cmocka_unit_test(the_list_stays_sorted_however_it_grows),
        cmocka_unit_test(distances_are_those_of_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
