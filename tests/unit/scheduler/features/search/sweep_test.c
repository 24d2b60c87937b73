/* The exact best and the exact lists: random documents and queries, against scoring everything and against the words themselves. */
#include "tests/test.h"
#include "tests/unit/scheduler/features/search/lexical_scene.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"

#include <math.h>
#include <string.h>

enum {
    HITS_MAX = 512
};

struct scene {
    struct stage stage;
    uint32_t numbers[HITS_MAX];
    double scores[HITS_MAX];
    size_t count;
};

static int given_scene(void **state)
{
    struct scene *scene = mem_new(1, sizeof *scene);
    *state = scene;
    return stage_begin(&scene->stage, false, NULL, NULL) ? 0 : -1;
}

static int end_scene(void **state)
{
    struct scene *scene = *state;
    stage_end(&scene->stage);
    mem_free(scene);
    return 0;
}

/* No texts are needed where nobody is told of the words. */
static void drop(struct scene *scene, uint32_t number)
{
    lexical_drop(scene->stage.lexical, number, NULL);
}

static double count_hit(void *owner, uint32_t number, double score)
{
    (void)number, (void)score;
    ++*(size_t *)owner;
    return -INFINITY;
}

/* In the order of the numbers. */
static double list_hit(void *owner, uint32_t number, double score)
{
    struct scene *scene = owner;
    assert_true(scene->count < HITS_MAX);
    scene->numbers[scene->count] = number;
    scene->scores[scene->count++] = score;
    return -INFINITY;
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

// ---- the best, against all ---------------------------------------------------------------------

enum {
    VOCABULARY = 60,
    LETTERS = 4, // of a word
    BEST_MAX = 20
};

static uint32_t below(struct rand *chance, uint32_t bound)
{
    return (uint32_t)rand_below(chance, bound);
}

/* Words are the more frequent the lower their number, as in a language. */
static void write_text(struct rand *chance, char *out, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        uint32_t word = below(chance, VOCABULARY);
        word = below(chance, word + 1);
        snprintf(out + i * (LETTERS + 1), LETTERS + 2, "q%c%cx ", (char)('a' + word % 8),
                 (char)('a' + word / 8));
    }
    out[words * (LETTERS + 1)] = '\0';
}

struct best {
    uint32_t numbers[BEST_MAX];
    double scores[BEST_MAX];
    size_t count, told;
    bool all; // tell me of every document
};

static double on_best(void *owner, uint32_t number, double score)
{
    struct best *best = owner;
    best->told++;
    size_t at = best->count < BEST_MAX ? best->count++ : BEST_MAX;
    if (at == BEST_MAX) {
        if (score <= best->scores[BEST_MAX - 1])
            return best->all ? -INFINITY : best->scores[at - 1];
        at--;
    }
    for (; at > 0 && score > best->scores[at - 1]; at--) {
        best->scores[at] = best->scores[at - 1];
        best->numbers[at] = best->numbers[at - 1];
    }
    best->scores[at] = score;
    best->numbers[at] = number;
    bool more = best->all || best->count < BEST_MAX;
    return more ? -INFINITY : best->scores[BEST_MAX - 1];
}

/* The best of `query` are the same, to the bit, whether only they are asked for or every document is scored. */
static size_t check_best(struct scene *scene, struct lexical_query *query)
{
    struct best few = {.count = 0}, all = {.all = true};
    query->hit = on_best;
    query->owner = &all;
    assert_int_equal(lexical_search(scene->stage.lexical, query), ERR_OK);
    assert_int_equal(bitmap_size(lexical_matched(scene->stage.lexical)), all.told);
    query->owner = &few;
    assert_int_equal(lexical_search(scene->stage.lexical, query), ERR_OK);
    assert_int_equal(bitmap_size(lexical_matched(scene->stage.lexical)), all.told);
    assert_int_equal(few.count, all.count);
    assert_memory_equal(few.numbers, all.numbers, all.count * sizeof *all.numbers);
    assert_memory_equal(few.scores, all.scores, all.count * sizeof *all.scores);
    return all.told - few.told;
}

