/* Columns against the walk through each document's JSON: random documents, random filters, facets and orders, both ways equal. */
#include "scheduler/features/filter.h"
#include "scheduler/features/filter_term.h"
#include "scheduler/features/search/corpus_parts.h"
#include "tests/test.h"

#include "text/analyze.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"

#include <string.h>

enum {
    DOCUMENTS = 400, // ids d0, d1, …; some of them are there
    ROUNDS = 30,
    FILTERS = 25 // a round
};

static const char settings_text[] =
    "{\"facets\":[\"a\",\"b\",\"list\",\"a.x\"],\"filterable\":[\"o\",\"deep\"],"
    "\"sortable\":[\"a\",\"n\"]}";

struct scene {
    struct corpus_tools tools;
    struct corpus *corpus;
    struct rand chance;
    char *records[DOCUMENTS]; // NULL: it is not there
    unsigned keys;            // how many names members have
    int depth;                // of a random value
};

static uint32_t below(struct scene *scene, uint32_t bound)
{
    return (uint32_t)rand_below(&scene->chance, bound);
}

static int given_scene(void **state)
{
    struct scene *scene = mem_new(1, sizeof *scene);
    struct analyzer *analyzer;
    struct search_settings *settings;
    char param[SEARCH_PARAM_MAX];
    if (analyzer_new(&analyzer)) return -1;
    scene->tools = (struct corpus_tools){analyzer, NULL};
    json_t *object = json_loads(settings_text, 0, NULL);
    assert_int_equal(search_settings_read(&settings, object, param), ERR_OK);
    json_decref(object);
    assert_int_equal(corpus_new(&scene->corpus, &scene->tools, settings), ERR_OK);
    rand_init(&scene->chance, 17);
    scene->keys = 4;
    scene->depth = 3;
    *state = scene;
    return 0;
}

static int end_scene(void **state)
{
    struct scene *scene = *state;
    for (size_t i = 0; i < DOCUMENTS; i++)
        free(scene->records[i]);
    corpus_free(scene->corpus);
    analyzer_free((struct analyzer *)(uintptr_t)scene->tools.analyzer);
    mem_free(scene);
    return 0;
}

// ---- random things -----------------------------------------------------------------------------

static const char *const texts[] = {"",     "red",    "Red",  "RED",  "blue", "5",   "5.0", "true",
                                    "True", "Straße", "ÉTÉ",  "été",  "手机", "-0",  "1e2", "false",
                                    "null", "a b",    "x\ny", "\"q'", "AND",  "0.1", "100", "ſ"};
static const double numbers[] = {
    0, -0.0, 1, 5, 100, 0.1, -3, 1e300, 9007199254740993.0, 0.30000000000000004};
static const char *const keys[] = {"x", "y", "x.y", "price"};

static const char *key_of(struct scene *scene, char room[16])
{
    uint32_t key = below(scene, scene->keys);
    if (key < sizeof keys / sizeof *keys) return keys[key];
    snprintf(room, 16, "k%u", key);
    return room;
}

static json_t *random_value(struct scene *scene, int depth)
{
    char room[16];
    json_t *value;
    uint32_t kind = below(scene, depth > 0 ? 10 : 6);
    switch (kind) {
    case 0: return json_null();
    case 1: return json_boolean(below(scene, 2));
    case 2: return json_integer(below(scene, 8));
    case 3: return json_real(numbers[below(scene, sizeof numbers / sizeof *numbers)]);
    case 4:
    case 5: return json_string(texts[below(scene, sizeof texts / sizeof *texts)]);
    case 6:
    case 7:
        value = json_array();
        for (uint32_t i = below(scene, 4); i > 0; i--)
            json_array_append_new(value, random_value(scene, depth - 1));
        return value;
    default:
        value = json_object();
        for (uint32_t i = below(scene, 4); i > 0; i--)
            json_object_set_new(value, key_of(scene, room), random_value(scene, depth - 1));
        return value;
    }
}

