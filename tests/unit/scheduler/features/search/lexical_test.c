#include "scheduler/features/search/lexical.h"
#include "scheduler/features/search/query.h"
#include "scheduler/features/search/words.h"
#include "tests/test.h"

#include "text/analyze.h"
#include "text/pinyin.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

enum {
    FIELDS = 2,
    HITS_MAX = 64
};

/* An index of two fields, title and text; a title counts three times. */
struct scene {
    struct analyzer *analyzer;
    struct analyst *analyst;
    struct analyze_options analyze;
    struct pinyin *pinyin;
    struct words *words;
    struct lexical *lexical;
    uint32_t numbers[HITS_MAX];
    double scores[HITS_MAX];
    size_t count;
    bool all;
    uint32_t refused; // a document that the filter does not let pass
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
    static const double weights[FIELDS] = {3, 1};
    struct scene *scene = mem_new(1, sizeof *scene);
    if (analyzer_new(&scene->analyzer)) return -1;
    scene->analyst = analyst_new(scene->analyzer);
    scene->analyze.stem = true;
    scene->pinyin = pinyin_new();
    scene->words = words_new(scene->pinyin);
    scene->refused = UINT32_MAX;
    struct lexical_options options = {.analyst = scene->analyst,
                                      .analyze = &scene->analyze,
                                      .field_count = FIELDS,
                                      .weights = weights,
                                      .k1 = 0.9,
                                      .b = 0.4,
                                      .word = on_word,
                                      .owner = scene};
    *state = scene;
    return lexical_new(&scene->lexical, &options) ? -1 : 0;
}

static int end_scene(void **state)
{
    struct scene *scene = *state;
    lexical_free(scene->lexical);
    words_free(scene->words);
    pinyin_free(scene->pinyin);
    analyst_free(scene->analyst);
    analyzer_free(scene->analyzer);
    mem_free(scene);
    return 0;
}

static void put(struct scene *scene, uint32_t number, const char *title, const char *text)
{
    struct lexical_text texts[FIELDS] = {{title, title ? strlen(title) : 0},
                                         {text, text ? strlen(text) : 0}};
    assert_int_equal(lexical_put(scene->lexical, number, texts), ERR_OK);
}

static void drop(struct scene *scene, uint32_t number, const char *title, const char *text)
{
    struct lexical_text texts[FIELDS] = {{title, title ? strlen(title) : 0},
                                         {text, text ? strlen(text) : 0}};
    assert_int_equal(lexical_drop(scene->lexical, number, texts), ERR_OK);
}

static bool accept(void *owner, uint32_t number)
{
    return number != ((struct scene *)owner)->refused;
}

static void on_hit(void *owner, uint32_t number, double score)
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
}

