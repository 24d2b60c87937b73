/* The backend of a corpus whose documents, terms and columns are in this memory (corpus_parts.h). */
#include "scheduler/features/search/corpus_parts.h"

#include "base/mem.h"
#include "base/must.h"

#include <string.h>

enum {
    LEAVING_PART = 64 // documents that are freed for one that would be read
};

// ---- life --------------------------------------------------------------------------------------

static void free_memory(struct corpus *corpus)
{
    corpus_drop_half(corpus->coming);
    corpus_drop_half(corpus->leaving);
    documents_free(corpus->documents);
    bitmap_fini(&corpus->live);
    bitmap_fini(&corpus->allowed);
}

/* Whether there is more of the half to free. */
static bool shed_half(struct corpus_half *half, size_t count)
{
    return half && lexical_shed(half->lexical, count);
}

static bool shed(struct corpus *corpus, size_t count)
{
    return shed_half(corpus->half, count) || shed_half(corpus->coming, count) ||
           shed_half(corpus->leaving, count) || documents_shed(corpus->documents, count);
}

static size_t count_documents(const struct corpus *corpus)
{
    return documents_count(corpus->documents);
}

static size_t count_bytes(const struct corpus *corpus)
{
    return corpus->bytes;
}

// ---- documents ---------------------------------------------------------------------------------

/* Into what the settings of the half make of it. */
static void put_into(struct corpus *corpus, struct corpus_half *half, uint32_t number,
                     const json_t *parsed)
{
    struct lexical_text texts[SEARCH_FIELDS_MAX];
    json_t *facts = corpus_read_facts(half->settings, parsed);
    columns_put(half->columns, number, facts);
    json_decref(facts);
    corpus_read_texts(corpus, half->settings, parsed, texts);
    lexical_put(half->lexical, number, texts);
}

static void remove_document(struct corpus *corpus, struct document *document)
{
    struct lexical_text texts[SEARCH_FIELDS_MAX];
    json_t *old = corpus_parse(document->record, document->record_size);
    must(old != NULL); // it was parsed when it came
    corpus_read_texts(corpus, corpus->half->settings, old, texts);
    lexical_drop(corpus->half->lexical, document->number, texts);
    columns_drop(corpus->half->columns, document->number);
    json_decref(old);
    bitmap_clear(&corpus->live, document->number);
    corpus->bytes -= document->id_size + document->record_size;
    documents_remove(corpus->documents, document);
}

static enum err put(struct corpus *corpus, const char *id, size_t id_size, const char *record,
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

static enum err drop(struct corpus *corpus, const char *id, size_t id_size)
{
    must(!corpus->coming);
    struct document *document = documents_find(corpus->documents, id, id_size);
    if (document) remove_document(corpus, document);
    return ERR_OK;
}

// ---- other settings ----------------------------------------------------------------------------

static enum err configure(struct corpus *corpus, struct search_settings *settings)
{
    enum err err;
    must(!corpus->coming);
    corpus_drop_half(corpus->leaving);
    corpus->leaving = NULL;
    corpus->coming = corpus_new_half(corpus, settings, &err);
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
    corpus_drop_half(corpus->leaving);
    corpus->leaving = NULL;
    return false;
}

static bool change(struct corpus *corpus, size_t count)
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

static void mark(struct corpus *corpus, uint64_t version, const char *token)
{
    (void)token;
    corpus->version = version;
}

static void nothing(struct corpus *corpus)
{
    (void)corpus;
}

// ---- what others ask of it ---------------------------------------------------------------------

static const struct document *find_ranked(const struct corpus *corpus, const struct ranked *item)
{
    const struct document *document = documents_at(corpus->documents, item->number);
    return document && document->serial == item->serial ? document : NULL;
}

static bool find(const struct corpus *corpus, const char *id, size_t size, struct ranked *out)
{
    const struct document *document = documents_find(corpus->documents, id, size);
    if (!document) return false;
    *out = (struct ranked){.number = document->number, .serial = document->serial};
    return true;
}

static const char *id_of(const struct corpus *corpus, const struct ranked *item, size_t *size)
{
    const struct document *document = find_ranked(corpus, item);
    if (!document) return NULL;
    *size = document->id_size;
    return document->id;
}

static const char *record_of(const struct corpus *corpus, const struct ranked *item, size_t *size)
{
    const struct document *document = find_ranked(corpus, item);
    if (!document) return NULL;
    *size = document->record_size;
    return document->record;
}

static void fetch(struct corpus *corpus, const struct ranked *items, size_t count)
{
    (void)corpus, (void)items, (void)count; // they are here
}

static enum err pass(struct corpus *corpus, const struct corpus_search *search, size_t *count)
{
    TRY(corpus_filter(corpus, search));
    *count = bitmap_size(&corpus->allowed);
    return ERR_OK;
}

static bool passes(const struct corpus *corpus, const struct ranked *item)
{
    return bitmap_has(&corpus->allowed, item->number);
}

static void each(const struct corpus *corpus, corpus_each_fn *tell, struct buf *out)
{
    for (uint32_t i = 0; i < documents_end(corpus->documents); i++) {
        if (!bitmap_has(&corpus->allowed, i)) continue;
        const struct document *document = documents_at(corpus->documents, i);
        must(document != NULL);
        tell(out, document->id, document->id_size);
    }
}

static bool has(void *owner, const struct lexical_term *term)
{
    const struct corpus *corpus = owner;
    return lexical_has(corpus->half->lexical, term);
}

static const struct corpus_backend memory = {
    .free = free_memory,
    .shed = shed,
    .count = count_documents,
    .bytes = count_bytes,
    .put = put,
    .drop = drop,
    .configure = configure,
    .change = change,
    .mark = mark,
    .look = nothing,
    .forget = nothing,
    .rank = corpus_rank_memory,
    .find = find,
    .id = id_of,
    .record = record_of,
    .fetch = fetch,
    .pass = pass,
    .passes = passes,
    .each = each,
    .has = has,
};

enum err corpus_new(struct corpus **out, const struct corpus_tools *tools,
                    struct search_settings *settings)
{
    struct corpus *corpus = corpus_open(tools, &memory);
    enum err err;
    corpus->documents = documents_new();
    corpus->half = corpus_new_half(corpus, settings, &err);
    if (err)
        corpus_free(corpus);
    else
        *out = corpus;
    return err;
}
