#include "scheduler/features/search/settings.h"

#include "scheduler/features/members.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* One reading: where failures are told. */
struct reader {
    struct search_settings *settings;
    char *param;
};

static enum err wrong(const struct reader *reader, const char *param, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum err wrong(const struct reader *reader, const char *param, const char *format, ...)
{
    char text[ERR_NOTE_MAX / 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(reader->param, SEARCH_PARAM_MAX, "%s", param);
    return err_note(ERR_INVALID, "%s %s", reader->param, text);
}

bool search_names_have(const struct search_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], name) == 0) return true;
    return false;
}

void search_names_write(struct buf *out, const struct search_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        buf_addf(out, "%s%s", i ? ", " : "", names->items[i]);
    if (names->count == 0) buf_add_text(out, "none");
}

static void add_name(struct search_names *names, const char *name)
{
    names->items = mem_resize(names->items, names->count + 1, sizeof *names->items);
    names->items[names->count++] = mem_copy_text(name);
}

static void free_names(struct search_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        mem_free(names->items[i]);
    mem_free(names->items);
}

void search_settings_free(struct search_settings *settings)
{
    if (!settings) return;
    free_names(&settings->fields);
    free_names(&settings->facets);
    free_names(&settings->filterable);
    free_names(&settings->sortable);
    free_names(&settings->stops);
    free_names(&settings->embedder_fields);
    mem_free(settings->embedder);
    mem_free(settings->primary_key);
    mem_free(settings->text);
    mem_free(settings);
}

static const json_t *find(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static enum err check_name(const struct reader *reader, const char *param, const char *name)
{
    size_t size = strlen(name);
    if (size < 1 || size > SEARCH_NAME_MAX || name[0] == '_')
        return wrong(reader, param,
                     "must name attributes: 1 to %d bytes that do not begin with '_'",
                     SEARCH_NAME_MAX);
    return ERR_OK;
}

/* An array of names, each once. */
static enum err read_names_of(const struct reader *reader, const json_t *object, const char *key,
                              const char *param, size_t max, struct search_names *names)
{
    const json_t *array = find(object, key);
    size_t at;
    json_t *item;
    if (!array) return ERR_OK;
    if (!json_is_array(array) || json_array_size(array) > max)
        return wrong(reader, param, "must be an array of at most %zu strings", max);
    json_array_foreach(array, at, item)
    {
        if (!json_is_string(item) || json_string_length(item) > SEARCH_NAME_MAX)
            return wrong(reader, param, "must be an array of strings of at most %d bytes",
                         SEARCH_NAME_MAX);
        if (names != &reader->settings->stops)
            TRY(check_name(reader, param, json_string_value(item)));
        if (!search_names_have(names, json_string_value(item)))
            add_name(names, json_string_value(item));
    }
    return ERR_OK;
}

static enum err read_names(const struct reader *reader, const json_t *object, const char *key,
                           size_t max, struct search_names *names)
{
    return read_names_of(reader, object, key, key, max, names);
}

static enum err read_real(const struct reader *reader, const json_t *object, const char *key,
                          const char *param, double min, double max, double *out)
{
    const json_t *value = find(object, key);
    if (!value) return ERR_OK;
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= min && number <= max))
        return wrong(reader, param, "must be a number from %g to %g", min, max);
    *out = number;
    return ERR_OK;
}

static enum err read_count(const struct reader *reader, const json_t *object, const char *key,
                           const char *param, size_t max, size_t *out)
{
    const json_t *value = find(object, key);
    if (!value) return ERR_OK;
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 1 || number > (json_int_t)max)
        return wrong(reader, param, "must be a whole number from 1 to %zu", max);
    *out = (size_t)number;
    return ERR_OK;
}

static enum err read_weights(const struct reader *reader, const json_t *fields)
{
    struct search_settings *settings = reader->settings;
    const char *name;
    json_t *weight;
    json_object_foreach((json_t *)(uintptr_t)fields, name, weight)
    {
        char param[SEARCH_PARAM_MAX];
        snprintf(param, sizeof param, "fields.%s", name);
        TRY(check_name(reader, "fields", name));
        if (settings->fields.count == SEARCH_FIELDS_MAX) break;
        double *out = &settings->weights[settings->fields.count];
        if (json_is_null(weight)) return wrong(reader, param, "must be a number from 0.01 to 100");
        TRY(read_real(reader, fields, name, param, 0.01, 100, out));
        add_name(&settings->fields, name);
    }
    return ERR_OK;
}

/* An occurrence in the field that weighs least counts as one, so that k1 means what it means everywhere. */
static void scale_weights(struct search_settings *settings)
{
    double least = settings->weights[0];
    for (size_t i = 1; i < settings->fields.count; i++)
        if (settings->weights[i] < least) least = settings->weights[i];
    for (size_t i = 0; i < settings->fields.count; i++)
        settings->weights[i] /= least;
}

