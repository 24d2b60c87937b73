#include "base/terms.h"

#include "base/buf.h"
#include "base/mem.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    DAY_SECONDS = 86400
};

static const char *const actions[] = {"pass", "review", "mask", "refuse", "block"};
static const char *const kinds[] = {"term", "part", "pattern"};

/* A file being read. */
struct reading {
    struct terms *terms;
    const char *name;
    size_t line, room;
    char *at, *end; // of the line
};

static enum err wrong(const struct reading *reading, const char *what)
{
    return err_note(ERR_FORMAT, "%s:%zu: %s", reading->name, reading->line, what);
}

/* The next field of the line, terminated in place; "" behind the last. */
static char *next_field(struct reading *reading)
{
    char *field = reading->at;
    char *space = memchr(field, ' ', (size_t)(reading->end - field));
    if (space) *space = '\0';
    reading->at = space ? space + 1 : reading->end;
    return field;
}

static bool is_name(const char *text)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("-_.", text[i])) return false;
    return size > 0 && size <= TERMS_NAME_MAX;
}

/* Days from 1970 to a date of the Gregorian calendar, by the count of days in whole eras of 400 years. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool read_date(const char *text, int64_t *seconds)
{
    static const char form[] = "dddd-dd-dd";
    int64_t parts[3] = {0};
    size_t part = 0;
    if (strlen(text) != sizeof form - 1) return false;
    for (size_t i = 0; form[i]; i++) {
        if (form[i] == '-' ? text[i] != '-' : !isdigit((unsigned char)text[i])) return false;
        if (form[i] == '-')
            part++;
        else
            parts[part] = 10 * parts[part] + text[i] - '0';
    }
    if (parts[0] < 1970 || parts[1] < 1 || parts[1] > 12 || parts[2] < 1) return false;
    int64_t next = days_of(parts[0] + parts[1] / 12, parts[1] % 12 + 1, 1);
    int64_t day = days_of(parts[0], parts[1], parts[2]);
    *seconds = day * DAY_SECONDS;
    return day < next;
}

static bool read_action(const char *text, enum terms_action *out)
{
    for (size_t i = 0; i < TERMS_ACTION_COUNT; i++) {
        if (strcmp(text, actions[i]) != 0) continue;
        *out = (enum terms_action)i;
        return true;
    }
    return false;
}

static bool find_category(const struct terms *terms, const char *name, uint32_t *out)
{
    for (size_t i = 0; i < terms->category_count; i++) {
        if (strcmp(terms->categories[i].name, name) != 0) continue;
        *out = (uint32_t)i;
        return true;
    }
    return false;
}

static enum err read_category(struct reading *reading)
{
    struct terms *terms = reading->terms;
    const char *name = next_field(reading);
    uint32_t known;
    if (!is_name(name))
        return wrong(reading, "a category's name is letters, digits, '-', '_', '.'");
    if (find_category(terms, name, &known))
        return wrong(reading, "the category stands there twice");
    if (terms->category_count == TERMS_CATEGORIES_MAX)
        return wrong(reading, "more than 32 categories");
    struct terms_category *category = &terms->categories[terms->category_count];
    memcpy(category->name, name, strlen(name) + 1);
    if (!read_action(next_field(reading), &category->input) ||
        !read_action(next_field(reading), &category->output))
        return wrong(reading, "a category has two actions, for prompts and for answers, of pass, "
                              "review, mask, refuse, block");
    terms->category_count++;
    return ERR_OK;
}

static enum err read_entry(struct reading *reading, enum terms_kind kind)
{
    struct terms *terms = reading->terms;
    struct terms_entry entry = {.kind = kind};
    if (!find_category(terms, next_field(reading), &entry.category))
        return wrong(reading, "no line 'category' before it has that name");
    entry.text = reading->at;
    entry.size = (size_t)(reading->end - reading->at);
    reading->at = reading->end;
    if (entry.size == 0 || entry.size > TERMS_TEXT_MAX)
        return wrong(reading, "a term has 1 to 256 bytes");
    if (terms->count == TERMS_COUNT_MAX) return wrong(reading, "more than 262144 terms");
    if (terms->count == reading->room) {
        reading->room = reading->room ? 2 * reading->room : 256;
        terms->entries = mem_resize(terms->entries, reading->room, sizeof *terms->entries);
    }
    terms->entries[terms->count++] = entry;
    return ERR_OK;
}

static enum err read_line(struct reading *reading)
{
    struct terms *terms = reading->terms;
    const char *word = next_field(reading);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(word, kinds[i]) == 0) return read_entry(reading, (enum terms_kind)i);
    if (strcmp(word, "category") == 0) return read_category(reading);
    const char *value = next_field(reading);
    if (strcmp(word, "name") == 0) {
        if (!is_name(value)) return wrong(reading, "a name is letters, digits, '-', '_', '.'");
        memcpy(terms->name, value, strlen(value) + 1);
        return ERR_OK;
    }
    if (strcmp(word, "serial") == 0) {
        char *end;
        terms->serial = strtoull(value, &end, 10);
        bool good = isdigit((unsigned char)*value) && *end == '\0' && strlen(value) <= 18;
        return good && terms->serial > 0 ? ERR_OK
                                         : wrong(reading, "a serial is a number from 1 on");
    }
    if (strcmp(word, "made") != 0)
        return wrong(reading, "a line begins with name, serial, made, category, term, part or "
                              "pattern");
    return read_date(value, &terms->made_s) ? ERR_OK
                                            : wrong(reading, "a date is written 2026-11-26");
}

// ---- the whole ---------------------------------------------------------------------------------

static int compare_entries(const void *left, const void *right)
{
    const struct terms_entry *a = left, *b = right;
    if (a->category != b->category) return a->category < b->category ? -1 : 1;
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    size_t shorter = a->size < b->size ? a->size : b->size;
    int order = memcmp(a->text, b->text, shorter);
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

static int compare_categories(const void *left, const void *right)
{
    const struct terms_category *a = left, *b = right;
    return strcmp(a->name, b->name);
}

/* Categories by name, entries by category, kind and text, each once. */
static void put_in_order(struct terms *terms)
{
    struct terms_category before[TERMS_CATEGORIES_MAX];
    size_t kept = 0;
    memcpy(before, terms->categories, sizeof before);
    qsort(terms->categories, terms->category_count, sizeof *terms->categories, compare_categories);
    for (size_t i = 0; i < terms->count; i++)
        (void)find_category(terms, before[terms->entries[i].category].name,
                            &terms->entries[i].category);
    if (terms->count) qsort(terms->entries, terms->count, sizeof *terms->entries, compare_entries);
    for (size_t i = 0; i < terms->count; i++)
        if (kept == 0 || compare_entries(&terms->entries[kept - 1], &terms->entries[i]) != 0)
            terms->entries[kept++] = terms->entries[i];
    terms->count = kept;
}

