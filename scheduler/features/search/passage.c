#include "scheduler/features/search/passage.h"

#include "scheduler/features/search/attribute.h"
#include "scheduler/features/search/settings.h"

#include "base/buf.h"

#include <string.h>

enum err passage_write(struct buf *out, const struct search_settings *settings, const char *record,
                       size_t size)
{
    json_error_t error;
    json_t *document = json_loadb(record, size, 0, &error), *value;
    const char *name;
    const struct search_names *fields =
        settings->embedder_fields.count > 0 ? &settings->embedder_fields : &settings->fields;
    if (!json_is_object(document)) {
        json_decref(document);
        return err_note(ERR_FORMAT, "the record is no document");
    }
    for (size_t i = 0; i < fields->count; i++)
        attribute_write_text(out, attribute_find(document, fields->items[i]));
    json_object_foreach(document, name, value)
    {
        if (fields->count == 0 && strcmp(name, settings->primary_key) != 0)
            attribute_write_text(out, value);
    }
    json_decref(document);
    return ERR_OK;
}
