#include "tests/test.h"

#include "text/analyze.h"

#include "base/buf.h"
#include "base/rand.h"

#include <pthread.h>
#include <string.h>

static struct analyzer *analyzer;
static struct analyst *analyst;

static int given_analyst(void **state)
{
    (void)state;
    if (analyzer_new(&analyzer)) return -1;
    analyst = analyst_new(analyzer);
    return 0;
}

static int end_analyst(void **state)
{
    (void)state;
    analyst_free(analyst);
    analyzer_free(analyzer);
    return 0;
}

/* Terms parted by spaces; one beside the one before it is joined to it by '/'. */
static bool write_term(void *owner, const struct analyze_term *term)
{
    struct buf *out = owner;
    if (out->size) buf_add_byte(out, term->beside ? '/' : ' ');
    buf_add(out, term->text, term->size);
    return true;
}

static void gives(const struct analyze_options *options, const char *text, const char *want)
{
    struct buf got = {0};
    analyze(analyst, options, text, strlen(text), write_term, &got);
    assert_string_equal(buf_text(&got), want);
    buf_fini(&got);
}

static const struct analyze_options plain = {0}, english = {.stem = true};

static void words_are_folded_and_stemmed(void **state)
{
    (void)state;
    gives(&plain, "The Runners were RUNNING, quickly!", "the runners were running quickly");
    gives(&english, "The Runners were RUNNING, quickly!", "the runner were run quickli");
    gives(&english, "is as us", "is as us"); // too short to be stemmed
    gives(&english, "the user's phone, the users’ phones", "the user phone the user phone");
    gives(&english, "don't", "don t");
    gives(&plain, "  ", "");
    gives(&plain, "", "");
}

static void ideographs_come_in_pairs_and_as_words_of_the_dictionary(void **state)
{
    (void)state;
    gives(&plain, "智能手机", "智能 能手 手机 机");
    gives(&plain, "智能手機。", "智能 能手 手机 机");
    gives(&plain, "研究生", "研究/研究生 究生 生");
    gives(&plain, "猫", "猫");
    gives(&plain, "买iPhone吧", "买 iphone 吧");
}

static void letters_and_digits_that_stand_together_are_found_apart_too(void **state)
{
    (void)state;
    gives(&plain, "iPhone15 Pro", "iphone/iphone15 15 pro");
    gives(&plain, "mp3", "mp/mp3 3");
    gives(&plain, "a1b2c3d4e5", "a1b2c3d4e5"); // of too many parts
    gives(&plain, "４Ｋ", "4/4k k");
}

static bool check_source(void *owner, const struct analyze_term *term)
{
    const char *const *next = owner;
    const char *text = next[0];
    struct buf *got = (struct buf *)(uintptr_t)next[1];
    if (got->size) buf_add_byte(got, '|');
    buf_add(got, text + term->begin, term->end - term->begin);
    return true;
}

static void every_term_says_where_it_stood(void **state)
{
    (void)state;
    static const char text[] = "ＡＢＣ Café's 買手機, runners";
    struct buf got = {0};
    const char *owner[] = {text, (const char *)(uintptr_t)&got};
    analyze(analyst, &english, text, strlen(text), check_source, owner);
    assert_string_equal(buf_text(&got), "ＡＢＣ|Café|買手|手機|機|runners");
    buf_fini(&got);
}

static bool check_position(void *owner, const struct analyze_term *term)
{
    struct buf *got = owner;
    buf_addf(got, "%u ", term->position);
    return true;
}

static void stop_words_are_read_over_and_keep_their_place(void **state)
{
    (void)state;
    static const char *const words[] = {"THE", "of", "什么"};
    struct analyze_stops *stops;
    assert_int_equal(analyze_stops_new(&stops, analyzer, words, 3), ERR_OK);
    struct analyze_options options = {.stem = true, .stops = stops};
    gives(&options, "the speed of the light", "speed light");
    gives(&options, "为什麼", "为什/为什么 么");
    struct buf got = {0};
    analyze(analyst, &options, "the speed of light", 18, check_position, &got);
    assert_string_equal(buf_text(&got), "1 3 ");
    buf_fini(&got);
    analyze_stops_free(stops);
}