/* Some words, some of them in one group, one of them unwanted at times. */
static void make_query(struct rand *chance, struct lexical_term terms[8], char texts[8][8],
                       struct lexical_query *query)
{
    query->count = 1 + below(chance, 7);
    query->all = below(chance, 4) == 0;
    for (size_t i = 0; i < query->count; i++) {
        write_text(chance, texts[i], 1);
        terms[i] = (struct lexical_term){.text = texts[i],
                                         .size = LETTERS,
                                         .weight = 0.2 + 0.2 * below(chance, 5),
                                         .group = (uint32_t)i - (i > 0 && i % 3 == 2)};
    }
    for (size_t i = 3; i + 1 < query->count; i += 3)
        terms[i].is_extra = i % 3 == 0 && terms[i + 1].group != terms[i].group && below(chance, 2);
    if (query->count > 1) terms[query->count - 1].is_unwanted = below(chance, 3) == 0;
    query->terms = terms;
}

static void the_best_are_the_best_of_all(void **state)
{
    struct scene *scene = *state;
    struct rand chance;
    static char text[64 * (LETTERS + 1) + 1];
    char texts[8][8];
    struct lexical_term terms[8];
    size_t saved = 0;
    rand_init(&chance, 11);
    for (uint32_t i = 0; i < 20000; i++) {
        write_text(&chance, text, 1 + below(&chance, 40));
        stage_put(&scene->stage, i, NULL, text);
        if (i % 3 != 1)
            continue; // another one in its place: lists are written in their middle, too
        uint32_t old = below(&chance, i);
        drop(scene, old);
        write_text(&chance, text, 1 + below(&chance, 60));
        stage_put(&scene->stage, old, NULL, text);
    }
    for (size_t i = 0; i < 300; i++) {
        struct lexical_query query = {.allowed = i % 2 ? &scene->stage.allowed : NULL};
        make_query(&chance, terms, texts, &query);
        saved += check_best(scene, &query);
        bitmap_clear(&scene->stage.allowed, below(&chance, 20000));
    }
    assert_true(saved > 300 * 1000); // the rest was not told, most of it not scored
}

/* Extra words change scores alone: what is found, and how many, is what is found without them. */
static void extra_words_find_nothing(void **state)
{
    struct scene *scene = *state;
    struct rand chance;
    static char text[64 * (LETTERS + 1) + 1];
    char texts[8][8];
    struct lexical_term terms[8];
    size_t changed = 0;
    rand_init(&chance, 5);
    for (uint32_t i = 0; i < 9000; i++) {
        write_text(&chance, text, 1 + below(&chance, 20));
        stage_put(&scene->stage, i, NULL, text);
    }
    for (size_t i = 0; i < 100; i++) {
        struct lexical_query query = {.count = 0};
        struct best with = {.all = true}, without = {.all = true};
        make_query(&chance, terms, texts, &query);
        query.count = 3;
        for (uint32_t j = 0; j < 3; j++)
            terms[j].group = j, terms[j].is_extra = j == 2, terms[j].is_unwanted = false;
        query.hit = on_best;
        query.owner = &with;
        assert_int_equal(lexical_search(scene->stage.lexical, &query), ERR_OK);
        query.count = 2;
        query.owner = &without;
        assert_int_equal(lexical_search(scene->stage.lexical, &query), ERR_OK);
        assert_int_equal(with.told, without.told);
        changed += with.scores[0] > without.scores[0];
    }
    assert_true(changed > 50);
}

enum {
    PHRASES = 300,
    WORDS_MAX_OF_TEXT = 60
};

/* How often the parts stand side by side in the words. */
static size_t count_phrase(const char *words, size_t count, const char *parts, size_t part_count)
{
    size_t found = 0;
    for (size_t i = 0; i + part_count <= count; i++)
        found += memcmp(words + i, parts, part_count) == 0;
    return found;
}

