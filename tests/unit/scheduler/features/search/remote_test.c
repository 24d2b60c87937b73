/* An index that a RediSearch keeps against the same one in memory: over a real redis-server with Debian's module. */
#include "scheduler/features/filter.h"
#include "scheduler/features/search/corpus.h"
#include "scheduler/features/search/redisearch_code.h"
#include "scheduler/features/search/redisearch_link.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/features/search/corpus_scene.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* The two, told the same; `searches` false: there is no module, nothing is tested. */
struct pair {
    struct test_redis redis;
    struct redisearch_place place;
    struct corpus *memory, *remote;
    uint64_t version;
    bool searches;
};

static const char shop[] =
    "{\"fields\": {\"title\": 3, \"text\": 1}, \"facets\": [\"brand\", \"tags\", \"size\"],"
    "\"sortable\": [\"price\", \"name\"], \"filterable\": [\"stock\", \"maker\"]}";

static struct corpus *given_remote(const struct pair *pair, const char *settings)
{
    struct corpus *corpus;
    assert_int_equal(corpus_new_remote(&corpus, &tools, &pair->place, given_settings(settings)),
                     ERR_OK);
    return corpus;
}

static int given_pair(void **state)
{
    struct pair *pair = mem_new(1, sizeof *pair);
    signal(SIGPIPE, SIG_IGN);
    if (given_tools(NULL)) return -1;
    *state = pair;
    pair->searches = test_redis_start_search(&pair->redis);
    if (!pair->searches) return 0;
    pair->place = (struct redisearch_place){.collection = "index:open:shop"};
    snprintf(pair->place.address.host, sizeof pair->place.address.host, "%s", pair->redis.socket);
    pair->memory = given_corpus(shop);
    pair->remote = given_remote(pair, shop);
    return 0;
}

static int end_pair(void **state)
{
    struct pair *pair = *state;
    corpus_free(pair->memory);
    corpus_free(pair->remote);
    if (pair->searches) test_redis_stop(&pair->redis);
    mem_free(pair);
    return end_tools(NULL);
}

static void put(struct pair *pair, const char *id, const char *record)
{
    put_record(pair->memory, id, record);
    put_record(pair->remote, id, record);
}

static void drop(struct pair *pair, const char *id)
{
    assert_int_equal(corpus_drop(pair->memory, id, strlen(id)), ERR_OK);
    assert_int_equal(corpus_drop(pair->remote, id, strlen(id)), ERR_OK);
}

/* Everything that was told is there, and the vocabulary, which is read a moment later. */
static void commit(struct pair *pair)
{
    corpus_mark(pair->memory, ++pair->version, "token");
    corpus_mark(pair->remote, pair->version, "token");
    assert_int_equal(corpus_version(pair->remote), pair->version);
    for (int i = 0; i < 4; i++) {
        usleep(50000);
        corpus_look(pair->remote);
    }
}

