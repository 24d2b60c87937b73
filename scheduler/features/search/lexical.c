#include "scheduler/features/search/lexical.h"

#include "scheduler/features/search/derive.h"
#include "scheduler/features/search/postings.h"
#include "scheduler/features/search/score.h"
#include "scheduler/features/search/sweep.h"

#include "text/analyze.h"

#include "base/mem.h"
#include "base/must.h"

#include <string.h>

struct lexical {
    struct lexical_options options;
    struct postings *postings;
    struct score score;
    uint32_t *lengths; // [length_count], by number
    size_t length_count;
    struct bitmap matched;
    struct sweep sweep;
    struct derived derived[LEXICAL_TERMS_MAX]; // of the search at hand
};

struct lexical *lexical_new(const struct lexical_options *options)
{
    must(options->field_count >= 1 && options->field_count <= LEXICAL_FIELDS_MAX);
    struct lexical *lexical = mem_new(1, sizeof *lexical);
    lexical->options = *options;
    double *weights = mem_new(options->field_count, sizeof *weights);
    memcpy(weights, options->weights, options->field_count * sizeof *weights);
    lexical->options.weights = weights;
    lexical->postings = postings_new();
    score_init(&lexical->score, options->k1, options->b);
    return lexical;
}

void lexical_free(struct lexical *lexical)
{
    if (!lexical) return;
    postings_free(lexical->postings);
    for (size_t i = 0; i < LEXICAL_TERMS_MAX; i++)
        derived_fini(&lexical->derived[i]);
    bitmap_fini(&lexical->matched);
    mem_free(lexical->lengths);
    double *weights = (double *)(uintptr_t)lexical->options.weights;
    mem_free(weights);
    mem_free(lexical);
}

bool lexical_shed(struct lexical *lexical, size_t count)
{
    return postings_shed(lexical->postings, count);
}

// ---- writing -----------------------------------------------------------------------------------

/* A field on its way in or out. */
struct reading {
    struct lexical *lexical;
    float weight;
    uint32_t length;
    int sign;
};

static bool on_term(void *owner, const struct analyze_term *term)
{
    struct reading *reading = owner;
    struct lexical *lexical = reading->lexical;
    if (!term->beside) reading->length++;
    if (reading->sign > 0)
        postings_add(lexical->postings, term->text, term->size, reading->weight, term->beside);
    if (lexical->options.word) lexical->options.word(lexical->options.owner, term, reading->sign);
    return true;
}

/* All terms of the texts; how many positions they take. */
static uint32_t read_texts(struct lexical *lexical, const struct lexical_text *texts, int sign)
{
    const struct lexical_options *options = &lexical->options;
    struct reading reading = {.lexical = lexical, .sign = sign};
    for (size_t i = 0; i < options->field_count; i++) {
        reading.weight = (float)options->weights[i];
        if (sign > 0 && i > 0) postings_field(lexical->postings);
        if (texts[i].text)
            analyze(options->analyst, options->analyze, texts[i].text, texts[i].size, on_term,
                    &reading);
    }
    return reading.length;
}

static void make_room(struct lexical *lexical, uint32_t number)
{
    if (number < lexical->length_count) return;
    size_t count = lexical->length_count ? lexical->length_count : 1024;
    while (count <= number)
        count *= 2;
    lexical->lengths = mem_resize(lexical->lengths, count, sizeof *lexical->lengths);
    memset(lexical->lengths + lexical->length_count, 0,
           (count - lexical->length_count) * sizeof *lexical->lengths);
    lexical->length_count = count;
    bitmap_reserve(&lexical->matched, count);
}

void lexical_put(struct lexical *lexical, uint32_t number, const struct lexical_text *texts)
{
    make_room(lexical, number);
    postings_begin(lexical->postings);
    uint32_t length = read_texts(lexical, texts, 1);
    lexical->lengths[number] = length;
    postings_end(lexical->postings, number, length);
    score_count(&lexical->score, 1, length);
}

void lexical_drop(struct lexical *lexical, uint32_t number, const struct lexical_text *texts)
{
    if (lexical->options.word) read_texts(lexical, texts, -1);
    postings_drop(lexical->postings, number);
    score_count(&lexical->score, -1, lexical->lengths[number]);
    lexical->lengths[number] = 0;
}

// ---- searching ---------------------------------------------------------------------------------

bool lexical_has(struct lexical *lexical, const struct lexical_term *term)
{
    return postings_find(lexical->postings, term->text, term->size) != POSTINGS_NONE;
}

/* The documents of the query's term `i` into the sweep; how many. */
static uint64_t add_list(struct lexical *lexical, const struct lexical_term *term, size_t i)
{
    struct sweep_list *list = &lexical->sweep.lists[i];
    struct derived *derived = &lexical->derived[i];
    *list = (struct sweep_list){0};
    bool is_phrase = memchr(term->text, LEXICAL_PHRASE_PART, term->size) != NULL;
    if (!is_phrase && !term->is_prefix) {
        uint32_t id = postings_find(lexical->postings, term->text, term->size);
        list->runs = postings_runs(lexical->postings, id, &list->count);
        return postings_count(lexical->postings, id);
    }
    struct derive derive = {.postings = lexical->postings,
                            .lengths = lexical->lengths,
                            .weights = lexical->options.weights,
                            .end = lexical->length_count};
    if (is_phrase)
        derive_phrase(&derive, term, derived);
    else
        derive_beginning(&derive, term, derived);
    list->runs = &derived->run;
    list->count = derived->run.count > 0;
    return derived->run.count;
}

static void add_group(struct sweep *sweep, const struct lexical_query *query, size_t i)
{
    if (i > 0 && query->terms[i].group == query->terms[i - 1].group)
        sweep->groups[sweep->group_count - 1].end = i + 1;
    else
        sweep->groups[sweep->group_count++] =
            (struct sweep_group){i, i + 1, query->terms[i].is_extra};
}

enum err lexical_search(struct lexical *lexical, const struct lexical_query *query)
{
    struct score *score = &lexical->score;
    struct sweep *sweep = &lexical->sweep;
    must(query->count <= LEXICAL_TERMS_MAX);
    bitmap_zero(&lexical->matched);
    score_query(score, query->terms, query->count);
    if (score->count == 0) return ERR_OK;
    sweep->group_count = 0;
    for (size_t i = 0; i < query->count; i++) {
        uint64_t count = add_list(lexical, &query->terms[i], i);
        if (i >= score->count) continue;
        score_weigh(score, i, count);
        sweep->lists[i].weight = score->phrases[i].weight;
        add_group(sweep, query, i);
    }
    sweep->wanted = score->count;
    sweep->count = query->count;
    sweep->all = query->all;
    sweep->lengths = lexical->lengths;
    score_norm(score, &sweep->base, &sweep->slope);
    sweep->allowed = query->allowed;
    sweep->matched = &lexical->matched;
    sweep->deadline_ns = query->deadline_ns;
    sweep->hit = query->hit;
    sweep->owner = query->owner;
    return sweep_run(sweep);
}

const struct bitmap *lexical_matched(const struct lexical *lexical)
{
    return &lexical->matched;
}

double lexical_best(const struct lexical *lexical)
{
    return score_best(&lexical->score);
}

size_t lexical_count(const struct lexical *lexical)
{
    return (size_t)lexical->score.documents;
}