static json_t *random_document(struct scene *scene)
{
    static const char *const members[] = {"a", "b", "list", "o", "n", "deep", "a.x", "other"};
    json_t *document = json_object();
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (below(scene, 3) > 0)
            json_object_set_new(document, members[i], random_value(scene, scene->depth));
    for (uint32_t level = below(scene, 14); level > 0 && level < 4 && scene->depth > 1; level--) {
        json_t *inner = json_pack("{s:O}", "x", json_object_get(document, "deep"));
        if (inner) json_object_set_new(document, "deep", inner);
    }
    return document;
}

static void write_word(struct scene *scene, struct buf *out)
{
    const char *text = texts[below(scene, sizeof texts / sizeof *texts)];
    buf_add_byte(out, '\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\') buf_add_byte(out, '\\');
        buf_add_byte(out, (unsigned char)*text);
    }
    buf_add_byte(out, '\'');
}

static void write_field(struct scene *scene, struct buf *out)
{
    static const char *const roots[] = {"a", "b", "list", "o", "n", "deep", "a.x"};
    char room[16];
    buf_add_text(out, roots[below(scene, sizeof roots / sizeof *roots)]);
    for (uint32_t i = below(scene, 4); i > 0 && i < 3; i--)
        buf_addf(out, ".%s", key_of(scene, room));
}

static void write_term(struct scene *scene, struct buf *out)
{
    static const char *const signs[] = {"<", "<=", ">", ">="};
    double number = numbers[below(scene, sizeof numbers / sizeof *numbers)];
    write_field(scene, out);
    switch (below(scene, 8)) {
    case 0: buf_addf(out, " %s '%.17g'", signs[below(scene, 4)], number); return;
    case 1: buf_addf(out, " %d TO %u", (int)below(scene, 9) - 4, below(scene, 200)); return;
    case 2: buf_addf(out, " IS %sNULL", below(scene, 2) ? "" : "NOT "); return;
    case 3: buf_addf(out, " IS %sEMPTY", below(scene, 2) ? "" : "NOT "); return;
    case 4: buf_addf(out, " %sEXISTS", below(scene, 2) ? "" : "NOT "); return;
    case 5: buf_addf(out, " = '%.17g'", number); return;
    case 6:
        buf_add_text(out, below(scene, 2) ? " = " : " != ");
        write_word(scene, out);
        return;
    default:
        buf_add_text(out, below(scene, 2) ? " IN [" : " NOT IN [");
        for (uint32_t i = below(scene, 4); i > 0; i--) {
            write_word(scene, out);
            if (i > 1) buf_add_byte(out, ',');
        }
        buf_add_byte(out, ']');
    }
}

static void write_filter(struct scene *scene, struct buf *out, int depth)
{
    if (below(scene, 3) == 0) buf_add_text(out, "NOT ");
    if (depth == 0 || below(scene, 3) == 0) {
        write_term(scene, out);
        return;
    }
    buf_add_byte(out, '(');
    write_filter(scene, out, depth - 1);
    buf_add_text(out, below(scene, 2) ? " AND " : " OR ");
    write_filter(scene, out, depth - 1);
    buf_add_byte(out, ')');
}

// ---- writes ------------------------------------------------------------------------------------

static void put(struct scene *scene, uint32_t at, json_t *document)
{
    char id[16];
    snprintf(id, sizeof id, "d%u", at);
    free(scene->records[at]);
    scene->records[at] = json_dumps(document, JSON_COMPACT);
    json_decref(document);
    assert_int_equal(
        corpus_put(scene->corpus, id, strlen(id), scene->records[at], strlen(scene->records[at])),
        ERR_OK);
}

static void drop(struct scene *scene, uint32_t at)
{
    char id[16];
    snprintf(id, sizeof id, "d%u", at);
    assert_int_equal(corpus_drop(scene->corpus, id, strlen(id)), ERR_OK);
    free(scene->records[at]);
    scene->records[at] = NULL;
}

static void write_some(struct scene *scene)
{
    for (uint32_t i = 0; i < 40; i++) {
        uint32_t at = below(scene, DOCUMENTS);
        if (below(scene, 4) == 0)
            drop(scene, at);
        else
            put(scene, at, random_document(scene));
    }
}

// ---- both ways ---------------------------------------------------------------------------------

static json_t *facts_of(const struct scene *scene, const char *record)
{
    json_t *document = corpus_parse(record, strlen(record));
    json_t *facts = corpus_read_facts(corpus_settings(scene->corpus), document);
    json_decref(document);
    return facts;
}

