#include "scheduler/policy/schema_take.h"

#include "scheduler/policy/audit.h"
#include "scheduler/policy/producer.h"

#include "base/aigc.h"
#include "base/buf.h"
#include "base/hex.h"
#include "base/sign.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

_Static_assert(sizeof(enum rules_place) == sizeof(unsigned), "a word is written as a number");
_Static_assert((int)RULES_NAME_MAX == (int)SIGN_ID_MAX, "names of keys");
_Static_assert((int)RULES_KEY_SIZE == (int)SIGN_KEY_SIZE, "keys");

enum {
    PROVISIONS_MAX = 16,
    PROVISION_TEXT_MAX = 1024
};

const char *const schema_audit_classes[] = {
#define AUDIT(name, text) #name,
#include "scheduler/policy/audit.def"
#undef AUDIT
    NULL};

enum err schema_wrong(const struct schema_place *place, const char *format, ...)
{
    char text[ERR_NOTE_MAX / 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return err_note(ERR_INVALID, "%s: %s", place->path, text);
}

static struct schema_place inside(const struct schema_place *place, const char *name)
{
    struct schema_place inner;
    snprintf(inner.path, sizeof inner.path, "%.80s/%.40s", place->path, name);
    return inner;
}

static struct schema_place item_of(const struct schema_place *place, size_t index)
{
    char number[24];
    snprintf(number, sizeof number, "%zu", index);
    return inside(place, number);
}

// ---- one value ---------------------------------------------------------------------------------

enum err schema_take_flag(const struct schema_row *row, const struct schema_place *place,
                          const json_t *value, char *base)
{
    bool flag = json_is_true(value);
    if (!json_is_boolean(value)) return schema_wrong(place, "must be true or false");
    memcpy(base + row->at, &flag, sizeof flag);
    return ERR_OK;
}

static enum err take_number(const struct schema_row *row, const struct schema_place *place,
                            const json_t *value, long long *out)
{
    *out = json_integer_value(value);
    if (!json_is_integer(value) || *out < row->min || *out > row->max)
        return schema_wrong(place, "must be a whole number from %lld to %lld", row->min, row->max);
    return ERR_OK;
}

enum err schema_take_count(const struct schema_row *row, const struct schema_place *place,
                           const json_t *value, char *base)
{
    long long number;
    TRY(take_number(row, place, value, &number));
    uint32_t count = (uint32_t)number;
    memcpy(base + row->at, &count, sizeof count);
    return ERR_OK;
}

enum err schema_take_size(const struct schema_row *row, const struct schema_place *place,
                          const json_t *value, char *base)
{
    long long number;
    TRY(take_number(row, place, value, &number));
    size_t size = (size_t)number;
    memcpy(base + row->at, &size, sizeof size);
    return ERR_OK;
}

/* A name of letters, digits, '-', '_', '.'; NULL after a refusal. */
static const char *name_of(const struct schema_place *place, const json_t *value)
{
    const char *text = json_string_value(value);
    if (text && sign_is_id(text)) return text;
    schema_wrong(place, "must be a name of 1 to %d letters, digits, '-', '_' or '.'",
                 RULES_NAME_MAX);
    return NULL;
}

enum err schema_take_name(const struct schema_row *row, const struct schema_place *place,
                          const json_t *value, char *base)
{
    const char *name = name_of(place, value);
    if (!name) return ERR_INVALID;
    memcpy(base + row->at, &name, sizeof name);
    return ERR_OK;
}

enum err schema_take_code(const struct schema_row *row, const struct schema_place *place,
                          const json_t *value, char *base)
{
    const char *text = json_string_value(value);
    const char *wrong = !text ? "a text" : *text ? producer_wrong(text) : NULL;
    if (wrong)
        return schema_wrong(place,
                            "must be the provider's code as it was given to it (%d characters), "
                            "with %s; or \"\": there is none",
                            RULES_PRODUCER_SIZE, wrong);
    memcpy(base + row->at, text, strlen(text) + 1);
    return ERR_OK;
}

enum err schema_take_provider(const struct schema_row *row, const struct schema_place *place,
                              const json_t *value, char *base)
{
    const char *text = json_string_value(value);
    if (!text || strlen(text) > RULES_NAME_MAX || !aigc_is_field(text))
        return schema_wrong(place,
                            "must be the provider's name, of at most %d printable ASCII "
                            "characters without '\"' and '\\'; or \"\": it has a code",
                            RULES_NAME_MAX);
    memcpy(base + row->at, text, strlen(text) + 1);
    return ERR_OK;
}

// ---- words -------------------------------------------------------------------------------------

static enum err refuse_word(const struct schema_place *place, const char *const *words,
                            const char *how)
{
    struct buf list = {0};
    for (size_t i = 0; words[i]; i++) {
        if (i > 0) buf_add_text(&list, ", ");
        for (const char *at = words[i]; *at; at++)
            buf_add_byte(&list, (unsigned char)tolower((unsigned char)*at));
    }
    enum err err = schema_wrong(place, "must be %s %s", how, buf_text(&list));
    buf_fini(&list);
    return err;
}

static bool find_word(const char *const *words, const json_t *value, unsigned *out)
{
    const char *text = json_string_value(value);
    for (unsigned i = 0; text && words[i]; i++) {
        if (strcasecmp(words[i], text) != 0) continue;
        *out = i;
        return true;
    }
    return false;
}

enum err schema_take_word(const struct schema_row *row, const struct schema_place *place,
                          const json_t *value, char *base)
{
    unsigned number;
    if (!find_word(row->words, value, &number)) return refuse_word(place, row->words, "one of");
    memcpy(base + row->at, &number, sizeof number);
    return ERR_OK;
}

enum err schema_take_bits(const struct schema_row *row, const struct schema_place *place,
                          const json_t *value, char *base)
{
    uint32_t bits = 0;
    unsigned number;
    if (!json_is_array(value)) return refuse_word(place, row->words, "a list of some of");
    for (size_t i = 0; i < json_array_size(value); i++) {
        struct schema_place item = item_of(place, i);
        if (!find_word(row->words, json_array_get(value, i), &number))
            return refuse_word(&item, row->words, "one of");
        bits |= 1u << number;
    }
    memcpy(base + row->at, &bits, sizeof bits);
    return ERR_OK;
}

// ---- lists -------------------------------------------------------------------------------------

/* "any", where that may stand: true in *any, and an empty list. */
static enum err take_list(const struct schema_row *row, const struct schema_place *place,
                          const json_t *value, size_t most, char *base)
{
    const char *text = json_string_value(value);
    bool any = row->has_any && text && strcmp(text, "any") == 0;
    size_t count = any ? 0 : json_array_size(value);
    if (!any && (!json_is_array(value) || count > most))
        return schema_wrong(place, "must be %sa list of at most %zu",
                            row->has_any ? "\"any\", or " : "", most);
    if (!any && row->any_at == SCHEMA_NOWHERE && row->has_any && count == 0)
        return schema_wrong(place, "must be \"any\", or name at least one");
    if (row->has_any && row->any_at != SCHEMA_NOWHERE) memcpy(base + row->any_at, &any, sizeof any);
    memcpy(base + row->count_at, &count, sizeof count);
    return ERR_OK;
}

enum err schema_take_names(const struct schema_row *row, const struct schema_place *place,
                           const json_t *value, char *base)
{
    TRY(take_list(row, place, value, (size_t)row->max, base));
    for (size_t i = 0; i < json_array_size(value); i++) {
        struct schema_place item = item_of(place, i);
        const char *name = name_of(&item, json_array_get(value, i));
        if (!name) return ERR_INVALID;
        memcpy(base + row->at + i * sizeof name, &name, sizeof name);
    }
    return ERR_OK;
}

enum err schema_take_digests(const struct schema_row *row, const struct schema_place *place,
                             const json_t *value, char *base)
{
    TRY(take_list(row, place, value, RULES_MODELS_MAX, base));
    for (size_t i = 0; i < json_array_size(value); i++) {
        struct digest digest;
        struct schema_place item = item_of(place, i);
        const char *text = json_string_value(json_array_get(value, i));
        if (!hex_read(digest.bytes, sizeof digest.bytes, text))
            return schema_wrong(&item,
                                "must be a digest of %d hexadecimal digits: GET /admin/status has "
                                "those of the models",
                                DIGEST_TEXT_SIZE - 1);
        memcpy(base + row->at + i * sizeof digest, &digest, sizeof digest);
    }
    return ERR_OK;
}

static enum err take_approver(const struct schema_place *place, const json_t *value,
                              struct rules_approver *out)
{
    struct schema_place at = inside(place, "id");
    const char *id = name_of(&at, json_object_get(value, "id"));
    if (!id) return ERR_INVALID;
    const char *key = json_string_value(json_object_get(value, "key"));
    at = inside(place, "key");
    if (!key || !sign_decode(key, out->key, sizeof out->key))
        return schema_wrong(&at, "must be an Ed25519 key of %d bytes in base64", RULES_KEY_SIZE);
    if (json_object_size(value) != 2) return schema_wrong(place, "must have id and key alone");
    snprintf(out->id, sizeof out->id, "%s", id);
    return ERR_OK;
}

enum err schema_take_approvers(const struct schema_row *row, const struct schema_place *place,
                               const json_t *value, char *base)
{
    struct rules_approver approver;
    TRY(take_list(row, place, value, RULES_APPROVERS_MAX, base));
    for (size_t i = 0; i < json_array_size(value); i++) {
        struct schema_place item = item_of(place, i);
        approver = (struct rules_approver){0};
        TRY(take_approver(&item, json_array_get(value, i), &approver));
        for (size_t j = 0; j < i; j++) {
            struct rules_approver other;
            memcpy(&other, base + row->at + j * sizeof other, sizeof other);
            // Two names for one key would be two signatures of one person.
            if (strcmp(other.id, approver.id) == 0 ||
                memcmp(other.key, approver.key, sizeof other.key) == 0)
                return schema_wrong(&item, "has the id or the key of approver %zu", j);
        }
        memcpy(base + row->at + i * sizeof approver, &approver, sizeof approver);
    }
    return ERR_OK;
}

// ---- objects -----------------------------------------------------------------------------------

enum err schema_take_text(const struct schema_row *row, const struct schema_place *place,
                          const json_t *value, char *base)
{
    const char *language;
    json_t *text;
    struct rules_text out = {0};
    if (!json_is_object(value) || json_object_size(value) > RULES_LANGUAGES_MAX)
        return schema_wrong(place,
                            "must be an object of at most %d texts by language, such as "
                            "{\"zh-Hans\": \"…\", \"en\": \"…\"}",
                            RULES_LANGUAGES_MAX);
    json_object_foreach((json_t *)(uintptr_t)value, language, text)
    {
        struct schema_place item = inside(place, language);
        if (!sign_is_id(language)) return schema_wrong(&item, "must be a language tag");
        if (!json_is_string(text) || json_string_length(text) == 0 ||
            json_string_length(text) > RULES_TEXT_MAX)
            return schema_wrong(&item, "must be a text of 1 to %d bytes", RULES_TEXT_MAX);
        out.entries[out.count].language = language;
        out.entries[out.count++].text = json_string_value(text);
    }
    memcpy(base + row->at, &out, sizeof out);
    return ERR_OK;
}

static enum err take_action(const struct schema_place *place, const json_t *value, const char *name,
                            enum rules_action *out)
{
    static const char *const actions[] = {"pass", "review", "mask", "refuse", "block", NULL};
    unsigned number;
    struct schema_place at = inside(place, name);
    if (!find_word(actions, json_object_get(value, name), &number))
        return refuse_word(&at, actions, "one of");
    *out = (enum rules_action)number;
    return ERR_OK;
}

enum err schema_take_categories(const struct schema_row *row, const struct schema_place *place,
                                const json_t *value, char *base)
{
    const char *category;
    json_t *actions;
    struct rules_filter out = {0};
    if (!json_is_object(value) || json_object_size(value) > RULES_CATEGORIES_MAX)
        return schema_wrong(place, "must be an object of at most %d categories",
                            RULES_CATEGORIES_MAX);
    json_object_foreach((json_t *)(uintptr_t)value, category, actions)
    {
        struct schema_place item = inside(place, category);
        if (!sign_is_id(category)) return schema_wrong(&item, "must be a name");
        if (!json_is_object(actions) || json_object_size(actions) != 2)
            return schema_wrong(&item, "must have input and output alone");
        TRY(take_action(&item, actions, "input", &out.categories[out.category_count].input));
        TRY(take_action(&item, actions, "output", &out.categories[out.category_count].output));
        out.categories[out.category_count++].category = category;
    }
    memcpy(base + row->at, out.categories, sizeof out.categories);
    memcpy(base + row->count_at, &out.category_count, sizeof out.category_count);
    return ERR_OK;
}

enum err schema_check_provision(const struct schema_place *place, const json_t *value)
{
    static const char *const known[] = {"law", "article", "note", NULL};
    if (!json_is_array(value) || json_array_size(value) > PROVISIONS_MAX)
        return schema_wrong(place, "must be a list of at most %d provisions", PROVISIONS_MAX);
    for (size_t i = 0; i < json_array_size(value); i++) {
        struct schema_place item = item_of(place, i);
        const json_t *one = json_array_get(value, i);
        const char *name;
        json_t *text;
        if (!json_is_string(json_object_get(one, "law")))
            return schema_wrong(&item, "must be an object with a law");
        json_object_foreach((json_t *)(uintptr_t)one, name, text)
        {
            struct schema_place at = inside(&item, name);
            bool is_known = false;
            for (size_t j = 0; known[j]; j++)
                is_known |= strcmp(known[j], name) == 0;
            if (!is_known)
                return schema_wrong(&at, "there is no such member; known are law, "
                                         "article, note");
            if (!json_is_string(text) || json_string_length(text) > PROVISION_TEXT_MAX)
                return schema_wrong(&at, "must be a text of at most %d bytes", PROVISION_TEXT_MAX);
        }
    }
    return ERR_OK;
}