/* With all facets, and as many hits as there are. */
static json_t *all_of(struct corpus *corpus, struct corpus_search search)
{
    if (search.limit == 0) search.limit = 1000;
    search.all_facets = true;
    return answer_of(corpus, search);
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The hits as texts, in their order or sorted. */
static char *hits_of(const json_t *answer, bool ordered)
{
    const json_t *hits = json_object_get(answer, "hits");
    size_t count = json_array_size(hits);
    char **texts = mem_new(count + 1, sizeof *texts);
    struct buf out = {0};
    for (size_t i = 0; i < count; i++)
        texts[i] = json_dumps(json_array_get(hits, i), JSON_COMPACT | JSON_SORT_KEYS);
    if (!ordered) qsort(texts, count, sizeof *texts, by_text);
    for (size_t i = 0; i < count; i++) {
        buf_addf(&out, "%s\n", texts[i]);
        free(texts[i]);
    }
    mem_free(texts);
    return out.data ? buf_take(&out) : mem_copy_text("");
}

static void is_same(const json_t *want, const json_t *got, const char *what)
{
    char *left = json_dumps(want, JSON_SORT_KEYS | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    char *right = json_dumps(got, JSON_SORT_KEYS | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    if (strcmp(left, right) != 0) fail_msg("%s: want %s, got %s", what, left, right);
    free(left);
    free(right);
}

/* Both find the same documents, as many, with the same counts. */
static void agrees(struct pair *pair, struct corpus_search search, const char *what)
{
    json_t *want = all_of(pair->memory, search), *got = all_of(pair->remote, search);
    char *left = hits_of(want, false), *right = hits_of(got, false);
    if (strcmp(left, right) != 0) fail_msg("%s: want\n%s got\n%s", what, left, right);
    static const char *const members[] = {"estimatedTotalHits", "facetDistribution", "facetStats"};
    for (size_t i = 0; i < 3; i++)
        is_same(json_object_get(want, members[i]), json_object_get(got, members[i]), what);
    mem_free(left);
    mem_free(right);
    json_decref(want);
    json_decref(got);
}

static void agrees_on(struct pair *pair, const char *q, const char *filter_text)
{
    struct filter *filter = NULL;
    char what[512];
    if (filter_text && filter_parse_text(&filter, filter_text, strlen(filter_text)))
        fail_msg("%s", err_text());
    snprintf(what, sizeof what, "q [%s] filter [%s]", q ? q : "", filter_text ? filter_text : "");
    for (int all = 0; all < 2; all++)
        agrees(pair, (struct corpus_search){.q = q, .filter = filter, .all = all}, what);
    filter_free(filter);
}

// ---- documents by chance -----------------------------------------------------------------------

static const char *const some_words[] = {
    "phone", "Phones", "running", "run",  "cable", "wireless", "charger",  "5g",      "iPhone15",
    "a-b",   "it's",   "手机",    "智能", "手",    "华为手机", "充电器",   "FT.DROP", "@f",
    "é",     "中国人", "the",     "x",    "100",   "3.5",      "umbrella", "noise",   "cancelling"};

static const char *word(struct rand *rand)
{
    return some_words[rand_below(rand, sizeof some_words / sizeof *some_words)];
}

static void add_words(struct rand *rand, struct buf *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_addf(out, "%s%s", i ? " " : "", word(rand));
}

static const char *const some_values[] = {
    "\"anker\"",
    "\"Anker\"",
    "\"华为\"",
    "\"\"",
    "null",
    "[]",
    "true",
    "5",
    "-2.5",
    "1e300",
    "\"5\"",
    "[1,2,\"x\"]",
    "{\"cn\":{\"zip\":7},\"list\":[{\"a\":1},{\"a\":\"b c\"}]}",
    "\"a,b;c|{}\"",
    "0.1",
    "[[3],4,4]",
    "\"_\"",
    "99999999999"};

static const char *value(struct rand *rand)
{
    return some_values[rand_below(rand, sizeof some_values / sizeof *some_values)];
}

static void put_some(struct pair *pair, struct rand *rand, size_t count)
{
    static const char *const names[] = {"brand", "tags", "size", "price", "name", "stock", "maker"};
    for (size_t i = 0; i < count; i++) {
        struct buf record = {0};
        char id[16];
        snprintf(id, sizeof id, "d-%u", (unsigned)rand_below(rand, 80));
        buf_addf(&record, "{\"id\":\"%s\",\"title\":\"", id);
        add_words(rand, &record, 1 + rand_below(rand, 4));
        buf_add_text(&record, "\",\"text\":\"");
        add_words(rand, &record, rand_below(rand, 8));
        buf_add_byte(&record, '"');
        for (size_t n = 0; n < sizeof names / sizeof *names; n++)
            if (rand_below(rand, 3) > 0) buf_addf(&record, ",\"%s\":%s", names[n], value(rand));
        buf_add_byte(&record, '}');
        if (rand_below(rand, 6) == 0)
            drop(pair, id);
        else
            put(pair, id, record.data);
        buf_fini(&record);
    }
}

static const char *const filters[] = {
    "brand = anker",
    "brand != anker",
    "brand IN [anker, 华为, 5]",
    "brand NOT IN [anker, true]",
    "size = 5",
    "size = '5'",
    "tags = 'a,b;c|{}'",
    "tags = '_'",
    "price > 2",
    "price >= -2.5 AND price < 99999999999",
    "price <= 0.1 OR stock > 3",
    "price 1 TO 5",
    "NOT price 1 TO 5",
    "stock 5 TO 1",
    "tags > 1e299",
    "price < -1e300",
    "maker.cn.zip = 7",
    "maker.cn.zip > 6.5",
    "maker.list.a = 'B C'",
    "maker.list.a EXISTS",
    "maker.cn NOT EXISTS AND brand EXISTS",
    "tags IS NULL",
    "tags IS NOT NULL",
    "tags IS EMPTY OR brand IS EMPTY",
    "NOT (brand = anker OR (size > 2 AND NOT tags EXISTS))",
    "brand IN []",
    "brand NOT IN []",
};

static void both_find_the_same(void **state)
{
    struct pair *pair = *state;
    static const char *const queries[] = {"phone",
                                          "run",
                                          "running cable",
                                          "手",
                                          "手机",
                                          "华为手机",
                                          "\"noise cancelling\"",
                                          "\"phone running\" -cable",
                                          "-cable",
                                          "iphone",
                                          "iphone15",
                                          "umbrela",
                                          "shouji",
                                          "wirel",
                                          "中国",
                                          "@f {x} | * ( ) : \\ \" = > - ~",
                                          "FT.DROP",
                                          "zzzz",
                                          "5g 100 3.5",
                                          "é",
                                          "the x"};
    struct rand rand;
    if (!pair->searches) return;
    rand_init(&rand, 7);
    for (int round = 0; round < 3; round++) {
        put_some(pair, &rand, 150);
        commit(pair);
        assert_int_equal(corpus_count(pair->remote), corpus_count(pair->memory));
        assert_int_equal(corpus_bytes(pair->remote), corpus_bytes(pair->memory));
        for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
            agrees_on(pair, queries[i], NULL);
        for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
            agrees_on(pair, NULL, filters[i]);
            agrees_on(pair, "phone 手机 cable", filters[i]);
        }
    }
}

/* Equal places may stand in any order among themselves: of each hit, only what it is ordered by is compared. */
static void orders_agree(struct pair *pair, struct corpus_search search)
{
    json_t *want = all_of(pair->memory, search), *got = all_of(pair->remote, search);
    json_t *left = json_array(), *right = json_array(), *hit;
    size_t at;
    json_array_foreach(json_object_get(want, "hits"), at, hit)
    {
        for (size_t i = 0; i < search.sort_count; i++) {
            const json_t *a = json_object_get(hit, search.sorts[i].attribute);
            const json_t *b = json_object_get(json_array_get(json_object_get(got, "hits"), at),
                                              search.sorts[i].attribute);
            bool is_placed = json_is_number(a) || json_is_string(a);
            json_array_append(left, is_placed ? (json_t *)(uintptr_t)a : json_null());
            is_placed = json_is_number(b) || json_is_string(b);
            json_array_append(right, is_placed ? (json_t *)(uintptr_t)b : json_null());
        }
    }
    is_same(left, right, "order");
    is_same(json_object_get(want, "estimatedTotalHits"), json_object_get(got, "estimatedTotalHits"),
            "total of an order");
    json_decref(left);
    json_decref(right);
    json_decref(want);
    json_decref(got);
}

/* What it weighs is next to nothing, and still written in a way that is read. */
static void a_word_of_all_documents_is_found(void **state)
{
    struct pair *pair = *state;
    if (!pair->searches) return;
    for (int i = 0; i < 3000; i++) {
        char id[16];
        snprintf(id, sizeof id, "e%d", i);
        put(pair, id, "{\"title\":\"phone\"}");
    }
    commit(pair);
    agrees_on(pair, "phone", NULL);
    agrees_on(pair, "\"phone\" -cable", "brand NOT EXISTS");
}

static void both_order_the_same(void **state)
{
    struct pair *pair = *state;
    struct rand rand;
    if (!pair->searches) return;
    rand_init(&rand, 11);
    put_some(pair, &rand, 200);
    commit(pair);
    for (int way = 0; way < 4; way++) {
        struct corpus_search search = {
            .sorts = {{"price", way & 1}, {"name", way & 2}}, .sort_count = 2, .limit = 1000};
        orders_agree(pair, search);
        search.q = "phone 手机";
        orders_agree(pair, search);
        search.offset = 3;
        search.limit = 4;
        orders_agree(pair, search);
    }
}

static void finds(struct corpus *corpus, const char *q, size_t want)
{
    json_t *answer = all_of(corpus, (struct corpus_search){.q = q});
    assert_int_equal(json_integer_value(json_object_get(answer, "estimatedTotalHits")), want);
    assert_int_equal(json_array_size(json_object_get(answer, "hits")), want);
    json_decref(answer);
}

/* What one has written another one asks, and writes on from there; other settings are other documents beside them, until all are
 * told. */
static void another_one_reads_and_goes_on(void **state)
{
    struct pair *pair = *state;
    struct corpus_status status;
    if (!pair->searches) return;
    put(pair, "a", "{\"id\":\"a\",\"title\":\"red phone\"}");
    commit(pair);
    struct corpus *other = given_remote(pair, shop);
    corpus_mark(other, 1, NULL);
    corpus_status(other, &status);
    assert_true(status.is_ready && status.fits);
    assert_string_equal(status.token, "token");
    finds(other, "phone", 1);
    assert_int_equal(corpus_put(other, "b", 1, "{\"title\":\"blue phone\"}", 22), ERR_OK);
    corpus_mark(other, 2, "next");
    finds(other, "phone", 2);
    usleep(50000);
    corpus_look(pair->remote); // it has not written that
    corpus_status(pair->remote, &status);
    assert_true(status.is_lost);
    finds(pair->remote, "phone", 2);
    struct corpus *built = given_remote(pair, "{\"fields\":[\"title\"]}");
    assert_int_equal(corpus_put(built, "c", 1, "{\"title\":\"a phone\"}", 19), ERR_OK);
    finds(other, "phone", 2);
    corpus_mark(built, 3, "third");
    finds(other, "phone", 1); // by another generation, which it finds out
    assert_int_equal(corpus_settings(other)->facets.count, 0);
    corpus_replace(built, NULL);
    assert_int_equal(corpus_version(other), 3);
    usleep(50000);
    corpus_look(other);
    assert_int_equal(corpus_version(other), 0);
    corpus_free(built);
    corpus_free(other);
}

static enum err rank(struct corpus *corpus)
{
    struct corpus_ranking *ranking;
    struct corpus_search search = {.q = "phone", .q_size = 5, .depth = 10, .limit = 10};
    enum err err = corpus_rank(corpus, &search, &ranking);
    if (!err) corpus_ranking_free(ranking);
    return err;
}

static void one_that_is_away_says_so_and_what_it_loses_is_noticed(void **state)
{
    struct pair *pair = *state;
    struct corpus_status status;
    if (!pair->searches) return;
    put(pair, "a", "{\"id\":\"a\",\"title\":\"red phone\"}");
    commit(pair);
    test_redis_kill(&pair->redis);
    assert_int_equal(rank(pair->remote), ERR_STORE_AWAY);
    test_redis_restart(&pair->redis);
    usleep((REDISEARCH_PAUSE_MS + 50) * 1000);
    corpus_look(pair->remote);
    corpus_status(pair->remote, &status);
    assert_true(status.is_lost);
    assert_int_equal(rank(pair->remote), ERR_UNAVAILABLE); // it is to be written first
    struct corpus *nowhere;
    assert_int_equal(corpus_new_remote(&nowhere, &tools, NULL, given_settings(shop)), ERR_OK);
    assert_int_equal(rank(nowhere), ERR_STORE_AWAY);
    assert_non_null(strstr(err_text(), "search_redisearch"));
    corpus_free(nowhere);
}

static void another_index_there_is_left_alone(void **state)
{
    struct pair *pair = *state;
    struct corpus_status status;
    if (!pair->searches) return;
    put(pair, "a", "{\"id\":\"a\",\"title\":\"red phone\"}");
    commit(pair);
    struct redisearch_place place = pair->place;
    place.collection = "index:open:other";
    struct corpus *other;
    assert_int_equal(corpus_new_remote(&other, &tools, &place, given_settings(shop)), ERR_OK);
    assert_int_equal(corpus_put(other, "b", 1, "{\"title\":\"b\"}", 13), ERR_OK);
    corpus_mark(other, 9, "token");
    corpus_status(other, &status);
    assert_true(status.is_lost);
    assert_int_equal(rank(other), ERR_UNAVAILABLE);
    corpus_free(other);
    finds(pair->remote, "phone", 1);
}

static void codes_are_words_and_come_back(void **state)
{
    struct buf code = {0}, back = {0};
    (void)state;
    code_bytes(&code, "5g 手_A", strlen("5g 手_A"));
    assert_string_equal(code.data, "5g_20_e6_89_8b_5f_41");
    assert_true(code_read(&back, code.data, code.size));
    assert_string_equal(back.data, "5g 手_A");
    assert_false(code_read(&back, "a_g1", 4));
    assert_false(code_read(&back, "a_1", 3));
    buf_clear(&code);
    buf_clear(&back);
    code_folded(&code, "Äb");
    code_folded(&back, "äB");
    assert_string_equal(code.data, back.data);
    const double numbers[] = {-INFINITY, -1e300, -2.5, -0.0, 1e-300, 1, 2, 1e300, INFINITY};
    for (size_t i = 0; i + 1 < sizeof numbers / sizeof *numbers; i++)
        assert_true(code_order(numbers[i]) < code_order(numbers[i + 1]));
    assert_int_equal(code_order(-0.0), code_order(0));
    buf_fini(&code);
    buf_fini(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_words_and_come_back),
        cmocka_unit_test_setup_teardown(both_find_the_same, given_pair, end_pair),
        cmocka_unit_test_setup_teardown(a_word_of_all_documents_is_found, given_pair, end_pair),
        cmocka_unit_test_setup_teardown(both_order_the_same, given_pair, end_pair),
        cmocka_unit_test_setup_teardown(another_one_reads_and_goes_on, given_pair, end_pair),
        cmocka_unit_test_setup_teardown(one_that_is_away_says_so_and_what_it_loses_is_noticed,
                                        given_pair, end_pair),
        cmocka_unit_test_setup_teardown(another_index_there_is_left_alone, given_pair, end_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
