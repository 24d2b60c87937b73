#include "scheduler/features/catalogue.h"
#include "scheduler/features/members.h"

#include "base/buf.h"
#include "base/mem.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LABEL_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

static enum err wrong(char member[CATALOGUE_LABEL_MAX], const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum err wrong(char member[CATALOGUE_LABEL_MAX], const char *name, const char *format, ...)
{
    char text[ERR_NOTE_MAX / 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(member, CATALOGUE_LABEL_MAX, "%s", name);
    return err_note(ERR_INVALID, "%s %s", name, text);
}

enum err catalogue_check_id(const char *id, size_t size)
{
    bool good = size > 0 && size <= CATALOGUE_ID_MAX;
    for (size_t i = 0; good && i < size; i++)
        good = (unsigned char)id[i] > 0x20 && id[i] != 0x7f;
    if (good) return ERR_OK;
    return err_note(ERR_INVALID, "id must be 1 to %d bytes without spaces and control characters",
                    CATALOGUE_ID_MAX);
}

static bool is_label(const char *text)
{
    size_t size = strlen(text);
    return size > 0 && size <= CATALOGUE_LABEL_MAX && strspn(text, LABEL_BYTES) == size;
}

static enum err check_titles(const json_t *titles, char member[CATALOGUE_LABEL_MAX])
{
    const char *language;
    json_t *title;
    if (!titles) return ERR_OK;
    if (!json_is_object(titles) || json_object_size(titles) > CATALOGUE_TITLES_MAX)
        return wrong(member, "titles", "must be an object of at most %d languages",
                     CATALOGUE_TITLES_MAX);
    json_object_foreach((json_t *)(uintptr_t)titles, language, title)
    {
        if (!is_label(language))
            return wrong(member, "titles", "must have language tags such as \"zh\" as names");
        if (!json_is_string(title) || json_string_length(title) > CATALOGUE_TEXT_MAX)
            return wrong(member, "titles", "must hold texts of at most %d bytes",
                         CATALOGUE_TEXT_MAX);
    }
    return ERR_OK;
}

static enum err check_regions(const json_t *regions, char member[CATALOGUE_LABEL_MAX])
{
    if (!regions) return ERR_OK;
    bool good = json_is_array(regions) && json_array_size(regions) <= CATALOGUE_REGIONS_MAX;
    for (size_t i = 0; good && i < json_array_size(regions); i++) {
        const char *region = json_string_value(json_array_get(regions, i));
        good = region && is_label(region);
        for (const char *at = region; good && *at; at++)
            good = *at < 'A' || *at > 'Z';
    }
    if (good) return ERR_OK;
    return wrong(member, "regions", "must be a list of at most %d names in lower case",
                 CATALOGUE_REGIONS_MAX);
}

static enum err check_rest(const json_t *object, char member[CATALOGUE_LABEL_MAX])
{
    const json_t *category = json_object_get(object, "category");
    const json_t *price = json_object_get(object, "price");
    const json_t *available = json_object_get(object, "available");
    const json_t *attributes = json_object_get(object, "attributes");
    if (category &&
        (!json_is_string(category) || json_string_length(category) > CATALOGUE_TEXT_MAX))
        return wrong(member, "category", "must be a text of at most %d bytes", CATALOGUE_TEXT_MAX);
    if (price && (!json_is_number(price) || !(json_number_value(price) >= 0)))
        return wrong(member, "price", "must be a number that is not negative");
    if (available && !json_is_boolean(available))
        return wrong(member, "available", "must be true or false");
    if (attributes && !json_is_object(attributes))
        return wrong(member, "attributes", "must be an object");
    return ERR_OK;
}

static enum err check_names(const json_t *object, char member[CATALOGUE_LABEL_MAX])
{
    static const char *const known[] = {"id",        "titles",  "category",  "price",
                                        "available", "regions", "attributes"};
    const char *name = members_unknown(object, known, sizeof known / sizeof *known);
    json_t *value;
    if (name)
        return wrong(member, name,
                     "is no member of an item (id, titles, category, price, available, regions, "
                     "attributes); what else there is stands in attributes");
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (json_is_null(value)) return wrong(member, name, "must not be null; leave it out");
    }
    return ERR_OK;
}

enum err catalogue_check(const json_t *object, const char **id, struct buf *out,
                         char member[CATALOGUE_LABEL_MAX])
{
    const json_t *name = json_object_get(object, "id");
    member[0] = '\0';
    if (!json_is_string(name) ||
        catalogue_check_id(json_string_value(name), json_string_length(name)))
        return wrong(member, "id",
                     "must be given: 1 to %d bytes without spaces and control characters",
                     CATALOGUE_ID_MAX);
    TRY(check_names(object, member));
    TRY(check_titles(json_object_get(object, "titles"), member));
    TRY(check_regions(json_object_get(object, "regions"), member));
    TRY(check_rest(object, member));
    char *text = json_dumps(object, JSON_COMPACT);
    size_t size = text ? strlen(text) : 0;
    if (text && size <= CATALOGUE_RECORD_MAX) buf_add(out, text, size);
    free(text); // jansson's
    if (size > 0 && size <= CATALOGUE_RECORD_MAX) {
        *id = json_string_value(name);
        return ERR_OK;
    }
    return err_note(ERR_TOO_LARGE, "the item has %zu bytes, at most %d are taken", size,
                    CATALOGUE_RECORD_MAX);
}

// ---- what an item says -------------------------------------------------------------------------

bool catalogue_is_sold(const struct catalogue_item *item, const char *region)
{
    const json_t *regions = json_object_get(item->document, "regions");
    if (!item->available) return false;
    if (!*region || !regions) return true;
    for (size_t i = 0; i < json_array_size(regions); i++) {
        const char *name = json_string_value(json_array_get(regions, i));
        if (name && strcmp(name, region) == 0) return true;
    }
    return false;
}

const char *catalogue_title(const struct catalogue_item *item, const char *language)
{
    json_t *titles = json_object_get(item->document, "titles");
    const char *name, *best = NULL;
    size_t best_rank = 0;
    json_t *title;
    json_object_foreach(titles, name, title)
    {
        size_t size = strlen(name);
        bool fits = *language && strncasecmp(language, name, size) == 0 &&
                    (language[size] == '\0' || language[size] == '-');
        size_t rank = fits ? 2 + size : strcasecmp(name, "en") == 0 ? 2 : 1;
        if (rank <= best_rank || !json_is_string(title)) continue;
        best_rank = rank;
        best = json_string_value(title);
    }
    return best;
}
