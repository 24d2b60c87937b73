#include "scheduler/features/search/lexical.h"

#include "scheduler/features/search/counts.h"
#include "scheduler/features/search/plan.h"
#include "scheduler/features/search/score.h"

#include "text/analyze.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <pthread.h>
#include <sqlite3.h>
#include <string.h>

enum {
    SETTLE_PAGES = 256,     // of a merge at one time
    PROGRESS_STEPS = 20000, // of SQLite's machine between two looks at the clock
};

struct lexical {
    struct lexical_options options;
    sqlite3 *base;
    fts5_api *api;
    sqlite3_stmt *put, *drop, *find, *has, *count, *merge;
    struct buf match; // the query, in FTS5's language
    struct score score;
    struct counts *counts;
    struct plan plan;    // of the search at hand
    size_t first_phrase; // of its match: where the query's terms begin
    size_t found;        // by it, so far
    uint32_t *lengths;   // [length_count], by number
    size_t length_count;
    int sign;        // of the document that is being read
    uint32_t length; // of it
    bool open;       // a transaction
    uint64_t deadline_ns;
    int tables_before; // sqlite3_total_changes() at the last merge that found nothing to do
};

static enum err sqlite_note(const struct lexical *lexical, const char *what)
{
    return err_note(ERR_INTERNAL, "the index: %s: %s", what, sqlite3_errmsg(lexical->base));
}

// ---- the tokenizer -----------------------------------------------------------------------------

typedef int token_fn(void *context, int flags, const char *token, int size, int begin, int end);

struct reading {
    struct lexical *lexical;
    void *context;
    token_fn *token;
    int result;
};

static bool on_term(void *owner, const struct analyze_term *term)
{
    struct reading *reading = owner;
    struct lexical *lexical = reading->lexical;
    if (!term->beside) lexical->length++;
    counts_word(lexical->counts, term->text, term->size, lexical->sign);
    if (lexical->options.word) lexical->options.word(lexical->options.owner, term, lexical->sign);
    reading->result = reading->token(reading->context, term->beside ? FTS5_TOKEN_COLOCATED : 0,
                                     term->text, (int)term->size, (int)term->begin, (int)term->end);
    return reading->result == SQLITE_OK;
}

/* A query's terms are terms already: only the parts of a phrase are told apart. */
static int read_query(struct reading *reading, const char *text, int size)
{
    for (int at = 0; at < size && reading->result == SQLITE_OK;) {
        const char *mark = memchr(text + at, LEXICAL_PHRASE_PART, (size_t)(size - at));
        int end = mark ? (int)(mark - text) : size;
        reading->result = reading->token(reading->context, 0, text + at, end - at, at, end);
        at = end + 1;
    }
    return reading->result;
}

static int tokenize(Fts5Tokenizer *tokenizer, void *context, int flags, const char *text, int size,
                    token_fn *token)
{
    struct lexical *lexical = (struct lexical *)(void *)tokenizer;
    struct reading reading = {lexical, context, token, SQLITE_OK};
    if (flags & FTS5_TOKENIZE_QUERY) return read_query(&reading, text, size);
    if (size > 0)
        analyze(lexical->options.analyst, lexical->options.analyze, text, (size_t)size, on_term,
                &reading);
    return reading.result;
}

static int tokenizer_new(void *user, const char **words, int count, Fts5Tokenizer **out)
{
    (void)words, (void)count;
    *out = user;
    return SQLITE_OK;
}

static void tokenizer_free(Fts5Tokenizer *tokenizer)
{
    (void)tokenizer; // the lexical's own
}

// ---- scores ------------------------------------------------------------------------------------

/* How often the phrase stands in this row, each field by its weight. */
static double frequency(const struct lexical *lexical, const Fts5ExtensionApi *api,
                        Fts5Context *fts, int phrase)
{
    Fts5PhraseIter place;
    int field, offset;
    double frequency = 0;
    if (api->xPhraseFirst(fts, phrase, &place, &field, &offset) != SQLITE_OK) return 0;
    for (; field >= 0; api->xPhraseNext(fts, &place, &field, &offset))
        frequency += lexical->options.weights[field];
    return frequency;
}