static enum err read_lines(struct reading *reading, char *text, size_t size)
{
    struct terms *terms = reading->terms;
    for (char *line = text; line < text + size; line = reading->end + 1) {
        char *end = memchr(line, '\n', (size_t)(text + size - line));
        reading->at = line;
        reading->end = end ? end : text + size;
        reading->line++;
        if (memchr(line, '\0', (size_t)(reading->end - line)) ||
            memchr(line, '\r', (size_t)(reading->end - line)))
            return wrong(reading, "a line holds neither NUL nor carriage return");
        *reading->end = '\0';
        if (reading->line == 1) {
            if (strcmp(line, TERMS_PURPOSE) != 0)
                return wrong(reading, "the first line is not '" TERMS_PURPOSE "'");
            continue;
        }
        if (*line == '\0' || *line == '#') continue;
        TRY(read_line(reading));
        if (reading->at < reading->end)
            return wrong(reading, "the line goes on where it should end");
    }
    if (!*terms->name || !terms->serial || !terms->made_s)
        return err_note(ERR_FORMAT, "%s: it has no line '%s'", reading->name,
                        !*terms->name    ? "name"
                        : !terms->serial ? "serial"
                                         : "made");
    return ERR_OK;
}

enum err terms_parse(struct terms **out, const char *name, const char *text, size_t size)
{
    if (size > TERMS_FILE_MAX)
        return err_note(ERR_FORMAT, "%s: more than %d bytes", name, TERMS_FILE_MAX);
    struct terms *terms = mem_new(1, sizeof *terms);
    struct reading reading = {.terms = terms, .name = name};
    terms->bytes = mem_text(text, size);
    enum err err = size ? read_lines(&reading, terms->bytes, size)
                        : err_note(ERR_FORMAT, "%s: it is empty", name);
    if (err) {
        terms_free(terms);
        return err;
    }
    put_in_order(terms);
    *out = terms;
    return ERR_OK;
}

void terms_free(struct terms *terms)
{
    if (!terms) return;
    mem_free(terms->entries);
    mem_free(terms->bytes);
    mem_free(terms);
}

/* The date of a day since 1970, the other way round. */
static void write_date(struct buf *out, int64_t seconds)
{
    int64_t days = seconds / DAY_SECONDS, year = 1970, month = 1;
    while (days_of(year + 1, 1, 1) <= days)
        year++;
    while (month < 12 && days_of(year, month + 1, 1) <= days)
        month++;
    buf_addf(out, "%04" PRId64 "-%02" PRId64 "-%02" PRId64, year, month,
             days - days_of(year, month, 1) + 1);
}

void terms_write(struct buf *out, const struct terms *terms)
{
    buf_addf(out, TERMS_PURPOSE "\nname %s\nserial %" PRIu64 "\nmade ", terms->name, terms->serial);
    write_date(out, terms->made_s);
    buf_add_byte(out, '\n');
    for (size_t i = 0; i < terms->category_count; i++) {
        const struct terms_category *category = &terms->categories[i];
        buf_addf(out, "category %s %s %s\n", category->name, actions[category->input],
                 actions[category->output]);
    }
    for (size_t i = 0; i < terms->count; i++) {
        const struct terms_entry *entry = &terms->entries[i];
        buf_addf(out, "%s %s ", kinds[entry->kind], terms->categories[entry->category].name);
        buf_add(out, entry->text, entry->size);
        buf_add_byte(out, '\n');
    }
}

const char *terms_action_name(enum terms_action action)
{
    return actions[action];
}
