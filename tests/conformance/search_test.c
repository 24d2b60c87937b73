/* Lexical search against the judged collections of the shared data: English as Terrier is judged, Chinese as questions
 * that find their passage. Each with the setting that its README names. */
#include "scheduler/features/search/lexical.h"
#include "scheduler/features/search/query.h"
#include "scheduler/features/search/words.h"
#include "tests/support/collection.h"
#include "tests/test.h"

#include "text/analyze.h"
#include "text/common.h"

#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

struct hit {
    uint32_t document;
    double score;
};

struct searcher {
    struct analyzer *analyzer;
    struct analyst *analyst;
    struct analyze_options analyze;
    struct analyze_stops *stops, *common;
    struct lexical *lexical;
    struct words *words;
    struct hit *hits;
    uint32_t *ranking;
    size_t count;
};

static void on_word(void *owner, const struct analyze_term *term, int sign)
{
    (void)sign;
    if (term->is_word) words_add(owner, term->surface, term->surface_size);
}

static void given_searcher(struct searcher *searcher, const struct collection *collection,
                           double k1, double b)
{
    static const double weight = 1;
    *searcher = (struct searcher){0};
    assert_int_equal(analyzer_new(&searcher->analyzer), ERR_OK);
    searcher->analyst = analyst_new(searcher->analyzer);
    const char **stops = mem_new(collection->stop_count + 1, sizeof *stops);
    if (collection->stop_count > 0)
        memcpy(stops, collection->stops, collection->stop_count * sizeof *stops);
    assert_int_equal(
        analyze_stops_new(&searcher->stops, searcher->analyzer, stops, collection->stop_count),
        ERR_OK);
    mem_free(stops);
    size_t count;
    const char *const *common = common_words(&count);
    assert_int_equal(analyze_stops_new(&searcher->common, searcher->analyzer, common, count),
                     ERR_OK);
    searcher->words = words_new(NULL);
    searcher->analyze = (struct analyze_options){.stem = true, .stops = searcher->stops};
    struct lexical_options options = {.analyst = searcher->analyst,
                                      .analyze = &searcher->analyze,
                                      .field_count = 1,
                                      .weights = &weight,
                                      .k1 = k1,
                                      .b = b,
                                      .word = on_word,
                                      .owner = searcher->words};
    searcher->lexical = lexical_new(&options);
    uint64_t start_ns = clock_now_ns();
    size_t bytes = 0;
    for (size_t i = 0; i < collection->count; i++) {
        struct lexical_text text = {collection->documents[i], strlen(collection->documents[i])};
        bytes += text.size;
        lexical_put(searcher->lexical, (uint32_t)i, &text);
    }
    double seconds = (double)(clock_now_ns() - start_ns) / (double)CLOCK_SECOND;
    print_message("%zu documents, %.0f a second, %.2f MB/s\n", collection->count,
                  (double)collection->count / seconds, (double)bytes / seconds / 1e6);
    searcher->hits = mem_new(collection->count, sizeof *searcher->hits);
    searcher->ranking = mem_new(collection->count, sizeof *searcher->ranking);
}

static void end_searcher(struct searcher *searcher)
{
    lexical_free(searcher->lexical);
    words_free(searcher->words);
    analyze_stops_free(searcher->stops);
    analyze_stops_free(searcher->common);
    analyst_free(searcher->analyst);
    analyzer_free(searcher->analyzer);
    mem_free(searcher->hits);
    mem_free(searcher->ranking);
}

static double on_hit(void *owner, uint32_t number, double score)
{
    struct searcher *searcher = owner;
    searcher->hits[searcher->count++] = (struct hit){number, score};
    return -INFINITY; // all of them
}

static int compare_hits(const void *left, const void *right)
{
    const struct hit *a = left, *b = right;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return a->document < b->document ? -1 : 1;
}

static bool has(void *owner, const struct lexical_term *term)
{
    return lexical_has(owner, term);
}

