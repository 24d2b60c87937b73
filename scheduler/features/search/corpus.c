#include "scheduler/features/search/attribute.h"
#include "scheduler/features/search/corpus_parts.h"

#include "text/pinyin.h"

#include "base/mem.h"
#include "base/must.h"

#include <string.h>

enum {
    LEAVING_PART = 64 // documents that are freed for one that would be read
};

// ---- the half that settings decide -------------------------------------------------------------

static void on_word(void *owner, const struct analyze_term *term, int sign)
{
    struct words *words = owner;
    if (!term->is_word) return;
    if (sign > 0)
        words_add(words, term->surface, term->surface_size);
    else
        words_remove(words, term->surface, term->surface_size);
}

static void free_half(struct corpus_half *half)
{
    lexical_free(half->lexical);
    columns_free(half->columns);
    words_free(half->words);
    analyze_stops_free(half->stops);
    search_settings_free(half->settings);
    *half = (struct corpus_half){0};
}

static enum err build_half(struct corpus_half *half, const struct corpus *corpus,
                           struct search_settings *settings)
{
    *half = (struct corpus_half){.settings = settings};
    enum err err =
        analyze_stops_new(&half->stops, corpus->tools.analyzer,
                          (const char *const *)settings->stops.items, settings->stops.count);
    if (err) return err;
    half->analyze = (struct analyze_options){.stem = settings->stem, .stops = half->stops};
    half->words = words_new(corpus->tools.pinyin);
    half->columns = columns_new(&settings->filterable);
    return ERR_OK;
}

/* The lexical holds the address of `half`, which must be where it stays. */
static void open_half(struct corpus_half *half, const struct corpus *corpus)
{
    const struct search_settings *settings = half->settings;
    struct lexical_options options = {.analyst = corpus->analyst,
                                      .analyze = &half->analyze,
                                      .field_count =
                                          settings->fields.count ? settings->fields.count : 1,
                                      .weights = settings->weights,
                                      .k1 = settings->k1,
                                      .b = settings->b,
                                      .word = on_word,
                                      .owner = half->words};
    half->lexical = lexical_new(&options);
}

static struct corpus_half *new_half(const struct corpus *corpus, struct search_settings *settings,
                                    enum err *err)
{
    struct corpus_half *half = mem_new(1, sizeof *half);
    *err = build_half(half, corpus, settings);
    if (*err) {
        free_half(half);
        mem_free(half);
        return NULL;
    }
    open_half(half, corpus);
    return half;
}

static void drop_half(struct corpus_half *half)
{
    if (!half) return;
    free_half(half);
    mem_free(half);
}

enum err corpus_new(struct corpus **out, const struct corpus_tools *tools,
                    struct search_settings *settings)
{
    struct corpus *corpus = mem_new(1, sizeof *corpus);
    enum err err;
    corpus->tools = *tools;
    corpus->analyst = analyst_new(tools->analyzer);
    corpus->documents = documents_new();
    corpus->half = new_half(corpus, settings, &err);
    if (err)
        corpus_free(corpus);
    else
        *out = corpus;
    return err;
}

void corpus_free(struct corpus *corpus)
{
    if (!corpus) return;
    drop_half(corpus->half);
    drop_half(corpus->coming);
    drop_half(corpus->leaving);
    documents_free(corpus->documents);
    bitmap_fini(&corpus->live);
    bitmap_fini(&corpus->allowed);
    analyst_free(corpus->analyst);
    for (size_t i = 0; i < SEARCH_FIELDS_MAX; i++)
        buf_fini(&corpus->texts[i]);
    mem_free(corpus);
}

/* Whether there is more of the half to free. */
static bool shed_half(struct corpus_half *half, size_t count)
{
    return half && lexical_shed(half->lexical, count);
}

bool corpus_shed(struct corpus *corpus, size_t count)
{
    return shed_half(corpus->half, count) || shed_half(corpus->coming, count) ||
           shed_half(corpus->leaving, count) || documents_shed(corpus->documents, count);
}

const struct search_settings *corpus_settings(const struct corpus *corpus)
{
    return corpus->half->settings;
}

size_t corpus_count(const struct corpus *corpus)
{
    return documents_count(corpus->documents);
}

size_t corpus_bytes(const struct corpus *corpus)
{
    return corpus->bytes;
}

// ---- documents ---------------------------------------------------------------------------------

json_t *corpus_read_facts(const struct search_settings *settings, const json_t *document)
{
    json_t *facts = json_object();
    must(facts != NULL);
    for (size_t i = 0; i < settings->filterable.count; i++) {
        const char *name = settings->filterable.items[i];
        json_t *value = attribute_find(document, name);
        if (value) must(json_object_set(facts, name, value) == 0);
    }
    return facts;
}

