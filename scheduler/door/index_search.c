#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/index_errand.h"
#include "scheduler/door/json.h"
#include "scheduler/door/screen.h"
#include "scheduler/door/search_run.h"
#include "scheduler/features/search/query.h"

#include "base/clock.h"

#include <inttypes.h>
#include <string.h>

/* What a client that counts in pages looks for. */
static void write_pages(struct index_errand *errand, size_t total)
{
    size_t size = errand->ask.search.limit;
    buf_addf(&errand->answer,
             ",\"page\":%" PRIu64 ",\"hitsPerPage\":%zu,\"totalHits\":%zu,\"totalPages\":%zu",
             errand->ask.page, size, total, (total + size - 1) / size);
}

void index_search_write(struct index_errand *errand, struct corpus *corpus,
                        const struct corpus_ranking *ranking, uint64_t version)
{
    const struct corpus_search *search = &errand->ask.search;
    if (errand->patron.take) {
        errand->patron.take(errand->patron.owner, corpus, ranking);
        return;
    }
    buf_add_byte(&errand->answer, '{');
    corpus_answer(corpus, search, ranking, &errand->answer);
    buf_addf(&errand->answer,
             ",\"offset\":%zu,\"limit\":%zu,\"processingTimeMs\":%" PRIu64
             ",\"index_version\":%" PRIu64 ",\"query\":",
             search->offset, search->limit, (clock_now_ns() - errand->start_ns) / CLOCK_MS,
             version);
    json_write_text(&errand->answer, search->q ? search->q : "", search->q_size);
    if (errand->ask.page > 0) write_pages(errand, corpus_total(ranking));
}

/* In a worker: a search for words alone. */
static enum err search(void *argument, struct corpus *corpus, uint64_t version)
{
    struct index_errand *errand = argument;
    struct corpus_search *search = &errand->ask.search;
    struct corpus_ranking *ranking;
    TRY(corpus_check(corpus, search, errand->param));
    TRY(corpus_rank(corpus, search, &ranking));
    index_search_write(errand, corpus, ranking, version);
    corpus_ranking_free(ranking);
    buf_add_byte(&errand->answer, '}');
    return ERR_OK;
}

static void on_done(void *argument, enum err err, uint64_t version)
{
    (void)version;
    json_param_clear();
    if (err)
        index_errand_fail(argument, err);
    else
        index_errand_reply(argument);
}

static enum err admit(struct index_errand *errand)
{
    return govern_admit(errand->door, &errand->context, FEATURE_SEARCH, &errand->governed,
                        &errand->code);
}

static enum err suggest(void *argument, struct corpus *corpus, uint64_t version)
{
    struct index_errand *errand = argument;
    const struct corpus_search *search = &errand->ask.search;
    buf_add_text(&errand->answer, "{\"suggestions\":");
    corpus_suggest(corpus, search->q, search->q_size, search->limit, &errand->answer);
    buf_addf(&errand->answer, ",\"index_version\":%" PRIu64 "}", version);
    return ERR_OK;
}

static enum err screen_words(struct index_errand *errand)
{
    struct corpus_search *search = &errand->ask.search;
    return screen_query(errand->screen, "q", &search->q, &search->q_size, &errand->code);
}

void index_search_run(struct index_errand *errand)
{
    errand->ask.search.deadline_ns = errand->start_ns + errand->ask.deadline_ms * CLOCK_MS;
    if (hybrid_is_asked(&errand->ask.wishes))
        search_run_start(errand);
    else
        index_errand_ask(errand, errand->ask.min_version, errand->ask.deadline_ms, search, on_done);
}

/* Nobody is suspended: on to the index. */
static void begin_search(struct index_errand *errand)
{
    enum err err = screen_words(errand);
    if (err)
        index_errand_fail(errand, err);
    else
        index_search_run(errand);
}

static void begin_suggest(struct index_errand *errand)
{
    enum err err = screen_words(errand);
    if (err)
        index_errand_fail(errand, err);
    else
        index_errand_ask(errand, 0, INDEX_WAIT_MS, suggest, on_done);
}

static void on_screened(void *owner, enum err err, const char *code, uint32_t retry_seconds)
{
    struct index_errand *errand = owner;
    errand->code = code;
    errand->retry_seconds = retry_seconds;
    if (err || !errand->request)
        index_errand_fail(errand, err ? err : ERR_CANCELED);
    else if (errand->suggests)
        begin_suggest(errand);
    else
        begin_search(errand);
}

/* What is asked was read (`err`). */
static void screen(struct index_errand *errand, enum err err)
{
    if (!err)
        err = screen_new(&errand->screen, errand->door, &errand->context, FEATURE_SEARCH,
                         &errand->code);
    if (err)
        index_errand_fail(errand, err);
    else if (!screen_ask(errand->screen, on_screened, errand))
        on_screened(errand, ERR_OK, NULL, 0);
}

void index_search(struct index_errand *errand)
{
    size_t size;
    const char *body = http_body(errand->request, &size);
    enum err err = admit(errand);
    if (!err) err = search_ask_read(&errand->ask, body, size);
    screen(errand, err);
}

static enum err read_suggest(struct index_errand *errand)
{
    size_t size;
    int64_t limit = INDEX_SUGGEST_PRESET;
    const char *body = http_body(errand->request, &size);
    struct corpus_search *search = &errand->ask.search;
    TRY(json_read(&errand->ask.root, body, size));
    TRY(json_take_text(errand->ask.root, "q", 0, QUERY_BYTES_MAX, &search->q));
    if (!search->q) return json_wrong("q", "must be given: what was typed so far");
    TRY(json_take_integer(errand->ask.root, "limit", 1, CORPUS_SUGGEST_MAX, &limit));
    search->q_size = strlen(search->q);
    search->limit = (size_t)limit;
    return ERR_OK;
}

void index_suggest(struct index_errand *errand)
{
    enum err err = admit(errand);
    if (!err) err = read_suggest(errand);
    errand->suggests = true;
    screen(errand, err);
}