static struct corpus_ranking *rank(struct scene *scene, struct corpus_search search)
{
    struct corpus_ranking *ranking;
    char param[SEARCH_PARAM_MAX];
    search.depth = DOCUMENTS;
    assert_int_equal(corpus_check(scene->corpus, &search, param), ERR_OK);
    if (corpus_rank(scene->corpus, &search, &ranking)) fail_msg("%s", err_text());
    return ranking;
}

static uint32_t number_at(const struct corpus_ranking *ranking, size_t i)
{
    return ranking->items[i].number;
}

static bool has(const struct corpus_ranking *ranking, uint32_t number)
{
    for (size_t i = 0; i < ranking->count; i++)
        if (number_at(ranking, i) == number) return true;
    return false;
}

static const struct document *document_of(const struct scene *scene, uint32_t at)
{
    char id[16];
    snprintf(id, sizeof id, "d%u", at);
    return documents_find(scene->corpus->documents, id, strlen(id));
}

static void check_filter(struct scene *scene, const char *text)
{
    struct filter *filter;
    size_t want = 0;
    if (filter_parse_text(&filter, text, strlen(text))) fail_msg("%s: %s", text, err_text());
    struct corpus_ranking *ranking = rank(scene, (struct corpus_search){.filter = filter});
    for (uint32_t i = 0; i < DOCUMENTS; i++) {
        if (!scene->records[i]) continue;
        json_t *facts = facts_of(scene, scene->records[i]);
        bool holds = filter_holds(filter, facts);
        want += holds;
        if (has(ranking, document_of(scene, i)->number) != holds)
            fail_msg("%s: %s: %s", text, scene->records[i], holds ? "it holds" : "it does not");
        json_decref(facts);
    }
    assert_int_equal(ranking->total, want);
    assert_int_equal(ranking->count, want);
    corpus_ranking_free(ranking);
    filter_free(filter);
}

static void check_filters(struct scene *scene, size_t rounds)
{
    for (size_t round = 0; round < rounds; round++) {
        write_some(scene);
        for (size_t i = 0; i < FILTERS; i++) {
            struct buf text = {0};
            write_filter(scene, &text, 3);
            check_filter(scene, buf_text(&text));
            buf_fini(&text);
        }
    }
}

static void filters_say_what_the_walk_says(void **state)
{
    struct scene *scene = *state;
    scene->depth = 1;
    check_filters(scene, ROUNDS);
    assert_false(columns_is_full(scene->corpus->half->columns));
    scene->depth = 2;
    check_filters(scene, ROUNDS);
}

static void more_ways_than_columns_are_filtered_all_the_same(void **state)
{
    struct scene *scene = *state;
    scene->keys = 200;
    check_filters(scene, 8);
    assert_true(columns_is_full(scene->corpus->half->columns));
}

/* Each value of a facet once, told apart by its kind. */
static bool gather(void *seen, const json_t *value, bool is_whole)
{
    char name[96] = "";
    if (is_whole) return true;
    if (json_is_string(value)) snprintf(name, sizeof name, "t%s", json_string_value(value));
    if (json_is_boolean(value))
        snprintf(name, sizeof name, "b%s", json_is_true(value) ? "true" : "false");
    if (json_is_number(value)) {
        double number = json_number_value(value) + 0.0;
        snprintf(name, sizeof name, "n%.12g", number);
        if (strtod(name + 1, NULL) != number) snprintf(name, sizeof name, "n%.17g", number);
    }
    if (*name) json_object_set_new(seen, name, json_true());
    return true;
}

static void check_facet(struct scene *scene, const char *facet)
{
    struct corpus_search search = {.facets = {facet}, .facet_count = 1};
    struct corpus_ranking *ranking = rank(scene, search);
    json_t *want = json_object(), *one;
    const char *name;
    for (uint32_t i = 0; i < DOCUMENTS; i++) {
        if (!scene->records[i]) continue;
        json_t *facts = facts_of(scene, scene->records[i]), *seen = json_object();
        filter_walk(facet, facts, gather, seen);
        json_object_foreach(seen, name, one)
        {
            json_int_t before = json_integer_value(json_object_get(want, name + 1));
            json_object_set_new(want, name + 1, json_integer(before + 1));
        }
        json_decref(seen);
        json_decref(facts);
    }
    if (!json_equal(want, ranking->facets[0].found.counts)) {
        char *got = json_dumps(ranking->facets[0].found.counts, JSON_SORT_KEYS);
        fail_msg("%s: %s, not %s", facet, got, json_dumps(want, JSON_SORT_KEYS));
    }
    json_decref(want);
    corpus_ranking_free(ranking);
}

