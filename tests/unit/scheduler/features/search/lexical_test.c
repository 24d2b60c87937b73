#include "scheduler/features/search/query.h"
#include "scheduler/features/search/words.h"
#include "tests/test.h"
#include "tests/unit/scheduler/features/search/lexical_scene.h"

#include "text/common.h"
#include "text/pinyin.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

enum {
    HITS_MAX = 64
};

/* An index, the words of which are known. */
struct scene {
    struct stage stage;
    struct analyze_stops *common;
    struct pinyin *pinyin;
    struct words *words;
    uint32_t numbers[HITS_MAX];
    double scores[HITS_MAX];
    size_t count;
    bool all;
};

static void on_word(void *owner, const struct analyze_term *term, int sign)
{
    struct scene *scene = owner;
    if (!term->is_word) return;
    if (sign > 0)
        words_add(scene->words, term->surface, term->surface_size);
    else
        words_remove(scene->words, term->surface, term->surface_size);
}

static int given_scene(void **state)
{
    struct scene *scene = mem_new(1, sizeof *scene);
    scene->pinyin = pinyin_new();
    scene->words = words_new(scene->pinyin);
    *state = scene;
    if (!stage_begin(&scene->stage, true, on_word, scene)) return -1;
    size_t count;
    const char *const *words = common_words(&count);
    return analyze_stops_new(&scene->common, scene->stage.analyzer, words, count) ? -1 : 0;
}

static int end_scene(void **state)
{
    struct scene *scene = *state;
    analyze_stops_free(scene->common);
    stage_end(&scene->stage);
    words_free(scene->words);
    pinyin_free(scene->pinyin);
    mem_free(scene);
    return 0;
}

static void drop(struct scene *scene, uint32_t number, const char *title, const char *text)
{
    struct lexical_text texts[FIELDS] = {{title, title ? strlen(title) : 0},
                                         {text, text ? strlen(text) : 0}};
    lexical_drop(scene->stage.lexical, number, texts);
}

static double on_hit(void *owner, uint32_t number, double score)
{
    struct scene *scene = owner;
    assert_true(scene->count < HITS_MAX && score > 0);
    size_t at = scene->count++;
    for (; at > 0 && score > scene->scores[at - 1]; at--) {
        scene->scores[at] = scene->scores[at - 1];
        scene->numbers[at] = scene->numbers[at - 1];
    }
    scene->scores[at] = score;
    scene->numbers[at] = number;
    return -INFINITY;
}

static bool has(void *owner, const struct lexical_term *term)
{
    return lexical_has(owner, term);
}

static enum err ask(struct scene *scene, const char *text, uint64_t deadline_ns)
{
    static struct query query;
    struct query_options options = {.analyst = scene->stage.analyst,
                                    .analyze = &scene->stage.analyze,
                                    .has = has,
                                    .owner = scene->stage.lexical,
                                    .words = scene->words,
                                    .common = scene->common,
                                    .all = scene->all,
                                    .typos = true,
                                    .one_typo = 5,
                                    .two_typos = 9};
    query_build(&query, &options, text, strlen(text));
    scene->count = 0;
    struct lexical_query search = {.terms = query.terms,
                                   .count = query.count,
                                   .all = scene->all,
                                   .deadline_ns = deadline_ns,
                                   .allowed = &scene->stage.allowed,
                                   .hit = on_hit,
                                   .owner = scene};
    return lexical_search(scene->stage.lexical, &search);
}

/* The documents that are found, best first, as digits. */
static void finds(struct scene *scene, const char *text, const char *want)
{
    char got[HITS_MAX + 1] = "";
    assert_int_equal(ask(scene, text, 0), ERR_OK);
    for (size_t i = 0; i < scene->count; i++)
        got[i] = (char)('0' + scene->numbers[i]);
    got[scene->count] = '\0';
    if (strcmp(got, want) != 0) fail_msg("\"%s\" finds %s, not %s", text, got, want);
}

static void given_shop(struct scene *scene)
{
    stage_put(&scene->stage, 1, "智能手机", "a phone with a large screen");
    stage_put(&scene->stage, 2, "Wireless charger", "for phones and tablets");
    stage_put(&scene->stage, 3, "Cable", "charges a wireless phone, a phone cable");
    stage_put(&scene->stage, 4, "iPhone15 case", NULL);
    stage_put(&scene->stage, 5, "银行卡包", "holds cards");
}

static void words_in_a_title_weigh_more(void **state)
{
    given_shop(*state);
    finds(*state, "wireless", "23");
    finds(*state, "charging", "3"); // as charges; a charger has another stem
}

static void what_is_written_is_found_in_every_form(void **state)
{
    struct scene *scene = *state;
    given_shop(scene);
    finds(scene, "智能手機", "1");
    finds(scene, "手机", "1");
    finds(scene, "手", "1"); // one character: all terms that begin with it
    finds(scene, "机", "1");
    finds(scene, "ＰＨＯＮＥＳ", "321");
    finds(scene, "iphone 15", "4");
    finds(scene, "iphone15", "4");
    finds(scene, "nothing here", "");
    finds(scene, "", "");
    finds(scene, "!?", "");
}

