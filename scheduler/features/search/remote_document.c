#include "scheduler/features/search/remote_document.h"

#include "scheduler/features/search/redisearch_code.h"
#include "scheduler/features/search/redisearch_tags.h"
#include "scheduler/features/search/remote.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    IMPACT_MAX = (1 << REMOTE_IMPACTS) - 1,
    EVEN_WEIGHT = 100000 // of a word that every document has: more than any has of another
};

static size_t fields_of(const struct search_settings *settings)
{
    return settings->fields.count ? settings->fields.count : 1;
}

// ---- the schema --------------------------------------------------------------------------------

static void say_name(struct redisearch_command *command, char kind, size_t index)
{
    buf_addf(redisearch_word(command), "%c%zu", kind, index);
}

/* Of what is kept for orders and counts alone, in memory. */
static void say_kept(struct redisearch_command *command, char kind, size_t index, bool is_number)
{
    say_name(command, kind, index);
    if (is_number)
        REDISEARCH_SAY(command, "NUMERIC", "SORTABLE", "NOINDEX");
    else
        REDISEARCH_SAY(command, "TAG", "SEPARATOR", ";", "SORTABLE", "NOINDEX");
}

static void say_text(struct redisearch_command *command, char kind, size_t index, int weight)
{
    say_name(command, kind, index);
    REDISEARCH_SAY(command, "TEXT", "NOSTEM", "WEIGHT");
    buf_addf(redisearch_word(command), "%d", weight);
}