/* FTS5 calls it for each row that matches: `SELECT gather(terms, query)`. */
static void gather(const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_context *context,
                   int count, sqlite3_value **values)
{
    (void)context;
    struct lexical *lexical = api->xUserData(fts);
    const struct lexical_query *query =
        count == 1 ? sqlite3_value_pointer(values[0], "query") : NULL;
    must(query != NULL);
    uint32_t number = (uint32_t)api->xRowid(fts);
    if (query->accept && !query->accept(query->owner, number)) return;
    struct score *score = &lexical->score;
    must(number < lexical->length_count);
    score_begin(score, lexical->lengths[number]);
    for (size_t i = 0; i < score->count; i++) {
        double found = frequency(lexical, api, fts, (int)(lexical->first_phrase + i));
        if (found > 0) score_add(score, i, found);
    }
    lexical->found++;
    query->hit(query->owner, number, score_end(score));
}

// ---- life --------------------------------------------------------------------------------------

static int on_progress(void *owner)
{
    struct lexical *lexical = owner;
    return lexical->deadline_ns != 0 && clock_now_ns() > lexical->deadline_ns;
}

static enum err run(struct lexical *lexical, const char *text)
{
    if (sqlite3_exec(lexical->base, text, NULL, NULL, NULL) == SQLITE_OK) return ERR_OK;
    return sqlite_note(lexical, "a statement fails");
}

static enum err prepare(struct lexical *lexical, const char *text, sqlite3_stmt **out)
{
    if (sqlite3_prepare_v3(lexical->base, text, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) ==
        SQLITE_OK)
        return ERR_OK;
    return sqlite_note(lexical, "a statement is refused");
}

static enum err register_parts(struct lexical *lexical)
{
    sqlite3_stmt *ask;
    TRY(prepare(lexical, "SELECT fts5(?1)", &ask));
    sqlite3_bind_pointer(ask, 1, (void *)&lexical->api, "fts5_api_ptr", NULL);
    sqlite3_step(ask);
    sqlite3_finalize(ask);
    if (!lexical->api)
        return err_note(ERR_UNSUPPORTED, "this SQLite has no FTS5 (Debian: libsqlite3-0)");
    fts5_tokenizer tokenizer = {tokenizer_new, tokenizer_free, tokenize};
    must(lexical->api->xCreateTokenizer(lexical->api, "qiao", lexical, &tokenizer, NULL) ==
         SQLITE_OK);
    must(lexical->api->xCreateFunction(lexical->api, "gather", lexical, gather, NULL) == SQLITE_OK);
    return ERR_OK;
}

static void write_fields(struct buf *out, const char *prefix, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_addf(out, "%s%s%zu", i ? "," : "", prefix, i + 1);
}

static enum err create_table(struct lexical *lexical)
{
    struct buf text = {0};
    size_t count = lexical->options.field_count;
    buf_add_text(&text, "CREATE VIRTUAL TABLE terms USING fts5(");
    write_fields(&text, "f", count);
    buf_add_text(&text, ", content='', columnsize=0, tokenize='qiao')");
    enum err err = run(lexical, buf_text(&text));
    buf_clear(&text);
    buf_add_text(&text, "INSERT INTO terms(rowid,");
    write_fields(&text, "f", count);
    buf_addf(&text, ") VALUES (?%zu,", count + 1);
    write_fields(&text, "?", count);
    buf_add_text(&text, ")");
    if (!err) err = prepare(lexical, buf_text(&text), &lexical->put);
    buf_clear(&text);
    buf_add_text(&text, "INSERT INTO terms(terms,rowid,");
    write_fields(&text, "f", count);
    buf_addf(&text, ") VALUES ('delete',?%zu,", count + 1);
    write_fields(&text, "?", count);
    buf_add_text(&text, ")");
    if (!err) err = prepare(lexical, buf_text(&text), &lexical->drop);
    buf_fini(&text);
    return err;
}

