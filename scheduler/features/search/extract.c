#include "scheduler/features/search/extract.h"

#include "scheduler/features/search/attribute.h"
#include "scheduler/features/search/settings.h"

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    NONE = SEARCH_FIELDS_MAX
};

/* "titles.zh": "zh"; NULL: the name ends with no language. */
static const char *language_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && strlen(dot + 1) == 2 ? dot + 1 : NULL;
}

static bool is_foreign(const char *name, const char *language)
{
    const char *own = language_of(name);
    return own && strcmp(own, language) != 0;
}

/* Another field says the same in the question's language, and is there. */
static bool is_translated(const struct search_settings *settings, const json_t *document,
                          size_t field, const char *language)
{
    const char *name = settings->fields.items[field];
    if (!is_foreign(name, language)) return false;
    size_t size = (size_t)(language_of(name) - name);
    for (size_t i = 0; i < settings->fields.count; i++) {
        const char *other = settings->fields.items[i];
        if (strncmp(other, name, size) == 0 && strcmp(other + size, language) == 0 &&
            attribute_find(document, other))
            return true;
    }
    return false;
}

static size_t title_field(const struct search_settings *settings, const json_t *document,
                          const char *language)
{
    size_t best = NONE;
    for (size_t i = 0; i < settings->fields.count; i++) {
        if (!attribute_find(document, settings->fields.items[i])) continue;
        if (is_translated(settings, document, i, language)) continue;
        if (best == NONE || settings->weights[i] > settings->weights[best]) best = i;
    }
    return best;
}

/* What parts values from one another, and from their names. */
static const char *mark(const char *language, const char *chinese, const char *other)
{
    return strcmp(language, "zh") == 0 ? chinese : other;
}

/* In a text of its own: attribute_write_text() parts lines by what is there before. */
static void add_value(struct buf *out, const char *language, const char *name, const json_t *value)
{
    struct buf text = {0};
    attribute_write_text(&text, value);
    if (text.size > 0) {
        if (out->size > 0) buf_add_text(out, mark(language, "；", "; "));
        if (name) {
            const char *dot = strrchr(name, '.');
            buf_add_text(out, dot ? dot + 1 : name);
            buf_add_text(out, mark(language, "：", ": "));
        }
        buf_add(out, text.data, text.size);
    }
    buf_fini(&text);
}

static bool is_field(const struct search_settings *settings, const char *name)
{
    return search_names_have(&settings->fields, name);
}

void extract_text(const struct search_settings *settings, const json_t *document,
                  const char *language, struct buf *title, struct buf *text)
{
    if (settings->fields.count == 0) {
        const json_t *name = json_object_get(document, "title");
        if (!name) name = json_object_get(document, "name");
        if (json_is_string(name)) add_value(title, language, NULL, name);
        add_value(text, language, NULL, document);
        return;
    }
    size_t first = title_field(settings, document, language);
    for (size_t i = 0; i < settings->fields.count; i++) {
        const json_t *value = attribute_find(document, settings->fields.items[i]);
        if (!value || (i != first && is_translated(settings, document, i, language))) continue;
        add_value(i == first ? title : text, language, NULL, value);
    }
    for (size_t i = 0; i < settings->filterable.count; i++) {
        const char *name = settings->filterable.items[i];
        const json_t *value = attribute_find(document, name);
        if (value && !is_field(settings, name)) add_value(text, language, name, value);
    }
}