/* The texts of the index' fields, in the corpus' own buffers. */
static void read_texts(struct corpus *corpus, const struct search_settings *settings,
                       const json_t *document, struct lexical_text texts[SEARCH_FIELDS_MAX])
{
    size_t count = settings->fields.count ? settings->fields.count : 1;
    for (size_t i = 0; i < count; i++) {
        struct buf *text = &corpus->texts[i];
        const json_t *value =
            settings->fields.count ? attribute_find(document, settings->fields.items[i]) : document;
        buf_clear(text);
        if (value) attribute_write_text(text, value);
        texts[i] = (struct lexical_text){text->size ? text->data : NULL, text->size};
    }
}

json_t *corpus_parse(const char *record, size_t size)
{
    json_error_t error;
    json_t *document = json_loadb(record, size, 0, &error);
    if (json_is_object(document)) return document;
    json_decref(document);
    return NULL;
}

/* Into what the settings of the half make of it. */
static void put_into(struct corpus *corpus, struct corpus_half *half, uint32_t number,
                     const json_t *parsed)
{
    struct lexical_text texts[SEARCH_FIELDS_MAX];
    json_t *facts = corpus_read_facts(half->settings, parsed);
    columns_put(half->columns, number, facts);
    json_decref(facts);
    read_texts(corpus, half->settings, parsed, texts);
    lexical_put(half->lexical, number, texts);
}

static void remove_document(struct corpus *corpus, struct document *document)
{
    struct lexical_text texts[SEARCH_FIELDS_MAX];
    json_t *old = corpus_parse(document->record, document->record_size);
    must(old != NULL); // it was parsed when it came
    read_texts(corpus, corpus->half->settings, old, texts);
    lexical_drop(corpus->half->lexical, document->number, texts);
    columns_drop(corpus->half->columns, document->number);
    json_decref(old);
    bitmap_clear(&corpus->live, document->number);
    corpus->bytes -= document->id_size + document->record_size;
    documents_remove(corpus->documents, document);
}

enum err corpus_put(struct corpus *corpus, const char *id, size_t id_size, const char *record,
                    size_t record_size)
{
    enum err err = ERR_OK;
    must(!corpus->coming);
    struct document *old = documents_find(corpus->documents, id, id_size);
    if (old && old->record_size == record_size && memcmp(old->record, record, record_size) == 0)
        return ERR_OK;
    json_t *parsed = corpus_parse(record, record_size);
    if (!parsed) return err_note(ERR_FORMAT, "a document's record is no JSON object");
    if (old) remove_document(corpus, old);
    struct document *document = documents_add(corpus->documents, id, id_size, record, record_size);
    if (document) {
        bitmap_reserve(&corpus->live, documents_end(corpus->documents));
        bitmap_set(&corpus->live, document->number);
        put_into(corpus, corpus->half, document->number, parsed);
        corpus->bytes += id_size + record_size;
    } else {
        err = err_note(ERR_NO_MEMORY, "an index holds at most %d documents", DOCUMENTS_MAX);
    }
    json_decref(parsed);
    return err;
}

enum err corpus_drop(struct corpus *corpus, const char *id, size_t id_size)
{
    must(!corpus->coming);
    struct document *document = documents_find(corpus->documents, id, id_size);
    if (document) remove_document(corpus, document);
    return ERR_OK;
}

// ---- other settings ----------------------------------------------------------------------------

enum err corpus_configure(struct corpus *corpus, struct search_settings *settings)
{
    enum err err;
    must(!corpus->coming);
    drop_half(corpus->leaving);
    corpus->leaving = NULL;
    corpus->coming = new_half(corpus, settings, &err);
    corpus->next = 0;
    return err;
}

static void end_change(struct corpus *corpus)
{
    corpus->leaving = corpus->half;
    corpus->half = corpus->coming;
    corpus->coming = NULL;
}

/* Whether there is more of it. */
static bool free_leaving(struct corpus *corpus, size_t count)
{
    if (shed_half(corpus->leaving, count)) return true;
    drop_half(corpus->leaving);
    corpus->leaving = NULL;
    return false;
}

bool corpus_change(struct corpus *corpus, size_t count)
{
    if (!corpus->coming) return free_leaving(corpus, LEAVING_PART * count);
    uint32_t end = documents_end(corpus->documents);
    for (; corpus->next < end && count > 0; corpus->next++) {
        struct document *document = documents_at(corpus->documents, corpus->next);
        if (!document) continue;
        json_t *parsed = corpus_parse(document->record, document->record_size);
        must(parsed != NULL);
        put_into(corpus, corpus->coming, document->number, parsed);
        json_decref(parsed);
        count--;
    }
    if (corpus->next < end) return true;
    end_change(corpus);
    return true;
}