static void a_long_run_goes_in_pieces_that_miss_no_pair(void **state)
{
    (void)state;
    struct buf text = {0}, got = {0};
    for (size_t i = 0; i < 1000; i++) {
        char code[4] = {(char)0xE4, (char)(0xB8 + i / 64 % 2), (char)(0x80 + i % 64)};
        buf_add(&text, code, 3);
    }
    analyze(analyst, &plain, text.data, text.size, write_term, &got);
    size_t pairs = 0;
    for (size_t i = 0; i < got.size; i++)
        pairs += got.data[i] == ' ';
    assert_int_equal(pairs, 999);
    buf_fini(&text);
    buf_fini(&got);
}

static bool check_bounds(void *owner, const struct analyze_term *term)
{
    size_t *count = owner;
    assert_true(term->size > 0 && term->size <= ANALYZE_TERM_MAX);
    assert_true(term->begin < term->end);
    ++*count;
    return true;
}

static void any_bytes_give_bounded_terms(void **state)
{
    (void)state;
    struct rand rand;
    rand_init(&rand, 7);
    static const char *const bits[] = {"手", "机",       "a",  "B", "7",  " ", "'s",    "\xFF",
                                       "é",  "\xE4\xB8", "𠮷", "ﷺ", "が", "0", "研究生"};
    for (size_t round = 0; round < 2000; round++) {
        struct buf text = {0};
        for (size_t i = rand_below(&rand, 400); i > 0; i--)
            buf_add_text(&text, bits[rand_below(&rand, sizeof bits / sizeof *bits)]);
        size_t count = 0;
        analyze(analyst, &english, buf_text(&text), text.size, check_bounds, &count);
        assert_true(count <= 3 * text.size);
        buf_fini(&text);
    }
    struct buf word = {0};
    for (size_t i = 0; i < 1000; i++)
        buf_add_text(&word, i % 2 ? "x" : "é");
    size_t count = 0;
    analyze(analyst, &english, word.data, word.size, check_bounds, &count);
    assert_int_equal(count, 1);
    buf_fini(&word);
}

static bool stop_at_once(void *owner, const struct analyze_term *term)
{
    (void)term;
    ++*(size_t *)owner;
    return false;
}

static void who_wants_no_more_terms_gets_none(void **state)
{
    (void)state;
    size_t count = 0;
    analyze(analyst, &plain, "one two 研究生", 17, stop_at_once, &count);
    assert_int_equal(count, 1);
}

/* Analyses other texts while it is told of one. */
static bool write_and_analyze(void *owner, const struct analyze_term *term)
{
    gives(&english, "phone15 cases 智能手机", "phone/phone15 15 case 智能 能手 手机 机");
    return write_term(owner, term);
}

static void a_text_may_be_analysed_in_the_middle_of_another(void **state)
{
    (void)state;
    static const char text[] = "running1jogs2 机器学习 users";
    struct buf alone = {0}, around = {0};
    analyze(analyst, &english, text, strlen(text), write_term, &alone);
    analyze(analyst, &english, text, strlen(text), write_and_analyze, &around);
    assert_string_equal(buf_text(&around), buf_text(&alone));
    buf_fini(&alone);
    buf_fini(&around);
}

static void *analyze_much(void *argument)
{
    struct analyst *own = analyst_new(analyzer);
    struct buf *got = argument;
    for (size_t i = 0; i < 300; i++) {
        static const char text[] = "研究生买了智能手机 and is running";
        buf_clear(got);
        analyze(own, &english, text, sizeof text - 1, write_term, got);
    }
    analyst_free(own);
    return NULL;
}

static void threads_share_an_analyzer(void **state)
{
    (void)state;
    struct buf got[4] = {{0}};
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, analyze_much, &got[i]), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(buf_text(&got[i]), buf_text(&got[0]));
        assert_true(got[i].size > 0);
    }
    for (size_t i = 0; i < 4; i++)
        buf_fini(&got[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_folded_and_stemmed),
        cmocka_unit_test(ideographs_come_in_pairs_and_as_words_of_the_dictionary),
        cmocka_unit_test(letters_and_digits_that_stand_together_are_found_apart_too),
        cmocka_unit_test(every_term_says_where_it_stood),
        cmocka_unit_test(stop_words_are_read_over_and_keep_their_place),
        cmocka_unit_test(a_long_run_goes_in_pieces_that_miss_no_pair),
        cmocka_unit_test(any_bytes_give_bounded_terms),
        cmocka_unit_test(who_wants_no_more_terms_gets_none),
        cmocka_unit_test(a_text_may_be_analysed_in_the_middle_of_another),
        cmocka_unit_test(threads_share_an_analyzer),
    };
    return cmocka_run_group_tests(tests, given_analyst, end_analyst);
}