static enum err read_fields(const struct reader *reader, const json_t *object)
{
    struct search_settings *settings = reader->settings;
    const json_t *fields = find(object, "fields");
    if (!fields) return ERR_OK;
    for (size_t i = 0; i < SEARCH_FIELDS_MAX; i++)
        settings->weights[i] = 1;
    size_t count = json_is_object(fields) ? json_object_size(fields) : json_array_size(fields);
    if (count < 1 || count > SEARCH_FIELDS_MAX)
        return wrong(reader, "fields",
                     "must be an object of names and weights, or an array of names, 1 to %d of "
                     "them",
                     SEARCH_FIELDS_MAX);
    if (json_is_object(fields)) {
        TRY(read_weights(reader, fields));
        scale_weights(settings);
        return ERR_OK;
    }
    return read_names(reader, object, "fields", SEARCH_FIELDS_MAX, &settings->fields);
}

static enum err read_typos(const struct reader *reader, const json_t *object)
{
    struct search_settings *settings = reader->settings;
    const json_t *typos = find(object, "typos");
    if (!typos) return ERR_OK;
    if (!json_is_object(typos))
        return wrong(reader, "typos", "must be an object of `enabled`, `one` and `two`");
    const json_t *enabled = find(typos, "enabled");
    if (enabled && !json_is_boolean(enabled))
        return wrong(reader, "typos.enabled", "must be true or false");
    if (enabled) settings->typos = json_is_true(enabled);
    TRY(read_count(reader, typos, "one", "typos.one", 64, &settings->one_typo));
    TRY(read_count(reader, typos, "two", "typos.two", 64, &settings->two_typos));
    if (settings->two_typos < settings->one_typo)
        return wrong(reader, "typos.two", "must be at least typos.one, %zu", settings->one_typo);
    return ERR_OK;
}

/* "en-US" is of "en". */
static bool is_language(const char *tag, const char *language)
{
    size_t size = strlen(language);
    return strncmp(tag, language, size) == 0 && (tag[size] == '\0' || tag[size] == '-');
}

static enum err read_language(const struct reader *reader, const json_t *object)
{
    const json_t *value = find(object, "language");
    const char *text = value ? json_string_value(value) : "auto";
    bool stems =
        text && (strcmp(text, "auto") == 0 || is_language(text, "en") || is_language(text, "zh"));
    if (!stems && (!text || strcmp(text, "none") != 0))
        return wrong(reader, "language", "must be auto, en, zh (or a tag such as zh-Hans) or none");
    reader->settings->stem = stems;
    return ERR_OK;
}

static enum err read_backend(const struct reader *reader, const json_t *object)
{
    const json_t *value = find(object, "backend");
    const char *text = value ? json_string_value(value) : "memory";
    reader->settings->is_remote = text && strcmp(text, "redisearch") == 0;
    if (!reader->settings->is_remote && (!text || strcmp(text, "memory") != 0))
        return wrong(reader, "backend", "must be memory or redisearch");
    return ERR_OK;
}

/* `fields` and `weights` apart: the names and numbers of one object. */
static enum err join_weights(const struct reader *reader, json_t *object)
{
    const json_t *weights = find(object, "weights"), *names = find(object, "fields");
    const char *key;
    json_t *name, *weight;
    size_t at;
    if (!json_is_object(weights) || (names && !json_is_array(names)))
        return wrong(reader, "weights",
                     "must be an object of names and numbers beside `fields` as an array of names");
    json_t *fields = json_object();
    json_array_foreach(names, at, name)
    {
        if (json_is_string(name))
            json_object_set_new(fields, json_string_value(name), json_integer(1));
    }
    bool is_all = !names || json_object_size(fields) == json_array_size(names);
    json_object_foreach((json_t *)(uintptr_t)weights, key, weight)
    {
        is_all &= !names || json_object_get(fields, key);
        json_object_set(fields, key, weight);
    }
    json_object_set_new(object, "fields", fields);
    json_object_del(object, "weights");
    if (is_all) return ERR_OK;
    return wrong(reader, "weights", "must be of names that `fields` has, each once");
}

/* One name and one shape for what can be said in several. */
static enum err name_members(const struct reader *reader, json_t *object)
{
    static const char *const known[] = {"primary_key", "fields",     "facets",  "filterable",
                                        "sortable",    "stop_words", "typos",   "language",
                                        "bm25",        "embedder",   "backend", "weights"};
    static const struct member_name others[] = {{"searchableAttributes", "fields"},
                                                {"filterableAttributes", "filterable"},
                                                {"sortableAttributes", "sortable"}};
    const char *twice = members_rename(object, others, sizeof others / sizeof *others);
    if (!twice) twice = members_respell(object, known, sizeof known / sizeof *known);
    if (twice) return wrong(reader, twice, "is there twice, in two spellings");
    const char *name = members_unknown(object, known, sizeof known / sizeof *known);
    if (name)
        return wrong(reader, name,
                     "is no setting of an index: there are primary_key, fields, weights, facets, "
                     "filterable, sortable, stop_words, typos, language, bm25, backend, embedder");
    const json_t *embedder = find(object, "embedder");
    if (json_is_string(embedder))
        json_object_set_new(object, "embedder", json_pack("{s:O}", "model", embedder));
    return find(object, "weights") ? join_weights(reader, object) : ERR_OK;
}