static void a_phrase_wants_its_words_side_by_side(void **state)
{
    struct scene *scene = *state;
    given_shop(scene);
    finds(scene, "\"phone cable\"", "3");
    finds(scene, "\"cable phone\"", "");
    finds(scene, "\"能手机\"", "1");
    finds(scene, "\"智能 手机\"", "");   // the document has them in one run
    finds(scene, "\"large screen", "1"); // without its end
    finds(scene, "\"\"", "");
}

static void unwanted_words_take_documents_away(void **state)
{
    struct scene *scene = *state;
    given_shop(scene);
    finds(scene, "phone -cable", "21");
    finds(scene, "phone -\"large screen\"", "32");
    finds(scene, "-cable", ""); // nothing is wanted
    finds(scene, "hands-free", "");
}

static void all_words_may_be_asked_for(void **state)
{
    struct scene *scene = *state;
    given_shop(scene);
    scene->all = true;
    finds(scene, "wireless phone", "23");
    finds(scene, "phone cable", "3");
    finds(scene, "iphone15", "4");
    finds(scene, "智能手机", "1");
    finds(scene, "phone 银行", "");
}

static void what_no_document_has_stands_for_what_is_like_it(void **state)
{
    struct scene *scene = *state;
    given_shop(scene);
    finds(scene, "wirless", "23");  // a letter is missing
    finds(scene, "wierless", "23"); // two have changed places
    finds(scene, "wirel", "23");    // the beginning of the last word
    finds(scene, "shouji", "1");
    finds(scene, "zhinengshouji", "1");
    finds(scene, "yinhang", "5");
    finds(scene, "cabel", "3");
    finds(scene, "crds x", ""); // four letters, and not the last word
}

static void what_says_little_finds_nothing_beside_other_words(void **state)
{
    struct scene *scene = *state;
    stage_put(&scene->stage, 1, NULL, "how to use the who and a tent in the rain");
    stage_put(&scene->stage, 2, NULL, "a tent");
    stage_put(&scene->stage, 3, NULL, "to and from the city, how it is");
    stage_put(&scene->stage, 4, NULL, "什么是帐篷");
    stage_put(&scene->stage, 5, NULL, "什么是什么，是谁的");
    stage_put(&scene->stage, 6, NULL, "users");
    finds(scene, "tent", "21"); // the shorter one
    finds(scene, "how to use the tent",
          "12"); // they count all the same, where something else is found
    finds(scene, "how is it to", "31");
    finds(scene, "the who", "13"); // a name that is made of them
    finds(scene, "什么是帐篷", "4");
    finds(scene, "是什么", "54");
    finds(scene, "帐篷 -什么", "");
    finds(scene, "the -tent", "3");
    finds(scene, "using using users", "6"); // a common word, and another one
    finds(scene, "\"to and from\"", "3");
    scene->all = true;
    finds(scene, "how can the city", "3");
    finds(scene, "什么帐篷", "4");
    finds(scene, "how is", "3");
}

static void a_dropped_document_is_gone(void **state)
{
    struct scene *scene = *state;
    given_shop(scene);
    drop(scene, 2, "Wireless charger", "for phones and tablets");
    finds(scene, "wireless", "3");
    finds(scene, "tablet", "");
    assert_int_equal(lexical_count(scene->stage.lexical), 4);
    assert_int_equal(words_count(scene->words, "charger", 7), 0);
    stage_put(&scene->stage, 2, "Tablet", NULL); // its number is free again
    finds(scene, "tablet", "2");
    drop(scene, 2, "Tablet", NULL);
    drop(scene, 1, "智能手机", "a phone with a large screen");
    drop(scene, 3, "Cable", "charges a wireless phone, a phone cable");
    drop(scene, 4, "iPhone15 case", NULL);
    drop(scene, 5, "银行卡包", "holds cards");
    finds(scene, "phone tablet", "");
    assert_int_equal(lexical_count(scene->stage.lexical), 0);
}

static void the_filter_is_asked_before_a_document_is_scored(void **state)
{
    struct scene *scene = *state;
    given_shop(scene);
    bitmap_clear(&scene->stage.allowed, 3);
    finds(scene, "phone", "21");
}

/* Against the formula, by hand: 4 documents, one field has the term twice. */
static void scores_are_bm25(void **state)
{
    struct scene *scene = *state;
    stage_put(&scene->stage, 1, NULL, "red red blue");
    stage_put(&scene->stage, 2, NULL, "blue");
    stage_put(&scene->stage, 3, NULL, "green green green green");
    stage_put(&scene->stage, 4, "green", "yellow");
    assert_int_equal(ask(scene, "red", 0), ERR_OK);
    assert_int_equal(scene->count, 1);
    double average = (3 + 1 + 4 + 2) / 4.0;
    double idf = log((4 - 1 + 0.5) / 1.5);
    double want = idf * 2 * 1.9 / (2 + 0.9 * (1 - 0.4 + 0.4 * 3 / average));
    assert_true(fabs(scene->scores[0] - want) < 1e-12);
    assert_true(fabs(lexical_best(scene->stage.lexical) - idf * 1.9) < 1e-12);
}