void remote_write_schema(struct redisearch_command *command, const struct search_settings *settings,
                         uint64_t generation)
{
    redisearch_say(command, "FT.CREATE");
    buf_addf(redisearch_word(command), "q%" PRIu64, generation);
    REDISEARCH_SAY(command, "NOHL", "STOPWORDS", "0", "SCHEMA");
    say_text(command, 'n', 0, EVEN_WEIGHT);
    REDISEARCH_SAY(command, "f", "TAG", "SEPARATOR", ",", "k", "TAG", "SEPARATOR", ",");
    REDISEARCH_SAY(command, "i", "TAG", "SEPARATOR", ";", "SORTABLE");
    for (size_t i = 0; i < fields_of(settings); i++)
        say_text(command, 't', i, 1);
    for (size_t i = 0; i < REMOTE_IMPACTS; i++)
        say_text(command, 's', i, 1 << i);
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

// ---- a document's terms ------------------------------------------------------------------------

/* A term of the document; the text stands in `texts`. */
struct weighed {
    size_t at, size;
    double frequency;
};

struct reading {
    struct buf *terms;       // of the field at hand
    struct buf *words, *all; // of the document; all of its terms
    double weight;
    struct buf texts;
    struct weighed *items;
    size_t count, capacity;
    size_t length; // positions of all fields
};

static bool on_term(void *owner, const struct analyze_term *term)
{
    struct reading *reading = owner;
    if (!term->beside) {
        buf_add_text(reading->terms, reading->terms->size ? " p" : "p");
        code_bytes(reading->terms, term->text, term->size);
        reading->length++;
    }
    if (term->is_word && term->surface_size <= WORDS_TEXT_MAX) {
        buf_add_text(reading->words, REMOTE_WORDS_PART);
        buf_add(reading->words, term->surface, term->surface_size);
    }
    if (reading->count == reading->capacity) {
        reading->capacity = reading->capacity ? 2 * reading->capacity : 256;
        reading->items = mem_resize(reading->items, reading->capacity, sizeof *reading->items);
    }
    reading->items[reading->count++] =
        (struct weighed){reading->texts.size, term->size, reading->weight};
    buf_add(&reading->texts, term->text, term->size);
    return true;
}

static int by_term(const void *left, const void *right, void *texts)
{
    const struct weighed *a = left, *b = right;
    const char *bytes = texts;
    int order = memcmp(bytes + a->at, bytes + b->at, a->size < b->size ? a->size : b->size);
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

/* Each term once, with all its occurrences. */
static void merge_terms(struct reading *reading)
{
    char *texts = reading->texts.data;
    size_t kept = 0;
    if (reading->count == 0) return;
    qsort_r(reading->items, reading->count, sizeof *reading->items, by_term, texts);
    for (size_t i = 1; i < reading->count; i++) {
        if (by_term(&reading->items[kept], &reading->items[i], texts) == 0)
            reading->items[kept].frequency += reading->items[i].frequency;
        else
            reading->items[++kept] = reading->items[i];
    }
    reading->count = kept + 1;
}

/* What BM25 gives for the occurrences, as a share of the most that it can give. */
static unsigned impact_of(const struct search_settings *settings, double frequency, double norm)
{
    double share = frequency / (frequency + settings->k1 * norm);
    unsigned impact = (unsigned)(share * IMPACT_MAX + 0.5);
    return impact > 0 ? impact : 1;
}

static void say_impacts(struct redisearch_command *command, const struct reading *reading,
                        const struct search_settings *settings, double norm)
{
    struct buf fields[REMOTE_IMPACTS] = {{0}};
    for (size_t i = 0; i < reading->count; i++) {
        const struct weighed *term = &reading->items[i];
        buf_add_text(reading->all, REMOTE_TERMS_PART "x");
        code_bytes(reading->all, reading->texts.data + term->at, term->size);
        unsigned impact = impact_of(settings, term->frequency, norm);
        for (size_t bit = 0; bit < REMOTE_IMPACTS; bit++) {
            struct buf *out = &fields[bit];
            if (!(impact >> bit & 1)) continue;
            buf_add_text(out, out->size ? " x" : "x");
            code_bytes(out, reading->texts.data + term->at, term->size);
        }
    }
    for (size_t bit = 0; bit < REMOTE_IMPACTS; bit++) {
        say_name(command, 's', bit);
        *redisearch_word(command) = fields[bit];
    }
}

static void say_terms(struct redisearch_command *command, struct corpus *corpus,
                      const json_t *document, struct remote_extent *extent,
                      struct remote_words *words)
{
    const struct search_settings *settings = corpus->half->settings;
    struct lexical_text texts[SEARCH_FIELDS_MAX];
    struct reading reading = {.words = &words->words, .all = &words->terms};
    corpus_read_texts(corpus, settings, document, texts);
    for (size_t i = 0; i < fields_of(settings); i++) {
        struct buf terms = {0};
        reading.terms = &terms;
        reading.weight = settings->weights[i];
        if (texts[i].text)
            analyze(corpus->analyst, &corpus->half->analyze, texts[i].text, texts[i].size, on_term,
                    &reading);
        if (terms.size) buf_add_text(&terms, " y");
        say_name(command, 't', i);
        *redisearch_word(command) = terms;
    }
    extent->documents++;
    extent->positions += (double)reading.length;
    double average = extent->positions / extent->documents;
    double norm = 1 - settings->b;
    norm += average > 0 ? settings->b * (double)reading.length / average : settings->b;
    merge_terms(&reading);
    say_impacts(command, &reading, settings, norm);
    redisearch_say(command, "k");
    buf_add_text(redisearch_word(command), reading.all->size ? buf_text(reading.all) + 1 : "");
    mem_free(reading.items);
    buf_fini(&reading.texts);
    words->length = reading.length;
}

// ---- a document --------------------------------------------------------------------------------

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

static void say_orders(struct redisearch_command *command, const struct search_names *names,
                       const json_t *facts)
{
    for (size_t i = 0; i < names->count; i++) {
        say_name(command, 'a', i);
        tags_order(redisearch_word(command), names->items[i], facts, false);
        say_name(command, 'z', i);
        tags_order(redisearch_word(command), names->items[i], facts, true);
    }
}

static void say_facts(struct redisearch_command *command, const struct search_settings *settings,
                      const json_t *document)
{
    json_t *facts = corpus_read_facts(settings, document);
    redisearch_say(command, "f");
    tags_write(redisearch_word(command), &settings->filterable, facts);
    say_counted(command, &settings->facets, facts);
    say_orders(command, &settings->sortable, facts);
    json_decref(facts);
}

static void say_id(struct redisearch_command *command, struct remote_text id)
{
    redisearch_say(command, "i");
    struct buf *coded = redisearch_word(command);
    buf_add_byte(coded, 'k');
    code_bytes(coded, id.bytes, id.size);
}

/* What RediSearch loads of a document, and what is read of it. */
static void say_hash(struct redisearch_command *command, const struct corpus *corpus,
                     const json_t *document, struct remote_text record,
                     const struct remote_words *words)
{
    json_t *facts = corpus_read_facts(corpus->half->settings, document);
    redisearch_say(command, "r");
    buf_add(redisearch_word(command), record.bytes, record.size);
    redisearch_say(command, "w");
    buf_add(redisearch_word(command), buf_text(&words->words), words->words.size);
    redisearch_say(command, "k");
    buf_add(redisearch_word(command), buf_text(&words->terms), words->terms.size);
    redisearch_say(command, "l");
    buf_addf(redisearch_word(command), "%zu", words->length);
    say_orders(command, &corpus->half->settings->sortable, facts);
    json_decref(facts);
}

void remote_key(struct buf *out, uint64_t generation, const char *id, size_t size)
{
    buf_addf(out, REMOTE_HEAD ":%" PRIu64 ":d:", generation);
    buf_add(out, id, size);
}

enum err remote_write_document(struct remote_write *out, struct corpus *corpus, uint64_t generation,
                               struct remote_text id, struct remote_text record)
{
    json_t *document = corpus_parse(record.bytes, record.size);
    if (!document) return err_note(ERR_FORMAT, "a document's record is no JSON object");
    redisearch_say(&out->add, "FT.ADD");
    buf_addf(redisearch_word(&out->add), "q%" PRIu64, generation);
    remote_key(redisearch_word(&out->add), generation, id.bytes, id.size);
    // The word that all have comes first, so that it is in the same place in all: RediSearch counts from there.
    REDISEARCH_SAY(&out->add, "1", "NOSAVE", "REPLACE", "FIELDS", "n0", "z");
    say_terms(&out->add, corpus, document, out->extent, &out->words);
    say_facts(&out->add, corpus->half->settings, document);
    say_id(&out->add, id);
    redisearch_say(&out->hash, "HMSET");
    remote_key(redisearch_word(&out->hash), generation, id.bytes, id.size);
    say_id(&out->hash, id);
    say_hash(&out->hash, corpus, document, record, &out->words);
    json_decref(document);
    return ERR_OK;
}
