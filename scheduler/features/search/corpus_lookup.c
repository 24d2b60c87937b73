/* What other lists than the words' need of a corpus (corpus.h). */
#include "scheduler/features/search/attribute.h"
#include "scheduler/features/search/corpus_parts.h"

#include "base/must.h"

bool corpus_find(const struct corpus *corpus, const char *id, size_t size, struct ranked *out)
{
    return corpus->backend->find(corpus, id, size, out);
}

const char *corpus_id(const struct corpus *corpus, const struct ranked *item, size_t *size)
{
    return corpus->backend->id(corpus, item, size);
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
    size_t size;
    const char *record = corpus->backend->record(corpus, item, &size);
    if (!record) return;
    const struct search_names *fields = &corpus->half->settings->fields;
    struct buf text = {0};
    json_t *parsed = corpus_parse(record, size);
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

void corpus_fetch(struct corpus *corpus, const struct ranked *items, size_t count)
{
    if (count > 0) corpus->backend->fetch(corpus, items, count);
}

json_t *corpus_document(const struct corpus *corpus, const struct ranked *item)
{
    size_t size;
    const char *record = corpus->backend->record(corpus, item, &size);
    return record ? corpus_parse(record, size) : NULL;
}

enum err corpus_pass(struct corpus *corpus, const struct corpus_search *search, size_t *count)
{
    return corpus->backend->pass(corpus, search, count);
}

bool corpus_passes(const struct corpus *corpus, const struct ranked *item)
{
    return corpus->backend->passes(corpus, item);
}

void corpus_each(const struct corpus *corpus, corpus_each_fn *each, struct buf *out)
{
    corpus->backend->each(corpus, each, out);
}
