/* What other lists than the words' need of a corpus (corpus.h). */
#include "scheduler/features/search/attribute.h"
#include "scheduler/features/search/corpus_parts.h"

#include "base/must.h"

#include <string.h>

static const struct document *find_ranked(const struct corpus *corpus, const struct ranked *item)
{
    const struct document *document = documents_at(corpus->documents, item->number);
    return document && document->serial == item->serial ? document : NULL;
}

bool corpus_find(const struct corpus *corpus, const char *id, size_t size, struct ranked *out)
{
    const struct document *document = documents_find(corpus->documents, id, size);
    if (!document) return false;
    *out = (struct ranked){.number = document->number, .serial = document->serial};
    return true;
}

const char *corpus_id(const struct corpus *corpus, const struct ranked *item, size_t *size)
{
    const struct document *document = find_ranked(corpus, item);
    if (!document) return NULL;
    *size = document->id_size;
    return document->id;
}

/* At most `max` bytes, and no half of a character. */
static size_t cut(const char *text, size_t size, size_t max)
{
    if (size <= max) return size;
    while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
        max--;
    return max;
}

void corpus_text(const struct corpus *corpus, const struct ranked *item, size_t max,
                 struct buf *out)
{
    const struct document *document = find_ranked(corpus, item);
    if (!document) return;
    const struct search_names *fields = &corpus->half->settings->fields;
    struct buf text = {0};
    json_t *parsed = corpus_parse(document->record, document->record_size);
    must(parsed != NULL);
    if (fields->count == 0) attribute_write_text(&text, parsed);
    for (size_t i = 0; i < fields->count && text.size < max; i++) {
        const json_t *value = attribute_find(parsed, fields->items[i]);
        if (value) attribute_write_text(&text, value);
    }
    json_decref(parsed);
    buf_add(out, buf_text(&text), cut(buf_text(&text), text.size, max));
    buf_fini(&text);
}

enum err corpus_pass(struct corpus *corpus, const struct corpus_search *search, size_t *count)
{
    TRY(corpus_filter(corpus, search));
    *count = bitmap_size(&corpus->allowed);
    return ERR_OK;
}

bool corpus_passes(const struct corpus *corpus, const struct ranked *item)
{
    return bitmap_has(&corpus->allowed, item->number);
}

void corpus_each(const struct corpus *corpus, corpus_each_fn *each, struct buf *out)
{
    for (uint32_t i = 0; i < documents_end(corpus->documents); i++) {
        if (!bitmap_has(&corpus->allowed, i)) continue;
        const struct document *document = documents_at(corpus->documents, i);
        must(document != NULL);
        each(out, document->id, document->id_size);
    }
}
