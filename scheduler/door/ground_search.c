#include "scheduler/door/ground_search.h"

#include "scheduler/core/fleet.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/index_errand.h"
#include "scheduler/features/search/corpus.h"
#include "scheduler/features/search/extract.h"
#include "scheduler/features/search/query.h"
#include "scheduler/features/search/vectors.h"

#include "base/buf.h"
#include "base/mem.h"

#include <jansson.h>

#include <string.h>

/* What is close to a question: shares of the best one's score, by words and by vectors, and how like a vector must be at least. With the
 * bundled encoder over the demo shop unlike questions ("who are you") are at most .37 like something, near ones .43 to .88. */
#define CLOSE_SHARE  0.3
#define CLOSE_VECTOR 0.85
#define LIKE_LEAST   0.4

struct ground_search {
    struct ground_question asked; // texts are ours
    char *question;
    struct index_errand *errand;
    char *texts[GROUND_HITS_MAX][3]; // of each hit: id, title, text
    size_t count;
    bool starts;  // its end would come from inside of the start
    enum err err; // of such an end
};

static void free_search(struct ground_search *search)
{
    for (size_t i = 0; i < search->count; i++)
        for (size_t j = 0; j < 3; j++)
            mem_free(search->texts[i][j]);
    mem_free(search->question);
    mem_free(search);
}

// ---- in a worker -------------------------------------------------------------------------------

static char *id_of(const json_t *id)
{
    struct buf text = {0};
    if (json_is_string(id))
        buf_add_text(&text, json_string_value(id));
    else
        buf_addf(&text, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
    return buf_take(&text);
}

static char *take_cut(struct buf *text, size_t most)
{
    char *cut = mem_text(buf_text(text), ground_cut(buf_text(text), text->size, most));
    buf_fini(text);
    return cut;
}

static void add_hit(struct ground_search *search, const struct search_settings *settings,
                    const json_t *hit)
{
    struct buf title = {0}, text = {0};
    extract_text(settings, hit, search->asked.language, &title, &text);
    char **texts = search->texts[search->count++];
    texts[0] = id_of(json_object_get(hit, settings->primary_key));
    texts[1] = take_cut(&title, GROUND_TITLE_MAX);
    texts[2] = take_cut(&text, GROUND_TEXT_MAX);
}

/* The first of a list; NULL: it is empty. */
static const struct ranked *first_of(const struct ranked *items, size_t count,
                                     enum ranking_part part)
{
    for (size_t i = 0; i < count; i++)
        if (items[i].parts[part].rank == 1) return &items[i];
    return NULL;
}

static bool is_close(const struct ranked *item, enum ranking_part part, const struct ranked *first,
                     double share)
{
    return item->parts[part].rank > 0 &&
           item->parts[part].score >= share * first->parts[part].score;
}

/* What has less than a part of the best one's score shares with the question only what every text has; as for vectors, they are all alike a
 * little, and what is meant is nearly as like as the best. The best by words is there in any case: documents that were just
 * written have no vectors yet, and what both lists have goes before it. */
static size_t choose_close(const struct corpus_ranking *ranking, struct ranked out[GROUND_HITS_MAX])
{
    size_t count, close = 0;
    const struct ranked *items = corpus_ranked(ranking, &count);
    const struct ranked *words = first_of(items, count, RANKING_LEXICAL);
    const struct ranked *vectors = first_of(items, count, RANKING_VECTOR);
    bool has_best = !words;
    for (size_t i = 0; i < count && close < GROUND_HITS_MAX; i++) {
        bool by_vector = is_close(&items[i], RANKING_VECTOR, vectors, CLOSE_VECTOR) &&
                         items[i].parts[RANKING_VECTOR].score >= LIKE_LEAST;
        if (!by_vector && !is_close(&items[i], RANKING_LEXICAL, words, CLOSE_SHARE)) continue;
        if (&items[i] != words && !has_best && close == GROUND_HITS_MAX - 1) continue;
        has_best |= &items[i] == words;
        out[close++] = items[i];
    }
    return close;
}

static void take(void *owner, struct corpus *corpus, const struct corpus_ranking *ranking)
{
    struct ground_search *search = owner;
    struct ranked close[GROUND_HITS_MAX];
    size_t count = choose_close(ranking, close);
    corpus_fetch(corpus, close, count);
    for (size_t i = 0; i < count; i++) {
        json_t *hit = corpus_document(corpus, &close[i]);
        if (hit) add_hit(search, corpus_settings(corpus), hit);
        json_decref(hit);
    }
}

// ---- on the loop -------------------------------------------------------------------------------

static void on_done(void *owner, enum err err)
{
    struct ground_search *search = owner;
    struct ground_hit hits[GROUND_HITS_MAX];
    if (search->starts) {
        search->err = err;
        return;
    }
    for (size_t i = 0; i < search->count; i++)
        hits[i] =
            (struct ground_hit){search->texts[i][0], search->texts[i][1], search->texts[i][2]};
    search->asked.done(search->asked.argument, err, hits, search->count);
}

static void on_freed(void *owner)
{
    struct ground_search *search = owner;
    search->errand = NULL;
    if (!search->starts) free_search(search);
}

/* Where a region is governed each model would have to be approved for this, too. */
static bool has_vectors(const struct ground_question *question)
{
    const struct fleet_model *model;
    return !question->words_alone && !question->context->rules &&
           !vectors_model(question->door->vectors, question->collection, &model);
}

enum err ground_search_start(struct ground_search **out, const struct ground_question *question)
{
    struct ground_search *search = mem_new(1, sizeof *search);
    const struct index_patron patron = {take, on_done, on_freed, search};
    size_t size = ground_cut(question->question, question->size, QUERY_BYTES_MAX);
    search->asked = *question;
    search->question = mem_text(question->question, size);
    search->errand =
        index_errand_new_for(question->door, question->context, question->collection, &patron);
    struct search_ask *ask = &search->errand->ask;
    ask->deadline_ms = question->wait_ms;
    ask->search = (struct corpus_search){.q = search->question,
                                         .q_size = size,
                                         .limit = GROUND_HITS_MAX,
                                         .depth = GROUND_HITS_MAX,
                                         .before = "",
                                         .after = ""};
    if (has_vectors(question)) {
        ask->wishes = (struct hybrid_wishes){.hybrid = true, .ratio = HYBRID_RATIO_PRESET};
        ask->search.depth = HYBRID_LIST_LEAST;
    }
    search->starts = true;
    index_search_run(search->errand);
    search->starts = false;
    *out = search;
    if (search->errand) return ERR_OK;
    enum err err = search->err;
    free_search(search);
    return err;
}

void ground_search_drop(struct ground_search *search)
{
    index_errand_leave(search->errand);
}