/* Words are letters here; two fields, and a phrase never reaches from one into the other. */
static void phrases_are_counted_as_they_stand(void **state)
{
    struct scene *scene = *state;
    static char words[PHRASES][WORDS_MAX_OF_TEXT];
    size_t counts[PHRASES], total = 0;
    struct rand chance;
    rand_init(&chance, 23);
    for (uint32_t i = 0; i < PHRASES; i++) {
        struct buf title = {0}, text = {0};
        counts[i] = 2 + below(&chance, WORDS_MAX_OF_TEXT - 2);
        total += counts[i];
        for (size_t j = 0; j < counts[i]; j++) {
            words[i][j] = (char)('a' + below(&chance, 1 + below(&chance, 4)));
            buf_addf(j < counts[i] / 2 ? &title : &text, "%cq ", words[i][j]);
        }
        stage_put(&scene->stage, i, buf_text(&title), buf_text(&text));
        buf_fini(&title);
        buf_fini(&text);
    }
    for (size_t round = 0; round < 60; round++) {
        char parts[3], text[16];
        size_t part_count = 2 + round % 2, n = 0, at = 0;
        double want[PHRASES];
        for (size_t i = 0; i < part_count; i++) {
            parts[i] = (char)('a' + below(&chance, 4));
            snprintf(text + 3 * i, sizeof text - 3 * i, "%cq\x1F", parts[i]);
        }
        for (size_t i = 0; i < PHRASES; i++) {
            size_t half = counts[i] / 2;
            want[i] = 3 * (double)count_phrase(words[i], half, parts, part_count) +
                      (double)count_phrase(words[i] + half, counts[i] - half, parts, part_count);
            n += want[i] > 0;
        }
        struct lexical_term term = {.text = text, .size = 3 * part_count - 1, .weight = 1};
        struct lexical_query query = {.terms = &term, .count = 1, .hit = list_hit, .owner = scene};
        scene->count = 0;
        assert_int_equal(lexical_search(scene->stage.lexical, &query), ERR_OK);
        assert_int_equal(scene->count, n);
        double odds = (PHRASES - (double)n + 0.5) / ((double)n + 0.5);
        double idf = fmax(log(odds), 0.05 * log(1 + odds)), average = (double)total / PHRASES;
        for (size_t i = 0; i < PHRASES; i++) {
            if (want[i] == 0) continue;
            double norm = 0.9 * (0.6 + 0.4 * (double)counts[i] / average);
            assert_int_equal(scene->numbers[at], i);
            assert_true(fabs(scene->scores[at++] - idf * 1.9 * want[i] / (want[i] + norm)) < 1e-9);
        }
    }
}

enum {
    LISTED = 6000 // documents that come and go
};

/* Which of the words, by bits: the first one nearly all have, the last one hardly any. */
static uint32_t random_words(struct rand *chance)
{
    uint32_t words = 0;
    for (uint32_t i = 0; i < 5; i++)
        if (below(chance, 1u << (2 * i)) == 0) words |= 1u << i;
    return words;
}

/* Documents go in and come out in the middle of lists of any length; when few are left, and when none is. */
static void lists_are_those_of_the_documents(void **state)
{
    static const char *const words[] = {"alpha", "beta", "gamma", "delta", "omega"};
    static uint32_t have[LISTED]; // and 32: it is there
    struct scene *scene = *state;
    struct rand chance;
    rand_init(&chance, 3);
    for (size_t round = 0; round < 12; round++) {
        uint32_t share = round % 4 < 2 ? 3 : round % 4 == 2 ? 60 : UINT32_MAX; // 1 in it is put
        for (uint32_t i = 0; i < 4 * LISTED; i++) {
            uint32_t at = round % 4 == 3 ? i % LISTED : below(&chance, LISTED);
            if (have[at]) drop(scene, at);
            have[at] = 0;
            if (share == UINT32_MAX || below(&chance, share) > 0) continue;
            struct buf text = {0};
            have[at] = 32 | random_words(&chance);
            for (size_t j = 0; j < 5; j++)
                if (have[at] >> j & 1) buf_addf(&text, "%s ", words[j]);
            stage_put(&scene->stage, at, NULL, buf_text(&text));
            buf_fini(&text);
        }
        for (size_t j = 0; j < 5; j++) {
            size_t count = 0;
            struct lexical_term term = {.text = words[j], .size = strlen(words[j])};
            for (uint32_t i = 0; i < LISTED; i++)
                count += have[i] >> j & 1;
            assert_int_equal(count_of(scene, words[j]), count);
            assert_int_equal(lexical_has(scene->stage.lexical, &term), count > 0);
            for (uint32_t i = 0; i < LISTED; i++)
                assert_int_equal(bitmap_has(lexical_matched(scene->stage.lexical), i),
                                 have[i] >> j & 1);
        }
    }
}

int main(void)
{
#define SCENE(test) cmocka_unit_test_setup_teardown(test, given_scene, end_scene)
    const struct CMUnitTest tests[] = {
        SCENE(the_best_are_the_best_of_all),
        SCENE(extra_words_find_nothing),
        SCENE(phrases_are_counted_as_they_stand),
        SCENE(lists_are_those_of_the_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