static void facets_count_each_document_once(void **state)
{
    struct scene *scene = *state;
    for (size_t round = 0; round < ROUNDS; round++) {
        write_some(scene);
        check_facet(scene, "a");
        check_facet(scene, "list");
        check_facet(scene, "a.x");
    }
}

static int kind_of(const json_t *value)
{
    return json_is_number(value) ? 0 : json_is_string(value) ? 1 : 2;
}

static int compare_values(const json_t *a, const json_t *b, bool descending)
{
    if (kind_of(a) != kind_of(b)) return kind_of(a) < kind_of(b) ? -1 : 1;
    double left = json_number_value(a), right = json_number_value(b);
    int order = (left > right) - (left < right);
    if (kind_of(a) == 1) order = strcmp(json_string_value(a), json_string_value(b));
    return descending ? -order : order;
}

static json_t *facts_at(const struct scene *scene, uint32_t number)
{
    return facts_of(scene, documents_at(scene->corpus->documents, number)->record);
}

static void check_order(struct scene *scene, bool descending)
{
    struct corpus_search search = {.sorts = {{"a", descending}, {"n", !descending}},
                                   .sort_count = 2};
    struct corpus_ranking *ranking = rank(scene, search);
    for (size_t i = 1; i < ranking->count; i++) {
        json_t *before = facts_at(scene, number_at(ranking, i - 1));
        json_t *after = facts_at(scene, number_at(ranking, i));
        int order =
            compare_values(json_object_get(before, "a"), json_object_get(after, "a"), descending);
        if (order == 0)
            order = compare_values(json_object_get(before, "n"), json_object_get(after, "n"),
                                   !descending);
        assert_true(order < 0 || (order == 0 && number_at(ranking, i - 1) < number_at(ranking, i)));
        json_decref(before);
        json_decref(after);
    }
    corpus_ranking_free(ranking);
}

static void orders_are_those_of_the_values(void **state)
{
    struct scene *scene = *state;
    for (size_t round = 0; round < 20; round++) {
        write_some(scene);
        check_order(scene, false);
        check_order(scene, true);
    }
}

static void a_facet_of_many_values_shows_the_most_frequent(void **state)
{
    struct scene *scene = *state;
    char name[400];
    for (uint32_t i = 0; i < DOCUMENTS; i++) {
        snprintf(name, sizeof name, "v%03u", i < 300 ? i : i % 3);
        put(scene, i, json_pack("{s:s}", "a", name));
    }
    memset(name, 'l', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (uint32_t i = 100; i < 200; i++)
        put(scene, i, json_pack("{s:s}", "a", name)); // too long to be shown
    struct corpus_ranking *ranking =
        rank(scene, (struct corpus_search){.facets = {"a"}, .facet_count = 1});
    const json_t *counts = ranking->facets[0].found.counts;
    assert_int_equal(json_object_size(counts), CORPUS_FACET_VALUES);
    assert_int_equal(json_integer_value(json_object_get(counts, "v000")), 35);
    assert_int_equal(json_integer_value(json_object_get(counts, "v002")), 34);
    assert_int_equal(json_integer_value(json_object_get(counts, "v099")), 1);
    assert_null(json_object_get(counts, "v200"));
    corpus_ranking_free(ranking);
}

int main(void)
{
#define SCENE(test) cmocka_unit_test_setup_teardown(test, given_scene, end_scene)
    const struct CMUnitTest tests[] = {
        SCENE(filters_say_what_the_walk_says),
        SCENE(more_ways_than_columns_are_filtered_all_the_same),
        SCENE(facets_count_each_document_once),
        SCENE(orders_are_those_of_the_values),
        SCENE(a_facet_of_many_values_shows_the_most_frequent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