static enum err read_key(const struct reader *reader, const json_t *object)
{
    const json_t *value = find(object, "primary_key");
    const char *name = value ? json_string_value(value) : "id";
    if (!name) return wrong(reader, "primary_key", "must be a string");
    TRY(check_name(reader, "primary_key", name));
    reader->settings->primary_key = mem_copy_text(name);
    return ERR_OK;
}

static enum err read_embedder(const struct reader *reader, const json_t *object)
{
    struct search_settings *settings = reader->settings;
    const json_t *embedder = find(object, "embedder"), *model = find(embedder, "model");
    const char *name;
    json_t *value;
    if (!embedder) return ERR_OK;
    if (!json_is_object(embedder))
        return wrong(reader, "embedder", "must be an object of `model` and `fields`");
    json_object_foreach((json_t *)(uintptr_t)embedder, name, value)
    {
        if (strcmp(name, "model") != 0 && strcmp(name, "fields") != 0)
            return wrong(reader, "embedder", "has `model` and `fields`, and nothing else");
    }
    if (!json_is_string(model) || json_string_length(model) < 1 ||
        json_string_length(model) > SEARCH_MODEL_MAX)
        return wrong(reader, "embedder.model", "must name a model: 1 to %d bytes",
                     SEARCH_MODEL_MAX);
    TRY(read_names_of(reader, embedder, "fields", "embedder.fields", SEARCH_FIELDS_MAX,
                      &settings->embedder_fields));
    settings->embedder = mem_copy_text(json_string_value(model));
    return ERR_OK;
}

/* What can be a facet or an order can be filtered by. */
static void join_filterable(struct search_settings *settings)
{
    const struct search_names *others[] = {&settings->facets, &settings->sortable};
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < others[i]->count; j++)
            if (!search_names_have(&settings->filterable, others[i]->items[j]))
                add_name(&settings->filterable, others[i]->items[j]);
}

static enum err read_all(const struct reader *reader, json_t *object)
{
    struct search_settings *settings = reader->settings;
    if (!json_is_object(object)) return wrong(reader, "settings", "must be an object");
    TRY(name_members(reader, object));
    TRY(read_key(reader, object));
    TRY(read_fields(reader, object));
    TRY(read_names(reader, object, "facets", SEARCH_NAMES_MAX, &settings->facets));
    TRY(read_names(reader, object, "filterable", SEARCH_NAMES_MAX, &settings->filterable));
    TRY(read_names(reader, object, "sortable", SEARCH_NAMES_MAX, &settings->sortable));
    TRY(read_names(reader, object, "stop_words", SEARCH_STOPS_MAX, &settings->stops));
    TRY(read_language(reader, object));
    TRY(read_typos(reader, object));
    const json_t *bm25 = find(object, "bm25");
    if (bm25 && !json_is_object(bm25))
        return wrong(reader, "bm25", "must be an object of `k1` and `b`");
    TRY(read_real(reader, bm25, "k1", "bm25.k1", 0, 10, &settings->k1));
    TRY(read_real(reader, bm25, "b", "bm25.b", 0, 1, &settings->b));
    TRY(read_backend(reader, object));
    TRY(read_embedder(reader, object));
    join_filterable(settings);
    return ERR_OK;
}

static int add_bytes(const char *bytes, size_t size, void *out)
{
    buf_add(out, bytes, size);
    return 0;
}

enum err search_settings_read(struct search_settings **out, const json_t *object,
                              char param[SEARCH_PARAM_MAX])
{
    struct search_settings *settings = mem_new(1, sizeof *settings);
    *settings = (struct search_settings){
        .stem = true, .typos = true, .one_typo = 5, .two_typos = 9, .k1 = 0.9, .b = 0.4};
    settings->weights[0] = 1;
    param[0] = '\0';
    json_t *named = json_deep_copy(object);
    enum err err = read_all(&(struct reader){settings, param}, named);
    if (err) {
        json_decref(named);
        search_settings_free(settings);
        return err;
    }
    struct buf text = {0};
    json_dump_callback(named, add_bytes, &text, JSON_COMPACT);
    json_decref(named);
    settings->text = buf_take(&text);
    *out = settings;
    return ERR_OK;
}