static enum err ask(struct scene *scene, const char *text, uint64_t deadline_ns)
{
    static struct query query;
    struct query_options options = {.analyst = scene->analyst,
                                    .analyze = &scene->analyze,
                                    .lexical = scene->lexical,
                                    .words = scene->words,
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
                                   .accept = accept,
                                   .hit = on_hit,
                                   .owner = scene};
    return lexical_search(scene->lexical, &search);
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
    put(scene, 1, "智能手机", "a phone with a large screen");
    put(scene, 2, "Wireless charger", "for phones and tablets");
    put(scene, 3, "Cable", "charges a wireless phone, a phone cable");
    put(scene, 4, "iPhone15 case", NULL);
    put(scene, 5, "银行卡包", "holds cards");
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

static void a_dropped_document_is_gone(void **state)
{
    struct scene *scene = *state;
    given_shop(scene);
    drop(scene, 2, "Wireless charger", "for phones and tablets");
    finds(scene, "wireless", "3");
    finds(scene, "tablet", "");
    assert_int_equal(lexical_count(scene->lexical), 4);
    assert_int_equal(words_count(scene->words, "charger", 7), 0);
    put(scene, 2, "Tablet", NULL); // its number is free again
    finds(scene, "tablet", "2");
    while (lexical_settle(scene->lexical))
        continue;
    finds(scene, "tablet", "2");
    drop(scene, 2, "Tablet", NULL);
    drop(scene, 1, "智能手机", "a phone with a large screen");
    drop(scene, 3, "Cable", "charges a wireless phone, a phone cable");
    drop(scene, 4, "iPhone15 case", NULL);
    drop(scene, 5, "银行卡包", "holds cards");
    finds(scene, "phone tablet", "");
    assert_int_equal(lexical_count(scene->lexical), 0);
}

static void the_filter_is_asked_before_a_document_is_scored(void **state)
{
    struct scene *scene = *state;
    given_shop(scene);
    scene->refused = 3;
    finds(scene, "phone", "21");
}

/* Against the formula, by hand: 4 documents, one field has the term twice. */
static void scores_are_bm25(void **state)
{
    struct scene *scene = *state;
    put(scene, 1, NULL, "red red blue");
    put(scene, 2, NULL, "blue");
    put(scene, 3, NULL, "green green green green");
    put(scene, 4, "green", "yellow");
    assert_int_equal(ask(scene, "red", 0), ERR_OK);
    assert_int_equal(scene->count, 1);
    double average = (3 + 1 + 4 + 2) / 4.0;
    double idf = log((4 - 1 + 0.5) / 1.5);
    double want = idf * 2 * 1.9 / (2 + 0.9 * (1 - 0.4 + 0.4 * 3 / average));
    assert_true(fabs(scene->scores[0] - want) < 1e-12);
    assert_true(fabs(lexical_best(scene->lexical) - idf * 1.9) < 1e-12);
}

static void count_hit(void *owner, uint32_t number, double score)
{
    (void)number, (void)score;
    ++*(size_t *)owner;
}

static void a_search_ends_at_its_deadline(void **state)
{
    struct scene *scene = *state;
    for (uint32_t i = 0; i < 40000; i++)
        put(scene, i, NULL, "alpha beta");
    size_t count = 0;
    struct lexical_term term = {.text = "alpha", .size = 5, .weight = 1};
    struct lexical_query query = {
        .terms = &term, .count = 1, .deadline_ns = 1, .hit = count_hit, .owner = &count};
    assert_int_equal(lexical_search(scene->lexical, &query), ERR_TIMEOUT);
    assert_true(count < 40000);
    count = 0;
    query.deadline_ns = 0;
    assert_int_equal(lexical_search(scene->lexical, &query), ERR_OK);
    assert_int_equal(count, 40000);
}

/* 400 documents have "common", each 100th "rare", every second "half"; the last has "rare" twice. */
static void given_common_words(struct scene *scene)
{
    for (uint32_t i = 0; i < 400; i++)
        put(scene, i, i % 100 == 50 ? "rare" : NULL, i % 2 ? "common half" : "common");
    put(scene, 400, "rare", "rare");
}

static size_t count_of(struct scene *scene, const char *const *words, size_t candidates,
                       size_t wanted)
{
    struct lexical_term terms[4];
    size_t found = 0, count = 0;
    for (; words[count]; count++)
        terms[count] = (struct lexical_term){.text = words[count],
                                             .size = strlen(words[count]),
                                             .weight = 1,
                                             .group = (uint32_t)count};
    struct lexical_query query = {.terms = terms,
                                  .count = count,
                                  .candidates = candidates,
                                  .wanted = wanted,
                                  .hit = count_hit,
                                  .owner = &found};
    assert_int_equal(lexical_search(scene->lexical, &query), ERR_OK);
    return found;
}

static void common_words_select_only_where_rarer_ones_are_too_few(void **state)
{
    struct scene *scene = *state;
    given_common_words(scene);
    static const char *const both[] = {"common", "rare", NULL};
    static const char *const three[] = {"half", "rare", "common", NULL};
    static const char *const one[] = {"common", NULL};
    assert_int_equal(count_of(scene, both, 0, 3), 401);
    assert_int_equal(count_of(scene, both, 401, 3), 401); // no bound: the index is not larger
    assert_int_equal(count_of(scene, both, 100, 3), 5);
    assert_int_equal(count_of(scene, both, 100, 6), 100);      // the rest, up to the bound
    assert_int_equal(count_of(scene, three, 300, 3), 5 + 200); // 50, 150… are even
    assert_int_equal(count_of(scene, one, 100, 3), 100);
}

static void best_of(void *owner, uint32_t number, double score)
{
    struct scene *scene = owner;
    scene->numbers[scene->count] = number;
    scene->scores[scene->count++] = score;
}

/* A document that is looked at has the same score, whatever was left out. */
static void a_cut_query_scores_as_the_whole_one(void **state)
{
    struct scene *scene = *state;
    given_common_words(scene);
    struct lexical_term terms[] = {{.text = "half", .size = 4, .weight = 1, .group = 0},
                                   {.text = "rare", .size = 4, .weight = 1, .group = 1},
                                   {.text = "common", .size = 6, .weight = 1, .group = 2},
                                   {.text = "half", .size = 4, .is_unwanted = true}};
    for (size_t unwanted = 0; unwanted < 2; unwanted++) {
        struct lexical_query query = {.terms = terms + unwanted,
                                      .count = 3,
                                      .candidates = 100,
                                      .hit = best_of,
                                      .owner = scene};
        scene->count = 0;
        assert_int_equal(lexical_search(scene->lexical, &query), ERR_OK);
        assert_int_equal(scene->count, 5);
        double odd = scene->scores[0], last = scene->scores[4];
        assert_int_equal(scene->numbers[0], 50);
        assert_int_equal(scene->numbers[4], 400);
        double rare = log((401 - 5 + 0.5) / 5.5) * 1.9, common = 0.05 * log(1 + 1.5 / 400.5) * 1.9;
        double average = (400 + 200 + 4 + 2) / 401.0;
        double length = 0.9 * (0.6 + 0.4 * 2 / average);
        assert_true(fabs(odd - rare * 3 / (3 + length) - common / (1 + length)) < 1e-12);
        assert_true(fabs(last - rare * 4 / (4 + length)) < 1e-12);
    }
}

static void counts_follow_what_is_written(void **state)
{
    struct scene *scene = *state;
    given_shop(scene);
    static const char *const words[] = {"phone", NULL};
    for (uint32_t i = 10; i < 20; i++) {
        put(scene, i, "phone", "phone phone");
        assert_int_equal(count_of(scene, words, 0, 0), 3 + i - 9);
        double n = 3 + i - 9, all = 5 + i - 9, odds = (all - n + 0.5) / (n + 0.5);
        double want = fmax(log(odds), 0.05 * log(1 + odds)) * 1.9;
        assert_true(fabs(lexical_best(scene->lexical) - want) < 1e-12);
    }
    drop(scene, 10, "phone", "phone phone");
    assert_int_equal(count_of(scene, words, 0, 0), 12);
    double odds = (14 - 12 + 0.5) / 12.5;
    assert_true(fabs(lexical_best(scene->lexical) - 0.05 * log(1 + odds) * 1.9) < 1e-12);
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
        SCENE(a_dropped_document_is_gone),
        SCENE(the_filter_is_asked_before_a_document_is_scored),
        SCENE(scores_are_bm25),
        SCENE(a_search_ends_at_its_deadline),
        SCENE(common_words_select_only_where_rarer_ones_are_too_few),
        SCENE(a_cut_query_scores_as_the_whole_one),
        SCENE(counts_follow_what_is_written),
        SCENE(strange_bytes_are_only_terms),
        SCENE(a_long_query_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
