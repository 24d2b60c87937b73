#include "scheduler/door/ground_search.h"

#include "scheduler/features/search/corpus.h"
#include "scheduler/features/search/extract.h"
#include "scheduler/features/search/indexes.h"
#include "scheduler/features/search/query.h"

#include "base/buf.h"
#include "base/mem.h"

#include <jansson.h>

#include <string.h>

#define CLOSE_SHARE 0.3

struct ground_search {
    struct ground_question asked; // texts are ours
    char *question;
    struct corpus_search search;
    struct indexes_ticket *ticket;
    char *texts[GROUND_HITS_MAX][3]; // of each hit: id, title, text
    size_t count;
};

static void free_search(void *argument)
{
    struct ground_search *search = argument;
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

/* What has less than a part of the best one's score shares with the question only what every text has. */
static size_t count_close(const struct corpus_ranking *ranking)
{
    size_t count, close = 0;
    const struct ranked *items = corpus_ranked(ranking, &count);
    while (close < count && close < GROUND_HITS_MAX &&
           items[close].score >= items[0].score * CLOSE_SHARE)
        close++;
    return close;
}

static enum err work(void *argument, struct corpus *corpus, uint64_t version)
{
    struct ground_search *search = argument;
    struct corpus_ranking *ranking;
    struct buf answer = {0};
    (void)version;
    TRY(corpus_rank(corpus, &search->search, &ranking));
    search->search.limit = count_close(ranking);
    buf_add_byte(&answer, '{');
    corpus_answer(corpus, &search->search, ranking, &answer);
    buf_add_byte(&answer, '}');
    corpus_ranking_free(ranking);
    json_t *root = json_loadb(answer.data, answer.size, 0, NULL);
    const json_t *hits = json_object_get(root, "hits");
    for (size_t i = 0; i < json_array_size(hits) && i < GROUND_HITS_MAX; i++)
        add_hit(search, corpus_settings(corpus), json_array_get(hits, i));
    json_decref(root);
    buf_fini(&answer);
    return ERR_OK;
}

// ---- on the loop -------------------------------------------------------------------------------

static void on_done(void *argument, enum err err, uint64_t version)
{
    struct ground_search *search = argument;
    struct ground_hit hits[GROUND_HITS_MAX];
    (void)version;
    for (size_t i = 0; i < search->count; i++)
        hits[i] =
            (struct ground_hit){search->texts[i][0], search->texts[i][1], search->texts[i][2]};
    search->asked.done(search->asked.argument, err, hits, search->count);
    free_search(search);
}

enum err ground_search_start(struct ground_search **out, const struct ground_question *question)
{
    struct ground_search *search = mem_new(1, sizeof *search);
    size_t size = ground_cut(question->question, question->size, QUERY_BYTES_MAX);
    search->asked = *question;
    search->question = mem_text(question->question, size);
    search->search = (struct corpus_search){.q = search->question,
                                            .q_size = size,
                                            .limit = GROUND_HITS_MAX,
                                            .depth = GROUND_HITS_MAX,
                                            .before = "",
                                            .after = "",
                                            .deadline_ns = question->deadline_ns};
    struct indexes_question ask = {.collection = question->collection,
                                   .deadline_ns = question->deadline_ns,
                                   .work = work,
                                   .done = on_done,
                                   .argument = search};
    search->ticket = indexes_ask(question->indexes, &ask);
    if (!search->ticket) {
        free_search(search);
        return ERR_BUSY;
    }
    *out = search;
    return ERR_OK;
}

void ground_search_drop(struct ground_search *search)
{
    indexes_drop(search->ticket, free_search);
}