/* The ranking of the query, at most `depth` of it. */
static void search(struct searcher *searcher, const char *text, size_t depth)
{
    static struct query query;
    struct query_options options = {.analyst = searcher->analyst,
                                    .analyze = &searcher->analyze,
                                    .has = has,
                                    .owner = searcher->lexical,
                                    .words = searcher->words,
                                    .common = searcher->common,
                                    .typos = true,
                                    .one_typo = 5,
                                    .two_typos = 9};
    query_build(&query, &options, text, strlen(text));
    searcher->count = 0;
    struct lexical_query ask = {
        .terms = query.terms, .count = query.count, .hit = on_hit, .owner = searcher};
    assert_int_equal(lexical_search(searcher->lexical, &ask), ERR_OK);
    qsort(searcher->hits, searcher->count, sizeof *searcher->hits, compare_hits);
    if (searcher->count > depth) searcher->count = depth;
    for (size_t i = 0; i < searcher->count; i++)
        searcher->ranking[i] = searcher->hits[i].document;
}

/* Mean average precision and nDCG with these settings. */
static void rank_vaswani(const char *name, bool has_stops, double k1, double b)
{
    struct collection collection;
    struct searcher searcher;
    const char *folder = test_shared("search/vaswani");
    if (!folder) skip();
    collection_read_vaswani(&collection, folder);
    assert_int_equal(collection.count, 11429);
    assert_int_equal(collection.query_count, 93);
    size_t stop_count = collection.stop_count;
    if (!has_stops) collection.stop_count = 0;
    given_searcher(&searcher, &collection, k1, b);
    collection.stop_count = stop_count;
    double map = 0, ndcg = 0;
    uint64_t start_ns = clock_now_ns();
    for (size_t i = 0; i < collection.query_count; i++) {
        const struct collection_query *query = &collection.queries[i];
        search(&searcher, query->text, 1000);
        map += collection_average_precision(query, searcher.ranking, searcher.count);
        ndcg += collection_ndcg(query, searcher.ranking, searcher.count);
    }
    double ms = (double)(clock_now_ns() - start_ns) / 1e6 / (double)collection.query_count;
    map /= (double)collection.query_count;
    ndcg /= (double)collection.query_count;
    print_message("vaswani, %s: MAP %.4f, nDCG %.4f, %.2f ms a query\n", name, map, ndcg, ms);
    end_searcher(&searcher);
    collection_fini(&collection);
    assert_true(map >= 0.295);
    assert_true(ndcg >= 0.619);
}

static void vaswani_is_ranked_as_well_as_by_terrier(void **state)
{
    (void)state;
    rank_vaswani("Terrier's stop words, k1 and b", true, 1.2, 0.75);
}

/* An index that was told nothing. */
static void vaswani_is_ranked_so_by_the_presets(void **state)
{
    (void)state;
    rank_vaswani("the presets", false, 0.9, 0.4);
}

static void cmrc_questions_find_their_passage(void **state)
{
    (void)state;
    struct collection collection;
    struct searcher searcher;
    const char *folder = test_shared("search/cmrc2018");
    if (!folder) skip();
    collection_read_cmrc(&collection, folder);
    assert_int_equal(collection.count, 848);
    assert_int_equal(collection.query_count, 3219);
    given_searcher(&searcher, &collection, 0.9, 0.4);
    double mrr = 0;
    uint64_t start_ns = clock_now_ns();
    for (size_t i = 0; i < collection.query_count; i++) {
        const struct collection_query *query = &collection.queries[i];
        search(&searcher, query->text, 10);
        mrr += collection_reciprocal_rank(query, searcher.ranking, searcher.count, 10);
    }
    double ms = (double)(clock_now_ns() - start_ns) / 1e6 / (double)collection.query_count;
    mrr /= (double)collection.query_count;
    print_message("cmrc2018: MRR@10 %.4f, %.2f ms a query\n", mrr, ms);
    end_searcher(&searcher);
    collection_fini(&collection);
    assert_true(mrr >= 0.98);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vaswani_is_ranked_as_well_as_by_terrier),
        cmocka_unit_test(vaswani_is_ranked_so_by_the_presets),
        cmocka_unit_test(cmrc_questions_find_their_passage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
