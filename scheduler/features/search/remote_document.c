#include "scheduler/features/search/remote_document.h"

#include "scheduler/features/search/redisearch_code.h"
#include "scheduler/features/search/redisearch_tags.h"
#include "scheduler/features/search/remote.h"

#include <inttypes.h>

static size_t fields_of(const struct search_settings *settings)
{
    return settings->fields.count ? settings->fields.count : 1;
}

// ---- the schema --------------------------------------------------------------------------------

static void say_name(struct redisearch_command *command, char kind, size_t index)
{
    buf_addf(redisearch_word(command), "%c%zu", kind, index);
}

static void say_all(struct redisearch_command *command, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        redisearch_say(command, texts[i]);
}

/* Of what is kept for orders and counts alone, in memory. */
static void say_kept(struct redisearch_command *command, char kind, size_t index, bool is_number)
{
    static const char *const tag[] = {"TAG", "SEPARATOR", ";", "SORTABLE", "NOINDEX"};
    static const char *const number[] = {"NUMERIC", "SORTABLE", "NOINDEX"};
    say_name(command, kind, index);
    say_all(command, is_number ? number : tag, is_number ? 3 : 5);
}

void remote_write_schema(struct redisearch_command *command, const struct search_settings *settings,
                         uint64_t generation)
{
    static const char *const head[] = {"NOHL",      "STOPWORDS", "0",       "SCHEMA", "f",
                                       "TAG",       "SEPARATOR", ",",       "i",      "TAG",
                                       "SEPARATOR", ";",         "SORTABLE"};
    redisearch_say(command, "FT.CREATE");
    buf_addf(redisearch_word(command), "q%" PRIu64, generation);
    say_all(command, head, sizeof head / sizeof *head);
    for (size_t i = 0; i < 2 * fields_of(settings); i++) {
        say_name(command, i % 2 ? 'b' : 't', i / 2);
        say_all(command, (const char *const[]){"TEXT", "NOSTEM", "WEIGHT"}, 3);
        buf_addf(redisearch_word(command), "%.6g", settings->weights[i / 2]);
    }
    for (size_t i = 0; i < settings->facets.count; i++) {
        say_kept(command, 'v', i, false);
        say_kept(command, 'm', i, true);
        say_kept(command, 'o', i, true);
    }
    for (size_t i = 0; i < settings->sortable.count; i++) {
        say_kept(command, 'a', i, false);
        say_kept(command, 'z', i, false);
    }
}

// ---- a document --------------------------------------------------------------------------------

struct reading {
    struct buf terms, beside, *words;
};

static bool on_term(void *owner, const struct analyze_term *term)
{
    struct reading *reading = owner;
    struct buf *out = term->beside ? &reading->beside : &reading->terms;
    buf_add_text(out, out->size ? " x" : "x");
    code_bytes(out, term->text, term->size);
    if (term->is_word && term->surface_size <= WORDS_TEXT_MAX) {
        buf_add_text(reading->words, REMOTE_WORDS_PART);
        buf_add(reading->words, term->surface, term->surface_size);
    }
    return true;
}

static void say_texts(struct redisearch_command *command, struct corpus *corpus,
                      const json_t *document, struct buf *words)
{
    const struct search_settings *settings = corpus->half->settings;
    struct lexical_text texts[SEARCH_FIELDS_MAX];
    corpus_read_texts(corpus, settings, document, texts);
    for (size_t i = 0; i < fields_of(settings); i++) {
        struct reading reading = {.words = words};
        if (texts[i].text)
            analyze(corpus->analyst, &corpus->half->analyze, texts[i].text, texts[i].size, on_term,
                    &reading);
        if (reading.terms.size) buf_add_text(&reading.terms, " y");
        say_name(command, 't', i);
        *redisearch_word(command) = reading.terms;
        say_name(command, 'b', i);
        *redisearch_word(command) = reading.beside;
    }
}

static void say_counted(struct redisearch_command *command, const struct search_names *names,
                        const json_t *facts)
{
    for (size_t i = 0; i < names->count; i++) {
        double least, most;
        struct buf values = {0};
        bool has_numbers = tags_values(&values, names->items[i], facts, &least, &most);
        say_name(command, 'v', i);
        *redisearch_word(command) = values;
        // RediSearch takes a number that is missing for 0.
        say_name(command, 'm', i);
        buf_addf(redisearch_word(command), "%.17g", has_numbers ? least : REMOTE_NO_NUMBER);
        say_name(command, 'o', i);
        buf_addf(redisearch_word(command), "%.17g", has_numbers ? -most : REMOTE_NO_NUMBER);
    }
}

static void say_facts(struct redisearch_command *command, const struct search_settings *settings,
                      const json_t *document)
{
    json_t *facts = corpus_read_facts(settings, document);
    redisearch_say(command, "f");
    tags_write(redisearch_word(command), &settings->filterable, facts);
    say_counted(command, &settings->facets, facts);
    for (size_t i = 0; i < settings->sortable.count; i++) {
        say_name(command, 'a', i);
        tags_order(redisearch_word(command), settings->sortable.items[i], facts, false);
        say_name(command, 'z', i);
        tags_order(redisearch_word(command), settings->sortable.items[i], facts, true);
    }
    json_decref(facts);
}

void remote_key(struct buf *out, uint64_t generation, const char *id, size_t size)
{
    buf_addf(out, REMOTE_HEAD ":%" PRIu64 ":d:", generation);
    buf_add(out, id, size);
}

enum err remote_write_document(struct redisearch_command *command, struct corpus *corpus,
                               uint64_t generation, struct remote_text id,
                               struct remote_text record, struct buf *words)
{
    json_t *document = corpus_parse(record.bytes, record.size);
    if (!document) return err_note(ERR_FORMAT, "a document's record is no JSON object");
    redisearch_say(command, "FT.ADD");
    buf_addf(redisearch_word(command), "q%" PRIu64, generation);
    remote_key(redisearch_word(command), generation, id.bytes, id.size);
    say_all(command, (const char *const[]){"1", "REPLACE", "FIELDS"}, 3);
    say_texts(command, corpus, document, words);
    say_facts(command, corpus->half->settings, document);
    redisearch_say(command, "i");
    struct buf *coded = redisearch_word(command);
    buf_add_byte(coded, 'k');
    code_bytes(coded, id.bytes, id.size);
    redisearch_say(command, "r");
    buf_add(redisearch_word(command), record.bytes, record.size);
    redisearch_say(command, "w");
    buf_add(redisearch_word(command), buf_text(words), words->size);
    json_decref(document);
    return ERR_OK;
}