static enum err build(struct lexical *lexical)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY |
                SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    if (sqlite3_open_v2(":memory:", &lexical->base, flags, NULL) != SQLITE_OK)
        return err_note(ERR_INTERNAL, "SQLite does not open a database in memory");
    TRY(register_parts(lexical));
    TRY(run(lexical, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA secure_delete=OFF;"
                     "PRAGMA temp_store=MEMORY; PRAGMA locking_mode=EXCLUSIVE"));
    TRY(create_table(lexical));
    TRY(run(lexical, "INSERT INTO terms(terms,rank) VALUES('hashsize',8388608)"));
    TRY(prepare(lexical, "SELECT gather(terms,?1) FROM terms WHERE terms MATCH ?2",
                &lexical->find));
    TRY(prepare(lexical, "SELECT 1 FROM terms WHERE terms MATCH ?1 LIMIT 1", &lexical->has));
    TRY(prepare(lexical, "SELECT count(*) FROM terms WHERE terms MATCH ?1", &lexical->count));
    TRY(prepare(lexical, "INSERT INTO terms(terms,rank) VALUES('merge',?1)", &lexical->merge));
    sqlite3_progress_handler(lexical->base, PROGRESS_STEPS, on_progress, lexical);
    return ERR_OK;
}

static void configure(void)
{
    // Its statistics would be one lock for every thread's every allocation.
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

enum err lexical_new(struct lexical **out, const struct lexical_options *options)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    must(options->field_count >= 1 && options->field_count <= LEXICAL_FIELDS_MAX);
    pthread_once(&once, configure);
    struct lexical *lexical = mem_new(1, sizeof *lexical);
    lexical->options = *options;
    double *weights = mem_new(options->field_count, sizeof *weights);
    memcpy(weights, options->weights, options->field_count * sizeof *weights);
    lexical->options.weights = weights;
    score_init(&lexical->score, options->k1, options->b);
    lexical->counts = counts_new();
    enum err err = build(lexical);
    if (err)
        lexical_free(lexical);
    else
        *out = lexical;
    return err;
}

void lexical_free(struct lexical *lexical)
{
    if (!lexical) return;
    sqlite3_finalize(lexical->put);
    sqlite3_finalize(lexical->drop);
    sqlite3_finalize(lexical->find);
    sqlite3_finalize(lexical->has);
    sqlite3_finalize(lexical->count);
    sqlite3_finalize(lexical->merge);
    sqlite3_close(lexical->base);
    buf_fini(&lexical->match);
    counts_free(lexical->counts);
    mem_free(lexical->lengths);
    double *weights = (double *)(uintptr_t)lexical->options.weights;
    mem_free(weights);
    mem_free(lexical);
}

// ---- writing -----------------------------------------------------------------------------------

static enum err write(struct lexical *lexical, sqlite3_stmt *statement, uint32_t number,
                      const struct lexical_text *texts, int sign)
{
    size_t count = lexical->options.field_count;
    if (!lexical->open) {
        TRY(run(lexical, "BEGIN"));
        lexical->open = true;
    }
    for (size_t i = 0; i < count; i++) {
        if (texts[i].text)
            sqlite3_bind_text(statement, (int)i + 1, texts[i].text, (int)texts[i].size,
                              SQLITE_STATIC);
        else
            sqlite3_bind_null(statement, (int)i + 1);
    }
    sqlite3_bind_int64(statement, (int)count + 1, number);
    lexical->sign = sign;
    lexical->length = 0;
    lexical->deadline_ns = 0;
    counts_document(lexical->counts);
    int result = sqlite3_step(statement);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    if (result == SQLITE_DONE) return ERR_OK;
    counts_forget(lexical->counts);
    return sqlite_note(lexical, "a document is not written");
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
}

enum err lexical_put(struct lexical *lexical, uint32_t number, const struct lexical_text *texts)
{
    make_room(lexical, number);
    TRY(write(lexical, lexical->put, number, texts, 1));
    lexical->lengths[number] = lexical->length;
    score_count(&lexical->score, 1, lexical->length);
    return ERR_OK;
}

enum err lexical_drop(struct lexical *lexical, uint32_t number, const struct lexical_text *texts)
{
    TRY(write(lexical, lexical->drop, number, texts, -1));
    score_count(&lexical->score, -1, lexical->lengths[number]);
    lexical->lengths[number] = 0;
    return ERR_OK;
}