static double count_hit(void *owner, uint32_t number, double score)
{
    (void)number, (void)score;
    ++*(size_t *)owner;
    return -INFINITY;
}

static void a_search_ends_at_its_deadline(void **state)
{
    struct scene *scene = *state;
    for (uint32_t i = 0; i < 40000; i++)
        stage_put(&scene->stage, i, NULL, "alpha beta");
    size_t count = 0;
    struct lexical_term term = {.text = "alpha", .size = 5, .weight = 1};
    struct lexical_query query = {
        .terms = &term, .count = 1, .deadline_ns = 1, .hit = count_hit, .owner = &count};
    assert_int_equal(lexical_search(scene->stage.lexical, &query), ERR_TIMEOUT);
    assert_true(count < 40000);
    count = 0;
    query.deadline_ns = 0;
    assert_int_equal(lexical_search(scene->stage.lexical, &query), ERR_OK);
    assert_int_equal(count, 40000);
}

/* Documents that have the word. */
static size_t count_of(struct scene *scene, const char *word)
{
    size_t found = 0;
    struct lexical_term term = {.text = word, .size = strlen(word), .weight = 1};
    struct lexical_query query = {.terms = &term, .count = 1, .hit = count_hit, .owner = &found};
    assert_int_equal(lexical_search(scene->stage.lexical, &query), ERR_OK);
    assert_int_equal(bitmap_size(lexical_matched(scene->stage.lexical)), found);
    return found;
}

static void counts_follow_what_is_written(void **state)
{
    struct scene *scene = *state;
    given_shop(scene);
    for (uint32_t i = 10; i < 20; i++) {
        stage_put(&scene->stage, i, "phone", "phone phone");
        assert_int_equal(count_of(scene, "phone"), 3 + i - 9);
        double n = 3 + i - 9, all = 5 + i - 9, odds = (all - n + 0.5) / (n + 0.5);
        double want = fmax(log(odds), 0.05 * log(1 + odds)) * 1.9;
        assert_true(fabs(lexical_best(scene->stage.lexical) - want) < 1e-12);
    }
    drop(scene, 10, "phone", "phone phone");
    assert_int_equal(count_of(scene, "phone"), 12);
    double odds = (14 - 12 + 0.5) / 12.5;
    assert_true(fabs(lexical_best(scene->stage.lexical) - 0.05 * log(1 + odds) * 1.9) < 1e-12);
}

static void strange_bytes_are_only_terms(void **state)
{
    struct scene *scene = *state;
    given_shop(scene);
    finds(scene, "\") OR f1:(\"", "");
    finds(scene, "phone\" OR \"*", "321");
    finds(scene, "NEAR(phone cable) AND NOT *", "321");
    finds(scene, "\xFF\xFE phone \x1F", "321");
    finds(scene, "- -- --phone", "321");
}

/* To look for what is like a word takes a while: a query may ask for it only so often. */
static void a_query_guesses_only_so_often(void **state)
{
    struct scene *scene = *state;
    given_shop(scene);
    char text[64 * QUERY_GUESSES_MAX] = "";
    for (size_t i = 0, at = 0; i < QUERY_GUESSES_MAX; i++) {
        if (i == QUERY_GUESSES_MAX - 1) {
            snprintf(text + at, sizeof text - at, "wirless cabel");
            finds(scene, text, "23"); // the second of them is one too many
        }
        at += (size_t)snprintf(text + at, sizeof text - at, "zzzzz%c ", (char)('a' + i));
    }
    strncat(text, "wirless phone", 32);
    finds(scene, text, "321"); // what is written as it is needs no guess
}

static void a_long_query_is_cut(void **state)
{
    struct scene *scene = *state;
    given_shop(scene);
    static char text[20000];
    for (size_t i = 0; i + 8 < sizeof text; i += 7)
        snprintf(text + i, 8, "w%05zu ", i / 7);
    finds(scene, text, "");
    memset(text, '"', sizeof text - 1);
    finds(scene, text, "");
}

int main(void)
{
#define SCENE(test) cmocka_unit_test_setup_teardown(test, given_scene, end_scene)
    const struct CMUnitTest tests[] = {
        SCENE(words_in_a_title_weigh_more),
        SCENE(what_is_written_is_found_in_every_form),
        SCENE(a_phrase_wants_its_words_side_by_side),
        SCENE(unwanted_words_take_documents_away),
        SCENE(all_words_may_be_asked_for),
        SCENE(what_no_document_has_stands_for_what_is_like_it),
        SCENE(what_says_little_finds_nothing_beside_other_words),
        SCENE(a_dropped_document_is_gone),
        SCENE(the_filter_is_asked_before_a_document_is_scored),
        SCENE(scores_are_bm25),
        SCENE(a_search_ends_at_its_deadline),
        SCENE(counts_follow_what_is_written),
        SCENE(strange_bytes_are_only_terms),
        SCENE(a_query_guesses_only_so_often),
        SCENE(a_long_query_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
