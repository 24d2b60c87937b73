#include "scheduler/features/search/attribute.h"
#include "scheduler/features/search/corpus_parts.h"

#include "text/common.h"

#include "base/mem.h"
#include "base/must.h"

#include <string.h>

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
    analyze_stops_free(half->common);
    search_settings_free(half->settings);
    *half = (struct corpus_half){0};
}

static enum err read_common(struct corpus_half *half, const struct corpus *corpus)
{
    size_t count;
    const char *const *words = common_words(&count);
    return analyze_stops_new(&half->common, corpus->tools.analyzer, words, count);
}

static enum err build_half(struct corpus_half *half, const struct corpus *corpus,
                           struct search_settings *settings)
{
    *half = (struct corpus_half){.settings = settings};
    enum err err =
        analyze_stops_new(&half->stops, corpus->tools.analyzer,
                          (const char *const *)settings->stops.items, settings->stops.count);
    if (!err && settings->stem) err = read_common(half, corpus);
    if (err) return err;
    half->analyze = (struct analyze_options){.stem = settings->stem, .stops = half->stops};
    half->words = words_new(corpus->tools.pinyin);
    return ERR_OK;
}

/* The lexical holds the address of `half`, which must be where it stays. */
static void open_half(struct corpus_half *half, const struct corpus *corpus)
{
    const struct search_settings *settings = half->settings;
    half->columns = columns_new(&settings->filterable);
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

struct corpus_half *corpus_new_half(const struct corpus *corpus, struct search_settings *settings,
                                    enum err *err)
{
    struct corpus_half *half = mem_new(1, sizeof *half);
    *err = build_half(half, corpus, settings);
    if (*err) {
        free_half(half);
        mem_free(half);
        return NULL;
    }
    if (!corpus->remote) open_half(half, corpus);
    return half;
}

void corpus_drop_half(struct corpus_half *half)
{
    if (!half) return;
    free_half(half);
    mem_free(half);
}

struct corpus *corpus_open(const struct corpus_tools *tools, const struct corpus_backend *backend)
{
    struct corpus *corpus = mem_new(1, sizeof *corpus);
    corpus->tools = *tools;
    corpus->backend = backend;
    corpus->analyst = analyst_new(tools->analyzer);
    return corpus;
}

void corpus_free(struct corpus *corpus)
{
    if (!corpus) return;
    corpus->backend->free(corpus);
    corpus_drop_half(corpus->half);
    analyst_free(corpus->analyst);
    for (size_t i = 0; i < SEARCH_FIELDS_MAX; i++)
        buf_fini(&corpus->texts[i]);
    mem_free(corpus);
}

bool corpus_shed(struct corpus *corpus, size_t count)
{
    return corpus->backend->shed(corpus, count);
}

const struct search_settings *corpus_settings(const struct corpus *corpus)
{
    return corpus->half->settings;
}

size_t corpus_count(const struct corpus *corpus)
{
    return corpus->backend->count(corpus);
}

size_t corpus_bytes(const struct corpus *corpus)
{
    return corpus->backend->bytes(corpus);
}

// ---- what is written ---------------------------------------------------------------------------

enum err corpus_put(struct corpus *corpus, const char *id, size_t id_size, const char *record,
                    size_t record_size)
{
    return corpus->backend->put(corpus, id, id_size, record, record_size);
}

enum err corpus_drop(struct corpus *corpus, const char *id, size_t id_size)
{
    return corpus->backend->drop(corpus, id, id_size);
}

enum err corpus_configure(struct corpus *corpus, struct search_settings *settings)
{
    return corpus->backend->configure(corpus, settings);
}

bool corpus_change(struct corpus *corpus, size_t count)
{
    return corpus->backend->change(corpus, count);
}

void corpus_mark(struct corpus *corpus, uint64_t version, const char *token)
{
    corpus->backend->mark(corpus, version, token);
}

void corpus_look(struct corpus *corpus)
{
    corpus->backend->look(corpus);
}

uint64_t corpus_version(const struct corpus *corpus)
{
    return corpus->version;
}

void corpus_replace(struct corpus *corpus, const struct corpus *by)
{
    if (!by || by->backend != corpus->backend) corpus->backend->forget(corpus);
}

// ---- a document --------------------------------------------------------------------------------

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
void corpus_read_texts(struct corpus *corpus, const struct search_settings *settings,
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