bool lexical_settle(struct lexical *lexical)
{
    if (lexical->open) {
        (void)run(lexical,
                  "COMMIT"); // in memory, without a journal: there is nothing that could fail
        lexical->open = false;
        lexical->tables_before = -1;
    }
    if (lexical->tables_before >= 0) return false;
    int before = sqlite3_total_changes(lexical->base);
    sqlite3_bind_int(lexical->merge, 1, SETTLE_PAGES);
    sqlite3_step(lexical->merge);
    sqlite3_reset(lexical->merge);
    // FTS5 says so: less than two changes, and there was nothing to merge.
    bool merged = sqlite3_total_changes(lexical->base) - before >= 2;
    if (!merged) lexical->tables_before = 0;
    return merged;
}

// ---- searching ---------------------------------------------------------------------------------

bool lexical_has(struct lexical *lexical, const struct lexical_term *term)
{
    buf_clear(&lexical->match);
    plan_write_term(&lexical->match, term);
    sqlite3_bind_text(lexical->has, 1, lexical->match.data, (int)lexical->match.size,
                      SQLITE_STATIC);
    lexical->deadline_ns = 0;
    bool found = sqlite3_step(lexical->has) == SQLITE_ROW;
    sqlite3_reset(lexical->has);
    return found;
}

static enum err end_of(const struct lexical *lexical, int result)
{
    if (result == SQLITE_DONE || result == SQLITE_ROW) return ERR_OK;
    if (result != SQLITE_INTERRUPT) return sqlite_note(lexical, "a search fails");
    return err_note(ERR_TIMEOUT, "the search took longer than its deadline");
}

static enum err count_term(struct lexical *lexical, const struct lexical_term *term,
                           uint64_t *count)
{
    if (counts_find(lexical->counts, term, count)) return ERR_OK;
    buf_clear(&lexical->match);
    plan_write_term(&lexical->match, term);
    sqlite3_bind_text(lexical->count, 1, lexical->match.data, (int)lexical->match.size,
                      SQLITE_STATIC);
    int result = sqlite3_step(lexical->count);
    enum err err = end_of(lexical, result);
    if (result == SQLITE_ROW) {
        *count = (uint64_t)sqlite3_column_int64(lexical->count, 0);
        counts_keep(lexical->counts, term, *count);
    }
    sqlite3_reset(lexical->count);
    return err;
}

/* Look at the documents of a part of the query. */
static enum err scan(struct lexical *lexical, const struct lexical_query *query,
                     enum plan_part part)
{
    size_t most = query->candidates ? query->candidates : SIZE_MAX;
    lexical->first_phrase = plan_write(&lexical->match, &lexical->plan, query, part);
    sqlite3_bind_pointer(lexical->find, 1, (void *)(uintptr_t)query, "query", NULL);
    sqlite3_bind_text(lexical->find, 2, lexical->match.data, (int)lexical->match.size,
                      SQLITE_STATIC);
    int result = SQLITE_ROW;
    while (lexical->found < most && (result = sqlite3_step(lexical->find)) == SQLITE_ROW)
        continue;
    enum err err = end_of(lexical, result);
    sqlite3_reset(lexical->find);
    sqlite3_clear_bindings(lexical->find);
    return err;
}

enum err lexical_search(struct lexical *lexical, const struct lexical_query *query)
{
    struct score *score = &lexical->score;
    uint64_t counts[LEXICAL_TERMS_MAX] = {0};
    must(query->count <= LEXICAL_TERMS_MAX);
    lexical->deadline_ns = query->deadline_ns;
    lexical->found = 0;
    score_query(score, query->terms, query->count);
    if (score->count == 0) return ERR_OK;
    for (size_t i = 0; i < score->count; i++) {
        TRY(count_term(lexical, &query->terms[i], &counts[i]));
        score_weigh(score, i, counts[i]);
    }
    plan_make(&lexical->plan, query, counts, score->documents);
    if (!lexical->plan.is_cut) return scan(lexical, query, PLAN_ALL);
    TRY(scan(lexical, query, PLAN_NEEDED));
    return lexical->found < query->wanted ? scan(lexical, query, PLAN_REST) : ERR_OK;
}

double lexical_best(const struct lexical *lexical)
{
    return score_best(&lexical->score);
}

size_t lexical_count(const struct lexical *lexical)
{
    return (size_t)lexical->score.documents;
}
